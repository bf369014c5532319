//! Accounts that log in, their known networks, and their attempts.

use access_tokens_domain::attempts::Attempts;
use access_tokens_domain::directory::User;
use access_tokens_domain::login::{KnownNetwork, Network, dummy_subject, meter_subject, network_subject};
use access_tokens_domain::secret::PassCodeHash;
use access_tokens_domain::session::Permissions;
use access_tokens_domain::store::{Credential, Entry, ImportChanges, LoginStore, Unlocked};

use crate::common::{TestDatabase, at, import, organisation, race};

on_both!(
    a_log_in_makes_its_network_known,
    a_user_has_a_bounded_number_of_networks,
    of_many_writers_of_one_revision_one_counts,
    unlocking_ends_the_locks_of_one_user_only,
    a_sweep_deletes_what_no_longer_counts,
    a_password_is_replaced_once,
    passwords_of_other_forms_are_counted,
);

async fn add_user(test: &TestDatabase, id: &str, username: &str) {
    let credential = Credential {
        user: id.into(),
        password: Some(PassCodeHash::from_stored("old")),
        permissions: Permissions::default(),
        default_unit: None,
    };
    let user = User { id: id.into(), username: Some(username.into()), ..User::default() };
    let changes = ImportChanges { users: vec![user], credentials: vec![credential], ..ImportChanges::default() };
    import(&test.database, test.organisation, &changes).await;
}

fn network(number: u8) -> Network {
    Network::of(Some([10, 0, number, 1].into()))
}

async fn a_log_in_makes_its_network_known(test: TestDatabase) {
    add_user(&test, "U1", "me").await;
    let read = async |number| {
        let found = test.again().await.login_account(test.organisation, "me", &network(number)).await.expect("reads");
        found.expect("a user")
    };
    let new = read(1).await;
    assert_eq!((new.first_login, new.network, new.has_entered_networks), (None, None, false));
    assert_eq!(new.credential.user, "U1");
    assert!(test.database.login_account(test.organisation, "you", &network(1)).await.expect("reads").is_none());
    assert!(test.database.login_account(test.organisation, "me\0", &network(1)).await.expect("reads").is_none());
    let other = organisation(&test.database, "OTHER").await;
    assert!(test.database.login_account(other, "me", &network(1)).await.expect("reads").is_none());

    for seconds in [10, 30, 20] {
        test.database.remember_login(test.organisation, "U1", &network(1), at(seconds)).await.expect("writes");
    }
    let known = read(1).await;
    assert_eq!(known.first_login, Some(at(10)));
    assert_eq!(known.network, Some(KnownNetwork { last_login: Some(at(30)) }), "never back in time");
    assert_eq!(read(2).await.network, None);

    test.database.enter_networks(test.organisation, "U1", &[network(1), network(3)]).await.expect("enters");
    test.database.enter_networks(test.organisation, "U1", &[]).await.expect("enters nothing");
    test.database.remember_login(test.organisation, "U1", &network(3), at(40)).await.expect("writes");
    for number in [1, 3] {
        let entered = read(number).await;
        assert_eq!(entered.network, Some(KnownNetwork { last_login: None }), "it stays entered");
        assert!(entered.has_entered_networks);
    }
    test.database.sweep_logins(at(400 * 24 * 3_600)).await.expect("sweeps");
    assert_eq!(read(1).await.network, Some(KnownNetwork { last_login: None }));
}

async fn a_user_has_a_bounded_number_of_networks(test: TestDatabase) {
    add_user(&test, "U1", "me").await;
    let all: Vec<_> = (0..1_000_u16).map(|i| Network::of(Some([10, (i / 256) as u8, i as u8, 1].into()))).collect();
    for some in all.chunks(250) {
        test.database.enter_networks(test.organisation, "U1", some).await.expect("enters");
    }
    let more = Network::of(Some([172, 16, 0, 1].into()));
    test.database.remember_login(test.organisation, "U1", &more, at(1)).await.expect("writes");
    let found = test.database.login_account(test.organisation, "me", &more).await.expect("reads").expect("a user");
    assert_eq!((found.network, found.first_login), (None, Some(at(1))));
}

fn attempts(in_a_row: u32, day_arrival: i64) -> Attempts {
    Attempts { in_a_row, day_arrival: Some(at(day_arrival)), ..Attempts::default() }
}

async fn save(test: &TestDatabase, subject: &str, state: Attempts, revision: i64) -> bool {
    let entry = Entry { state, revision };
    test.database.save_login_attempts(test.organisation, subject, &entry).await.expect("saves")
}

async fn read(test: &TestDatabase, subject: &str) -> Entry<Attempts> {
    test.again().await.login_attempts(test.organisation, subject).await.expect("reads")
}

async fn of_many_writers_of_one_revision_one_counts(test: TestDatabase) {
    let (subject, databases) = (network_subject("U1", &network(1)), [test.database.clone(), test.again().await]);
    let organisation = test.organisation;
    for revision in 0..3 {
        let saved = race(16, |i| {
            let (database, subject) = (databases[i % 2].clone(), subject.clone());
            let entry = Entry { state: attempts(i as u32, 0), revision };
            async move { database.save_login_attempts(organisation, &subject, &entry).await.expect("saves") }
        });
        assert_eq!(saved.await.into_iter().filter(|saved| *saved).count(), 1);
        assert_eq!(read(&test, &subject).await.revision, revision + 1);
    }
    test.database.count_refused_login(organisation, &subject, at(9)).await.expect("counts");
    let entry = read(&test, &subject).await;
    assert_eq!((entry.revision, entry.state.refused, entry.state.last_refused), (3, 1, Some(at(9))));
    assert_eq!(read(&test, "login/U\0/x").await, Entry::default());
}

async fn unlocking_ends_the_locks_of_one_user_only(test: TestDatabase) {
    let users = ["U1", "U1/10.0.1.0", "U10", "U%2F"];
    let locked = Attempts { locked_until: Some(at(900)), ..attempts(5, 900) };
    for user in users {
        assert!(save(&test, &network_subject(user, &network(1)), locked.clone(), 0).await);
        assert!(save(&test, &meter_subject(user), attempts(5, 900), 0).await);
    }
    let listed = async |now| test.database.locked_users(test.organisation, at(now)).await.expect("lists");
    assert_eq!(listed(0).await, ["U%2F", "U1", "U1/10.0.1.0", "U10"]);
    assert_eq!(listed(900).await, Vec::<String>::new());
    let unlock = async |organisation, user: &str, now| {
        test.database.unlock_logins(organisation, user, at(now)).await.expect("unlocks")
    };
    assert_eq!(unlock(test.organisation, "U1", 0).await, Unlocked::Locked);
    assert_eq!(unlock(test.organisation, "U1", 0).await, Unlocked::Nothing);
    assert_eq!(listed(0).await, ["U%2F", "U1/10.0.1.0", "U10"]);
    let unlocked = read(&test, &network_subject("U1", &network(1))).await;
    assert_eq!((unlocked.state.in_a_row, unlocked.state.locked_until, unlocked.revision), (0, None, 2));
    assert!(!save(&test, &network_subject("U1", &network(1)), locked, 1).await, "an attempt that was read before");
    assert_eq!(read(&test, &meter_subject("U1")).await.state.day_arrival, None);
    let other = organisation(&test.database, "OTHER").await;
    assert_eq!(unlock(other, "U10", 0).await, Unlocked::Nothing);
    // An expired lock and a few wrong passwords are no lock. A used-up daily number of wrong passwords is one.
    assert_eq!(unlock(test.organisation, "U10", 1_000_000).await, Unlocked::Counted);
    let day = Attempts { day_arrival: Some(at(86_400 * 2)), ..attempts(5, 900) };
    assert!(save(&test, &meter_subject("U11"), day, 0).await);
    assert_eq!(unlock(test.organisation, "U11", 0).await, Unlocked::Locked);
}

async fn a_sweep_deletes_what_no_longer_counts(test: TestDatabase) {
    const DAY: i64 = 24 * 3_600;
    add_user(&test, "U1", "me").await;
    let old = network_subject("U1", &network(1));
    let young = network_subject("U1", &network(2));
    let locked = network_subject("U1", &network(3));
    let refused = network_subject("U1", &network(4));
    save(&test, &old, attempts(4, 0), 0).await;
    save(&test, &young, attempts(4, 1), 0).await;
    save(&test, &locked, Attempts { locked_until: Some(at(900)), ..attempts(5, 0) }, 0).await;
    save(&test, &refused, attempts(5, 0), 0).await;
    test.database.count_refused_login(test.organisation, &refused, at(900)).await.expect("counts");
    save(&test, &dummy_subject(1), attempts(5, 0), 0).await;
    for (number, seconds) in [(1, 0), (2, 1)] {
        test.database.remember_login(test.organisation, "U1", &network(number), at(seconds)).await.expect("writes");
    }
    test.database.sweep_logins(at(DAY + 1)).await.expect("sweeps");
    let mut revisions = Vec::new();
    for subject in [&old, &young, &locked, &refused, &dummy_subject(1)] {
        revisions.push(read(&test, subject).await.revision);
    }
    assert_eq!(revisions, [0, 1, 1, 1, 1]);
    test.database.sweep_logins(at(30 * DAY + 1)).await.expect("sweeps");
    for (number, known) in [(1, false), (2, true)] {
        let found = test.database.login_account(test.organisation, "me", &network(number)).await.expect("reads");
        assert_eq!(found.expect("a user").network.is_some(), known, "{number}");
    }
}

async fn a_password_is_replaced_once(test: TestDatabase) {
    add_user(&test, "U1", "me").await;
    let [old, new] = ["old", "new"].map(PassCodeHash::from_stored);
    let replace = async |user: &str, old: &PassCodeHash, new: &PassCodeHash| {
        test.database.replace_password(test.organisation, user, old, new).await.expect("writes")
    };
    assert!(!replace("U2", &old, &new).await && !replace("U1", &new, &old).await);
    assert!(replace("U1", &old, &new).await && !replace("U1", &old, &new).await);
    let found = test.database.login_account(test.organisation, "me", &network(1)).await.expect("reads");
    assert_eq!(found.expect("a user").credential.password, Some(new));
}

async fn passwords_of_other_forms_are_counted(test: TestDatabase) {
    let count = async |current: &[&str]| {
        let current: Vec<_> = current.iter().map(|text| (*text).to_owned()).collect();
        test.database.count_passwords(&current).await.expect("counts")
    };
    assert_eq!(count(&["old"]).await, (0, 0));
    for (id, hash) in [("U1", Some("$a$1")), ("U2", Some("$a")), ("U3", Some("$b%1")), ("U4", None)] {
        let credential = Credential {
            user: id.into(),
            password: hash.map(PassCodeHash::from_stored),
            permissions: Permissions::default(),
            default_unit: None,
        };
        let user = User { id: id.into(), username: Some(id.into()), ..User::default() };
        let changes = ImportChanges { users: vec![user], credentials: vec![credential], ..ImportChanges::default() };
        import(&test.database, test.organisation, &changes).await;
    }
    assert_eq!(count(&["$a$"]).await, (3, 2));
    assert_eq!(count(&["$a$", "$b%"]).await, (3, 1));
    assert_eq!(count(&[]).await, (3, 3));
}
