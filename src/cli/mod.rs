//! The front door for operators: one binary, its verbs, its exit codes.
//!
//! Some verbs are the service itself ([`serve`], `demo`), some work on its configuration and database beside it
//! (`config`, `migrate`, `key`), and the rest are clients that speak gRPC to a running server. Results go to standard
//! output, everything else to standard error, so that either can be piped.
//!
//! Exit codes are those of `sysexits.h` where it has one: 0 done, 1 failed, 2 not understood, 69 the server is not
//! there, 77 the key may not do that, 78 the configuration cannot work.

// Beside a server.
mod config;
mod eval;
mod health;
mod key;
mod migrate;
pub mod serve;
mod train;

// Clients of a server.
pub(crate) mod announcement;
pub(crate) mod bench;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod demo;
pub(crate) mod import;
pub(crate) mod release;
pub(crate) mod report;
pub(crate) mod suggestion;

pub(crate) mod output;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{Config, ConfigError, LoadOptions, Problem};
use crate::server::StartError;

use output::OutputFormat;

/// Every customer who reported it hears back when it is fixed for them.
#[derive(Debug, Parser)]
#[command(name = "hearback", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    /// A TOML file with settings; without it ./hearback.toml, if there is one.
    #[arg(long, global = true, env = "HEARBACK_CONFIG", value_name = "FILE", help_heading = "Everywhere")]
    config: Option<PathBuf>,
    /// One setting, stronger than file and environment; may be repeated. `hearback config print` shows all.
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE", help_heading = "Everywhere")]
    overrides: Vec<String>,
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM", help_heading = "Everywhere")]
    output: OutputFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole loop on a server of its own.
    Demo(demo::DemoArgs),
    /// Run the service.
    Serve,
    /// Show, check or describe the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Bring the database's schema up to date. `serve` does this too.
    Migrate,
    /// Make, list and revoke API keys, directly in the database; also beside a running server.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Ask a running server whether it is well.
    Health(health::Health),

    /// Submit and list reports.
    #[command(subcommand)]
    Report(report::ReportCommand),
    /// List and show clusters.
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// List and answer suggestions: where reports may belong, which clusters may be one problem, which may be several.
    #[command(subcommand)]
    Suggestion(suggestion::SuggestionCommand),
    /// Record releases.
    #[command(subcommand)]
    Release(release::ReleaseCommand),
    /// Preview, approve and list announcements.
    #[command(subcommand)]
    Announcement(announcement::AnnouncementCommand),

    /// Import reports from a file of JSON lines or CSV.
    Import(Box<import::ImportArgs>),
    /// Measure the service.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Measure the matching engine on reports whose truth is known.
    Eval(eval::EvalArgs),
    /// Learn the weights of the matching engine from reports whose truth is known.
    Train(train::TrainArgs),

    /// Write completions for a shell to standard output.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Write the manual page to standard output, or a page for each verb into a folder.
    Man {
        /// The folder.
        #[arg(value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

/// What holds for every verb.
pub(crate) struct Globals {
    /// How results are printed.
    pub(crate) output: OutputFormat,
    /// Whether to colour.
    pub(crate) colour: bool,
    /// Where settings are looked for, beside the environment.
    file: Option<PathBuf>,
    overrides: Vec<String>,
}

impl Globals {
    /// The settings in force, read but not yet checked.
    ///
    /// # Errors
    /// The first thing that cannot be read.
    pub(crate) fn load_config(&self) -> Result<Config, ConfigError> {
        Config::load(LoadOptions::from_process(self.file.clone(), self.overrides.clone()))
    }

    /// The settings in force, checked.
    ///
    /// # Errors
    /// The first thing that cannot be read, or everything that cannot work.
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        let config = self.load_config()?;
        config.check().map_err(Unworkable)?;
        Ok(config)
    }
}

/// Settings that can be read but cannot work.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot work:\n  {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))]
pub(crate) struct Unworkable(pub(crate) Vec<Problem>);

/// Runs the program. `arguments` begin with its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Before any TLS: with the provider chosen here, no library has to guess.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; anything else is not understood.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let globals = Globals {
        output: cli.output,
        colour: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        file: cli.config,
        overrides: cli.overrides,
    };
    match execute(cli.command, &globals) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let boxed: &(dyn std::error::Error + 'static) = error.as_ref();
            eprintln!("error: {}", crate::telemetry::chain(boxed));
            ExitCode::from(exit_code(&error))
        }
    }
}

fn execute(command: Command, globals: &Globals) -> anyhow::Result<()> {
    match command {
        Command::Config(command) => return config::run(&command, globals),
        Command::Eval(args) => return eval::run(&args, globals),
        Command::Train(args) => return train::run(&args, globals),
        Command::Completions { shell } => {
            let mut script = Vec::new(); // Written by ourselves: the generator panics where nobody reads on.
            clap_complete::generate(shell, &mut Cli::command(), "hearback", &mut script);
            return Ok(io::stdout().lock().write_all(&script)?);
        }
        Command::Man { folder: Some(folder) } => {
            let written =
                std::fs::create_dir_all(&folder).and_then(|()| clap_mangen::generate_to(Cli::command(), &folder));
            return written.with_context(|| format!("the pages cannot be written to {}", folder.display()));
        }
        Command::Man { folder: None } => return Ok(clap_mangen::Man::new(Cli::command()).render(&mut io::stdout())?),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        match command {
            Command::Demo(args) => demo::run(args, globals).await,
            Command::Serve => serve::run(globals).await,
            Command::Migrate => migrate::run(globals).await,
            Command::Key(command) => key::run(command, globals).await,
            Command::Health(health) => health.run(globals).await,
            Command::Report(command) => report::run(command, globals).await,
            Command::Cluster(command) => cluster::run(command, globals).await,
            Command::Suggestion(command) => suggestion::run(command, globals).await,
            Command::Release(command) => release::run(command, globals).await,
            Command::Announcement(command) => announcement::run(command, globals).await,
            Command::Import(args) => import::run(*args, globals).await,
            Command::Bench(command) => bench::run(command, globals).await,
            // Done above.
            Command::Config(_)
            | Command::Eval(_)
            | Command::Train(_)
            | Command::Completions { .. }
            | Command::Man { .. } => Ok(()),
        }
    });
    // Whatever still runs was left on purpose, by a second signal.
    runtime.shutdown_background();
    result
}

fn exit_code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<ConfigError>() || cause.is::<Unworkable>() {
            return 78;
        }
        if let Some(StartError::Config(_) | StartError::Channel(_) | StartError::Tls(_)) = cause.downcast_ref() {
            return 78;
        }
        if cause.is::<health::NotServing>() {
            return 69;
        }
    }
    client::exit_code(error)
}

/// The reader of our results has seen enough, as `head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn each_failure_has_the_exit_code_that_scripts_expect() {
        let globals = |overrides: &[&str]| Globals {
            output: OutputFormat::Table,
            colour: false,
            file: None,
            overrides: overrides.iter().map(|text| (*text).to_owned()).collect(),
        };
        let code = |overrides: &[&str]| exit_code(&globals(overrides).config().expect_err("cannot work"));
        assert_eq!(code(&["grpc.lisen=127.0.0.1:1"]), 78, "a typo");
        assert_eq!(code(&["delivery.batch=0"]), 78, "no value for this");
        assert_eq!(exit_code(&anyhow::Error::new(health::NotServing("down".to_owned()))), 69);
        assert_eq!(exit_code(&anyhow::anyhow!("anything else")), 1);
        assert_eq!(run(["hearback", "serv"].map(OsString::from)), ExitCode::from(2));
        assert_eq!(run(["hearback", "--version"].map(OsString::from)), ExitCode::SUCCESS);
    }
}
