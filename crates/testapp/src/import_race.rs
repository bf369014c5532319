//! Imports in a loop, concurrently with changes of every kind. A change that was acknowledged must remain.
//!
//! The import writes one user defined field of each card, `udf_string_8`. The callers change everything else, each caller its
//! own cards, one call after the other. An import that runs before, between or after the calls changes none of what the calls
//! wrote. So every card must be as the calls alone leave it: that is a serial order of the import and the calls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use access_tokens_testkit::random::Rng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::{Client, Refusal};

/// Number of records per import.
const IMPORT_BATCH: usize = 500;
/// One in this number of operations changes a pass code, which needs a hash.
const PASS_CODE_SHARE: u64 = 24;

/// Size and seed of a run.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Number of cards that are imported again and again.
    pub cards: usize,
    /// Number of callers that call concurrently with the import.
    pub callers: usize,
    /// Number of acknowledged changes to make.
    pub changes: u64,
    /// Time at which the run ends at the latest.
    pub until: Instant,
    /// Seed of all random choices.
    pub seed: u64,
}

/// The findings of a run.
#[derive(Debug, Default)]
pub struct Findings {
    /// Number of acknowledged changes.
    pub changes: u64,
    /// Number of imports.
    pub imports: u64,
    /// Acknowledged changes that were undone.
    pub undone: Vec<String>,
    /// Codes of single use that worked twice.
    pub used_twice: Vec<String>,
    /// Calls and records that were refused without a reason.
    pub refused: Vec<String>,
}

impl Findings {
    fn absorb(&mut self, other: Self) {
        self.changes += other.changes;
        self.undone.extend(other.undone);
        self.used_twice.extend(other.used_twice);
        self.refused.extend(other.refused);
    }
}

/// A card in the state of the acknowledged calls.
struct Card {
    number: String,
    code: String,
    identifier: String,
    pass_code: String,
    effective: bool,
    text: Option<String>,
}

impl Card {
    fn new(index: usize) -> Self {
        Self {
            number: format!("RACE{index}"),
            code: format!("race code {index}"),
            identifier: format!("race login {index}"),
            pass_code: "first pass code".to_owned(),
            effective: true,
            text: None,
        }
    }

    fn record(&self) -> Value {
        json!({"access_token": {"number": self.number, "authentication_code": self.code, "identifier": self.identifier}})
    }

    fn identified(&self) -> Value {
        json!({"access_token_identifier": {"number": self.number}})
    }

    fn with(&self, member: &str, value: Value) -> Value {
        let mut request = self.identified();
        request[member] = value;
        request
    }
}

/// Numbers that the import loop writes. Callers add cards to it.
type Numbers = Arc<Mutex<Vec<String>>>;

/// Runs the imports of `importer` in a loop, concurrently with the calls of `caller`, which may use another process. Both have all
/// permissions.
pub async fn run(importer: &Client, caller: &Client, size: Size) -> Result<Findings, Refusal> {
    let cards: Vec<_> = (0..size.cards).map(Card::new).collect();
    prepare(importer, &cards).await?;
    let numbers: Numbers = Arc::new(Mutex::new(cards.iter().map(|card| card.number.clone()).collect()));
    let (stop, stopped) = watch::channel(false);
    let loops = tokio::spawn(import(importer.clone(), Arc::clone(&numbers), stopped));

    let (made, random) = (Arc::new(AtomicU64::new(0)), Rng::new(size.seed));
    let mut parts: Vec<Vec<Card>> = (0..size.callers).map(|_| Vec::new()).collect();
    for (index, card) in cards.into_iter().enumerate() {
        parts[index % size.callers].push(card);
    }
    let mut callers = JoinSet::new();
    for cards in parts {
        let random = random.fork();
        let caller =
            Caller { client: caller.clone(), cards, numbers: Arc::clone(&numbers), random, found: Findings::default() };
        callers.spawn(caller.run(Arc::clone(&made), size));
    }
    let mut findings = Findings::default();
    for found in callers.join_all().await {
        findings.absorb(found);
    }
    let _ = stop.send(true);
    let (imports, refused) = loops.await.unwrap_or_default();
    findings.imports = imports;
    findings.refused.extend(refused);
    Ok(findings)
}

async fn prepare(importer: &Client, cards: &[Card]) -> Result<(), Refusal> {
    let policy = |verified: bool| {
        json!({
            "verification_required": verified, "verification_code_length": 10, "otp_length": 8, "otp_lifetime_seconds": 600,
            "pass_code": {"min_length": 8}, "issue": {"burst": 1000, "cooldown_seconds": 0, "per_day": 10000},
            "lock": {"attempts": 100, "hard_limit": 1000, "attempts_per_day": 200},
        })
    };
    let mut records = vec![
        json!({"organisation": {"definition": policy(false)}}),
        json!({"classification": {"id": "race verified", "name": "race verified", "policy": policy(true)}}),
    ];
    records.extend(cards.iter().map(|card| {
        let mut record = card.record();
        record["access_token"]["pass_code"] = json!(card.pass_code);
        record
    }));
    let made = importer.import_directory(&records).await?;
    assert_eq!(made.failed, 0, "the cards of the race go in");
    Ok(())
}

/// Imports all numbers again and again. Returns the number of imports, and the records that were refused.
async fn import(client: Client, numbers: Numbers, stopped: watch::Receiver<bool>) -> (u64, Vec<String>) {
    let (mut imports, mut refused) = (0, Vec::new());
    while !*stopped.borrow() {
        let numbers = numbers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for numbers in numbers.chunks(IMPORT_BATCH) {
            let text = format!("import {imports}");
            let record = |number| json!({"access_token": {"number": number, "udf_string_8": text}});
            match client.import_directory(&numbers.iter().map(record).collect::<Vec<_>>()).await {
                Ok(done) if done.failed == 0 => {}
                Ok(done) => refused.push(format!("{} of {} records of an import failed", done.failed, numbers.len())),
                Err(refusal) => refused.push(format!("import: {}", refusal.text())),
            }
        }
        imports += 1;
    }
    (imports, refused)
}

struct Caller {
    client: Client,
    cards: Vec<Card>,
    numbers: Numbers,
    random: Rng,
    found: Findings,
}

impl Caller {
    async fn run(mut self, made: Arc<AtomicU64>, size: Size) -> Findings {
        let mut turn = 0;
        while made.load(Ordering::Relaxed) < size.changes && Instant::now() < size.until && !self.cards.is_empty() {
            let before = self.found.changes;
            let index = turn % self.cards.len();
            let mut card = self.cards.swap_remove(index);
            self.change(&mut card, turn).await;
            self.check(&card).await;
            self.cards.push(card);
            turn += 1;
            made.fetch_add(self.found.changes - before, Ordering::Relaxed);
        }
        for card in std::mem::take(&mut self.cards) {
            self.check(&card).await;
            self.check_pass_code(&card).await;
        }
        self.found
    }

    async fn change(&mut self, card: &mut Card, turn: usize) {
        let next = format!("{} {turn}", card.number);
        match self.random.below(PASS_CODE_SHARE) {
            0 => {
                let next = format!("pass code {next}");
                let mut request = card.with("pass_code", json!(card.pass_code));
                request["new_pass_code"] = json!(next);
                if card.identifier.is_empty() {
                    // The card was created without a pass code.
                } else if self.on(card).await && self.call("ChangePassCode", request).await.is_some() {
                    card.pass_code = next;
                    self.check_pass_code(card).await;
                }
            }
            1..=8 => self.toggle(card).await,
            9..=12 => {
                if self.call("UpdateAccessToken", card.with("authentication_code", json!(next))).await.is_some() {
                    card.code = next;
                }
            }
            13..=16 => {
                if self.call("UpdateAccessToken", card.with("udf_string_1", json!(next))).await.is_some() {
                    card.text = Some(next);
                }
            }
            17..=20 => self.use_once(card).await,
            _ => self.verify().await,
        }
    }

    /// Sets a card as effective, if it is not.
    async fn on(&mut self, card: &mut Card) -> bool {
        if !card.effective {
            self.toggle(card).await;
        }
        card.effective
    }

    async fn toggle(&mut self, card: &mut Card) {
        let method = if card.effective { "SetAsNotEffective" } else { "SetAsEffective" };
        if self.call(method, card.identified()).await.is_some() {
            card.effective = !card.effective;
        }
    }

    /// Issues a one-time password, uses it, and presents it once more.
    async fn use_once(&mut self, card: &mut Card) {
        if !self.on(card).await {
            return;
        }
        let Some(code) = self.call("GenerateOtp", card.identified()).await else { return };
        let request = card.with("one_time_password", code["one_time_password"].clone());
        if self.call("VerifyOtp", request.clone()).await.is_none() {
            return;
        }
        tokio::task::yield_now().await;
        if self.client.try_call("VerifyOtp", request).await.is_ok() {
            self.found.used_twice.push(format!("{}: a one-time password", card.number));
        }
    }

    /// Creates a card that waits for verification, adds it to the import, and verifies it.
    async fn verify(&mut self) {
        let request = json!({"classification_identifier": {"id": "race verified"}});
        let Some(made) = self.call("CreateAccessToken", request).await else { return };
        let Some(number) = made["number"].as_str() else { return };
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).push(number.to_owned());
        tokio::time::sleep(std::time::Duration::from_millis(self.random.below(40))).await;
        let identifier = json!({"number": number});
        let request =
            json!({"access_token_identifier": identifier, "verification_code": made["verification_code"].clone()});
        if self.call("VerifyAccessToken", request).await.is_some() {
            let mut card = Card::new(0);
            card.number = number.to_owned();
            card.code = made["authentication_code"].as_str().unwrap_or_default().to_owned();
            (card.identifier, card.pass_code) = (String::new(), String::new());
            self.check(&card).await;
            self.cards.push(card);
        }
    }

    /// Makes a call that changes a card. A refusal is a finding, because no other caller changes this card.
    async fn call(&mut self, method: &str, request: Value) -> Option<Value> {
        match self.client.try_call(method, request).await {
            Ok(answer) => {
                self.found.changes += 1;
                Some(answer)
            }
            Err(refusal) => {
                self.found.refused.push(format!("{method}: {}", refusal.text()));
                None
            }
        }
    }

    /// Compares the card with the acknowledged state. A difference becomes the new state, so that it counts once.
    async fn check(&mut self, card: &Card) {
        let shown = match self.client.try_call("ShowAccessToken", card.identified()).await {
            Ok(shown) => shown,
            Err(refusal) => return self.found.refused.push(format!("ShowAccessToken: {}", refusal.text())),
        };
        let state = if card.effective { "EFFECTIVE" } else { "NOT_EFFECTIVE" };
        let expected = [
            ("life_cycle_state", json!(state)),
            ("authentication_code", json!(card.code)),
            ("udf_string_1", json!(card.text)),
        ];
        for (member, value) in expected {
            // The service may leave out a member that is not set.
            if shown.get(member).unwrap_or(&Value::Null) != &value {
                self.found.undone.push(format!("{}: {member} is {}, not {value}", card.number, shown[member]));
            }
        }
    }

    async fn check_pass_code(&mut self, card: &Card) {
        if !card.effective || card.identifier.is_empty() {
            return;
        }
        let credential = json!({"credential": {"identifier": card.identifier, "pass_code": card.pass_code}});
        let request = json!({"access_token_identifier": credential});
        if let Err(refusal) = self.client.try_call("CheckPassCode", request).await {
            self.found.undone.push(format!("{}: the pass code: {}", card.number, refusal.text()));
        }
    }
}
