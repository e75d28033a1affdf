//! nginx as a forwarder of connections (layer 4), which reads nothing of what it forwards: set up without logs, with one process; over TLS, which it ends, too,
//! and without a limit on what it forwards at once.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::certificates::Certificate;
use crate::line::Transport;

const PROGRAM: &str = "nginx";

/// Where the packages of distributions put what is loaded at the start.
const MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// The version, in nginx's words; `None` where it, or its part for streams, is not installed.
pub fn version() -> Option<String> {
    let output = Command::new(PROGRAM).arg("-V").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let has_streams = Path::new(MODULE).exists() || text.split_whitespace().any(|word| word == "--with-stream");
    text.lines().next().filter(|_| has_streams).map(|line| line.replace("nginx version: ", ""))
}

/// Writes its file into `directory`, and gives the command line that starts it.
pub fn command_line(
    transport: Transport,
    listen: SocketAddr,
    backends: &[SocketAddr],
    (directory, certificate): (&Path, &Certificate),
) -> Result<Vec<String>, String> {
    let configuration = directory.join("nginx.conf");
    let ssl = match transport.is_secure() {
        true => format!(
            " ssl;\n        ssl_certificate {};\n        ssl_certificate_key {};\n        ssl_protocols TLSv1.2 TLSv1.3",
            certificate.chain.display(),
            certificate.key.display()
        ),
        false => String::new(),
    };
    fs::write(&configuration, configuration_text(listen, &ssl, backends, directory))
        .map_err(|error| format!("{}: {error}", configuration.display()))?;
    let (prefix, file) = (directory.to_string_lossy(), configuration.to_string_lossy());
    Ok([PROGRAM, "-p", &prefix, "-c", &file, "-e", "/dev/null"].map(str::to_owned).into())
}

fn configuration_text(listen: SocketAddr, ssl: &str, backends: &[SocketAddr], directory: &Path) -> String {
    let mut servers = String::new();
    for backend in backends {
        let _ = write!(servers, "server {backend}; ");
    }
    let load = if Path::new(MODULE).exists() { format!("load_module {MODULE};") } else { String::new() };
    format!(
        "{load}
daemon off;
master_process off;
pid {}/nginx.pid;
error_log /dev/null;
events {{ worker_connections 4096; }}
stream {{
    access_log off;
    upstream backends {{ {servers} }}
    server {{
        listen {listen}{ssl};
        proxy_pass backends;
        proxy_buffer_size 64k;
        tcp_nodelay on;
    }}
}}
",
        directory.display()
    )
}
