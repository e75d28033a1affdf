//! Arguments and environment become settings; settings run; how that ends becomes an exit code.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::{EnvFilter, reload};

use viaduct::config::error::{self, Refused};
use viaduct::config::log::{self, LogFormat};
use viaduct::config::source::Source;
use viaduct::config::{Command, Settings};
use viaduct::control::admin::log::LogFilter;
use viaduct::demo::held_log::HeldLog;
use viaduct::run::RunError;
use viaduct::{check, ctl, demo, run};

fn main() -> ExitCode {
    let source = Source::new(std::env::args_os());
    let reading = match source.read() {
        Ok(reading) => reading,
        Err(Refused::Usage(usage)) => usage.exit(),
        Err(Refused::Setting(error)) => return fail(&RunError::Setting(error)),
    };
    let line = &reading.line;
    let held = HeldLog::default();
    let started = match &line.command {
        Some(Command::Demo(_)) => start_log_of_demo(&line.settings, &held),
        _ => start_log(&line.settings),
    };
    let log = match started {
        Ok(log) => log,
        Err(error) => return fail(&RunError::Setting(error)),
    };
    let outcome = match line.command.clone() {
        None => run::run(source, reading, log).map(|()| true),
        Some(Command::Check) => check::check(&line.settings).map(|text| print!("{text}")).map(|()| true),
        Some(Command::Ctl(asked)) => return tell(ctl::ctl(&line.settings, &asked, std::io::stdin().lock())),
        Some(Command::Explain(asked)) => {
            let told = run::explain::explain(&line.settings, &asked, std::io::stdin().lock());
            told.map(|text| print!("{text}")).map(|()| true).map_err(RunError::Setting)
        }
        Some(Command::Demo(demo)) => demo::demo(&demo, &line.settings, &held, log),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

fn start_log(settings: &Settings) -> Result<LogFilter, error::ConfigError> {
    start_log_to(settings, &settings.log, BoxMakeWriter::new(std::io::stderr))
}

/// The demo has a screen: warnings only, and those held until there is room for them.
fn start_log_of_demo(settings: &Settings, held: &HeldLog) -> Result<LogFilter, error::ConfigError> {
    let held = held.clone();
    start_log_to(settings, "warn", BoxMakeWriter::new(move || held.clone()))
}

/// Starts the log, and gives by what its filter is changed.
fn start_log_to(settings: &Settings, filter: &str, writer: BoxMakeWriter) -> Result<LogFilter, error::ConfigError> {
    let in_force = EnvFilter::try_new(filter).map_err(|wrong| {
        error::ConfigError::new(
            "VIADUCT_LOG (--log)",
            filter,
            wrong,
            "error, warn, info, debug, trace or a list of target=level",
        )
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(in_force).with_writer(writer).with_target(false);
    // Colours are for a terminal: in a container's log or the journal they would be bytes in the way of a search.
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = log.with_ansi(wanted && std::io::stderr().is_terminal());
    match settings.log_format {
        LogFormat::Text => {
            let log = log.with_filter_reloading();
            let handle = log.reload_handle();
            log.init();
            Ok(changed_by(filter, move |filter| handle.reload(filter)))
        }
        LogFormat::Json => {
            let log = log.json().with_filter_reloading();
            let handle = log.reload_handle();
            log.init();
            Ok(changed_by(filter, move |filter| handle.reload(filter)))
        }
    }
}

/// The filter in force, with how another is put in its place; what the settings refuse is refused here too.
fn changed_by(
    filter: &str,
    reload: impl Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync + 'static,
) -> LogFilter {
    LogFilter::new(filter, move |text| {
        let filter = EnvFilter::try_new(log::filter(text)?).map_err(|error| error.to_string())?;
        reload(filter).map_err(|error| error.to_string())
    })
}

fn tell(told: Result<String, ctl::CtlError>) -> ExitCode {
    match told {
        Ok(text) => {
            // Whoever reads may have read enough, as `head` does.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("viaduct: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn fail(error: &RunError) -> ExitCode {
    eprintln!("viaduct: {error}");
    match error {
        RunError::Setting(_) => ExitCode::from(error::EXIT_CODE),
        _ => ExitCode::FAILURE,
    }
}
