//! What the commands share: keys, database, and writing through the import.

use std::path::Path;
use std::sync::Arc;

use access_tokens_domain::directory::Organisation;
use access_tokens_domain::import::{Outcome, Record, from_value};
use access_tokens_domain::ports::{Clock, Random, Secrets};
use access_tokens_domain::service::import::{Checked, Importer};
use access_tokens_domain::session::{Caller, OrganisationKey, Permissions};
use access_tokens_domain::store::{AccountStore, OrganisationRef};
use access_tokens_domain::{code, password};
use access_tokens_storage::{Database, connect};
use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};

use super::organisation;
use crate::config::Settings;
use crate::crypto::{KeyRing, KeyedSecrets, SystemClock, SystemRandom};

/// The ports, for commands that write to the database.
pub(super) struct Context {
    pub(super) database: Arc<Database>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) secrets: Arc<dyn Secrets>,
    pub(super) importer: Importer<Database>,
}

/// The key ring: from the variable, else from the file. On SQLite a missing file is made.
pub(super) fn keys(settings: &Settings) -> anyhow::Result<KeyRing> {
    let (ring, file) = (settings.keys.ring.expose(), &settings.keys.file);
    if !ring.is_empty() {
        return KeyRing::parse(ring).context("keys.ring");
    }
    if !settings.database.is_sqlite() {
        return Ok(KeyRing::read(file)?);
    }
    let (ring, created) = KeyRing::read_or_create(file, &SystemRandom)?;
    if created {
        tracing::info!(file = %file.display(), "made a key file: keep a copy, apart from the database's");
        if settings.database.sqlite_file().is_some_and(Path::exists) {
            tracing::warn!(
                "the database is older than its keys: passwords, API keys and codes in it were made with other keys, \
                 and will not be accepted until those are back"
            );
        }
    }
    Ok(ring)
}

/// A database whose schema is current: brought up to date on SQLite, checked on PostgreSQL.
pub(super) async fn database(settings: &Settings) -> anyhow::Result<Arc<Database>> {
    let database = connect(&settings.database.options()).await?;
    if database.is_sqlite() {
        database.migrate().await?;
    }
    require_current(&database).await?;
    Ok(Arc::new(database))
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
        let ring = keys(settings)?;
        let context = Self::on(database(settings).await?, &ring);
        let importer = context.importer.refusing_policies_above(settings.policy.max_guess_chance);
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
    pub(super) async fn imagined_organisation(&self, name: &str) -> anyhow::Result<(OrganisationRef, Checked)> {
        let fresh = self.new_organisation(name)?;
        match self.database.organisation_by_name(name).await.map_err(domain)? {
            Some(organisation) => Ok((organisation, Checked::default())),
            None => {
                let (id, name) = (fresh.id.clone(), fresh.name.clone());
                Ok((OrganisationRef { key: OrganisationKey::NONE, id, name }, Checked::of_new(fresh)))
            }
        }
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
        let results = self.importer.import(&command_line(organisation), records).await.map_err(explained)?;
        let result = results.into_iter().next().context("the import answered nothing")?;
        result.result.map_err(explained)
    }

    /// Writes a batch of records.
    pub(super) async fn import(&self, organisation: &OrganisationRef, records: Vec<Record>) -> anyhow::Result<()> {
        for one in self.importer.import(&command_line(organisation), records).await.map_err(explained)? {
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
