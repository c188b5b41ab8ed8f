//! The program: reads the command line, and runs the server or prints what was asked for.

use std::io::Write;
use std::process::ExitCode;

use websockify::cli::{self, Environment, Outcome};
use websockify::server;

fn main() -> ExitCode {
    if cli::asks_for_inetd(std::env::args_os().skip(1)) && server::spare_outputs().is_err() {
        // What would be said might go to a client.
        return ExitCode::FAILURE;
    }
    match cli::parse(std::env::args_os().skip(1), &Environment::of_process()) {
        Outcome::Run(config) => server::run(&config),
        Outcome::Rebind(rebind) => server::rebind(&rebind),
        Outcome::Print(text) => {
            // Whoever closed stdout does not want to read it.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Outcome::Usage(text) => {
            let _ = std::io::stderr().write_all(text.as_bytes());
            ExitCode::from(2)
        }
        Outcome::Missing(text) => {
            let _ = std::io::stderr().write_all(text.as_bytes());
            ExitCode::FAILURE
        }
    }
}
