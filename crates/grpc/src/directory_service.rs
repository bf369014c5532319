//! `DirectoryService`: imports a stream of records in batches, and answers with a result for each.

use std::sync::Arc;
use std::time::Duration;

use access_tokens_domain::import::Record;
use access_tokens_domain::service::import::Run;
use access_tokens_domain::session::Caller;
use access_tokens_domain::store::{AccountStore, Store};
use access_tokens_domain::{Error, Reason, Result};
use access_tokens_proto::v1;
use access_tokens_proto::v1::directory_service_server::DirectoryService;
use access_tokens_proto::v1::record_result::Outcome;
use access_tokens_telemetry::rpc;
use prost::Message;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use super::app::App;
use super::caller::caller;
use super::convert::record;
use super::import_budget::{ImportBudget, Reservation};
use super::layer::method::MAX_RECORD_BYTES;
use super::rpcs::{Rpc, read};
use super::status;
use crate::import_session::{ImportSession, ItemResult, Scope};

/// Maximum number of records of one call.
const MAX_RECORDS: usize = 10_000;

/// Time without a message from the client after which an incomplete batch is written, so that a client that sends nothing keeps no
/// records in memory.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// The service over the import.
pub(super) struct DirectoryGrpc<S> {
    app: Arc<App<S>>,
    batches: ImportBudget,
    waiting: ImportBudget,
}

impl<S> DirectoryGrpc<S> {
    pub(super) fn new(app: Arc<App<S>>) -> Self {
        Self { app, batches: ImportBudget::of_batches(), waiting: ImportBudget::of_waiting_records() }
    }
}

#[tonic::async_trait]
impl<S: Store + AccountStore> DirectoryService for DirectoryGrpc<S> {
    async fn import_directory(
        &self,
        request: Request<Streaming<v1::ImportDirectoryRequest>>,
    ) -> Result<Response<v1::ImportDirectoryResponse>, Status> {
        let caller = caller(&request).map_err(|error| status::from_error(&error))?;
        let mut stream = request.into_inner();
        let mut call = ImportCall::new(self, caller);
        loop {
            let message = match timeout(STALLED_AFTER, stream.message()).await {
                Ok(message) => message.map_err(refused)?,
                Err(_) => {
                    call.flush().await.map_err(|error| status::from_error(&error))?;
                    stream.message().await.map_err(refused)?
                }
            };
            let Some(message) = message else { break };
            call.take(&message).await.map_err(|error| status::from_error(&error))?;
        }
        let response = call.finish().await.map_err(|error| status::from_error(&error))?;
        Ok(Response::new(response))
    }
}

/// The declaration of the method. Each message of its stream is converted by itself.
pub(super) const RPCS: &[Rpc] = &[Rpc::new::<v1::ImportDirectoryRequest, v1::ImportDirectoryResponse>(
    "/accesstoken.v1.DirectoryService/ImportDirectory",
    |message| read(message, |request: v1::ImportDirectoryRequest| record::record(&request)),
)];

/// Returns the error of a stream that ends early: because of bytes that are no message, or because the caller has left.
fn refused(status: Status) -> Status {
    match status::from_decode_failure(&status, MAX_RECORD_BYTES) {
        Some(error) => status::from_error(&error),
        None => status,
    }
}

/// One call of the RPC.
struct ImportCall<'a, S: Store> {
    app: &'a App<S>,
    caller: Caller,
    /// The import with the positions of its records in the stream. The first record starts it, because it says what kind of import it is.
    session: Option<ImportSession<usize>>,
    /// Number of received records.
    count: usize,
    /// Memory of the records that wait for their batch.
    held: Reservation<'a>,
    /// Memory of the records that wait for the end of the import.
    waiting: Reservation<'a>,
    results: Vec<v1::RecordResult>,
}

impl<'a, S: Store + AccountStore> ImportCall<'a, S> {
    fn new(service: &'a DirectoryGrpc<S>, caller: Caller) -> Self {
        let [held, waiting] = [&service.batches, &service.waiting].map(|budget| budget.reserve(caller.organisation));
        Self { app: &service.app, caller, session: None, count: 0, held, waiting, results: Vec::new() }
    }

    async fn take(&mut self, request: &v1::ImportDirectoryRequest) -> Result<()> {
        if self.count == MAX_RECORDS {
            // The records before stay written.
            self.finish_import().await?;
            let text = format!("one call carries at most {MAX_RECORDS} records; send the others in further calls");
            return Err(Error::new(Reason::TooManyRecords, text).with("limit", MAX_RECORDS.to_string()));
        }
        let index = self.count;
        self.count += 1;
        let session = self.session.get_or_insert_with(|| {
            let options = record::options(request);
            let run = if request.check { Run::check(options) } else { Run::new(options) };
            ImportSession::new(run, Scope::Unnumbered)
        });
        match record::record(request).and_then(|record| not_repeated(session, index, record)) {
            Ok(record) => session.add(index, Ok(record)),
            Err(error) => self.push(record::result(index, record::kind(request), Err(error))),
        }
        let has_room = self.held.add(request.encoded_len());
        let bytes = self.held.bytes();
        if !has_room || self.session.as_ref().is_some_and(|session| session.is_full(bytes)) {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let Some(session) = self.session.as_mut().filter(|session| session.batch_start().is_some()) else {
            self.held.release();
            return Ok(());
        };
        let name = if session.only_checks() { "Importer.check" } else { "Importer.import" };
        session.limit_waiting(self.waiting.room());
        let results = rpc::use_case(name, session.write_batch(&self.app.importer, &self.caller)).await?;
        self.held.release();
        self.waiting.release();
        self.waiting.add(session.waiting_memory());
        self.push_all(results);
        Ok(())
    }

    fn push_all(&mut self, results: Vec<ItemResult<usize>>) {
        for ItemResult { place, kind, result } in results {
            self.push(record::result(place, kind, result));
        }
    }

    /// Adds the result of a record to the response, and counts it unless it is only checked.
    fn push(&mut self, result: v1::RecordResult) {
        let outcome = match result.outcome() {
            Outcome::Created => "created",
            Outcome::Updated => "updated",
            Outcome::Unchanged => "unchanged",
            Outcome::Kept => "kept",
            Outcome::Failed | Outcome::Unspecified => "failed",
        };
        if self.session.as_ref().is_some_and(|session| !session.only_checks()) {
            self.app.metrics.imported(outcome, 1);
        }
        self.results.push(result);
    }

    /// Imports the last batch, and the records that wait for others.
    async fn finish_import(&mut self) -> Result<()> {
        self.flush().await?;
        if let Some(session) = &mut self.session {
            let finished = session.finish(&self.app.importer, &self.caller);
            let results = rpc::use_case("Importer.finish", finished).await?;
            self.push_all(results);
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<v1::ImportDirectoryResponse> {
        self.finish_import().await?;
        self.results.sort_by_key(|result| result.index);
        let count = |outcome| {
            let found = self.results.iter().filter(|result| result.outcome() == outcome).count();
            i64::try_from(found).unwrap_or(i64::MAX)
        };
        let tally = self.session.as_ref().map(ImportSession::tally).unwrap_or_default();
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        Ok(v1::ImportDirectoryResponse {
            created_owners: number(tally.accounts_receivable + tally.rewards_participants),
            created_classifications: number(tally.classifications),
            created: count(Outcome::Created),
            updated: count(Outcome::Updated),
            unchanged: count(Outcome::Unchanged),
            failed: count(Outcome::Failed),
            kept: count(Outcome::Kept),
            results: self.results,
        })
    }
}

/// Refuses a record that has the code or the identifier of an earlier one of the call, unless it has an id or a number.
fn not_repeated(session: &mut ImportSession<usize>, index: usize, record: Record) -> Result<Record> {
    let describe = |first| format!("the record at position {first}");
    let checked = session.check_repetition(&record, index as u64, describe).map_err(Error::internal)?;
    checked.map(|()| record)
}
