//! The program: reads the command line, and runs the server or prints what was asked for.

use std::io::Write;
use std::process::ExitCode;

use websockify::cli::{self, Environment, Outcome};
use websockify::server;

fn main() -> ExitCode {
    server::prepare_for_faults();
    if cli::asks_for_inetd(std::env::args_os().skip(1)) && server::spare_outputs().is_err() {
        // A message might go to a client.
        return ExitCode::FAILURE;
    }
    match cli::parse(std::env::args_os().skip(1), &Environment::of_process()) {
        Outcome::Run(config) => server::run(&config),
        Outcome::Rebind(rebind) => server::rebind(&rebind),
        Outcome::Print(text) => {
            let mut stdout = std::io::stdout();
            match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    // A closed standard output is not an error for people, but a script must see it.
                    let _ = std::io::stderr().write_all(cli::output_error(&error).as_bytes());
                    ExitCode::FAILURE
                }
            }
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
