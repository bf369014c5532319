//! What an import may do, and what it counts besides the outcomes of its records.

/// What an import may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// What becomes of access tokens that are stored already, and whether anything is created.
    pub existing: Existing,
    /// Accounts receivable and rewards participants that a record refers to and that do not exist.
    pub owners: Unknown,
    /// Classifications that a record refers to and that do not exist.
    pub classifications: Unknown,
}

/// What becomes of an object that a record refers to and that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unknown {
    /// It is created from what the record says of it.
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

/// Counts of what an import did besides the outcomes of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Accounts receivable that were created because a record of another kind refers to them.
    pub accounts_receivable: u64,
    /// Rewards participants that were created because a record of another kind refers to them.
    pub rewards_participants: u64,
    /// Classifications that were created because a record of another kind refers to them.
    pub classifications: u64,
    /// Access tokens whose authentication code or identifier breaks a rule of their policy. They are imported as they are.
    pub outside_policy: u64,
    /// Hashes of pass codes and passwords that are cheaper to guess against than those that are made here. Each is replaced at the
    /// next use of its secret.
    pub weak_hashes: u64,
    /// Records whose pass code or password, or a hash of one, was written.
    pub secrets: u64,
    /// Records of access tokens that were kept, and whose pass code or hash was not written for this reason.
    pub kept_secrets: u64,
    /// Members of saved answers about owners that are not kept here.
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

/// What an import does with access tokens that are stored already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// A token that was changed after the `updated_date` of the record stays as it is, and so does every token of which the
    /// record has no such date.
    #[default]
    KeepNewer,
    /// The record is written, whatever was changed since.
    Overwrite,
    /// As [`Self::Overwrite`], and nothing is created: neither what a record is about nor what it refers to.
    UpdateOnly,
}
