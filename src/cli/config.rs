//! `hearback config`: the settings in force, whether they can work, and which there are.

use std::io::{self, Write};

use serde_json::json;

use super::output::{OutputFormat, print_json, print_line};
use super::{Globals, Unworkable};
use crate::config::Config;

/// What to do with the configuration.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the settings in force as TOML, without secrets.
    Print,
    /// Tell everything that would not work or not be safe.
    Check,
    /// Print what may stand in a configuration file, as a JSON Schema.
    Schema,
}

pub(super) fn run(command: &ConfigCommand, globals: &Globals) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Print => Ok(write!(io::stdout().lock(), "{}", globals.load_config()?.print_redacted())?),
        ConfigCommand::Check => check(globals),
        ConfigCommand::Schema => Ok(print_line(&format!("{:#}", Config::schema()))?),
    }
}

fn check(globals: &Globals) -> anyhow::Result<()> {
    let problems = globals.load_config()?.check().err().unwrap_or_default();
    if globals.output == OutputFormat::Json {
        let list: Vec<_> =
            problems.iter().map(|problem| json!({ "key": problem.key, "message": problem.message })).collect();
        print_json(&json!({ "problems": list }))?;
    } else if problems.is_empty() {
        print_line("The configuration is fine.")?;
    }
    if problems.is_empty() { Ok(()) } else { Err(Unworkable(problems).into()) }
}
