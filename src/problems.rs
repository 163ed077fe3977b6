//! Mistakes in settings, all of them at once: whoever mends one should not have to find the next by trying again.

use std::fmt;

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<anyhow::Error>);

/// More than one mistake.
#[derive(Debug)]
struct Several(Vec<anyhow::Error>);

impl fmt::Display for Several {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} settings are wrong:", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n- {problem:#}"))
    }
}

impl std::error::Error for Several {}

impl Problems {
    /// A value, or the other one and its problem.
    pub(crate) fn or<T>(&mut self, value: anyhow::Result<T>, otherwise: T) -> T {
        value.unwrap_or_else(|error| {
            self.add(error);
            otherwise
        })
    }

    /// A problem unless this holds.
    pub(crate) fn unless(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.add(anyhow::Error::msg(problem()));
        }
    }

    /// A problem, or those that it consists of.
    pub(crate) fn add(&mut self, error: anyhow::Error) {
        match error.downcast::<Several>() {
            Ok(Several(problems)) => self.0.extend(problems),
            Err(problem) => self.0.push(problem),
        }
    }

    /// The value, if there was no problem.
    pub(crate) fn end<T>(mut self, value: T) -> anyhow::Result<T> {
        match self.0.pop() {
            None => Ok(value),
            Some(only) if self.0.is_empty() => Err(only),
            Some(last) => {
                self.0.push(last);
                Err(anyhow::Error::new(Several(self.0)))
            }
        }
    }
}
