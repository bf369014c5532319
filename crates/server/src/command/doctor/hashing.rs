//! Measures the time to hash a pass code.

use std::sync::Arc;
use std::time::{Duration, Instant};

use access_tokens_domain::Result;
use access_tokens_domain::ports::{HashWork, Secrets};
use access_tokens_domain::secret::Secret;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_host::SystemRandom;
use access_tokens_secrets::{KeyRing, KeyedSecrets};

use super::report::Report;

const CHECK: &str = "hashing";

/// Number of measurements. The median counts.
const MEASUREMENTS: usize = 5;
/// Limits on the time of a hash. Up to 64 hashes may wait, and callers have a timeout of a few seconds.
const SLOW_HASH_TIME: Duration = Duration::from_millis(100);
const MAX_HASH_TIME: Duration = Duration::from_secs(1);

pub(super) async fn check(report: &mut Report) {
    match measure().await {
        Ok((took, cost)) => report_time(took, &cost, report),
        Err(error) => {
            report.problem(CHECK, format!("nothing can be hashed: {error}"), "look at the memory that is left")
        }
    }
}

/// Returns the median time of a hash, and its parameters. The keys are generated for the measurement only.
async fn measure() -> Result<(Duration, String)> {
    let ring = KeyRing::generate(&SystemRandom)?;
    let ring = KeyRing::parse(&ring).map_err(access_tokens_domain::Error::internal)?;
    let secrets = KeyedSecrets::new(&ring, Arc::new(SystemRandom));
    let (mut times, mut cost) = (Vec::with_capacity(MEASUREMENTS), String::new());
    for _ in 0..MEASUREMENTS {
        let started = Instant::now();
        let hash = secrets.hash(HashWork::call(OrganisationKey::NONE), Secret::new("measured and forgotten")).await?;
        times.push(started.elapsed());
        cost = cost_of(hash.as_stored());
    }
    times.sort_unstable();
    Ok((times[MEASUREMENTS / 2], cost))
}

/// Returns the parameters of a hash without the key id: `m=19456,t=2,p=1` for `$argon2id$v=19$m=19456,t=2,p=1,keyid=...$...`.
fn cost_of(hash: &str) -> String {
    let parameters = hash.split('$').find(|part| part.starts_with("m=")).unwrap_or_default();
    let cost: Vec<_> = parameters.split(',').filter(|one| !one.starts_with("keyid=")).collect();
    cost.join(",")
}

fn report_time(took: Duration, cost: &str, report: &mut Report) {
    let milliseconds = took.as_secs_f64() * 1_000.0;
    let message = format!(
        "Argon2id with {cost}: {milliseconds:.1} ms a pass code, {:.0} a second a core",
        1_000.0 / milliseconds
    );
    let cure = "give the service faster or less busy cores; look whether it is limited (cgroup, container)";
    if took > MAX_HASH_TIME {
        report.problem(CHECK, format!("{message}: logins wait for longer than callers do"), cure);
    } else if took > SLOW_HASH_TIME {
        report.warning(CHECK, format!("{message}: it is made for about 15 ms"), cure);
    } else {
        report.ok(CHECK, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_measured_hash_has_the_form_of_stored_ones() {
        let (took, cost) = measure().await.expect("measured");
        assert_eq!(cost, "m=19456,t=2,p=1");
        assert!(took > Duration::from_micros(100), "19 MiB were not written in {took:?}");
    }

    #[test]
    fn slow_machines_are_reported() {
        for (took, expected) in [(15, "Ok"), (101, "Warning"), (1_001, "Problem")] {
            let mut report = Report::default();
            report_time(Duration::from_millis(took), "m=1", &mut report);
            assert!(format!("{report:?}").contains(expected), "{report:?}");
        }
    }
}
