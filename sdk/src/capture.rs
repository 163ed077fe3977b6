//! What may be recorded.

/// What of the traffic may be recorded.
#[derive(Clone, Debug)]
pub struct Capture {
    /// How much of a body is kept, in bytes.
    pub body_cap: usize,
}

impl Default for Capture {
    fn default() -> Self {
        Self { body_cap: 1 << 20 }
    }
}

impl Capture {
    /// As the environment says.
    pub fn from_env() -> Result<Self, std::convert::Infallible> {
        Ok(Self::default())
    }

    /// Whether anything is recorded.
    pub fn records(&self) -> bool {
        true
    }

    /// Whether bodies of this tool are recorded.
    pub fn bodies_of(&self, _tool: Option<&str>) -> bool {
        true
    }
}
