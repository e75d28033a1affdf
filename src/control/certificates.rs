//! Watches the files of certificates: those that have changed are read again, all or nothing.
//!
//! inotify looked quicker. What Kubernetes mounts is changed by turning a symbolic link in a folder above, which a watch on
//! the file does not see; looking at a few files now and then sees every way in which they can change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::frame::tls::{ContextFiles, PairFiles, TlsContext};
use crate::metrics::certificates::Certificates;

/// Files, and what is made of them.
#[derive(Debug)]
pub struct Watch {
    files: ContextFiles,
    certificates: Arc<Certificates>,
    seen: Vec<Option<Seen>>,
}

/// What of a file tells whether it has changed: `None` stands for one that cannot be looked at.
type Seen = (SystemTime, u64);

impl Watch {
    /// A watch over files that have just been read.
    pub fn new(files: ContextFiles, certificates: Arc<Certificates>) -> Self {
        let seen = look(&files);
        Watch { files, certificates, seen }
    }

    /// Takes certificates that were read from these files, which are watched from here on.
    pub fn replace(&mut self, context: TlsContext, files: ContextFiles) {
        let had_any = !self.files.pairs.is_empty();
        (self.seen, self.files) = (look(&files), files);
        if had_any || !self.files.pairs.is_empty() {
            self.take(context);
        }
    }

    /// Counts that certificates cannot be used, which stay as they were.
    pub fn refuse(&mut self, why: &dyn std::fmt::Display) {
        self.certificates.refused.add(1);
        tracing::error!("certificates stay as they were, because {why}");
    }

    /// Reads the files again if one has changed.
    pub fn look(&mut self) {
        let seen = look(&self.files);
        if seen != self.seen {
            self.read();
        }
    }

    /// Reads the files again. Where one is wrong, all stays as it is.
    pub fn read(&mut self) {
        if self.files.pairs.is_empty() {
            return;
        }
        // Looked at before they are read: what changes meanwhile is found the next time.
        self.seen = look(&self.files);
        match TlsContext::load(&self.files, SystemTime::now()) {
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
