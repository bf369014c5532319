//! The use cases of API keys, for a command.

use access_tokens_domain::administration::Administration;
use access_tokens_storage::Database;

use crate::command::context::Context;

pub(super) fn administration(context: &Context) -> Administration<Database> {
    let (database, clock) = (context.database.clone(), context.clock.clone());
    Administration::new(database, clock, context.random.clone(), context.secrets.clone())
}
