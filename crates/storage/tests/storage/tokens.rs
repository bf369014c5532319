//! Tokens: writes, lookups, lists.

use std::sync::Arc;

use access_tokens_domain::access_token::{AccessToken, Precondition, TokenChanges};
use access_tokens_domain::directory::{AccountsReceivableState, RewardsParticipant, RewardsParticipantState};
use access_tokens_domain::identifier::{
    AccountsReceivableIdentifier, OwnerIdentifier, RewardsParticipantIdentifier, TokenKey,
};
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::store::{
    AccountStore, ImportChanges, OwnerJoins, ReadConsistency, ReadOptions, Store, StoreError, TokenPage,
    Transaction as _, Unique,
};

use crate::common::{TestDatabase, account, contact, find, full, import, insert, organisation, stamp, token};

on_both!(
    a_token_comes_back_as_it_was,
    what_cannot_be_stored_is_not_found,
    owners_are_loaded_once_and_only_when_asked_for,
    organisations_do_not_see_each_other,
    duplicates_are_named_and_write_nothing,
    pages_come_in_the_order_of_bytes,
    not_associated_is_what_has_no_existing_owner,
);

async fn a_token_comes_back_as_it_was(test: TestDatabase) {
    let written = full("T1");
    insert(&test.database, test.organisation, std::slice::from_ref(&written)).await;
    for key in [
        TokenKey::Id("T1"),
        TokenKey::Number("N-T1"),
        TokenKey::AuthenticationCode("C-T1"),
        TokenKey::Identifier("me@example.com"),
    ] {
        let found = test
            .database
            .find_token(test.organisation, key, OwnerJoins::ALL, ReadOptions::STRONG)
            .await
            .expect("finds")
            .found
            .expect("is there");
        assert_eq!(found.token, written, "{key:?}");
        assert!(found.owners.accounts_receivable.is_none(), "its row does not exist");
    }
    assert_eq!(find(&test, "t1").await, None, "ids are compared by bytes");
}

async fn what_cannot_be_stored_is_not_found(test: TestDatabase) {
    let (database, organisation) = (&test.database, test.organisation);
    let nul = "C-T1\0";
    for key in [TokenKey::Id(nul), TokenKey::AuthenticationCode(nul), TokenKey::Identifier(nul)] {
        assert!(
            database
                .find_token(organisation, key, OwnerJoins::ALL, ReadOptions::STRONG)
                .await
                .expect("finds")
                .found
                .is_none()
        );
    }
    let page = TokenPage { owner: &account_of("A1"), classification: None, after: Some(nul), offset: 0, limit: 1 };
    assert!(
        database
            .list_tokens(organisation, page, OwnerJoins::NONE, ReadConsistency::Strong)
            .await
            .expect("lists")
            .tokens
            .is_empty()
    );
    let account = AccountsReceivableIdentifier::Name(nul.into());
    let found = database.find_owners(organisation, Some(&account), None).await.expect("finds");
    assert!(found.accounts.is_empty());
    let owner = OwnerIdentifier::AccountsReceivable(account);
    let page = TokenPage { owner: &owner, classification: Some(nul), after: None, offset: 0, limit: 1 };
    assert!(
        database
            .list_tokens(organisation, page, OwnerJoins::NONE, ReadConsistency::Strong)
            .await
            .expect("lists")
            .owners
            .is_empty()
    );
    assert!(database.credential_by_username(organisation, nul).await.expect("finds").is_none());
    assert!(database.credential(organisation, nul).await.expect("finds").is_none());
    assert!(database.api_key(nul).await.expect("finds").is_none());
    assert!(database.organisation_by_name(nul).await.expect("finds").is_none());
}

fn account_of(id: &str) -> OwnerIdentifier {
    OwnerIdentifier::AccountsReceivable(AccountsReceivableIdentifier::Id(id.to_owned()))
}

async fn directory(test: &TestDatabase) {
    let participant = |id: &str, account: Option<&str>| RewardsParticipant {
        id: id.to_owned(),
        number: Some(format!("RP-{id}")),
        life_cycle_state: None,
        accounts_receivable: account.map(str::to_owned),
    };
    let changes = ImportChanges {
        contacts: vec![contact("OWNER-A1"), contact("OWNER-A2")],
        accounts: vec![
            account("A1", AccountsReceivableState::Active),
            account("A2", AccountsReceivableState::Suspended),
        ],
        participants: vec![participant("P1", Some("A1")), participant("P2", Some("A2")), participant("P3", None)],
        ..ImportChanges::default()
    };
    import(&test.database, test.organisation, &changes).await;
}

async fn owners_are_loaded_once_and_only_when_asked_for(test: TestDatabase) {
    directory(&test).await;
    let owned = |id: &str, account: Option<&str>, participant: Option<&str>| AccessToken {
        accounts_receivable: account.map(str::to_owned),
        rewards_participant: participant.map(str::to_owned),
        ..token(id)
    };
    let tokens = [
        owned("T1", Some("A1"), Some("P1")),
        owned("T2", Some("A1"), Some("P2")),
        owned("T3", None, Some("P1")),
        owned("T4", Some("A1"), Some("P3")),
    ];
    insert(&test.database, test.organisation, &tokens).await;

    let find = async |id: &str, joins: OwnerJoins| {
        test.database
            .find_token(test.organisation, TokenKey::Id(id), joins, ReadOptions::STRONG)
            .await
            .expect("finds")
            .found
            .expect("is there")
            .owners
    };
    let shared = find("T1", OwnerJoins::ALL).await;
    let account = shared.accounts_receivable.expect("an account");
    let participant = shared.rewards_participant.expect("a participant");
    assert_eq!(account.account_owner, Some(contact("OWNER-A1")));
    assert!(Arc::ptr_eq(&account, participant.accounts_receivable.as_ref().expect("its account")));

    let apart = find("T2", OwnerJoins::ALL).await.rewards_participant.expect("a participant");
    let others = apart.accounts_receivable.as_ref().expect("its account");
    assert_eq!((others.record.id.as_str(), others.account_owner.is_some()), ("A2", true));

    let alone = find("T3", OwnerJoins::ALL).await;
    assert!(alone.accounts_receivable.is_none());
    let participant = alone.rewards_participant.expect("a participant");
    assert_eq!(participant.accounts_receivable.as_ref().expect("its account").record.id, "A1");

    let only = find("T1", OwnerJoins { accounts_receivable: false, rewards_participant: true }).await;
    assert!(only.accounts_receivable.is_none());
    assert!(only.rewards_participant.expect("a participant").accounts_receivable.is_some());
    let none = find("T1", OwnerJoins::NONE).await;
    assert!(none.accounts_receivable.is_none() && none.rewards_participant.is_none());
    assert!(
        find("T4", OwnerJoins::ALL).await.rewards_participant.expect("a participant").accounts_receivable.is_none()
    );

    let owner = OwnerIdentifier::RewardsParticipant(RewardsParticipantIdentifier::Id("P1".to_owned()));
    let page = TokenPage { owner: &owner, classification: None, after: None, offset: 0, limit: 9 };
    let found = test
        .database
        .list_tokens(test.organisation, page, OwnerJoins::ALL, ReadConsistency::Strong)
        .await
        .expect("lists");
    let owners: Vec<_> = found.tokens.iter().filter_map(|found| found.owners.rewards_participant.as_ref()).collect();
    assert_eq!(owners.len(), 2);
    assert!(Arc::ptr_eq(owners[0], owners[1]), "read once");
}

async fn organisations_do_not_see_each_other(test: TestDatabase) {
    let other = organisation(&test.database, "OTHER").await;
    insert(&test.database, test.organisation, &[full("T1")]).await;
    insert(&test.database, other, &[AccessToken { updated: stamp(9), ..full("T1") }]).await;
    let mine = find(&test, "T1").await.expect("mine");
    assert_eq!(mine.updated, stamp(0));

    let changes = TokenChanges { card_masked_number: Some(None), ..TokenChanges::default() };
    let changed = test.database.update_token(other, "T1", &Precondition::default(), &changes, Some(&stamp(10))).await;
    assert_eq!(changed.expect("updates").expect("is there").token.updated, stamp(10));
    assert_eq!(find(&test, "T1").await.expect("mine"), mine);
}

async fn duplicates_are_named_and_write_nothing(test: TestDatabase) {
    insert(&test.database, test.organisation, &[AccessToken { identifier: Some("me".into()), ..token("T1") }]).await;
    let fresh = || token("T2");
    for (duplicate, unique) in [
        (AccessToken { id: "T1".into(), ..fresh() }, Unique::TokenId),
        (AccessToken { number: "N-T1".into(), ..fresh() }, Unique::TokenNumber),
        (AccessToken { authentication_code: "C-T1".into(), ..fresh() }, Unique::AuthenticationCode),
        (AccessToken { identifier: Some("me".into()), ..fresh() }, Unique::Identifier),
    ] {
        let mut unit = test.database.begin().await.expect("begins");
        unit.insert_token(test.organisation, &token("T3")).await.expect("inserts");
        let refused = unit.insert_token(test.organisation, &duplicate).await.expect_err("a duplicate");
        assert!(matches!(&refused, StoreError::Duplicate(found) if *found == unique), "{refused:?}");
        let refused = unit.commit().await.expect_err("a statement failed");
        assert!(matches!(refused, StoreError::Fault(_)));
    }
    assert_eq!(find(&test, "T2").await, None);
    assert_eq!(find(&test, "T3").await, None);

    insert(&test.database, test.organisation, &[token("T4")]).await;
    let changes = TokenChanges { identifier: Some(Some("me".into())), ..TokenChanges::default() };
    let refused =
        test.database.update_token(test.organisation, "T4", &Precondition::default(), &changes, Some(&stamp(1))).await;
    assert!(matches!(refused, Err(StoreError::Duplicate(Unique::Identifier))));
}

async fn pages_come_in_the_order_of_bytes(test: TestDatabase) {
    let ids = ["0", "A", "B", "a", "b", "\u{e4}"];
    let tokens: Vec<_> = ids
        .iter()
        .map(|id| AccessToken {
            accounts_receivable: Some("A1".into()),
            classification: (*id >= "B").then(|| "K1".into()),
            ..token(id)
        })
        .collect();
    let mut shuffled = tokens.clone();
    shuffled.swap(0, 4);
    shuffled.swap(1, 5);
    shuffled.push(AccessToken { accounts_receivable: Some("A2".into()), ..token("C") });
    insert(&test.database, test.organisation, &shuffled).await;

    let owner = account_of("A1");
    let accounts = ["A1", "A3"].map(|id| account(id, AccountsReceivableState::Active)).into();
    import(&test.database, test.organisation, &ImportChanges { accounts, ..ImportChanges::default() }).await;
    let all = TokenPage { owner: &owner, classification: None, after: None, offset: 0, limit: 100 };
    let list = async |page: TokenPage<'_>| {
        let found = test
            .database
            .list_tokens(test.organisation, page, OwnerJoins::ALL, ReadConsistency::Strong)
            .await
            .expect("lists");
        found.tokens.into_iter().map(|found| found.token.id).collect::<Vec<_>>()
    };
    assert_eq!(list(all.clone()).await, ids);
    assert_eq!(list(TokenPage { limit: 2, offset: 1, ..all.clone() }).await, ids[1..3]);
    assert_eq!(list(TokenPage { limit: 2, after: Some("B"), ..all.clone() }).await, ids[3..5]);
    assert_eq!(list(TokenPage { after: Some("B"), offset: 2, ..all.clone() }).await, ids[5..]);
    assert_eq!(list(TokenPage { classification: Some("K1"), ..all.clone() }).await, ids[2..]);
    let member = OwnerIdentifier::RewardsParticipant(RewardsParticipantIdentifier::Id("A1".to_owned()));
    assert!(list(TokenPage { owner: &member, ..all.clone() }).await.is_empty());

    let owners = async |owner: &OwnerIdentifier| {
        let page = TokenPage { owner, ..all.clone() };
        let found = test
            .database
            .list_tokens(test.organisation, page, OwnerJoins::ALL, ReadConsistency::Strong)
            .await
            .expect("lists");
        (found.owners, found.tokens.len())
    };
    assert_eq!(owners(&account_of("A1")).await, (vec!["A1".to_owned()], ids.len()));
    assert_eq!(owners(&account_of("A3")).await, (vec!["A3".to_owned()], 0), "there, without tokens");
    assert_eq!(owners(&account_of("A2")).await, (vec![], 0), "tokens name it, but it is not there");
}

async fn not_associated_is_what_has_no_existing_owner(test: TestDatabase) {
    use AccountsReceivableState::{Active, Suspended, Terminated};
    let participant = |id: &str, state| RewardsParticipant {
        id: id.to_owned(),
        number: None,
        life_cycle_state: state,
        accounts_receivable: None,
    };
    let changes = ImportChanges {
        accounts: vec![account("active", Active), account("suspended", Suspended), account("ended", Terminated)],
        participants: vec![
            participant("member", Some(RewardsParticipantState::Effective)),
            participant("old", None),
            participant("ended", Some(RewardsParticipantState::Terminated)),
        ],
        ..ImportChanges::default()
    };
    import(&test.database, test.organisation, &changes).await;

    // All combinations. If one owner has no row and the other one is terminated, the token has no owner either.
    let accounts = [None, Some("active"), Some("suspended"), Some("ended"), Some("missing")];
    let participants = [None, Some("member"), Some("old"), Some("ended"), Some("missing")];
    let mut tokens = Vec::new();
    let mut expected = Vec::new();
    for state in LifeCycleState::ALL {
        for account in accounts {
            for participant in participants {
                let token = AccessToken {
                    life_cycle_state: state,
                    accounts_receivable: account.map(str::to_owned),
                    rewards_participant: participant.map(str::to_owned),
                    ..token(&format!("T{:03}", (tokens.len() * 37) % 75))
                };
                let gone = |owner: Option<&str>| matches!(owner, None | Some("ended" | "missing"));
                let only_missing = [account, participant].contains(&Some("missing"))
                    && ![account, participant].contains(&Some("ended"));
                if gone(account) && gone(participant) && !only_missing {
                    expected.push((token.id.clone(), state));
                }
                tokens.push(token);
            }
        }
    }
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    insert(&test.database, test.organisation, &tokens).await;

    let list = async |state, limit| {
        let found = test
            .database
            .not_associated(test.organisation, state, limit, OwnerJoins::ALL, ReadConsistency::Strong)
            .await
            .expect("lists");
        found.into_iter().map(|found| (found.token.id, found.token.life_cycle_state)).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 1_000).await, expected);
    assert_eq!(list(None, 5).await, expected[..5]);
    for state in LifeCycleState::ALL {
        let expected: Vec<_> = expected.iter().filter(|(_, found)| *found == state).cloned().collect();
        assert_eq!(list(Some(state), 1_000).await, expected);
    }
    let other = organisation(&test.database, "OTHER").await;
    assert!(
        test.database
            .not_associated(other, None, 10, OwnerJoins::ALL, ReadConsistency::Strong)
            .await
            .expect("lists")
            .is_empty()
    );
}
