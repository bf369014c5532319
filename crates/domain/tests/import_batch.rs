//! Records that are processed in memory, without a database.

use std::sync::atomic::{AtomicU64, Ordering};

use access_tokens_domain::directory::Organisation;
use access_tokens_domain::import::{self, Batch, BatchContext, Decision, Existing, Outcome, Prepared, Stored};
use access_tokens_domain::ports::{BoxFuture, HashWork, Purpose, Random, Secrets, Verdict};
use access_tokens_domain::reference::Reference;
use access_tokens_domain::secret::{CodeHash, PassCodeHash, SealedCode, Secret};
use access_tokens_domain::session::{Caller, OrganisationKey, Permissions};
use access_tokens_domain::store::ImportChanges;
use access_tokens_domain::time::TimeZone;
use access_tokens_domain::{Reason, Result, guess_budget, time};

/// Reversible "encryption" that still binds a code to purpose and subject.
struct PlainSecrets;

impl Secrets for PlainSecrets {
    fn hash(&self, _: HashWork, secret: Secret) -> BoxFuture<'_, Result<PassCodeHash>> {
        Box::pin(async move { Ok(PassCodeHash::from_stored(format!("hash of {}", secret.expose()))) })
    }

    fn verify(&self, _: HashWork, secret: Secret, stored: Option<PassCodeHash>) -> BoxFuture<'_, Result<Verdict>> {
        let same = stored.is_some_and(|s| s.as_stored() == format!("hash of {}", secret.expose()));
        Box::pin(async move { Ok(if same { Verdict::Right } else { Verdict::Wrong }) })
    }

    fn accepts(&self, stored: &PassCodeHash) -> bool {
        stored.as_stored().starts_with("$argon2id$")
    }

    fn code_hash(&self, purpose: Purpose, subject: &str, code: &Secret) -> Result<CodeHash> {
        Ok(CodeHash::from_stored(format!("{}/{subject}/{}", purpose.name(), code.expose())))
    }

    fn code_matches(&self, purpose: Purpose, subject: &str, code: &Secret, stored: Option<&CodeHash>) -> bool {
        self.code_hash(purpose, subject, code).ok().as_ref() == stored
    }

    fn seal(&self, purpose: Purpose, subject: &str, code: &Secret) -> Result<SealedCode> {
        Ok(SealedCode::from_stored(self.code_hash(purpose, subject, code)?.as_stored()))
    }

    fn open(&self, purpose: Purpose, subject: &str, sealed: &SealedCode) -> Result<Secret> {
        let prefix = format!("{}/{subject}/", purpose.name());
        Ok(Secret::new(sealed.as_stored().strip_prefix(&prefix).expect("bound to this subject")))
    }
}

struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, buffer: &mut [u8]) -> Result<()> {
        buffer.iter_mut().for_each(|b| *b = self.0.fetch_add(1, Ordering::Relaxed) as u8);
        Ok(())
    }
}

/// A directory in memory that batches are applied to one after the other.
struct World {
    reference: Reference,
    stored: Stored,
    random: Counting,
    time_zone: TimeZone,
}

type Results = Vec<Result<(Outcome, String)>>;

impl World {
    fn new() -> Self {
        let reference = Reference::empty(Organisation::new("ORG", "DEMO"));
        Self { reference, stored: Stored::default(), random: Counting(AtomicU64::new(0)), time_zone: TimeZone::UTC }
    }

    fn import(&mut self, text: &str) -> (Results, ImportChanges) {
        self.import_as(Existing::Overwrite, text)
    }

    fn import_as(&mut self, existing: Existing, text: &str) -> (Results, ImportChanges) {
        let now = time::parse("2026-01-02T03:04:05").expect("a date");
        let caller =
            Caller { organisation: OrganisationKey(1), user: None, unit: None, permissions: Permissions::all() };
        let context = BatchContext {
            random: &self.random,
            secrets: &PlainSecrets,
            now,
            caller: &caller,
            options: existing.into(),
            max_guess_chance: guess_budget::DEFAULT_LIMIT,
            time_zone: self.time_zone,
        };
        let mut batch = Batch::new(&self.reference, &self.stored, context);
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let records = lines.flat_map(|line| import::parse(line).expect("a record"));
        let prepared: Vec<_> = records.map(|record| Prepared::new(record, None)).collect();
        let decided = batch.add_all(&prepared).into_iter().map(|decision| match decision {
            Decision::Decided(result) => result,
            Decision::Waiting { error, .. } => Err(error),
        });
        let results = decided.collect();
        let changes = batch.into_changes();
        self.stored.merge(Stored::of(&changes));
        self.reference.merge(&changes);
        (results, changes)
    }
}

fn outcomes(results: &Results) -> Vec<Outcome> {
    results.iter().map(|result| result.as_ref().expect("imported").0).collect()
}

const TOKEN: &str = r#"{"access_token": {"id": "T1", "number": "AT0000000001", "authentication_code": "7", "life_cycle_state": "PENDING_VERIFICATION", "verification_code": "273562", "identifier": "login", "udf_string_8": "x", "udf_float_4": 1.5, "udf_date_1": "2015-11-27T16:08:55", "card_masked_number": "411111******1111", "accounts_receivable": {"id": "A1", "number": "ACR1", "name": "One", "account_owner": {"id": "C1", "type": "PERSON", "demographics": {"country_of_residence": {"id": "181", "name": "CYPRUS"}}}}, "log_information": {"created_date": "2015-05-27T12:03:05", "created_by_user": {"id": "1", "username": "admin"}, "created_by_unit": {"id": "U", "name": "Unit"}}}}"#;

#[test]
fn a_record_brings_everything_embedded_in_it_and_a_second_time_nothing() {
    let mut world = World::new();
    let (results, changes) = world.import(TOKEN);
    assert_eq!(outcomes(&results), [Outcome::Created]);
    assert_eq!((changes.tokens.len(), changes.accounts.len(), changes.contacts.len()), (1, 1, 1));
    assert_eq!((changes.countries.len(), changes.users.len(), changes.units.len()), (1, 1, 1));
    let token = &changes.tokens[0];
    assert_eq!(token.created.user.as_deref(), Some("1"));
    assert_eq!(token.udf.floats[3], Some(1.5));
    assert_eq!(token.accounts_receivable.as_deref(), Some("A1"));

    let token = token.clone();
    let (results, changes) = world.import(TOKEN);
    assert_eq!(outcomes(&results), [Outcome::Unchanged]);
    // The row is written, because the record carries a secret, but its values are unchanged.
    assert_eq!(changes, ImportChanges { tokens: vec![token], ..ImportChanges::default() });
    let (results, changes) = world.import_as(Existing::KeepNewer, TOKEN);
    assert_eq!(outcomes(&results), [Outcome::Kept]);
    assert_eq!(changes, ImportChanges::default());
}

#[test]
fn a_bad_record_names_its_fields_and_leaves_nothing_behind() {
    let mut world = World::new();
    let bad = r#"{"access_token": {"id": "T2", "number": "AT2", "life_cycle_state": "GONE", "accounts_receivable": {"id": "A2", "number": "ACR2"}, "udf_float_5": 1}}"#;
    let (results, changes) = world.import(&format!("{bad}\n{TOKEN}"));
    let error = results[0].as_ref().expect_err("refused");
    let fields: Vec<_> = error.violations().iter().map(|v| (v.field.as_str(), v.reason)).collect();
    assert_eq!(
        fields,
        [
            ("access_token.life_cycle_state", Reason::InvalidFieldValue),
            ("access_token.udf_float_5", Reason::UnknownField),
        ]
    );
    assert!(results[1].is_ok());
    assert!(changes.accounts.iter().all(|account| account.id != "A2"), "an embedded object of a bad record was kept");
}

#[test]
fn a_reference_must_exist() {
    let mut world = World::new();
    let (results, changes) = world.import(r#"{"accounts_receivable": {"id": "A", "account_owner": {"id": "nobody"}}}"#);
    let error = results[0].as_ref().expect_err("refused");
    assert_eq!(error.reason(), Reason::ReferenceNotFound);
    assert_eq!(error.violations()[0].field, "accounts_receivable.account_owner");
    assert_eq!(changes, ImportChanges::default());
}

#[test]
fn the_same_object_twice_in_one_record_keeps_what_either_says() {
    let mut world = World::new();
    let line = r#"{"access_token": {"id": "T", "number": "35", "authentication_code": "c", "reward_participant": {"id": "R", "accounts_receivable": {"id": "A", "account_owner": {"id": "C", "name": null}}}, "accounts_receivable": {"id": "A", "account_owner": {"id": "C", "name": "Havier Shemar"}}}}"#;
    let (results, changes) = world.import(line);
    assert_eq!(outcomes(&results), [Outcome::Created]);
    assert_eq!(changes.contacts[0].name.as_deref(), Some("Havier Shemar"));
    assert_eq!(changes.tokens[0].rewards_participant.as_deref(), Some("R"));
}

#[test]
fn null_clears_and_absence_does_not() {
    let mut world = World::new();
    world.import(TOKEN);
    let (results, changes) = world.import(
        r#"{"access_token": {"id": "T1", "identifier": null, "udf_string_8": null, "verification_code": null}}"#,
    );
    assert_eq!(outcomes(&results), [Outcome::Updated]);
    let token = &changes.tokens[0];
    assert_eq!((token.identifier.as_ref(), token.udf.strings[7].as_ref()), (None, None));
    assert!(token.verification.is_some() && token.udf.dates[0].is_some(), "a null secret clears none");
}

#[test]
fn codes_stay_unique_within_a_batch_and_against_the_store() {
    let mut world = World::new();
    let same_code = r#"{"access_token": {"id": "T9", "number": "AT9", "authentication_code": "7"}}"#;
    let (results, _) = world.import(&format!("{TOKEN}\n{same_code}"));
    assert_eq!(results[1].as_ref().expect_err("refused").reason(), Reason::AuthenticationCodeAlreadyExists);
    let (results, _) =
        world.import(r#"{"access_token": {"id": "T9", "number": "AT0000000001", "authentication_code": "8"}}"#);
    assert_eq!(results[0].as_ref().expect_err("refused").reason(), Reason::NumberAlreadyExists);
}

#[test]
fn a_token_without_id_is_found_again_and_takes_its_id_when_that_comes() {
    let mut world = World::new();
    let line = r#"{"access_token": {"number": "AT671", "authentication_code": "990", "life_cycle_state": "PENDING_VERIFICATION", "verification_code": "123456"}}"#;
    let (_, first) = world.import(line);
    let provisional = first.tokens[0].id.clone();
    assert_eq!(outcomes(&world.import(line).0), [Outcome::Unchanged]);
    let (results, changes) = world.import(r#"{"access_token": {"id": "607F", "number": "AT671"}}"#);
    assert_eq!(outcomes(&results), [Outcome::Updated]);
    assert_eq!(changes.renamed_tokens, [(provisional, "607F".to_owned())]);
    let token = &changes.tokens[0];
    assert_eq!((token.id.as_str(), token.authentication_code.as_str()), ("607F", "990"));
    let code = token.verification.as_ref().expect("kept");
    let opened = PlainSecrets.open(Purpose::Verification, "607F", &code.sealed).expect("bound to the new id");
    assert_eq!(opened.expose(), "123456");
}

#[test]
fn records_without_id_find_their_object_by_its_natural_key() {
    let mut world = World::new();
    let (_, changes) = world.import(r#"{"unit": {"name": "Main"}}"#);
    let id = changes.units[0].id.clone();
    let (results, changes) = world.import(r#"{"unit": {"name": "Main", "description": "again"}}"#);
    assert_eq!(outcomes(&results), [Outcome::Updated]);
    assert_eq!(changes.units[0].id, id);
    let (results, _) = world.import(r#"{"contact_information": {"name": "nobody"}}"#);
    assert_eq!(results[0].as_ref().expect_err("refused").reason(), Reason::RequiredFieldMissing);
}

#[test]
fn a_policy_that_is_left_out_has_its_defaults_and_a_bad_one_is_refused() {
    let mut world = World::new();
    let (results, changes) = world.import(
        r#"{"organisation": {"name": "DEMO", "number_prefix": "ACT", "definition": {"pass_code": {"min_digits": 1}}}}"#,
    );
    assert_eq!(outcomes(&results), [Outcome::Updated]);
    let definition = changes.organisation.expect("changed").definition;
    assert_eq!((definition.pass_code.min_length, definition.pass_code.min_digits), (4, 1));
    for bad in [
        r#"{"organisation": {"name": "OTHER"}}"#,
        r#"{"organisation": {"name": "DEMO", "definition": {"otp_length": 4}}}"#,
        r#"{"classification": {"name": "c", "policy": {"verification_code_length": 11}}}"#,
        r#"{"organisation": {"name": "DEMO", "definition": {"otp": 4}}}"#,
    ] {
        assert!(world.import(bad).0[0].is_err(), "{bad}");
    }
}

#[test]
fn what_a_user_may_do_is_part_of_the_record() {
    let mut world = World::new();
    let (_, changes) = world.import(
        r#"{"user": {"id": "7", "username": "u", "permissions": ["access_tokens.read"], "default_unit": {"id": "U", "name": "Unit"}}}"#,
    );
    let credential = &changes.credentials[0];
    assert_eq!(credential.permissions.to_string(), "access_tokens.read");
    assert_eq!(credential.default_unit.as_deref(), Some("U"));
    let (results, _) = world.import(r#"{"user": {"id": "7", "permissions": ["root"]}}"#);
    assert_eq!(results[0].as_ref().expect_err("refused").violations()[0].field, "user.permissions");
    let (_, changes) = world.import(r#"{"user": {"id": "7", "permissions": null}}"#);
    assert_eq!(changes.credentials[0].permissions.to_string(), "");
}

#[test]
fn a_record_may_bring_credentials_of_several_users() {
    let mut world = World::new();
    let token = r#"{"access_token": {"id": "T", "number": "AT1", "verified_by_user": {"id": "A", "permissions": ["access_tokens.read"]}, "log_information": {"created_by_user": {"id": "B", "permissions": ["admin"]}, "updated_by_user": {"id": "A", "username": "anna"}}}}"#;
    let (results, changes) = world.import(token);
    assert_eq!(outcomes(&results), [Outcome::Created]);
    let credentials: Vec<_> =
        changes.credentials.iter().map(|c| (c.user.as_str(), c.permissions.to_string())).collect();
    assert_eq!(credentials, [("A", "access_tokens.read".to_owned()), ("B", "admin".to_owned())]);
    assert_eq!(outcomes(&world.import(token).0), [Outcome::Unchanged]);
}

#[test]
fn a_new_user_does_not_come_by_the_credential_of_a_renamed_one() {
    let mut world = World::new();
    let (results, _) = world.import(r#"{"user": {"username": "svc", "permissions": ["admin"]}}"#);
    let (_, first) = results[0].as_ref().expect("imported").clone();
    world.import(&format!(r#"{{"user": {{"id": "{first}", "username": "svc-old"}}}}"#));
    let (results, changes) = world.import(r#"{"user": {"username": "svc", "permissions": ["access_tokens.read"]}}"#);
    let (outcome, second) = results[0].as_ref().expect("imported").clone();
    assert_eq!(outcome, Outcome::Created);
    assert_ne!(first, second);
    assert!(changes.credentials.iter().map(|credential| &credential.user).eq([&second]));
    let (results, changes) = world.import(r#"{"user": {"username": "svc", "permissions": ["access_tokens.read"]}}"#);
    assert_eq!(results[0].as_ref().expect("imported"), &(Outcome::Unchanged, second));
    assert_eq!(changes, ImportChanges::default());
    assert_eq!(world.reference.users[&first].username.as_deref(), Some("svc-old"));
}

#[test]
fn a_default_unit_alone_creates_no_credential_and_is_kept_in_an_existing_one() {
    let mut world = World::new();
    let unit = r#"{"user": {"id": "7", "username": "u", "default_unit": {"id": "U", "name": "Unit"}}}"#;
    let (results, changes) = world.import(unit);
    assert_eq!(outcomes(&results), [Outcome::Created]);
    assert_eq!((changes.units.len(), changes.credentials.len()), (1, 0));
    world.import(r#"{"user": {"id": "7", "permissions": ["access_tokens.read"]}}"#);
    let (_, changes) = world.import(unit);
    assert_eq!(changes.credentials[0].default_unit.as_deref(), Some("U"));
}

#[test]
fn the_date_of_a_record_is_compared_in_the_configured_zone() {
    for zone in ["UTC", "Europe/Athens", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati", "America/St_Johns"] {
        let mut world = World { time_zone: zone.parse().expect("a zone"), ..World::new() };
        world.import(&dated("T", "code", "2021-07-01T12:00:00"));
        for (date, expected) in [
            ("2021-07-01T11:59:59", Outcome::Kept),
            ("2021-06-30T22:00:00", Outcome::Kept),
            ("2021-07-01T12:00:00", Outcome::Unchanged),
            ("2021-07-01T12:00:01", Outcome::Updated),
        ] {
            let (results, _) = world.import_as(Existing::KeepNewer, &dated("T", "code", date));
            assert_eq!(outcomes(&results), [expected], "{zone} {date}");
        }
    }
}

#[test]
fn later_records_of_a_batch_do_not_tell_whether_a_secret_was_right() {
    let record = |members: &str| format!(r#"{{"access_token": {{"number": "AT0000000001", {members}}}}}"#);
    let secrets = [("verification_code", "273562", "999999"), ("pass_code_hash", "right", "wrong")];
    for (name, right, wrong) in secrets {
        let answer = |secret: &str| {
            let mut world = World::new();
            world.import(TOKEN);
            world.import(&record(r#""pass_code_hash": "right""#));
            let records = [
                record(r#""one_time_password": "123456", "expiration_date": "2026-01-02T03:09:05""#),
                record(&format!(r#""{name}": "{secret}""#)),
                record(r#""one_time_password": "1", "expiration_date": "nonsense""#),
                record(r#""expiration_date": "nonsense""#),
            ];
            let (results, changes) = world.import(&records.join("\n"));
            let results: Vec<_> = results
                .iter()
                .map(|result| match result {
                    Ok(outcome) => format!("{outcome:?}"),
                    Err(error) => format!("{:?} {}", error.violations(), error.message()),
                })
                .collect();
            (results, changes.tokens[0].one_time_password.is_some())
        };
        assert_eq!(answer(right), answer(wrong), "{name}");
    }
}

#[test]
fn a_token_that_comes_several_times_in_a_batch_gives_up_what_it_had_before_the_batch() {
    let mut world = World::new();
    world.import(&[card("T", "code 0", ""), card("U", "code 1", "")].join("\n"));
    let records = [
        card("T", "code 0", r#", "udf_string_1": "first""#),
        card("T", "code 2", ""),
        card("U", "code 0", ""),
        card("U", "code 3", ""),
        card("A", "code 0", ""),
    ];
    let (results, changes) = world.import(&records.join("\n"));
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(changes.vacated_tokens, ["T"]);

    // A token gets its own id after it was changed in the same batch: the row with the derived id is not written.
    let record =
        |members: &str| format!(r#"{{"access_token": {{"number": "N9", "authentication_code": "code 9"{members}}}}}"#);
    let (_, changes) = world.import(&record(""));
    let derived = changes.tokens[0].id.clone();
    let (results, changes) = world.import(&[record(r#", "udf_string_1": "x""#), record(r#", "id": "OWN""#)].join("\n"));
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!((changes.renamed_tokens, changes.tokens.len()), (vec![(derived, "OWN".to_owned())], 1));
}

fn card(id: &str, code: &str, more: &str) -> String {
    format!(r#"{{"access_token": {{"id": "{id}", "number": "N{id}", "authentication_code": "{code}"{more}}}}}"#)
}

fn dated(id: &str, code: &str, date: &str) -> String {
    card(id, code, &format!(r#", "log_information": {{"updated_date": "{date}"}}"#))
}

#[test]
fn a_record_that_is_older_than_its_token_or_has_no_date_changes_nothing() {
    let old = r#"{"access_token": {"id": "T", "number": "NT", "authentication_code": "old", "accounts_receivable": {"id": "A", "number": "ACR", "name": "Old"}, "log_information": {"updated_date": "2020-01-01T00:00:00"}}}"#;
    let new = old.replace("old", "new").replace("Old", "New").replace("2020", "2021");
    let mut world = World::new();
    world.import_as(Existing::KeepNewer, old);
    let (results, changes) = world.import_as(Existing::KeepNewer, &new);
    assert_eq!(outcomes(&results), [Outcome::Updated]);
    assert_eq!(time::parse("2021-01-01T00:00:00"), Some(changes.tokens[0].updated.date), "as the record says");
    // An older record of T is kept: another token has its code now, and the objects that it refers to need not exist.
    world.import_as(Existing::KeepNewer, &dated("U", "old", "2022-01-01T00:00:00"));
    for kept in [
        old.to_owned(),
        old.replace("2020-01-01T00:00:00", "2020-12-31T23:59:59"),
        card("T", "newest", ""),
        card("T", "newest", r#", "log_information": {"updated_date": null}"#),
        card("T", "newest", r#", "log_information": null, "accounts_receivable": {"id": "missing"}"#),
    ] {
        let (results, changes) = world.import_as(Existing::KeepNewer, &kept);
        assert_eq!((outcomes(&results), changes), (vec![Outcome::Kept], ImportChanges::default()), "{kept}");
    }
    for bad in [card("T", "x", r#", "udf_float_5": 1"#), dated("T", "x", "yesterday")] {
        assert!(world.import_as(Existing::KeepNewer, &bad).0[0].is_err(), "{bad}");
    }
    let (results, _) = world.import_as(Existing::KeepNewer, &new);
    assert_eq!(outcomes(&results), [Outcome::Unchanged]);
    let (results, changes) = world.import_as(Existing::Overwrite, &old.replace("\"old\"", "\"older\""));
    assert_eq!(outcomes(&results), [Outcome::Updated]);
    assert_eq!(
        (changes.tokens[0].authentication_code.as_str(), changes.accounts[0].name.as_deref()),
        ("older", Some("Old"))
    );
}

#[test]
fn the_outcome_does_not_depend_on_secrets_and_null_clears_none() {
    let secrets = r#", "life_cycle_state": "PENDING_VERIFICATION", "verification_code": "111111", "one_time_password": "22222222", "expiration_date": "2030-01-01T00:00:00", "pass_code_hash": "$argon2id$1""#;
    let mut world = World::new();
    let (_, changes) = world.import(&card("T", "c", secrets));
    let stored = changes.tokens[0].clone();
    assert!(stored.verification.is_some() && stored.one_time_password.is_some() && stored.pass_code.is_some());
    for (from, to) in [("", ""), ("111111", "111112"), ("22222222", "33333333"), ("$argon2id$1", "$argon2id$2")] {
        for (state, outcome) in [("PENDING_VERIFICATION", Outcome::Unchanged), ("EFFECTIVE", Outcome::Updated)] {
            let secrets = secrets.replace(from, to).replace("PENDING_VERIFICATION", state);
            let mut world = World::new();
            world.import(&card("T", "c", &secrets.replace(state, "PENDING_VERIFICATION").replace(to, from)));
            let (results, changes) = world.import(&card("T", "c", &secrets));
            assert_eq!(outcomes(&results), [outcome], "{from:?} to {to:?}");
            assert_eq!(changes.tokens.len(), 1, "written in any case");
        }
    }
    for name in ["verification_code", "one_time_password", "pass_code_hash", "pass_code"] {
        let (results, changes) = world.import(&card("T", "c", &format!(r#", "{name}": null"#)));
        assert_eq!((outcomes(&results), changes), (vec![Outcome::Unchanged], ImportChanges::default()), "{name}");
    }
}

/// The password of the record may have been used since the export. So only a record that is younger than the token, or
/// an import with `Overwrite`, writes it.
#[test]
fn a_one_time_password_does_not_come_in_again() {
    let record = |date: &str, code: &str| {
        card(
            "T",
            "c",
            &format!(
                r#", "one_time_password": "{code}", "expiration_date": "2030-01-01T00:00:00", "log_information": {{"updated_date": "{date}"}}"#
            ),
        )
    };
    let mut world = World::new();
    let (_, changes) = world.import_as(Existing::KeepNewer, &record("2020-01-01T00:00:00", "11111111"));
    let mut used = changes.tokens[0].clone();
    assert!(used.one_time_password.take().is_some());
    world.stored.merge(Stored::of(&ImportChanges { tokens: vec![used.clone()], ..ImportChanges::default() }));
    let (results, changes) = world.import_as(Existing::KeepNewer, &record("2020-01-01T00:00:00", "11111111"));
    assert_eq!(outcomes(&results), [Outcome::Unchanged]);
    assert_eq!(changes.tokens, [used]);
    let (_, changes) = world.import_as(Existing::KeepNewer, &record("2020-01-02T00:00:00", "22222222"));
    assert!(changes.tokens[0].one_time_password.is_some());
}

#[test]
fn codes_change_hands_within_one_import() {
    let begin = |world: &mut World, cards: usize| {
        let lines: Vec<_> = (0..cards).map(|i| card(&format!("{i:03}"), &format!("code {i}"), "")).collect();
        world.import(&lines.join("\n"));
    };
    // Each card takes the code of the next card. The last card takes a free code, the code of the first card, or a code
    // that another card keeps.
    for (last, works) in [("free", true), ("code 0", true), ("code 99", false)] {
        let mut world = World::new();
        begin(&mut world, 100);
        let lines: Vec<_> = (0..10)
            .map(|i| card(&format!("{i:03}"), &if i < 9 { format!("code {}", i + 1) } else { last.to_owned() }, ""))
            .collect();
        for reversed in [false, true] {
            let mut world = World::new();
            begin(&mut world, 100);
            let mut lines = lines.clone();
            if reversed {
                lines.reverse();
            }
            let (results, changes) = world.import(&lines.join("\n"));
            assert_eq!(results.iter().all(Result::is_ok), works, "{last}, reversed: {reversed}");
            if works {
                assert_eq!(changes.tokens.len(), 10);
                assert!(changes.vacated_tokens.len() >= 9, "{:?}", changes.vacated_tokens);
            } else {
                let reasons: Vec<_> = results.iter().filter_map(|one| one.as_ref().err().map(|e| e.reason())).collect();
                assert_eq!(reasons, [Reason::AuthenticationCodeAlreadyExists; 10]);
                assert_eq!(changes, ImportChanges::default(), "nothing of a refused record is left");
            }
        }
    }
}

#[test]
fn a_refused_record_takes_no_others_with_it_and_has_its_own_reason() {
    let mut world = World::new();
    world.import(&[card("A", "a", ""), card("B", "b", ""), card("C", "c", ""), card("D", "d", "")].join("\n"));
    let lines = [
        card("A", "b", ""),
        card("B", "a", ""),
        // C requests a value that D keeps, and releases none.
        card("C", "d", ""),
        card("E", "c", ""),
        card("F", "f", r#", "life_cycle_state": "GONE""#),
        // A later record of a waiting token comes after the first.
        card("A", "b", r#", "udf_string_1": "last""#),
    ];
    let (results, changes) = world.import(&lines.join("\n"));
    let reasons: Vec<_> = results.iter().map(|result| result.as_ref().err().map(|error| error.reason())).collect();
    let taken = Some(Reason::AuthenticationCodeAlreadyExists);
    assert_eq!(reasons, [None, None, taken, taken, Some(Reason::InvalidFieldValue), None]);
    let codes: Vec<_> = changes.tokens.iter().map(|one| (one.id.as_str(), one.authentication_code.as_str())).collect();
    assert_eq!(codes, [("A", "b"), ("B", "a")]);
    assert_eq!(changes.tokens[0].udf.strings[0].as_deref(), Some("last"));
}
