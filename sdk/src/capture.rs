//! What is recorded of requests: everything, all but bodies, or nothing; which tools' bodies; and how much of them.

use std::fmt;

use mcptap_model::bytes;
use mcptap_model::redact::{BadRule, Redactor, Rules};

/// How many bytes of a body are kept when nothing is said: 1 MiB, the collector's own default.
pub const DEFAULT_BODY_CAP: usize = 1 << 20;

/// The variables that say what is recorded.
const VARIABLES: [&str; 7] = [
    "MCPTAP_CAPTURE",
    "MCPTAP_CAPTURE_TOOLS",
    "MCPTAP_CAPTURE_DENY_TOOLS",
    "MCPTAP_BODY_CAP",
    "MCPTAP_REDACT_KEYS",
    "MCPTAP_REDACT_PATTERNS",
    "MCPTAP_REDACT_ENV",
];

/// How much is recorded of each request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Everything, with request and response bodies.
    #[default]
    Full,
    /// Everything but bodies.
    Metadata,
    /// Nothing.
    Off,
}

/// What is recorded. The default is everything, with bodies of up to [`DEFAULT_BODY_CAP`] bytes and the built-in
/// redaction.
///
/// ```
/// # fn run() -> Result<(), mcptap_sdk::CaptureError> {
/// let capture = mcptap_sdk::Capture::full()
///     .deny_tools(["get_secret*"])
///     .redact_keys(["ssn"])?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Capture {
    /// How much is recorded.
    pub(crate) mode: Mode,
    /// If any, only the bodies of these tools are kept.
    pub(crate) allow: Vec<String>,
    /// Bodies of these tools are not kept, even if `allow` names them.
    pub(crate) deny: Vec<String>,
    /// How many bytes of each body are kept.
    pub(crate) body_cap: usize,
    /// What is cut out besides the built-in.
    rules: Rules,
    /// Cuts secrets out of what is recorded.
    pub(crate) redactor: Redactor,
}

/// Settings that hold where no variable says otherwise, those of a file for example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureDefaults {
    /// Bytes of each body that are kept; `None`: [`DEFAULT_BODY_CAP`].
    pub body_cap: Option<usize>,
    /// As `MCPTAP_REDACT_KEYS` has them.
    pub redact_keys: Vec<String>,
    /// As `MCPTAP_REDACT_PATTERNS` has them.
    pub redact_patterns: Vec<String>,
    /// As `MCPTAP_REDACT_ENV` has them.
    pub redact_env: Vec<String>,
}

/// A setting of capture that cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// `MCPTAP_CAPTURE` is none of the three.
    #[error("MCPTAP_CAPTURE is {0:?}; give full, metadata or off")]
    Mode(String),
    /// `MCPTAP_BODY_CAP` is no number of bytes.
    #[error("MCPTAP_BODY_CAP is {0:?}; give a number of bytes, or one with a unit such as 1MiB")]
    BodyCap(String),
    /// A list of tools holds something that is neither a name nor the beginning of one.
    #[error(
        "{variable} holds {entry:?}; give names of tools, or beginnings of names with * at the end, such as get_*"
    )]
    Tool {
        /// The variable.
        variable: &'static str,
        /// What stands in it.
        entry: String,
    },
    /// A variable is no text.
    #[error("{0} is not valid UTF-8; give plain text")]
    NotText(String),
    /// A rule of redaction is wrong.
    #[error(
        "a rule of redaction (MCPTAP_REDACT_KEYS, MCPTAP_REDACT_PATTERNS, MCPTAP_REDACT_ENV) is wrong: {0}"
    )]
    Redaction(String),
}

impl From<BadRule> for CaptureError {
    fn from(wrong: BadRule) -> Self {
        Self::Redaction(wrong.to_string())
    }
}

impl fmt::Debug for Capture {
    /// Without the values that are to be cut out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Capture")
            .field("mode", &self.mode)
            .field("allow", &self.allow)
            .field("deny", &self.deny)
            .field("body_cap", &self.body_cap)
            .finish_non_exhaustive()
    }
}

/// A variable of the environment.
fn variable(name: &str) -> Result<Option<String>, CaptureError> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(CaptureError::NotText(name.to_owned())),
    }
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            mode: Mode::Full,
            allow: Vec::new(),
            deny: Vec::new(),
            body_cap: DEFAULT_BODY_CAP,
            rules: Rules::default(),
            redactor: Redactor::default(),
        }
    }
}

impl Capture {
    /// Everything, with bodies.
    #[must_use]
    pub fn full() -> Self {
        Self::default()
    }

    /// Everything but bodies and console output.
    #[must_use]
    pub fn metadata() -> Self {
        Self::of(Mode::Metadata)
    }

    /// Nothing.
    #[must_use]
    pub fn off() -> Self {
        Self::of(Mode::Off)
    }

    /// So much, with the default of everything else.
    #[must_use]
    pub fn of(mode: Mode) -> Self {
        Self {
            mode,
            ..Self::default()
        }
    }

    /// Keeps only the bodies of these tools: exact names, or beginnings with `*` at the end. What is about no tool is not
    /// concerned.
    #[must_use]
    pub fn allow_tools(mut self, tools: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allow.extend(tools.into_iter().map(Into::into));
        self
    }

    /// Does not keep the bodies of these tools, even if [`allow_tools`](Self::allow_tools) names them; written as there.
    #[must_use]
    pub fn deny_tools(mut self, tools: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.deny.extend(tools.into_iter().map(Into::into));
        self
    }

    /// Keeps so many bytes of each body; its whole size is recorded in any case. 0 keeps none.
    #[must_use]
    pub fn body_cap(mut self, bytes: usize) -> Self {
        self.body_cap = bytes;
        self
    }

    /// Cuts out the values of keys that are called so, besides those that are known already.
    ///
    /// # Errors
    /// [`CaptureError::Redaction`]: a name has neither letters nor digits.
    pub fn redact_keys(
        mut self,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, CaptureError> {
        self.rules.keys.extend(keys.into_iter().map(Into::into));
        self.ruled()
    }

    /// Cuts out what these regular expressions match.
    ///
    /// # Errors
    /// [`CaptureError::Redaction`]: one cannot be read, or matches the empty text.
    pub fn redact_patterns(
        mut self,
        patterns: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, CaptureError> {
        self.rules.patterns.extend(patterns.into_iter().map(Into::into));
        self.ruled()
    }

    /// Cuts out this value wherever it appears; `name` says what it is in the error, which never has the value.
    ///
    /// # Errors
    /// [`CaptureError::Redaction`]: it is shorter than 6 bytes.
    pub fn redact_value(
        mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Self, CaptureError> {
        self.rules.values.push((name.into(), value.into()));
        self.ruled()
    }

    fn ruled(mut self) -> Result<Self, CaptureError> {
        self.redactor = Redactor::new(&self.rules)?;
        Ok(self)
    }

    /// As the environment says:
    ///
    /// - `MCPTAP_CAPTURE`: `full` (the default), `metadata` or `off`
    /// - `MCPTAP_CAPTURE_TOOLS`, `MCPTAP_CAPTURE_DENY_TOOLS`: tools, separated by commas
    /// - `MCPTAP_BODY_CAP`: bytes, such as `1048576` or `1MiB`
    /// - `MCPTAP_REDACT_KEYS`: names of keys whose values are cut out, separated by commas
    /// - `MCPTAP_REDACT_PATTERNS`: regular expressions of what is cut out, a line each
    /// - `MCPTAP_REDACT_ENV`: variables whose values are cut out wherever they appear, separated by commas; one that is
    ///   not set has no value to cut
    ///
    /// Fails on the first that cannot be kept, and says what would be right.
    pub fn from_env() -> Result<Self, CaptureError> {
        Self::from_env_over(&CaptureDefaults::default())
    }

    /// As [`from_env`](Self::from_env), with other defaults. A variable that is empty counts as not set, so that it never
    /// switches off what a default cuts out.
    pub fn from_env_over(defaults: &CaptureDefaults) -> Result<Self, CaptureError> {
        Self::read(variable, defaults)
    }

    /// Everything that [`from_env`](Self::from_env) would fail on, a mistake of each variable.
    pub(crate) fn mistakes() -> Vec<CaptureError> {
        Self::mistakes_in(variable)
    }

    fn mistakes_in(variable: impl Fn(&str) -> Result<Option<String>, CaptureError>) -> Vec<CaptureError> {
        let alone = |name: &&str| {
            let others = |other: &str| VARIABLES.contains(&other) && other != *name;
            let only = |asked: &str| if others(asked) { Ok(None) } else { variable(asked) };
            Self::read(only, &CaptureDefaults::default()).err()
        };
        VARIABLES.iter().filter_map(alone).collect()
    }

    fn read(
        variable: impl Fn(&str) -> Result<Option<String>, CaptureError>,
        defaults: &CaptureDefaults,
    ) -> Result<Self, CaptureError> {
        let list = |name: &str, separator: char| -> Result<Vec<String>, CaptureError> {
            let given = variable(name)?.unwrap_or_default();
            let entries = given
                .split(separator)
                .map(str::trim)
                .filter(|entry| !entry.is_empty());
            Ok(entries.map(str::to_owned).collect())
        };
        let list_over = |name: &str, separator: char, default: &[String]| {
            let entries = list(name, separator)?;
            let default = default.iter().map(|entry| entry.trim().to_owned());
            Ok::<_, CaptureError>(match entries.is_empty() {
                true => default.filter(|entry| !entry.is_empty()).collect(),
                false => entries,
            })
        };
        let tools = |name: &'static str| -> Result<Vec<String>, CaptureError> {
            let entries = list(name, ',')?;
            // A star elsewhere would be taken for part of a name, and bodies be kept that were not to be.
            match entries
                .iter()
                .find(|entry| entry.trim_end_matches('*').contains('*') || entry.ends_with("**"))
            {
                Some(entry) => Err(CaptureError::Tool {
                    variable: name,
                    entry: entry.clone(),
                }),
                None => Ok(entries),
            }
        };
        let mode = variable("MCPTAP_CAPTURE")?.unwrap_or_default();
        let body_cap = variable("MCPTAP_BODY_CAP")?.unwrap_or_default();
        let mut values = Vec::new();
        for name in list_over("MCPTAP_REDACT_ENV", ',', &defaults.redact_env)? {
            if let Some(value) = variable(&name)?.filter(|value| !value.is_empty()) {
                values.push((name, value));
            }
        }
        let rules = Rules {
            keys: list_over("MCPTAP_REDACT_KEYS", ',', &defaults.redact_keys)?,
            patterns: list_over("MCPTAP_REDACT_PATTERNS", '\n', &defaults.redact_patterns)?,
            values,
        };
        Ok(Self {
            mode: match mode.trim().to_ascii_lowercase().as_str() {
                "" | "full" => Mode::Full,
                "metadata" => Mode::Metadata,
                "off" => Mode::Off,
                _ => return Err(CaptureError::Mode(mode)),
            },
            allow: tools("MCPTAP_CAPTURE_TOOLS")?,
            deny: tools("MCPTAP_CAPTURE_DENY_TOOLS")?,
            body_cap: match body_cap.trim() {
                "" => defaults.body_cap.unwrap_or(DEFAULT_BODY_CAP),
                number => bytes(number).ok_or_else(|| CaptureError::BodyCap(body_cap.clone()))?,
            },
            redactor: Redactor::new(&rules)?,
            rules,
        })
    }

    /// Whether anything is recorded at all.
    pub(crate) fn records(&self) -> bool {
        self.mode != Mode::Off
    }

    /// Whether log lines of this target are kept of which nobody knows what call they are about. rmcp's own hold whole
    /// messages, so that they are kept only where all bodies are.
    pub(crate) fn takes_lines(&self, target: &str) -> bool {
        let takes_all = self.allow.is_empty() && self.deny.is_empty() && self.body_cap >= DEFAULT_BODY_CAP;
        let is_rmcp = target == "rmcp" || target.starts_with("rmcp::");
        self.mode == Mode::Full && (takes_all || !is_rmcp)
    }

    /// Whether the bodies of a request are kept: one about this tool, or about none.
    pub(crate) fn bodies_of(&self, tool: Option<&str>) -> bool {
        let named = |list: &[String], tool: &str| {
            list.iter().any(|entry| match entry.strip_suffix('*') {
                Some(beginning) => tool.starts_with(beginning),
                None => tool == entry,
            })
        };
        self.mode == Mode::Full
            && tool.is_none_or(|tool| {
                !named(&self.deny, tool) && (self.allow.is_empty() || named(&self.allow, tool))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Capture, CaptureError> {
        read_over(variables, &CaptureDefaults::default())
    }

    fn read_over(variables: &[(&str, &str)], defaults: &CaptureDefaults) -> Result<Capture, CaptureError> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            Ok(found.map(|(_, value)| (*value).to_owned()))
        };
        Capture::read(variable, defaults)
    }

    #[test]
    fn everything_is_captured_unless_said_otherwise() {
        for capture in [
            Capture::default(),
            read(&[]).unwrap(),
            read(&[("MCPTAP_CAPTURE", " Full ")]).unwrap(),
        ] {
            assert_eq!((capture.mode, capture.body_cap), (Mode::Full, 1_048_576));
            assert!(capture.records() && capture.bodies_of(None) && capture.bodies_of(Some("any")));
        }
    }

    #[test]
    fn metadata_has_no_bodies_and_off_has_nothing() {
        let capture = |mode| read(&[("MCPTAP_CAPTURE", mode), ("MCPTAP_CAPTURE_TOOLS", "any")]).unwrap();
        let (metadata, off) = (capture("metadata"), capture("off"));
        assert!(!metadata.takes_lines("shop") && !off.takes_lines("shop"));
        assert!(metadata.records() && !metadata.bodies_of(None) && !metadata.bodies_of(Some("any")));
        assert!(!off.records() && !off.bodies_of(None) && !off.bodies_of(Some("any")));
    }

    #[test]
    fn deny_wins_over_allow() {
        let capture = read(&[
            ("MCPTAP_CAPTURE_TOOLS", "get_*, list,"),
            ("MCPTAP_CAPTURE_DENY_TOOLS", "get_secret*"),
        ])
        .unwrap();
        for (tool, kept) in [
            ("get_order", true),
            ("get_", true),
            ("list", true),
            ("listing", false),
            ("get_secret", false),
            ("get_secrets", false),
            ("put", false),
        ] {
            assert_eq!(capture.bodies_of(Some(tool)), kept, "{tool}");
        }
        assert!(capture.bodies_of(None), "what is about no tool is not concerned");
        assert!(capture.takes_lines("shop") && !capture.takes_lines("rmcp::service"));
        assert!(Capture::full().takes_lines("rmcp") && !Capture::full().body_cap(9).takes_lines("rmcp"));
        let denied = read(&[("MCPTAP_CAPTURE_DENY_TOOLS", "*")]).unwrap();
        assert!(!denied.bodies_of(Some("any")) && denied.bodies_of(None));
    }

    #[test]
    fn redaction_is_the_operators_too() {
        let capture = read(&[
            ("MCPTAP_REDACT_KEYS", "ssn, dob"),
            ("MCPTAP_REDACT_PATTERNS", "ACME-[0-9]{2,6}\n\nEMP[0-9]+\n"),
            ("MCPTAP_REDACT_ENV", "SONG,NOT_SET,EMPTY"),
            ("SONG", "sea shanty"),
            ("EMPTY", ""),
        ])
        .unwrap();
        assert_eq!(
            capture
                .redactor
                .redact("dob=1 ACME-123 EMP7 sea shanty password=x"),
            "dob=[redacted] [redacted] [redacted] [redacted] password=[redacted]"
        );
    }

    #[test]
    fn variables_win_over_defaults_one_by_one_and_empty_ones_do_not() {
        let defaults = CaptureDefaults {
            body_cap: Some(7),
            redact_keys: vec![" ssn".to_owned(), String::new()],
            redact_patterns: vec!["ACME-[0-9]{2,6}".to_owned()],
            redact_env: vec!["SONG".to_owned()],
        };
        let song = ("SONG", "sea shanty");
        let cut = |variables: &[(&str, &str)]| {
            let capture = read_over(&[variables, &[song]].concat(), &defaults).unwrap();
            let text = capture.redactor.redact("ssn=1 dob=2 ACME-123 sea shanty");
            (capture.body_cap, text.into_owned())
        };
        let by_default = (7, "ssn=[redacted] dob=2 [redacted] [redacted]".to_owned());
        assert_eq!(cut(&[]), by_default);
        let empty = [
            ("MCPTAP_REDACT_KEYS", ""),
            ("MCPTAP_REDACT_PATTERNS", "\n"),
            ("MCPTAP_REDACT_ENV", ","),
            ("MCPTAP_BODY_CAP", " "),
        ];
        assert_eq!(cut(&empty), by_default);
        assert_eq!(
            cut(&[("MCPTAP_REDACT_KEYS", "dob"), ("MCPTAP_BODY_CAP", "2KiB")]),
            (2048, "ssn=1 dob=[redacted] [redacted] [redacted]".to_owned())
        );
        let wrong = CaptureDefaults {
            redact_patterns: vec!["ab(c".to_owned()],
            ..CaptureDefaults::default()
        };
        assert!(read_over(&[], &wrong).is_err());
    }

    #[test]
    fn all_mistakes_are_found() {
        let variables = [
            ("MCPTAP_CAPTURE", "ful"),
            ("MCPTAP_CAPTURE_TOOLS", "a*b"),
            ("MCPTAP_BODY_CAP", "many"),
            ("MCPTAP_REDACT_PATTERNS", "("),
            ("MCPTAP_REDACT_ENV", "PIN"),
            ("PIN", "1234"),
        ];
        let mistakes = Capture::mistakes_in(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            Ok(found.map(|(_, value)| (*value).to_owned()))
        });
        assert_eq!(mistakes.len(), 5, "{mistakes:?}");
    }

    #[test]
    fn mistakes_say_what_is_right() {
        for (variable, value, told) in [
            ("MCPTAP_CAPTURE", "bodies", "full, metadata or off"),
            ("MCPTAP_BODY_CAP", "1.5M", "1MiB"),
            ("MCPTAP_CAPTURE_TOOLS", "*_order", "get_*"),
            ("MCPTAP_CAPTURE_DENY_TOOLS", "a*b", "get_*"),
            ("MCPTAP_REDACT_PATTERNS", "ab(c", "unclosed group"),
            ("MCPTAP_REDACT_KEYS", "-", "ssn"),
        ] {
            let error = read(&[(variable, value)]).unwrap_err().to_string();
            assert!(
                error.contains(variable) && error.contains(value) && error.contains(told),
                "{error}"
            );
        }
        let short = read(&[("MCPTAP_REDACT_ENV", "PIN"), ("PIN", "1234")])
            .unwrap_err()
            .to_string();
        assert!(
            short.contains("PIN") && short.contains("at least 6") && !short.contains("1234"),
            "{short}"
        );
        assert_eq!(read(&[("MCPTAP_BODY_CAP", "0")]).unwrap().body_cap, 0);
    }
}
