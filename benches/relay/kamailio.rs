//! Kamailio as a stateless dispatcher, set up as a fair comparison asks: its fastest allocator, one worker on its one
//! socket, no failover, no logs, nothing loaded that is not used. Over TCP one worker too, which then has all connections and
//! need not ask another process for their descriptors, and buffers that hold many messages.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::line::Transport;

const PROGRAM: &str = "kamailio";

/// The version, in Kamailio's words; `None` where it is not installed.
pub fn version() -> Option<String> {
    let output = Command::new(PROGRAM).arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(|line| line.replace("version: ", ""))
}

/// Writes its files into `directory`, and gives the command line that starts it.
pub fn command_line(
    transport: Transport,
    listen: SocketAddr,
    backends: &[SocketAddr],
    directory: &Path,
) -> Result<Vec<String>, String> {
    let list = directory.join("dispatcher.list");
    let configuration = directory.join("kamailio.cfg");
    let mut text = String::new();
    for backend in backends {
        let _ = writeln!(text, "1 sip:{backend};transport={}", transport.scheme());
    }
    let write =
        |path: &Path, text: String| fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()));
    write(&list, text)?;
    write(&configuration, configuration_text(transport, listen, &list))?;
    let words = [PROGRAM, "-f", &configuration.to_string_lossy(), "-Y", &directory.to_string_lossy(), "-DD", "-E"]
        .map(str::to_owned);
    let sizes = ["-x", "tlsf", "-X", "tlsf", "-m", "64", "-M", "16", "-b", "4194304"].map(str::to_owned);
    Ok(words.into_iter().chain(sizes).collect())
}

fn configuration_text(transport: Transport, listen: SocketAddr, list: &Path) -> String {
    let of_transport = match transport {
        Transport::Udp => "disable_tcp=yes",
        Transport::Tcp => TCP,
    };
    format!(
        "#!KAMAILIO
debug=-1
log_stderror=no
children=1
{of_transport}
auto_aliases=no
dns=no
rev_dns=no
use_dns_cache=off
listen={}:{listen}
loadmodule \"dispatcher.so\"
modparam(\"dispatcher\", \"list_file\", \"{}\")
request_route {{
    if (!ds_select_dst(\"1\", \"0\")) {{
        exit;
    }}
    forward();
}}
",
        transport.scheme(),
        list.display()
    )
}

/// The queue of a connection that is being opened holds 32 KiB by itself, less than what is under way here.
const TCP: &str = "tcp_children=1
tcp_conn_wq_max=16777216
tcp_wq_max=67108864";
