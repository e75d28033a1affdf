//! A child process that cannot outlive its test: not a panic of the test, nor the end of the test program.
//!
//! Killing the child when its handle is dropped looked sufficient. A test program that is killed drops nothing, and a
//! daemon's workers survive the death of their parent; so the child leads a process group, and a shell that waits for
//! the end of a pipe ends the group, whoever closes that pipe.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::scene::Scene;

/// A program that runs for one test, with its output in a file.
pub struct Process {
    name: String,
    child: Child,
    watchdog: Child,
    output: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints goes to the file `name`.log in the scene's directory, where it also runs.
    pub fn start(scene: &Scene, name: &str, command: &mut Command) -> Process {
        let output = scene.directory.join(format!("{name}.log"));
        let file = File::create(&output).unwrap();
        command.current_dir(&scene.directory).stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.process_group(0).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let watchdog = watch(child.id());
        Process { name: name.to_owned(), child, watchdog, output }
    }

    /// Waits for its end, at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "{} still runs after {limit:?}:\n{}", self.name, self.tail());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as an operator would, and waits until it has ended.
    pub fn end(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.child.wait();
        let _ = self.watchdog.wait();
    }

    /// Ends it and its workers as a crash would, without a chance to do anything.
    pub fn kill(&mut self) {
        let group = format!("-{}", self.child.id());
        assert!(Command::new("kill").args(["-s", "KILL", "--", &group]).status().unwrap().success());
        let _ = self.child.wait();
    }

    /// Asserts that it has not ended.
    pub fn assert_running(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "{} has ended ({ended:?}):\n{}", self.name, self.tail());
    }

    /// All that it has printed.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// The end of what it has printed.
    pub fn tail(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A shell that ends the process group of `leader` when its standard input ends: by SIGTERM, so that a daemon reaps its
/// workers, and after two seconds by SIGKILL. It leads a group of its own, so that an interrupt from the terminal does
/// not end it before its duty.
fn watch(leader: u32) -> Child {
    let script = "read -r _; kill -s TERM -- -\"$0\"; tries=40; \
                  while kill -s 0 -- -\"$0\" && [ $tries -gt 0 ]; do sleep 0.05; tries=$((tries - 1)); done; \
                  kill -s KILL -- -\"$0\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(leader.to_string()).process_group(0);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
