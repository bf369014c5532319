//! Options of an import, and its counts besides the outcomes of records.

/// Options of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Handling of access tokens that are already stored, and whether the import creates objects.
    pub existing: Existing,
    /// Handling of accounts receivable and rewards participants that a record refers to and that do not exist.
    pub owners: Unknown,
    /// Handling of classifications that a record refers to and that do not exist.
    pub classifications: Unknown,
}

/// The handling of an object that a record refers to and that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unknown {
    /// The object is created from the members in the record.
    #[default]
    Create,
    /// The record is refused.
    Refuse,
}

impl From<Existing> for Options {
    fn from(existing: Existing) -> Self {
        Self { existing, ..Self::default() }
    }
}

/// Counts of an import besides the outcomes of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Number of accounts receivable that were created because a record of another kind refers to them.
    pub accounts_receivable: u64,
    /// Number of rewards participants that were created because a record of another kind refers to them.
    pub rewards_participants: u64,
    /// Number of classifications that were created because a record of another kind refers to them.
    pub classifications: u64,
    /// Number of access tokens whose authentication code or identifier breaks a rule of their policy. They are imported
    /// as they are.
    pub outside_policy: u64,
    /// Number of hashes of pass codes and passwords that are cheaper to guess against than those that this service
    /// makes. Each is replaced at the next use of its secret.
    pub weak_hashes: u64,
    /// Number of records whose pass code or password, or a hash of one, was written.
    pub secrets: u64,
    /// Number of records with the outcome [`Kept`](super::Outcome::Kept) whose pass code or hash was therefore not
    /// written.
    pub kept_secrets: u64,
    /// Number of members of saved answers about owners that this service does not store.
    pub ignored_members: u64,
}

impl Tally {
    /// Adds other counts.
    pub(crate) fn add(&mut self, other: Self) {
        self.accounts_receivable += other.accounts_receivable;
        self.rewards_participants += other.rewards_participants;
        self.classifications += other.classifications;
        self.outside_policy += other.outside_policy;
        self.weak_hashes += other.weak_hashes;
        self.secrets += other.secrets;
        self.kept_secrets += other.kept_secrets;
        self.ignored_members += other.ignored_members;
    }
}

/// The handling of access tokens that are already stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// A token that was changed after the `updated_date` of the record stays as it is. So does every token whose record
    /// has no such date.
    #[default]
    KeepNewer,
    /// The record is written, even if the token was changed after the export.
    Overwrite,
    /// The record is written as with [`Self::Overwrite`], but nothing is created, neither the object of a record nor an
    /// object that it refers to.
    UpdateOnly,
}
