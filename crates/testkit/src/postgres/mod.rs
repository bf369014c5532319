//! A temporary PostgreSQL that the tests start themselves. They never use one that is already running.
//!
//! ```no_run
//! let url = access_tokens_testkit::postgres::create_database();
//! ```
//!
//! One cluster serves all tests of a process, and each test has a database of its own. Properties of the cluster:
//!
//! - It is durable (`fsync`, `synchronous_commit`, `full_page_writes`), because the service refuses to start otherwise.
//! - It sorts texts by an ICU collation, in which `a` comes before `B`: a query that needs byte order must say so.
//! - Its databases belong to an ordinary role, so that nothing works only for a superuser.
//! - It ends with the test process, however that process ends.

mod cluster;
mod patroni;
mod pgbouncer;
mod standby;
mod tools;
mod watchdog;

pub use cluster::{Cluster, ROLE, SERVICE, create_database, shared};
pub use patroni::{PatroniPair, Switchover};
pub use pgbouncer::{PgBouncer, Pooling};
pub use standby::Rebuilt;
