//! What the commands share: keys, database, and writing through the import.

use std::sync::Arc;

use access_tokens_domain::directory::Organisation;
use access_tokens_domain::import::{Existing, Outcome, Record, from_value};
use access_tokens_domain::ports::{Clock, Random, Secrets};
use access_tokens_domain::service::import::{Importer, Run};
use access_tokens_domain::session::{Caller, OrganisationKey, Permissions};
use access_tokens_domain::store::{AccountStore, KeyStore, OrganisationRef};
use access_tokens_domain::{code, password};
use access_tokens_storage::{Database, DatabaseOptions, connect_read_only, has_tables};
use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};

use super::organisation;
use crate::config::Settings;
use crate::crypto::{KeyRing, KeyRingError, KeyedSecrets, SystemClock, SystemRandom};
use crate::databases;

/// The ports, for commands that write to the database.
pub(super) struct Context {
    pub(super) database: Arc<Database>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) secrets: Arc<dyn Secrets>,
    pub(super) importer: Importer<Database>,
}

/// The key ring: from the variable, else from the file. On SQLite a missing file is made, unless the database holds what
/// other keys protect.
pub(super) async fn keys(settings: &Settings) -> anyhow::Result<KeyRing> {
    let (ring, file) = (settings.keys.ring.expose(), &settings.keys.file);
    if !ring.is_empty() {
        return KeyRing::parse(ring).context("keys.ring");
    }
    match KeyRing::read(file) {
        Err(KeyRingError::Missing { .. }) => refuse_new_keys(settings).await?,
        other => return Ok(other?),
    }
    if !settings.database.is_sqlite() {
        return Ok(KeyRing::read(file)?);
    }
    let (ring, created) = KeyRing::read_or_create(file, &SystemRandom)?;
    if created {
        tracing::info!(file = %file.display(), "made a key file: keep a copy, apart from the database's");
    }
    Ok(ring)
}

/// Refuses to do without the keys of a database: everything that is in it, protected by a key, would be lost. A database
/// that is not there, or does not answer, holds nothing as far as can be told.
pub(super) async fn refuse_new_keys(settings: &Settings) -> anyhow::Result<()> {
    let file = settings.keys.file.display();
    let database = match look(settings).await {
        Ok(Some(database)) => database,
        Ok(None) => return Ok(()),
        Err(error) if settings.database.is_sqlite() => {
            return Err(error.context(format!("{file} does not exist, and what needs its keys cannot be read")));
        }
        Err(_) => return Ok(()),
    };
    let needed = needed_keys(&database).await;
    database.close().await;
    match needed? {
        Some(needed) => bail!(
            "{file} does not exist, and the database holds what other keys protect: {needed}. Bring the file back from its \
             copy (keys.file). Only where it is lost for ever: `access-tokens keys init --accept-missing-keys`"
        ),
        None => Ok(()),
    }
}

/// What a database holds that keys protect, with the ids of the keys. `None`: nothing.
pub(super) async fn needed_keys(database: &Database) -> anyhow::Result<Option<String>> {
    if database.schema().await.map_err(domain)?.applied == 0 {
        return Ok(None);
    }
    let uses = database.key_use(SystemClock.now()).await.map_err(domain)?;
    Ok(super::keys::in_words_by_key(&uses))
}

/// The database, to look at it with few connections. `None`: there is none yet.
async fn look(settings: &Settings) -> anyhow::Result<Option<Database>> {
    if let Some(file) = settings.database.sqlite_file()
        && std::fs::metadata(file).map_or(0, |file| file.len()) == 0
    {
        // Not one whose data is in a log.
        has_tables(file)?;
        return Ok(None);
    }
    let options = DatabaseOptions { postgres_connections: 2, sqlite_readers: 1, ..settings.database.options() };
    Ok(Some(connect_read_only(&options).await?))
}

/// Refuses to begin an empty SQLite database beside keys that a database was opened with: what it held is elsewhere, such as
/// in another file, or in a log that was not copied.
pub(super) fn refuse_empty_database(settings: &Settings, new_database: bool) -> anyhow::Result<()> {
    let Some(file) = settings.database.sqlite_file().filter(|_| !new_database) else { return Ok(()) };
    let keys = &settings.keys.file;
    if !settings.keys.ring.expose().is_empty() || !KeyRing::is_marked_used(keys) || has_tables(file)? {
        return Ok(());
    }
    bail!(
        "{} is empty or missing, and a database was opened with the keys in {}: look at database.url, or \
         `access-tokens restore` a backup. To begin a new database with these keys: `access-tokens migrate --new-database`",
        file.display(),
        keys.display()
    )
}

/// Notes in the key file that a SQLite database was opened with it. Where the file cannot be written, such as on a mount
/// that is read-only, an empty database is not noticed at a later start.
pub(super) fn mark_keys_used(settings: &Settings) {
    let file = &settings.keys.file;
    if !settings.database.is_sqlite() || !settings.keys.ring.expose().is_empty() || KeyRing::is_marked_used(file) {
        return;
    }
    match KeyRing::mark_used(file, &SystemRandom) {
        Ok(_) | Err(KeyRingError::Missing { .. }) => {}
        Err(error) => tracing::debug!(%error, "the key file does not say that a database was opened with it"),
    }
}

/// A database whose schema is current: brought up to date on SQLite, checked on PostgreSQL.
pub(super) async fn database(settings: &Settings) -> anyhow::Result<Arc<Database>> {
    refuse_empty_database(settings, false)?;
    let migrated = async |database: &Database| {
        if database.is_sqlite() {
            database.migrate().await?;
        }
        database.check_rights().await?;
        require_current(database).await?;
        if !database.is_sqlite() {
            database.check_schema().await?;
        }
        anyhow::Ok(())
    };
    let database = databases::open(&settings.database.options(), migrated).await?;
    mark_keys_used(settings);
    Ok(database)
}

/// Refuses a database that has to be migrated first.
pub(super) async fn require_current(database: &Database) -> anyhow::Result<()> {
    if !database.pending_migrations().await?.is_empty() {
        bail!("the schema of the database is not current: run `access-tokens migrate`");
    }
    Ok(())
}

impl Context {
    /// Keys first, then the database: a database without keys is worth nothing.
    pub(super) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        refuse_empty_database(settings, false)?;
        let ring = keys(settings).await?;
        let context = Self::on(database(settings).await?, &ring);
        let importer = context
            .importer
            .refusing_policies_above(settings.policy.max_guess_chance)
            .with_dates_in(settings.time_zone);
        Ok(Self { importer, ..context })
    }

    pub(super) fn on(database: Arc<Database>, ring: &KeyRing) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let secrets: Arc<dyn Secrets> = Arc::new(KeyedSecrets::new(ring, Arc::clone(&random)));
        let importer =
            Importer::new(Arc::clone(&database), Arc::clone(&clock), Arc::clone(&random), Arc::clone(&secrets));
        Self { database, clock, random, secrets, importer }
    }

    /// The organisation of a name. The error about an unknown name lists similar ones.
    pub(super) async fn organisation(&self, name: &str) -> anyhow::Result<OrganisationRef> {
        if let Some(found) = self.database.organisation_by_name(name).await.map_err(domain)? {
            return Ok(found);
        }
        let known = self.database.organisations().await.map_err(domain)?;
        let known = known.iter().map(|organisation| organisation.name.as_str());
        Err(anyhow!("{}", organisation::unknown(name, known)))
    }

    /// The organisation of a name, which is created when there is none, and whether it was.
    pub(super) async fn create_organisation(&self, name: &str) -> anyhow::Result<(OrganisationRef, bool)> {
        let fresh = self.new_organisation(name)?;
        let organisation = self.database.ensure_organisation(&fresh).await.map_err(domain)?;
        let created = organisation.id == fresh.id;
        Ok((organisation, created))
    }

    /// The organisation of a name for a check of an import that would create it: nothing is written.
    pub(super) async fn imagined_organisation(
        &self,
        name: &str,
        existing: Existing,
    ) -> anyhow::Result<(OrganisationRef, Run<Database>)> {
        let fresh = self.new_organisation(name)?;
        let (organisation, new) = match self.database.organisation_by_name(name).await.map_err(domain)? {
            Some(organisation) => (organisation, None),
            None => {
                let (id, name) = (fresh.id.clone(), fresh.name.clone());
                (OrganisationRef { key: OrganisationKey::NONE, id, name }, Some(fresh))
            }
        };
        let run = Run::long_check(self.database.as_ref(), existing, new).await.map_err(explained)?;
        Ok((organisation, run))
    }

    fn new_organisation(&self, name: &str) -> anyhow::Result<Organisation> {
        organisation::check_name(name)?;
        Ok(Organisation::new(code::hex_id(self.random.as_ref())?, name))
    }

    /// Writes one user with what lets it log in, and answers its id.
    pub(super) async fn save_user(
        &self,
        organisation: &OrganisationRef,
        username: &str,
        permissions: Permissions,
        unit: Option<&str>,
        password: Option<&str>,
    ) -> anyhow::Result<(Outcome, String)> {
        let mut user = json!({
            "username": username,
            "permissions": permissions.iter().map(|permission| permission.name()).collect::<Vec<_>>(),
        });
        if let Some(unit) = unit {
            user["default_unit"] = json!({"id": unit});
        }
        if let Some(password) = password {
            if let Err((reason, what)) = password::check(password, username) {
                bail!("{} the password {what}", reason.name());
            }
            user["password"] = Value::from(password);
        }
        let records = from_value(json!({"user": user})).map_err(explained)?;
        let results =
            self.importer.import(&command_line(organisation), Existing::Overwrite, records).await.map_err(explained)?;
        let result = results.into_iter().next().context("the import answered nothing")?;
        result.result.map_err(explained)
    }

    /// Writes a batch of records.
    pub(super) async fn import(&self, organisation: &OrganisationRef, records: Vec<Record>) -> anyhow::Result<()> {
        for one in
            self.importer.import(&command_line(organisation), Existing::Overwrite, records).await.map_err(explained)?
        {
            one.result.map_err(explained)?;
        }
        Ok(())
    }
}

/// The caller of a command: whoever may use the keys and the database may do everything, and is no user.
pub(super) fn command_line(organisation: &OrganisationRef) -> Caller {
    Caller { organisation: organisation.key, user: None, unit: None, permissions: Permissions::all() }
}

/// A refusal, with its cause: whoever runs a command is an operator.
pub(super) fn explained(error: access_tokens_domain::Error) -> anyhow::Error {
    let cause = error.cause().map(|cause| format!(": {cause}")).unwrap_or_default();
    anyhow!("{} {}{cause}", error.reason().name(), error.message())
}

pub(super) fn domain(error: access_tokens_domain::store::StoreError) -> anyhow::Error {
    explained(error.into())
}
