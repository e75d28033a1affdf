//! `viaduct demo` as it is started by its users: the real program, on each engine, for a few seconds.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn every_call_completes_on_the_poll_engine() {
    let outcome = finished(start(&["--seconds", "3", "--io", "poll"], &[]));
    assert_completed(&outcome);
    assert!(outcome.text.contains("(poll)"), "{}", outcome.text);
}

#[test]
fn every_call_completes_on_the_engine_that_is_to_be_had() {
    assert_completed(&finished(start(&["--seconds", "3"], &[])));
}

#[test]
fn settings_for_another_purpose_do_not_keep_it_from_running() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = taken.local_addr().unwrap().to_string();
    let variables = [
        ("VIADUCT_LISTEN", "udp://192.0.2.1:5060"),
        ("VIADUCT_BACKENDS", "udp://no-such-host.invalid:5060"),
        ("VIADUCT_SECRET_FILE", "/nowhere/secret"),
        ("VIADUCT_TRUSTED", "127.0.0.0/8"),
        ("VIADUCT_ADMIN_LISTEN", admin.as_str()),
        ("VIADUCT_LOG", "trace"),
    ];
    let outcome = finished(start(&["--seconds", "1", "--calls-per-second", "20"], &variables));
    assert_completed(&outcome);
    assert!(outcome.errors.contains(&format!("{admin} cannot be had for /metrics")), "{}", outcome.errors);
}

#[test]
fn a_signal_ends_it_and_the_calls_in_progress_complete() {
    for signal in ["-TERM", "-INT"] {
        let child = start(&[], &[]);
        thread::sleep(Duration::from_secs(1));
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert_completed(&finished(child));
    }
}

struct Outcome {
    code: Option<i32>,
    text: String,
    errors: String,
}

/// The longest that any of these may take; a demo that hangs is a failure and not a wait.
const LIMIT: Duration = Duration::from_secs(30);

fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("VIADUCT_")) {
        command.env_remove(name);
    }
    // Each test has an admin port of the kernel's choice, so that they do not meet.
    command.env("VIADUCT_ADMIN_LISTEN", "127.0.0.1:0").envs(variables.iter().copied());
    command.arg("demo").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn finished(mut child: Child) -> Outcome {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > LIMIT {
            child.kill().unwrap();
            let mut text = String::new();
            let _ = child.stdout.take().unwrap().read_to_string(&mut text);
            panic!("the demo does not end: {text}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { code: status.code(), text: text(stdout), errors: text(stderr) }
}

/// The last block says that calls were made, that none failed, and that no message was lost; so does the exit code.
fn assert_completed(outcome: &Outcome) {
    let Outcome { code, text, errors } = outcome;
    let calls = text.lines().rfind(|line| line.trim_start().starts_with("calls ")).unwrap_or_default();
    let count = |name: &str| {
        let words: Vec<&str> = calls.split_whitespace().map(|word| word.trim_end_matches(',')).collect();
        let at = words.iter().position(|word| *word == name)?;
        words[at - 1].replace(',', "").parse::<u64>().ok()
    };
    assert_eq!((*code, count("failed")), (Some(0), Some(0)), "{text}{errors}");
    assert!(count("completed") > Some(0) && count("completed") == count("started"), "{text}{errors}");
    assert!(text.contains("every message is accounted for"), "{text}{errors}");
}
