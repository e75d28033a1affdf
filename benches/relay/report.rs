//! The table: absolute numbers, and ratios to the floor and to Kamailio.

use std::fs;

use hdrhistogram::Histogram;

use crate::device::{Cpu, Device};
use crate::line::Transport;
use crate::load::Seen;
use crate::statistics::median;
use crate::traffic::Traffic;
use crate::{kamailio, nginx};

/// One device's run on one kind of traffic.
#[derive(Clone, Debug)]
pub struct Run {
    /// What was measured.
    pub device: Device,
    /// With what.
    pub traffic: Traffic,
    /// What the device had of the CPU while it was measured.
    pub cpu: Cpu,
    /// How long it was measured, in nanoseconds.
    pub wall_ns: f64,
    /// What clients and backends saw.
    pub seen: Seen,
}

/// The limits that Viaduct is held to with one transport.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Its CPU time a message, relative to the raw forwarder's.
    pub to_raw: Option<f64>,
    /// The same, relative to Kamailio's.
    pub to_kamailio: Option<f64>,
}

/// All runs with one transport.
pub struct Report {
    /// Which.
    pub transport: Transport,
    /// In the order run.
    pub runs: Vec<Run>,
}

impl Report {
    /// What it ran on, and how often.
    pub fn print_circumstances(runs: u32, cores: &[usize]) {
        let machine = cpu_model();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        println!("machine: {machine}, cores {cores:?}; kernel: {}", kernel.trim());
        let named = |version: Option<String>, name: &str| {
            version.unwrap_or_else(|| format!("{name} IS NOT INSTALLED AND IS SKIPPED"))
        };
        let peers = [named(kamailio::version(), "KAMAILIO"), named(nginx::version(), "NGINX WITH ITS STREAM MODULE")];
        println!("viaduct {}; {}", env!("CARGO_PKG_VERSION"), peers.join("; "));
        println!("medians of {runs} interleaved runs at saturation; one core for the device\n");
    }

    /// One table for each kind of traffic.
    pub fn print(&self, traffic: Traffic, devices: &[Device]) {
        let title = format!("{}, {}", self.transport.scheme(), traffic.label());
        print!("{title:<12} {:<14} {:>10} {:>13}", "device", "us CPU/msg", "(min-max)");
        Device::baselines(self.transport).iter().for_each(|(_, label)| print!(" {label:>9}"));
        println!(" {:>9} {:>6} {:>8} {:>8} {:>8} {:>7}", "msg/s", "busy", "p50 us", "p99 us", "loss", "strays");
        devices.iter().for_each(|device| self.print_line(traffic, *device));
        println!();
    }

    fn print_line(&self, traffic: Traffic, device: Device) {
        let cost = |run: &Run| run.cost_us();
        let costs = || self.of(traffic, device).map(cost);
        let (least, most) = costs().fold((f64::MAX, 0.0_f64), |(a, b), cost| (a.min(cost), b.max(cost)));
        let range = format!("({least:.2}-{most:.2})");
        print!("{:<12} {:<14} {:>10.2} {range:>13}", "", device.label(), median(costs()));
        for (to, _) in Device::baselines(self.transport) {
            let ratio = self.ratio(traffic, device, *to).map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
            print!(" {ratio:>9}");
        }
        println!(
            " {:>8.0}k {:>5.0}% {:>8.0} {:>8.0} {:>7.3}% {:>7}",
            median(self.of(traffic, device).map(|run| run.seen.forwarded as f64 / run.wall_ns * 1e6)),
            median(self.of(traffic, device).map(Run::busy_percent)),
            median(self.of(traffic, device).map(|run| run.round_trip_us(0.5))),
            median(self.of(traffic, device).map(|run| run.round_trip_us(0.99))),
            self.share(traffic, device, |seen| seen.lost) * 100.0,
            self.of(traffic, device).map(|run| run.seen.strays).sum::<u64>(),
        );
    }

    /// What of the limits is not kept, in words.
    pub fn broken(&self, traffic: Traffic, devices: &[Device], limits: Limits) -> Vec<String> {
        let name = format!("{}, {}", self.transport.scheme(), traffic.label());
        let mut broken = Vec::new();
        for device in devices.iter().filter(|device| matches!(device, Device::Viaduct | Device::ViaductPoll)) {
            let lost = self.share(traffic, *device, |seen| seen.lost);
            let stray = self.share(traffic, *device, |seen| seen.strays);
            for (share, what) in [(lost, "was lost"), (stray, "came astray, or twice")] {
                if share > self.transport.max_loss() {
                    broken.push(format!("{name}: {}: {:.4} % {what}", device.label(), share * 100.0));
                }
            }
        }
        for (to, limit) in [(Device::Raw, limits.to_raw), (Device::Kamailio, limits.to_kamailio)] {
            let Some(limit) = limit else { continue };
            match self.ratio(traffic, Device::Viaduct, to) {
                Some(ratio) if ratio <= limit => {}
                Some(ratio) => broken.push(format!("{name}: {ratio:.2} x {}, limit {limit}", to.label())),
                None => broken.push(format!("{name}: {} did not run", to.label())),
            }
        }
        broken
    }

    fn ratio(&self, traffic: Traffic, device: Device, to: Device) -> Option<f64> {
        let cost = |device| median(self.of(traffic, device).map(Run::cost_us));
        let ratio = cost(device) / cost(to);
        ratio.is_finite().then_some(ratio)
    }

    fn share(&self, traffic: Traffic, device: Device, of: impl Fn(&Seen) -> u64) -> f64 {
        let part: u64 = self.of(traffic, device).map(|run| of(&run.seen)).sum();
        let sent: u64 = self.of(traffic, device).map(|run| run.seen.sent).sum();
        part as f64 / sent.max(1) as f64
    }

    fn of(&self, traffic: Traffic, device: Device) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| run.traffic == traffic && run.device == device)
    }
}

impl Run {
    fn cost_us(&self) -> f64 {
        self.cpu.used_ns as f64 / 1000.0 / self.seen.forwarded.max(1) as f64
    }

    /// How much of the time it had work, whether or not it had the core to itself: near 100 is saturation.
    fn busy_percent(&self) -> f64 {
        (self.cpu.used_ns + self.cpu.waited_ns) as f64 / self.wall_ns * 100.0
    }

    fn round_trip_us(&self, quantile: f64) -> f64 {
        let round_trips: &Histogram<u64> = &self.seen.round_trips_ns;
        round_trips.value_at_quantile(quantile) as f64 / 1000.0
    }
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(": ")).map_or("unknown".to_owned(), |(_, model)| model.to_owned())
}
