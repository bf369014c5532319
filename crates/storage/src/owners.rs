//! Owners, joined to tokens or alone. Where several tokens of an answer have the same owner they share it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use access_tokens_domain::identifier::{AccountsReceivableIdentifier, RewardsParticipantIdentifier};
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{Account, Load, Owners, Participant, StoreResult};
use sea_orm::ConnectionTrait;

use crate::cells::{Cells, columns};
use crate::convert;
use crate::entities::{accounts_receivable, contact_information, rewards_participant};
use crate::reference;
use crate::sql::{Sql, cannot_exist};
use crate::tokens::Versioned;

// Aliases in the statements below: `t` the token, `a` its account and `c` that one's contact information,
// `p` its participant, `b` the participant's account where it is not `a`, and `d` that one's contact information.
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

/// The columns of the owners that are asked for, after those of the token.
pub(crate) fn select(load: Load) -> String {
    let account = if load.accounts_receivable { [", ", &ACCOUNT] } else { [""; 2] };
    let participant = if load.rewards_participant { [", ", &PARTICIPANT] } else { [""; 2] };
    [account, participant].concat().concat()
}

/// Appends the joins of the owners that are asked for.
pub(crate) fn join(sql: &mut Sql, load: Load) {
    if load.accounts_receivable {
        sql.push(
            " LEFT JOIN accounts_receivable a ON a.organisation_key = t.organisation_key AND a.id = t.accounts_receivable",
        );
        sql.push(ACCOUNT_OWNER);
    }
    if load.rewards_participant {
        sql.push(
            " LEFT JOIN rewards_participant p ON p.organisation_key = t.organisation_key AND p.id = t.rewards_participant",
        );
        sql.push(PARTICIPANTS_ACCOUNT);
        if load.accounts_receivable {
            // Nearly always the token's own account: not read twice.
            sql.push(" AND (t.accounts_receivable IS NULL OR t.accounts_receivable <> p.accounts_receivable)");
        }
        sql.push(PARTICIPANTS_ACCOUNT_OWNER);
    }
}

/// Reads the owners of rows, each once.
pub(crate) struct Reader {
    organisation: OrganisationKey,
    accounts: HashMap<String, Arc<Account>>,
    participants: HashMap<String, Arc<Participant>>,
}

impl Reader {
    /// A reader of rows of one organisation.
    pub(crate) fn new(organisation: OrganisationKey) -> Self {
        Self { organisation, accounts: HashMap::new(), participants: HashMap::new() }
    }

    /// The owners of a row, as far as they were asked for.
    pub(crate) fn owners(&mut self, cells: &mut Cells<'_>, load: Load) -> StoreResult<Owners> {
        let accounts_receivable = if load.accounts_receivable { self.account(cells)? } else { None };
        let rewards_participant = if load.rewards_participant { self.participant(cells)? } else { None };
        Ok(Owners { accounts_receivable, rewards_participant })
    }

    fn account(&mut self, cells: &mut Cells<'_>) -> StoreResult<Option<Arc<Account>>> {
        if let Some(known) = known(&self.accounts, cells)? {
            cells.skip::<accounts_receivable::Model>();
            cells.skip::<contact_information::Model>();
            return Ok(Some(known));
        }
        let Some(read) = read_account(cells, self.organisation)? else { return Ok(None) };
        let read = Arc::new(read);
        self.accounts.insert(read.record.id.clone(), Arc::clone(&read));
        Ok(Some(read))
    }

    fn participant(&mut self, cells: &mut Cells<'_>) -> StoreResult<Option<Arc<Participant>>> {
        if let Some(known) = known(&self.participants, cells)? {
            return Ok(Some(known));
        }
        let joined = cells.joined::<rewards_participant::Model>(self.organisation.0)?;
        let Some(record) = joined.map(convert::rewards_participant).transpose()? else { return Ok(None) };
        let accounts_receivable = match &record.accounts_receivable {
            // The token's own account was read just now, so it is known.
            Some(account) => match self.accounts.get(account) {
                Some(known) => Some(Arc::clone(known)),
                None => self.account(cells)?,
            },
            None => None,
        };
        let participant = Arc::new(Participant { record, accounts_receivable });
        self.participants.insert(participant.record.id.clone(), Arc::clone(&participant));
        Ok(Some(participant))
    }
}

/// The owner whose id comes next, if it was read before.
fn known<T>(read: &HashMap<String, Arc<T>>, cells: &Cells<'_>) -> StoreResult<Option<Arc<T>>> {
    // Nearly always there is one row, with nothing before it.
    if read.is_empty() {
        return Ok(None);
    }
    Ok(cells.peek::<Option<String>>()?.and_then(|id| read.get(&id).map(Arc::clone)))
}

fn read_account(cells: &mut Cells<'_>, organisation: OrganisationKey) -> StoreResult<Option<Account>> {
    let record = cells.joined::<accounts_receivable::Model>(organisation.0)?;
    let owner = cells.joined::<contact_information::Model>(organisation.0)?;
    let Some(record) = record else { return Ok(None) };
    let record = convert::accounts_receivable(record)?;
    Ok(Some(Account { record, account_owner: owner.map(convert::contact).transpose()? }))
}

/// Both, with the version of reference data: in any case, unless there is no such organisation.
pub(crate) async fn find_both<C: ConnectionTrait>(
    connection: &C,
    organisation: OrganisationKey,
    account: Option<&AccountsReceivableIdentifier>,
    participant: Option<&RewardsParticipantIdentifier>,
) -> StoreResult<Versioned<(Vec<Account>, Option<Participant>)>> {
    let mut sql = Sql::new("SELECT o.directory_version, ");
    sql.push(&ACCOUNT).push(", ").push(&PARTICIPANT).push(" FROM organisation o");
    sql.push(" LEFT JOIN accounts_receivable a ON a.organisation_key = o.key AND ");
    match account {
        Some(identifier) => is_account(&mut sql, identifier),
        None => _ = sql.push(NONE),
    }
    sql.push(ACCOUNT_OWNER).push(" LEFT JOIN rewards_participant p ON p.organisation_key = o.key AND ");
    match participant {
        Some(identifier) => is_participant(&mut sql, identifier),
        None => _ = sql.push(NONE),
    }
    sql.push(PARTICIPANTS_ACCOUNT).push(PARTICIPANTS_ACCOUNT_OWNER);
    sql.push(" WHERE o.key = ").bind(organisation.0);
    if let Some(identifier) = account {
        only_two(&mut sql, identifier);
    }
    let rows = sql.all(connection).await?;
    let mut version = None;
    let (mut accounts, mut found) = (Vec::new(), None);
    for row in &rows {
        let mut cells = Cells::of(row);
        version = Some(cells.take()?);
        accounts.extend(read_account(&mut cells, organisation)?);
        found = Reader::new(organisation).participant(&mut cells)?;
    }
    let version = version.ok_or_else(|| reference::unknown(organisation))?;
    Ok(Versioned { version, value: (accounts, found.map(Arc::unwrap_or_clone)) })
}

/// No row.
pub(crate) const NONE: &str = "1 = 0";

/// Appends what an account `a` is known by.
pub(crate) fn is_account(sql: &mut Sql, identifier: &AccountsReceivableIdentifier) {
    match identifier {
        AccountsReceivableIdentifier::Id(id) => sql.push("a.id = ").bind(existing(id)),
        AccountsReceivableIdentifier::Number(number) => sql.push("a.number = ").bind(existing(number)),
        AccountsReceivableIdentifier::Name(name) => {
            // Only the beginning is indexed.
            let beginning: String = existing(name).chars().take(100).collect();
            sql.push("substr(a.name, 1, 100) = ").bind(beginning);
            sql.push(" AND a.name = ").bind(existing(name))
        }
    };
}

/// A name may match several: two of them are enough to know.
pub(crate) fn only_two(sql: &mut Sql, identifier: &AccountsReceivableIdentifier) {
    if let AccountsReceivableIdentifier::Name(_) = identifier {
        sql.push(" ORDER BY a.id").limit(2);
    }
}

/// Appends what a participant `p` is known by.
pub(crate) fn is_participant(sql: &mut Sql, identifier: &RewardsParticipantIdentifier) {
    match identifier {
        RewardsParticipantIdentifier::Id(id) => sql.push("p.id = ").bind(existing(id)),
        RewardsParticipantIdentifier::Number(number) => sql.push("p.number = ").bind(existing(number)),
    };
}

/// What cannot exist is looked for as any other, under a name that nothing has.
pub(crate) fn existing(text: &str) -> &str {
    if cannot_exist(text) { "" } else { text }
}
