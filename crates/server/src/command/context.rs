//! The environment of commands: keys, database, and imports of single records.

use std::sync::Arc;

use access_tokens_domain::administration::Administration;
use access_tokens_domain::directory::Organisation;
use access_tokens_domain::import::{Existing, Options, Outcome, Record, from_value};
use access_tokens_domain::ports::{Clock, Random, Secrets};
use access_tokens_domain::service::import::{Importer, Run};
use access_tokens_domain::session::{Caller, OrganisationKey, Permissions};
use access_tokens_domain::store::{AccountStore, KeyStore, KeyUse, OrganisationRef};
use access_tokens_domain::{code, password, text};
use access_tokens_host::{SystemClock, SystemRandom};
use access_tokens_secrets::{KeyRing, KeyRingError, KeyedSecrets};
use access_tokens_storage::{Database, DatabaseOptions, SetupError, connect_read_only, has_tables};
use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};

use super::errors::to_anyhow;
use super::organisation_name;
use crate::config::{Memory, Settings};
use crate::databases;
use crate::key_fit::{KeyRingFit, describe_by_key};

/// The ports of commands that write to the database.
pub(super) struct Context {
    pub(super) database: Arc<Database>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) secrets: Arc<dyn Secrets>,
    pub(super) importer: Importer<Database>,
}

/// The cure of a missing key file when it is unknown what needs its keys.
pub(super) const RESTORE_KEY_FILE: &str = "bring the file back from its copy (keys.file)";

/// Whether a database without its key file holds values that keys protect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyNeed {
    /// The database was read, and holds no such values.
    Nothing,
    /// The database is unavailable.
    Unknown,
}

/// Returns the key ring, from the setting or else from the file. On SQLite a missing file is created, unless the database holds values
/// under other keys.
pub(super) async fn keys(settings: &Settings) -> anyhow::Result<KeyRing> {
    let Some(file) = settings.keys.ring_file() else {
        return KeyRing::parse(settings.keys.ring.expose()).context("keys.ring");
    };
    let needs = match KeyRing::read(file) {
        Err(KeyRingError::Missing { .. }) => refuse_new_keys(settings).await?,
        other => return Ok(other?),
    };
    if !settings.database.is_sqlite() {
        let file = file.display();
        match needs {
            KeyNeed::Nothing => bail!(
                "the key file {file} does not exist, and nothing in the database needs keys: make them with `access-tokens \
                 keys init`, the same for all replicas, and keep a copy in a safe place"
            ),
            KeyNeed::Unknown => bail!(
                "the key file {file} does not exist, and the database does not answer, so that what needs its keys is not \
                 known: {RESTORE_KEY_FILE}. Only for a new installation: `access-tokens keys init`"
            ),
        }
    }
    let (ring, created) = KeyRing::read_or_create(file, &SystemRandom)?;
    if created {
        tracing::info!(file = %file.display(), "made a key file: keep a copy, apart from the database's");
    }
    Ok(ring)
}

/// Refuses to create new keys if the database holds values under other keys, which would be lost. A missing or unavailable database counts
/// as one without such values.
pub(super) async fn refuse_new_keys(settings: &Settings) -> anyhow::Result<KeyNeed> {
    let file = settings.keys.file.display();
    let database = match open_to_inspect(settings).await {
        Ok(Some(database)) => database,
        Ok(None) => return Ok(KeyNeed::Nothing),
        Err(error) if settings.database.is_sqlite() => {
            return Err(error.context(format!("{file} does not exist, and what needs its keys cannot be read")));
        }
        Err(_) => return Ok(KeyNeed::Unknown),
    };
    let needed = needed_keys(&database).await;
    database.close().await;
    match describe_by_key(&needed?) {
        Some(needed) => bail!(
            "{file} does not exist, and the database holds what other keys protect: {needed}. Bring the file back from its \
             copy (keys.file). Only where it is lost for ever: `access-tokens keys init --accept-missing-keys`"
        ),
        None => Ok(KeyNeed::Nothing),
    }
}

/// Returns the values of a database that keys protect.
pub(super) async fn needed_keys(database: &Database) -> anyhow::Result<Vec<KeyUse>> {
    if database.schema().await.map_err(to_anyhow)?.applied == 0 {
        return Ok(Vec::new());
    }
    database.key_use(SystemClock.now()).await.map_err(to_anyhow)
}

/// Returns the ids of the keys that the database needs. Empty where the database is missing or unavailable.
pub(super) async fn needed_key_ids(settings: &Settings) -> Vec<String> {
    let Ok(Some(database)) = open_to_inspect(settings).await else { return Vec::new() };
    let uses = needed_keys(&database).await.unwrap_or_default();
    database.close().await;
    let mut ids: Vec<_> = uses.into_iter().filter_map(|one| one.key).collect();
    ids.sort();
    ids.dedup();
    ids
}

/// Refuses a ring that is not the one of the database. With such a ring, valid secrets would be refused, and new ones would be written that
/// the right ring cannot read. Reads users, API keys and a part of the tokens ([`KeyRingFit::compare_sample`]).
pub(super) async fn refuse_foreign_keys(
    settings: &Settings,
    database: &Database,
    ring: &KeyRing,
) -> anyhow::Result<()> {
    let Some(fit) = KeyRingFit::compare_sample(database, ring).await.map_err(to_anyhow)? else { return Ok(()) };
    if !fit.is_foreign() {
        return Ok(());
    }
    if ring.accepts_missing() {
        tracing::warn!(%fit, "the keys are not those of the database, which was accepted: what needs other keys is lost");
        note_lost_keys(settings, fit.missing_ids());
        return Ok(());
    }
    let ids: Vec<_> = ring.ids().collect();
    bail!(
        "the keys of {} (ids {}) are not those of the database: {fit}. Bring the newest copy of its own key ring back, or point \
         database.url at the database of these keys. Only where the missing keys are lost for ever: `access-tokens serve \
         --accept-missing-keys`",
        settings.keys.ring_file().map_or("the setting keys.ring".to_owned(), |file| file.display().to_string()),
        ids.join(", ")
    )
}

/// Notes in the key file that keys are lost. If the file is not writable, prints the line for the operator.
pub(super) fn note_lost_keys(settings: &Settings, ids: &[String]) {
    if ids.is_empty() {
        return;
    }
    let noted = match settings.keys.ring_file() {
        Some(file) => KeyRing::note_lost(file, ids, &SystemRandom).map_err(|error| error.to_string()),
        None => Err("it is a setting".to_owned()),
    };
    if let Err(error) = noted {
        let line = format!("# Lost keys, accepted: {}", ids.join(", "));
        eprintln!("warning: the key ring does not note the lost keys ({error}): add the line {line:?} to it");
    }
}

/// Opens the database with few connections, for reading. None where it does not exist yet.
async fn open_to_inspect(settings: &Settings) -> anyhow::Result<Option<Database>> {
    if let Some(file) = settings.database.sqlite_file()
        && std::fs::metadata(file).map_or(0, |file| file.len()) == 0
    {
        // Fails for a file whose data is still in a log beside it.
        has_tables(file)?;
        return Ok(None);
    }
    let options = DatabaseOptions { postgres_connections: 2, sqlite_readers: 1, ..settings.database.options() };
    Ok(Some(connect_read_only(&options).await?))
}

/// Refuses to create an empty SQLite database beside keys that were used with another one. The data of that database is elsewhere, such as
/// in another file, or in a log that was not copied.
pub(super) fn refuse_empty_database(settings: &Settings, new_database: bool) -> anyhow::Result<()> {
    let Some(file) = settings.database.sqlite_file().filter(|_| !new_database) else { return Ok(()) };
    let keys = &settings.keys.file;
    if !is_empty_beside_used_keys(settings)? {
        return Ok(());
    }
    bail!(
        "{} is empty or missing, and a database was opened with the keys in {}: look at database.url, or \
         `access-tokens restore` a backup. To begin a new database with these keys: `access-tokens migrate --new-database`",
        file.display(),
        keys.display()
    )
}

/// Returns whether the SQLite database is empty or missing, and the key file was used with a database.
pub(super) fn is_empty_beside_used_keys(settings: &Settings) -> Result<bool, SetupError> {
    let Some(file) = settings.database.sqlite_file() else { return Ok(false) };
    let used = settings.keys.ring_file().is_some_and(KeyRing::is_marked_used);
    Ok(used && !has_tables(file)?)
}

/// Notes in the key file that a SQLite database uses it. If the file is not writable, such as on a read-only mount, a later start does not
/// detect an empty database.
pub(super) fn mark_keys_used(settings: &Settings) {
    let Some(file) = settings.keys.ring_file() else { return };
    if !settings.database.is_sqlite() || KeyRing::is_marked_used(file) {
        return;
    }
    match KeyRing::mark_used(file, &SystemRandom) {
        Ok(_) | Err(KeyRingError::Missing { .. }) => {}
        Err(error) => tracing::debug!(%error, "the key file does not say that a database was opened with it"),
    }
}

/// Opens a database with a current schema: migrates it on SQLite, checks it on PostgreSQL.
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
    databases::open(&settings.database.options(), migrated).await
}

/// Refuses a database with pending migrations.
pub(super) async fn require_current(database: &Database) -> anyhow::Result<()> {
    if !database.pending_migrations().await?.is_empty() {
        let outdated = "the schema of the database is not current: run `access-tokens migrate`";
        bail!(databases::missing_read_rights(database).await.unwrap_or_else(|| outdated.to_owned()));
    }
    Ok(())
}

impl Context {
    /// Opens the keys first and then the database, because a database is useless without its keys.
    pub(super) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        refuse_empty_database(settings, false)?;
        let ring = keys(settings).await?;
        let database = database(settings).await?;
        refuse_foreign_keys(settings, &database, &ring).await?;
        mark_keys_used(settings);
        let context = Self::with_limit(database, &ring, Some(settings.hashing.max_foreign_memory));
        let importer =
            context.importer.with_max_guess_chance(settings.policy.max_guess_chance).with_time_zone(settings.time_zone);
        Ok(Self { importer, ..context })
    }

    pub(super) fn with_database(database: Arc<Database>, ring: &KeyRing) -> Self {
        Self::with_limit(database, ring, None)
    }

    /// Creates a context with a limit on the memory of imported hashes. None: the default.
    fn with_limit(database: Arc<Database>, ring: &KeyRing, max_foreign_memory: Option<Memory>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let secrets = KeyedSecrets::new(ring, Arc::clone(&random));
        let secrets: Arc<dyn Secrets> = Arc::new(match max_foreign_memory {
            Some(memory) => secrets.with_max_foreign_memory(memory.kib()),
            None => secrets,
        });
        let importer =
            Importer::new(Arc::clone(&database), Arc::clone(&clock), Arc::clone(&random), Arc::clone(&secrets));
        Self { database, clock, random, secrets, importer }
    }

    /// Returns the use cases of users and API keys.
    pub(super) fn administration(&self) -> Administration<Database> {
        let (database, clock) = (Arc::clone(&self.database), Arc::clone(&self.clock));
        Administration::new(database, clock, Arc::clone(&self.random), Arc::clone(&self.secrets))
    }

    /// Returns the organisation of a name. The error about an unknown name lists similar ones.
    pub(super) async fn organisation(&self, name: &str) -> anyhow::Result<OrganisationRef> {
        if let Some(found) = self.database.organisation_by_name(name).await.map_err(to_anyhow)? {
            return Ok(found);
        }
        let known = self.database.organisations().await.map_err(to_anyhow)?;
        let known = known.iter().map(|organisation| organisation.name.as_str());
        Err(anyhow!("{}", organisation_name::unknown(name, known)))
    }

    /// Returns the organisation of a name, and the id of a user of it.
    pub(super) async fn user(&self, organisation: &str, username: &str) -> anyhow::Result<(OrganisationRef, String)> {
        let found = self.organisation(organisation).await?;
        let user = self.database.credential_by_username(found.key, username).await.map_err(to_anyhow)?;
        let user = user.with_context(|| format!("there is no user {username:?} in {organisation}"))?.user;
        Ok((found, user))
    }

    /// Returns the organisation of a name and whether it was created, because there was none.
    pub(super) async fn create_organisation(&self, name: &str) -> anyhow::Result<(OrganisationRef, bool)> {
        let fresh = self.new_organisation(name)?;
        let organisation = self.database.ensure_organisation(&fresh).await.map_err(to_anyhow)?;
        let created = organisation.id == fresh.id;
        Ok((organisation, created))
    }

    /// Returns the organisation of a name for a check of an import that would create it. Nothing is written.
    pub(super) async fn organisation_for_check(
        &self,
        name: &str,
        options: Options,
    ) -> anyhow::Result<(OrganisationRef, Run)> {
        let fresh = self.new_organisation(name)?;
        let (organisation, new) = match self.database.organisation_by_name(name).await.map_err(to_anyhow)? {
            Some(organisation) => (organisation, None),
            None => {
                let (id, name) = (fresh.id.clone(), fresh.name.clone());
                (OrganisationRef { key: OrganisationKey::NONE, id, name }, Some(fresh))
            }
        };
        let run = Run::long_check(self.database.as_ref(), options, new).map_err(to_anyhow)?;
        Ok((organisation, run))
    }

    fn new_organisation(&self, name: &str) -> anyhow::Result<Organisation> {
        organisation_name::check_name(name)?;
        Ok(Organisation::new(code::hex_id(self.random.as_ref())?, &*text::nfc(name)))
    }

    /// Writes a user with its log-in data, and returns its id.
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
        let records = from_value(json!({"user": user})).map_err(to_anyhow)?;
        self.import(organisation, records).await?.pop().context("the import answered nothing")
    }

    /// Imports one batch of records. Returns the outcome of each record, and the id of its object.
    pub(super) async fn import(
        &self,
        organisation: &OrganisationRef,
        records: Vec<Record>,
    ) -> anyhow::Result<Vec<(Outcome, String)>> {
        let imported = self.importer.import(&operator(organisation), Existing::Overwrite, records).await;
        imported.map_err(to_anyhow)?.into_iter().map(|one| one.result.map_err(to_anyhow)).collect()
    }
}

/// Returns the caller of a command. Access to the keys and the database implies all permissions, so that an operator is not a user.
pub(super) fn operator(organisation: &OrganisationRef) -> Caller {
    Caller { organisation: organisation.key, user: None, unit: None, permissions: Permissions::all() }
}
