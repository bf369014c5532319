//! Bounded sets whose members are displaced by newer ones, first by those of the same key.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Members by key and age, at most `max_per_key` of one key and at most `max` together.
///
/// A new member of a key that is full displaces the oldest member of that key. If the whole set is full, the oldest
/// member of the key with the most members is displaced. So the behaviour of one client address costs other addresses
/// nothing.
#[derive(Debug)]
pub struct EvictingSet<K, T> {
    max: usize,
    max_per_key: usize,
    /// Members of each key, ordered by age, the oldest first.
    members: HashMap<K, BTreeMap<u64, T>>,
    count: usize,
    next: u64,
}

/// Identifies a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberId(u64);

impl<K: Copy + Eq + Hash, T> EvictingSet<K, T> {
    /// Makes an empty set. Both limits are at least 1.
    pub(crate) fn new(max: usize, max_per_key: usize) -> Self {
        Self { max: max.max(1), max_per_key: max_per_key.max(1), members: HashMap::new(), count: 0, next: 0 }
    }

    /// Adds a member. Returns its id, and the member that it displaces, if any.
    pub(crate) fn insert(&mut self, key: K, member: T) -> (MemberId, Option<T>) {
        let of_key = self.members.get(&key).map_or(0, BTreeMap::len);
        let displaced = if of_key >= self.max_per_key {
            self.pop(key)
        } else if self.count >= self.max {
            self.evict()
        } else {
            None
        };
        let id = self.next;
        self.next += 1;
        self.count += 1;
        self.members.entry(key).or_default().insert(id, member);
        (MemberId(id), displaced)
    }

    /// Removes a member. Returns None if it was displaced before.
    pub(crate) fn remove(&mut self, key: K, id: MemberId) -> Option<T> {
        let of_key = self.members.get_mut(&key)?;
        let member = of_key.remove(&id.0)?;
        self.count -= 1;
        if of_key.is_empty() {
            self.members.remove(&key);
        }
        Some(member)
    }

    /// Removes the oldest member of the key that has the most members.
    fn evict(&mut self) -> Option<T> {
        let age = |of_key: &BTreeMap<u64, T>| Reverse(of_key.first_key_value().map(|(id, _)| *id));
        let (key, _) = self.members.iter().max_by_key(|(_, of_key)| (of_key.len(), age(of_key)))?;
        self.pop(*key)
    }

    fn pop(&mut self, key: K) -> Option<T> {
        let id = *self.members.get(&key)?.first_key_value()?.0;
        self.remove(key, MemberId(id))
    }
}

/// An [`EvictingSet`] that tasks share.
#[derive(Debug)]
pub struct SharedEvictingSet<K, T>(Arc<Mutex<EvictingSet<K, T>>>);

/// Membership in a [`SharedEvictingSet`]. It ends when it is dropped.
#[derive(Debug)]
pub struct Membership<K: Copy + Eq + Hash, T> {
    set: Arc<Mutex<EvictingSet<K, T>>>,
    key: K,
    id: MemberId,
}

impl<K: Copy + Eq + Hash, T> SharedEvictingSet<K, T> {
    /// Makes an empty set. Both limits are at least 1.
    pub fn new(max: usize, max_per_key: usize) -> Self {
        Self(Arc::new(Mutex::new(EvictingSet::new(max, max_per_key))))
    }

    /// Adds a member. Returns its membership, and the member that it displaces, if any.
    pub fn join(&self, key: K, member: T) -> (Membership<K, T>, Option<T>) {
        let (id, displaced) = lock(&self.0).insert(key, member);
        (Membership { set: Arc::clone(&self.0), key, id }, displaced)
    }

    /// Removes the oldest member of the key that has the most members.
    pub(crate) fn evict(&self) -> Option<T> {
        lock(&self.0).evict()
    }

    /// Returns the number of members.
    pub fn count(&self) -> usize {
        lock(&self.0).count
    }
}

impl<K: Copy + Eq + Hash, T> Drop for Membership<K, T> {
    fn drop(&mut self) {
        lock(&self.set).remove(self.key, self.id);
    }
}

fn lock<T>(set: &Mutex<T>) -> MutexGuard<'_, T> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_key_displaces_its_own_members() {
        let mut set = EvictingSet::new(10, 2);
        let (other, _) = set.insert("b", 0);
        assert_eq!(set.insert("a", 1).1, None);
        assert_eq!(set.insert("a", 2).1, None);
        assert_eq!(set.insert("a", 3).1, Some(1));
        assert_eq!(set.insert("a", 4).1, Some(2));
        assert_eq!(set.remove("b", other), Some(0));
        assert_eq!(set.remove("b", other), None);
        assert_eq!(set.count, 2);
    }

    #[test]
    fn a_full_set_displaces_a_member_of_the_largest_key() {
        let mut set = EvictingSet::new(4, 3);
        set.insert("single", 0);
        set.insert("many", 1);
        set.insert("many", 2);
        set.insert("many", 3);
        assert_eq!(set.insert("new", 4).1, Some(1));
        assert_eq!(set.insert("newer", 5).1, Some(2));
        // Each key has one member: the oldest of all is displaced.
        assert_eq!(set.insert("newest", 6).1, Some(0));
        assert_eq!(set.count, 4);
    }
}
