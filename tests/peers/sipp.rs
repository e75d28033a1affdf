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
    /// The scenario's name: a file beside this one, among those of `dialogs` and `webrtc`, or in the scene.
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
    /// How long a pause takes that the scenario does not measure itself, in milliseconds.
    pub pause_ms: u32,
    /// What `[service]` stands for in the scenario: the user who is called.
    pub service: &'a str,
    /// SIPp's word for how they send: `u1` by one UDP socket, `t1` by one TCP connection, `tn` by one for each call.
    pub transport: &'a str,
}

/// Callers at work.
pub struct Calling {
    name: String,
    process: Process,
    calls: u32,
    limit: Duration,
    directory: PathBuf,
}

impl Callers<'_> {
    /// Makes all calls, and asserts that each ended as its scenario says.
    pub fn run(&self, scene: &Scene) {
        self.start(scene).finish();
    }

    /// Begins to make the calls.
    pub fn start(&self, scene: &Scene) -> Calling {
        let name = format!("callers-{}-{}", self.scenario, self.service);
        let mut command = sipp(scene, self.scenario, &name, self.from);
        command.args(["-t", self.transport, "-max_socket", "4096"]);
        // SIPp ends itself first, so that its statistics say how far it came.
        let limit_seconds = self.calls / self.per_second + 30;
        command.args(["-rsa", &self.through.to_string(), "-m", &self.calls.to_string()]);
        command.args(["-r", &self.per_second.to_string(), "-l", &self.calls.to_string()]);
        command.args(["-d", &self.pause_ms.to_string(), "-s", self.service]);
        command.args(["-timeout", &limit_seconds.to_string(), "-timeout_error", &self.to.to_string()]);
        let limit = Duration::from_secs(u64::from(limit_seconds) + 15);
        Calling::new(scene, name, command, self.calls, limit)
    }
}

impl Calling {
    fn new(scene: &Scene, name: String, mut command: Command, calls: u32, limit: Duration) -> Calling {
        let process = Process::start(scene, &name, &mut command);
        Calling { name, process, calls, limit, directory: scene.directory.clone() }
    }

    /// Waits for the end of all calls, and asserts that each ended as its scenario says. Gives what the scenario logged.
    pub fn finish(mut self) -> Vec<String> {
        let status = self.process.wait(self.limit);
        let file = |ending| self.directory.join(format!("{}.{ending}", self.name));
        let told: String = fs::read_to_string(file("errors")).unwrap_or_default().chars().take(6000).collect();
        assert!(status.success(), "{} ended with {status}:\n{told}\n{}", self.name, self.process.tail());
        let statistics = fs::read_to_string(file("csv")).unwrap();
        let calls = (statistic(&statistics, "SuccessfulCall(C)"), statistic(&statistics, "FailedCall(C)"));
        assert_eq!(calls, (u64::from(self.calls), 0), "{}: calls that succeeded, that failed\n{told}", self.name);
        fs::read_to_string(file("logged")).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

/// The called: they answer until they are dropped.
pub struct Called {
    /// Where they are.
    pub address: SocketAddr,
    calling: Calling,
}

impl Called {
    /// Starts them, and waits until they can be reached.
    pub fn start(scene: &Scene, scenario: &str, address: SocketAddr) -> Called {
        Called::launch(scene, scenario, address, 0, &[])
    }

    /// Starts such as end by themselves after so many calls.
    pub fn start_for(scene: &Scene, scenario: &str, address: SocketAddr, calls: u32) -> Called {
        Called::launch(scene, scenario, address, calls, &["-m", &calls.to_string()])
    }

    /// The same, for a scenario that refers callers to `target`.
    pub fn start_referring(
        scene: &Scene,
        scenario: &str,
        address: SocketAddr,
        calls: u32,
        target: SocketAddr,
    ) -> Called {
        let arguments = ["-m", &calls.to_string(), "-key", "target", &target.to_string()];
        Called::launch(scene, scenario, address, calls, &arguments)
    }

    /// Waits for the end of their calls, and asserts that each ended as the scenario says. Gives what it logged.
    pub fn finish(self) -> Vec<String> {
        self.calling.finish()
    }

    fn launch(scene: &Scene, scenario: &str, address: SocketAddr, calls: u32, arguments: &[&str]) -> Called {
        let name = format!("called-{scenario}-{}", address.port());
        let mut command = sipp(scene, scenario, &name, address);
        command.args(arguments);
        let mut calling = Calling::new(scene, name, command, calls, Duration::from_secs(20));
        until_bound(address, || calling.process.assert_running());
        Called { address, calling }
    }
}

fn sipp(scene: &Scene, scenario: &str, name: &str, local: SocketAddr) -> Command {
    let file = |ending| scene.directory.join(format!("{name}.{ending}"));
    let peers = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let scenarios = [scene.directory.clone(), peers.clone(), peers.join("dialogs"), peers.join("webrtc")]
        .map(|folder| folder.join(format!("{scenario}.xml")));
    let mut command = Command::new("sipp");
    command.arg("-sf").args(scenarios.iter().find(|file| file.exists())).args([
        "-nostdin",
        "-bind_local",
        "-timer_resol",
        "5",
    ]);
    command.args(["-i", &local.ip().to_string(), "-p", &local.port().to_string()]);
    command.args(["-trace_stat", "-fd", "1", "-stf"]).arg(file("csv"));
    command.args(["-trace_err", "-error_file"]).arg(file("errors"));
    command.args(["-trace_logs", "-log_file"]).arg(file("logged"));
    command
}

/// A value in the last row of SIPp's statistics.
fn statistic(text: &str, column: &str) -> u64 {
    let titles = text.lines().next().unwrap();
    let last = text.lines().last().unwrap();
    let value = titles.split(';').zip(last.split(';')).find(|(title, _)| *title == column);
    value.unwrap_or_else(|| panic!("no column {column} in {titles}")).1.parse().unwrap()
}
