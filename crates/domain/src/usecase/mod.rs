//! Use cases, one per file. Each takes the caller first, checks permission before existence, and begins and commits its
//! own transaction.

mod access_tokens;
pub mod administration;
mod change_pass_code;
mod check_pass_code;
mod classifications;
mod codes;
mod create;
mod explain;
mod find;
mod forgot_pass_code;
mod guess_budgets;
pub mod import;
pub mod keyed_mutex;
mod list;
mod not_associated;
mod numbers;
mod otp;
pub mod reencrypt;
mod reset;
mod show;
mod transition;
mod udf;
mod unlock;
mod update;
mod verifier;
mod verify;
mod verify_otp;

pub use access_tokens::{AccessTokens, Answer};
pub use change_pass_code::ChangePassCode;
pub use check_pass_code::Presented;
pub use create::CreateToken;
pub use explain::{Action, Explanation, Obstacle, ObstacleKind, SecretReport, Use};
pub use guess_budgets::PolicyBudget;
pub use list::{ListTokens, MAX_RESULTS, TokenList};
pub use not_associated::NotAssociated;
pub use otp::IssuedOneTimePassword;
pub use reset::{IssuedPassCode, IssuedVerificationCode};
pub use update::UpdateToken;
pub use verify::VerifyToken;
