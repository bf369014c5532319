//! A throwaway PostgreSQL that the tests start themselves, never one that happens to run.
//!
//! ```no_run
//! let url = access_tokens_testkit::postgres::create_database();
//! ```
//!
//! One cluster serves all tests of a process; each test asks for a database of its own. What the cluster promises:
//!
//! - It is durable (`fsync`, `synchronous_commit`, `full_page_writes`), since the service refuses to start otherwise.
//! - It sorts texts by an ICU collation, in which `a` comes before `B`: who needs byte order has to say so.
//! - Its databases belong to an ordinary role, so that nothing works only because a superuser asked.
//! - It ends with the test process, however that ends.

mod cluster;
mod pgbouncer;
mod standby;
mod tools;
mod watchdog;

pub use cluster::{Cluster, ROLE, SERVICE, create_database, shared};
pub use pgbouncer::{PgBouncer, Pooling};
