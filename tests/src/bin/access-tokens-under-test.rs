//! The production binary under another name, built together with the tests that start it.

fn main() -> std::process::ExitCode {
    access_tokens_server::main()
}
