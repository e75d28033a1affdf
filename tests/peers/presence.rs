//! Tells whether the programs that a test plays with are installed.

use std::env;
use std::io::{self, Write};

/// Whether all these programs are installed. Where one is missing, a line on the terminal says that the test is
/// skipped; with `VIADUCT_TEST_PEERS=required` the test fails, so that a build server cannot lose its peers unseen.
pub fn installed(programs: &[&str]) -> bool {
    programs.iter().all(|program| installed_or(program, is_on_path(program)))
}

/// The same, for something that the test has looked for itself.
pub fn installed_or(missing: &str, is_installed: bool) -> bool {
    if is_installed {
        return true;
    }
    let required = env::var("VIADUCT_TEST_PEERS").is_ok_and(|value| value == "required");
    assert!(!required, "{missing} is not installed, and VIADUCT_TEST_PEERS=required is set");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // The print macros would be captured, since a skipped test passes.
    let _ = writeln!(io::stderr(), "SKIPPED: {missing} is not installed: {test} did not run");
    false
}

fn is_on_path(program: &str) -> bool {
    // Debian puts daemons into /usr/sbin, which is not on every user's PATH.
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]).any(|d| d.join(program).is_file())
}
