//! The revocation list: sessions that were released before they expired.
//!
//! A release counts at once in the process that makes it. Every half second a replica reads the releases since its last
//! read. If that fails or is late (a process that was stopped and continued, a database that does not answer), a call
//! reads the list before it is accepted. So no replica accepts a session that was released more than a second ago.
//!
//! A release has the time of the clock of the database, and becomes visible when it is committed. A release with a
//! later time may be committed earlier. So each read begins some time before the last one ([`OVERLAP`]). Every half
//! minute a longer time ([`LONG_OVERLAP_MICROS`]) is read as well, in parts. The first read reads the whole list in pages, in
//! the order of the ids. If the call that reads stops waiting, the next call continues.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use access_tokens_domain::session::Session;
use access_tokens_domain::store::{AccountStore, ReleasedAfter, ReleasedPage};
use access_tokens_domain::time::Timestamp;
use access_tokens_domain::{Error, Result};
use tokio::time::Instant;

/// Maximum age of the list.
const MAX_AGE: Duration = Duration::from_millis(900);
/// Number of sessions that one page holds.
const PAGE: u32 = 2_000;
/// Microseconds by which a read begins before the last one: more than a commit takes.
const OVERLAP: i64 = 10_000_000;
/// Microseconds by which the read with the long overlap, which happens each [`LONG_OVERLAP_INTERVAL`], begins before the last one. It is more
/// than the difference between the clocks of servers of the previous release, which stored the time of their own clock.
const LONG_OVERLAP_MICROS: i64 = 300_000_000;
const LONG_OVERLAP_INTERVAL: Duration = Duration::from_secs(30);
/// Maximum number of pages of the read with the long overlap in one refresh. A million releases within the long overlap take minutes,
/// and no call waits for more than these pages.
const LONG_OVERLAP_PAGES: u32 = 4;

/// The list of released sessions.
#[derive(Default)]
pub(super) struct RevocationList {
    list: RwLock<List>,
    /// Held by the call or task that reads. The others wait for it.
    reading: tokio::sync::Mutex<Progress>,
}

#[derive(Default)]
struct List {
    ids: ReleasedIds,
    /// Start of the last complete read.
    read_started: Option<Instant>,
}

/// Progress of the reads.
#[derive(Default)]
struct Progress {
    /// Time of the database at the start of the last complete read, in microseconds. During the first read: at its
    /// start.
    read_at: Option<i64>,
    /// The last id of the first read. None: the first read has not begun.
    first_read_after: Option<String>,
    /// Whether the first read is complete.
    loaded: bool,
    /// Start of the last read with the long overlap.
    long_overlap_started: Option<Instant>,
    /// Position at which the read with the long overlap continues. None: it is complete.
    long_overlap_after: Option<ReleasedAfter>,
}

impl RevocationList {
    /// Returns whether a session was released, by a list that is young enough. Fails if the list must be read and the
    /// database does not answer.
    pub(super) async fn contains<S: AccountStore>(&self, store: &S, session: &Session, now: Timestamp) -> Result<bool> {
        // Every session has an id of this form. A session with another id could not be released, so it is refused.
        let id = session_id(&session.id).ok_or_else(Error::invalid_token)?;
        let known = |list: &List| list.ids.contains(id, session.expires_at);
        {
            let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
            let known = known(&list);
            if list.is_fresh() || known {
                return Ok(known);
            }
        }
        let mut progress = self.reading.lock().await;
        let fresh = self.list.read().unwrap_or_else(PoisonError::into_inner).is_fresh();
        if !fresh {
            self.read(store, now, &mut progress).await?;
        }
        drop(progress);
        Ok(known(&self.list.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Reads the new releases.
    pub(super) async fn refresh<S: AccountStore>(&self, store: &S, now: Timestamp) -> Result<()> {
        let mut progress = self.reading.lock().await;
        self.read(store, now, &mut progress).await?;
        self.read_long_overlap(store, now, &mut progress).await
    }

    /// Returns whether the whole list has been read.
    pub(super) fn is_loaded(&self) -> bool {
        self.list.read().unwrap_or_else(PoisonError::into_inner).read_started.is_some()
    }

    async fn read<S: AccountStore>(&self, store: &S, now: Timestamp, progress: &mut Progress) -> Result<()> {
        while !progress.loaded {
            let after = ReleasedAfter::Id(progress.first_read_after.clone().unwrap_or_default());
            let page = store.released_sessions(&after, now, PAGE).await?;
            progress.read_at.get_or_insert(page.read_at);
            match page.sessions.last() {
                Some(last) => progress.first_read_after = Some(last.id.clone()),
                None => progress.loaded = true,
            }
            self.add_page(&page);
        }
        let read_started = Instant::now();
        let mut after = Some(ReleasedAfter::Release(progress.read_at.unwrap_or_default() - OVERLAP, String::new()));
        let mut read_at = None;
        while let Some(position) = after {
            let page = store.released_sessions(&position, now, PAGE).await?;
            read_at.get_or_insert(page.read_at);
            self.add_page(&page);
            after = next(&page);
        }
        // A clock that was set back is followed.
        progress.read_at = read_at;
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.ids.drop_expired(now);
        list.read_started = Some(read_started);
        Ok(())
    }

    /// Reads releases of servers with another clock, at most some pages at a time: calls may wait for new releases
    /// meanwhile.
    async fn read_long_overlap<S: AccountStore>(
        &self,
        store: &S,
        now: Timestamp,
        progress: &mut Progress,
    ) -> Result<()> {
        let began = Instant::now();
        if progress.long_overlap_after.is_none()
            && progress
                .long_overlap_started
                .is_none_or(|long_overlap_started| began.duration_since(long_overlap_started) >= LONG_OVERLAP_INTERVAL)
        {
            progress.long_overlap_started = Some(began);
            let from = progress.read_at.unwrap_or_default() - LONG_OVERLAP_MICROS;
            progress.long_overlap_after = Some(ReleasedAfter::Release(from, String::new()));
        }
        for _ in 0..LONG_OVERLAP_PAGES {
            let Some(after) = &progress.long_overlap_after else { return Ok(()) };
            let page = store.released_sessions(after, now, PAGE).await?;
            self.add_page(&page);
            progress.long_overlap_after = next(&page);
        }
        Ok(())
    }

    fn add_page(&self, page: &ReleasedPage) {
        if page.sessions.is_empty() {
            return;
        }
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        for session in &page.sessions {
            if let Some(id) = session_id(&session.id) {
                list.ids.insert(id, session.expires);
            }
        }
    }

    /// Returns the number of released sessions that have not expired, as far as this process knows.
    pub(super) fn count(&self) -> usize {
        self.list.read().unwrap_or_else(PoisonError::into_inner).ids.count()
    }

    /// Adds a session to the list.
    pub(super) fn add(&self, session: &Session) {
        if let Some(id) = session_id(&session.id) {
            self.list.write().unwrap_or_else(PoisonError::into_inner).ids.insert(id, session.expires_at);
        }
    }
}

/// Returns the position of the next page. None: this page was the last one.
fn next(page: &ReleasedPage) -> Option<ReleasedAfter> {
    let last = page.sessions.last().filter(|_| page.sessions.len() >= PAGE as usize)?;
    Some(ReleasedAfter::Release(last.released_at, last.id.clone()))
}

impl List {
    fn is_fresh(&self) -> bool {
        self.read_started.is_some_and(|read_started| read_started.elapsed() < MAX_AGE)
    }
}

/// Parses the id of a session, which has 32 hex digits.
fn session_id(id: &str) -> Option<u128> {
    if id.len() != 32 {
        return None;
    }
    id.bytes().try_fold(0, |id: u128, digit| Some(id << 4 | u128::from(char::from(digit).to_digit(16)?)))
}

/// Ids by the minute in which they expire and by a part of the id, so that sets that grow or are dropped are small. A
/// million ids take at most 40 MiB.
#[derive(Default)]
struct ReleasedIds(HashMap<(i64, u8), HashSet<u128>>);

impl ReleasedIds {
    /// Number of parts. The last digits of an id determine its part.
    const PARTS: u128 = 64;

    fn bucket(id: u128, expires: Timestamp) -> (i64, u8) {
        let part = u8::try_from(id % Self::PARTS).unwrap_or_default();
        (expires.timestamp().div_euclid(60), part)
    }

    fn contains(&self, id: u128, expires: Timestamp) -> bool {
        self.0.get(&Self::bucket(id, expires)).is_some_and(|ids| ids.contains(&id))
    }

    fn insert(&mut self, id: u128, expires: Timestamp) {
        self.0.entry(Self::bucket(id, expires)).or_default().insert(id);
    }

    /// Drops the minutes that have passed.
    fn drop_expired(&mut self, now: Timestamp) {
        let minute = now.timestamp().div_euclid(60);
        self.0.retain(|(expires, _), _| *expires >= minute);
    }

    fn count(&self) -> usize {
        self.0.values().map(HashSet::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).expect("a time")
    }

    #[test]
    fn ids_are_numbers_of_32_hex_digits() {
        assert_eq!(session_id(&format!("{:032X}", 77)), Some(77));
        assert_eq!(session_id(&"f".repeat(32)), Some(u128::MAX));
        for bad in ["", "7", &"g".repeat(32), &format!("+{}", "0".repeat(31)), &"0".repeat(33)] {
            assert_eq!(session_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn ids_go_with_the_minute_in_which_they_expire() {
        let mut ids = ReleasedIds::default();
        for id in 0..1_000 {
            ids.insert(id, time(60));
            ids.insert(id, time(60));
            ids.insert(id + 5_000, time(120));
        }
        assert_eq!(ids.count(), 2_000);
        assert!(ids.contains(7, time(60)) && !ids.contains(1_007, time(60)));
        ids.drop_expired(time(119));
        assert!(ids.contains(7, time(60)));
        ids.drop_expired(time(120));
        assert!(!ids.contains(7, time(60)) && ids.contains(5_007, time(120)));
    }

    #[test]
    fn a_million_ids_take_at_most_forty_mebibytes() {
        let mut ids = ReleasedIds::default();
        // Releases of two hours, and the worst case for sets whose capacity doubles.
        for id in 0..1_000_000_u128 {
            ids.insert(
                id.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835),
                time(i64::try_from(id / 139).expect("small")),
            );
        }
        assert_eq!(ids.count(), 1_000_000);
        // A control byte for each slot, and 8 slots for 7 ids.
        let bytes: usize = ids.0.values().map(|ids| (ids.capacity() * 8 / 7 + 16) * 17 + 16).sum::<usize>()
            + ids.0.capacity() * (size_of::<((i64, u8), HashSet<u128>)>() + 1);
        assert!(bytes <= 40 << 20, "{} KiB", bytes >> 10);
    }
}
