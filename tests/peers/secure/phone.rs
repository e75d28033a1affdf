//! A phone over TLS: baresip, which registers, places one call, and answers by itself.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::peers::process::Process;
use crate::peers::scene::Scene;

/// How long it lives, in seconds: at its end it hangs up and ends its registration.
const LIFE_SECONDS: u32 = 6;

/// Where Debian puts what it loads.
const MODULES: &str = "/usr/lib/baresip/modules";

/// A phone at work.
pub struct Phone(Process);

impl Phone {
    /// Starts one at an address that is `own`, reaches its registrar through `secure`, whom it must trust, and calls `other`.
    pub fn start(scene: &Scene, at: IpAddr, secure: SocketAddr, (own, other): (&str, &str), authority: &Path) -> Phone {
        let directory = scene.directory.join("phone");
        fs::create_dir_all(&directory).unwrap();
        let settings = format!(
            "module_path {MODULES}\nmodule g711.so\nmodule uuid.so\nmodule_app account.so\nmodule_app menu.so\n\
             net_interface {at}\nsip_cafile {}\nsip_verify_server yes\n",
            authority.display()
        );
        fs::write(directory.join("config"), settings).unwrap();
        let account = format!(
            "<sip:{own};transport=tls>;auth_pass=none;outbound=\"sip:{secure};transport=tls\";sipnat=outbound;regint=60;\
             answermode=auto\n"
        );
        fs::write(directory.join("accounts"), account).unwrap();
        fs::write(directory.join("contacts"), "").unwrap();
        let mut command = Command::new("baresip");
        command.arg("-f").arg(&directory).args(["-4", "-s", "-t", &LIFE_SECONDS.to_string()]);
        command.args(["-e", &format!("d sip:{other}")]);
        Phone(Process::start(scene, "phone", &mut command))
    }

    /// Waits until it has ended, and gives its exit code.
    pub fn finish(mut self) -> i32 {
        self.0.wait(Duration::from_secs(u64::from(LIFE_SECONDS) + 10)).code().unwrap_or(-1)
    }
}
