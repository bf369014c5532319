//! Hosts of a database URL, in the syntax of libpq: `postgres://user@host1:port1,host2:port2/database`, or lists in the
//! parameters `host`, `hostaddr` and `port`. The driver knows one host only. So a URL with several hosts becomes one
//! URL for each host.

use std::net::IpAddr;
use std::time::Duration;

/// Maximum number of hosts of one URL.
const MAX_HOSTS: usize = 16;

/// Parameters of libpq that this module handles. The driver does not know them.
pub(crate) const PARAMETERS: [&str; 3] = ["connect_timeout", "load_balance_hosts", "target_session_attrs"];

/// Value of `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionAttributes {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// A URL, as one URL of the driver for each of its hosts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HostList {
    /// URLs with one host each, in their order; at least one.
    pub(crate) urls: Vec<String>,
    /// `None`: the URL has no `target_session_attrs`.
    pub(crate) attributes: Option<SessionAttributes>,
    /// Maximum time to connect to one host. `None`: the URL does not limit it.
    pub(crate) connect_timeout: Option<Duration>,
    /// Whether the first host is chosen at random.
    pub(crate) random: bool,
}

/// One host, as the URL writes it.
#[derive(Debug, Default, Clone)]
struct Host {
    name: String,
    /// Address to connect to. The name is then not resolved.
    address: Option<String>,
    port: Option<String>,
}

impl HostList {
    /// Splits a URL. An error is a sentence without any text of the URL, which may be a part of a password.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let whole = || Self { urls: vec![url.to_owned()], attributes: None, connect_timeout: None, random: false };
        // Without an authority there is no list; the driver decides what such a text means.
        let Some((scheme, rest)) = url.split_once("://") else { return Ok(whole()) };
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        // Such a letter of a password would make the rest of it a host, a path or parameters.
        let names_a_user = |text: &str| text.contains('@');
        if url.contains('#') || names_a_user(path) || parameter_names(url).any(names_a_user) {
            return Err("#, / and ? in user or password must be written as %23, %2F and %3F".to_owned());
        }
        let (user, places) = authority.rsplit_once('@').map_or(("", authority), |(user, places)| (user, places));

        let mut list = whole();
        let (mut kept, mut lists) = (Vec::new(), Lists::default());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let decoded = || percent_decoded(&value.replace('+', " "));
            match name {
                "target_session_attrs" => list.attributes = Some(session_attributes(&decoded()?)?),
                "load_balance_hosts" => list.random = is_random(&decoded()?)?,
                "connect_timeout" => list.connect_timeout = seconds(&decoded()?)?,
                "host" => lists.hosts = Some(decoded()?),
                "hostaddr" => lists.addresses = Some(decoded()?),
                "port" => lists.ports = Some(decoded()?),
                _ => kept.push(parameter),
            }
        }
        let hosts = lists.applied_to(hosts_of_authority(places)?)?;
        let user = if user.is_empty() { String::new() } else { format!("{user}@") };
        list.urls = hosts
            .iter()
            .map(|host| {
                let own = host.parameters();
                let parameters: Vec<_> = kept.iter().copied().chain(own.iter().map(String::as_str)).collect();
                let mark = if parameters.is_empty() { "" } else { "?" };
                // The parameters name the host. A user without a host would not be valid.
                let place = if user.is_empty() || host.is_default() { "" } else { "localhost" };
                format!("{scheme}://{user}{place}{path}{mark}{}", parameters.join("&"))
            })
            .collect();
        Ok(list)
    }
}

/// Lists in the parameters of a URL. Each overrides the authority.
#[derive(Default)]
struct Lists {
    hosts: Option<String>,
    addresses: Option<String>,
    ports: Option<String>,
}

impl Lists {
    fn applied_to(&self, authority: Vec<Host>) -> Result<Vec<Host>, String> {
        let mut hosts = match (&self.hosts, &self.addresses) {
            (Some(names), _) => split(names)?.into_iter().map(|name| Host { name, ..Host::default() }).collect(),
            // Addresses without names.
            (None, Some(addresses)) if authority.iter().all(|host| host.name.is_empty()) => {
                vec![Host::default(); split(addresses)?.len()]
            }
            _ => authority,
        };
        if let Some(addresses) = &self.addresses {
            let addresses = split(addresses)?;
            if addresses.len() != hosts.len() {
                return Err("hostaddr must name one address for each host".to_owned());
            }
            for (host, address) in hosts.iter_mut().zip(addresses) {
                if !address.is_empty() && address.parse::<IpAddr>().is_err() {
                    return Err("hostaddr must name addresses, such as 192.0.2.1 or 2001:db8::1".to_owned());
                }
                host.address = Some(address).filter(|address| !address.is_empty());
            }
        }
        if let Some(ports) = &self.ports {
            let ports = split(ports)?;
            if ports.len() != 1 && ports.len() != hosts.len() {
                return Err("port must name one port for all hosts, or one for each".to_owned());
            }
            for (host, port) in hosts.iter_mut().zip(ports.iter().cycle()) {
                host.port = Some(port.clone()).filter(|port| !port.is_empty());
            }
        }
        let several = hosts.len() > 1;
        for host in &hosts {
            if several && host.is_default() {
                return Err("a list of hosts must not have an empty one".to_owned());
            }
            host.check()?;
        }
        Ok(hosts)
    }
}

impl Host {
    /// Returns whether the driver chooses the host.
    fn is_default(&self) -> bool {
        self.name.is_empty() && self.address.is_none()
    }

    fn check(&self) -> Result<(), String> {
        let is_socket = self.name.starts_with('/');
        let in_name = |letter: char| letter.is_alphanumeric() || "-_.:%".contains(letter);
        if self.name.chars().any(|letter| if is_socket { letter.is_control() } else { !in_name(letter) }) {
            return Err("a host has a character that no name of a host has".to_owned());
        }
        match &self.port {
            Some(port) if !port.parse::<u16>().is_ok_and(|number| number > 0) => {
                Err("a port must be a number from 1 to 65535".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Returns the parameters by which the driver finds this host. The driver uses the last one of `host` and
    /// `hostaddr`.
    fn parameters(&self) -> Vec<String> {
        let name = Some(&self.name).filter(|name| !name.is_empty()).map(|name| ("host", name));
        let given = [name, self.address.as_ref().map(|address| ("hostaddr", address))];
        let given = given.into_iter().chain([self.port.as_ref().map(|port| ("port", port))]);
        given.flatten().map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect()
    }
}

/// Returns the names of the parameters of a URL.
pub(crate) fn parameter_names(url: &str) -> impl Iterator<Item = &str> {
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters).split('&');
    parameters.filter_map(|one| one.split('=').next()).filter(|name| !name.is_empty())
}

/// Splits the hosts between user and path, each with its port.
fn hosts_of_authority(places: &str) -> Result<Vec<Host>, String> {
    let one = |place: String| {
        let (name, port) = if let Some(rest) = place.strip_prefix('[') {
            let (name, rest) = rest.split_once(']').ok_or("an IPv6 address must end with ]")?;
            if !rest.is_empty() && !rest.starts_with(':') {
                return Err("a port follows a colon".to_owned());
            }
            (name.to_owned(), rest.strip_prefix(':').unwrap_or_default().to_owned())
        } else {
            let (name, port) = place.split_once(':').unwrap_or((&place, ""));
            (percent_decoded(name)?, port.to_owned())
        };
        Ok(Host { name, address: None, port: Some(port).filter(|port| !port.is_empty()) })
    };
    split(places)?.into_iter().map(one).collect()
}

/// Splits a list at its commas.
fn split(list: &str) -> Result<Vec<String>, String> {
    let parts: Vec<_> = list.split(',').take(MAX_HOSTS + 1).map(str::to_owned).collect();
    if parts.len() > MAX_HOSTS {
        return Err(format!("a database has at most {MAX_HOSTS} hosts"));
    }
    Ok(parts)
}

fn session_attributes(value: &str) -> Result<SessionAttributes, String> {
    Ok(match value {
        "any" => SessionAttributes::Any,
        "read-write" => SessionAttributes::ReadWrite,
        "read-only" => SessionAttributes::ReadOnly,
        "primary" => SessionAttributes::Primary,
        "standby" => SessionAttributes::Standby,
        "prefer-standby" => SessionAttributes::PreferStandby,
        _ => {
            let known = "any, read-write, read-only, primary, standby or prefer-standby";
            return Err(format!("target_session_attrs must be {known}"));
        }
    })
}

fn is_random(value: &str) -> Result<bool, String> {
    match value {
        "disable" => Ok(false),
        "random" => Ok(true),
        _ => Err("load_balance_hosts must be disable or random".to_owned()),
    }
}

/// Reads a number of seconds. As in libpq, zero and negative numbers mean no limit.
fn seconds(value: &str) -> Result<Option<Duration>, String> {
    let seconds: i32 = value.parse().map_err(|_| "connect_timeout must be a number of seconds".to_owned())?;
    Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

fn percent_decoded(text: &str) -> Result<String, String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, after @ ..] = rest {
        let escaped = match after {
            [high, low, after @ ..] if *first == b'%' => {
                hex(*high).zip(hex(*low)).map(|(high, low)| (high * 16 + low, after))
            }
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| "the text after a percent sign must be UTF-8".to_owned())
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(url: &str) -> Vec<String> {
        HostList::parse(url).expect(url).urls
    }

    fn refusal(url: &str) -> String {
        let refusal = HostList::parse(url).expect_err(url);
        assert!(!refusal.contains("hunter2"), "{url}: {refusal}");
        refusal
    }

    #[test]
    fn each_host_gets_its_url() {
        for (url, expected) in [
            ("postgres://h/d", &["postgres:///d?host=h"] as &[_]),
            ("postgres:///d", &["postgres:///d"]),
            ("postgres://", &["postgres://"]),
            (
                "postgres://u:p@h1:1,h2:2/d",
                &["postgres://u:p@localhost/d?host=h1&port=1", "postgres://u:p@localhost/d?host=h2&port=2"],
            ),
            (
                "postgresql://h1,h2:2/d?sslmode=require",
                &["postgresql:///d?sslmode=require&host=h1", "postgresql:///d?sslmode=require&host=h2&port=2"],
            ),
            (
                "postgres://u:a@b,c@h1,h2/d",
                &["postgres://u:a@b,c@localhost/d?host=h1", "postgres://u:a@b,c@localhost/d?host=h2"],
            ),
            (
                "postgres://[::1]:5,[2001:db8::1]/d",
                &["postgres:///d?host=%3A%3A1&port=5", "postgres:///d?host=2001%3Adb8%3A%3A1"],
            ),
            ("postgres://%2Fvar%2Frun,h/d", &["postgres:///d?host=%2Fvar%2Frun", "postgres:///d?host=h"]),
            (
                "postgres:///d?host=/tmp/a%20b,h2&port=1,2",
                &["postgres:///d?host=%2Ftmp%2Fa%20b&port=1", "postgres:///d?host=h2&port=2"],
            ),
            ("postgres:///d?host=h1,h2&port=7", &["postgres:///d?host=h1&port=7", "postgres:///d?host=h2&port=7"]),
            ("postgres:///d?host=h1,h2&port=7,", &["postgres:///d?host=h1&port=7", "postgres:///d?host=h2"]),
            ("postgres://u:p@/d", &["postgres://u:p@/d"]),
            ("postgres:///d?host=h1%2Ch2", &["postgres:///d?host=h1", "postgres:///d?host=h2"]),
            ("postgres://a:1,b:2/d?port=7", &["postgres:///d?host=a&port=7", "postgres:///d?host=b&port=7"]),
            ("postgres://ignored:1/d?host=h1,h2", &["postgres:///d?host=h1", "postgres:///d?host=h2"]),
            (
                "postgres://h1,h2/d?hostaddr=192.0.2.1,::1",
                &["postgres:///d?host=h1&hostaddr=192.0.2.1", "postgres:///d?host=h2&hostaddr=%3A%3A1"],
            ),
            (
                "postgres:///d?hostaddr=192.0.2.1,192.0.2.2",
                &["postgres:///d?hostaddr=192.0.2.1", "postgres:///d?hostaddr=192.0.2.2"],
            ),
            ("postgres://h/d?a=b&target_session_attrs=any&c=d", &["postgres:///d?a=b&c=d&host=h"]),
            ("postgres:hunter2", &["postgres:hunter2"]),
        ] {
            assert_eq!(urls(url), expected, "{url}");
        }
    }

    #[test]
    fn letters_that_end_a_part_of_a_url_are_refused() {
        for url in [
            "postgres://u:hunter2#@h/d",
            "postgres://u:p@h/d#hunter2",
            "postgres://u:p@h/d#hunter2?x=y",
            "postgres://u:12/hunter2@h/d",
            "postgres://u:12?hunter2@h/d",
            "postgres://u:12?a=b&hunter2@h/d",
        ] {
            assert!(refusal(url).contains("%23, %2F and %3F"), "{url}");
        }
        assert_eq!(urls("postgres://h/d?user=a@b"), ["postgres:///d?user=a@b&host=h"]);
    }

    #[test]
    fn the_parameters_of_libpq_are_read() {
        let list = |parameters: &str| HostList::parse(&format!("postgres://h/d?{parameters}")).expect(parameters);
        for (value, expected) in [
            ("any", SessionAttributes::Any),
            ("read-write", SessionAttributes::ReadWrite),
            ("read-only", SessionAttributes::ReadOnly),
            ("primary", SessionAttributes::Primary),
            ("standby", SessionAttributes::Standby),
            ("prefer-standby", SessionAttributes::PreferStandby),
            ("read%2Dwrite", SessionAttributes::ReadWrite),
        ] {
            assert_eq!(list(&format!("target_session_attrs={value}")).attributes, Some(expected), "{value}");
        }
        assert_eq!(list("").attributes, None);
        assert!(list("load_balance_hosts=random").random && !list("load_balance_hosts=disable").random);
        for (value, expected) in [("3", Some(3)), ("0", None), ("-1", None)] {
            let limit = list(&format!("connect_timeout={value}")).connect_timeout;
            assert_eq!(limit, expected.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn hostile_lists_are_refused_without_a_word_of_the_url() {
        let many = format!("postgres://u:hunter2@{}/d", ",".repeat(10_000));
        let seventeen = format!("postgres://u:hunter2@{}h/d", "h,".repeat(16));
        let in_a_parameter = format!("postgres://u:hunter2@h/d?host={}", ",".repeat(10_000));
        for url in [&many, &seventeen, &in_a_parameter] {
            assert!(refusal(url).contains("at most 16 hosts"), "{}", url.len());
        }
        assert_eq!(urls(&format!("postgres://{}h/d", "h,".repeat(15))).len(), 16);
        for url in [
            "postgres://u:hunter2@h1,,h2/d",
            "postgres://u:hunter2@h1,/d",
            "postgres://u:hunter2@,h2/d",
            "postgres://u:hunter2@h1:1,:2/d",
            "postgres://u:hunter2@h1:x,h2/d",
            "postgres://u:hunter2@h1:0,h2/d",
            "postgres://u:hunter2@h1:99999/d",
            "postgres://u:hunter2@h1:1:2/d",
            "postgres://u:hunter2@[::1,h2/d",
            "postgres://u:hunter2@[::1]5,h2/d",
            "postgres://u:hunter2@h1%0Ah/d",
            "postgres://u:hunter2@h%201,h2/d",
            "postgres://u:hunter2@h%FF1,h2/d",
            "postgres:///d?password=hunter2&host=/a%0Ab,h",
            "postgres:///d?password=hunter2&host=a,b,c&port=1,2",
            "postgres:///d?password=hunter2&host=a,b&hostaddr=::1",
            "postgres:///d?password=hunter2&host=a,b&hostaddr=c,d",
            "postgres://u:hunter2@h/d?target_session_attrs=hunter2",
            "postgres://u:hunter2@h/d?target_session_attrs=",
            "postgres://u:hunter2@h/d?load_balance_hosts=hunter2",
            "postgres://u:hunter2@h/d?connect_timeout=hunter2",
            "postgres://u:hunter2@h/d?connect_timeout=99999999999",
        ] {
            refusal(url);
        }
    }
}
