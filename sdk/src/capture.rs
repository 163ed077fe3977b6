//! What is recorded of requests: everything, all but bodies, or nothing; which tools' bodies; and how much of them.

mod hooks;
mod methods;

use std::fmt;

pub use hooks::CallParts;
pub(crate) use hooks::Hooks;
use mcptap_model::bytes;
use mcptap_model::redact::{BadRule, Redactor, Rules};
pub(crate) use methods::{Methods, Sampling};

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
    /// Whether bodies of tools are also under the names that the conventions have for them.
    pub(crate) names_gen_ai: bool,
    /// What the application does with it besides.
    pub(crate) hooks: Hooks,
    /// Which methods are not recorded, or not always.
    pub(crate) methods: Methods,
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
            .field("methods", &self.methods)
            .field("hooks", &self.hooks)
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
            names_gen_ai: true,
            hooks: Hooks::default(),
            methods: Methods::default(),
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

    /// Whether the arguments and the result of a tool call are also under the names that the conventions have for them,
    /// `gen_ai.tool.call.arguments` and `gen_ai.tool.call.result`, which other backends show. They are unless told otherwise; mcptap
    /// stores them once in any case. Both are redacted and cut as the bodies are; arguments are absent where the request was cut.
    #[must_use]
    pub fn gen_ai_names(mut self, are_used: bool) -> Self {
        self.names_gen_ai = are_used;
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
            names_gen_ai: true,
            hooks: Hooks::default(),
            methods: Methods::default(),
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
        self.mode == Mode::Full
            && tool.is_none_or(|tool| {
                !is_named(&self.deny, tool) && (self.allow.is_empty() || is_named(&self.allow, tool))
            })
    }
}

/// Whether a list of names, and of beginnings with `*` at the end, has this one.
fn is_named(list: &[String], name: &str) -> bool {
    list.iter().any(|entry| match entry.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == entry,
    })
}

#[cfg(test)]
#[path = "capture_tests.rs"]
mod tests;
