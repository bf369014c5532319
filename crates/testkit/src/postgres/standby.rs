//! A standby: a second cluster that replicates the first one and can replace it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::cluster::{COMMAND_TIMEOUT, Cluster, data};
use super::tools::{self, Tools};
use super::watchdog::Watchdog;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The way in which a former primary became a standby.
#[derive(Debug, PartialEq, Eq)]
pub enum Rebuilt {
    /// `pg_rewind` removed what the new primary does not have, which may be nothing.
    Rewound,
    /// All data were copied, because `pg_rewind` failed with this error.
    Copied(String),
}

impl Cluster {
    /// Creates and starts a standby: a copy by `pg_basebackup` with streaming replication. Commits do not wait for it.
    pub fn standby(&self) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("access-tokens-postgres-").tempdir()?.keep();
        let tools = Tools::find()?;
        tools.give(&folder)?;
        let watchdog = Watchdog::over(&tools, folder)?;
        self.copy_to(&tools, &data(&watchdog))?;
        let standby = Self::launched(tools, self.settings.clone(), self.variables.clone(), watchdog)?;
        self.wait_for_standby("state = 'streaming'")?;
        Ok(standby)
    }

    fn copy_to(&self, tools: &Tools, data: &Path) -> Result<()> {
        let mut backup = tools.command("pg_basebackup");
        backup.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()]);
        backup.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-D"]).arg(data);
        tools::run(&mut backup)?;
        Ok(())
    }

    /// Starts a primary that can become the standby of its own standby: see [`Self::follow`].
    pub fn start_rewindable() -> Result<Self> {
        // A standby that waits to reach its primary again is promoted only after this interval.
        let cluster = Self::start_with(&["wal_log_hints=on", "wal_retrieve_retry_interval=500ms"])?;
        // In a file too, because `pg_rewind` starts the server itself.
        for setting in ["wal_log_hints = on", "wal_keep_size = '256MB'"] {
            cluster.psql("postgres", &format!("ALTER SYSTEM SET {setting}"))?;
        }
        cluster.psql("postgres", "SELECT pg_reload_conf()")?;
        Ok(cluster)
    }

    /// Makes this stopped server a standby of `primary`, which has replaced it, and starts it on its port. `pg_rewind` removes what
    /// `primary` does not have. If that is impossible, the data are copied again. Returns the way in which it was done.
    pub fn follow(&self, primary: &Self) -> Result<Rebuilt> {
        // The control file of `primary` names its timeline from its first checkpoint on.
        primary.psql("postgres", "CHECKPOINT")?;
        let data = data(&self.watchdog);
        let mut rewind = self.tools.command("pg_rewind");
        rewind.args(["--write-recovery-conf", "--no-sync", "--target-pgdata"]).arg(&data);
        rewind.arg(format!("--source-server=host=127.0.0.1 port={} user=postgres dbname=postgres", primary.port));
        let rebuilt = match tools::run(&mut rewind) {
            Ok(_) => Rebuilt::Rewound,
            Err(error) => {
                std::fs::remove_dir_all(&data)?;
                primary.copy_to(&self.tools, &data)?;
                Rebuilt::Copied(format!("{error:#}"))
            }
        };
        self.resume()?;
        primary.wait_for_standby("state = 'streaming'")?;
        Ok(rebuilt)
    }

    /// Makes commits return without a standby.
    pub fn stop_waiting_for_standbys(&self) -> Result<()> {
        self.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''")?;
        self.psql("postgres", "SELECT pg_reload_conf()")?;
        Ok(())
    }

    /// Makes commits wait until a standby has flushed them. Returns when this holds for everything that was acknowledged before.
    pub fn wait_for_standbys_at_commits(&self) -> Result<()> {
        self.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'")?;
        self.psql("postgres", "SELECT pg_reload_conf()")?;
        self.wait_for_standby("sync_state = 'sync'")?;
        // The checkpointer makes the sessions wait. It has read the settings when CHECKPOINT returns.
        self.psql("postgres", "CHECKPOINT")?;
        self.psql("postgres", "SELECT pg_logical_emit_message(true, 'standby', 'has all until here')")?;
        Ok(())
    }

    /// Freezes the processes that send to standbys, which receive nothing any more. They can only be killed afterwards.
    pub fn freeze_replication(&self) -> Result<()> {
        let senders = self.psql("postgres", "SELECT pid FROM pg_stat_replication")?;
        let senders: Vec<u32> = senders.lines().map(str::parse).collect::<Result<_, _>>()?;
        ensure!(!senders.is_empty(), "no standby follows");
        tools::signal("STOP", &senders)
    }

    /// Pauses replay: the standby receives, and shows what it has replayed so far, until [`Self::resume_replay`].
    pub fn pause_replay(&self) -> Result<()> {
        self.psql("postgres", "SELECT pg_wal_replay_pause()")?;
        self.wait_until("SELECT pg_get_wal_replay_pause_state() = 'paused'")
    }

    /// Resumes replay.
    pub fn resume_replay(&self) -> Result<()> {
        self.psql("postgres", "SELECT pg_wal_replay_resume()")?;
        Ok(())
    }

    /// Waits until the standby shows everything that `primary` has committed so far.
    pub fn wait_for_replay(&self, primary: &Self) -> Result<()> {
        let position = primary.psql("postgres", "SELECT pg_current_wal_flush_lsn()")?;
        self.wait_until(&format!("SELECT pg_last_wal_replay_lsn() >= '{position}'"))
    }

    /// Returns the URL of the same database in this cluster.
    pub fn instead(&self, of: &Self, url: &str) -> String {
        url.replace(&format!("127.0.0.1:{}", of.port), &format!("127.0.0.1:{}", self.port))
    }

    #[expect(clippy::disallowed_methods, reason = "waits for another process, in synchronous code")]
    fn wait_until(&self, sql: &str) -> Result<()> {
        let start = Instant::now();
        while self.psql("postgres", sql)? != "t" {
            ensure!(start.elapsed() < COMMAND_TIMEOUT, "{sql}: not in time");
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Promotes the standby to a primary. It accepts writes when this returns.
    pub fn promote(&self) -> Result<()> {
        let mut promote = self.tools.command("pg_ctl");
        tools::run(promote.args(["promote", "--wait", "-D"]).arg(data(&self.watchdog)))?;
        Ok(())
    }

    fn wait_for_standby(&self, condition: &str) -> Result<()> {
        self.wait_until(&format!("SELECT count(*) > 0 FROM pg_stat_replication WHERE {condition}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(frozen: bool) -> String {
        let primary = Cluster::start().expect("a cluster of its own");
        primary.psql("postgres", "CREATE TABLE kept (id integer)").expect("a table");
        let standby = primary.standby().expect("a standby");
        if frozen {
            primary.freeze_replication().expect("frozen");
        } else {
            primary.wait_for_standbys_at_commits().expect("synchronous");
        }
        standby.psql("postgres", "INSERT INTO kept VALUES (0)").expect_err("it only follows");
        primary.psql("postgres", "INSERT INTO kept VALUES (1)").expect("acknowledged");
        primary.kill().expect("killed");
        standby.promote().expect("promoted");
        let count = standby.psql("postgres", "SELECT count(*) FROM kept").expect("count");
        standby.psql("postgres", "INSERT INTO kept VALUES (2)").expect("no standby is required");
        count
    }

    #[test]
    fn what_was_acknowledged_is_there_after_a_promotion() {
        assert_eq!(kept(false), "1");
    }

    #[test]
    fn a_former_primary_follows_its_former_standby() {
        let primary = Cluster::start_rewindable().expect("a cluster of its own");
        primary.psql("postgres", "CREATE TABLE kept (id integer)").expect("a table");
        let standby = primary.standby().expect("a standby");
        primary.freeze_replication().expect("frozen");
        primary.psql("postgres", "INSERT INTO kept VALUES (1)").expect("only here");
        primary.kill().expect("killed");
        standby.promote().expect("promoted");
        assert_eq!(primary.follow(&standby).expect("it follows"), Rebuilt::Rewound);
        standby.wait_for_standbys_at_commits().expect("synchronous");
        standby.psql("postgres", "INSERT INTO kept VALUES (2)").expect("acknowledged");
        // A planned change of roles: the standby has everything when the primary has ended.
        standby.stop().expect("stopped");
        primary.stop_waiting_for_standbys().expect("no standby is required");
        primary.promote().expect("promoted");
        assert_eq!(primary.psql("postgres", "SELECT id FROM kept").expect("rows"), "2");
        assert_eq!(standby.follow(&primary).expect("it follows"), Rebuilt::Rewound);
    }

    #[test]
    fn a_standby_that_hears_nothing_has_nothing() {
        assert_eq!(kept(true), "0");
    }
}
