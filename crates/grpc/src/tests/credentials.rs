//! Secrets over the wire: checked, changed, forgotten, locked, unlocked and explained.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use access_tokens_domain::notification::{Notification, Notifier};
use access_tokens_proto::v1::access_token::SecretKind;
use access_tokens_proto::v1::access_token_identifier::{Credential, Identifier};
use access_tokens_proto::v1::change_pass_code_request::Proof;
use access_tokens_proto::v1::obstacle::Kind;
use access_tokens_proto::v1::{self, lock};
use tonic::{Code, Status};
use tonic_types::ErrorDetails;

use super::access_tokens::{by, by_code, create, mask};
use super::{World, fields, refused, with};

type Answered = Result<v1::AccessToken, Status>;

/// A client with the session of a user.
struct Client<'a> {
    world: &'a World,
    session: String,
}

impl<'a> Client<'a> {
    async fn of(world: &'a World, user: &str) -> Self {
        Self { world, session: world.login(user).await }
    }

    async fn create(&self, code: &str, identifier: &str) -> v1::AccessToken {
        let request = v1::CreateAccessTokenRequest {
            identifier: Some(identifier.to_owned()),
            pass_code: Some("1234".to_owned()),
            ..create(code)
        };
        let created = self.world.access_tokens().create_access_token(with(&self.session, request)).await;
        created.expect("created").into_inner()
    }

    async fn check(&self, identifier: &str, pass_code: &str) -> Answered {
        let request = v1::CheckPassCodeRequest {
            access_token_identifier: login(identifier),
            pass_code: Some(pass_code.to_owned()),
            fields_set: mask(&["number"]),
        };
        let checked = self.world.access_tokens().check_pass_code(with(&self.session, request)).await;
        checked.map(tonic::Response::into_inner)
    }

    async fn change(&self, identifier: &str, proof: Proof, new_pass_code: &str) -> Answered {
        let request = v1::ChangePassCodeRequest {
            access_token_identifier: login(identifier),
            proof: Some(proof),
            new_pass_code: new_pass_code.to_owned(),
            fields_set: None,
        };
        let changed = self.world.access_tokens().change_pass_code(with(&self.session, request)).await;
        changed.map(tonic::Response::into_inner)
    }

    async fn verify_otp(&self, code: &str, one_time_password: &str) -> Answered {
        let request = v1::VerifyOtpRequest {
            access_token_identifier: by_code(code),
            one_time_password: Some(one_time_password.to_owned()),
            fields_set: None,
        };
        let used = self.world.access_tokens().verify_otp(with(&self.session, request)).await;
        used.map(tonic::Response::into_inner)
    }

    async fn otp(&self, code: &str) -> Result<String, Status> {
        let request = v1::GenerateOtpRequest { access_token_identifier: by_code(code), fields_set: None };
        let issued = self.world.access_tokens().generate_otp(with(&self.session, request)).await?;
        Ok(issued.into_inner().one_time_password.expect("a code"))
    }

    async fn show(&self, credential: Credential) -> Answered {
        let identifier = by(Identifier::Credential(credential));
        let request = v1::ShowAccessTokenRequest { access_token_identifier: identifier, fields_set: mask(&["number"]) };
        let shown = self.world.access_tokens().show_access_token(with(&self.session, request)).await;
        shown.map(tonic::Response::into_inner)
    }

    async fn explain(&self, code: &str) -> v1::ExplainAccessTokenResponse {
        let request = v1::ExplainAccessTokenRequest { access_token_identifier: by_code(code), fields_set: None };
        let explained = self.world.access_tokens().explain_access_token(with(&self.session, request)).await;
        explained.expect("explained").into_inner()
    }

    async fn unlock(&self, code: &str, kinds: &[i32]) -> Answered {
        let request = v1::UnlockAccessTokenRequest {
            access_token_identifier: by_code(code),
            secret_kinds: kinds.to_vec(),
            fields_set: None,
        };
        let unlocked = self.world.access_tokens().unlock_access_token(with(&self.session, request)).await;
        unlocked.map(tonic::Response::into_inner)
    }

    async fn forgot(&self, identifier: &str) -> Result<v1::ForgotPassCodeResponse, Status> {
        use v1::forgot_pass_code_request::AccessToken;
        let named = Some(AccessToken::Identifier(identifier.to_owned()));
        let request = v1::ForgotPassCodeRequest { access_token: named };
        let sent = self.world.access_tokens().forgot_pass_code(with(&self.session, request)).await;
        sent.map(tonic::Response::into_inner)
    }
}

fn login(identifier: &str) -> Option<v1::AccessTokenIdentifier> {
    by(Identifier::Credential(Credential { identifier: identifier.to_owned(), ..Default::default() }))
}

/// Collects notifications that would be delivered.
#[derive(Default)]
struct Outbox(Mutex<Vec<Notification>>);

impl Notifier for Outbox {
    fn delivers(&self) -> bool {
        true
    }

    fn notify(&self, notification: Notification) {
        self.0.lock().expect("not poisoned").push(notification);
    }
}

/// Returns the true reason of a refused secret, if the caller may know it, and the details. Panics if the secret was accepted.
fn cause<T: std::fmt::Debug>(result: Result<T, Status>) -> (Option<String>, ErrorDetails) {
    let (code, reason, details) = refused(result);
    assert_eq!((code, reason.as_str()), (Code::PermissionDenied, "INVALID_CREDENTIAL"));
    let cause = details.error_info().and_then(|info| info.metadata.get("cause").cloned());
    (cause, details)
}

#[tokio::test]
async fn a_pass_code_is_checked_changed_locked_and_unlocked() {
    let world = World::new().await;
    let (anna, rita, will) =
        (Client::of(&world, "anna").await, Client::of(&world, "rita").await, Client::of(&world, "will").await);
    let created = anna.create("CARD-1", "shemar").await;
    let number = v1::AccessToken { number: created.number, ..Default::default() };
    // Without `access_tokens.lookup`, so the secret is sent together with the name.
    assert_eq!(rita.check("shemar", "1234").await.expect("right"), number);

    let changed = will.change("shemar", Proof::PassCode("1234".to_owned()), "4321").await.expect("changed");
    let log = changed.log_information.and_then(|log| log.updated_by_user).expect("who");
    assert_eq!(log.username.as_deref(), Some("will"));
    let refusal = rita.check("shemar", "1234").await;
    assert_eq!(cause(refusal).0, None, "who may not know secrets is not told");
    assert_eq!(cause(rita.check("nobody", "1234").await).0, None);
    assert_eq!(cause(anna.check("nobody", "1234").await).0.as_deref(), Some("UNKNOWN"));
    for _ in 0..4 {
        assert_eq!(cause(anna.check("shemar", "1234").await).0.as_deref(), Some("WRONG"));
    }

    let (locked, details) = cause(anna.check("shemar", "4321").await);
    assert_eq!(locked.as_deref(), Some("LOCKED"));
    let wait = details.retry_info().and_then(|retry| retry.retry_delay).expect("a wait");
    assert!(wait > Duration::from_secs(800) && wait <= Duration::from_secs(900), "{wait:?}");
    let (unknown, details) = cause(will.change("shemar", Proof::PassCode("4321".to_owned()), "1111").await);
    assert!(unknown.is_none() && details.retry_info().is_none());

    let explained = anna.explain("CARD-1").await;
    assert_eq!((explained.usable, explained.locks_disclosed), (Some(false), Some(true)));
    assert_eq!(
        (explained.obstacles[0].kind(), explained.obstacles[0].secret_kind()),
        (Kind::Locked, SecretKind::PassCode)
    );
    let status = &explained.secrets[0];
    let lock = status.lock.as_ref().expect("always there");
    assert_eq!(
        (lock.state(), lock.cause(), lock.failed_attempts()),
        (lock::State::Locked, lock::Cause::AttemptsInARow, 5)
    );
    assert_eq!((status.refused_attempts(), status.recent_attempts.len()), (2, 5));
    assert!(status.recent_attempts.iter().all(|attempt| attempt.right == Some(false) && attempt.user_id.is_some()));
    assert!(explained.actions.iter().any(|action| action.method == "UnlockAccessToken"));
    let explained = rita.explain("CARD-1").await;
    assert_eq!((explained.usable, explained.locks_disclosed), (Some(true), Some(false)));
    assert!(explained.secrets.is_empty());

    let (code, reason, details) = refused(will.unlock("CARD-1", &[0]).await);
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD_VALUE"));
    assert_eq!(fields(&details), ["secret_kinds[0]"]);
    will.unlock("CARD-1", &[SecretKind::OneTimePassword.into()]).await.expect("another kind");
    assert_eq!(cause(anna.check("shemar", "4321").await).0.as_deref(), Some("LOCKED"));
    will.unlock("CARD-1", &[]).await.expect("all kinds");
    assert_eq!(anna.check("shemar", "4321").await.expect("right"), number);
    assert_eq!(refused(rita.unlock("CARD-1", &[]).await).1, "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_one_time_password_is_right_once() {
    let world = World::new().await;
    let (anna, will) = (Client::of(&world, "anna").await, Client::of(&world, "will").await);
    let created = anna.create("CARD-1", "shemar").await;
    let code = anna.otp("CARD-1").await.expect("issued");
    let used = will.verify_otp("CARD-1", &code).await.expect("right");
    let user = used.log_information.and_then(|log| log.updated_by_user).expect("who");
    assert_eq!(user.username.as_deref(), Some("anna"), "a use is no change");
    assert_eq!(cause(anna.verify_otp("CARD-1", &code).await).0.as_deref(), Some("NOT_SET"));

    let code = anna.otp("CARD-1").await.expect("issued");
    let credential =
        Credential { identifier: "shemar".to_owned(), one_time_password: Some(code.clone()), ..Default::default() };
    assert_eq!(will.show(credential.clone()).await.expect("right").number, created.number);
    assert_eq!(cause(will.show(credential).await).0, None);
    let both =
        Credential { identifier: "shemar".to_owned(), pass_code: Some(code.clone()), one_time_password: Some(code) };
    let (code, reason, details) = refused(will.show(both).await);
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD_VALUE"));
    assert_eq!(fields(&details), ["access_token_identifier.credential.one_time_password"]);

    for _ in 0..3 {
        anna.otp("CARD-1").await.expect("within the burst");
    }
    let (code, reason, details) = refused(anna.otp("CARD-1").await);
    assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "TOO_MANY_CODES"));
    assert!(
        details.retry_info().and_then(|retry| retry.retry_delay).is_some_and(|wait| wait <= Duration::from_secs(60))
    );
}

#[tokio::test]
async fn a_forgotten_pass_code_is_replaced_with_what_the_owner_gets() {
    let outbox = Arc::new(Outbox::default());
    let world = World::with_notifier(outbox.clone()).await;
    let (anna, will) = (Client::of(&world, "anna").await, Client::of(&world, "will").await);
    let created = anna.create("CARD-1", "shemar").await;
    for identifier in ["shemar", "nobody"] {
        assert_eq!(will.forgot(identifier).await.expect("the same answer"), v1::ForgotPassCodeResponse {});
    }
    let sent = std::mem::take(&mut *outbox.0.lock().expect("not poisoned"));
    let [notification] = sent.as_slice() else { panic!("{} notifications", sent.len()) };
    assert_eq!(notification.number, created.number);
    let proof = || Proof::OneTimePassword(notification.secret.expose().to_owned());
    let (_, reason, details) = refused(will.change("shemar", proof(), "1").await);
    assert_eq!((reason.as_str(), fields(&details)), ("POLICY_VIOLATION", vec!["new_pass_code"]));
    will.change("shemar", proof(), "4321").await.expect("still valid");
    will.check("shemar", "4321").await.expect("the new one");
    assert_eq!(cause(will.change("shemar", proof(), "9999").await).0, None);
}

#[tokio::test]
async fn nothing_is_forgotten_where_nobody_delivers() {
    let world = World::new().await;
    let (code, reason, _) = refused(Client::of(&world, "will").await.forgot("shemar").await);
    assert_eq!((code, reason.as_str()), (Code::FailedPrecondition, "NOTIFICATIONS_DISABLED"));
}

#[tokio::test]
async fn a_verification_code_tells_strangers_nothing() {
    let world = World::new().await;
    let (anna, will) = (Client::of(&world, "anna").await, Client::of(&world, "will").await);
    anna.create("CARD-1", "shemar").await;
    for (code, known) in [("CARD-9", "ACCESS_TOKEN_NOT_FOUND"), ("CARD-1", "WRONG_LIFE_CYCLE_STATE")] {
        for (client, expected) in [(&anna, known), (&will, "INVALID_VERIFICATION_CODE")] {
            let request = v1::VerifyAccessTokenRequest {
                access_token_identifier: by_code(code),
                verification_code: "000000".to_owned(),
                ..Default::default()
            };
            let refusal = world.access_tokens().verify_access_token(with(&client.session, request)).await;
            assert_eq!(refused(refusal).1, expected, "{code}");
        }
    }
}
