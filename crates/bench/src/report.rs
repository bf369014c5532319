//! The results as tables, between marks in performance.md, and as plots beside it.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::contestants::{Contestant, Loop, Results};
use crate::options::Options;
use crate::plots::{Bars, Curve, Curves};
use crate::scenario::Scenario;
use crate::targets::{STEADY_RATE, Target};
use crate::thousands::thousands;

/// Results of one call on a table of this size: CPU time of the service with its database and of the bare SQL, in microseconds, and the
/// rates of both.
pub(crate) struct Size {
    pub(crate) tokens: u64,
    pub(crate) postgres: (f64, f64, f64, f64),
    pub(crate) sqlite: (f64, f64, f64, f64),
}

/// Reports the comparison of all contestants.
pub(crate) fn compared(options: &Options, targets: &[Target], postgres: &Results, sqlite: &Results) -> Result<()> {
    let mut text = String::new();
    writeln!(
        text,
        "{} tokens, {} rounds of {} s, medians over the rounds.\n",
        options.tokens, options.rounds, options.seconds
    )?;
    text.push_str(&aims(targets));
    text.push_str(&runs("PostgreSQL", postgres));
    text.push_str(&runs("SQLite", sqlite));
    print!("{text}");
    let Some(docs) = &options.docs else { return Ok(()) };
    replace(docs, "compare", &text)?;
    let plots = docs.join("performance");
    std::fs::create_dir_all(&plots)?;
    std::fs::write(plots.join("throughput.svg"), throughput(postgres, sqlite)?)?;
    std::fs::write(plots.join("latency.svg"), latency(postgres)?)?;
    Ok(())
}

/// Reports the measurements on a disk with slow flushes.
pub(crate) fn flushed(options: &Options, targets: &[Target], postgres: &Results, sqlite: &Results) -> Result<()> {
    let text = aims(targets) + &runs("PostgreSQL", postgres) + &runs("SQLite", sqlite);
    print!("{text}");
    options.docs.as_ref().map_or(Ok(()), |docs| replace(docs, "flush", &text))
}

/// Reports the measurements on tables of growing size.
pub(crate) fn sized(options: &Options, sizes: &[Size]) -> Result<()> {
    let mut text = String::from(
        "| Tokens | PostgreSQL: show | of it beyond pgbench's CPU | pgbench | SQLite: show | raw join |\n\
         |---:|---:|---:|---:|---:|---:|\n",
    );
    for Size { tokens, postgres, sqlite } in sizes {
        writeln!(
            text,
            "| {} | {:.0} µs, {:.0}/s | {:.0} µs | {:.0} µs, {:.0}/s | {:.0} µs, {:.0}/s | {:.0} µs |",
            thousands(*tokens),
            postgres.0,
            postgres.2,
            postgres.0 - postgres.1,
            postgres.1,
            postgres.3,
            sqlite.0,
            sqlite.2,
            sqlite.1
        )?;
    }
    if let [first, .., last] = sizes {
        let growth = |of: fn(&Size) -> f64| of(last) / of(first);
        // The growth of the time per call, of the service and of the bare SQL.
        let (service, bare) = (growth(|size| 1.0 / size.postgres.2), growth(|size| 1.0 / size.postgres.3));
        writeln!(
            text,
            "\nFrom {} to {} tokens a call takes {service:.2} × as long, and {bare:.2} × with pgbench: {:.2} × its \
             slow-down (at most 1.15 ×).",
            thousands(first.tokens),
            thousands(last.tokens),
            service / bare
        )?;
    }
    print!("{text}");
    let Some(docs) = &options.docs else { return Ok(()) };
    replace(docs, "sizes", &text)?;
    let curve = |name: &'static str, of: fn(&Size) -> f64| Curve {
        name,
        points: sizes.iter().map(|size| (size.tokens as f64, of(size))).collect(),
    };
    let curves = vec![
        curve("PostgreSQL: show, server and database", |size| size.postgres.0),
        curve("PostgreSQL: the same SQL by pgbench", |size| size.postgres.1),
        curve("SQLite: show", |size| size.sqlite.0),
        curve("SQLite: the same SQL alone", |size| size.sqlite.1),
    ];
    let plot = Curves { title: "CPU of a call by table size", x: "tokens", y: "µs", log_y: false, curves };
    std::fs::create_dir_all(docs.join("performance"))?;
    Ok(std::fs::write(docs.join("performance/sizes.svg"), plot.draw()?)?)
}

fn aims(targets: &[Target]) -> String {
    let mut text = String::from("| What | Measured | Target | |\n|---|---:|---:|---|\n");
    for target in targets {
        let measured = target.measured.map_or("–".to_owned(), |value| format!("{value:.2} {}", target.unit));
        let relation = if target.at_least { "≥" } else { "≤" };
        let limit = target.limit.map_or("–".to_owned(), |limit| format!("{relation} {limit} {}", target.unit));
        let verdict = match target.reached() {
            Some(true) => "reached",
            Some(false) => "**missed**",
            None if target.measured.is_none() => "not measured",
            None => "",
        };
        let _ = writeln!(text, "| {} | {measured} | {limit} | {verdict} |", target.what);
    }
    text
}

/// Returns a table of all runs on a database.
pub(crate) fn runs(title: &str, results: &Results) -> String {
    let mut text = format!(
        "\n| {title} | Load | Who | Calls/s | Server CPU | Database CPU | Generator CPU | Answer | p50 | p99 | Not good |\n\
         |---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    );
    for subject in results.subjects() {
        let (scenario, mode, who) = *subject;
        let median = |of: fn(&crate::contestants::Sample) -> f64| results.median(*subject, of).unwrap_or_default();
        let amount = |value: f64, unit: &str| if value > 0.0 { format!("{value:.0} {unit}") } else { "–".to_owned() };
        let late =
            |quantile| results.latency(*subject, quantile).map_or("–".to_owned(), |late| format!("{late:.0} µs"));
        let load = match mode {
            Loop::Closed(calls) => format!("{calls} at once"),
            Loop::Open(rate) => format!("{}/s", thousands(rate.into())),
        };
        let _ = writeln!(
            text,
            "| {} | {load} | {} | {:.0} | {} | {} | {} | {} | {} | {} | {} |",
            scenario.name(),
            name(who, title),
            median(|sample| sample.rate),
            amount(median(|sample| sample.server), "µs"),
            amount(median(|sample| sample.database), "µs"),
            amount(median(|sample| sample.generator), "µs"),
            amount(median(|sample| sample.size), "B"),
            late(0.5),
            late(0.99),
            results.bad(*subject),
        );
    }
    text
}

fn name(who: Contestant, database: &str) -> &'static str {
    match who {
        Contestant::Service => "service",
        Contestant::Empty => "empty call",
        Contestant::Peer => "Go peer",
        Contestant::RememberingPeer => "Go peer that remembers",
        Contestant::Sql if database == "SQLite" => "SQL alone",
        Contestant::Sql => "pgbench, or Argon2id alone",
    }
}

fn throughput(postgres: &Results, sqlite: &Results) -> Result<String> {
    let mut groups = Vec::new();
    for scenario in Scenario::PLAIN {
        let subject = (scenario, crate::targets::EIGHT_CALLERS, Contestant::Service);
        let rate = |results: &Results| results.median(subject, |sample| sample.rate).unwrap_or_default();
        groups.push((scenario.name(), vec![rate(postgres), rate(sqlite)]));
    }
    Bars { title: "Calls a second, 8 at once, on 2 shared cores", names: &["PostgreSQL", "SQLite"], groups }.draw()
}

fn latency(postgres: &Results) -> Result<String> {
    let of = |name, who| {
        let points = [0.0, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999].iter().filter_map(|quantile| {
            // On this axis each step to the right is a tenth of the remaining calls.
            Some((1.0 / (1.0 - quantile), postgres.latency((Scenario::Show, STEADY_RATE, who), *quantile)?))
        });
        Curve { name, points: points.collect() }
    };
    let curves = vec![
        of("service", Contestant::Service),
        of("Go peer", Contestant::Peer),
        of("Go peer that remembers", Contestant::RememberingPeer),
    ];
    Curves {
        title: "show at 1,000 calls a second: latency that 1 of N calls exceeds",
        x: "N",
        y: "µs",
        log_y: true,
        curves: curves.into_iter().filter(|curve| !curve.points.is_empty()).collect(),
    }
    .draw()
}

fn replace(docs: &Path, mark: &str, text: &str) -> Result<()> {
    let path = docs.join("performance.md");
    let old = std::fs::read_to_string(&path)?;
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->\n"));
    let (before, rest) = old.split_once(&begin).with_context(|| format!("no {begin}"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("no {end}"))?;
    Ok(std::fs::write(path, format!("{before}{begin}{text}{end}{after}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_the_one_before() {
        let docs = tempfile::tempdir().unwrap();
        let path = docs.path().join("performance.md");
        std::fs::write(&path, "before\n<!-- a -->\nold\n<!-- end of a -->\nafter\n").unwrap();
        replace(docs.path(), "a", "new\n").unwrap();
        replace(docs.path(), "a", "newer\n").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "before\n<!-- a -->\nnewer\n<!-- end of a -->\nafter\n");
        replace(docs.path(), "b", "").expect_err("there is no such mark");
    }
}
