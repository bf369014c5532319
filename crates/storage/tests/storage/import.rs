//! Writes of imports, and reference data as other processes read it.

use std::sync::Arc;

use access_tokens_domain::access_token::{AccessToken, UserDefinedFields};
use access_tokens_domain::directory::{
    AccountsReceivable, AccountsReceivableState, BusinessUnit, Classification, CompanyProfile, ContactInformation,
    ContactState, ContactType, Country, DateOfBirth, Demographics, Gender, Image, Industry, IndustrySector, NameDay,
    Organisation, RewardsParticipant, Unit, User,
};
use access_tokens_domain::identifier::{
    AccountsReceivableIdentifier, OwnerIdentifier, RewardsParticipantIdentifier, TokenKey,
};
use access_tokens_domain::policy::Policy;
use access_tokens_domain::secret::PassCodeHash;
use access_tokens_domain::session::Permissions;
use access_tokens_domain::store::{
    AccountStore, Credential, ImportChanges, ImportKeys, OwnerJoins, ReadConsistency, ReadOptions, Sequence, Store,
    StoreError, TokenPage, Transaction as _, Unique,
};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::common::{TestDatabase, account, at, contact, find, full, import, organisation, postgres, token};

on_both!(
    reference_data_comes_back_as_it_was_and_at_once,
    directory_rows_are_found_by_all_their_keys,
    a_large_batch_is_inserted_and_replaced,
    accounts_are_found_by_name_and_two_of_one_name_are_enough,
    every_column_comes_back_as_it_was_and_can_become_null,
    a_taken_code_is_named_and_nothing_of_its_batch_is_written,
    removed_tokens_make_room,
    numbers_from_outside_are_not_handed_out_again,
    corrupt_rows_are_faults,
    permissions_of_a_newer_release_are_left_out,
    owners_are_found_by_what_names_them,
);

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

async fn reference_data_comes_back_as_it_was_and_at_once(test: TestDatabase) {
    let empty = test.database.reference(test.organisation).await.expect("reads");
    assert!(empty.units.is_empty());
    let settings = Organisation {
        id: "ID-DEMO".into(),
        name: "DEMO".into(),
        number_prefix: "XX".into(),
        legacy_compatibility: false,
        definition: Policy { otp_length: 8, ..Policy::default() },
    };
    let unit = Unit { id: "N1".into(), name: text("Unit"), business_unit: text("B1"), ..Unit::default() };
    let business_unit = BusinessUnit { id: "B1".into(), code: text("b"), ..BusinessUnit::default() };
    let user = User { id: "U1".into(), username: text("me"), ..User::default() };
    let flag = Image { id: text("I1"), file_name: text("cy.png"), ..Image::default() };
    let country = Country { id: "C1".into(), country_flag: Some(flag), ..Country::default() };
    let industry = Industry { id: "D1".into(), name: text("Industry"), code: None };
    let sector = IndustrySector { id: "S1".into(), name: None, alternative_code: text("s") };
    let policy = Some(Policy { max_per_owner: Some(2), ..Policy::default() });
    let classification = Classification { id: "K1".into(), name: text("Card"), alternative_code: None, policy };
    let changes = ImportChanges {
        organisation: Some(settings.clone()),
        units: vec![unit.clone()],
        business_units: vec![business_unit.clone()],
        users: vec![user.clone()],
        countries: vec![country.clone()],
        industries: vec![industry.clone()],
        industry_sectors: vec![sector.clone()],
        classifications: vec![classification.clone()],
        ..ImportChanges::default()
    };
    let elsewhere = test.again().await;
    elsewhere.reference(test.organisation).await.expect("warms the other one's memory");
    let renamed = Organisation { id: "ORG".into(), name: "OTHER".into(), ..settings.clone() };
    let changes = ImportChanges { organisation: Some(renamed), ..changes };
    import(&test.database, test.organisation, &changes).await;

    // An import changes neither the id nor the name of an organisation.
    for database in [&test.database, &elsewhere] {
        let read = database.reference(test.organisation).await.expect("reads");
        assert!(read.version > empty.version);
        assert_eq!(read.organisation, settings);
        assert_eq!(read.units["N1"], unit);
        assert_eq!(read.business_units["B1"], business_unit);
        assert_eq!(read.users["U1"], user);
        assert_eq!(read.countries["C1"], country);
        assert_eq!(read.industries["D1"], industry);
        assert_eq!(read.industry_sectors["S1"], sector);
        assert_eq!(read.classifications["K1"], classification);
        let again = database.reference(test.organisation).await.expect("reads");
        assert!(Arc::ptr_eq(&read, &again), "not read twice");
    }
    let tokens = ImportChanges { tokens: vec![token("T1")], ..ImportChanges::default() };
    let before = test.database.reference(test.organisation).await.expect("reads");
    import(&test.database, test.organisation, &tokens).await;
    let after = test.database.reference(test.organisation).await.expect("reads");
    assert!(Arc::ptr_eq(&before, &after), "tokens are no reference data");
    let other = organisation(&test.database, "OTHER").await;
    assert!(test.database.reference(other).await.expect("reads").units.is_empty());
}

async fn directory_rows_are_found_by_all_their_keys(test: TestDatabase) {
    let person = ContactInformation {
        contact_type: Some(ContactType::Person),
        life_cycle_state: Some(ContactState::Financial),
        demographics: Some(Demographics {
            gender: Some(Gender::Female),
            id_number_expiration_date: Some(at(5)),
            date_of_birth: DateOfBirth { day: Some(1), month: None, year: Some(1980) },
            name_day: NameDay { day: None, month: Some(5) },
            country_of_residence: text("C1"),
            ..Demographics::default()
        }),
        ..contact("I1")
    };
    let company = ContactInformation {
        contact_type: Some(ContactType::Company),
        company_profile: Some(CompanyProfile {
            annual_turnover: Some(0.1),
            number_of_employees: Some(1 << 40),
            ..CompanyProfile::default()
        }),
        ..contact("I2")
    };
    let participant = RewardsParticipant {
        id: "P1".into(),
        number: text("RP-1"),
        life_cycle_state: None,
        accounts_receivable: text("A1"),
    };
    let credential = Credential {
        user: "U1".into(),
        password: Some(PassCodeHash::from_stored("$argon2id$x")),
        permissions: Permissions::all(),
        default_unit: text("N1"),
    };
    let named = AccessToken { identifier: text("me"), ..token("T1") };
    let changes = ImportChanges {
        contacts: vec![person.clone(), company.clone()],
        accounts: vec![account("A1", AccountsReceivableState::Suspended)],
        participants: vec![participant.clone()],
        credentials: vec![credential.clone()],
        tokens: vec![named.clone(), token("T2"), token("T3")],
        ..ImportChanges::default()
    };
    import(&test.database, test.organisation, &changes).await;
    let keys = ImportKeys {
        contacts: vec!["I1".into(), "I2".into(), "I3".into()],
        credentials: vec!["U1".into(), "U2".into()],
        account_ids: vec!["A1".into()],
        account_numbers: vec!["AR-A1".into()],
        account_names: Vec::new(),
        participant_ids: vec!["P1".into()],
        participant_numbers: vec!["RP-1".into()],
        token_ids: vec!["T1".into(), "T9".into()],
        token_numbers: vec!["N-T1".into(), "N-T2".into()],
        authentication_codes: vec!["C-T3".into()],
        identifiers: vec!["me".into()],
        permissions: false,
    };
    let mut unit = test.database.begin().await.expect("begins");
    let mut rows = unit.load_import(test.organisation, &keys).await.expect("loads");
    rows.contacts.sort_by(|a, b| a.id.cmp(&b.id));
    rows.tokens.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(rows.contacts, [person, company]);
    assert_eq!(rows.credentials, [credential]);
    assert_eq!(rows.accounts, [account("A1", AccountsReceivableState::Suspended)]);
    assert_eq!(rows.participants, [participant]);
    assert_eq!(rows.tokens, [named, token("T2"), token("T3")]);
    drop(unit);
    let other = organisation(&test.database, "OTHER").await;
    let mut unit = test.database.begin().await.expect("begins");
    let rows = unit.load_import(other, &keys).await.expect("loads");
    assert!(rows.tokens.is_empty() && rows.accounts.is_empty() && rows.contacts.is_empty());
}

async fn accounts_are_found_by_name_and_two_of_one_name_are_enough(test: TestDatabase) {
    let named =
        |id: &str, name: &str| AccountsReceivable { name: text(name), ..account(id, AccountsReceivableState::Active) };
    let long = "n".repeat(150);
    let (longer, other) = (format!("{long}a"), format!("{long}b"));
    let mut accounts: Vec<_> = (1..=5).map(|i| named(&format!("D{i}"), "Doe")).collect();
    accounts.extend([named("A1", "Ana"), named("L1", &longer), named("L2", &other)]);
    let mut changes = ImportChanges { accounts, ..ImportChanges::default() };
    import(&test.database, test.organisation, &changes).await;
    let keys = ImportKeys {
        account_names: ["Ana", "Doe", "Nobody", longer.as_str()].map(str::to_owned).to_vec(),
        ..ImportKeys::default()
    };
    let ids = |accounts: Vec<AccountsReceivable>| {
        let mut ids: Vec<_> = accounts.into_iter().map(|account| account.id).collect();
        ids.sort_unstable();
        ids
    };
    let mut unit = test.database.begin().await.expect("begins");
    let found = unit.load_import(test.organisation, &keys).await.expect("loads");
    assert_eq!(ids(found.accounts), ["A1", "D1", "D5", "L1"]);
    drop(unit);
    // Drafts of a check: those that have another name since then do not count.
    let mut drafts = test.database.drafts().expect("drafts");
    drafts.save(&changes).expect("saved");
    assert_eq!(ids(drafts.load(&keys).expect("loads").accounts), ["A1", "D4", "D5", "L1"]);
    changes.accounts = ["D2", "D3", "D4", "D5"].map(|id| named(id, "Ana")).to_vec();
    drafts.save(&changes).expect("saved");
    let found = ids(drafts.load(&keys).expect("loads").accounts);
    assert_eq!(found, ["D1", "D4", "D5", "L1"]);
}

async fn a_large_batch_is_inserted_and_replaced(test: TestDatabase) {
    let batch = |code: &str| ImportChanges {
        tokens: (0..700)
            .map(|i| AccessToken { authentication_code: format!("{code}{i}"), ..token(&format!("T{i}")) })
            .collect(),
        ..ImportChanges::default()
    };
    let written = batch("a");
    import(&test.database, test.organisation, &written).await;
    import(&test.database, test.organisation, &written).await;
    let keys = ImportKeys { token_ids: (0..900).map(|i| format!("T{i}")).collect(), ..ImportKeys::default() };
    let load = async || {
        let mut unit = test.database.begin().await.expect("begins");
        let mut tokens = unit.load_import(test.organisation, &keys).await.expect("loads").tokens;
        tokens.sort_by_key(|token| token.id[1..].parse::<u32>().expect("a number"));
        tokens
    };
    assert_eq!(load().await, written.tokens);
    let replaced = batch("b");
    import(&test.database, test.organisation, &replaced).await;
    assert_eq!(load().await, replaced.tokens);
}

/// A batch may be sent as one text: no value may be taken for a part of that text.
async fn every_column_comes_back_as_it_was_and_can_become_null(test: TestDatabase) {
    let odd = ["\"", "\\", "\\u0041", "{a,NULL,\"b\"}", "null", "a\r\nb\tc", "\u{1}\u{7f}\u{2028}\u{1F600}", "$1 ' --"];
    let most = AccessToken {
        udf: UserDefinedFields {
            strings: odd.map(text),
            floats: [Some(f64::MAX), Some(5e-324), Some(-0.1), Some(9_007_199_254_740_993.0)],
            ..full("T1").udf
        },
        ..full("T1")
    };
    let person = ContactInformation {
        name: text("\"quoted\" \\ {}"),
        demographics: Some(Demographics { id_number: text("[\"1\"]"), ..Demographics::default() }),
        ..contact("I1")
    };
    let changes = |token: &AccessToken, contact: &ContactInformation| ImportChanges {
        tokens: vec![token.clone(), token_with_odd_keys()],
        contacts: vec![contact.clone()],
        ..ImportChanges::default()
    };
    let keys = ImportKeys {
        contacts: vec!["I1".into()],
        token_ids: vec!["T1".into(), token_with_odd_keys().id],
        ..ImportKeys::default()
    };
    let bare = ContactInformation { demographics: None, name: None, ..person.clone() };
    for (token, contact) in [(most, person), (token("T1"), bare)] {
        import(&test.database, test.organisation, &changes(&token, &contact)).await;
        let mut unit = test.database.begin().await.expect("begins");
        let mut rows = unit.load_import(test.organisation, &keys).await.expect("loads");
        rows.tokens.sort_by_key(|row| row.id != token.id);
        assert_eq!(rows.tokens, [token, token_with_odd_keys()]);
        assert_eq!(rows.contacts, [contact]);
    }
}

fn token_with_odd_keys() -> AccessToken {
    AccessToken { number: "[\"N\"]".into(), authentication_code: "\\".into(), ..token("\",\"T\u{e9}") }
}

async fn a_taken_code_is_named_and_nothing_of_its_batch_is_written(test: TestDatabase) {
    let taken = AccessToken { identifier: text("me"), ..token("T0") };
    let tokens = vec![taken.clone()];
    import(&test.database, test.organisation, &ImportChanges { tokens, ..ImportChanges::default() }).await;
    let same = |which: &Unique, token: AccessToken| match which {
        Unique::TokenNumber => AccessToken { number: taken.number.clone(), ..token },
        Unique::AuthenticationCode => AccessToken { authentication_code: taken.authentication_code.clone(), ..token },
        _ => AccessToken { identifier: taken.identifier.clone(), ..token },
    };
    for which in [Unique::TokenNumber, Unique::AuthenticationCode, Unique::Identifier] {
        let mut tokens: Vec<_> = (1..200).map(|i| token(&format!("T{i}"))).collect();
        tokens.push(same(&which, token("T200")));
        let mut unit = test.database.begin().await.expect("begins");
        unit.lock_directory(test.organisation).await.expect("locks");
        let changes = ImportChanges { tokens, contacts: vec![contact("I1")], ..ImportChanges::default() };
        let refused = unit.save_import(test.organisation, &changes).await.expect_err("taken");
        assert!(matches!(&refused, StoreError::Duplicate(unique) if *unique == which), "{refused:?}");
        drop(unit);
        assert_eq!(find(&test, "T1").await, None, "{which:?}");
        assert_eq!(find(&test, "T0").await, Some(taken.clone()));
    }
}

/// Plans that PostgreSQL made for empty tables must not scan everything that the import has written so far for each
/// lookup.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_first_import_reads_only_what_it_looks_for() {
    const BATCHES: usize = 20;
    const BATCH: usize = 100;
    let test = postgres().await;
    for batch in 0..BATCHES {
        let tokens: Vec<_> = (0..BATCH).map(|i| token(&format!("T{}", batch * BATCH + i))).collect();
        let accounts: Vec<_> = tokens.iter().map(|token| account(&token.id, AccountsReceivableState::Active)).collect();
        let keys = ImportKeys {
            account_ids: accounts.iter().map(|account| account.id.clone()).collect(),
            account_numbers: accounts.iter().filter_map(|account| account.number.clone()).collect(),
            token_ids: tokens.iter().map(|token| token.id.clone()).collect(),
            token_numbers: tokens.iter().map(|token| token.number.clone()).collect(),
            authentication_codes: tokens.iter().map(|token| token.authentication_code.clone()).collect(),
            identifiers: tokens.iter().map(|token| token.id.clone()).collect(),
            ..ImportKeys::default()
        };
        let mut unit = test.database.begin().await.expect("begins");
        assert!(unit.load_import(test.organisation, &keys).await.expect("loads").tokens.is_empty());
        let changes = ImportChanges { tokens, accounts, ..ImportChanges::default() };
        unit.save_import(test.organisation, &changes).await.expect("saves");
        unit.commit().await.expect("commits");
        if batch == BATCHES / 4 {
            // All plans are made again, without any statistics. Autovacuum must not collect any meanwhile.
            test.sql("ALTER TABLE access_token SET (autovacuum_enabled = false)").await;
        }
    }
    // A session reports its reads when it ends.
    test.database.close().await;
    let connection = sea_orm::Database::connect(&test.options.url).await.expect("connects past the store");
    let (written, read) = loop {
        let sql = "SELECT CAST(sum(n_tup_ins) AS BIGINT) AS written, CAST(sum(seq_tup_read + \
                   (SELECT sum(i.idx_tup_read) FROM pg_stat_user_indexes i WHERE i.relid = t.relid)) AS BIGINT) AS read \
                   FROM pg_stat_user_tables t WHERE relname IN ('access_token', 'accounts_receivable')";
        let row = connection.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
        let row = row.expect("runs").expect("a row");
        let told = |column: &str| row.try_get::<i64>("", column).expect("a number");
        if told("written") >= (2 * BATCHES * BATCH) as i64 {
            break (told("written"), told("read"));
        }
    };
    assert!(read < written, "{read} rows were read to write {written}");
}

async fn removed_tokens_make_room(test: TestDatabase) {
    let old = AccessToken { identifier: text("me"), ..token("OLD") };
    let new = AccessToken { id: "NEW".into(), ..old.clone() };
    import(&test.database, test.organisation, &ImportChanges { tokens: vec![old], ..ImportChanges::default() }).await;
    let changes = ImportChanges {
        renamed_tokens: vec![("OLD".into(), "NEW".into())],
        tokens: vec![new.clone()],
        ..ImportChanges::default()
    };
    import(&test.database, test.organisation, &changes).await;
    let found = test
        .database
        .find_token(test.organisation, TokenKey::Identifier("me"), OwnerJoins::NONE, ReadOptions::STRONG)
        .await;
    assert_eq!(found.expect("finds").found.map(|found| found.token), Some(new));
}

async fn numbers_from_outside_are_not_handed_out_again(test: TestDatabase) {
    let numbered = |id: &str, number: &str| AccessToken { number: number.into(), ..token(id) };
    let take = async || test.database.take_numbers(test.organisation, Sequence::TokenNumber, 1).await.expect("numbers");
    let tokens = vec![numbered("T1", "AT0000000671"), numbered("T2", "XX0000009999"), numbered("T3", "AT0000000012")];
    import(&test.database, test.organisation, &ImportChanges { tokens, ..ImportChanges::default() }).await;
    assert_eq!(take().await, 672);
    let tokens = vec![numbered("T4", "AT0000000100")];
    import(&test.database, test.organisation, &ImportChanges { tokens, ..ImportChanges::default() }).await;
    assert_eq!(take().await, 673, "never back");
}

async fn corrupt_rows_are_faults(test: TestDatabase) {
    let countries = vec![Country { id: "C1".into(), ..Country::default() }];
    let tokens = vec![token("T1")];
    import(&test.database, test.organisation, &ImportChanges { countries, tokens, ..ImportChanges::default() }).await;
    test.sql("UPDATE country SET country_flag = '{secret'; UPDATE organisation SET directory_version = 99;").await;
    test.sql("UPDATE access_token SET otp_hash = 'secret';").await;
    let refused = test.database.reference(test.organisation).await.expect_err("corrupt");
    assert!(matches!(refused, StoreError::Fault(_)) && !format!("{refused:?}").contains("secret"), "{refused:?}");
    let refused =
        test.database.find_token(test.organisation, TokenKey::Id("T1"), OwnerJoins::NONE, ReadOptions::STRONG).await;
    let refused = refused.expect_err("corrupt");
    assert!(matches!(refused, StoreError::Fault(_)) && !format!("{refused:?}").contains("secret"), "{refused:?}");
}

async fn permissions_of_a_newer_release_are_left_out(test: TestDatabase) {
    let credential = Credential {
        user: "U1".into(),
        password: None,
        permissions: Permissions::parse("access_tokens.read").expect("known"),
        default_unit: None,
    };
    let users = vec![User { id: "U1".into(), username: text("anna"), ..User::default() }];
    let credentials = vec![credential.clone()];
    import(&test.database, test.organisation, &ImportChanges { users, credentials, ..ImportChanges::default() }).await;
    for (stored, known) in
        [("history.read,access_tokens.read,privacy.erase", "access_tokens.read"), ("webhooks.write", ""), ("", "")]
    {
        test.sql(&format!("UPDATE user_credential SET permissions = '{stored}';")).await;
        let permissions = Permissions::parse(known).expect("known");
        let expected = Some(Credential { permissions, ..credential.clone() });
        assert_eq!(test.database.credential(test.organisation, "U1").await.expect("reads"), expected);
        assert_eq!(test.database.credential_by_username(test.organisation, "anna").await.expect("reads"), expected);
        let mut unit = test.database.begin().await.expect("begins");
        let keys = ImportKeys { credentials: vec!["U1".into()], ..ImportKeys::default() };
        assert_eq!(unit.load_import(test.organisation, &keys).await.expect("loads").credentials, expected.as_slice());
    }
}

async fn owners_are_found_by_what_names_them(test: TestDatabase) {
    // Longer than an index entry of PostgreSQL can be, with the same first hundred characters.
    let long = "\u{1F600}".repeat(900);
    let named = |id: &str, name: &str| access_tokens_domain::directory::AccountsReceivable {
        name: text(name),
        ..account(id, AccountsReceivableState::Active)
    };
    let participant = RewardsParticipant {
        id: "P1".into(),
        number: text("RP-1"),
        life_cycle_state: None,
        accounts_receivable: text("A1"),
    };
    let accounts = vec![
        named("A1", "one"),
        named("A2", "two"),
        named("A3", "two"),
        named("A4", "two"),
        named("A5", &long),
        named("A6", &format!("{long}!")),
    ];
    let changes = ImportChanges {
        contacts: vec![contact("OWNER-A1")],
        accounts,
        participants: vec![participant.clone()],
        ..ImportChanges::default()
    };
    import(&test.database, test.organisation, &changes).await;
    let find = async |identifier: AccountsReceivableIdentifier| {
        let found = test.database.find_owners(test.organisation, Some(&identifier), None).await.expect("finds");
        let ids: Vec<_> = found.accounts.into_iter().map(|account| account.record.id.clone()).collect();
        // A list finds them in the same way.
        let owner = OwnerIdentifier::AccountsReceivable(identifier);
        let page = TokenPage { owner: &owner, classification: None, after: None, offset: 0, limit: 1 };
        let listed = test
            .database
            .list_tokens(test.organisation, page, OwnerJoins::NONE, ReadConsistency::Strong)
            .await
            .expect("lists");
        assert_eq!(listed.owners, ids);
        ids
    };
    assert_eq!(find(AccountsReceivableIdentifier::Id("A1".into())).await, ["A1"]);
    assert_eq!(find(AccountsReceivableIdentifier::Number("AR-A2".into())).await, ["A2"]);
    assert_eq!(find(AccountsReceivableIdentifier::Name("one".into())).await, ["A1"]);
    assert_eq!(find(AccountsReceivableIdentifier::Name("two".into())).await, ["A2", "A3"]);
    assert_eq!(find(AccountsReceivableIdentifier::Name(long)).await, ["A5"]);
    assert!(find(AccountsReceivableIdentifier::Name("none".into())).await.is_empty());

    for identifier in
        [RewardsParticipantIdentifier::Id("P1".into()), RewardsParticipantIdentifier::Number("RP-1".into())]
    {
        let found = test.database.find_owners(test.organisation, None, Some(&identifier)).await.expect("finds");
        let found = found.participant.expect("is there");
        assert_eq!(found.record, participant);
        assert!(found.accounts_receivable.as_ref().expect("its account").account_owner.is_some());
    }
    let nobody = RewardsParticipantIdentifier::Id("P2".into());
    let found = test.database.find_owners(test.organisation, None, Some(&nobody)).await.expect("finds");
    assert!(found.participant.is_none());
}
