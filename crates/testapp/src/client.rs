//! A caller: requests and answers as JSON in the contract's names, refusals taken apart.

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

/// Who calls, and where.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    header: &'static str,
    value: String,
    deadline: Option<Duration>,
}

/// Why a call was refused.
#[derive(Debug)]
pub struct Refusal {
    /// The reason in ErrorInfo; empty where there is none.
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

    /// The refusal that a caller over gRPC would see.
    pub fn from_domain(error: &access_tokens_domain::Error) -> Self {
        Self::new(from_error(error))
    }

    /// The gRPC code.
    pub fn code(&self) -> Code {
        self.status.code()
    }

    /// How long the server asks to wait before the call is made again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.status.get_details_retry_info().and_then(|info| info.retry_delay)
    }

    /// The fields at fault, in order.
    pub fn fields(&self) -> Vec<&str> {
        self.violations.iter().map(|(field, _)| field.as_str()).collect()
    }

    /// A fact for machines; empty when it is absent.
    pub fn metadata(&self, key: &str) -> String {
        self.metadata.get(key).cloned().unwrap_or_default()
    }

    /// Everything that is said for people.
    pub fn text(&self) -> String {
        let fields: Vec<_> = self.violations.iter().map(|(field, text)| format!("{field}: {text}")).collect();
        format!("{} {} [{}]", self.reason, self.status.message(), fields.join("; "))
    }
}

impl Client {
    /// A caller without a session, over a channel.
    pub fn over(channel: Channel) -> Self {
        Self { channel, header: "authorization", value: String::new(), deadline: None }
    }

    /// A caller without a session, of a server at an address.
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(Channel::from_shared(format!("http://{address}")).expect("a URI").connect_lazy())
    }

    /// This caller itself, where a [`super::TestApp`] stands for it.
    pub fn caller(&self) -> &Self {
        self
    }

    /// The same caller with another session.
    pub fn with_session(&self, token: &str) -> Self {
        Self { header: "authorization", value: format!("Bearer {token}"), ..self.clone() }
    }

    /// The same caller with an API key in place of a session.
    pub fn with_api_key(&self, key: &str) -> Self {
        Self { header: "x-api-key", value: key.to_owned(), ..self.clone() }
    }

    /// The same caller, who waits only so long.
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self.clone() }
    }

    /// The session token of this caller.
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

    /// Calls a method of AccessTokenService by its name.
    pub async fn try_call(&self, method: &str, request: Value) -> Result<Value, Refusal> {
        self.unary("AccessTokenService", method, &request).await
    }

    /// Calls a unary method of the contract, which says what its messages are: no list of methods is kept here.
    async fn unary(&self, service: &str, method: &str, request: &Value) -> Result<Value, Refusal> {
        let path = format!("/accesstoken.v1.{service}/{method}");
        let method = options::method(&path).unwrap_or_else(|| panic!("there is no method {path}"));
        let descriptor = |name: &str| descriptor_pool().get_message_by_name(name).expect("a message of the contract");
        let message = json::dynamic_from_value(&descriptor(&method.input), request);
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

    /// Creates a token with a number that JSON cannot say.
    pub async fn create_with_float(&self, number: f64) -> Result<(), Refusal> {
        self.create(CreateAccessTokenRequest { udf_float_2: Some(number), ..Default::default() }).await
    }

    /// Creates a token with a date that JSON cannot say.
    pub async fn create_with_date(&self, seconds: i64, nanos: i32) -> Result<(), Refusal> {
        let date = prost_types::Timestamp { seconds, nanos };
        self.create(CreateAccessTokenRequest { udf_date_3: Some(date), ..Default::default() }).await
    }

    async fn create(&self, request: CreateAccessTokenRequest) -> Result<(), Refusal> {
        let mut service = AccessTokenServiceClient::new(self.channel.clone());
        service.create_access_token(self.request(request)).await.map(|_| ()).map_err(Refusal::new)
    }

    /// Imports records over the directory RPC, whatever was changed since.
    pub async fn import_directory(&self, records: &[Value]) -> Result<ImportDirectoryResponse, Refusal> {
        self.import_directory_as(records, Existing::Overwrite, false).await
    }

    /// Imports records over the directory RPC, or checks them.
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

    /// Logs in and answers the session token.
    pub async fn login(
        &self,
        organisation: &str,
        username: &str,
        password: &str,
        unit: Option<&str>,
    ) -> Result<String, Refusal> {
        let request = json!({"username": username, "password": password, "organisation": organisation, "unit": unit});
        let answer = Self::over(self.channel.clone()).unary("AuthenticationService", "Login", &request).await?;
        Ok(token_of(&answer))
    }

    /// Opens a session with an API key.
    pub async fn login_with_api_key(&self, key: &str) -> Result<String, Refusal> {
        let caller = self.with_api_key(key);
        Ok(token_of(&caller.unary("AuthenticationService", "LoginWithApiKey", &json!({})).await?))
    }

    /// Ends this caller's session.
    pub async fn release(&self) {
        self.try_release().await.expect("released");
    }

    /// The same, or the refusal.
    pub async fn try_release(&self) -> Result<(), Refusal> {
        self.unary("AuthenticationService", "ReleaseToken", &json!({})).await.map(drop)
    }
}

/// Returns the session token of the answer to a login.
fn token_of(answer: &Value) -> String {
    answer["token"].as_str().unwrap_or_default().to_owned()
}
