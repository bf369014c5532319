//! Changes of tokens: what they write, and what prevents them.

use access_tokens_domain::access_token::{
    AccessToken, AuditStamp, OneTimePassword, Precondition, TokenChanges, UserDefinedFields, VerificationCode,
};
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::secret::{CodeHash, PassCodeHash, SealedCode};
use access_tokens_domain::store::Store;

use crate::common::{TestDatabase, at, find, full, insert, race, stamp, token};

on_both!(
    changes_touch_only_what_they_name,
    a_change_without_a_stamp_leaves_log_information,
    a_guard_that_does_not_hold_writes_nothing,
    of_32_uses_of_a_one_time_password_one_succeeds,
);

async fn update(
    test: &TestDatabase,
    id: &str,
    precondition: &Precondition,
    changes: &TokenChanges,
) -> Option<AccessToken> {
    write(test, id, precondition, changes, Some(&stamp(60))).await
}

async fn write(
    test: &TestDatabase,
    id: &str,
    precondition: &Precondition,
    changes: &TokenChanges,
    updated: Option<&AuditStamp>,
) -> Option<AccessToken> {
    let found =
        test.database.update_token(test.organisation, id, precondition, changes, updated).await.expect("updates");
    found.map(|found| found.token)
}

async fn changes_touch_only_what_they_name(test: TestDatabase) {
    let written = full("T1");
    insert(&test.database, test.organisation, std::slice::from_ref(&written)).await;
    let unchanged = AccessToken { updated: stamp(60), ..written };
    let changed = update(&test, "T1", &Precondition::default(), &TokenChanges::default()).await;
    assert_eq!(changed.as_ref(), Some(&unchanged));

    let emptied = TokenChanges {
        identifier: Some(None),
        pass_code: Some(None),
        card_masked_number: Some(None),
        udf_strings: std::array::from_fn(|_| Some(None)),
        udf_floats: std::array::from_fn(|_| Some(None)),
        udf_dates: std::array::from_fn(|_| Some(None)),
        ..TokenChanges::default()
    };
    let expected = AccessToken {
        identifier: None,
        pass_code: None,
        card_masked_number: None,
        udf: UserDefinedFields::default(),
        ..unchanged
    };
    assert_eq!(update(&test, "T1", &Precondition::default(), &emptied).await.as_ref(), Some(&expected));

    let verification =
        VerificationCode { hash: CodeHash::from_stored("k2$hash"), sealed: SealedCode::from_stored("k2$sealed") };
    let one_time_password = OneTimePassword { hash: CodeHash::from_stored("k2$otp"), expiration_date: at(900) };
    let filled = TokenChanges {
        life_cycle_state: Some(LifeCycleState::NotEffective),
        authentication_code: Some("new".into()),
        identifier: Some(Some("you".into())),
        pass_code: Some(Some(PassCodeHash::from_stored("$argon2id$y"))),
        verification: Some(verification.clone()),
        one_time_password: Some(Some(one_time_password.clone())),
        verified: Some((at(70), None)),
        card_masked_number: Some(Some("1111".into())),
        udf_strings: std::array::from_fn(|i| Some(Some(i.to_string()))),
        udf_floats: std::array::from_fn(|i| Some(Some(i as f64))),
        udf_dates: std::array::from_fn(|i| Some(Some(at(i as i64)))),
    };
    let expected = AccessToken {
        life_cycle_state: LifeCycleState::NotEffective,
        life_cycle_state_date: Some(at(60)),
        authentication_code: "new".into(),
        identifier: Some("you".into()),
        pass_code: Some(PassCodeHash::from_stored("$argon2id$y")),
        verification: Some(verification),
        one_time_password: Some(one_time_password),
        verified_date: Some(at(70)),
        verified_by_user: None,
        card_masked_number: Some("1111".into()),
        udf: UserDefinedFields {
            strings: std::array::from_fn(|i| Some(i.to_string())),
            floats: std::array::from_fn(|i| Some(i as f64)),
            dates: std::array::from_fn(|i| Some(at(i as i64))),
        },
        ..expected
    };
    assert_eq!(update(&test, "T1", &Precondition::default(), &filled).await.as_ref(), Some(&expected));
    assert_eq!(find(&test, "T1").await, Some(expected));
}

async fn a_change_without_a_stamp_leaves_log_information(test: TestDatabase) {
    let written = full("T1");
    insert(&test.database, test.organisation, std::slice::from_ref(&written)).await;
    let used = TokenChanges { one_time_password: Some(None), ..TokenChanges::default() };
    let expected = AccessToken { one_time_password: None, ..written };
    assert_eq!(write(&test, "T1", &Precondition::default(), &used, None).await.as_ref(), Some(&expected));
    assert_eq!(find(&test, "T1").await.as_ref(), Some(&expected));

    // Nothing to write: only the precondition is checked.
    let nothing = TokenChanges::default();
    let precondition = |state| Precondition { life_cycle_state: Some(state), ..Precondition::default() };
    let effective = write(&test, "T1", &precondition(LifeCycleState::Effective), &nothing, None).await;
    assert_eq!(effective.as_ref(), Some(&expected));
    assert_eq!(write(&test, "T1", &precondition(LifeCycleState::NotEffective), &nothing, None).await, None);
    assert_eq!(find(&test, "T1").await, Some(expected));
}

async fn a_guard_that_does_not_hold_writes_nothing(test: TestDatabase) {
    let written = full("T1");
    insert(&test.database, test.organisation, std::slice::from_ref(&written)).await;
    let off = TokenChanges { life_cycle_state: Some(LifeCycleState::NotEffective), ..TokenChanges::default() };
    let state = |state| Precondition { life_cycle_state: Some(state), ..Precondition::default() };
    let code = |hash| Precondition { verification: Some(CodeHash::from_stored(hash)), ..Precondition::default() };
    let otp = |hash| Precondition { one_time_password: Some(CodeHash::from_stored(hash)), ..Precondition::default() };
    let pass_code = |hash| Precondition { pass_code: Some(PassCodeHash::from_stored(hash)), ..Precondition::default() };
    let no_identifier = Precondition { without_identifier: true, ..Precondition::default() };
    assert_eq!(update(&test, "T1", &state(LifeCycleState::PendingVerification), &off).await, None);
    for precondition in [code("k1$other"), otp("k1$other"), pass_code("$argon2id$y"), no_identifier] {
        assert_eq!(update(&test, "T1", &precondition, &off).await, None, "{precondition:?}");
    }
    assert_eq!(update(&test, "T2", &Precondition::default(), &off).await, None);
    assert_eq!(find(&test, "T1").await, Some(written));
    let all = Precondition {
        verification: code("k1$hash").verification,
        one_time_password: otp("k1$otp").one_time_password,
        pass_code: pass_code("$argon2id$x").pass_code,
        ..state(LifeCycleState::Effective)
    };
    assert!(update(&test, "T1", &all, &off).await.is_some());
    assert_eq!(update(&test, "T1", &all, &off).await, None, "the state has moved");
    insert(&test.database, test.organisation, &[token("T3")]).await;
    for precondition in [code("k1$hash"), otp("k1$otp"), pass_code("$argon2id$x")] {
        assert_eq!(update(&test, "T3", &precondition, &off).await, None, "there is none");
    }
}

async fn of_32_uses_of_a_one_time_password_one_succeeds(test: TestDatabase) {
    insert(&test.database, test.organisation, &[full("T1")]).await;
    let databases = [test.database.clone(), test.again().await];
    let organisation = test.organisation;
    let used = race(32, |i| {
        let database = databases[i % 2].clone();
        async move {
            let precondition =
                Precondition { one_time_password: Some(CodeHash::from_stored("k1$otp")), ..Precondition::default() };
            let used = TokenChanges { one_time_password: Some(None), ..TokenChanges::default() };
            database
                .update_token(organisation, "T1", &precondition, &used, None)
                .await
                .expect("updates")
                .map(|found| found.token)
        }
    });
    let used: Vec<_> = used.await.into_iter().flatten().collect();
    assert_eq!(used, [AccessToken { one_time_password: None, ..full("T1") }]);
}
