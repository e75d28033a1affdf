//! By what a reload is asked for, and what is told of it: settings are read again while Viaduct runs, all of them or none.
//!
//! Who asks need not know how settings are read, and who reads them not who asks: SIGHUP, a file that changes, the administrator.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

/// What a reload has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The variables that are written otherwise than before, and the files that say something else, in the order of their names.
    pub changed: Vec<String>,
    /// The digest of the configuration that is in force.
    pub digest: String,
}

/// Why nothing was changed: the variable, its value, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub Arc<str>);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// How many reloads wait at most; who asks for more waits.
const WAITING_MAX: usize = 4;

/// Someone who waits for a reload.
pub type Asked = oneshot::Sender<Result<Report, Refused>>;

/// By what a reload is asked for. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Reload(mpsc::Sender<Asked>);

impl Reload {
    /// One, and what whoever reads settings hears of it.
    pub fn open() -> (Self, mpsc::Receiver<Asked>) {
        let (asks, asked) = mpsc::channel(WAITING_MAX);
        (Reload(asks), asked)
    }

    /// Reads the settings again. When this returns, they are in force, or all is as it was.
    pub async fn now(&self) -> Result<Report, Refused> {
        let ended = || Refused("the process ends".into());
        let (tell, told) = oneshot::channel();
        self.0.send(tell).await.map_err(|_| ended())?;
        told.await.map_err(|_| ended())?
    }
}
