//! `hearback`: arguments in, exit code out. The building itself is the library's; its map is in `lib.rs`.

use std::process::ExitCode;

/// Reports are made of many small strings, which several threads allocate and free.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hearback::cli::run(std::env::args_os())
}
