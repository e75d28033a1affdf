//! Whether files have changed, by looking at them now and then.
//!
//! inotify looked quicker. What Kubernetes mounts is changed by turning a symbolic link in a folder above, which a watch on the file
//! does not see.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Files, as they were when they were read.
#[derive(Debug)]
pub struct FileWatch {
    files: Vec<PathBuf>,
    read: Vec<Option<Seen>>,
    /// At the last look.
    seen: Vec<Option<Seen>>,
}

/// What of a file tells whether it is another, or another content: `None` stands for one that cannot be looked at.
type Seen = (u64, SystemTime, u64);

impl FileWatch {
    /// A watch over files as they are. Make it before they are read: what changes meanwhile is found the next time.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let seen = look(&files);
        FileWatch { files, read: seen.clone(), seen }
    }

    /// A watch over files that were read some time ago, so that they count as changed.
    pub fn unseen(files: Vec<PathBuf>) -> Self {
        FileWatch { files, read: Vec::new(), seen: Vec::new() }
    }

    /// Whether any is another than was read, and all are as they were at the last look: one that is being written is left alone.
    /// They are taken to be read then.
    pub fn has_changed(&mut self) -> bool {
        let seen = look(&self.files);
        let is_settled = std::mem::replace(&mut self.seen, seen) == self.seen;
        let has_changed = is_settled && self.seen != self.read;
        if has_changed {
            self.read.clone_from(&self.seen);
        }
        has_changed
    }
}

fn look(files: &[PathBuf]) -> Vec<Option<Seen>> {
    files.iter().map(|file| seen(file)).collect()
}

fn seen(path: &Path) -> Option<Seen> {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.modified().ok()?, found.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_goes_or_comes_is_noticed_once_and_not_while_it_is_written() {
        let folder = std::env::temp_dir().join(format!("viaduct-file-watch-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("list");
        let mut watch = FileWatch::new(vec![file.clone()]);
        let mut changes = || [(); 3].map(|()| watch.has_changed());
        const ONCE: [bool; 3] = [false, true, false];
        assert_eq!(changes(), [false; 3]);
        fs::write(&file, "a").unwrap();
        assert_eq!(changes(), ONCE);
        fs::write(folder.join("other"), "b").unwrap();
        fs::rename(folder.join("other"), &file).unwrap();
        assert_eq!(changes(), ONCE, "another file of the same length");
        fs::write(&file, "half").unwrap();
        assert!(!watch.has_changed());
        fs::write(&file, "half, and the rest").unwrap();
        let mut changes = || [(); 3].map(|()| watch.has_changed());
        assert_eq!(changes(), ONCE);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(changes(), ONCE);
    }
}
