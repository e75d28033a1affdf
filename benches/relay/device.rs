//! The programs that are measured: each a process of its own, held to one core.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io};

use crate::certificates::Certificate;
use crate::line::Transport;
use crate::{kamailio, nginx};

/// A program that stands between clients and backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs)]
pub enum Device {
    /// The forwarder that parses nothing, on the poll engine.
    Raw,
    /// Viaduct as it starts by itself: on io_uring where that is to be had.
    Viaduct,
    /// Viaduct on the poll engine.
    ViaductPoll,
    /// Kamailio's dispatcher, stateless.
    Kamailio,
    /// nginx, which forwards connections and knows nothing of SIP.
    Nginx,
}

impl Device {
    /// All that can run here with that transport: Kamailio and nginx only where they are installed, with the modules that it
    /// takes; the raw forwarder has no layers, and nginx, which ends TLS, hands on what WebSocket says as it is.
    pub fn available(transport: Transport) -> Vec<Device> {
        use Transport::{Tcp, Tls, Udp};
        let mut devices = vec![Device::Viaduct, Device::ViaductPoll];
        devices.extend(matches!(transport, Udp | Tcp).then_some(Device::Raw));
        devices.extend(nginx::version().filter(|_| matches!(transport, Tcp | Tls)).map(|_| Device::Nginx));
        devices.extend(kamailio::version().filter(|_| kamailio::speaks(transport)).map(|_| Device::Kamailio));
        devices
    }

    /// Those that the others are compared with, with what stands over the ratios.
    pub fn baselines(transport: Transport) -> &'static [(Device, &'static str)] {
        match transport {
            Transport::Udp => &[(Device::Raw, "x raw"), (Device::Kamailio, "x kamail.")],
            Transport::Tcp => &[(Device::Raw, "x raw"), (Device::Nginx, "x nginx"), (Device::Kamailio, "x kamail.")],
            Transport::Tls => &[(Device::Nginx, "x nginx"), (Device::Kamailio, "x kamail.")],
            Transport::Ws | Transport::Wss => &[(Device::Kamailio, "x kamail.")],
        }
    }

    /// As printed.
    pub fn label(self) -> &'static str {
        match self {
            Device::Raw => "raw forwarder",
            Device::Viaduct => "viaduct",
            Device::ViaductPoll => "viaduct, poll",
            Device::Kamailio => "kamailio",
            Device::Nginx => "nginx stream",
        }
    }

    /// Starts it on `core`. `directory` is for what it needs in files.
    pub fn start(
        self,
        transport: Transport,
        core: Option<usize>,
        listen: SocketAddr,
        backends: &[SocketAddr],
        (directory, certificate): (&Path, &Certificate),
    ) -> Result<Running, String> {
        let mut command = held_to(core)?;
        match self {
            Device::Raw => {
                command.arg(own_path()?).arg("forwarder").arg(transport.scheme()).arg(listen.to_string());
                command.args(backends.iter().map(SocketAddr::to_string));
            }
            Device::Viaduct | Device::ViaductPoll => {
                command.arg(env!("CARGO_BIN_EXE_viaduct"));
                command.envs(viaduct_settings(transport, listen, backends, certificate));
                command.env("VIADUCT_IO", if self == Device::Viaduct { "auto" } else { "poll" });
            }
            Device::Kamailio => {
                command.args(kamailio::command_line(transport, listen, backends, (directory, certificate))?);
            }
            Device::Nginx => {
                command.args(nginx::command_line(transport, listen, backends, (directory, certificate))?);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| format!("{}: {error}", self.label()))?;
        Ok(Running { child })
    }
}

/// Replaces this process by a program that keeps to one core, with all that it starts.
pub fn become_held_to(core: usize, program: &[String]) -> String {
    let _ = core_affinity::set_for_current(core_affinity::CoreId { id: core });
    let Some((program, arguments)) = program.split_first() else { return "no program is named".to_owned() };
    format!("{program}: {}", Command::new(program).args(arguments).exec())
}

/// The beginning of a command line that runs the rest of it on that core.
fn held_to(core: Option<usize>) -> Result<Command, String> {
    match core {
        Some(core) => {
            let mut command = Command::new(own_path()?);
            command.arg("held-to").arg(core.to_string());
            Ok(command)
        }
        None => Ok(Command::new("env")),
    }
}

fn own_path() -> Result<std::path::PathBuf, String> {
    env::current_exe().map_err(|error| format!("the path of this program: {error}"))
}

fn viaduct_settings(
    transport: Transport,
    listen: SocketAddr,
    backends: &[SocketAddr],
    certificate: &Certificate,
) -> [(&'static str, String); 8] {
    let (scheme, behind) = (transport.scheme(), transport.of_backends());
    let backends: Vec<String> = backends.iter().map(|address| format!("{}://{address}", behind.scheme())).collect();
    let mut listeners = format!("{scheme}://{listen}");
    if behind != transport {
        // What goes to a backend leaves by a listener of its transport.
        listeners += &format!(",{}://{}:{}", behind.scheme(), listen.ip(), listen.port() + PORTS);
    }
    [
        ("VIADUCT_LISTEN", listeners),
        ("VIADUCT_TLS_CERTIFICATES", format!("{};key={}", certificate.chain.display(), certificate.key.display())),
        ("VIADUCT_BACKENDS", backends.join(",")),
        ("VIADUCT_SECRET", "0123456789abcdef".to_owned()),
        ("VIADUCT_SHARDS", "1".to_owned()),
        ("VIADUCT_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ("VIADUCT_PROBE", "off".to_owned()),
        ("VIADUCT_LOG", "warn".to_owned()),
    ]
}

/// How many ports a run uses from its first one on; beyond them are listeners to which nobody comes.
pub const PORTS: u16 = 50;

/// What a program has had of the CPU, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// How long it ran.
    pub used_ns: u64,
    /// How long it could have run, but something else did.
    pub waited_ns: u64,
}

impl Cpu {
    fn plus(self, other: Cpu) -> Cpu {
        Cpu { used_ns: self.used_ns + other.used_ns, waited_ns: self.waited_ns + other.waited_ns }
    }

    /// What came since `before`.
    pub fn since(self, before: Cpu) -> Cpu {
        Cpu { used_ns: self.used_ns - before.used_ns, waited_ns: self.waited_ns - before.waited_ns }
    }
}

/// A device that runs. It ends when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// What it has had of the CPU so far, with all that it started.
    pub fn cpu(&self) -> Cpu {
        family(self.child.id()).into_iter().map(cpu_of).fold(Cpu::default(), Cpu::plus)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let others = family(self.child.id());
        for process in others {
            let process = rustix::process::Pid::from_raw(process as i32);
            let _ = process.map(|process| rustix::process::kill_process(process, rustix::process::Signal::TERM));
        }
        let deadline = Instant::now() + Duration::from_secs(2);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process and its descendants.
fn family(root: u32) -> Vec<u32> {
    let mut members = vec![root];
    let parents: Vec<(u32, u32)> = processes().filter_map(|process| Some((process, parent(process)?))).collect();
    let mut next = 0;
    while let Some(member) = members.get(next).copied() {
        members.extend(parents.iter().filter(|(_, parent)| *parent == member).map(|(process, _)| *process));
        next += 1;
    }
    members
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The second field behind the name in parentheses, which may itself have spaces (proc(5)).
fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Over all threads of a process, by the scheduler's own account, which is finer than utime and stime.
fn cpu_of(process: u32) -> Cpu {
    let of_thread = |entry: io::Result<fs::DirEntry>| -> Option<Cpu> {
        let text = fs::read_to_string(entry.ok()?.path().join("schedstat")).ok()?;
        let mut numbers = text.split_whitespace().map(str::parse);
        Some(Cpu { used_ns: numbers.next()?.ok()?, waited_ns: numbers.next()?.ok()? })
    };
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
    threads.filter_map(of_thread).fold(Cpu::default(), Cpu::plus)
}
