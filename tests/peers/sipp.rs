//! SIPp as callers and as the called.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::process::Process;
use super::scene::{Scene, until_bound};

/// Callers to be run: a scenario, and where its calls go.
pub struct Callers<'a> {
    /// The scenario's name: a file beside this one.
    pub scenario: &'a str,
    /// Where they call from.
    pub from: SocketAddr,
    /// Whom the Request-URI names.
    pub to: SocketAddr,
    /// Where all their messages go.
    pub through: SocketAddr,
    /// How many calls they make.
    pub calls: u32,
    /// New calls a second.
    pub per_second: u32,
}

impl Callers<'_> {
    /// Makes all calls, and asserts that each ended as its scenario says.
    pub fn run(&self, scene: &Scene) {
        let name = format!("callers-{}", self.scenario);
        let mut command = sipp(scene, self.scenario, &name, self.from);
        // SIPp ends itself first, so that its statistics say how far it came.
        let limit_seconds = self.calls / self.per_second + 30;
        command.args(["-rsa", &self.through.to_string(), "-m", &self.calls.to_string()]);
        command.args(["-r", &self.per_second.to_string(), "-l", &self.calls.to_string()]);
        command.args(["-timeout", &limit_seconds.to_string(), "-timeout_error", &self.to.to_string()]);
        let mut process = Process::start(scene, &name, &mut command);
        let status = process.wait(Duration::from_secs(u64::from(limit_seconds) + 15));
        let errors = fs::read_to_string(scene.directory.join(format!("{name}.errors"))).unwrap_or_default();
        let told: String = errors.chars().take(6000).collect();
        assert!(status.success(), "SIPp ended with {status}:\n{told}\n{}", process.tail());
        let calls = (statistic(scene, &name, "SuccessfulCall(C)"), statistic(scene, &name, "FailedCall(C)"));
        assert_eq!(calls, (u64::from(self.calls), 0), "calls that succeeded, calls that failed\n{told}");
    }
}

/// The called: they answer until they are dropped.
pub struct Called {
    /// Where they are.
    pub address: SocketAddr,
    _process: Process,
}

impl Called {
    /// Starts them, and waits until they can be reached.
    pub fn start(scene: &Scene, scenario: &str, address: SocketAddr) -> Called {
        let name = format!("called-{scenario}-{}", address.port());
        let mut process = Process::start(scene, &name, &mut sipp(scene, scenario, &name, address));
        until_bound(address, || process.assert_running());
        Called { address, _process: process }
    }
}

fn sipp(scene: &Scene, scenario: &str, name: &str, local: SocketAddr) -> Command {
    let file = |ending| scene.directory.join(format!("{name}.{ending}"));
    let scenario = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/peers/{scenario}.xml"));
    let mut command = Command::new("sipp");
    command.arg("-sf").arg(scenario).args(["-nostdin", "-bind_local", "-timer_resol", "5"]);
    command.args(["-i", &local.ip().to_string(), "-p", &local.port().to_string()]);
    command.args(["-trace_stat", "-fd", "1", "-stf"]).arg(file("csv"));
    command.args(["-trace_err", "-error_file"]).arg(file("errors"));
    command
}

/// A value in the last row of SIPp's statistics.
fn statistic(scene: &Scene, name: &str, column: &str) -> u64 {
    let text = fs::read_to_string(scene.directory.join(format!("{name}.csv"))).unwrap();
    let titles = text.lines().next().unwrap();
    let last = text.lines().last().unwrap();
    let value = titles.split(';').zip(last.split(';')).find(|(title, _)| *title == column);
    value.unwrap_or_else(|| panic!("no column {column} in {titles}")).1.parse().unwrap()
}
