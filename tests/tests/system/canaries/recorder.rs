//! The clients of a run, and a record of everything that they receive.

use std::sync::{Mutex, PoisonError};

use access_tokens_proto::options::methods;
use access_tokens_testapp::Client;
use access_tokens_testapp::canary::{Canaries, Kind};
use access_tokens_testkit::http::{HttpAnswer, HttpClient};
use serde_json::{Value, json};

/// A policy with codes that are long enough not to occur by chance, and without locks after the guesses of these tests.
pub(super) fn policy() -> Value {
    json!({
        "pass_code": {"min_length": 30, "min_letters": 12}, "verification_code_length": 10, "otp_length": 8,
        "lock": {"attempts": 100, "attempts_per_day": 1000}, "issue": {"burst": 100, "cooldown_seconds": 0, "per_day": 1000},
    })
}

/// The canaries of a run, and the answers and refusals.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) canaries: Canaries,
    answers: Mutex<String>,
    refusals: Mutex<String>,
}

impl Recorder {
    /// Records an answer, which may contain personal values, but no secret.
    pub(super) fn answered(&self, text: &str) {
        note(&self.answers, text);
    }

    /// Records a refusal, which may contain neither.
    pub(super) fn refused(&self, text: &str) {
        note(&self.refusals, text);
    }

    /// Returns all answers so far.
    pub(super) fn answers(&self) -> String {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns all refusals so far.
    pub(super) fn refusals(&self) -> String {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds the signature of a session token. The rest of the token is neither secret nor unique.
    pub(super) fn session(&self, token: &str) {
        let (_, signature) = token.rsplit_once('.').expect("a signature");
        self.canaries.add(Kind::Secret, "session token", signature);
    }

    /// Adds the secret part of an API key. Its id is no secret.
    pub(super) fn api_key(&self, key: &str) {
        let secret = key.get("atk_".len() + 16 + "_".len()..).expect("an API key");
        self.canaries.add(Kind::Secret, "API key", secret);
    }

    /// Adds the keys of a key file, as text and as bytes.
    pub(super) fn key_file(&self, text: &str) {
        use base64::Engine;
        let keys = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
        for (_, key) in keys {
            self.canaries.add(Kind::Secret, "key in base64", key);
            let raw = base64::engine::general_purpose::STANDARD.decode(key).expect("base64");
            self.canaries.add(Kind::Secret, "key", raw);
        }
    }

    /// Logs a user in over gRPC.
    pub(super) async fn login(&self, client: &Client, username: &str, password: &str) -> Client {
        let token = client.login("DEMO", username, password, None).await.expect("logged in");
        self.session(&token);
        client.with_session(&token)
    }

    /// Logs a user in over HTTP.
    pub(super) async fn login_over_http(&self, http: &HttpClient, username: &str, password: &str) -> HttpClient {
        let login = json!({"username": username, "password": password, "organisation": "DEMO"});
        let token = http.post_text("authentication/token", &login.to_string()).await.data()["token"].take();
        let token = token.as_str().expect("a token");
        self.session(token);
        http.with_session(token)
    }

    /// Records an answer over HTTP to a request that is refused, or may be.
    pub(super) fn refused_over_http(&self, answer: &HttpAnswer) {
        self.refused(&format!("{answer:?}"));
    }
}

fn note(record: &Mutex<String>, text: &str) {
    let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
    record.push_str(text);
    record.push('\n');
}

/// A client with a session, over gRPC or HTTP, whose answers are recorded.
pub(super) struct RecordedClient<'a> {
    pub(super) recorder: &'a Recorder,
    pub(super) caller: Caller,
}

#[derive(Clone)]
pub(super) enum Caller {
    Grpc(Client),
    Http(HttpClient),
}

impl RecordedClient<'_> {
    /// Returns the identifier of a token by its credential, with a secret of this name. Over HTTP both are members of the
    /// identifier itself.
    pub(super) fn login(&self, identifier: &str, secret: &str, value: &str) -> Value {
        let credential = json!({"identifier": identifier, secret: value});
        match self.caller {
            Caller::Grpc(_) => json!({"credential": credential}),
            Caller::Http(_) => credential,
        }
    }

    /// Makes a call that must succeed, and whose answer contains no secret.
    pub(super) async fn ok(&self, method: &str, request: Value) -> Value {
        let answer = self.call(method, request).await.unwrap_or_else(|refusal| panic!("{method}: {}", refusal.text));
        self.recorder.answered(&answer.to_string());
        answer
    }

    /// Makes a call whose answer contains a secret in this field, and nowhere else.
    pub(super) async fn issued(&self, method: &str, request: Value, field: &str) -> String {
        let mut answer =
            self.call(method, request).await.unwrap_or_else(|refusal| panic!("{method}: {}", refusal.text));
        let secret = answer[field].take();
        let secret = secret.as_str().unwrap_or_else(|| panic!("{method} gives no {field}"));
        self.recorder.canaries.add(Kind::Secret, field, secret);
        self.recorder.answered(&answer.to_string());
        secret.to_owned()
    }

    /// Makes a call that must be refused for this reason.
    pub(super) async fn refused(&self, method: &str, request: Value, reason: &str) {
        match self.call(method, request).await {
            Ok(answer) => panic!("{method} was not refused: {answer}"),
            Err(refusal) => assert_eq!(refusal.reason, reason, "{method}: {}", refusal.text),
        }
    }

    /// Makes a call with any result.
    pub(super) async fn call(&self, method: &str, request: Value) -> Result<Value, Refused> {
        let refused = |reason: &str, text: String| {
            self.recorder.refused(&text);
            Err(Refused { reason: reason.to_owned(), text })
        };
        match &self.caller {
            Caller::Grpc(client) => match client.try_call(method, request).await {
                Ok(answer) => Ok(answer),
                Err(refusal) => refused(&refusal.reason, format!("{refusal:?}")),
            },
            Caller::Http(http) => {
                let answer = over_http(http, method, request).await;
                if answer.reason().is_empty() {
                    Ok(answer.data())
                } else {
                    refused(answer.reason(), format!("{answer:?}"))
                }
            }
        }
    }
}

/// A refusal with all its details.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) reason: String,
    pub(super) text: String,
}

/// Calls a method of the contract by its path in the original API.
async fn over_http(http: &HttpClient, method: &str, request: Value) -> HttpAnswer {
    let known = methods().iter().find(|one| one.grpc_path.ends_with(&format!("/{method}"))).expect("a method");
    let binding = known.http.first().expect("a path");
    let path = binding.path.trim_start_matches("/crmapi/rest/v2/");
    if binding.body {
        return http.post(path, request).await;
    }
    let parameters = request.as_object().expect("an object").iter();
    let texts = parameters.map(|(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    let query: Vec<_> = texts.map(|(name, text)| format!("{name}={}", percent_encoded(&text))).collect();
    http.get(path, &query.join("&")).await
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
