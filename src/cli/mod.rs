//! The command line: one file a command. Data goes to stdout, everything else to stderr.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::plan::{PipelinePlan, Plan};
use crate::config::{Inputs, Loaded, Surroundings};
use crate::model::Exit;

pub mod bench;
mod builtin;
pub mod check;
pub mod complete;
pub mod config;
pub mod connect;
pub mod demo;
pub mod failure;
mod figures;
pub mod init;
pub mod logging;
mod openings;
pub mod output;
mod progress;
pub mod property;
pub mod report;
pub mod run;
pub mod test;
pub mod try_out;
pub mod version;

pub use failure::Failure;

/// Read when no `-c` is given.
const DEFAULT_CONFIG: &str = "sluicegate.yaml";

/// Batch-oriented ingestion engine: Kafka to Kafka and Kafka to Elasticsearch, nothing lost.
#[derive(Debug, Parser)]
#[command(name = "sluicegate", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 unexpected failure or a failed test, 2 wrong command line, 65 stopped by rejects, 69 a server \
                        stayed unreachable at start, 75 work left uncommitted, 76 a server is set up wrong, 77 credentials \
                        refused, 78 configuration invalid."
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Configuration: a file (.yaml .yml .toml .json), a directory of them, or - for YAML on standard input; may be
    /// given several times [default: sluicegate.yaml]
    #[arg(short, long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub config: Vec<PathBuf>,
    /// Sets one value, typed as YAML, after all files: --set limits.memory=512MiB; may be given several times
    #[arg(long, global = true, value_name = "PATH=VALUE", help_heading = "Global options")]
    pub set: Vec<String>,
    /// Form of log lines [default: text on a terminal, else json]
    #[arg(long, global = true, value_enum, help_heading = "Global options")]
    pub log_format: Option<LogFormat>,
    /// error, warn, info, debug or trace; or by component, as in info,sluicegate::sink=debug [default: info; demo:
    /// warn]
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Global options")]
    pub log_level: Option<String>,
    /// When to colour; NO_COLOR turns `auto` off
    #[arg(long, global = true, value_enum, default_value_t = ColorWhen::Auto, help_heading = "Global options")]
    pub color: ColorWhen,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Form of printed data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum DataFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What to do. A command is declared here when it works.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs all or the named pipelines until a signal
    Run(run::RunArgs),
    /// Runs both pipelines of a typical set-up in this process, without any server, and checks every record
    Demo(demo::DemoArgs),
    /// Drives a pipeline at a set rate or at full speed, against servers in this process or its own, and measures
    Bench(bench::BenchArgs),
    /// Renders run files; two are compared percentile by percentile
    Report(report::ReportArgs),
    /// Checks the configuration; reaches no server unless asked to
    Check(check::CheckArgs),
    /// Runs the offline tests of the configuration; reaches no server
    Test(test::TestArgs),
    /// Puts lines of stdin through a pipeline and prints what comes out
    Try(try_out::TryArgs),
    /// Writes a commented configuration to start from
    Init(init::InitArgs),
    /// Shows the effective configuration, its schema or its reference
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Prints completions for a shell
    Completions(complete::CompletionsArgs),
    /// Prints the manual page
    Man(complete::ManArgs),
    /// Prints the version; --verbose adds what it is built from
    Version(version::VersionArgs),
}

/// Is the program: parses a command line, its first word the program's name, runs it, and says what went wrong on
/// stderr.
pub fn run_line<W: Into<OsString> + Clone>(line: impl IntoIterator<Item = W>) -> ExitCode {
    let cli = match Cli::try_parse_from(line) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout; a reader that is gone changes nothing.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::Usage.code() } else { Exit::Done.code() });
        }
    };
    let exit = dispatch(&cli).unwrap_or_else(|failure| {
        if !matches!(failure, Failure::Closed) {
            let _ = writeln!(std::io::stderr(), "{failure}");
        }
        failure.exit()
    });
    ExitCode::from(exit.code())
}

/// Runs a command.
///
/// # Errors
/// What went wrong, with the exit code it asks for.
pub fn dispatch(cli: &Cli) -> Result<Exit, Failure> {
    let global = &cli.global;
    match &cli.command {
        Command::Run(args) => run::run(global, args),
        Command::Demo(args) => {
            logging::init(global, logging::DEMO)?;
            Ok(demo::run(args, &mut std::io::stdout()))
        }
        Command::Bench(args) => {
            logging::init(global, logging::DEMO)?;
            bench::run(global, args, &mut std::io::stdout())
        }
        Command::Report(args) => report::run(args, &mut std::io::stdout())
            .map(|()| Exit::Done)
            .map_err(|error| Failure::Other { exit: error.exit(), message: error.to_string() }),
        Command::Check(args) => check::run(global, args),
        Command::Test(args) => test::run(global, args),
        Command::Try(args) => try_out::run(global, args),
        Command::Init(args) => init::run(args),
        Command::Config(command) => config::run(global, command),
        Command::Completions(args) => complete::completions(args),
        Command::Man(args) => complete::man(args),
        Command::Version(args) => version::run(args),
    }
}

impl Global {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// All findings; exit code 78.
    pub fn load(&self) -> Result<Loaded, Failure> {
        crate::config::load(&self.inputs(), surroundings()).map_err(Failure::Config)
    }

    /// The same, and whether every client it needs can be made.
    ///
    /// # Errors
    /// All findings; exit code 78.
    pub fn load_to_run(&self) -> Result<Loaded, Failure> {
        let loaded = self.load()?;
        openings::try_all(&loaded).map_err(Failure::Config)?;
        Ok(loaded)
    }

    fn inputs(&self) -> Inputs {
        let paths = if self.config.is_empty() { vec![PathBuf::from(DEFAULT_CONFIG)] } else { self.config.clone() };
        Inputs { paths, sets: self.set.clone() }
    }
}

/// The pipeline of a name.
///
/// # Errors
/// That there is none, and which there are.
fn pipeline_named<'run>(plan: &'run Plan, name: &str) -> Result<&'run PipelinePlan, Failure> {
    plan.pipelines.iter().find(|pipeline| *pipeline.name == *name).ok_or_else(|| {
        let known: Vec<_> = plan.pipelines.iter().map(|pipeline| &*pipeline.name).collect();
        Failure::Usage(format!("there is no pipeline `{name}`; the configuration has: {}", known.join(", ")))
    })
}

/// What a configuration is checked against.
fn surroundings() -> Surroundings<'static> {
    Surroundings {
        environment: &environment,
        property: &property::accepted,
        tls: version::HAS_TLS,
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
