//! The binary. The library has its code: `command` for the command line, `process` for serving.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    access_tokens_server::main()
}
