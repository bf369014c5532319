use access_tokens_domain::directory::Organisation;
use access_tokens_domain::import::{Batch, BatchContext, Existing, Object, Outcome, Prepared, Record, Stored, parse};
use access_tokens_domain::reference::Reference;
use access_tokens_domain::session::{Caller, OrganisationKey, Permissions};
use access_tokens_domain::store::ImportChanges;
use access_tokens_domain::time::TimeZone;
use access_tokens_domain::{Error, guess_budget, time};
use access_tokens_server::command::import_pieces as pieces;
use serde_json::Value;

use crate::canary::{self, CANARY};
use crate::ports::{Counting, PlainSecrets};

/// Members that hold secrets, or values that are as good as a secret.
const SECRET: [&str; 6] =
    ["authentication_code", "pass_code", "password", "password_hash", "verification_code", "one_time_password"];

/// Files to import, split into lines or documents, with each record applied in memory. Asserts that a record that comes again
/// changes nothing, that a file is always read in the same way, and that no error repeats a secret.
pub fn import(data: &[u8]) {
    let found = pieces(data).expect("memory can be read");
    assert_eq!(pieces(data).expect("memory can be read"), found);
    in_order(data, &found);

    let texts: Vec<&str> = found.iter().filter_map(|(_, text)| text.as_deref().ok()).collect();
    let mut records = Vec::new();
    for text in &texts {
        match parse(text) {
            Ok(parsed) => records.extend(parsed),
            Err(error) => short(&error, text.len()),
        }
    }
    let size = data.len();
    let changes = work_through(&records, size, "");
    assert!(work_through(&records, size, "") == changes, "the same file, and other changes");

    let hidden = texts.iter().filter_map(|text| hide_secrets(text)).flat_map(|text| parse(&text)).flatten();
    work_through(&hidden.collect::<Vec<_>>(), size, CANARY);
}

/// Asserts that pieces come in the order of their lines, and that a file of good lines consists of its lines.
fn in_order(data: &[u8], found: &[(usize, Result<String, String>)]) {
    let lines = data.split(|byte| *byte == b'\n').count();
    assert!(found.is_sorted_by_key(|(line, _)| *line) && found.iter().all(|(line, _)| (1..=lines).contains(line)));
    let Ok(text) = std::str::from_utf8(data) else { return };
    let trimmed = text.split('\n').map(|line| line.trim_start_matches('\u{feff}').trim());
    let good: Vec<_> = trimmed.zip(1..).filter(|(line, _)| !line.is_empty()).collect();
    if good.iter().all(|(line, _)| serde_json::from_str::<Value>(line).is_ok()) {
        let expected = good.into_iter().map(|(line, number)| (number, Ok(line.to_owned())));
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}

/// Imports every record, and those that are accepted once more.
fn work_through(records: &[Record], size: usize, secret: &str) -> ImportChanges {
    let reference = Reference::empty(Organisation::new("ORG", "DEMO"));
    let (stored, random) = (Stored::default(), Counting::default());
    let now = time::parse("2026-01-02T03:04:05").expect("a date");
    let caller = Caller { organisation: OrganisationKey(1), user: None, unit: None, permissions: Permissions::all() };
    let context = BatchContext {
        random: &random,
        secrets: &PlainSecrets,
        now,
        caller: &caller,
        options: Existing::Overwrite.into(),
        max_guess_chance: guess_budget::DEFAULT_LIMIT,
        time_zone: TimeZone::UTC,
    };
    let mut batch = Batch::new(&reference, &stored, context);
    for record in records {
        let prepared = Prepared::new(record.clone(), None);
        match batch.add(prepared.clone()) {
            Ok((_, id)) => {
                let again = batch.add(prepared).map_err(|error| error.message().to_owned());
                assert_eq!(again, Ok((Outcome::Unchanged, id)), "{:?} the second time", record.object);
            }
            Err(error) => {
                assert!(!error.violations().is_empty(), "{error}");
                let kind = record.kind.name();
                assert!(error.violations().iter().all(|fault| fault.field.starts_with(kind)), "{error}");
                assert!(secret.is_empty() || !format!("{error:?}").contains(secret), "{error:?}");
                short(&error, size);
            }
        }
    }
    batch.into_changes()
}

/// Asserts a maximum length: a message names fields, some of them by the keys of the record, with the known names.
fn short(error: &Error, size: usize) {
    assert!(error.message().len() <= 2_000 * (1 + error.violations().len()) + 2 * size, "{error}");
}

/// Returns the same text with canaries in place of secrets.
fn hide_secrets(text: &str) -> Option<String> {
    let members: Object = serde_json::from_str(text).ok()?;
    let mut value = Value::Object(members);
    canary::in_json(&mut value, &|key| SECRET.contains(&key));
    Some(value.to_string())
}
