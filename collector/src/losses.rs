//! The parts of an export that cannot be read. They are left out, so that they cost nothing beside them, and told to the
//! sender.

/// How long an example may be, in characters.
const EXAMPLE: usize = 200;

/// How many parts were left out, with an example of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Values, such as attributes. Their records are kept without them.
    pub(crate) values: Lost,
    /// Spans, log records, and groups of them.
    pub(crate) records: Lost,
}

/// One kind of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) count: u64,
    pub(crate) example: Option<String>,
}

impl Lost {
    /// Counts one. The text is made only for the first.
    pub(crate) fn add(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        self.example
            .get_or_insert_with(|| text().chars().take(EXAMPLE).collect());
    }

    /// Says where the example is, if it was found since there were so many.
    pub(crate) fn locate(&mut self, before: u64, place: impl FnOnce() -> String) {
        if let Some(example) = &mut self.example
            && before == 0
        {
            *example = format!("{}: {example}", place());
        }
    }

    /// Adds others.
    pub(crate) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.example = self.example.take().or(other.example);
    }
}
