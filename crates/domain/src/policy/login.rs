//! Attempts to log in with a user name and a password: the network of an attempt, the entry that counts it, and the
//! rules for a refusal without a comparison.
//!
//! A lock per user would let an unknown client lock out an integration. The lock is therefore per user and [`Network`].
//! One meter per user bounds the guesses from all networks that are new to the user. Networks that the user has logged
//! in from are exempt.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::Duration;

use crate::model::credential::Credential;
use crate::model::policy::LockPolicy;
use crate::model::time::Timestamp;
use crate::policy::attempts::{Attempts, Lock};

/// Time after the last log-in from a network for which the network stays known.
pub const KNOWN_NETWORK_LIFETIME: Duration = Duration::days(30);

/// Time after the first log-in of a user before the daily meter refuses attempts, so that each network of an
/// integration has time to become known.
pub const METER_GRACE: Duration = Duration::hours(24);

/// Minimum age of the stored date of a known network before a log-in writes it again. Most log-ins write nothing.
pub const KNOWN_NETWORK_REFRESH: Duration = Duration::hours(24);

/// Maximum number of networks that one CIDR block of `user add --network` covers.
pub const MAX_NETWORKS_PER_BLOCK: usize = 256;

/// Prefix length of an IPv4 [`Network`], in bits.
const IPV4_BITS: u8 = 24;
/// Bits before the IPv4 address in an address that is mapped to IPv6.
const IPV4_MAPPED_BITS: u8 = 96;
/// Prefix length of an IPv6 [`Network`], in bits.
const IPV6_BITS: u8 = 64;

/// Locks of one user on one network: 5 wrong in a row lock for 15 minutes, doubling to 24 hours; 100 wrong in a day.
/// There is no limit above which an operator must unlock.
pub const NETWORK_LOCK: LockPolicy =
    LockPolicy { attempts: 5, seconds: 900, max_seconds: 86_400, hard_limit: u32::MAX, attempts_per_day: 100 };

/// The meter of one user over all networks that are new to the user: 100 wrong attempts in a day, at most half of them
/// without waiting.
pub const USER_METER: LockPolicy = LockPolicy { attempts: u32::MAX, ..NETWORK_LOCK };

/// The network of a client: the /24 of an IPv4 address, the /64 of an IPv6 address. Clients without an address share
/// one network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(String);

impl Network {
    /// Returns the network of an address. An IPv4 address that is mapped to IPv6 counts as IPv4.
    pub fn of(address: Option<IpAddr>) -> Self {
        Self(match address.map(|address| address.to_canonical()) {
            Some(address) => {
                let bits = if address.is_ipv4() { IPV4_BITS } else { IPV6_BITS };
                format!("{}/{bits}", nth(address, bits, 0))
            }
            None => "none".to_owned(),
        })
    }

    /// Returns the networks that a CIDR block covers, or the single network of an address. A block that is smaller than
    /// a network means the network around it. An IPv4 address that is mapped to IPv6 counts as IPv4, as in
    /// [`Network::of`]. The error says what is accepted.
    pub fn of_block(block: &str) -> Result<Vec<Self>, String> {
        let (address, bits) = match block.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (block, None),
        };
        let wrong = || format!("{block:?} must be an address or a block such as 192.0.2.0/24 or 2001:db8::/64");
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = bits.map(|bits| bits.parse::<u8>()).transpose().map_err(|_| wrong())?;
        let canonical = address.to_canonical();
        let bits = match bits {
            Some(bits) if canonical != address => Some(bits.checked_sub(IPV4_MAPPED_BITS).ok_or_else(wrong)?),
            bits => bits,
        };
        let address = canonical;
        let (length, unit, shortest) = match address {
            IpAddr::V4(_) => (32, IPV4_BITS, 16),
            IpAddr::V6(_) => (128, IPV6_BITS, 56),
        };
        let bits = bits.unwrap_or(length);
        if bits > length {
            return Err(wrong());
        }
        if bits < shortest {
            return Err(format!(
                "{block:?} is too large: at most /{shortest}, which is {MAX_NETWORKS_PER_BLOCK} networks"
            ));
        }
        let count = 1_u32 << unit.saturating_sub(bits);
        Ok((0..count).map(|index| Self::of(Some(nth(address, bits.min(unit), index)))).collect())
    }

    /// Wraps a stored network.
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text that is stored and logged.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the first address of the network with the number `index` in the block of `bits` bits around an address.
fn nth(address: IpAddr, bits: u8, index: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let base = address.to_bits() & u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from_bits(base | (index << (32 - u32::from(IPV4_BITS)))).into()
        }
        IpAddr::V6(address) => {
            let base = address.to_bits() & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from_bits(base | (u128::from(index) << (128 - u32::from(IPV6_BITS)))).into()
        }
    }
}

/// Returns the ledger subject of the attempts at one user from one network: `login/<user>/<network>`. A slash in the id
/// of the user is escaped, so that no two pairs share a subject.
pub fn network_subject(user: &str, network: &Network) -> String {
    format!("{}{network}", subject_prefix(user))
}

/// Returns the ledger subject of the meter of one user.
pub fn meter_subject(user: &str) -> String {
    format!("{}*", subject_prefix(user))
}

/// Returns the prefix of all subjects of one user. No subject of another user has it.
pub fn subject_prefix(user: &str) -> String {
    format!("login/{}/", user.replace('%', "%25").replace('/', "%2F"))
}

/// Returns the user of a subject. `None`: it is no subject of a log-in.
pub fn user_of_subject(subject: &str) -> Option<String> {
    let (user, _) = subject.strip_prefix("login/")?.split_once('/')?;
    Some(user.replace("%2F", "/").replace("%25", "%"))
}

/// Returns a subject that counts attempts at unknown users. There are 256 of them, so that invented names make no rows.
pub fn dummy_subject(random: u8) -> String {
    format!("decoy/login/{random:02x}")
}

/// The stored data of a user who logs in, and of the network that the log-in comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct LoginAccount {
    /// The credential of the user.
    pub credential: Credential,
    /// The first log-in of the user.
    pub first_login: Option<Timestamp>,
    /// The row of the network, if there is one.
    pub network: Option<KnownNetwork>,
    /// Whether an operator has entered a network for this user.
    pub has_entered_networks: bool,
}

/// A network that a user has logged in from, or that an operator has entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownNetwork {
    /// Date of the last log-in. `None`: an operator entered the network, and it stays known.
    pub last_login: Option<Timestamp>,
}

impl LoginAccount {
    /// Returns whether the network is known to the user at `now`.
    pub fn knows_network(&self, now: Timestamp) -> bool {
        self.network.is_some_and(|known| known.last_login.is_none_or(|last| now < last + KNOWN_NETWORK_LIFETIME))
    }

    /// Returns whether the daily meter refuses attempts from new networks at `now`. Before the first log-in it does
    /// not: no network is known then, and unknown clients could lock the user out. A network that an operator has
    /// entered ends this grace.
    pub fn meter_binds(&self, now: Timestamp) -> bool {
        self.has_entered_networks || self.first_login.is_some_and(|first| now >= first + METER_GRACE)
    }

    /// Returns whether a log-in at `now` writes the network and the date of the user.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        let refreshed =
            self.network.is_some_and(|known| known.last_login.is_none_or(|last| now < last + KNOWN_NETWORK_REFRESH));
        !refreshed || self.first_login.is_none()
    }
}

/// The role of the meter of a user in an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meter {
    /// The network is known to the user. The meter neither counts nor refuses.
    Exempt,
    /// The meter counts and does not refuse.
    Counts,
    /// The meter counts and refuses.
    Binds,
}

impl Meter {
    /// Returns the role of the meter in an attempt at `now`.
    pub fn of(account: &LoginAccount, now: Timestamp) -> Self {
        match (account.knows_network(now), account.meter_binds(now)) {
            (true, _) => Self::Exempt,
            (false, false) => Self::Counts,
            (false, true) => Self::Binds,
        }
    }

    /// Returns the lock of the meter at `now`.
    pub fn lock(self, meter: &Attempts, now: Timestamp) -> Option<Lock> {
        if self == Self::Binds { meter.lock(&USER_METER, now) } else { None }
    }

    /// Counts one attempt as wrong, or refuses it. A meter that does not bind stays full when it is full.
    pub fn admit(self, meter: &Attempts, now: Timestamp) -> Result<Attempts, Lock> {
        // The subject names the user, and the row of the network holds the recent attempts.
        match meter.admit(&USER_METER, now, None) {
            Ok(counted) => Ok(Attempts { recent: Vec::new(), ..counted }),
            Err(lock) if self == Self::Binds => Err(lock),
            Err(_) => Ok(meter.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};

    use super::*;
    use crate::model::session::Permissions;

    fn network(address: &str) -> String {
        Network::of(Some(address.parse().expect("an address"))).0
    }

    fn now() -> Timestamp {
        Utc.timestamp_opt(1_700_000_000, 0).single().expect("a time")
    }

    fn account() -> LoginAccount {
        let permissions = Permissions::default();
        let credential = Credential { user: "U".into(), password: None, permissions, default_unit: None };
        LoginAccount { credential, first_login: None, network: None, has_entered_networks: false }
    }

    #[test]
    fn addresses_belong_to_networks() {
        for (address, expected) in [
            ("192.0.2.17", "192.0.2.0/24"),
            ("192.0.2.255", "192.0.2.0/24"),
            ("::ffff:192.0.2.9", "192.0.2.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::1", "::/64"),
            ("127.0.0.1", "127.0.0.0/24"),
        ] {
            assert_eq!(network(address), expected, "{address}");
        }
        assert_eq!(Network::of(None).as_str(), "none");
    }

    #[test]
    fn a_block_is_the_networks_in_it() {
        let networks = |block: &str| Network::of_block(block).expect("a block");
        assert_eq!(networks("192.0.2.9"), [Network("192.0.2.0/24".into())]);
        assert_eq!(networks("192.0.2.128/25"), [Network("192.0.2.0/24".into())]);
        let four = networks("10.1.5.0/22").into_iter().map(|one| one.0).collect::<Vec<_>>();
        assert_eq!(four, ["10.1.4.0/24", "10.1.5.0/24", "10.1.6.0/24", "10.1.7.0/24"]);
        assert_eq!(networks("10.1.0.0/16").len(), MAX_NETWORKS_PER_BLOCK);
        assert_eq!(networks("2001:db8::/63"), [Network("2001:db8::/64".into()), Network("2001:db8:0:1::/64".into())]);
        let all = networks("2001:db8:0:ff00::/56");
        assert_eq!((all.len(), all[255].as_str()), (256, "2001:db8:0:ffff::/64"));
        assert_eq!(networks("::ffff:192.0.2.9"), networks("192.0.2.9"));
        assert_eq!(networks("::ffff:10.1.5.0/118"), networks("10.1.5.0/22"));
        for wrong in [
            "",
            "x",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "::/129",
            "10.0.0.0/8",
            "::/0",
            "2001:db8::/48",
            "::ffff:10.0.0.0/95",
            "::ffff:10.0.0.0/129",
        ] {
            assert!(Network::of_block(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn subjects_tell_users_apart() {
        let network = Network::of(Some("192.0.2.1".parse().expect("an address")));
        assert_eq!(network_subject("U1", &network), "login/U1/192.0.2.0/24");
        let users = ["U1", "U1/192.0.2.0", "U1/192.0.2.0/24", "U1%2F", "U1/", "%", "U1/*"];
        let mut subjects = Vec::new();
        for user in users {
            for subject in [network_subject(user, &network), meter_subject(user)] {
                assert_eq!(user_of_subject(&subject).as_deref(), Some(user));
                let owners = users.iter().filter(|other| subject.starts_with(&subject_prefix(other)));
                assert_eq!(owners.collect::<Vec<_>>(), [&user]);
                subjects.push(subject);
            }
        }
        subjects.sort();
        subjects.dedup();
        assert_eq!(subjects.len(), 2 * users.len());
        assert_eq!(user_of_subject(&dummy_subject(7)), None);
    }

    #[test]
    fn the_meter_binds_a_day_after_the_first_log_in_or_with_an_entered_network() {
        let first = Some(now());
        let user = LoginAccount { first_login: first, ..account() };
        assert_eq!(Meter::of(&account(), now() + Duration::days(400)), Meter::Counts);
        assert_eq!(Meter::of(&user, now() + METER_GRACE - Duration::seconds(1)), Meter::Counts);
        assert_eq!(Meter::of(&user, now() + METER_GRACE), Meter::Binds);
        assert_eq!(Meter::of(&LoginAccount { has_entered_networks: true, ..account() }, now()), Meter::Binds);
    }

    #[test]
    fn a_network_is_known_for_30_days_or_for_good() {
        let known = KnownNetwork { last_login: Some(now()) };
        let user = LoginAccount { first_login: Some(now()), network: Some(known), ..account() };
        assert_eq!(Meter::of(&user, now() + KNOWN_NETWORK_LIFETIME - Duration::seconds(1)), Meter::Exempt);
        assert_eq!(Meter::of(&user, now() + KNOWN_NETWORK_LIFETIME), Meter::Binds);
        assert!(!user.is_stale(now() + Duration::hours(23)) && user.is_stale(now() + Duration::hours(24)));
        let entered = LoginAccount { network: Some(KnownNetwork { last_login: None }), ..user };
        assert_eq!(Meter::of(&entered, now() + Duration::days(1_000)), Meter::Exempt);
        assert!(!entered.is_stale(now() + Duration::days(1_000)));
        assert!(LoginAccount { first_login: None, ..entered }.is_stale(now()));
    }

    #[test]
    fn a_meter_that_binds_compares_at_most_100_in_a_day_and_another_one_all() {
        for (meter, expected) in [(Meter::Binds, 100), (Meter::Counts, 2_000)] {
            let (mut attempts, mut compared) = (Attempts::default(), 0);
            for minute in 0..2_000_i64 {
                if let Ok(next) = meter.admit(&attempts, now() + Duration::minutes(minute) * 24 * 60 / 2_000) {
                    attempts = next;
                    compared += 1;
                }
            }
            assert!(compared <= expected && compared >= expected * 9 / 10, "{meter:?}: {compared}");
            assert!(attempts.recent.is_empty());
        }
    }
}
