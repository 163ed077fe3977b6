//! Ages such as `30d`.

use std::time::Duration;

use anyhow::{Context, ensure};

/// A hundred years. Times in nanoseconds would soon overflow beyond.
const LONGEST: Duration = Duration::from_secs(36_500 * 86_400);

/// An age such as `30d`; `off` is none. `setting` is its name, for the error.
pub fn age_or_off(setting: &str, text: &str) -> anyhow::Result<Option<Duration>> {
    match text.trim() {
        "off" => Ok(None),
        other => read(setting, other, "give an age such as 12h or 90d, or off").map(Some),
    }
}

/// An age such as `example`.
pub fn age(setting: &str, text: &str, example: &str) -> anyhow::Result<Duration> {
    let advice = format!("give an age such as {example}");
    let text = text.trim();
    ensure!(text != "off", "{setting} cannot be off; {advice}");
    read(setting, text, &advice)
}

fn read(setting: &str, text: &str, advice: &str) -> anyhow::Result<Duration> {
    let age = humantime::parse_duration(text).with_context(|| format!("{setting} is {text:?}; {advice}"))?;
    ensure!(
        !age.is_zero(),
        "{setting} is {text:?}, which is no time at all; {advice}"
    );
    ensure!(
        age <= LONGEST,
        "{setting} is {text:?}, more than a hundred years; {advice}"
    );
    Ok(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_explain_themselves() {
        assert_eq!(age_or_off("retention", "off").unwrap(), None);
        assert_eq!(
            age_or_off("retention", "90d").unwrap(),
            Some(Duration::from_secs(90 * 86_400))
        );
        for wrong in ["soon", "0s", "", "-1d", "101years", "99999999999y"] {
            let error = format!("{:#}", age_or_off("retention", wrong).unwrap_err());
            assert!(
                error.contains("retention") && error.contains("90d, or off"),
                "{error}"
            );
            // No advice that is refused when it is taken.
            let error = format!("{:#}", age("join_window", wrong, "15m").unwrap_err());
            assert!(error.contains("such as 15m") && !error.contains("off"), "{error}");
        }
        let error = age("join_window", "off", "15m").unwrap_err().to_string();
        assert_eq!(error, "join_window cannot be off; give an age such as 15m");
    }
}
