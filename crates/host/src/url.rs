//! Hosts and ports of URLs in settings.

use std::net::IpAddr;

use http::Uri;

/// Returns whether data sent to a URL stays on this machine.
pub fn is_local(url: &Uri) -> bool {
    let named = || url.host().is_some_and(|host| host.eq_ignore_ascii_case("localhost"));
    host_address(url).map_or_else(named, |address| address.to_canonical().is_loopback())
}

/// Returns the host of a URL where it is an address and not a name.
pub fn host_address(url: &Uri) -> Option<IpAddr> {
    url.host()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Returns whether the port of a URL, if it has one, is between 1 and 65535. The library accepts any digits.
pub fn has_good_port(url: &Uri) -> bool {
    let Some(authority) = url.authority() else { return false };
    let after_host = authority.as_str().rsplit(']').next().unwrap_or_default();
    after_host.split_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_between_one_and_65535() {
        for (url, good) in [
            ("http://h", true),
            ("http://h:1", true),
            ("http://[::1]:65535/x", true),
            ("http://[::1]", true),
            ("http://h:0", false),
            ("http://h:65536", false),
            ("http://[::1]:99999", false),
        ] {
            assert_eq!(url.parse::<Uri>().is_ok_and(|url| has_good_port(&url)), good, "{url}");
        }
    }
}
