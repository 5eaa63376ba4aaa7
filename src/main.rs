//! `hearback`: arguments in, exit code out. The building itself is the library's; its map is in `lib.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hearback::cli::run(std::env::args_os())
}
