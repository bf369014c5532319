//! The findings, for people and for scripts.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::command::output::print;

/// Exit code if there are warnings, and no problems.
const EXIT_WARNINGS: u8 = 3;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// No action is needed.
    Ok,
    /// The checked part works, but should be improved.
    Warning,
    /// The checked part does not work, or is not safe.
    Problem,
}

/// The result of one check.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    level: Level,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cure: Option<String>,
}

/// The findings, in the order of the checks.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
    /// Whether all of a SQLite file is read.
    pub(super) deep: bool,
}

/// The report as JSON.
#[derive(Serialize)]
struct JsonReport<'a> {
    status: &'static str,
    version: &'static str,
    findings: &'a [Finding],
}

impl Report {
    /// Returns a report without findings.
    pub(super) fn new(deep: bool) -> Self {
        Self { findings: Vec::new(), deep }
    }

    /// Adds a finding that needs no action.
    pub(super) fn ok(&mut self, check: &'static str, message: impl Into<String>) {
        self.findings.push(Finding { check, level: Level::Ok, message: message.into(), cure: None });
    }

    /// Adds a warning with its cure.
    pub(super) fn warning(&mut self, check: &'static str, message: impl Into<String>, cure: impl Into<String>) {
        self.findings.push(Finding { check, level: Level::Warning, message: message.into(), cure: Some(cure.into()) });
    }

    /// Adds a problem with its cure.
    pub(super) fn problem(&mut self, check: &'static str, message: impl Into<String>, cure: impl Into<String>) {
        self.findings.push(Finding { check, level: Level::Problem, message: message.into(), cure: Some(cure.into()) });
    }

    /// Prints the report, and returns the exit code.
    pub(super) fn print(&self, json: bool) -> anyhow::Result<ExitCode> {
        if json {
            let (status, version) = (self.status(), env!("CARGO_PKG_VERSION"));
            let answer = JsonReport { status, version, findings: &self.findings };
            print(&format!("{}\n", serde_json::to_string_pretty(&answer)?))?;
        } else {
            print(&self.text())?;
        }
        Ok(match self.worst() {
            Level::Ok => ExitCode::SUCCESS,
            Level::Warning => ExitCode::from(EXIT_WARNINGS),
            Level::Problem => ExitCode::FAILURE,
        })
    }

    fn worst(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }

    fn status(&self) -> &'static str {
        match self.worst() {
            Level::Ok => "well",
            Level::Warning => "warnings",
            Level::Problem => "problems",
        }
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    fn text(&self) -> String {
        let width = self.findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
        let mut text = String::new();
        for Finding { check, level, message, cure } in &self.findings {
            let style = level.style();
            text += &format!("{style}{:7}{style:#}  {check:width$}  {message}\n", level.word());
            if let Some(cure) = cure {
                text += &format!("{:9}{:width$}  cure: {cure}\n", "", "");
            }
        }
        let (problems, warnings) = (self.count(Level::Problem), self.count(Level::Warning));
        let style = self.worst().style();
        text + &format!(
            "\n{style}{problems} problem(s), {warnings} warning(s){style:#}, {} thing(s) looked at\n",
            self.findings.len()
        )
    }
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "PROBLEM",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Ok => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Problem => AnsiColor::Red.on_default().bold(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(level: Level) -> Report {
        let mut report = Report::default();
        report.ok("keys", "one key");
        if level >= Level::Warning {
            report.warning("clock", "is late", "set it");
        }
        if level == Level::Problem {
            report.problem("files", "can be read", "chmod 600");
        }
        report
    }

    #[test]
    fn the_worst_finding_is_the_answer() {
        for (level, status, code) in [
            (Level::Ok, "well", ExitCode::SUCCESS),
            (Level::Warning, "warnings", ExitCode::from(3)),
            (Level::Problem, "problems", ExitCode::FAILURE),
        ] {
            let report = report(level);
            assert_eq!(report.status(), status);
            assert_eq!(format!("{:?}", report.print(true).expect("printed")), format!("{code:?}"));
        }
    }

    #[test]
    fn people_get_one_line_a_finding_and_one_a_cure() {
        let text = anstream::adapter::strip_str(&report(Level::Problem).text()).to_string();
        assert_eq!(
            text,
            "ok       keys   one key\n\
             warning  clock  is late\n                cure: set it\n\
             PROBLEM  files  can be read\n                cure: chmod 600\n\
             \n1 problem(s), 1 warning(s), 3 thing(s) looked at\n"
        );
    }
}
