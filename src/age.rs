//! Ages such as `30d`.

use std::time::Duration;

use anyhow::{anyhow, ensure};

/// A hundred years. Times in nanoseconds would soon overflow beyond.
const LONGEST: Duration = Duration::from_secs(36_500 * 86_400);

/// The forms of an age. Minutes and months are easily taken for one another.
const FORMS: &str = "a number with a unit (s, m for minutes, h, d, w, M for months, y)";

/// An age such as `30d`; `off` is none. `setting` is its name, for the error.
pub fn age_or_off(setting: &str, text: &str) -> anyhow::Result<Option<Duration>> {
    match text.trim() {
        "off" => Ok(None),
        other => read(setting, other, "such as 12h or 90d, or off").map(Some),
    }
}

/// An age such as `example`.
pub fn age(setting: &str, text: &str, example: &str) -> anyhow::Result<Duration> {
    let examples = format!("such as {example}");
    let text = text.trim();
    ensure!(text != "off", "{setting} cannot be off; give {FORMS}, {examples}");
    read(setting, text, &examples)
}

fn read(setting: &str, text: &str, examples: &str) -> anyhow::Result<Duration> {
    // The library's own words name a place in the text, and no form that is right.
    let age = humantime::parse_duration(text)
        .map_err(|_| anyhow!("{setting} is {text:?}; give {FORMS}, {examples}"))?;
    ensure!(
        !age.is_zero(),
        "{setting} is {text:?}, which is no time at all; give {FORMS}, {examples}"
    );
    ensure!(
        age <= LONGEST,
        "{setting} is {text:?}, more than a hundred years; give {FORMS}, {examples}"
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
        for wrong in [
            "soon",
            "2027-01-01",
            "90",
            "0s",
            "",
            "-1d",
            "101years",
            "99999999999y",
        ] {
            let error = format!("{:#}", age_or_off("retention", wrong).unwrap_err());
            assert!(
                error.contains("retention")
                    && error.contains("90d, or off")
                    && error.contains("M for months"),
                "{error}"
            );
            // No advice that is refused when it is taken.
            let error = format!("{:#}", age("join_window", wrong, "15m").unwrap_err());
            assert!(error.contains("such as 15m") && !error.contains("off"), "{error}");
        }
        let error = age("join_window", "off", "15m").unwrap_err().to_string();
        assert_eq!(
            error,
            "join_window cannot be off; give a number with a unit (s, m for minutes, h, d, w, M for months, y), such as 15m"
        );
    }
}
