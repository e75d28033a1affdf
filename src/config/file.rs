//! Reads files that settings name: whole, up to a length, and without waiting for anybody.
//!
//! `fs::read` looked enough. It reads a device for ever, and waits for whoever is to write into a pipe; settings are read again by
//! the thread that probes backends.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// What stands in a regular file of so many bytes at most.
pub(super) fn read(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    // Before it is opened, since to open a pipe is to wait for its other end.
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// The same as text.
pub(super) fn read_text(path: &Path, bytes_max: usize) -> io::Result<String> {
    String::from_utf8(read(path, bytes_max)?).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_or_too_long_is_refused_and_nobody_is_waited_for() {
        let path = std::env::temp_dir().join(format!("viaduct-file-{}", std::process::id()));
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read_text(&path, 4).unwrap(), "four");
        assert_eq!(read(&path, 3).unwrap_err().to_string(), "it has more than 3 bytes");
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_text(&path, 4).unwrap_err().to_string(), "it is not UTF-8");
        std::fs::remove_file(&path).unwrap();
        for path in ["/dev/zero", "/"] {
            assert_eq!(read(Path::new(path), 4).unwrap_err().to_string(), "it is no regular file");
        }
    }
}
