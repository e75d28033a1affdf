//! Kamailio as a stateless dispatcher, set up as a fair comparison asks: its fastest allocator, one worker on its one
//! socket, no failover, no logs, nothing loaded that is not used. Over TCP one worker too, which then has all connections and
//! need not ask another process for their descriptors, and buffers that hold many messages.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::certificates::Certificate;
use crate::device::PORTS;
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
    (directory, certificate): (&Path, &Certificate),
) -> Result<Vec<String>, String> {
    let list = directory.join("dispatcher.list");
    let configuration = directory.join("kamailio.cfg");
    let mut text = String::new();
    for backend in backends {
        let _ = writeln!(text, "1 sip:{backend};transport={}", transport.of_backends().scheme());
    }
    let write =
        |path: &Path, text: String| fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()));
    write(&list, text)?;
    write(&configuration, configuration_text(transport, listen, &list, certificate))?;
    let words = [PROGRAM, "-f", &configuration.to_string_lossy(), "-Y", &directory.to_string_lossy(), "-DD", "-E"]
        .map(str::to_owned);
    let sizes = ["-x", "tlsf", "-X", "tlsf", "-m", "64", "-M", "16", "-b", "4194304"].map(str::to_owned);
    Ok(words.into_iter().chain(sizes).collect())
}

/// Whether the modules that a transport takes are installed.
pub fn speaks(transport: Transport) -> bool {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let folders: Vec<_> =
        folders.map(|folder| folder.join("kamailio/modules")).filter(|folder| folder.exists()).collect();
    let is_there = |module: &str| folders.iter().any(|folder| folder.join(module).exists());
    let has_tls = !transport.is_secure() || is_there("tls.so");
    has_tls && (!transport.is_web_socket() || is_there("websocket.so") && is_there("xhttp.so"))
}

fn configuration_text(transport: Transport, listen: SocketAddr, list: &Path, certificate: &Certificate) -> String {
    let of_transport = if transport == Transport::Udp { "disable_tcp=yes" } else { TCP };
    let (mut modules, mut upgrade) = (String::new(), "");
    if transport.is_secure() {
        let _ = write!(
            modules,
            "loadmodule \"tls.so\"\nmodparam(\"tls\", \"tls_method\", \"TLSv1.2+\")\n\
             modparam(\"tls\", \"certificate\", \"{}\")\nmodparam(\"tls\", \"private_key\", \"{}\")\n",
            certificate.chain.display(),
            certificate.key.display()
        );
    }
    if transport.is_web_socket() {
        modules += WEB_SOCKET;
        upgrade = UPGRADE;
    }
    // A listener for WebSocket is one for TCP, or TLS, on which clients ask for more.
    let scheme = if transport.is_secure() { "tls" } else { transport.of_backends().scheme() };
    let enable_tls = if transport.is_secure() { "enable_tls=yes" } else { "" };
    // What goes to a backend over TCP leaves by a socket of that transport.
    let behind = match transport.is_secure() {
        true => format!("listen=tcp:{}:{}", listen.ip(), listen.port() + PORTS),
        false => String::new(),
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
{enable_tls}
listen={scheme}:{listen}
{behind}
{modules}loadmodule \"dispatcher.so\"
modparam(\"dispatcher\", \"list_file\", \"{}\")
request_route {{
    if (!ds_select_dst(\"1\", \"0\")) {{
        exit;
    }}
    forward();
}}
{upgrade}",
        list.display()
    )
}

/// The queue of a connection that is being opened holds 32 KiB by itself, less than what is under way here.
const TCP: &str = "tcp_children=1
tcp_conn_wq_max=16777216
tcp_wq_max=67108864";

const WEB_SOCKET: &str = "loadmodule \"sl.so\"
loadmodule \"tm.so\"
loadmodule \"pv.so\"
loadmodule \"xhttp.so\"
loadmodule \"websocket.so\"
modparam(\"websocket\", \"keepalive_mechanism\", 0)
tcp_accept_no_cl=yes
";

const UPGRADE: &str = "event_route[xhttp:request] {
    if (!ws_handle_handshake()) {
        exit;
    }
}
";
