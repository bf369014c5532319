//! Reference data in memory, one snapshot an organisation. It is current while its version is the stored one; that
//! is asked with one small statement each time, so that an answer is never older than what was committed before.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use access_tokens_domain::reference::Reference;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::StoreResult;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use crate::convert;
use crate::entities::{
    app_user, business_unit, classification, country, industry, industry_sector, organisation as organisations, unit,
};
use crate::error::{Failure, store_error};
use crate::sql::Sql;

/// The newest snapshot of each organisation. Only what is committed ever gets in.
#[derive(Default)]
pub(crate) struct ReferenceCache {
    snapshots: RwLock<HashMap<OrganisationKey, Arc<Reference>>>,
    /// Held while a snapshot is read, so that of many callers who find it stale one reads.
    pub(crate) loading: tokio::sync::Mutex<()>,
}

impl ReferenceCache {
    /// The snapshot of a version, or a younger one: whatever a row of that version refers to is in it, as nothing that is
    /// referred to ever goes.
    pub(crate) fn get(&self, organisation: OrganisationKey, version: i64) -> Option<Arc<Reference>> {
        let snapshots = self.snapshots.read().unwrap_or_else(PoisonError::into_inner);
        snapshots.get(&organisation).filter(|snapshot| snapshot.version >= version).cloned()
    }

    /// Keeps a committed snapshot, unless a newer one is there.
    pub(crate) fn put(&self, organisation: OrganisationKey, snapshot: &Arc<Reference>) {
        let mut snapshots = self.snapshots.write().unwrap_or_else(PoisonError::into_inner);
        let newer = snapshots.get(&organisation).is_some_and(|kept| kept.version > snapshot.version);
        if !newer {
            snapshots.insert(organisation, Arc::clone(snapshot));
        }
    }
}

/// The stored version.
pub(crate) async fn version<C: ConnectionTrait>(connection: &C, organisation: OrganisationKey) -> StoreResult<i64> {
    let mut sql = Sql::new("SELECT directory_version FROM organisation WHERE key = ");
    sql.bind(organisation.0);
    let rows = sql.all(connection).await?;
    let row = rows.first().ok_or_else(|| unknown(organisation))?;
    row.try_get("", "directory_version").map_err(store_error)
}

/// Reads a whole snapshot. Consistent only inside a transaction that sees one state, or keeps writers out.
pub(crate) async fn load<C: ConnectionTrait>(connection: &C, key: OrganisationKey) -> StoreResult<Reference> {
    macro_rules! by_id {
        ($module:ident, $convert:path) => {{
            let rows = $module::Entity::find().filter($module::Column::OrganisationKey.eq(key.0));
            let rows = rows.all(connection).await.map_err(store_error)?;
            rows.into_iter().map(|row| Ok((row.id.clone(), $convert(row)?))).collect::<StoreResult<HashMap<_, _>>>()?
        }};
    }
    let organisation = organisations::Entity::find().filter(organisations::Column::Key.eq(key.0));
    let organisation = organisation.all(connection).await.map_err(store_error)?.pop();
    let organisation = organisation.ok_or_else(|| unknown(key))?;
    Ok(Reference {
        version: organisation.directory_version,
        organisation: convert::organisation(organisation)?,
        units: by_id!(unit, convert::unit),
        business_units: by_id!(business_unit, convert::business_unit),
        users: by_id!(app_user, convert::user),
        countries: by_id!(country, convert::country),
        industries: by_id!(industry, convert::industry),
        industry_sectors: by_id!(industry_sector, convert::industry_sector),
        classifications: by_id!(classification, convert::classification),
    })
}

pub(crate) fn unknown(organisation: OrganisationKey) -> Failure {
    Failure::fault(format!("there is no organisation with the key {}", organisation.0))
}
