//! Who calls, over which way, and a record of everything that came back.

use std::sync::{Mutex, PoisonError};

use access_tokens_proto::options::methods;
use access_tokens_testapp::Client;
use access_tokens_testapp::canary::{Canaries, Kind};
use access_tokens_testkit::http::{HttpAnswer, HttpClient};
use serde_json::{Value, json};

/// Rules under which no code is so short that it is anywhere by chance, and callers who guess are not locked out.
pub(super) fn policy() -> Value {
    json!({
        "pass_code": {"min_length": 30, "min_letters": 12}, "verification_code_length": 10, "otp_length": 8,
        "lock": {"attempts": 100, "attempts_per_day": 1000}, "issue": {"burst": 100, "cooldown_seconds": 0, "per_day": 1000},
    })
}

/// One run: what was made up for it, and what was answered.
#[derive(Default)]
pub(super) struct Environment {
    pub(super) canaries: Canaries,
    answers: Mutex<String>,
    refusals: Mutex<String>,
}

impl Environment {
    /// An answer, in which only those may stand who asked for it: personal values, but no secret.
    pub(super) fn answered(&self, text: &str) {
        note(&self.answers, text);
    }

    /// A refusal, in which nothing may stand.
    pub(super) fn refused(&self, text: &str) {
        note(&self.refusals, text);
    }

    /// All answers so far.
    pub(super) fn answers(&self) -> String {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All refusals so far.
    pub(super) fn refusals(&self) -> String {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A session token. What precedes its signature is neither secret nor unique.
    pub(super) fn session(&self, token: &str) {
        let (_, signature) = token.rsplit_once('.').expect("a signature");
        self.canaries.add(Kind::Secret, "session token", signature);
    }

    /// The secret part of an API key; its id is none.
    pub(super) fn api_key(&self, key: &str) {
        let secret = key.get("atk_".len() + 16 + "_".len()..).expect("an API key");
        self.canaries.add(Kind::Secret, "API key", secret);
    }

    /// The keys of a key file, as they stand there and as they are used.
    pub(super) fn key_file(&self, text: &str) {
        use base64::Engine;
        let keys = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
        for (_, key) in keys {
            self.canaries.add(Kind::Secret, "key in base64", key);
            let raw = base64::engine::general_purpose::STANDARD.decode(key).expect("base64");
            self.canaries.add(Kind::Secret, "key", raw);
        }
    }

    /// A user logs in over gRPC.
    pub(super) async fn login(&self, client: &Client, username: &str, password: &str) -> Client {
        let token = client.login("DEMO", username, password, None).await.expect("logged in");
        self.session(&token);
        client.with_session(&token)
    }

    /// A user logs in over HTTP.
    pub(super) async fn login_over_http(&self, http: &HttpClient, username: &str, password: &str) -> HttpClient {
        let login = json!({"username": username, "password": password, "organisation": "DEMO"});
        let token = http.post_text("authentication/token", &login.to_string()).await.data()["token"].take();
        let token = token.as_str().expect("a token");
        self.session(token);
        http.with_session(token)
    }

    /// An answer over HTTP to something that is refused, or to nobody knows what.
    pub(super) fn refused_over_http(&self, answer: &HttpAnswer) {
        self.refused(&format!("{answer:?}"));
    }
}

fn note(record: &Mutex<String>, text: &str) {
    let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
    record.push_str(text);
    record.push('\n');
}

/// A caller who is logged in, over gRPC or HTTP.
pub(super) struct RecordedClient<'a> {
    pub(super) environment: &'a Environment,
    pub(super) caller: Caller,
}

#[derive(Clone)]
pub(super) enum Caller {
    Grpc(Client),
    Http(HttpClient),
}

impl RecordedClient<'_> {
    /// A token by its login, with the secret of this name. Over HTTP both stand where the other names of a token do.
    pub(super) fn login(&self, identifier: &str, secret: &str, value: &str) -> Value {
        let credential = json!({"identifier": identifier, secret: value});
        match self.caller {
            Caller::Grpc(_) => json!({"credential": credential}),
            Caller::Http(_) => credential,
        }
    }

    /// A call that succeeds, and whose answer has no secret.
    pub(super) async fn ok(&self, method: &str, request: Value) -> Value {
        let answer = self.call(method, request).await.unwrap_or_else(|refusal| panic!("{method}: {}", refusal.text));
        self.environment.answered(&answer.to_string());
        answer
    }

    /// A call whose answer has a secret, this once: in this field and nowhere else.
    pub(super) async fn issued(&self, method: &str, request: Value, field: &str) -> String {
        let mut answer =
            self.call(method, request).await.unwrap_or_else(|refusal| panic!("{method}: {}", refusal.text));
        let secret = answer[field].take();
        let secret = secret.as_str().unwrap_or_else(|| panic!("{method} gives no {field}"));
        self.environment.canaries.add(Kind::Secret, field, secret);
        self.environment.answered(&answer.to_string());
        secret.to_owned()
    }

    /// A call that is refused for this reason.
    pub(super) async fn refused(&self, method: &str, request: Value, reason: &str) {
        match self.call(method, request).await {
            Ok(answer) => panic!("{method} was not refused: {answer}"),
            Err(refusal) => assert_eq!(refusal.reason, reason, "{method}: {}", refusal.text),
        }
    }

    /// A call, whatever comes of it.
    pub(super) async fn call(&self, method: &str, request: Value) -> Result<Value, Refused> {
        let refused = |reason: &str, text: String| {
            self.environment.refused(&text);
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

/// A refusal with everything that came with it.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) reason: String,
    pub(super) text: String,
}

/// Calls a method of the contract by the path that the original API has for it.
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
