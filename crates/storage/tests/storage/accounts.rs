//! Organisations, log-ins, API keys, released sessions.

use access_tokens_domain::directory::{Organisation, User};
use access_tokens_domain::policy::Policy;
use access_tokens_domain::secret::{CodeHash, PassCodeHash};
use access_tokens_domain::session::{OrganisationKey, Permission, Permissions};
use access_tokens_domain::store::{
    AccountStore, AdministrationStore, ApiKey, Change, Credential, Disabled, ImportChanges, KeyStore, KeyTerms,
    NewSession, ReleasedAfter, ReleasedPage, Rotated, SessionProof, StoreError, Unique, Unused, Withdrawal, Withdrawn,
};
use access_tokens_domain::time::Timestamp;

use crate::common::{TestDatabase, at, import, organisation};

on_both!(
    an_organisation_is_created_once,
    credentials_belong_to_users,
    api_keys_are_kept,
    a_new_key_leaves_the_permissions_of_the_others,
    a_revoked_key_stays_revoked_and_its_hash_is_gone,
    a_rotated_key_ends_when_the_overlap_does,
    the_use_of_a_key_is_recorded_once_a_minute,
    released_sessions_are_read_in_pages_and_forgotten_in_pieces,
    a_session_opens_only_while_its_proof_counts,
    a_withdrawal_leaves_the_last_administrator_a_credential,
    of_two_administrators_who_disable_each_other_one_remains
);

async fn an_organisation_is_created_once(test: TestDatabase) {
    let again = organisation(&test.database, "DEMO").await;
    assert_eq!(again, test.organisation);
    let found = test.database.organisation_by_id("ID-DEMO").await.expect("finds").expect("is there");
    assert_eq!((found.key, found.name.as_str()), (test.organisation, "DEMO"));
    assert_eq!(test.database.organisation_by_name("demo").await.expect("finds"), None);
    let clash = Organisation {
        id: "ID-DEMO".into(),
        name: "OTHER".into(),
        number_prefix: "AT".into(),
        legacy_compatibility: true,
        definition: Policy::default(),
    };
    let refused = test.database.ensure_organisation(&clash).await.expect_err("its id is taken");
    assert!(matches!(refused, StoreError::Duplicate(Unique::Other(index)) if index == "organisation_id_key"));

    let (one, two) = (test.database.clone(), test.again().await);
    let one = tokio::spawn(async move { organisation(&one, "NEW").await });
    let two = organisation(&two, "NEW").await;
    assert_eq!(one.await.expect("no panic"), two);
    let all = test.database.organisations().await.expect("lists");
    let all: Vec<_> = all.into_iter().map(|one| (one.key, one.id, one.name)).collect();
    let named = |key, name: &str| (key, format!("ID-{name}"), name.to_owned());
    assert_eq!(all, [named(test.organisation, "DEMO"), named(two, "NEW")]);
}

async fn credentials_belong_to_users(test: TestDatabase) {
    let credential = Credential {
        user: "U1".into(),
        password: Some(PassCodeHash::from_stored("$argon2id$x")),
        permissions: Permissions::from_iter([Permission::AccessTokensRead, Permission::Admin]),
        default_unit: None,
    };
    let user = User { id: "U1".into(), username: Some("me".into()), ..User::default() };
    let changes = ImportChanges {
        users: vec![user.clone(), User { id: "U2".into(), username: Some("you".into()), ..User::default() }],
        credentials: vec![credential.clone()],
        ..ImportChanges::default()
    };
    import(&test.database, test.organisation, &changes).await;
    let by_name = async |organisation: OrganisationKey, name: &str| {
        test.database.credential_by_username(organisation, name).await.expect("finds")
    };
    assert_eq!(by_name(test.organisation, "me").await.as_ref(), Some(&credential));
    assert_eq!(by_name(test.organisation, "you").await, None);
    assert_eq!(test.database.credential(test.organisation, "U1").await.expect("finds"), Some(credential));
    let other = organisation(&test.database, "OTHER").await;
    assert_eq!(by_name(other, "me").await, None);
    let users = vec![User { id: "U3".into(), ..user }];
    let mut unit = access_tokens_domain::store::Store::begin(&test.database).await.expect("begins");
    let changes = ImportChanges { users, ..ImportChanges::default() };
    let refused = access_tokens_domain::store::Transaction::save_import(&mut unit, test.organisation, &changes).await;
    let Err(StoreError::Duplicate(Unique::Other(index))) = refused else { panic!("{refused:?}") };
    assert_eq!(index, "app_user_username_key");
}

async fn api_keys_are_kept(test: TestDatabase) {
    let key = ApiKey {
        id: "KEY1".into(),
        organisation: test.organisation,
        user: "U1".into(),
        hash: CodeHash::from_stored("k1:hash"),
        terms: KeyTerms::default(),
    };
    test.database.add_api_key(&key, at(0)).await.expect("adds");
    let found = test.database.api_key("KEY1").await.expect("finds").expect("is there");
    assert_eq!((found.organisation, found.user, found.hash), (key.organisation, key.user.clone(), key.hash.clone()));
    assert!(test.database.api_key("KEY2").await.expect("finds").is_none());
    assert!(matches!(test.database.add_api_key(&key, at(0)).await, Err(StoreError::Duplicate(_))));
}

async fn released_sessions_are_read_in_pages_and_forgotten_in_pieces(test: TestDatabase) {
    for (session, expires) in [("S1", 10), ("S2", 20), ("S1", 30), ("S3", 20), ("S4", 20)] {
        test.database.release_session(session, at(expires)).await.expect("releases");
    }
    let elsewhere = test.again().await;
    let read = async |after: &ReleasedAfter, now| elsewhere.released_sessions(after, at(now), 2).await.expect("lists");
    let ids = |page: &ReleasedPage| page.sessions.iter().map(|session| session.id.clone()).collect::<Vec<_>>();
    let first = read(&ReleasedAfter::Id(String::new()), 0).await;
    assert_eq!(ids(&first), ["S1", "S2"]);
    assert_eq!(first.sessions[0].expires, at(10));
    assert_eq!(ids(&read(&ReleasedAfter::Id("S2".into()), 0).await), ["S3", "S4"]);
    assert_eq!(ids(&read(&ReleasedAfter::Id(String::new()), 10).await), ["S2", "S3"]);
    let end = read(&ReleasedAfter::Id("S4".into()), 0).await;
    assert!(end.sessions.is_empty() && end.read_at >= first.read_at && first.read_at > 0, "{end:?}");
    // In the order of the releases, by the clock of the database.
    let mut after = ReleasedAfter::Release(first.read_at - 60_000_000, String::new());
    let mut found = Vec::new();
    loop {
        let page = read(&after, 0).await;
        let Some(last) = page.sessions.last() else { break };
        after = ReleasedAfter::Release(last.released_at, last.id.clone());
        found.extend(ids(&page));
    }
    assert_eq!(found, ["S1", "S2", "S3", "S4"]);
    assert!(test.database.forget_sessions(at(20), 2).await.expect("forgets"), "there is more");
    assert!(test.database.forget_sessions(at(20), 2).await.expect("forgets"), "there may be more");
    assert!(!test.database.forget_sessions(at(20), 2).await.expect("forgets"));
    assert!(read(&ReleasedAfter::Id(String::new()), 0).await.sessions.is_empty());
}

fn session<'a>(test: &TestDatabase, id: &'a str, proof: SessionProof<'a>) -> NewSession<'a> {
    NewSession {
        id,
        organisation: test.organisation,
        user: "U1",
        unit: None,
        proof,
        issued: second(0),
        lifetime: second(7_200) - second(0),
        address: None,
    }
}

/// A time in whole seconds.
fn second(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_700_000_000 + seconds, 0).expect("a time")
}

/// Ids of all released sessions.
async fn released(test: &TestDatabase) -> Vec<String> {
    let page = test.database.released_sessions(&ReleasedAfter::Id(String::new()), at(0), 1_000).await.expect("lists");
    page.sessions.into_iter().map(|session| session.id).collect()
}

async fn a_session_opens_only_while_its_proof_counts(test: TestDatabase) {
    keyed(&test, "admin", &[("1", None)]).await;
    let hash = PassCodeHash::from_stored("$argon2id$x");
    let password = |password: Option<&PassCodeHash>| {
        let credential = Credential {
            user: "U1".into(),
            password: password.cloned(),
            permissions: Permissions::all(),
            default_unit: None,
        };
        ImportChanges { credentials: vec![credential], ..ImportChanges::default() }
    };
    import(&test.database, test.organisation, &password(Some(&hash))).await;
    let open = async |id: &str, proof: SessionProof<'_>| {
        test.database.open_session(&session(&test, id, proof)).await.expect("answers")
    };
    let other = PassCodeHash::from_stored("$argon2id$y");
    let times = Some((second(0), second(7_200)));
    assert_eq!(open("S1", SessionProof::Password(&hash)).await, times);
    assert_eq!(open("S2", SessionProof::Password(&other)).await, None);
    assert_eq!(open("S3", SessionProof::ApiKey("1")).await, times);
    assert_eq!(open("S4", SessionProof::ApiKey("2")).await, None);

    // A new password by the import ends the sessions of the user; later sessions begin in the next second.
    let mut changes = password(Some(&other));
    changes.password_changes = vec![("U1".into(), at(0))];
    import(&test.database, test.organisation, &changes).await;
    assert_eq!(released(&test).await, ["S1", "S3"]);
    let account = test.database.account(test.organisation, "U1").await.expect("finds").expect("is there");
    assert_eq!(account.sessions_not_before, Some(second(1)));
    assert_eq!(open("S5", SessionProof::Password(&hash)).await, None);
    assert_eq!(open("S6", SessionProof::Password(&other)).await, Some((second(1), second(7_201))));

    // A session of a key ends when the key expires or is revoked.
    let ends = second(60);
    test.sql(&format!("UPDATE api_key SET expires_date = {} WHERE id = '1'", ends.timestamp_micros())).await;
    assert_eq!(open("S7", SessionProof::ApiKey("1")).await, Some((second(1), ends)));
    let nothing = CodeHash::from_stored("k1:nothing");
    let revoked = test.database.revoke_api_key(test.organisation, "1", &nothing, at(0)).await.expect("revokes");
    assert_eq!(revoked, Change::Done);
    assert_eq!(released(&test).await, ["S1", "S3", "S7"]);
    assert_eq!(open("S8", SessionProof::ApiKey("1")).await, None);
    test.database.delete_sessions(&[(test.organisation, "S6".into())]).await.expect("deletes");

    // A disabled user: an import, too, stores no password where the previous release would read it.
    keyed(&test, "admin", &[]).await;
    import(&test.database, test.organisation, &password(Some(&other))).await;
    test.sql(
        "INSERT INTO user_credential (organisation_key, user_id, password_hash, permissions) \
         SELECT key, 'U9', 'h', 'admin' FROM organisation WHERE name = 'DEMO'",
    )
    .await;
    assert_eq!(open("S9", SessionProof::Password(&other)).await, Some((second(1), second(7_201))));
    let disable = async |name: &str| test.database.disable_user(test.organisation, name, at(5)).await.expect("answers");
    assert_eq!(disable("till").await, Disabled::Done);
    assert_eq!(disable("till").await, Disabled::Already);
    assert_eq!(disable("nobody").await, Disabled::Unknown);
    assert_eq!(released(&test).await, ["S1", "S3", "S7", "S9"]);
    assert_eq!(open("T1", SessionProof::Password(&other)).await, None);
    assert_eq!(test.database.account(test.organisation, "U1").await.expect("finds"), None);
    import(&test.database, test.organisation, &password(Some(&hash))).await;
    let stored = test.database.credential(test.organisation, "U1").await.expect("finds").expect("is there");
    assert_eq!(stored.password, None, "a disabled user has no password that the previous release reads");
    let enable = async |name: &str| test.database.enable_user(test.organisation, name).await.expect("answers");
    assert_eq!([enable("till").await, enable("till").await], [Change::Done, Change::Already]);
    assert_eq!(enable("nobody").await, Change::Unknown);
    let stored = test.database.credential(test.organisation, "U1").await.expect("finds").expect("is there");
    assert_eq!(stored.password, Some(hash));
}

async fn of_two_administrators_who_disable_each_other_one_remains(test: TestDatabase) {
    let users = ["anna", "bob"];
    let credential = |user: &str| Credential {
        user: user.into(),
        password: Some(PassCodeHash::from_stored("$argon2id$x")),
        permissions: Permissions::from_iter([Permission::Admin]),
        default_unit: None,
    };
    let user = |name: &str| User { id: name.into(), username: Some(name.into()), ..User::default() };
    let changes = ImportChanges {
        users: users.map(user).into(),
        credentials: users.map(credential).into(),
        ..ImportChanges::default()
    };
    import(&test.database, test.organisation, &changes).await;
    let elsewhere = test.again().await;
    for round in 0..20 {
        let (one, organisation) = (test.database.clone(), test.organisation);
        let one = tokio::spawn(async move { one.disable_user(organisation, "anna", at(0)).await });
        let two = elsewhere.disable_user(organisation, "bob", at(0)).await.expect("answers");
        let one = one.await.expect("no panic").expect("answers");
        let mut both = [one, two];
        both.sort_by_key(|one| *one == Disabled::LastAdmin);
        assert_eq!(both, [Disabled::Done, Disabled::LastAdmin], "round {round}");
        for user in users {
            let enabled = elsewhere.enable_user(organisation, user).await.expect("answers");
            assert_ne!(enabled, Change::Unknown);
        }
    }
    // A technical user counts as an administrator while it has a key with the permission.
    let list = |list: &str| Permissions::parse(list).expect("known names");
    keyed(&test, "admin", &[("1", Some("access_tokens.read")), ("2", Some("admin"))]).await;
    assert_eq!(list("admin"), Permissions::from_iter([Permission::Admin]));
    let disable = async |name: &str| test.database.disable_user(test.organisation, name, at(0)).await.expect("answers");
    assert_eq!((disable("anna").await, disable("bob").await), (Disabled::Done, Disabled::Done));
    assert_eq!(elsewhere.enable_user(test.organisation, "bob").await.expect("answers"), Change::Done);
    let nothing = CodeHash::from_stored("k1:nothing");
    let revoked = test.database.revoke_api_key(test.organisation, "2", &nothing, at(0)).await.expect("revokes");
    assert_eq!(revoked, Change::Done);
    assert_eq!(disable("bob").await, Disabled::LastAdmin);
}

async fn a_withdrawal_leaves_the_last_administrator_a_credential(test: TestDatabase) {
    // The only administrator has a password and an API key, both under the key `k1`. `k1` is azE in base64.
    keyed(&test, "admin", &[("1", Some("admin"))]).await;
    test.sql("UPDATE api_key SET secret_hash = 'k1$hash'").await;
    test.sql("UPDATE user_credential SET password_hash = '$argon2id$v=19$m=8,t=1,p=1,keyid=azE$s$h'").await;
    let no_key = CodeHash::from_stored("k2$nothing");
    let unused = Unused { key: "k1", since: at(1_000_000) };
    let withdraw = async |passwords: bool, keys: bool| {
        let withdrawal = Withdrawal { passwords, undated: true, api_keys: keys.then_some(&no_key) };
        test.database.withdraw_credentials(unused, withdrawal, at(1_000_000)).await.expect("answers")
    };
    let key = async || test.database.api_key("1").await.expect("finds").expect("is there");
    assert_eq!(withdraw(true, true).await, Withdrawn::LastAdmin(vec!["till of DEMO".into()]));
    let stored = test.database.credential(test.organisation, "U1").await.expect("finds").expect("is there");
    assert!(stored.password.is_some() && key().await.terms.revoked.is_none(), "nothing is withdrawn");

    // One after the other: the second is refused.
    let done = |users: &[&str], api_keys| Withdrawn::Done {
        users: users.iter().map(|user| (*user).to_owned()).collect(),
        undated: 0,
        api_keys,
    };
    assert_eq!(withdraw(true, false).await, done(&["U1"], 0));
    assert_eq!(withdraw(false, true).await, Withdrawn::LastAdmin(vec!["till of DEMO".into()]));
    assert_eq!((key().await.terms.revoked, key().await.hash), (None, CodeHash::from_stored("k1$hash")));

    // With another administrator the key is withdrawn.
    test.sql(
        "INSERT INTO user_credential (organisation_key, user_id, password_hash, permissions) \
         SELECT key, 'U9', 'h', 'admin' FROM organisation WHERE name = 'DEMO'",
    )
    .await;
    assert_eq!(withdraw(true, true).await, done(&[], 1));
    assert_eq!((key().await.terms.revoked, key().await.hash), (Some(at(1_000_000)), no_key.clone()));
    assert_eq!(withdraw(true, true).await, done(&[], 0));
}

/// Creates the user U1 with these permissions and with keys that have their own lists.
async fn keyed(test: &TestDatabase, user: &str, keys: &[(&str, Option<&str>)]) {
    let list = |list: &str| Permissions::parse(list).expect("known names");
    let changes = ImportChanges {
        users: vec![User { id: "U1".into(), username: Some("till".into()), ..User::default() }],
        credentials: vec![Credential {
            user: "U1".into(),
            password: None,
            permissions: list(user),
            default_unit: None,
        }],
        ..ImportChanges::default()
    };
    import(&test.database, test.organisation, &changes).await;
    for (id, own) in keys {
        test.database.add_api_key(&key(test, id, own.map(list)), at(0)).await.expect("adds");
    }
}

fn key(test: &TestDatabase, id: &str, permissions: Option<Permissions>) -> ApiKey {
    ApiKey {
        id: id.into(),
        organisation: test.organisation,
        user: "U1".into(),
        hash: CodeHash::from_stored("k1:hash"),
        terms: KeyTerms { permissions, ..KeyTerms::default() },
    }
}

/// Permissions of each key, by id.
async fn granted(test: &TestDatabase) -> Vec<(String, String)> {
    let keys = test.database.api_keys(test.organisation, None, 100).await.expect("lists");
    keys.into_iter().map(|key| (key.id, key.permissions.to_string())).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(id, list)| ((*id).to_owned(), (*list).to_owned())).collect()
}

async fn a_new_key_leaves_the_permissions_of_the_others(test: TestDatabase) {
    let (read, write, admin) = ("access_tokens.read", "access_tokens.read,access_tokens.write", "admin");
    // The second key has a longer list than its user, as after the permissions of the user were reduced.
    keyed(&test, read, &[("1", None)]).await;
    test.sql(
        "INSERT INTO api_key (id, organisation_key, user_id, secret_hash, created_date, permissions) \
         SELECT '2', key, 'U1', 'h', 1, 'access_tokens.read,admin' FROM organisation WHERE name = 'DEMO'",
    )
    .await;
    assert_eq!(granted(&test).await, pairs(&[("1", read), ("2", read)]));
    for (id, list) in [("3", write), ("4", admin), ("5", read)] {
        let list = Permissions::parse(list).expect("known names");
        test.database.add_api_key(&key(&test, id, Some(list)), at(0)).await.expect("adds");
    }
    let expected = pairs(&[("1", read), ("2", read), ("3", write), ("4", admin), ("5", read)]);
    assert_eq!(granted(&test).await, expected);
    // In a race each key still gets its own permissions.
    let (one, two) = (test.database.clone(), test.again().await);
    let lookup = key(&test, "6", Some(Permissions::parse("access_tokens.lookup").expect("known")));
    let secrets = key(&test, "7", Some(Permissions::parse("access_tokens.secrets").expect("known")));
    let one = tokio::spawn(async move { one.add_api_key(&lookup, at(0)).await });
    two.add_api_key(&secrets, at(0)).await.expect("adds");
    one.await.expect("no panic").expect("adds");
    let both = pairs(&[("6", "access_tokens.lookup"), ("7", "access_tokens.secrets")]);
    assert_eq!(granted(&test).await, [expected, both].concat());
}

async fn a_revoked_key_stays_revoked_and_its_hash_is_gone(test: TestDatabase) {
    keyed(&test, "admin", &[("1", None), ("2", None)]).await;
    let nothing = CodeHash::from_stored("k1:nothing");
    let revoke = async |id: &str, time| {
        test.database.revoke_api_key(test.organisation, id, &nothing, at(time)).await.expect("revokes")
    };
    assert_eq!([revoke("1", 10).await, revoke("1", 20).await], [Change::Done, Change::Already]);
    assert_eq!([revoke("9", 10).await, revoke("a\0", 10).await], [Change::Unknown; 2]);
    let other = organisation(&test.database, "OTHER").await;
    let elsewhere = test.database.revoke_api_key(other, "2", &nothing, at(10)).await.expect("finds nothing");
    assert_eq!(elsewhere, Change::Unknown);
    let found = test.database.api_key("1").await.expect("finds").expect("is kept");
    assert_eq!((found.terms.revoked, found.hash), (Some(at(10)), nothing));
    assert_eq!(test.database.api_key("2").await.expect("finds").expect("is there").terms.revoked, None);
}

async fn a_rotated_key_ends_when_the_overlap_does(test: TestDatabase) {
    keyed(&test, "access_tokens.read", &[("1", Some("access_tokens.read"))]).await;
    let hash = CodeHash::from_stored("k1:new");
    let rotate = async |old: &str, new: &str, now, ends| {
        test.database.rotate_api_key(test.organisation, old, (new, &hash), at(now), at(ends)).await.expect("rotates")
    };
    assert_eq!(rotate("1", "2", 0, 100).await, Rotated::Done(at(100)));
    // The replaced key ends with the overlap, and is not extended for another successor.
    assert_eq!(rotate("1", "3", 50, 500).await, Rotated::Replaced("2".to_owned()));
    assert_eq!(rotate("2", "3", 50, 500).await, Rotated::Done(at(500)));
    assert_eq!(rotate("1", "4", 100, 500).await, Rotated::Ended);
    assert_eq!(rotate("9", "5", 100, 500).await, Rotated::Unknown);
    let all = test.database.api_keys(test.organisation, None, 100).await.expect("lists");
    let all: Vec<_> = all.iter().map(|key| (key.id.as_str(), key.terms.expires, key.rotated_to.as_deref())).collect();
    assert_eq!(all, [("1", Some(at(100)), Some("2")), ("2", Some(at(500)), Some("3")), ("3", None, None)]);
    let page = test.database.api_keys(test.organisation, Some("1"), 1).await.expect("lists");
    assert_eq!(page.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["2"]);
}

async fn the_use_of_a_key_is_recorded_once_a_minute(test: TestDatabase) {
    keyed(&test, "admin", &[("1", None)]).await;
    let recorded = async |time| {
        test.database.record_key_use("1", at(time), Some("192.0.2.1")).await.expect("records");
        test.database.api_keys(test.organisation, None, 1).await.expect("lists")[0].last_used
    };
    assert_eq!(recorded(0).await, Some(at(0)));
    assert_eq!(recorded(59).await, Some(at(0)));
    assert_eq!(recorded(60).await, Some(at(60)));
}
