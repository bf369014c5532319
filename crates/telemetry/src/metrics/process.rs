//! Metrics of the process, under the names that Prometheus client libraries use.
//!
//! The values are read from `/proc` only when the metrics are read. If a file of `/proc` is missing, as on other systems than Linux, or has
//! unknown content, the metric is left out.

use std::fs;

use opentelemetry::metrics::Meter;

use super::value::single;

/// Length of the kernel's clock tick as programs see it (`USER_HZ`): 10 ms on every architecture that this program is built for.
const TICKS_PER_SECOND: f64 = 100.0;
const BYTES_PER_KIBIBYTE: u64 = 1_024;

/// Adds the metrics of this process.
pub(super) fn watch(meter: &Meter) {
    let counter = meter.f64_observable_counter("process.cpu").with_unit("s");
    let counter = counter.with_description("Time on a CPU, of user and system together");
    counter.with_callback(|seen| stat().iter().for_each(|stat| seen.observe(stat.cpu_seconds, &[]))).build();
    let gauge = meter.f64_observable_gauge("process.start_time").with_unit("s");
    let gauge = gauge.with_description("Start of the process, in seconds since 1970");
    gauge.with_callback(|seen| started().iter().for_each(|seconds| seen.observe(*seconds, &[]))).build();
    let gauge = |name, unit, described, look: fn() -> Option<u64>| {
        let gauge = meter.u64_observable_gauge(name).with_unit(unit).with_description(described);
        gauge.with_callback(single(look)).build();
    };
    gauge("process.threads", "", "Threads", || Some(stat()?.threads));
    gauge("process.resident_memory", "By", "Memory that is in use, without what is swapped out", || memory("VmRSS:"));
    gauge("process.virtual_memory", "By", "Memory that is mapped", || memory("VmSize:"));
    gauge("process.open_fds", "", "File descriptors that are open", open_files);
    gauge("process.max_fds", "", "File descriptors that may be open", || max_files(&read("/proc/self/limits")?));
}

/// Values of `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: u64,
    /// Seconds from the start of the machine to that of the process.
    started: f64,
}

impl Stat {
    /// Fields are counted as in proc_pid_stat(5), from 1.
    fn parse(text: &str) -> Option<Self> {
        // The second field, the name, is in parentheses and may contain blanks and parentheses.
        let (_, after_name) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let seconds = |field| Some(number(field)? as f64 / TICKS_PER_SECOND);
        Some(Self { cpu_seconds: seconds(14)? + seconds(15)?, threads: number(20)?, started: seconds(22)? })
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn stat() -> Option<Stat> {
    Stat::parse(&read("/proc/self/stat")?)
}

/// Returns the start of the process, in seconds since 1970.
fn started() -> Option<f64> {
    Some(boot_time(&read("/proc/stat")?)? + stat()?.started)
}

/// Returns the start of the machine, in seconds since 1970.
fn boot_time(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// Returns a size of `/proc/self/status`, in bytes.
fn memory(name: &str) -> Option<u64> {
    kibibytes(&read("/proc/self/status")?, name).map(|size| size * BYTES_PER_KIBIBYTE)
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn open_files() -> Option<u64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    // One of the descriptors belongs to the directory that is read here.
    Some(count.saturating_sub(1))
}

/// Returns the soft limit of open files. None if there is no limit.
fn max_files(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_moves_no_field() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 7 18 12345 20 21";
        let expected = Stat { cpu_seconds: 3.0, threads: 7, started: 123.45 };
        for name in ["access-tokens", "a b", ") 1 (", "))"] {
            assert_eq!(Stat::parse(&format!("42 ({name}) {rest}")).as_ref(), Some(&expected), "{name}");
        }
        for bad in ["", "42 (x", "42 (x) S 1 2", &format!("42 (x) {}", rest.replace("250", "-1"))] {
            assert_eq!(Stat::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn lines_of_proc_are_read_by_name() {
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\nprocesses 3\n"), Some(1_700_000_000.0));
        assert_eq!(boot_time("cpu 1 2\n"), None);
        let status = "Name:\tx\nVmSize:\t   2048 kB\nVmRSS:\t    512 kB\n";
        assert_eq!((kibibytes(status, "VmRSS:"), kibibytes(status, "VmSize:")), (Some(512), Some(2_048)));
        assert_eq!(kibibytes("VmRSS:\t512 MB\n", "VmRSS:"), None);
        let limits = "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files\n";
        assert_eq!(max_files(limits), Some(1_024));
        assert_eq!(max_files(&limits.replace("1024", "unlimited")), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn values_of_this_process_are_plausible() {
        let held: Vec<_> = (0..10).map(|_| fs::File::open("/dev/null").expect("opened")).collect();
        let before = open_files().expect("counted");
        drop(held);
        // Other tests open files meanwhile, and close them.
        assert!(before >= 10 && before <= max_files(&read("/proc/self/limits").expect("limits")).unwrap_or(u64::MAX));
        let stat = stat().expect("read");
        assert!(stat.threads >= 1 && stat.cpu_seconds >= 0.0, "{stat:?}");
        let memory = ["VmRSS:", "VmSize:"].map(|name| memory(name).expect("read"));
        assert!(memory[0] > 1 << 20 && memory[0] < memory[1], "{memory:?}");
        let started = started().expect("read");
        let now = chrono::DateTime::<chrono::Utc>::from(
            fs::metadata("/proc/self").expect("there").modified().expect("a time"),
        );
        assert!((now.timestamp() as f64 - started).abs() < 24.0 * 3_600.0, "{started}");
    }
}
