//! Cache of reference data, one snapshot for each organisation. A snapshot is current while its version is the stored
//! version. Each read gets the stored version with a small statement, so that an answer is never older than what was
//! committed before.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use access_tokens_domain::reference::Reference;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::StoreResult;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use crate::convert;
use crate::entities::{
    app_user, business_unit, classification, country, industry, industry_sector, organisation as organisations, unit,
};
use crate::error::Failure;
use crate::sql::connection::Connection;
use crate::sql::{self, Sql, get};

/// Maximum size of all snapshots together, as [`size`] measures it, in bytes. Above it, the least recently used
/// snapshots are removed; the newest one stays, however large it is.
const MAX_BYTES: usize = 96 << 20;

/// The newest snapshot of each organisation. It contains only committed data.
#[derive(Default)]
pub(crate) struct ReferenceCache {
    snapshots: RwLock<HashMap<OrganisationKey, CachedSnapshot>>,
    /// Counts the added snapshots.
    clock: AtomicU64,
    /// Held while a snapshot is read, so that only one of many callers with a stale snapshot reads it.
    pub(crate) loading: tokio::sync::Mutex<()>,
}

struct CachedSnapshot {
    snapshot: Arc<Reference>,
    bytes: usize,
    /// Value of the clock when the snapshot was last used.
    used: AtomicU64,
}

impl ReferenceCache {
    /// Returns the snapshot of this version or a newer one. It contains everything that a row of this version refers
    /// to, because referenced rows are never deleted.
    pub(crate) fn get(&self, organisation: OrganisationKey, version: i64) -> Option<Arc<Reference>> {
        let snapshots = self.snapshots.read().unwrap_or_else(PoisonError::into_inner);
        let cached = snapshots.get(&organisation).filter(|cached| cached.snapshot.version >= version)?;
        cached.used.store(self.clock.load(Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(&cached.snapshot))
    }

    /// Stores a committed snapshot, unless a newer one is stored.
    pub(crate) fn put(&self, organisation: OrganisationKey, snapshot: &Arc<Reference>) {
        self.put_within(MAX_BYTES, organisation, snapshot);
    }

    fn put_within(&self, max_bytes: usize, organisation: OrganisationKey, snapshot: &Arc<Reference>) {
        let bytes = size(snapshot);
        let now = self.clock.fetch_add(1, Ordering::Relaxed) + 1;
        let mut snapshots = self.snapshots.write().unwrap_or_else(PoisonError::into_inner);
        let newer = snapshots.get(&organisation).is_some_and(|cached| cached.snapshot.version > snapshot.version);
        if newer {
            return;
        }
        let snapshot = Arc::clone(snapshot);
        snapshots.insert(organisation, CachedSnapshot { snapshot, bytes, used: AtomicU64::new(now) });
        let mut all: usize = snapshots.values().map(|cached| cached.bytes).sum();
        while all > max_bytes {
            let others = snapshots.iter().filter(|(key, _)| **key != organisation);
            let oldest = others.min_by_key(|(_, cached)| cached.used.load(Ordering::Relaxed)).map(|(key, _)| *key);
            let Some(gone) = oldest.and_then(|key| snapshots.remove(&key)) else { return };
            all -= gone.bytes;
        }
    }
}

/// Estimates the size of a snapshot in memory by its size as JSON, in bytes.
fn size(reference: &Reference) -> usize {
    let Reference { version: _, organisation, units, business_units, users, .. } = reference;
    let Reference { countries, industries, industry_sectors, classifications, .. } = reference;
    let mut counter = Counter(0);
    let parts = (organisation, units, business_units, users, countries, industries, industry_sectors, classifications);
    let written = serde_json::to_writer(&mut counter, &parts);
    debug_assert!(written.is_ok(), "every field has a form in JSON");
    counter.0
}

/// Writer that only counts bytes.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the stored version.
pub(crate) async fn version<C: Connection>(connection: &C, organisation: OrganisationKey) -> StoreResult<i64> {
    let mut sql = Sql::select("directory_version", "organisation", " WHERE key = ");
    sql.bind(organisation.0);
    let rows = sql.all(connection).await?;
    let row = rows.first().ok_or_else(|| unknown_organisation(organisation))?;
    get(row, "directory_version")
}

/// Reads a whole snapshot. It is consistent only inside a transaction that sees one state, or that excludes writers.
pub(crate) async fn load<C: Connection>(connection: &C, key: OrganisationKey) -> StoreResult<Reference> {
    macro_rules! by_id {
        ($module:ident, $convert:path) => {{
            let rows = $module::Entity::find().filter($module::Column::OrganisationKey.eq(key.0));
            let rows = sql::select(connection, &rows).await?;
            rows.into_iter().map(|row| Ok((row.id.clone(), $convert(row)?))).collect::<StoreResult<HashMap<_, _>>>()?
        }};
    }
    let organisation = organisations::Entity::find().filter(organisations::Column::Key.eq(key.0));
    let organisation = sql::select(connection, &organisation).await?.pop().ok_or_else(|| unknown_organisation(key))?;
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

pub(crate) fn unknown_organisation(organisation: OrganisationKey) -> Failure {
    Failure::fault(format!("there is no organisation with the key {}", organisation.0))
}

/// A value and the version of the reference data that was read together with it.
pub(crate) struct Versioned<T> {
    pub(crate) version: i64,
    pub(crate) value: T,
}

#[cfg(test)]
mod tests {
    use access_tokens_domain::directory::{Organisation, Unit};

    use super::*;

    fn snapshot(version: i64, units: usize) -> Arc<Reference> {
        let mut reference = Reference::empty(Organisation::new("id", "name"));
        reference.version = version;
        for number in 0..units {
            let id = number.to_string();
            let unit = Unit { id: id.clone(), name: Some("n".repeat(1_000)), ..Unit::default() };
            reference.units.insert(id, unit);
        }
        Arc::new(reference)
    }

    #[test]
    fn snapshots_that_were_not_used_for_longest_give_way() {
        let cache = ReferenceCache::default();
        let [a, b, c, d] = [1, 2, 3, 4].map(OrganisationKey);
        for organisation in [a, b, c] {
            cache.put_within(400_000, organisation, &snapshot(1, 100));
        }
        assert!(cache.get(a, 1).is_some());
        cache.put_within(400_000, d, &snapshot(1, 100));
        let there: Vec<_> = [a, b, c, d].into_iter().filter(|key| cache.get(*key, 1).is_some()).collect();
        assert_eq!(there, [a, c, d], "b was not used");
        cache.put_within(400_000, b, &snapshot(2, 1_000));
        let there: Vec<_> = [a, b, c, d].into_iter().filter(|key| cache.get(*key, 1).is_some()).collect();
        assert_eq!(there, [b], "larger than all the room, and in use");
        cache.put_within(400_000, b, &snapshot(1, 1));
        assert!(cache.get(b, 2).is_some(), "a newer one stays");
    }

    #[test]
    fn a_size_is_about_what_is_kept() {
        let bytes = size(&snapshot(1, 100));
        assert!((100_000..150_000).contains(&bytes), "{bytes}");
    }
}
