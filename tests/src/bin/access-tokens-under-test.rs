//! The production binary under another name, built together with the tests that start it.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    access_tokens_server::main()
}
