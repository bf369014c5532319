//! The calls of a run: one method, or a mixture.

use std::borrow::Cow;

use access_tokens_proto::v1::access_token_identifier::{Credential, Identifier};
use access_tokens_proto::v1::accounts_receivable_identifier::Identifier as Account;
use access_tokens_proto::v1::classification_identifier::Identifier as Classification;
use access_tokens_proto::v1::list_access_tokens_request::Owner;
use access_tokens_proto::v1::rewards_participant_identifier::Identifier as Participant;
use access_tokens_proto::v1::{
    AccessTokenIdentifier, AccountsReceivableIdentifier, CheckPassCodeRequest, ClassificationIdentifier,
    CreateAccessTokenRequest, GenerateOtpRequest, ListAccessTokensRequest, LoginRequest, RewardsParticipantIdentifier,
    SetAsEffectiveRequest, SetAsNotEffectiveRequest, ShowAccessTokenRequest, UpdateAccessTokenRequest,
};
use access_tokens_testkit::random::Rng;
use prost::Message;
use prost_types::FieldMask;
use serde_json::json;

use crate::load::Call;
use crate::seed;

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// The full answer about any token.
    Show,
    /// The full answer about one of a hundred tokens.
    ShowHot,
    /// Fields of the token itself.
    ShowFields,
    /// The tokens of an owner.
    List,
    /// A new token of an owner.
    Create,
    /// A change of a text.
    Update,
    /// A token is set as not effective, and as effective again.
    Transition,
    /// A one-time password is issued.
    Otp,
    /// A pass code is checked.
    PassCode,
    /// 80 show, 8 list, 5 update, 4 create, 2 transition, 1 one-time password.
    Mixed,
    /// The full answer as JSON over HTTP/1.1.
    GatewayShow,
    /// Log-ins only.
    LoginFlood,
    /// The full answer, while the service checks as many pass codes as it can.
    ShowBesideHashing,
}

impl Scenario {
    /// Scenarios that call over gRPC and need no hash.
    pub(crate) const PLAIN: [Self; 9] = [
        Self::Show,
        Self::ShowHot,
        Self::ShowFields,
        Self::List,
        Self::Create,
        Self::Update,
        Self::Transition,
        Self::Otp,
        Self::Mixed,
    ];

    /// Returns the name for tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Show => "show",
            Self::ShowHot => "show-hot",
            Self::ShowFields => "show-fields",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Transition => "transition",
            Self::Otp => "otp",
            Self::PassCode => "pass-code",
            Self::Mixed => "mixed",
            Self::GatewayShow => "gateway-show",
            Self::LoginFlood => "login-flood",
            Self::ShowBesideHashing => "show-beside-hashing",
        }
    }
}

/// The calls of one worker. A token that is changed belongs to one worker of a run.
pub(crate) struct Script {
    scenario: Scenario,
    rng: Rng,
    tokens: u64,
    worker: u64,
    workers: u64,
    /// A token that is not effective and must be set as effective again.
    off: Option<u64>,
    session: String,
}

impl Script {
    /// Returns the script of one of `workers` workers, over this number of tokens. Runs differ by their seed.
    pub(crate) fn new(scenario: Scenario, tokens: u64, worker: usize, workers: usize, run: u64, session: &str) -> Self {
        let rng = Rng::new(run << 16 | worker as u64);
        let (worker, workers) = (worker as u64, workers as u64);
        Self { scenario, rng, tokens, worker, workers, off: None, session: session.to_owned() }
    }

    /// Returns the next call.
    pub(crate) fn next_call(&mut self) -> Call {
        let scenario = match self.scenario {
            Scenario::Mixed => match self.rng.below(100) {
                0..80 => Scenario::Show,
                80..88 => Scenario::List,
                88..93 => Scenario::Update,
                93..97 => Scenario::Create,
                97..99 => Scenario::Transition,
                _ => Scenario::Otp,
            },
            other => other,
        };
        match scenario {
            Scenario::Show | Scenario::ShowBesideHashing | Scenario::Mixed => self.show(self.tokens, &[]),
            Scenario::ShowHot => self.show(100.min(self.tokens), &[]),
            Scenario::ShowFields => self.show(
                self.tokens,
                &["id", "number", "life_cycle_state", "authentication_code", "identifier", "card_masked_number"],
            ),
            Scenario::List => self.list(),
            Scenario::Create => self.create(),
            Scenario::Update => self.update(),
            Scenario::Transition => self.transition(),
            Scenario::Otp => {
                // Only tokens that no worker sets as not effective.
                let switched = self.switched();
                let token = switched + 1 + self.rng.below(self.tokens - switched);
                let access_token_identifier = Some(code(token));
                encode_request("GenerateOtp", &GenerateOtpRequest { access_token_identifier, ..Default::default() })
            }
            Scenario::PassCode => self.pass_code(),
            Scenario::GatewayShow => self.gateway(),
            Scenario::LoginFlood => login(),
        }
    }

    /// Returns the number of tokens, from the first one on, that are set as effective and not effective.
    fn switched(&self) -> u64 {
        self.tokens / 2
    }

    fn any(&mut self) -> AccessTokenIdentifier {
        code(1 + self.rng.below(self.tokens))
    }

    fn show(&mut self, among: u64, fields: &[&str]) -> Call {
        let request = ShowAccessTokenRequest {
            access_token_identifier: Some(code(1 + self.rng.below(among))),
            fields_set: mask(fields),
        };
        encode_request("ShowAccessToken", &request)
    }

    fn list(&mut self) -> Call {
        let account = Account::Id(seed::account(self.owner()));
        let owner = Owner::AccountsReceivableIdentifier(AccountsReceivableIdentifier { identifier: Some(account) });
        encode_request("ListAccessTokens", &ListAccessTokensRequest { owner: Some(owner), ..Default::default() })
    }

    fn owner(&mut self) -> u64 {
        1 + self.rng.below(seed::owners(self.tokens))
    }

    fn create(&mut self) -> Call {
        let owner = self.owner();
        let (account, participant) = (seed::account(owner), seed::participant(owner));
        let request = CreateAccessTokenRequest {
            accounts_receivable_identifier: Some(AccountsReceivableIdentifier {
                identifier: Some(Account::Id(account)),
            }),
            rewards_participant_identifier: Some(RewardsParticipantIdentifier {
                identifier: Some(Participant::Id(participant)),
            }),
            classification_identifier: Some(ClassificationIdentifier {
                identifier: Some(Classification::Id(seed::CLASSIFICATION.to_owned())),
            }),
            card_masked_number: Some("411111******1111".to_owned()),
            udf_string_1: Some("user defined text number 1 of eight".to_owned()),
            udf_float_1: Some(1.25),
            ..Default::default()
        };
        encode_request("CreateAccessToken", &request)
    }

    fn update(&mut self) -> Call {
        let request = UpdateAccessTokenRequest {
            access_token_identifier: Some(self.any()),
            udf_string_2: Some(format!("changed to {}", self.rng.below(1_000_000))),
            ..Default::default()
        };
        encode_request("UpdateAccessToken", &request)
    }

    fn transition(&mut self) -> Call {
        if let Some(token) = self.off.take() {
            let access_token_identifier = Some(code(token));
            return encode_request(
                "SetAsEffective",
                &SetAsEffectiveRequest { access_token_identifier, ..Default::default() },
            );
        }
        let mine = self.rng.below(self.switched() / self.workers) * self.workers + self.worker + 1;
        self.off = Some(mine);
        let access_token_identifier = Some(code(mine));
        encode_request("SetAsNotEffective", &SetAsNotEffectiveRequest { access_token_identifier, ..Default::default() })
    }

    fn pass_code(&mut self) -> Call {
        let identifier = seed::identifier(1 + self.rng.below(self.tokens));
        let credential = Credential { identifier, ..Default::default() };
        let request = CheckPassCodeRequest {
            access_token_identifier: Some(AccessTokenIdentifier {
                identifier: Some(Identifier::Credential(credential)),
            }),
            pass_code: Some(seed::PASS_CODE.to_owned()),
            fields_set: mask(&["id"]),
        };
        encode_request("CheckPassCode", &request)
    }

    fn gateway(&mut self) -> Call {
        let code = seed::FIRST_CODE + 1 + self.rng.below(self.tokens);
        let request =
            json!({"token": self.session, "access_token_identifier": {"authentication_code": code.to_string()}});
        let path = Cow::Borrowed("/crmapi/rest/v2/access_tokens/show");
        Call { path, body: request.to_string().into() }
    }
}

impl crate::load::Script for Script {
    fn next(&mut self) -> Call {
        self.next_call()
    }

    fn last(&mut self) -> Option<Call> {
        self.off.is_some().then(|| self.transition())
    }
}

fn login() -> Call {
    let request = LoginRequest {
        username: seed::USER.to_owned(),
        password: seed::PASSWORD.to_owned(),
        organisation: seed::ORGANISATION.to_owned(),
        unit: None,
    };
    let path = Cow::Borrowed("/accesstoken.v1.AuthenticationService/Login");
    Call { path, body: request.encode_to_vec().into() }
}

fn code(n: u64) -> AccessTokenIdentifier {
    let code = (seed::FIRST_CODE + n).to_string();
    AccessTokenIdentifier { identifier: Some(Identifier::AuthenticationCode(code)) }
}

fn mask(fields: &[&str]) -> Option<FieldMask> {
    let paths: Vec<_> = fields.iter().map(ToString::to_string).collect();
    (!paths.is_empty()).then_some(FieldMask { paths })
}

fn encode_request(method: &'static str, message: &impl Message) -> Call {
    let path = Cow::Owned(format!("/accesstoken.v1.AccessTokenService/{method}"));
    Call { path, body: message.encode_to_vec().into() }
}
