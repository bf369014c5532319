//! Opens the pools of PostgreSQL and starts the tasks that watch them.

use std::sync::Arc;

use super::pools::Pools;
use super::{heartbeat, rivals};
use crate::options::{DatabaseOptions, SetupError};

/// Opens the pools on the primary, and starts the heartbeat and the search for rivals, until the pools are dropped.
pub(crate) async fn open(options: &Arc<DatabaseOptions>) -> Result<Arc<Pools>, SetupError> {
    let (pools, connection) = Pools::open(options).await?;
    let pools = Arc::new(pools);
    tokio::spawn(heartbeat::run(Arc::downgrade(&pools), Arc::clone(pools.alarm()), connection));
    if !options.read_only {
        tokio::spawn(rivals::watch(Arc::downgrade(&pools)));
    }
    Ok(pools)
}
