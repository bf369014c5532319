//! Random requests in two forms: as a client of the original API writes them, and as in the contract.

use access_tokens_domain::time;
use access_tokens_proto::descriptor_pool;
use access_tokens_proto::options::{MethodInfo, methods};
use access_tokens_testkit::random::Rng;
use serde_json::{Map, Value, json};

/// One request.
pub(super) struct Asked {
    /// Method of the service.
    pub(super) method: &'static str,
    /// Path over HTTP, below `/v1/`.
    pub(super) path: &'static str,
    /// Query, if the method is called by GET.
    pub(super) query: Option<String>,
    /// Body of the POST.
    pub(super) body: Value,
    /// Message for the service.
    pub(super) message: Value,
    /// Field of the answer that is a list.
    pub(super) list: Option<String>,
}

impl Asked {
    /// Returns whether an identifier has no alternative.
    pub(super) fn is_nameless(&self) -> bool {
        self.message["access_token_identifier"] == json!({})
    }
}

const FIELDS: [&str; 7] = [
    "",
    "number",
    "number, life_cycle_state,udf_string_1",
    "accounts_receivable.account_owner,rewards_participant.number",
    "log_information.updated_by_user.username,classification",
    "nmber,number",
    "verified_by_user,card_last_4_digits,verified_date",
];

const EXPLAINED: [&str; 4] = [
    "usable,obstacles,locks_disclosed",
    "secrets,actions,explained_date",
    "access_token.number,guess_budget.arithmetic",
    "obstacles.kind,access_token",
];

/// Returns the methods of `AccessTokenService`, as the contract has them. Those that create and update are listed twice.
fn choices() -> Vec<(&'static str, &'static MethodInfo)> {
    let named = methods().iter().filter_map(|method| {
        let name = method.grpc_path.strip_prefix("/accesstoken.v1.AccessTokenService/")?;
        let times = if ["CreateAccessToken", "UpdateAccessToken"].contains(&name) { 2 } else { 1 };
        Some(std::iter::repeat_n((name, method), times))
    });
    named.flatten().collect()
}

/// Returns the field of an answer that is a list, if the answer is one: its only field besides the token of the next page.
fn list_of(method: &MethodInfo) -> Option<String> {
    let answer = descriptor_pool().get_message_by_name(&method.output).expect("a message of the contract");
    let mut fields = answer.fields().filter(|field| field.name() != "next_page_token");
    let list = fields.next().filter(|field| field.is_list() && fields.next().is_none())?;
    Some(list.name().to_owned())
}

/// Generates requests; equal seeds give equal requests.
pub(super) struct Generator(Rng);

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    /// Returns a number below a limit.
    pub(super) fn below(&self, limit: u64) -> u64 {
        self.0.below(limit)
    }

    fn one_in(&self, chances: u64) -> bool {
        self.0.one_in(chances)
    }

    fn pick<T: Clone>(&self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize].clone()
    }

    pub(super) fn request(&self) -> Asked {
        let (method, declared) = self.pick(&choices());
        let binding = declared.http.iter().find(|binding| binding.path.starts_with("/v1/")).expect("a path over HTTP");
        let mut members = Map::new();
        match method {
            "ListAccessTokens" => self.list(&mut members),
            "GetNotAssociatedAccessTokens" => self.not_associated(&mut members),
            "CreateAccessToken" => self.create(&mut members),
            "UpdateAccessToken" => self.update(&mut members),
            "ResetPassCode" | "ResetVerificationCode" | "ForgotPassCode" => self.reset(&mut members),
            "ListClassifications" | "ListGuessBudgets" => {}
            _ => self.named(&mut members),
        }
        match method {
            "VerifyAccessToken" => self.verify(&mut members),
            "CheckPassCode" | "ChangePassCode" | "VerifyOtp" => self.prove(method, &mut members),
            "UnlockAccessToken" => self.secret_kinds(&mut members),
            _ => {}
        }
        if self.one_in(4) && method != "ForgotPassCode" {
            let fields = match method {
                "ListClassifications" => "name",
                "ListGuessBudgets" => "classification_name,chance_per_day,secrets",
                "ExplainAccessToken" => self.pick(&EXPLAINED),
                _ => self.pick(&FIELDS),
            };
            members.insert("fields_set".to_owned(), json!(fields));
        }
        let list = list_of(declared);
        let query = (binding.verb == "GET").then(|| query(&members));
        let path = binding.path.trim_start_matches("/v1/");
        let message = message(method, &members);
        Asked { method, path, query, body: Value::Object(members), message, list }
    }

    /// Returns a code that a token has, may have, or cannot have.
    fn code(&self) -> Value {
        match self.below(24) {
            0 => json!("x".repeat(257)),
            1 => json!("a\tb"),
            2 => json!(""),
            3..8 => json!(100 + self.below(12)),
            _ => json!((100 + self.below(12)).to_string()),
        }
    }

    fn named(&self, members: &mut Map<String, Value>) {
        if self.one_in(30) {
            return;
        }
        let number = self.below(5);
        let name = match self.below(18) {
            0 => json!({}),
            16 => json!({"identifier": format!("login{number}"), "one_time_password": "000000"}),
            17 => json!({"identifier": "login0", "pass_code": "pass-0", "one_time_password": "000000"}),
            1 => json!({"id": "nobody"}),
            2 => json!({"identifier": format!("login{number}")}),
            3 => json!({"identifier": format!("login{number}"), "pass_code": "wrong"}),
            4 | 5 => json!({"identifier": "login0", "pass_code": "pass-0"}),
            6..9 => json!({"id": format!("T{number}"), "number": null}),
            9..11 => json!({"number": format!("AT{number}")}),
            11 => json!({"number": ""}),
            _ => json!({"authentication_code": self.code()}),
        };
        members.insert("access_token_identifier".to_owned(), name);
    }

    fn owner(&self, members: &mut Map<String, Value>) {
        let (key, name) = match self.below(12) {
            0 => ("accounts_receivable_identifier", json!({"name": "Account"})),
            1 => ("accounts_receivable_identifier", json!({"number": "ACR2"})),
            2 => ("accounts_receivable_identifier", json!({"number": "ACR9"})),
            3 => ("accounts_receivable_identifier", json!({"name": "Gone"})),
            4 => ("rewards_participant_identifier", json!({"number": "RP9"})),
            5 => ("rewards_participant_identifier", json!({"id": "P3"})),
            6..8 => ("rewards_participant_identifier", json!({"number": "RP1"})),
            _ => ("accounts_receivable_identifier", json!({"number": "ACR1"})),
        };
        members.insert(key.to_owned(), name);
    }

    fn classification(&self, members: &mut Map<String, Value>) {
        let name = self.pick(&[
            json!({"name": "Cards"}),
            json!({"alternative_code": "VE"}),
            json!({"id": "C2"}),
            json!({"name": "None"}),
        ]);
        members.insert("classification_identifier".to_owned(), name);
    }

    fn list(&self, members: &mut Map<String, Value>) {
        if !self.one_in(12) {
            self.owner(members);
        }
        if self.one_in(4) {
            self.classification(members);
        }
        if self.one_in(3) {
            members.insert("number_of_results".to_owned(), json!(self.pick(&[0, 1, 3, 1_000, 1_001, -1])));
        }
        if self.one_in(4) {
            members.insert("offset".to_owned(), json!(self.pick(&[0, 1, 100, -1])));
        }
    }

    fn not_associated(&self, members: &mut Map<String, Value>) {
        if !self.one_in(12) {
            members.insert("number".to_owned(), json!(self.pick(&[1, 5, 1_000, 0, 1_001])));
        }
        if self.one_in(2) {
            let state = self.pick(&["EFFECTIVE", "NOT_EFFECTIVE", "PENDING_VERIFICATION"]);
            members.insert("life_cycle_state".to_owned(), json!(state));
        }
    }

    fn create(&self, members: &mut Map<String, Value>) {
        if !self.one_in(4) {
            members.insert("authentication_code".to_owned(), self.code());
        }
        if self.one_in(2) {
            members.insert("identifier".to_owned(), json!(format!("login{}", self.below(12))));
        }
        if self.one_in(2) {
            members.insert("pass_code".to_owned(), json!(self.pick(&["pass-code", "abc", "long pass code"])));
        }
        if self.one_in(2) {
            self.owner(members);
        }
        if self.one_in(8) {
            self.owner(members);
        }
        if self.one_in(4) {
            self.classification(members);
        }
        self.fields(members);
    }

    fn update(&self, members: &mut Map<String, Value>) {
        self.named(members);
        if self.one_in(5) {
            members.insert("authentication_code".to_owned(), self.pick(&[self.code(), Value::Null]));
        }
        if self.one_in(6) {
            let name = json!(format!("login{}", self.below(8)));
            members.insert("identifier".to_owned(), self.pick(&[name, Value::Null, json!("")]));
        }
        if self.one_in(6) {
            members.insert(
                "pass_code".to_owned(),
                self.pick(&[json!("pass-0"), json!("new-pass"), json!("a"), Value::Null]),
            );
        }
        self.fields(members);
    }

    fn reset(&self, members: &mut Map<String, Value>) {
        match self.below(8) {
            0 => {}
            1..4 => drop(members.insert("identifier".to_owned(), json!(format!("login{}", self.below(6))))),
            _ => drop(members.insert("authentication_code".to_owned(), self.code())),
        }
    }

    fn verify(&self, members: &mut Map<String, Value>) {
        if !self.one_in(8) {
            members.insert("verification_code".to_owned(), json!(self.pick(&["0123456", "7654321", ""])));
        }
        if self.one_in(4) {
            members.insert("pass_code".to_owned(), json!(self.pick(&["pass-code", "abc"])));
        }
    }

    /// Adds a secret to the identifier: often of the token that no other request changes, and then often the right one.
    fn prove(&self, method: &str, members: &mut Map<String, Value>) {
        let (key, secrets) = match (method, self.below(3)) {
            ("VerifyOtp", _) | ("ChangePassCode", 0) => ("one_time_password", ["012345", "012345", "543210"]),
            _ => ("pass_code", ["pass-5", "pass-5", "pass-0"]),
        };
        if !self.one_in(8) {
            members.insert(key.to_owned(), json!(self.pick(&secrets)));
        }
        if self.one_in(2) {
            let name = self.pick(&[json!({"identifier": "owner"}), json!({"number": "AT5"})]);
            members.insert("access_token_identifier".to_owned(), name);
        }
        if method == "ChangePassCode" && !self.one_in(8) {
            members.insert("new_pass_code".to_owned(), json!(self.pick(&["pass-5", "pass-5", "abc", ""])));
        }
    }

    fn secret_kinds(&self, members: &mut Map<String, Value>) {
        let kinds = [json!([]), Value::Null, json!(["PASS_CODE"]), json!(["ONE_TIME_PASSWORD", "VERIFICATION_CODE"])];
        if !self.one_in(3) {
            members.insert("secret_kinds".to_owned(), self.pick(&kinds));
        }
    }

    /// Adds user defined fields with valid values.
    fn fields(&self, members: &mut Map<String, Value>) {
        let more = [
            ("udf_string_1", [json!("text"), json!(""), json!("z".repeat(4_001)), json!("Ωμέγα \u{1F600}")]),
            ("udf_string_8", [json!("line\nbreak"), Value::Null, json!(12), json!("\"quoted\"")]),
            ("udf_float_1", [json!(0), json!(-1.25), json!(1e300), Value::Null]),
            ("udf_float_4", [json!(0.1), json!(123456789), json!(-0.0), json!(5e-324)]),
            (
                "udf_date_1",
                [json!("2024-07-02T00:30:00"), json!("0001-01-01T00:00:00"), json!("9999-12-31T23:59:59"), Value::Null],
            ),
            (
                "card_masked_number",
                [json!("************4242"), json!("4111111111111111"), json!("411111******1111"), Value::Null],
            ),
        ];
        for (key, values) in more {
            if self.one_in(5) {
                members.insert(key.to_owned(), self.pick(&values));
            }
        }
    }
}

/// Returns `param=value` and `param=field=value`.
fn query(members: &Map<String, Value>) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.replace(' ', "%20"),
        other => other.to_string(),
    };
    let pairs = members.iter().map(|(key, value)| match value {
        Value::Object(inner) => {
            let (field, value) = inner.iter().next().expect("a name");
            format!("{key}={field}={}", text(value))
        }
        other => format!("{key}={}", text(other)),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Returns the message for a request of the original API.
fn message(method: &str, members: &Map<String, Value>) -> Value {
    let mut message = Map::new();
    for (key, value) in members {
        let value = match value {
            Value::Object(name) if name.contains_key("identifier") => json!({ "credential": name }),
            Value::Object(name) => Value::Object(name.iter().map(|(key, value)| (key.clone(), text(value))).collect()),
            Value::String(date) if key.starts_with("udf_date") => {
                json!(time::parse(date).expect("a date").to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
            }
            number if key.contains("float") || ["number_of_results", "offset", "number"].contains(&key.as_str()) => {
                number.clone()
            }
            other => text(other),
        };
        message.insert(key.clone(), value);
    }
    if method == "UpdateAccessToken" {
        let written = members.keys().filter(|key| !["access_token_identifier", "fields_set"].contains(&key.as_str()));
        let written: Vec<_> = written.cloned().collect();
        message.insert("update_mask".to_owned(), json!(written.join(",")));
    }
    Value::Object(message)
}

/// Returns the digits of a number as a text.
fn text(value: &Value) -> Value {
    if value.is_number() { json!(value.to_string()) } else { value.clone() }
}
