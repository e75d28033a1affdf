//! Settings of what is told, read again while the program runs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::collector::{OverTcp, over_udp};
use crate::viaduct::{Viaduct, backend, request};

/// Files of one test, which go with it.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("viaduct-observe-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        Files(directory)
    }

    fn settings(&self) -> PathBuf {
        self.0.join("env")
    }

    fn key(&self) -> PathBuf {
        self.0.join("key")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(path: &Path, text: impl AsRef<str>) {
    fs::write(path, text.as_ref()).unwrap();
}

fn call(viaduct: &Viaduct, call_id: &str) {
    viaduct.send(request("OPTIONS", call_id, "", ""));
    assert!(viaduct.answer().starts_with("SIP/2.0 200"));
}

#[test]
fn copies_begin_go_elsewhere_and_end_as_settings_that_are_read_again_have_it() {
    let files = Files::new("copies");
    let ((udp, over_udp), tcp) = (over_udp(), OverTcp::start());
    write(&files.settings(), "");
    let (env, backend) = (files.settings(), backend());
    let viaduct = Viaduct::start(&[("VIADUCT_ENV_FILE", env.to_str().unwrap()), ("VIADUCT_BACKENDS", &backend)]);
    call(&viaduct, "none@a.example");
    write(&files.settings(), format!("VIADUCT_HEP={udp}\nVIADUCT_HEP_AGENT_ID=7\n"));
    assert_eq!(viaduct.reload(), "VIADUCT_HEP, VIADUCT_HEP_AGENT_ID");
    call(&viaduct, "udp@a.example");
    viaduct.until("the first collector has it", || over_udp.of("udp@a.example").len() == 4);
    write(&files.key(), "the first key");
    let key = files.key();
    let elsewhere = format!("VIADUCT_HEP={}\nVIADUCT_HEP_KEY_FILE={}\n", tcp.url, key.display());
    write(&files.settings(), elsewhere);
    viaduct.reload();
    call(&viaduct, "tcp@a.example");
    viaduct.until("the second collector has it", || tcp.heard.of("tcp@a.example").len() == 4);
    write(&files.key(), "the second key");
    assert_eq!(viaduct.reload(), "VIADUCT_HEP_KEY_FILE");
    call(&viaduct, "key@a.example");
    viaduct.until("the second collector has it", || tcp.heard.of("key@a.example").len() == 4);
    assert!(tcp.heard.of("key@a.example").iter().all(|told| told.key == b"the second key"));
    write(&files.settings(), "");
    viaduct.reload();
    call(&viaduct, "over@a.example");
    assert_eq!((over_udp.len(), tcp.heard.len()), (4, 8));
    assert_eq!(viaduct.sum("viaduct_hep_copies_total"), 12);
    assert!(!viaduct.end().join("\n").contains("second key"));
}

#[test]
fn a_key_that_cannot_be_read_changes_nothing() {
    let files = Files::new("key");
    let (url, heard) = over_udp();
    write(&files.settings(), format!("VIADUCT_HEP={url}\n"));
    let (env, backend) = (files.settings(), backend());
    let viaduct = Viaduct::start(&[("VIADUCT_ENV_FILE", env.to_str().unwrap()), ("VIADUCT_BACKENDS", &backend)]);
    write(
        &files.settings(),
        format!("VIADUCT_HEP=udp://127.17.0.7:9\nVIADUCT_HEP_KEY_FILE={}\n", files.key().display()),
    );
    viaduct.hang_up();
    let is_refused =
        |line: &String| line.contains("settings stay as they were") && line.contains("VIADUCT_HEP_KEY_FILE");
    viaduct.until("it is refused", || viaduct.lines().iter().any(is_refused));
    call(&viaduct, "same@a.example");
    viaduct.until("the same collector has it", || heard.of("same@a.example").len() == 4);
}

#[test]
fn problems_are_told_at_the_rate_of_settings_that_are_read_again() {
    let files = Files::new("problems");
    write(&files.settings(), "VIADUCT_LOG_PROBLEMS_PER_SECOND=0\n");
    let env = files.settings();
    let viaduct = Viaduct::start(&[("VIADUCT_ENV_FILE", env.to_str().unwrap())]);
    for (rate, is_told) in [("0", false), ("1", true), ("0", false)] {
        write(&files.settings(), format!("VIADUCT_LOG_PROBLEMS_PER_SECOND={rate}\n"));
        viaduct.reload();
        let before = viaduct.sum("viaduct_log_problems_total");
        viaduct.send(request("OPTIONS", "refused@a.example", "", ""));
        assert!(viaduct.answer().starts_with("SIP/2.0 503"));
        if is_told {
            viaduct.until("it is told", || viaduct.sum("viaduct_log_problems_total") == before + 1);
        }
        assert_eq!(viaduct.sum("viaduct_log_problems_total") - before, u64::from(is_told));
    }
}
