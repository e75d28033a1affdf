//! A WebRTC phone: the program beside this file, which drives JsSIP in Chromium step by step.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::peers::presence::installed_or;
use crate::peers::process::Process;
use crate::peers::scene::{Scene, until_within};

/// A browser takes its time to start on a machine whose disk is cold.
const LIMIT: Duration = Duration::from_secs(60);

/// A phone at work.
pub struct Phone(Process);

/// Whether the phone's libraries are where `npm ci` puts them; a test without them is skipped or fails as one whose programs
/// are missing.
pub fn modules_installed() -> bool {
    installed_or("JsSIP (npm ci --prefix tests/peers/webrtc)", folder().join("node_modules/jssip").is_dir())
}

impl Phone {
    /// Starts one that connects to `server` over WSS, has `aor` for its address of record, trusts `authority`, takes these
    /// steps, and ends. Its program says which steps there are.
    pub fn start(scene: &Scene, server: SocketAddr, aor: &str, authority: &Path, steps: &[&str]) -> Phone {
        let mut command = Command::new("node");
        command.arg(folder().join("phone.mjs")).arg(format!("wss://{server}")).arg(aor).arg(authority).args(steps);
        // Chromium keeps the authorities that it trusts in the home directory.
        command.env("HOME", &scene.directory);
        Phone(Process::start(scene, "phone", &mut command))
    }

    /// Waits until it has taken a step. Gives what came of it.
    pub fn until_done(&mut self, step: &str) -> String {
        let heading = format!("{step}: ");
        let mut outcome = None;
        until_within(LIMIT, &format!("the phone has done {step}"), || {
            let output = self.0.output();
            outcome = output.lines().find_map(|line| line.strip_prefix(&heading)).map(str::to_owned);
            outcome.is_some() || {
                self.0.assert_running();
                false
            }
        });
        outcome.unwrap_or_default()
    }

    /// Waits for its end, and asserts that it has taken all steps.
    pub fn finish(&mut self) {
        let status = self.0.wait(LIMIT);
        assert!(status.success(), "the phone ended with {status}:\n{}", self.0.tail());
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers/webrtc")
}
