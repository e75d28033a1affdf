//! What `viaduct ctl` can be told: where the running Viaduct is, and what is to be done there.

use clap::{Args, Subcommand};

use super::ExplainSettings;

/// What `viaduct ctl` can be told.
#[derive(Clone, Debug, Args)]
pub struct CtlSettings {
    /// Where the admin listener of the running Viaduct is
    #[arg(
        long = "admin",
        env = "VIADUCT_ADMIN_URL",
        global = true,
        default_value = "http://127.0.0.1:9060",
        value_name = "URL"
    )]
    pub admin_url: String,

    /// Print what the API answers, as JSON
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub order: CtlOrder,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum CtlOrder {
    /// Show the backends: how each stands, its share of new calls, probes, requests and times
    Pool,
    /// Show Viaduct itself: messages, drops and shards
    Status,
    /// Have a backend get no new calls; it keeps its dialogs
    Drain(Named),
    /// End a drain
    Undrain(Named),
    /// Have a backend get nothing, as if it were dead
    Disable(Named),
    /// Have a backend in use again
    Enable(Named),
    /// Give a backend another weight
    Weight(Weighed),
    /// Add a backend, by an entry as in VIADUCT_BACKENDS
    Add(Entry),
    /// Remove a backend; it keeps its dialogs for 200 seconds
    Remove(Named),
    /// Have Viaduct itself drain, and then end, as SIGTERM does
    DrainViaduct,
    /// Tell what would come of a change: which part of new calls would move, and whose dialogs. Changes nothing
    Preview {
        /// The change.
        #[command(subcommand)]
        change: PreviewOrder,
    },
    /// Read one SIP message from standard input and tell what the running Viaduct would do with it
    Explain(ExplainSettings),
    /// Have settings read again that are read from files (VIADUCT_ENV_FILE and others), all or none
    Reload,
    /// Show what is logged, or log other lines from now on
    Log {
        /// A level, or a list of module=level
        #[arg(value_name = "LEVEL")]
        level: Option<String>,
    },
}

/// The change of which a preview is made.
#[derive(Clone, Debug, Subcommand)]
pub enum PreviewOrder {
    /// Have a backend get no new calls
    Drain(Named),
    /// End a drain
    Undrain(Named),
    /// Have a backend get nothing
    Disable(Named),
    /// Have a backend in use again
    Enable(Named),
    /// Give a backend another weight
    Weight(Weighed),
    /// Add a backend
    Add(Entry),
    /// Remove a backend
    Remove(Named),
    /// Put another list into the place of VIADUCT_BACKENDS
    List {
        /// The list
        #[arg(value_name = "LIST")]
        list: String,
    },
}

/// A backend by its name.
#[derive(Clone, Debug, Args)]
pub struct Named {
    /// The backend's name
    pub name: String,
}

/// A backend and a weight.
#[derive(Clone, Debug, Args)]
pub struct Weighed {
    /// The backend's name
    pub name: String,
    /// From 0 to 1000, or `listed` for that of its list
    #[arg(value_parser = weight, value_name = "NUMBER")]
    pub weight: WeightWord,
}

/// A weight, or that of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightWord(pub Option<u16>);

/// A backend's entry.
#[derive(Clone, Debug, Args)]
pub struct Entry {
    /// [name=]transport://host:port[;weight=n]
    #[arg(value_name = "ENTRY")]
    pub backend: String,
}

fn weight(text: &str) -> Result<WeightWord, String> {
    if text == "listed" {
        return Ok(WeightWord(None));
    }
    let number = text.parse::<u16>().ok().filter(|number| *number <= 1000);
    number
        .map(|number| WeightWord(Some(number)))
        .ok_or_else(|| "neither `listed` nor a number from 0 to 1000".to_owned())
}
