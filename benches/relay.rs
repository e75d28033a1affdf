//! What a message costs as the whole process forwards it, over UDP, TCP, TLS and WebSocket: Viaduct beside a forwarder that parses nothing,
//! which is the floor, and beside Kamailio, and over TCP and TLS nginx, where they are installed. The same traffic for all, in one
//! run, interleaved and shuffled.
//!
//! Throughput looked better as a measure, since it is what is bought. On a machine whose generator shares its cores
//! with the device it measures both; CPU time a message is the device's own.
//!
//! `cargo bench --bench relay -- --help` has the options.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use clap::{Args, Parser, Subcommand};

use certificates::Certificate;
use device::Device;
use line::Transport;
use load::{Load, Width};
use report::{Limits, Report, Run};
use traffic::Traffic;

#[path = "relay/agents.rs"]
mod agents;
#[path = "relay/certificates.rs"]
mod certificates;
#[path = "relay/device.rs"]
mod device;
#[path = "relay/ends.rs"]
mod ends;
#[path = "relay/forwarder.rs"]
mod forwarder;
#[path = "relay/kamailio.rs"]
mod kamailio;
#[path = "relay/layers.rs"]
mod layers;
#[path = "relay/line.rs"]
mod line;
#[path = "relay/load.rs"]
mod load;
#[path = "relay/nginx.rs"]
mod nginx;
#[path = "relay/report.rs"]
mod report;
mod statistics;
#[path = "relay/traffic.rs"]
mod traffic;

#[derive(Parser)]
#[command(about = "CPU time a message of Viaduct, a raw forwarder, Kamailio and nginx")]
struct CommandLine {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    options: BenchOptions,
}

#[derive(Args)]
struct BenchOptions {
    /// How often each device is measured with each kind of traffic
    #[arg(long, env = "RELAY_RUNS", default_value_t = 5)]
    runs: u32,
    /// How long each is measured, in milliseconds
    #[arg(long, default_value_t = 800)]
    measured_ms: u64,
    /// How many exchanges are under way at once
    #[arg(long, default_value_t = 256)]
    window: u16,
    /// The transports of clients, each measured by itself
    #[arg(long, value_delimiter = ',', default_value = "udp,tcp")]
    transport: Vec<Transport>,
    /// How many connections the clients have, but over UDP; each carries its part of the window
    #[arg(long, default_value_t = 16)]
    connections: u16,
    /// The devices; where none is named, all that can run here
    #[arg(long, value_delimiter = ',')]
    device: Vec<Device>,
    /// The kinds of traffic
    #[arg(long, value_delimiter = ',', default_value = "options,mix")]
    traffic: Vec<Traffic>,
    /// The first of the ports that are used: of each device, of the clients and of the backends
    #[arg(long, default_value_t = 7100)]
    port: u16,
    /// The most CPU time a message that Viaduct may take over UDP, relative to the raw forwarder
    #[arg(long)]
    max_ratio_raw: Option<f64>,
    /// The same, relative to Kamailio
    #[arg(long)]
    max_ratio_kamailio: Option<f64>,
    /// The same over TCP
    #[arg(long)]
    max_ratio_kamailio_tcp: Option<f64>,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Part {
    /// Be the raw forwarder
    #[command(hide = true)]
    Forwarder { transport: Transport, listen: SocketAddr, backends: Vec<SocketAddr> },
    /// Run a program on one core
    #[command(hide = true)]
    HeldTo {
        core: usize,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        program: Vec<String>,
    },
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let outcome = match line.part {
        Some(Part::Forwarder { transport, listen, backends }) => {
            forwarder::run(transport, listen, backends).map(|()| Vec::new())
        }
        Some(Part::HeldTo { core, program }) => Err(device::become_held_to(core, &program)),
        None => bench(&line.options),
    };
    let broken = outcome.unwrap_or_else(|error| vec![error]);
    broken.iter().for_each(|broken| eprintln!("relay: {broken}"));
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs all and prints; gives what of the limits is not kept.
fn bench(options: &BenchOptions) -> Result<Vec<String>, String> {
    let cores: Vec<usize> = core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    Report::print_circumstances(options.runs, &cores);
    let mut broken = Vec::new();
    for transport in options.transport.iter().copied() {
        let mut devices = Device::available(transport);
        devices.retain(|device| options.device.is_empty() || options.device.contains(device));
        let report = Report { transport, runs: Bench::new(options, transport, &cores)?.run(&devices)? };
        options.traffic.iter().for_each(|traffic| report.print(*traffic, &devices));
        let limits = options.limits(transport);
        broken.extend(options.traffic.iter().flat_map(|traffic| report.broken(*traffic, &devices, limits)));
    }
    Ok(broken)
}

impl BenchOptions {
    fn limits(&self, transport: Transport) -> Limits {
        match transport {
            Transport::Udp => Limits { to_raw: self.max_ratio_raw, to_kamailio: self.max_ratio_kamailio },
            Transport::Tcp => Limits { to_raw: None, to_kamailio: self.max_ratio_kamailio_tcp },
            Transport::Tls | Transport::Ws | Transport::Wss => Limits { to_raw: None, to_kamailio: None },
        }
    }
}

struct Bench<'a> {
    options: &'a BenchOptions,
    transport: Transport,
    cores: &'a [usize],
    backends: Vec<SocketAddr>,
    directory: Directory,
    certificate: Certificate,
}

/// Before it is measured, a device is kept busy this long, so that caches and queues are as they will be.
const WARM_UP: Duration = Duration::from_millis(150);

impl<'a> Bench<'a> {
    fn new(options: &'a BenchOptions, transport: Transport, cores: &'a [usize]) -> Result<Self, String> {
        let hosts = match transport {
            Transport::Udp => 11..14,
            _ => 11..15,
        };
        let backends = hosts.map(|host| SocketAddr::from(([127, 0, 0, host], options.port + 11))).collect();
        let directory = Directory::new()?;
        let certificate = Certificate::issue(&directory.0)?;
        Ok(Bench { options, transport, cores, backends, directory, certificate })
    }

    /// The device has the first core, clients and backends the second; with one core nobody is held to any.
    fn device_core(&self) -> Option<usize> {
        self.cores.first().copied().filter(|_| self.cores.len() > 1)
    }

    fn run(&self, devices: &[Device]) -> Result<Vec<Run>, String> {
        let client = SocketAddr::from(([127, 0, 0, 2], self.options.port + 10));
        if let Some(core) = self.cores.get(1) {
            core_affinity::set_for_current(core_affinity::CoreId { id: *core });
        }
        let width = Width { window: self.options.window, connections: self.options.connections };
        let mut load = Load::open(self.transport, client, &self.backends, width, self.certificate.trusted()?)?;
        let pairs =
            self.options.traffic.iter().flat_map(|traffic| devices.iter().map(move |device| (*device, *traffic)));
        let mut order: Vec<_> = pairs.collect();
        let mut runs = Vec::new();
        for round in 0..self.options.runs {
            statistics::shuffle(&mut order, round.into());
            for (device, traffic) in &order {
                runs.push(self.measure(&mut load, *device, *traffic)?);
            }
        }
        Ok(runs)
    }

    fn measure(&self, load: &mut Load, device: Device, traffic: Traffic) -> Result<Run, String> {
        let listen = SocketAddr::from(([127, 0, 0, 1], self.options.port + device as u16));
        let files = (self.directory.0.as_path(), &self.certificate);
        let running = device.start(self.transport, self.device_core(), listen, &self.backends, files)?;
        if !load.wait_for(listen) {
            return Err(format!("{} forwards nothing", device.label()));
        }
        let before = Cell::new((Instant::now(), running.cpu()));
        let after = Cell::new(before.get());
        let seen = load.run(
            (listen, traffic),
            (WARM_UP, Duration::from_millis(self.options.measured_ms)),
            || before.set((Instant::now(), running.cpu())),
            || after.set((Instant::now(), running.cpu())),
        );
        let ((began, cpu_before), (ended, cpu_after)) = (before.get(), after.get());
        let cpu = cpu_after.since(cpu_before);
        Ok(Run { device, traffic, cpu, wall_ns: (ended - began).as_nanos() as f64, seen })
    }
}

/// A directory of this run's own, gone at its end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self, String> {
        let path = env::temp_dir().join(format!("viaduct-relay-{}", process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Directory(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
