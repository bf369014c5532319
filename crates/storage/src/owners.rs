//! Owners, joined to tokens or alone. Tokens of one result with the same owner share it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use access_tokens_domain::identifier::{AccountsReceivableIdentifier, RewardsParticipantIdentifier};
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{Account, OwnerJoins, Owners, Participant, StoreResult};

use crate::convert;
use crate::entities::{accounts_receivable, contact_information, rewards_participant};
use crate::reference::{self, Versioned};
use crate::sql::connection::Connection;
use crate::sql::label::Label;
use crate::sql::row_reader::{RowReader, columns};
use crate::sql::{Sql, cannot_exist};

// Aliases in the statements below: `t` the token, `a` its account and `c` the contact information of that account, `p`
// its participant, `b` the participant's account if it is not `a`, and `d` the contact information of that account.
static ACCOUNT: LazyLock<String> = LazyLock::new(|| {
    format!("{}, {}", columns::<accounts_receivable::Model>("a"), columns::<contact_information::Model>("c"))
});
static PARTICIPANT: LazyLock<String> = LazyLock::new(|| {
    let account = columns::<accounts_receivable::Model>("b");
    let contact = columns::<contact_information::Model>("d");
    format!("{}, {account}, {contact}", columns::<rewards_participant::Model>("p"))
});
const ACCOUNT_OWNER: &str =
    " LEFT JOIN contact_information c ON c.organisation_key = a.organisation_key AND c.id = a.account_owner";
const PARTICIPANTS_ACCOUNT: &str =
    " LEFT JOIN accounts_receivable b ON b.organisation_key = p.organisation_key AND b.id = p.accounts_receivable";
const PARTICIPANTS_ACCOUNT_OWNER: &str =
    " LEFT JOIN contact_information d ON d.organisation_key = b.organisation_key AND d.id = b.account_owner";

/// Returns the columns of the requested owners. They follow the columns of the token.
pub(crate) fn select(joins: OwnerJoins) -> String {
    let account = if joins.accounts_receivable { [", ", &ACCOUNT] } else { [""; 2] };
    let participant = if joins.rewards_participant { [", ", &PARTICIPANT] } else { [""; 2] };
    [account, participant].concat().concat()
}

/// Appends the joins of the requested owners.
pub(crate) fn join(sql: &mut Sql, joins: OwnerJoins) {
    if joins.accounts_receivable {
        sql.push(
            " LEFT JOIN accounts_receivable a ON a.organisation_key = t.organisation_key AND a.id = t.accounts_receivable",
        );
        sql.push(ACCOUNT_OWNER);
    }
    if joins.rewards_participant {
        sql.push(
            " LEFT JOIN rewards_participant p ON p.organisation_key = t.organisation_key AND p.id = t.rewards_participant",
        );
        sql.push(PARTICIPANTS_ACCOUNT);
        if joins.accounts_receivable {
            // Nearly always this is the token's own account: it is not read twice.
            sql.push(" AND (t.accounts_receivable IS NULL OR t.accounts_receivable <> p.accounts_receivable)");
        }
        sql.push(PARTICIPANTS_ACCOUNT_OWNER);
    }
}

/// Reads the owners of rows, each owner once.
pub(crate) struct Reader {
    organisation: OrganisationKey,
    accounts: HashMap<String, Arc<Account>>,
    participants: HashMap<String, Arc<Participant>>,
}

impl Reader {
    /// Creates a reader for rows of one organisation.
    pub(crate) fn new(organisation: OrganisationKey) -> Self {
        Self { organisation, accounts: HashMap::new(), participants: HashMap::new() }
    }

    /// Reads the requested owners of a row.
    pub(crate) fn owners(&mut self, row_reader: &mut RowReader<'_>, joins: OwnerJoins) -> StoreResult<Owners> {
        let accounts_receivable = if joins.accounts_receivable { self.account(row_reader)? } else { None };
        let rewards_participant = if joins.rewards_participant { self.participant(row_reader)? } else { None };
        Ok(Owners { accounts_receivable, rewards_participant })
    }

    fn account(&mut self, row_reader: &mut RowReader<'_>) -> StoreResult<Option<Arc<Account>>> {
        if let Some(known) = known(&self.accounts, row_reader)? {
            row_reader.skip::<accounts_receivable::Model>();
            row_reader.skip::<contact_information::Model>();
            return Ok(Some(known));
        }
        let Some(read) = read_account(row_reader, self.organisation)? else { return Ok(None) };
        let read = Arc::new(read);
        self.accounts.insert(read.record.id.clone(), Arc::clone(&read));
        Ok(Some(read))
    }

    fn participant(&mut self, row_reader: &mut RowReader<'_>) -> StoreResult<Option<Arc<Participant>>> {
        if let Some(known) = known(&self.participants, row_reader)? {
            return Ok(Some(known));
        }
        let joined = row_reader.read_joined::<rewards_participant::Model>(self.organisation.0)?;
        let Some(record) = joined.map(convert::rewards_participant).transpose()? else { return Ok(None) };
        let accounts_receivable = match &record.accounts_receivable {
            // The token's own account was read just before, so it is known.
            Some(account) => match self.accounts.get(account) {
                Some(known) => Some(Arc::clone(known)),
                None => self.account(row_reader)?,
            },
            None => None,
        };
        let participant = Arc::new(Participant { record, accounts_receivable });
        self.participants.insert(participant.record.id.clone(), Arc::clone(&participant));
        Ok(Some(participant))
    }
}

/// Returns the owner whose id is the next column, if it was read before.
fn known<T>(read: &HashMap<String, Arc<T>>, row_reader: &RowReader<'_>) -> StoreResult<Option<Arc<T>>> {
    // Nearly always the result has one row, with no owner read before it.
    if read.is_empty() {
        return Ok(None);
    }
    Ok(row_reader.peek::<Option<String>>()?.and_then(|id| read.get(&id).map(Arc::clone)))
}

fn read_account(row_reader: &mut RowReader<'_>, organisation: OrganisationKey) -> StoreResult<Option<Account>> {
    let record = row_reader.read_joined::<accounts_receivable::Model>(organisation.0)?;
    let owner = row_reader.read_joined::<contact_information::Model>(organisation.0)?;
    let Some(record) = record else { return Ok(None) };
    let record = convert::accounts_receivable(record)?;
    Ok(Some(Account { record, account_owner: owner.map(convert::contact).transpose()? }))
}

/// Returns the statement for an account `a` and a participant `p`, each by a condition, with the version of the
/// reference data. It returns a row in any case, unless the organisation does not exist.
pub(crate) fn both(place: &str, among: &str, account: &str, participant: &str) -> String {
    format!(
        "SELECT o.directory_version, {}, {}{place} FROM organisation o{among} \
         LEFT JOIN accounts_receivable a ON a.organisation_key = o.key AND {account}{ACCOUNT_OWNER} \
         LEFT JOIN rewards_participant p ON p.organisation_key = o.key AND {participant}{PARTICIPANTS_ACCOUNT} \
         AND (a.id IS NULL OR a.id <> p.accounts_receivable){PARTICIPANTS_ACCOUNT_OWNER} WHERE o.key = $1",
        *ACCOUNT, *PARTICIPANT
    )
}

/// Columns that are keys of accounts and of participants.
pub(crate) const KEYS: [&str; 2] = ["id", "number"];

/// Returns the place in [`KEYS`] and the value of the key of a participant. No owner has an empty id.
pub(crate) fn participant_key(participant: Option<&RewardsParticipantIdentifier>) -> (usize, &str) {
    match participant {
        Some(RewardsParticipantIdentifier::Id(id)) => (0, matchable(id)),
        Some(RewardsParticipantIdentifier::Number(number)) => (1, matchable(number)),
        None => (0, ""),
    }
}

/// Finds the accounts with a name, at most two, and a participant. Two accounts are enough to know that the name is
/// ambiguous.
pub(crate) async fn find_named<C: Connection>(
    connection: &C,
    organisation: OrganisationKey,
    name: &str,
    participant: Option<&RewardsParticipantIdentifier>,
) -> StoreResult<Versioned<(Vec<Arc<Account>>, Option<Arc<Participant>>)>> {
    let (column, key) = participant_key(participant);
    let column = KEYS[column];
    // Only the beginning of a name is indexed.
    let account = "substr(a.name, 1, 100) = substr($2, 1, 100) AND a.name = $2";
    let text = both("", "", account, &format!("p.{column} = $3")) + " ORDER BY a.id LIMIT 2";
    let values = vec![organisation.0.into(), matchable(name).into(), key.into()];
    let rows = Sql::fixed(LABEL, &text, values).all(connection).await?;
    let (mut version, mut accounts, mut found) = (None, Vec::new(), None);
    let mut reader = Reader::new(organisation);
    for row in &rows {
        let mut row_reader = RowReader::new(row);
        version = Some(row_reader.read()?);
        let owners = reader.owners(&mut row_reader, OwnerJoins::ALL)?;
        accounts.extend(owners.accounts_receivable);
        found = owners.rewards_participant;
    }
    let version = version.ok_or_else(|| reference::unknown_organisation(organisation))?;
    Ok(Versioned { version, value: (accounts, found) })
}

/// Label of the statements of [`both`].
pub(crate) const LABEL: Label =
    Label::select(&["organisation", "accounts_receivable", "contact_information", "rewards_participant"]);

/// Condition that matches no row.
pub(crate) const NONE: &str = "1 = 0";

/// Appends the condition on the identifier of an account `a`.
pub(crate) fn is_account(sql: &mut Sql, identifier: &AccountsReceivableIdentifier) {
    match identifier {
        AccountsReceivableIdentifier::Id(id) => sql.push("a.id = ").bind(matchable(id)),
        AccountsReceivableIdentifier::Number(number) => sql.push("a.number = ").bind(matchable(number)),
        AccountsReceivableIdentifier::Name(name) => {
            // Only the beginning of a name is indexed.
            let beginning: String = matchable(name).chars().take(100).collect();
            sql.push("substr(a.name, 1, 100) = ").bind(beginning);
            sql.push(" AND a.name = ").bind(matchable(name))
        }
    };
}

/// Appends a limit of two rows for a name, which is enough to know that it is ambiguous.
pub(crate) fn only_two(sql: &mut Sql, identifier: &AccountsReceivableIdentifier) {
    if let AccountsReceivableIdentifier::Name(_) = identifier {
        sql.push(" ORDER BY a.id").limit(2);
    }
}

/// Appends the condition on the identifier of a participant `p`.
pub(crate) fn is_participant(sql: &mut Sql, identifier: &RewardsParticipantIdentifier) {
    match identifier {
        RewardsParticipantIdentifier::Id(id) => sql.push("p.id = ").bind(matchable(id)),
        RewardsParticipantIdentifier::Number(number) => sql.push("p.number = ").bind(matchable(number)),
    };
}

/// Returns the text, or an empty text, which matches no row, for a text that cannot be stored. Such a lookup runs like
/// any other.
pub(crate) fn matchable(text: &str) -> &str {
    if cannot_exist(text) { "" } else { text }
}
