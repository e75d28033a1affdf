//! Watches the files of certificates: those that have changed are read again, all or nothing.
//!
//! inotify looked quicker. What Kubernetes mounts is changed by turning a symbolic link in a folder above, which a watch on
//! the file does not see; looking at a few files now and then sees every way in which they can change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::frame::tls::{ContextFiles, FileFault, PairFiles, TlsContext};
use crate::metrics::certificates::Certificates;

/// Files, and what is made of them.
#[derive(Debug)]
pub struct Watch {
    files: Files,
    certificates: Arc<Certificates>,
}

/// Files as they were before they were read: what changes meanwhile is found at the next look.
#[derive(Clone, Debug, Default)]
pub struct Files {
    files: ContextFiles,
    seen: Vec<Option<Seen>>,
}

/// What of a file tells whether it has changed: `None` stands for one that cannot be looked at.
type Seen = (SystemTime, u64);

impl Watch {
    /// A watch over files that were read.
    pub fn new(files: Files, certificates: Arc<Certificates>) -> Self {
        Watch { files, certificates }
    }

    /// Takes certificates that were read from these files, which are watched from here on.
    pub fn replace(&mut self, context: TlsContext, files: Files) {
        let had_any = self.files.has_any();
        self.files = files;
        if had_any || self.files.has_any() {
            self.take(context);
        }
    }

    /// Counts that certificates cannot be used, which stay as they were.
    pub fn refuse(&mut self, why: &dyn std::fmt::Display) {
        self.certificates.refused.add(1);
        tracing::error!("certificates stay as they were, because {why}");
    }

    /// Reads the files again if one has changed. Where one is wrong, all stays as it is.
    pub fn look(&mut self) {
        let now = Files::now(self.files.files.clone());
        if now.seen == self.files.seen || !now.has_any() {
            return;
        }
        self.files = now;
        match self.files.load() {
            Ok(context) => self.take(context),
            Err(fault) => self.refuse(&fault),
        }
    }

    fn take(&mut self, context: TlsContext) {
        let certificates = context.certificates().count();
        self.certificates.context.store(Arc::new(context));
        self.certificates.reloaded.add(1);
        tracing::info!(certificates, "certificates were read again");
    }
}

impl Files {
    /// Files as they are.
    pub fn now(files: ContextFiles) -> Self {
        Files { seen: look(&files), files }
    }

    /// Reads them.
    pub fn load(&self) -> Result<TlsContext, FileFault> {
        TlsContext::load(&self.files, SystemTime::now())
    }

    fn has_any(&self) -> bool {
        !self.files.pairs.is_empty()
    }
}

fn look(files: &ContextFiles) -> Vec<Option<Seen>> {
    let pair = |pair: &PairFiles| [pair.chain.clone(), pair.key.clone()];
    let connect = files.connect.iter();
    let paths = files.pairs.iter().flat_map(pair).chain(files.client_authorities.iter().cloned());
    let paths = paths.chain(connect.clone().flat_map(|connect| connect.authorities.iter().cloned()));
    let paths: Vec<PathBuf> = paths.chain(connect.flat_map(|connect| connect.pair.iter().flat_map(pair))).collect();
    paths.iter().map(|path| seen(path)).collect()
}

fn seen(path: &Path) -> Option<Seen> {
    let found = fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}
