//! The whole system: real servers over real sockets, on SQLite and on PostgreSQL.

mod cancelled_calls;
mod commands;
mod compare;
mod create;
mod documented_examples;
mod errors;
mod examples;
mod gateway_agrees;
mod gateway_answers;
mod gateway_examples;
mod gateway_requests;
mod gateway_sessions;
mod import;
mod listing;
mod organisations;
mod permissions;
mod processes;
mod races;
mod reset_and_otp;
mod transitions;
mod update;

/// Runs each test on both databases, each time with a database of its own.
macro_rules! on_both_databases {
    ($($(#[$meta:meta])* async fn $name:ident($app:ident) $body:block)+) => {
        $($(#[$meta])* async fn $name($app: ::access_tokens_testkit::app::TestApp) $body)+

        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(::access_tokens_testkit::app::TestApp::sqlite().await).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(::access_tokens_testkit::app::TestApp::postgres().await).await;
                }
            )+
        }
    };
}
pub(crate) use on_both_databases;
