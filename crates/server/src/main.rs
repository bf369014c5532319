//! The binary. What it does is in the library: `command` for the command line, `process` for serving.

fn main() -> std::process::ExitCode {
    access_tokens_server::main()
}
