//! The `mcptap` command.

mod demo;
mod help;
mod hidden;
mod hints;
mod keys;
mod wrap;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use mcptap::proxy::{Proxy, ProxyConfig, ProxySettings};
use mcptap::{Captured, Config, Examined, Server, Settings, SettingsFile, tell};
use tokio_util::sync::CancellationToken;

use hidden::Given;

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
    #[command(mut_arg("database_url", |argument| argument.help(format!(
        "The database: sqlite://FILE?mode=rwc or postgres://USER@HOST/NAME [default: {}]", demo::DATABASE
    ))))]
    Demo(Settings),
    /// Run an MCP server that speaks over its standard input and output, and record its traffic
    Wrap(wrap::Wrap),
    /// Stand in front of an MCP server that speaks HTTP, in any language, pass everything on and record it
    Proxy {
        #[command(flatten)]
        settings: ProxySettings,
        /// What is logged: error, warn, info, debug, or a filter such as mcptap=debug [default: info,h2=error,rmcp=off,sea_orm_migration=warn]
        #[arg(long, env = "MCPTAP_LOG", value_name = "FILTER")]
        log: Option<String>,
    },
    /// Print the GraphQL schema
    Schema,
    /// Bring the database's tables up to date
    #[command(mut_args(help::only(help::OF_THE_DATABASE)))]
    Migrate(Settings),
    /// Delete old calls for good and give the space back
    #[command(mut_args(help::only(&["database_url", "retention", "log"])))]
    Prune {
        /// How old a call must be, such as 90d [default: the retention setting]
        #[arg(long, value_name = "AGE")]
        older_than: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// API keys: make, list and revoke them
    Keys {
        #[command(subcommand)]
        command: keys::Keys,
    },
    /// Show what redaction leaves of a text
    #[command(mut_args(help::only(&["redact_keys", "redact_patterns", "redact_env"])))]
    Redact {
        /// A file to try it on, - for standard input
        #[arg(long, value_name = "FILE")]
        test: PathBuf,
        #[command(flatten)]
        settings: Settings,
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

fn main() -> ExitCode {
    let code = match start() {
        Ok(code) => code,
        Err(error) => {
            // A value in the wrong place may be a database's URL, or a key.
            let given: Vec<OsString> = std::env::args_os().collect();
            // After what led to it.
            mcptap::end_log();
            tell(format_args!(
                "mcptap: {}",
                Given::new(&given).hide(&mcptap::chain(&error))
            ));
            // Nobody finds a wrong setting by the lines of our code.
            if tracing::enabled!(tracing::Level::DEBUG) {
                tell(error.backtrace());
            }
            ExitCode::FAILURE
        }
    };
    mcptap::end_log();
    code
}

fn start() -> anyhow::Result<ExitCode> {
    let given: Vec<OsString> = std::env::args_os().collect();
    let cli: Cli = match hints::parse(&given) {
        Ok(cli) => cli,
        Err(error) => return Ok(told(&error, &given)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting")?;
    let done = runtime.block_on(run(cli));
    // A thread that waits for a disk or a database that does not answer is not waited for.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    done
}

/// Prints what the command line's library has to say, help or an error, and ends as it would.
fn told(error: &clap::Error, given: &[OsString]) -> ExitCode {
    let coloured = is_coloured(if error.use_stderr() {
        std::io::stderr().is_terminal()
    } else {
        std::io::stdout().is_terminal()
    });
    let text = error.render();
    let text = if coloured {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    let text = Given::new(given).hide(&text);
    if error.use_stderr() {
        tell(text.trim_end_matches('\n'));
    } else if let Err(error) = print(&text) {
        tell(format_args!("mcptap: {error:#}"));
        return ExitCode::FAILURE;
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    outlive_limits()?;
    let file = SettingsFile::read(cli.config.as_deref());
    match cli.command {
        Command::Serve(flags) => {
            serve(&examined(flags, file).await?).await?;
        }
        Command::Demo(flags) => {
            let flags = flags.over(file.settings().clone()).over(demo::settings());
            show(&examined(flags, file).await?).await?;
        }
        Command::Wrap(wrap) => {
            let file = file.whole()?;
            if wrap.configures() {
                Captured::of_file(&file)?;
                print(&wrap.configure(cli.config.as_deref())?)?;
                return Ok(ExitCode::SUCCESS);
            }
            let captured = Captured::examine(&file, &variables())?;
            log_to_stderr_as(Some("mcptap wrap"), "warn")?;
            captured.warn();
            // Threads that block carry bytes with the least delay; nothing else runs here.
            return wrap::run(&wrap, &captured);
        }
        Command::Proxy { settings, log } => {
            let file = file.whole()?;
            let captured = Captured::examine(&file, &variables())?;
            let config = settings.over(file.proxy.unwrap_or_default()).resolve()?;
            let log = log.or(file.log).or(Settings::defaults().log).unwrap_or_default();
            log_to_stderr_as(Some("mcptap proxy"), &log)?;
            captured.warn();
            forward(&config, &captured).await?;
        }
        Command::Schema => {
            print(&mcptap_graphql::sdl())?;
        }
        Command::Migrate(flags) => {
            let config = start_logging(flags.over(file.whole()?).resolve()?)?;
            mcptap_store::migrate(&config.database_url)
                .await
                .with_context(|| opening(&config.database_url))?;
            print("the tables are up to date\n")?;
        }
        Command::Prune { older_than, settings } => {
            let config = start_logging(settings.over(file.whole()?).resolve()?)?;
            let age = match older_than {
                Some(text) => mcptap::age("--older-than", &text, "90d")?,
                None => config
                    .retention
                    .context("retention is off; say how old a call must be with --older-than 90d")?,
            };
            let store = mcptap_store::open_to_change(&config.database_url)
                .await
                .with_context(|| opening(&config.database_url))?;
            let pruned = store.prune(age).await?;
            store.close().await;
            print(&format!(
                "deleted {} calls and {} log lines\n",
                pruned.calls, pruned.log_lines
            ))?;
        }
        Command::Keys { command } => {
            let settings = command.settings().clone().over(file.whole()?);
            // A secret is easily overlooked in a log.
            log_to_stderr(settings.log.as_deref().unwrap_or("warn"))?;
            let config = settings.resolve()?;
            print(&command.run(&config.database_url).await?)?;
        }
        Command::Redact { test, settings } => {
            let redaction = settings
                .over(file.whole()?)
                .resolve()?
                .redactor
                .explain(&read(&test)?);
            print(&redaction.text)?;
            for (rule, places) in redaction.cuts {
                tell(format_args!("{places} × {rule}"));
            }
        }
        Command::Config {
            command: ConfigCommand::Print(flags),
        } => {
            let settings = flags.over(file.whole()?).over(Settings::defaults());
            settings.clone().resolve()?;
            print(&settings.print()?)?;
        }
        Command::Config {
            command: ConfigCommand::Check(flags),
        } => {
            examine(flags, file).await.good()?;
            print("the settings are good\n")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How much redaction is tried on, in bytes: as much as an export may have.
const MOST_TRIED: u64 = 16 << 20;

/// A text of UTF-8 from a file, or from standard input.
fn read(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        return mcptap::read_text_from(std::io::stdin(), MOST_TRIED).context("reading standard input");
    }
    mcptap::read_text(path, MOST_TRIED).with_context(|| format!("reading {}", path.display()))
}

/// The step that failed, for an error of opening.
fn opening(url: &str) -> String {
    format!("opening the database {}", mcptap_store::shown_url(url))
}

async fn examine(flags: Settings, file: SettingsFile) -> Examined {
    Examined::new(flags, file, &variables()).await
}

/// The variables that the command line reads from the environment.
fn variables() -> BTreeSet<String> {
    mcptap::variables_of(&Cli::command())
}

/// The settings of a server, with the log started. What has no effect stops nothing, but somebody meant it.
async fn examined(flags: Settings, file: SettingsFile) -> anyhow::Result<Config> {
    let (config, ignored) = examine(flags, file).await.usable()?;
    log_to_stderr(&config.log)?;
    for problem in ignored {
        tracing::warn!("{problem}");
    }
    Ok(config)
}

fn start_logging(config: Config) -> anyhow::Result<Config> {
    log_to_stderr(&config.log)?;
    Ok(config)
}

fn log_to_stderr(filter: &str) -> anyhow::Result<()> {
    log_to_stderr_as(None, filter)
}

/// The log of a command that stands between a client and a server begins each line with its name: they share the stream.
fn log_to_stderr_as(command: Option<&'static str>, filter: &str) -> anyhow::Result<()> {
    let filter = mcptap::log_filter(filter)?;
    mcptap::start_log(command, filter, is_coloured(std::io::stderr().is_terminal()));
    Ok(())
}

/// Whether a stream is written in colours. A file is read as it is; and whoever sets `NO_COLOR` to anything wants none
/// (no-color.org).
fn is_coloured(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

async fn forward(config: &ProxyConfig, captured: &Captured) -> anyhow::Result<()> {
    // Before anyone can learn the address: from here on a signal stops it in order.
    let stopped = signal()?;
    let proxy = Proxy::start(config, captured).await?;
    let path = config.upstream.path();
    tracing::info!("proxy on http://{}", proxy.listen);
    tracing::info!(
        "clients use http://{}{path} in place of {}{path}",
        proxy.listen,
        config.upstream
    );
    if let Some(collector) = proxy.collector() {
        tracing::info!("records go to {collector}");
    }
    stopped.await?;
    tracing::info!("stopping");
    proxy.stop().await
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let server = Server::start(config).await?;
    announce(&server);
    until_stopped(server).await
}

async fn show(config: &Config) -> anyhow::Result<()> {
    let server = Server::start(config).await?;
    announce(&server);
    tell(format_args!(
        "\n  A sample MCP server is running and being called. Look at\n\n    http://{0}/?live=1    the calls, live\n    \
         http://{0}/graphql    GraphiQL, with examples to run\n\n  The calls are kept in {1}, and those of other servers that \
         send to\n  http://{2} too. Ctrl-C stops it.\n",
        server.listen,
        mcptap_store::shown_url(&config.database_url),
        server.otlp_http
    ));
    let stop = CancellationToken::new();
    let demo = tokio::spawn({
        let (stop, endpoint) = (stop.clone(), format!("http://{}", server.otlp_http));
        let store = server.store().clone();
        async move { demo::run(&store, &endpoint, stop).await }
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
    tokio::select! {
        stopped = signal()? => stopped?,
        error = server.failed() => return Err(error),
    }
    tracing::info!("stopping");
    Ok(server)
}

/// From now on a file that would grow past the limit of its size (`ulimit -f`) is an error of the write, and not the end of the
/// process.
fn outlive_limits() -> anyhow::Result<()> {
    /// SIGXFSZ, on Linux and macOS.
    const FILE_SIZE: i32 = 25;
    // Once it is taken it stays so; a program that is started gets the system's own way again.
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(FILE_SIZE))
        .map(drop)
        .context("taking SIGXFSZ")
}

/// Ends with ctrl-c or SIGTERM, from now on.
fn signal() -> anyhow::Result<impl Future<Output = anyhow::Result<()>>> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("waiting for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => pressed.context("waiting for ctrl-c"),
            _ = terminate.recv() => Ok(()),
        }
    })
}

/// Writes the answer of a command. A reader that has seen enough is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to standard output"),
    }
}
