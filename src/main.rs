//! The binary: parse, load, run, exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sluicegate::cli::{demo, run};
use sluicegate::config::{self, Inputs, Surroundings};
use sluicegate::model::Exit;

/// Serves Rust and, unprefixed, librdkafka's C as well.
#[global_allocator]
static ALLOCATOR: jemallocator::Jemalloc = jemallocator::Jemalloc;

#[derive(clap::Parser)]
#[command(name = "sluicegate", version)]
struct Cli {
    #[arg(short, long = "config", value_name = "PATH", global = true, default_value = "sluicegate.yaml")]
    config: Vec<PathBuf>,
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    sets: Vec<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Run(run::RunArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let exit = match cli.command {
        Command::Demo(args) => demo::run(&args, demo::real::machinery(), &mut std::io::stdout()),
        Command::Run(args) => {
            let inputs = Inputs { paths: cli.config, sets: cli.sets };
            let environment = |name: &str| std::env::var(name).ok();
            let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            match config::load(&inputs, Surroundings { environment: &environment, tls: cfg!(feature = "tls"), cores }) {
                Ok(loaded) => {
                    let settings = config::show::json(&loaded);
                    run::run(&args, loaded.plan, settings)
                }
                Err(findings) => {
                    eprintln!("{findings}");
                    Exit::Config
                }
            }
        }
    };
    ExitCode::from(exit.code())
}
