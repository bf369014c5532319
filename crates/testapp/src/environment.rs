//! The environment of fault tests and measurements: an installation of the service on a database of its own.

use std::path::{Path, PathBuf};

use access_tokens_testkit::postgres::Cluster;
use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process::Installation;

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// SQLite: one file, one process.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl Kind {
    /// Returns the name of the product.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// Options of an environment.
#[derive(Default)]
pub struct Options {
    /// Binary of the service.
    pub binary: String,
    /// The PostgreSQL cluster. Without one the database is SQLite.
    pub cluster: Option<Cluster>,
    /// Hosts of PostgreSQL in the URL of the service, such as `127.0.0.1:5432,127.0.0.1:5433`. Default: the cluster.
    pub database_hosts: Option<String>,
    /// Environment variables of the service.
    pub variables: Vec<(&'static str, String)>,
    /// Working directory of the service. Default: a temporary one.
    pub directory: Option<PathBuf>,
    /// Directory of the SQLite file. Default: the working directory.
    pub files: Option<PathBuf>,
}

/// An installation and its database, with a temporary directory.
pub struct Environment {
    installation: Installation,
    cluster: Option<Cluster>,
    database: String,
    file: PathBuf,
    directory: TempDir,
}

impl Environment {
    /// Creates the database, its keys and its schema. Starts no server. Blocks.
    ///
    /// # Errors
    /// A command fails.
    pub fn prepare(options: Options) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("access-tokens-").tempdir()?;
        let work = options.directory.unwrap_or_else(|| directory.path().to_owned());
        let file = options.files.as_ref().unwrap_or(&work).join("access-tokens.db");
        let mut url = match &options.cluster {
            None => format!("sqlite://{}", file.display()),
            Some(cluster) => cluster.create_database()?,
        };
        if let (Some(cluster), Some(hosts)) = (&options.cluster, &options.database_hosts) {
            url = url.replace(&format!("127.0.0.1:{}", cluster.port()), hosts);
        }
        let database = url.rsplit('/').next().unwrap_or_default().to_owned();
        let mut installation = Installation::new(&options.binary, &work, &url)
            .with("ACCESS_TOKENS__LOG__LEVEL", "warn")
            .with("ACCESS_TOKENS__GRPC__MAX_CONNECTION_AGE_SECONDS", "604800");
        for (name, value) in &options.variables {
            installation = installation.with(name, value);
        }
        let environment = Self { installation, cluster: options.cluster, database, file, directory };
        if environment.cluster.is_some() {
            environment.run(&["keys", "init"])?;
            environment.run(&["migrate"])?;
        }
        Ok(environment)
    }

    /// Runs a command of the service to its end and returns its output. Blocks.
    ///
    /// # Errors
    /// The command fails.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.installation.run(arguments);
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Imports a file into an organisation, and creates the organisation if there is none. Blocks.
    ///
    /// # Errors
    /// The import fails.
    pub fn import(&self, organisation: &str, path: &Path) -> Result<()> {
        let path = path.display().to_string();
        self.run(&["import", "--create-organisation", "--organisation", organisation, &path]).map(drop)
    }

    /// Imports lines of records. Blocks.
    ///
    /// # Errors
    /// The import fails.
    pub fn import_fixtures(&self, organisation: &str, lines: &str) -> Result<()> {
        let path = self.directory.path().join("fixtures.ndjson");
        std::fs::write(&path, lines)?;
        self.import(organisation, &path)
    }

    /// Returns the installation.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Returns the PostgreSQL cluster, if the database is PostgreSQL.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Replaces the cluster by another one with the same data, and returns the former one.
    pub fn replace_cluster(&mut self, cluster: Cluster) -> Option<Cluster> {
        self.cluster.replace(cluster)
    }

    /// Returns the name of the PostgreSQL database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Runs SQL in the PostgreSQL database as its superuser. Blocks.
    ///
    /// # Errors
    /// The database is SQLite, or the statement fails.
    pub fn psql(&self, sql: &str) -> Result<String> {
        self.cluster.as_ref().context("the database is SQLite")?.psql(&self.database, sql)
    }

    /// Returns the path of the SQLite file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns the temporary directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}
