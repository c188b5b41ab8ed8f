//! The end-to-end bench: this crate's release binary beside its peers and beside a plain relay, on the
//! loopback, under a load generator that verifies every byte. `--help` has the options; `compare/` is the bench.

use std::env;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    compare::main(Path::new(env!("CARGO_BIN_EXE_websockify")), env::args_os().skip(1))
}
