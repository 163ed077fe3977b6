//! Members of objects that are secrets because of what another member says: the data of a secret of Kubernetes, the
//! private members of a key in JSON (JWK), the value of what is marked as sensitive.

use super::pairs;

/// A string that is a secret if the object around it is of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// In `data` or `stringData`.
    Data,
    /// A member that private keys have.
    Key,
    /// The member that names the kind of an object.
    Kind,
    /// A value, or one that a schema gives.
    Value,
    /// The member that says that the value is a secret.
    Mark,
    /// The member that says of what format the value is.
    Format,
}

impl Held {
    /// Of the member of this name.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "data" | "stringData" => Some(Self::Data),
            "d" | "p" | "q" | "dp" | "dq" | "qi" | "k" => Some(Self::Key),
            "kind" => Some(Self::Kind),
            "format" => Some(Self::Format),
            name if pairs::is_value(name) || pairs::is_sample(name) => Some(Self::Value),
            name if pairs::is_mark(name) => Some(Self::Mark),
            _ => None,
        }
    }

    /// Whether a string in such a member may turn out to be a secret.
    pub(super) fn may_hold(self) -> bool {
        matches!(self, Self::Data | Self::Key | Self::Value)
    }
}

/// How much an object says of what its strings are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Holds {
    /// How many strings were held when it began.
    pub(super) from: usize,
    /// Whether it is the value of `data` or `stringData`.
    is_data: bool,
    /// Whether it is a secret of Kubernetes.
    is_manifest: bool,
    /// Whether it is a key.
    is_key: bool,
    /// Whether its value is said to be a secret.
    is_marked: bool,
}

impl Holds {
    /// An object that begins under such a member when so many strings are held.
    pub(super) fn begin(from: usize, member: Option<Held>) -> Self {
        Self {
            from,
            is_data: member == Some(Held::Data),
            ..Self::default()
        }
    }

    /// It has a member of this name.
    pub(super) fn member(&mut self, name: &str) {
        self.is_key |= name == "kty";
    }

    /// Such a member is this text.
    pub(super) fn value(&mut self, member: Option<Held>, text: &str) {
        self.is_manifest |= member == Some(Held::Kind) && text == "Secret";
        self.is_marked |= member == Some(Held::Format) && text == "password";
    }

    /// Such a member is true.
    pub(super) fn holds_true(&mut self, member: Option<Held>) {
        self.is_marked |= member == Some(Held::Mark);
    }

    /// Whether its strings are the data of what is around it.
    pub(super) fn is_data(self) -> bool {
        self.is_data
    }

    /// Whether such strings in it are secrets.
    pub(super) fn has(self, held: Held) -> bool {
        match held {
            Held::Data => self.is_manifest,
            Held::Key => self.is_key,
            Held::Value => self.is_marked,
            Held::Kind | Held::Mark | Held::Format => false,
        }
    }
}
