//! Kamailio as a stateless dispatcher, set up as a fair comparison asks: its fastest allocator, one worker on its one
//! socket, no failover, no logs, nothing loaded that is not used.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = "kamailio";

/// The version, in Kamailio's words; `None` where it is not installed.
pub fn version() -> Option<String> {
    let output = Command::new(PROGRAM).arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(|line| line.replace("version: ", ""))
}

/// Writes its files into `directory`, and gives the command line that starts it.
pub fn command_line(listen: SocketAddr, backends: &[SocketAddr], directory: &Path) -> Result<Vec<String>, String> {
    let list = directory.join("dispatcher.list");
    let configuration = directory.join("kamailio.cfg");
    let mut text = String::new();
    for backend in backends {
        let _ = writeln!(text, "1 sip:{backend}");
    }
    let write =
        |path: &Path, text: String| fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()));
    write(&list, text)?;
    write(&configuration, configuration_text(listen, &list))?;
    let words = [PROGRAM, "-f", &configuration.to_string_lossy(), "-Y", &directory.to_string_lossy(), "-DD", "-E"]
        .map(str::to_owned);
    let sizes = ["-x", "tlsf", "-X", "tlsf", "-m", "64", "-M", "16", "-b", "4194304"].map(str::to_owned);
    Ok(words.into_iter().chain(sizes).collect())
}

fn configuration_text(listen: SocketAddr, list: &Path) -> String {
    format!(
        "#!KAMAILIO
debug=-1
log_stderror=no
children=1
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
use_dns_cache=off
listen=udp:{listen}
loadmodule \"dispatcher.so\"
modparam(\"dispatcher\", \"list_file\", \"{}\")
request_route {{
    if (!ds_select_dst(\"1\", \"0\")) {{
        exit;
    }}
    forward();
}}
",
        list.display()
    )
}
