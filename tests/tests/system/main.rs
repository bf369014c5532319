//! Tests of the whole system: real servers over real sockets, on SQLite and on PostgreSQL.

mod account_sessions;
mod api_keys;
mod asvs;
mod backup;
mod brute_force;
mod canaries;
mod cancelled_calls;
mod citations;
mod codes;
mod commands;
mod compare;
mod create;
mod credentials;
mod current_session;
mod dates;
mod demo;
mod doctor;
mod doctor_cures;
mod documented_examples;
mod equal_work;
mod errors;
mod examples;
mod exhausted;
mod failover;
mod fleet;
mod foreign_hashes;
mod gateway_agrees;
mod gateway_answers;
mod gateway_examples;
mod gateway_process;
mod gateway_requests;
mod gateway_sessions;
mod gateway_upstream;
mod grants;
mod grpc_port;
mod identity_of_names;
mod import;
mod import_formats;
mod import_identity;
mod import_race;
mod import_refusals;
mod import_stream;
mod key_retirement;
mod key_ring;
mod last_admin;
mod life_cycle_model;
mod listing;
mod lock_model;
mod locks;
mod metrics;
mod one_file;
mod organisations;
mod permissions;
mod pgbouncer;
mod plain_lock;
mod previous;
mod processes;
mod races;
mod replicas;
mod reset_and_otp;
mod rights;
mod rolling;
mod session_claims;
mod shells;
mod single_use;
mod spellings;
mod telemetry;
mod tls;
mod transitions;
mod unwritable;
mod update;
mod user_logins;

/// Runs each test on both databases, each time with a database of its own.
macro_rules! on_both_databases {
    ($($(#[$meta:meta])* async fn $name:ident($app:ident) $body:block)+) => {
        $($(#[$meta])* async fn $name($app: ::access_tokens_testapp::TestApp) $body)+

        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(::access_tokens_testapp::TestApp::sqlite().await).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(::access_tokens_testapp::TestApp::postgres().await).await;
                }
            )+
        }
    };
}
pub(crate) use on_both_databases;
