//! Mistakes in settings, all of them at once: whoever mends one should not have to find the next by trying again.

use std::fmt;

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<anyhow::Error>);

/// More than one mistake.
#[derive(Debug)]
struct Several {
    /// Their number, and what they are.
    title: String,
    problems: Vec<anyhow::Error>,
}

impl fmt::Display for Several {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.title)?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n- {}", chain(problem)))
    }
}

impl std::error::Error for Several {}

/// An error with its causes, in one line where they are. A cause whose words were said already is not said again: many
/// libraries quote what they are caused by.
pub fn chain(error: &anyhow::Error) -> String {
    let mut told = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !told.contains(&cause) {
            told.push_str(": ");
            told.push_str(&cause);
        }
    }
    told
}

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
        let context = error.to_string();
        match error.downcast::<Several>() {
            Ok(several) => {
                // The words around them belong to each.
                let around = (context != several.to_string()).then_some(context);
                self.0
                    .extend(several.problems.into_iter().map(|problem| match &around {
                        Some(words) => problem.context(words.clone()),
                        None => problem,
                    }));
            }
            Err(problem) => self.0.push(problem),
        }
    }

    /// All of those.
    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Those of them whose cause is not among `told` already.
    pub(crate) fn add_new(&mut self, others: Self, told: &Self) {
        let causes: Vec<String> = told
            .0
            .iter()
            .map(|problem| problem.root_cause().to_string())
            .collect();
        let new = others.0.into_iter();
        self.0
            .extend(new.filter(|problem| !causes.contains(&problem.root_cause().to_string())));
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each in a line.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.iter().map(chain).collect()
    }

    /// The value, if there was no problem.
    pub(crate) fn end<T>(self, value: T) -> anyhow::Result<T> {
        self.end_titled(value, |count| format!("{count} settings are wrong"))
    }

    /// The value, if there was no problem. `title`: what so many problems are together, where there is more than one.
    pub(crate) fn end_titled<T>(
        mut self,
        value: T,
        title: impl FnOnce(usize) -> String,
    ) -> anyhow::Result<T> {
        match self.0.pop() {
            None => Ok(value),
            Some(only) if self.0.is_empty() => Err(only),
            Some(last) => {
                self.0.push(last);
                Err(anyhow::Error::new(Several {
                    title: title(self.0.len()),
                    problems: self.0,
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_around_several_belong_to_each() {
        let mut inner = Problems::default();
        inner.add(anyhow::anyhow!("a"));
        inner.add(anyhow::anyhow!("b"));
        let mut outer = Problems::default();
        outer.add(inner.end(()).unwrap_err().context("there"));
        outer.add(anyhow::anyhow!("c"));
        assert_eq!(outer.texts(), ["there: a", "there: b", "c"]);
        let told = outer.end(()).unwrap_err().to_string();
        assert_eq!(told, "3 settings are wrong:\n- there: a\n- there: b\n- c");
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = anyhow::anyhow!("no such file")
            .context("opening x: no such file")
            .context("outer");
        assert_eq!(chain(&cause), "outer: opening x: no such file");
    }
}
