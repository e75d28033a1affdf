//! Where two processes meet, between which engines, and what comes on a connection to one of them.

use std::io::Read;
use std::net::TcpStream;
use std::path::PathBuf;

/// The path by which processes meet.
pub struct Meeting(pub PathBuf);

impl Meeting {
    pub fn new(name: &str) -> Self {
        Meeting(std::env::temp_dir().join(format!("viaduct-{name}-{}.socket", std::process::id())))
    }

    pub fn setting(&self) -> (&str, &str) {
        ("VIADUCT_UPGRADE_SOCKET", self.0.to_str().unwrap())
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// From which engine to which.
pub fn engines() -> Vec<[&'static str; 2]> {
    match viaduct::io::probe(&viaduct::io::Options::default()) {
        Ok(()) => vec![["uring", "uring"], ["poll", "poll"], ["uring", "poll"], ["poll", "uring"]],
        Err(unavailable) => {
            eprintln!("SKIPPED on io_uring: {unavailable}");
            vec![["poll", "poll"]]
        }
    }
}

/// The next answer on a connection, as far as one read brings it.
pub fn read(connection: &mut TcpStream) -> String {
    let mut buffer = [0; 4096];
    let len = connection.read(&mut buffer).expect("an answer");
    String::from_utf8(buffer[..len].to_vec()).unwrap()
}
