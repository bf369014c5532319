//! Data that keys protect: counted, and encrypted again under another key.

use access_tokens_domain::access_token::{AccessToken, OneTimePassword, VerificationCode};
use access_tokens_domain::directory::User;
use access_tokens_domain::secret::{CodeHash, PassCodeHash, SealedCode};
use access_tokens_domain::session::{OrganisationKey, Permissions};
use access_tokens_domain::store::{AccountStore, ApiKey, Credential, ImportChanges, KeyStore, KeyTerms, Position};

use crate::common::{TestDatabase, at, find, import, insert, organisation, token};

on_both!(keys_that_are_needed_are_counted, other_keys_are_found_page_by_page, only_what_was_read_is_replaced);

fn code(key: &str) -> VerificationCode {
    VerificationCode {
        hash: CodeHash::from_stored(format!("{key}$AbC+/d")),
        sealed: SealedCode::from_stored(format!("{key}$eF$g")),
    }
}

fn verified_by(id: &str, key: &str) -> AccessToken {
    AccessToken { verification: Some(code(key)), ..token(id) }
}

async fn keys_that_are_needed_are_counted(test: TestDatabase) {
    assert_eq!(test.database.key_use(at(0)).await.expect("counts"), []);

    // The ids are `a`, `A`, `b7` and `x1`.
    let pass_codes = [
        "$argon2id$v=19$m=19456,t=2,p=1,keyid=YQ$c2FsdA$aGFzaA",
        "$argon2id$v=19$m=19456,t=2,p=1,keyid=QQ$c2FsdA$aGFzaA",
        "$argon2id$v=19$m=19456,t=2,p=1,keyid=YQ,data=ZGF0YQ$c2FsdA$aGFzaA",
        "$argon2id$v=19$m=19456,t=2,p=1,keyid=Yjc$keyid$keyid",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$b3RoZXI",
        "$argon2id$v=19$m=19456,t=2,p=1,keyid=$c2FsdA$aGFzaA",
        "$argon2id$v=19$m=19456,t=2,p=1,keyid=!!$c2FsdA$aGFzaA",
        "$argon2id$v=19$m=19456,t=2,p=1,keyid=YQ",
    ];
    let mut tokens: Vec<_> = pass_codes
        .iter()
        .enumerate()
        .map(|(i, hash)| AccessToken { pass_code: Some(PassCodeHash::from_stored(*hash)), ..token(&format!("P{i}")) })
        .collect();
    let two = VerificationCode { sealed: code("b7").sealed, ..code("a") };
    tokens.extend([verified_by("V1", "a"), verified_by("V2", "a"), verified_by("V3", "A")]);
    tokens.push(AccessToken { verification: Some(two), ..token("V4") });
    let otp = |hash: &str| Some(OneTimePassword { hash: CodeHash::from_stored(hash), expiration_date: at(1) });
    tokens.push(AccessToken { one_time_password: otp("x1$hash"), ..verified_by("V5", "x1") });
    tokens.push(AccessToken { one_time_password: otp("no key"), ..token("O1") });
    let expired = otp("a$hash").map(|code| OneTimePassword { expiration_date: at(0), ..code });
    tokens.push(AccessToken { one_time_password: expired, ..token("O2") });
    insert(&test.database, test.organisation, &tokens).await;
    let other = organisation(&test.database, "OTHER").await;
    insert(&test.database, other, &[verified_by("V1", "a")]).await;

    let password = |user: &str, hash: Option<&str>| Credential {
        user: user.into(),
        password: hash.map(PassCodeHash::from_stored),
        permissions: Permissions::default(),
        default_unit: None,
    };
    let changes = ImportChanges {
        users: ["U1", "U2", "U3"].map(|id| User { id: id.into(), ..User::default() }).into(),
        credentials: vec![
            password("U1", Some(pass_codes[0])),
            password("U2", Some(pass_codes[4])),
            password("U3", None),
        ],
        ..ImportChanges::default()
    };
    import(&test.database, test.organisation, &changes).await;
    for (id, hash) in [("K1", "a$hash"), ("K2", "b7$hash"), ("K3", "b7$other")] {
        let hash = CodeHash::from_stored(hash);
        let key = ApiKey {
            id: id.into(),
            organisation: test.organisation,
            user: "U1".into(),
            hash,
            terms: KeyTerms::default(),
        };
        test.database.add_api_key(&key, at(0)).await.expect("adds");
    }

    let found = test.database.key_use(at(0)).await.expect("counts");
    let found: Vec<_> = found.iter().map(|found| (found.what, found.key.as_deref(), found.rows)).collect();
    let expected = [
        ("API keys", Some("a"), 1),
        ("API keys", Some("b7"), 2),
        ("one-time passwords", None, 1),
        ("one-time passwords", Some("x1"), 1),
        ("pass codes", None, 3),
        ("pass codes", Some("!!"), 1),
        ("pass codes", Some("A"), 1),
        ("pass codes", Some("a"), 3),
        ("pass codes", Some("b7"), 1),
        ("passwords", None, 1),
        ("passwords", Some("a"), 1),
        ("verification codes", Some("A"), 1),
        ("verification codes", Some("a"), 4),
        ("verification codes", Some("b7"), 1),
        ("verification codes", Some("x1"), 1),
    ];
    assert_eq!(found, expected);
}

/// Positions of all pages.
async fn pages(test: &TestDatabase, current: &str, limit: u32) -> Vec<Vec<(OrganisationKey, String)>> {
    let (mut pages, mut after) = (Vec::new(), None::<Position>);
    loop {
        let page = test.database.verification_codes(current, after.as_ref(), limit).await.expect("reads");
        let page: Vec<_> = page.into_iter().map(|(position, _)| position).collect();
        let Some(last) = page.last() else { return pages };
        after = Some(last.clone());
        pages.push(page);
    }
}

async fn other_keys_are_found_page_by_page(test: TestDatabase) {
    let other = organisation(&test.database, "OTHER").await;
    let sealed = VerificationCode { sealed: code("old").sealed, ..code("new") };
    let tokens = [
        verified_by("b", "old"),
        verified_by("B", "new"),
        verified_by("A", "NEW"),
        verified_by("a", "newer"),
        token("C"),
        AccessToken { verification: Some(sealed), ..token("D") },
    ];
    insert(&test.database, test.organisation, &tokens).await;
    insert(&test.database, other, &[verified_by("B", "old"), verified_by("A", "old"), verified_by("b", "new")]).await;

    let at = |organisation: OrganisationKey, id: &str| (organisation, id.to_owned());
    let mine = test.organisation;
    let expected =
        [at(mine, "A"), at(mine, "D"), at(mine, "a"), at(mine, "b"), at(other, "A"), at(other, "B")].to_vec();
    assert_eq!(pages(&test, "new", 10).await, std::slice::from_ref(&expected));
    assert_eq!(pages(&test, "new", 4).await, [&expected[..4], &expected[4..]]);
    assert_eq!(pages(&test, "new", 1).await.concat(), expected);
    assert_eq!(pages(&test, "old", 10).await.concat().len(), 5);
    let beyond = (OrganisationKey(i32::MAX), String::new());
    assert!(test.database.verification_codes("new", Some(&beyond), 10).await.expect("reads").is_empty());
}

async fn only_what_was_read_is_replaced(test: TestDatabase) {
    let tokens = [verified_by("T1", "old"), verified_by("T2", "old"), token("T3")];
    insert(&test.database, test.organisation, &tokens).await;
    let found = test.database.verification_codes("new", None, 10).await.expect("reads");
    assert_eq!(found.len(), 2);
    // Meanwhile T2 gets another code.
    test.sql("UPDATE access_token SET verification_hash = 'old$other' WHERE id = 'T2'").await;
    let gone = ((test.organisation, "T4".to_owned()), code("old"));
    let replacements: Vec<_> =
        found.into_iter().chain([gone]).map(|(position, old)| (position, old, code("new"))).collect();
    assert_eq!(test.database.replace_verification_codes(&replacements).await.expect("replaces"), 1);
    assert_eq!(find(&test, "T1").await, Some(verified_by("T1", "new")), "log information stays");
    let kept = find(&test, "T2").await.and_then(|token| token.verification).expect("a code");
    assert_eq!(kept.hash, CodeHash::from_stored("old$other"));
    assert_eq!(find(&test, "T3").await, Some(token("T3")));
    assert_eq!(test.database.replace_verification_codes(&replacements).await.expect("replaces"), 0);
    assert_eq!(test.database.replace_verification_codes(&[]).await.expect("replaces"), 0);
    assert_eq!(pages(&test, "new", 10).await, [[(test.organisation, "T2".to_owned())]]);
}
