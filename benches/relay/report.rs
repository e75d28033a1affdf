//! The table: absolute numbers, and ratios to the floor and to Kamailio.

use std::fs;

use hdrhistogram::Histogram;

use crate::device::{Cpu, Device};
use crate::kamailio;
use crate::load::Seen;
use crate::statistics::median;
use crate::traffic::Traffic;

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

/// The limits that Viaduct is held to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Its CPU time a message, relative to the raw forwarder's.
    pub to_raw: Option<f64>,
    /// The same, relative to Kamailio's.
    pub to_kamailio: Option<f64>,
}

/// The share of messages that may be lost.
const MAX_LOSS: f64 = 0.001;

/// All runs.
pub struct Report(pub Vec<Run>);

impl Report {
    /// What it ran on, and how often.
    pub fn print_circumstances(runs: u32, cores: &[usize]) {
        let machine = cpu_model();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let kamailio = kamailio::version().unwrap_or_else(|| "Kamailio is not installed".to_owned());
        println!("machine: {machine}, cores {cores:?}; kernel: {}", kernel.trim());
        println!("viaduct {}; {kamailio}", env!("CARGO_PKG_VERSION"));
        println!("medians of {runs} interleaved runs at saturation; one core for the device\n");
    }

    /// One table for each kind of traffic.
    pub fn print(&self, traffic: Traffic, devices: &[Device]) {
        println!(
            "{:<8} {:<14} {:>10} {:>13} {:>6} {:>9} {:>9} {:>6} {:>8} {:>8} {:>8}",
            "traffic",
            "device",
            "us CPU/msg",
            "(min-max)",
            "x raw",
            "x kamail.",
            "msg/s",
            "busy",
            "p50 us",
            "p99 us",
            "loss"
        );
        devices.iter().for_each(|device| self.print_line(traffic, *device));
        println!();
    }

    fn print_line(&self, traffic: Traffic, device: Device) {
        let cost = |run: &Run| run.cost_us();
        let costs = || self.of(traffic, device).map(cost);
        let (least, most) = costs().fold((f64::MAX, 0.0_f64), |(a, b), cost| (a.min(cost), b.max(cost)));
        let ratio = |to| self.ratio(traffic, device, to).map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        println!(
            "{:<8} {:<14} {:>10.2} {:>13} {:>6} {:>9} {:>8.0}k {:>5.0}% {:>8.0} {:>8.0} {:>7.3}%",
            traffic.label(),
            device.label(),
            median(costs()),
            format!("({least:.2}-{most:.2})"),
            ratio(Device::Raw),
            ratio(Device::Kamailio),
            median(self.of(traffic, device).map(|run| run.seen.forwarded as f64 / run.wall_ns * 1e6)),
            median(self.of(traffic, device).map(Run::busy_percent)),
            median(self.of(traffic, device).map(|run| run.round_trip_us(0.5))),
            median(self.of(traffic, device).map(|run| run.round_trip_us(0.99))),
            self.loss(traffic, device) * 100.0,
        );
    }

    /// What of the limits is not kept, in words.
    pub fn broken(&self, traffic: Traffic, limits: Limits) -> Vec<String> {
        let mut broken = Vec::new();
        let loss = self.loss(traffic, Device::Viaduct);
        if loss > MAX_LOSS {
            broken.push(format!("{}: viaduct lost {:.3} % of the messages", traffic.label(), loss * 100.0));
        }
        for (to, limit) in [(Device::Raw, limits.to_raw), (Device::Kamailio, limits.to_kamailio)] {
            let Some(limit) = limit else { continue };
            match self.ratio(traffic, Device::Viaduct, to) {
                Some(ratio) if ratio <= limit => {}
                Some(ratio) => {
                    broken.push(format!("{}: {ratio:.2} x {}, limit {limit}", traffic.label(), to.label()));
                }
                None => broken.push(format!("{}: {} did not run", traffic.label(), to.label())),
            }
        }
        broken
    }

    fn ratio(&self, traffic: Traffic, device: Device, to: Device) -> Option<f64> {
        let cost = |device| median(self.of(traffic, device).map(Run::cost_us));
        let ratio = cost(device) / cost(to);
        ratio.is_finite().then_some(ratio)
    }

    fn loss(&self, traffic: Traffic, device: Device) -> f64 {
        let lost: u64 = self.of(traffic, device).map(|run| run.seen.lost).sum();
        let sent: u64 = self.of(traffic, device).map(|run| run.seen.sent).sum();
        lost as f64 / sent.max(1) as f64
    }

    fn of(&self, traffic: Traffic, device: Device) -> impl Iterator<Item = &Run> {
        self.0.iter().filter(move |run| run.traffic == traffic && run.device == device)
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
