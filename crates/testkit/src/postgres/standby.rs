//! A standby: a second cluster that replicates the first one and can replace it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::cluster::{COMMAND_TIMEOUT, Cluster, data};
use super::tools::{self, Tools};
use super::watchdog::Watchdog;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

impl Cluster {
    /// Creates and starts a standby: a copy by `pg_basebackup` with streaming replication. Commits do not wait for it.
    pub fn standby(&self) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("access-tokens-postgres-").tempdir()?.keep();
        let tools = Tools::find()?;
        tools.give(&folder)?;
        let watchdog = Watchdog::over(&tools, folder)?;
        let mut backup = tools.command("pg_basebackup");
        backup.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()]);
        backup.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-D"]).arg(data(&watchdog));
        tools::run(&mut backup)?;
        let standby = Self::launched(tools, self.settings.clone(), self.variables.clone(), watchdog)?;
        self.wait_for_standby("state = 'streaming'")?;
        Ok(standby)
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
    fn a_standby_that_hears_nothing_has_nothing() {
        assert_eq!(kept(true), "0");
    }
}
