//! A gRPC client: requests and answers as JSON with the names of the contract, and refusals with their details.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use access_tokens_grpc::status::from_error;
use access_tokens_proto::v1::access_token_service_client::AccessTokenServiceClient;
use access_tokens_proto::v1::directory_service_client::DirectoryServiceClient;
use access_tokens_proto::v1::import_directory_request::Existing;
use access_tokens_proto::v1::{CreateAccessTokenRequest, ImportDirectoryRequest, ImportDirectoryResponse};
use access_tokens_proto::{BytesCodec, descriptor_pool, json, options};
use http::uri::PathAndQuery;
use prost::Message;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

/// A gRPC client with its credentials.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    header: &'static str,
    value: String,
    deadline: Option<Duration>,
}

/// A refusal of a call.
#[derive(Debug)]
pub struct Refusal {
    /// The reason in ErrorInfo, or an empty text.
    pub reason: String,
    status: Status,
    violations: Vec<(String, String)>,
    metadata: BTreeMap<String, String>,
}

impl Refusal {
    fn new(status: Status) -> Self {
        let info = status.get_details_error_info();
        let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
        Self {
            reason: info.as_ref().map(|info| info.reason.clone()).unwrap_or_default(),
            metadata: info.map(|info| info.metadata.into_iter().collect()).unwrap_or_default(),
            violations: violations.into_iter().map(|v| (v.field, v.description)).collect(),
            status,
        }
    }

    /// Returns the refusal that a gRPC client would receive for a domain error.
    pub fn from_domain(error: &access_tokens_domain::Error) -> Self {
        Self::new(from_error(error))
    }

    /// Returns the gRPC code.
    pub fn code(&self) -> Code {
        self.status.code()
    }

    /// Returns the time after which the server asks to repeat the call.
    pub fn retry_after(&self) -> Option<Duration> {
        self.status.get_details_retry_info().and_then(|info| info.retry_delay)
    }

    /// Returns the fields at fault, in order.
    pub fn fields(&self) -> Vec<&str> {
        self.violations.iter().map(|(field, _)| field.as_str()).collect()
    }

    /// Returns a value of the metadata of ErrorInfo, or an empty text.
    pub fn metadata(&self, key: &str) -> String {
        self.metadata.get(key).cloned().unwrap_or_default()
    }

    /// Returns all texts of the refusal.
    pub fn text(&self) -> String {
        let fields: Vec<_> = self.violations.iter().map(|(field, text)| format!("{field}: {text}")).collect();
        format!("{} {} [{}]", self.reason, self.status.message(), fields.join("; "))
    }
}

impl Client {
    /// Returns a client without a session, over a channel.
    pub fn over(channel: Channel) -> Self {
        Self { channel, header: "authorization", value: String::new(), deadline: None }
    }

    /// Returns a client without a session, of a server at an address.
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(Channel::from_shared(format!("http://{address}")).expect("a URI").connect_lazy())
    }

    /// Returns this client. A [`super::TestApp`] dereferences to it.
    pub fn caller(&self) -> &Self {
        self
    }

    /// Returns the same client with another session.
    pub fn with_session(&self, token: &str) -> Self {
        Self { header: "authorization", value: format!("Bearer {token}"), ..self.clone() }
    }

    /// Returns the same client with an API key in place of a session.
    pub fn with_api_key(&self, key: &str) -> Self {
        Self { header: "x-api-key", value: key.to_owned(), ..self.clone() }
    }

    /// Returns the same client with a deadline.
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self.clone() }
    }

    /// Returns the session token of this client.
    pub fn session(&self) -> &str {
        self.value.strip_prefix("Bearer ").unwrap_or_default()
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(deadline) = self.deadline {
            request.set_timeout(deadline);
        }
        if !self.value.is_empty()
            && let Ok(value) = self.value.parse()
        {
            request.metadata_mut().insert(self.header, value);
        }
        request
    }

    /// Calls a unary method by its name, which no two services share. The descriptors of the contract determine its service and its
    /// messages, so there is no list of methods here.
    pub async fn try_call(&self, name: &str, request: Value) -> Result<Value, Refusal> {
        let mut named = options::methods().iter().filter(|method| method.grpc_path.rsplit('/').next() == Some(name));
        let method = named.next().unwrap_or_else(|| panic!("there is no method {name}"));
        assert!(named.next().is_none(), "several services have a method {name}");
        let descriptor = |name: &str| descriptor_pool().get_message_by_name(name).expect("a message of the contract");
        let message = json::dynamic_from_value(&descriptor(&method.input), &request);
        let message = message.unwrap_or_else(|faults| panic!("not a request: {faults:?}")).encode_to_vec();
        let mut client = Grpc::new(self.channel.clone());
        let ready = client.ready().await;
        ready.map_err(|error| Refusal::new(Status::unknown(format!("Service was not ready: {error}"))))?;
        let path = PathAndQuery::from_static(&method.grpc_path);
        let answer = client.unary(self.request(message.into()), path, BytesCodec).await.map_err(Refusal::new)?;
        let answer = DynamicMessage::decode(descriptor(&method.output), answer.into_inner()).expect("an answer");
        Ok(json::dynamic_to_value(&answer))
    }

    /// Calls a method that must succeed.
    pub async fn ok(&self, method: &str, request: Value) -> Value {
        let text = request.to_string();
        match self.try_call(method, request).await {
            Ok(answer) => answer,
            Err(refusal) => panic!("{method} {text} was refused: {} {:?}", refusal.text(), refusal.status.code()),
        }
    }

    /// Calls a method that must be refused for this reason.
    pub async fn refused(&self, method: &str, request: Value, reason: &str) -> Refusal {
        let text = request.to_string();
        match self.try_call(method, request).await {
            Ok(_) => panic!("{method} {text} was not refused"),
            Err(refusal) => {
                assert_eq!(refusal.reason, reason, "{method} {text}: {} {}", refusal.text(), refusal.status);
                refusal
            }
        }
    }

    /// Creates a token with a number that JSON cannot express.
    pub async fn create_with_float(&self, number: f64) -> Result<(), Refusal> {
        self.create(CreateAccessTokenRequest { udf_float_2: Some(number), ..Default::default() }).await
    }

    /// Creates a token with a date that JSON cannot express.
    pub async fn create_with_date(&self, seconds: i64, nanos: i32) -> Result<(), Refusal> {
        let date = prost_types::Timestamp { seconds, nanos };
        self.create(CreateAccessTokenRequest { udf_date_3: Some(date), ..Default::default() }).await
    }

    async fn create(&self, request: CreateAccessTokenRequest) -> Result<(), Refusal> {
        let mut service = AccessTokenServiceClient::new(self.channel.clone());
        service.create_access_token(self.request(request)).await.map(|_| ()).map_err(Refusal::new)
    }

    /// Imports records over the directory RPC, and overwrites existing ones.
    pub async fn import_directory(&self, records: &[Value]) -> Result<ImportDirectoryResponse, Refusal> {
        self.import_directory_as(records, Existing::Overwrite, false).await
    }

    /// Imports records over the directory RPC, or only checks them.
    pub async fn import_directory_as(
        &self,
        records: &[Value],
        existing: Existing,
        check: bool,
    ) -> Result<ImportDirectoryResponse, Refusal> {
        let read = |record| {
            let read: ImportDirectoryRequest =
                json::from_value(record).unwrap_or_else(|faults| panic!("not a record: {faults:?}"));
            ImportDirectoryRequest { existing: existing.into(), check, ..read }
        };
        let messages: Vec<_> = records.iter().map(read).collect();
        let request = self.request(tokio_stream::iter(messages));
        let answer = DirectoryServiceClient::new(self.channel.clone()).import_directory(request).await;
        answer.map(tonic::Response::into_inner).map_err(Refusal::new)
    }

    /// Logs in and returns the session token.
    pub async fn login(
        &self,
        organisation: &str,
        username: &str,
        password: &str,
        unit: Option<&str>,
    ) -> Result<String, Refusal> {
        let request = json!({"username": username, "password": password, "organisation": organisation, "unit": unit});
        let answer = Self::over(self.channel.clone()).try_call("Login", request).await?;
        Ok(token_of(&answer))
    }

    /// Opens a session with an API key and returns its token.
    pub async fn login_with_api_key(&self, key: &str) -> Result<String, Refusal> {
        let caller = self.with_api_key(key);
        Ok(token_of(&caller.try_call("LoginWithApiKey", json!({})).await?))
    }

    /// Ends the session of this client.
    pub async fn release(&self) {
        self.try_release().await.expect("released");
    }

    /// Ends the session of this client, or returns the refusal.
    pub async fn try_release(&self) -> Result<(), Refusal> {
        self.try_call("ReleaseToken", json!({})).await.map(drop)
    }
}

/// Returns the session token of the answer to a login.
fn token_of(answer: &Value) -> String {
    answer["token"].as_str().unwrap_or_default().to_owned()
}
