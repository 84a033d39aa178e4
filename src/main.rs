//! The `treenail` program.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use treenail::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            // Nothing is left to be done if stderr is closed too.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}
