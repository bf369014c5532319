//! The binary. What it does is in the library: `command` for the command line, `process` for serving.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    access_tokens_server::main()
}
