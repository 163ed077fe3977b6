//! The `mcptap` command.

mod demo;
mod wrap {
    mod edit;
    pub(crate) mod install;
    mod jsonc;
}

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Parser, Subcommand};
use mcptap::{Config, Server, Settings};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The traffic log for MCP servers: OpenTelemetry in, one record per MCP request, GraphQL out.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The settings file [default: mcptap.toml, if it is there]
    #[arg(long, global = true, env = "MCPTAP_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receive OTLP and serve the traffic log
    Serve(Settings),
    /// Serve, with a sample MCP server and clients that keep calling it
    Demo(Settings),
    /// Print the GraphQL schema
    Schema,
    /// Bring the database's tables up to date
    Migrate(Settings),
    /// Delete old calls for good and give the space back
    Prune {
        /// How old a call must be, such as 90d [default: the retention setting]
        #[arg(long, value_name = "AGE")]
        older_than: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Show what redaction leaves of a text
    Redact {
        /// A file to try it on, - for standard input
        #[arg(long, value_name = "FILE")]
        test: PathBuf,
        #[command(flatten)]
        settings: Settings,
    },
    /// Record a stdio server, by way of a client's configuration
    Wrap {
        /// Let the client start the server through mcptap: Claude Desktop, Cursor, VS Code
        #[arg(
            long,
            value_name = "CONFIG",
            requires = "server",
            required_unless_present = "uninstall"
        )]
        install: Option<PathBuf>,
        /// Let the client start the server by itself again
        #[arg(long, value_name = "CONFIG", requires = "server", conflicts_with = "install")]
        uninstall: Option<PathBuf>,
        /// The server's name in that configuration
        #[arg(long, value_name = "NAME")]
        server: Option<String>,
        /// Only show what would be changed
        #[arg(long)]
        dry_run: bool,
    },
    /// Look at the settings
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the settings that hold, as TOML, with secrets masked
    Print(Settings),
    /// Check the settings and say what is wrong
    Check(Settings),
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting")?;
    runtime.block_on(run(cli))
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let file = Settings::from_file(cli.config.as_deref())?;
    match cli.command {
        Command::Serve(flags) => serve(&start_logging(flags.over(file).resolve()?)?).await,
        Command::Demo(flags) => {
            let demo = Settings {
                database_url: Some("sqlite://mcptap-demo.db?mode=rwc".to_owned()),
                ..Settings::default()
            };
            show(&start_logging(flags.over(file).over(demo).resolve()?)?).await
        }
        Command::Schema => {
            print(&mcptap_graphql::sdl());
            Ok(())
        }
        Command::Migrate(flags) => {
            let config = start_logging(flags.over(file).resolve()?)?;
            open(&config).await?.close().await;
            print("the tables are up to date\n");
            Ok(())
        }
        Command::Prune { older_than, settings } => {
            let config = start_logging(settings.over(file).resolve()?)?;
            let age = match older_than {
                Some(text) => mcptap::age("--older-than", &text)?,
                None => config.retention,
            };
            let age = age.context("retention is off; say how old a call must be with --older-than 90d")?;
            let store = open(&config).await?;
            let pruned = store.prune(age).await?;
            store.close().await;
            print(&format!(
                "deleted {} calls and {} log lines\n",
                pruned.calls, pruned.log_lines
            ));
            Ok(())
        }
        Command::Redact { test, settings } => {
            let redaction = settings.over(file).resolve()?.redactor.explain(&read(&test)?);
            print(&redaction.text);
            for (rule, places) in redaction.cuts {
                eprintln!("{places} × {rule}");
            }
            Ok(())
        }
        Command::Wrap {
            install,
            uninstall,
            server,
            dry_run,
        } => {
            let server = server.context("say which server is meant with --server NAME")?;
            let told = match (install, uninstall) {
                (Some(config), _) => {
                    let exe = std::env::current_exe().context("finding the path of mcptap")?;
                    wrap::install::install(&config, &server, &exe, dry_run)?
                }
                (None, Some(config)) => wrap::install::uninstall(&config, &server, dry_run)?,
                (None, None) => anyhow::bail!("say which configuration to change with --install CONFIG"),
            };
            print(&told);
            Ok(())
        }
        Command::Config {
            command: ConfigCommand::Print(flags),
        } => {
            let settings = flags.over(file).over(Settings::defaults());
            settings.clone().resolve()?;
            print(&settings.print()?);
            Ok(())
        }
        Command::Config {
            command: ConfigCommand::Check(flags),
        } => {
            flags.over(file).resolve()?;
            print("the settings are good\n");
            Ok(())
        }
    }
}

/// A text of UTF-8 from a file, or from standard input.
fn read(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        return std::io::read_to_string(std::io::stdin()).context("reading standard input");
    }
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// The store alone, without its own retention at work.
async fn open(config: &Config) -> anyhow::Result<mcptap_store::Store> {
    let options = mcptap_store::Options {
        retention: None,
        ..mcptap_store::Options::default()
    };
    let (_, store) = mcptap_store::open(&config.database_url, options)
        .await
        .context("opening the database")?;
    Ok(store)
}

fn start_logging(config: Config) -> anyhow::Result<Config> {
    let filter = EnvFilter::try_new(&config.log)
        .with_context(|| format!("log is {:?}; give a level such as info, or a filter", config.log))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    Ok(config)
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let server = Server::start(config).await?;
    announce(&server);
    until_stopped(server).await
}

async fn show(config: &Config) -> anyhow::Result<()> {
    let server = Server::start(config).await?;
    announce(&server);
    eprintln!(
        "\n  A sample MCP server is running and being called. Look at\n\n    http://{0}/           the calls, live\n    \
         http://{0}/graphql    GraphiQL, with examples to run\n\n  Ctrl-C stops it.\n",
        server.listen
    );
    let stop = CancellationToken::new();
    let demo = tokio::spawn({
        let (stop, endpoint) = (stop.clone(), format!("http://{}", server.otlp_http));
        async move { demo::run(&endpoint, stop).await }
    });
    let ended = wait_for_stop(server).await;
    stop.cancel();
    let shown = demo.await.context("the demo broke")?;
    let server = ended?;
    server.stop().await?;
    shown
}

fn announce(server: &Server) {
    tracing::info!("traffic log on http://{}", server.listen);
    tracing::info!("receiving OTLP/gRPC on http://{}", server.otlp_grpc);
    tracing::info!("receiving OTLP/HTTP on http://{}", server.otlp_http);
}

async fn until_stopped(server: Server) -> anyhow::Result<()> {
    wait_for_stop(server).await?.stop().await
}

/// Waits for ctrl-c or SIGTERM. A listener that fails is an error.
async fn wait_for_stop(mut server: Server) -> anyhow::Result<Server> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("waiting for SIGTERM")?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.context("waiting for ctrl-c")?,
        _ = terminate.recv() => {}
        error = server.failed() => return Err(error),
    }
    tracing::info!("stopping");
    Ok(server)
}

#[expect(
    clippy::print_stdout,
    reason = "the answer of a command goes to standard output"
)]
fn print(text: &str) {
    print!("{text}");
}
