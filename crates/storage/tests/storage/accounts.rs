//! Organisations, logins, API keys, released sessions.

use access_tokens_domain::directory::{Organisation, User};
use access_tokens_domain::policy::Policy;
use access_tokens_domain::secret::{CodeHash, PassCodeHash};
use access_tokens_domain::session::{OrganisationKey, Permission, Permissions};
use access_tokens_domain::store::{AccountStore, ApiKey, Credential, ImportChanges, StoreError, Unique};

use crate::common::{TestDatabase, at, import, organisation};

on_both!(an_organisation_is_created_once, credentials_belong_to_users, api_keys_are_kept, released_sessions_expire);

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
    let refused = access_tokens_domain::store::UnitOfWork::save_import(&mut unit, test.organisation, &changes).await;
    let Err(StoreError::Duplicate(Unique::Other(index))) = refused else { panic!("{refused:?}") };
    assert_eq!(index, "app_user_username_key");
}

async fn api_keys_are_kept(test: TestDatabase) {
    let key = ApiKey {
        id: "KEY1".into(),
        organisation: test.organisation,
        user: "U1".into(),
        hash: CodeHash::from_stored("k1:hash"),
    };
    test.database.add_api_key(&key, at(0)).await.expect("adds");
    let found = test.database.api_key("KEY1").await.expect("finds").expect("is there");
    assert_eq!((found.organisation, found.user, found.hash), (key.organisation, key.user.clone(), key.hash.clone()));
    assert!(test.database.api_key("KEY2").await.expect("finds").is_none());
    assert!(matches!(test.database.add_api_key(&key, at(0)).await, Err(StoreError::Duplicate(_))));
}

async fn released_sessions_expire(test: TestDatabase) {
    for (session, expires) in [("S1", 10), ("S2", 20), ("S1", 30)] {
        test.database.release_session(session, at(0), at(expires)).await.expect("releases");
    }
    let elsewhere = test.again().await;
    let mut released = elsewhere.released_sessions(at(0)).await.expect("lists");
    released.sort();
    assert_eq!(released, ["S1", "S2"]);
    assert_eq!(elsewhere.released_sessions(at(10)).await.expect("lists"), ["S2"]);
    test.database.forget_released_sessions(at(10)).await.expect("forgets");
    assert_eq!(elsewhere.released_sessions(at(0)).await.expect("lists"), ["S2"]);
}
