//! Other spellings of names and codes: case, blanks, full width, look-alikes. None is accepted as the right one, and none allows an
//! additional comparison. Composed and decomposed forms of one text are one spelling.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use access_tokens_domain::text::nfc;
use access_tokens_testkit::postgres;
use access_tokens_testkit::random::Rng;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::fleet::{Door, Fleet, Outcome, count_from};

/// Number of spellings that are tried on three processes with PostgreSQL.
const SPELLINGS: &str = "ACCESS_TOKENS_TEST_SPELLINGS";
const DEFAULT_SPELLINGS: usize = 2_000;
/// Number of concurrent calls.
const SPELLINGS_PER_BATCH: usize = 200;
/// Number of kinds of calls.
const KIND_COUNT: usize = 6;
/// Number of comparisons that the default policy allows before its first lock.
const GUESS_BUDGET: usize = 5;
/// Number of spellings of the code of a token whose policy allows all of them to be compared.
const COMPARED_SPELLINGS: usize = 90;

const LOGIN: &str = "rené.fisk7";
const NUMBER: &str = "AT0000000007";
const SCANNED: &str = "card k7 ﬁ";
const ID: &str = "Token7";
const CODE: &str = "40718293";
/// The token for which all attempts are compared.
const WIDE: &str = "fiské wide 7";

/// Characters that look like blanks.
const BLANKS: [char; 10] =
    [' ', '\u{a0}', '\u{2003}', '\u{3000}', '\u{200b}', '\u{200d}', '\u{2060}', '\u{feff}', '\u{ad}', '\u{180e}'];

/// Texts that are equal, or look equal, after normalisation or case folding.
const ALIKE: [(&str, &str); 8] =
    [("é", "e\u{301}"), ("fi", "ﬁ"), ("ﬁ", "fi"), ("s", "ſ"), ("k", "\u{212a}"), ("i", "ı"), ("i", "İ"), ("0", "O")];

/// The first digit of other sets of digits, some of which become ASCII digits by normalisation.
const DIGITS: [u32; 6] = [0xFF10, 0x1D7CE, 0x1D7D8, 0x0660, 0x06F0, 0x0966];

/// Generates other spellings of texts, each of them once.
struct Respell {
    random: Rng,
    seen: HashSet<String>,
}

impl Respell {
    fn new() -> Self {
        let right = [LOGIN, NUMBER, SCANNED, ID, CODE, WIDE].map(|text| nfc(text).into_owned());
        Self { random: Rng::new(7), seen: right.into() }
    }

    fn below(&self, limit: usize) -> usize {
        usize::try_from(self.random.below(limit as u64)).expect("small")
    }

    /// Returns a spelling that was not used before.
    fn next(&mut self, text: &str) -> String {
        loop {
            let mut spelled = text.to_owned();
            for _ in 0..=self.below(3) {
                spelled = self.once(&spelled);
            }
            if self.seen.insert(nfc(&spelled).into_owned()) {
                return spelled;
            }
        }
    }

    /// Returns the text with one change.
    fn once(&self, text: &str) -> String {
        let chars: Vec<char> = text.chars().collect();
        let at = self.below(chars.len());
        let each = |change: &dyn Fn(char) -> char| chars.iter().copied().map(change).collect::<String>();
        let one = |c: char| chars[..at].iter().copied().chain([c]).chain(chars[at + 1..].iter().copied()).collect();
        let digit = |c: char, zero: u32| c.to_digit(10).and_then(|d| char::from_u32(zero + d)).unwrap_or(c);
        match self.below(9) {
            0 => text.to_uppercase(),
            1 if chars[at].is_lowercase() => one(chars[at].to_uppercase().next().unwrap_or('?')),
            1 => one(chars[at].to_lowercase().next().unwrap_or('?')),
            2 => {
                let (head, tail) = chars.split_at(self.below(chars.len() + 1));
                let blank = BLANKS[self.below(BLANKS.len())];
                head.iter().chain([&blank]).chain(tail).collect()
            }
            3 => each(&|c| if c.is_ascii_graphic() { char::from_u32(c as u32 + 0xFEE0).unwrap_or(c) } else { c }),
            4 if chars[at].is_ascii_graphic() => one(char::from_u32(chars[at] as u32 + 0xFEE0).unwrap_or('?')),
            5 => one(digit(chars[at], DIGITS[self.below(DIGITS.len())])),
            6 => {
                let zero = DIGITS[self.below(DIGITS.len())];
                each(&|c| digit(c, zero))
            }
            7 => {
                let (right, alike) = ALIKE[self.below(ALIKE.len())];
                text.replacen(right, alike, 1)
            }
            // The same number, if a code is taken for a number.
            _ if text.chars().all(|c| c.is_ascii_digit()) => {
                [format!("0{text}"), format!("+{text}"), format!("{text}.0"), format!("{text}e0")][self.below(4)]
                    .clone()
            }
            _ => format!("{text}\u{301}"),
        }
    }

    /// Returns a call that names the token, presents its code, and spells at least one of them otherwise.
    fn call(&mut self, n: usize) -> (&'static str, Value) {
        let (field, name) = [("id", ID), ("number", NUMBER), ("authentication_code", SCANNED)][n / KIND_COUNT % 3];
        let within = |login: String, code: String| json!({"access_token_identifier": {"credential": {"identifier": login, "one_time_password": code}}});
        let beside =
            |name: String, code: String| json!({"access_token_identifier": {field: name}, "one_time_password": code});
        match n % KIND_COUNT {
            0 => ("ShowAccessToken", within(self.next(LOGIN), CODE.to_owned())),
            1 => ("ShowAccessToken", within(LOGIN.to_owned(), self.next(CODE))),
            2 => ("VerifyOtp", within(self.next(LOGIN), self.next(CODE))),
            3 => ("VerifyOtp", beside(name.to_owned(), self.next(CODE))),
            4 => ("VerifyOtp", beside(self.next(name), CODE.to_owned())),
            _ => ("VerifyOtp", within(self.next(LOGIN), CODE.to_owned())),
        }
    }
}

/// Returns the token, and one for which all attempts are compared.
fn records() -> String {
    let policy = json!({"lock": {"attempts": 100, "hard_limit": 1000, "attempts_per_day": 200}, "otp_length": 8, "verification_code_length": 8});
    let expires = "2100-01-01T00:00:00";
    [
        json!({"classification": {"id": "wide", "name": "wide", "policy": policy}}),
        json!({"access_token": {"id": ID, "number": NUMBER, "authentication_code": SCANNED, "identifier": LOGIN, "one_time_password": CODE, "expiration_date": expires}}),
        json!({"access_token": {"id": "W", "number": "W", "identifier": WIDE, "classification": {"id": "wide"}, "one_time_password": CODE, "expiration_date": expires}}),
    ]
    .map(|record| record.to_string())
    .join("\n")
}

/// Makes calls with this concurrency, by all clients in turn. None may succeed, and each must be answered.
async fn call_all(doors: &[Door], calls: Vec<(&'static str, Value)>, at_once: usize) -> BTreeMap<Outcome, usize> {
    let mut tally = BTreeMap::new();
    for (round, calls) in calls.chunks(at_once).enumerate() {
        let mut answers = JoinSet::new();
        for (n, (method, request)) in calls.iter().cloned().enumerate() {
            let n = round * at_once + n;
            // Moves on by one client after each round of the kinds of calls, so that each kind is called by each client.
            let door = doors[(n + n / KIND_COUNT) % doors.len()].clone();
            answers.spawn(async move { (door.call(method, request.clone()).await, request) });
        }
        for (outcome, request) in answers.join_all().await {
            assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}: {request}");
            *tally.entry(outcome).or_default() += 1;
        }
    }
    tally
}

async fn no_spelling_helps(processes: usize, database: &str, spellings: usize) {
    let started = Instant::now();
    let fleet = Fleet::start(processes, database, &records()).await;
    let doors = [fleet.doors(2), fleet.gateways()].concat();
    let operator = fleet.operator().await;
    let mut respell = Respell::new();

    let tally = call_all(&doors, (0..spellings).map(|n| respell.call(n)).collect(), SPELLINGS_PER_BATCH).await;
    let compared = fleet.comparisons("one-time-password");
    println!("{processes} process(es), {spellings} spellings: {compared} comparisons, {tally:?}");
    assert!((1..=GUESS_BUDGET).contains(&compared), "{compared} comparisons, {GUESS_BUDGET} are allowed");
    let right = json!({"access_token_identifier": {"credential": {"identifier": LOGIN, "one_time_password": CODE}}});
    let locked = doors[0].call("ShowAccessToken", right.clone()).await;
    assert!(matches!(locked, Outcome::Refused(_)), "it is locked: {locked:?}");
    operator.ok("UnlockAccessToken", json!({"access_token_identifier": {"id": ID}})).await;
    assert_eq!(doors[0].call("ShowAccessToken", right).await, Outcome::Right, "it was the right code all the time");

    // Without a lock, the lookup and the comparison themselves must distinguish the spellings. Few calls are concurrent, so that
    // none is refused because of a limit.
    let before = fleet.comparisons("one-time-password");
    let wide = |login: &str, code: &str| json!({"access_token_identifier": {"credential": {"identifier": login, "one_time_password": code}}});
    let names = (0..COMPARED_SPELLINGS).map(|_| ("VerifyOtp", wide(&respell.next(WIDE), CODE))).collect();
    call_all(&doors, names, SPELLINGS_PER_BATCH / 10).await;
    assert_eq!(fleet.comparisons("one-time-password"), before, "no other name is one of this token");
    let codes = (0..COMPARED_SPELLINGS).map(|_| ("VerifyOtp", wide(WIDE, &respell.next(CODE)))).collect();
    let tally = call_all(&doors, codes, SPELLINGS_PER_BATCH / 10).await;
    assert_eq!(
        fleet.comparisons("one-time-password") - before,
        COMPARED_SPELLINGS,
        "all of them are compared: {tally:?}"
    );
    assert_eq!(doors[0].call("VerifyOtp", wide(WIDE, CODE)).await, Outcome::Right);
    println!("in {:.1} s", started.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_three_processes_no_spelling_is_right_or_brings_a_comparison() {
    let database = tokio::task::block_in_place(postgres::create_database);
    no_spelling_helps(3, &database, count_from(SPELLINGS, DEFAULT_SPELLINGS)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_process_with_sqlite_no_spelling_is_right_or_brings_a_comparison() {
    no_spelling_helps(1, "sqlite://access-tokens.db", count_from(SPELLINGS, DEFAULT_SPELLINGS) / 4).await;
}
