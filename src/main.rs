//! Arguments and environment become settings; settings run; how that ends becomes an exit code.

use std::io::IsTerminal;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use viaduct::config::error::{self, Refused};
use viaduct::config::{Command, LogFormat, Settings};
use viaduct::run::RunError;
use viaduct::{check, run};

fn main() -> ExitCode {
    let line = match error::parse(std::env::args_os()) {
        Ok(line) => line,
        Err(Refused::Usage(usage)) => usage.exit(),
        Err(Refused::Setting(error)) => return fail(&RunError::Setting(error)),
    };
    if let Err(error) = start_log(&line.settings) {
        return fail(&RunError::Setting(error));
    }
    let outcome = match line.command {
        None => run::run(&line.settings),
        Some(Command::Check) => check::check(&line.settings).map(|text| print!("{text}")),
        Some(Command::Demo(_)) => Ok(()),
    };
    outcome.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS)
}

fn start_log(settings: &Settings) -> Result<(), error::ConfigError> {
    let filter = EnvFilter::try_new(&settings.log).map_err(|wrong| {
        error::ConfigError::new(
            "VIADUCT_LOG (--log)",
            &settings.log,
            wrong,
            "error, warn, info, debug, trace or a list of target=level",
        )
    })?;
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_target(false).with_ansi(colours);
    match settings.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

fn fail(error: &RunError) -> ExitCode {
    eprintln!("viaduct: {error}");
    match error {
        RunError::Setting(_) => ExitCode::from(error::EXIT_CODE),
        _ => ExitCode::FAILURE,
    }
}
