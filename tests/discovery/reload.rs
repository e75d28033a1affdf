//! Settings that are read again while Viaduct runs: all of them or none, and what is known of backends stays.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::dns::{Dns, a};
use crate::scene::{Backend, Scene, eventually, host, port};
use crate::{CALLS, names};

const SECRET: &str = "VIADUCT_SECRET=a secret for tests only";

const PATIENCE: Duration = Duration::from_secs(5);

/// A pool of these backends of a network, with a name each.
fn pool(network: u8, backends: &[&str]) -> String {
    let entry = |backend: &&str| {
        let (name, rest) = backend.split_once(' ').unwrap();
        let (number, more) = rest.split_once(';').map_or((rest, ""), |(number, more)| (number, more));
        let more = if more.is_empty() { String::new() } else { format!(";{more}") };
        format!("{name}=udp://{}:{}{more}", host(network, number.parse().unwrap()), port(network))
    };
    format!("VIADUCT_BACKENDS={}", backends.iter().map(entry).collect::<Vec<_>>().join(","))
}

fn start(network: u8, file: &str, settings: &[(&str, &str)]) -> Scene {
    let settings = [&[("VIADUCT_ENV_FILE", "{folder}/settings")], settings].concat();
    Scene::start(network, &[("settings", file)], &settings)
}

fn taken(scene: &Scene) -> f64 {
    scene.metric(r#"viaduct_reloads_total{result="taken"}"#).unwrap()
}

fn refused(scene: &Scene) -> f64 {
    scene.metric(r#"viaduct_reloads_total{result="refused"}"#).unwrap()
}

#[test]
fn a_file_that_changes_is_put_in_force_and_dialogs_figures_and_standing_stay() {
    let file = |backends: &[&str]| format!("# the pool\n{SECRET}\n{}\n", pool(7, backends));
    let scene = start(7, &file(&["a 11", "b 12"]), &[]);
    let [one, two, three] = [11, 12, 13].map(|number| scene.backend(number));
    assert_eq!(scene.reached(CALLS), names(&[&one, &two]));
    let dialogs = scene.calls(CALLS);
    let requests = || scene.metric(r#"viaduct_backend_requests_total{backend="a"}"#).unwrap();
    let before = requests();
    scene.write("settings", &file(&["a 11;weight=0", "b 12;weight=2", "c 13"]));
    eventually("the file is read again", || scene.reached(CALLS) == names(&[&two, &three]));
    assert!(scene.has_logged(r#"settings were read again changed="VIADUCT_BACKENDS""#));
    assert!(requests() >= before && before > 0.0, "figures are kept");
    assert_eq!(scene.metric(r#"viaduct_backend_weight{backend="b"}"#), Some(2.0));
    assert_eq!(scene.lost(&dialogs), 0);
    // The same backend at another address: its name is what it is known by.
    drop(one);
    let moved = scene.backend(14);
    let of_a = dialogs.iter().filter(|dialog| dialog.backend.starts_with(&host(7, 11).to_string())).count();
    scene.write("settings", &file(&["a 14;weight=0", "b 12", "c 13"]));
    eventually("it is put in force", || taken(&scene) == 2.0);
    assert_eq!(scene.reached_within(&dialogs, &moved), of_a, "they follow the name");
    assert_eq!(scene.metric("viaduct_last_reload_taken"), Some(1.0));
}

#[test]
fn a_bad_one_changes_nothing_and_the_log_says_why() {
    let good = format!("{SECRET}\n{}\nVIADUCT_LOST_PIN=481", pool(8, &["a 11", "b 12"]));
    let scene = start(8, &good, &[("VIADUCT_RELOAD_S", "0")]);
    let [one, two] = [11, 12].map(|number| scene.backend(number));
    let dialogs = scene.calls(CALLS);
    let digest = || scene.line_of("viaduct_config_info{");
    let before = digest();
    let own = scene.sip;
    let with = |more: &str| format!("{good}\n{more}");
    let bad: [(String, &str); 10] = [
        (with("VIADUCT_LOST=481"), "line 4: there is no setting VIADUCT_LOST here"),
        (with("rehash"), "line 4 is not VARIABLE=value"),
        (with("VIADUCT_LOST_PIN=410"), "VIADUCT_LOST_PIN (--lost-pin) is `410`"),
        (with("VIADUCT_SHARDS=3"), "VIADUCT_SHARDS is `3`: it cannot change while Viaduct runs"),
        (with("VIADUCT_SECRET=brief"), "VIADUCT_SECRET is `(not shown)`"),
        (with("VIADUCT_BACKENDS=a=udp://10.0.0.1:5060,a=udp://10.0.0.2:5060"), "each name and each address once"),
        (with(&format!("VIADUCT_BACKENDS=udp://{own}")), "it is a listener of Viaduct's own"),
        (with("VIADUCT_BACKENDS=tcp://10.0.0.1:5060"), "no listener is tcp:// and IPv4"),
        (with("VIADUCT_BACKENDS=udp://no-such.example:5060"), "nothing is found of no-such.example:5060"),
        (with("VIADUCT_BACKENDS_FILE={folder}/none"), "VIADUCT_BACKENDS_FILE is `"),
    ];
    for (number, (text, why)) in bad.iter().enumerate() {
        scene.write("settings", text);
        scene.hang_up();
        eventually(why, || refused(&scene) == number as f64 + 1.0);
        assert!(scene.has_logged("settings stay as they were: ") && scene.has_logged(why), "{why}");
        assert_eq!((scene.lost(&dialogs), scene.reached(CALLS)), (0, names(&[&one, &two])), "{why}");
    }
    assert_eq!((digest(), taken(&scene), scene.metric("viaduct_last_reload_taken")), (before, 0.0, Some(0.0)));
    scene.write("settings", &good);
    scene.hang_up();
    eventually("it is as it was", || taken(&scene) == 1.0);
    assert!(scene.has_logged("settings were read again: nothing has changed"));
}

#[test]
fn a_secret_is_changed_in_its_file_and_no_dialog_is_lost() {
    let others = "VIADUCT_SECRETS_ACCEPTED_FILE={folder}/accepted\nVIADUCT_TABLE_SECRET=the first secret of all";
    let file = format!("VIADUCT_SECRET_FILE={{folder}}/secret\n{others}\n{}", pool(9, &["a 11", "b 12"]));
    let files = [("secret", "the first secret of all"), ("accepted", ""), ("settings", file.as_str())];
    let settings = [("VIADUCT_ENV_FILE", "{folder}/settings"), ("VIADUCT_SECRET", "")];
    let scene = Scene::start(9, &files, &settings);
    let _backends = [11, 12].map(|number| scene.backend(number));
    let mut dialogs = scene.calls(CALLS);
    // As of a file that is written in two goes, or has lost a line.
    scene.write("settings", &file.replace("VIADUCT_SECRET_FILE={folder}/secret\n", ""));
    eventually("none is drawn in the place of one that was set", || refused(&scene) == 1.0);
    assert!(scene.has_logged("VIADUCT_SECRET is `unset`: it was set before"));
    scene.write("settings", &file);
    eventually("it is as it was", || taken(&scene) == 1.0);
    scene.write("accepted", "the second secret of all\nthe first secret of all");
    eventually("it is accepted", || taken(&scene) == 2.0);
    scene.write("secret", "the second secret of all");
    eventually("it signs", || taken(&scene) == 3.0);
    assert_eq!(scene.lost(&dialogs), 0);
    dialogs.extend(scene.calls(CALLS));
    scene.write("accepted", "");
    eventually("the first is forgotten", || taken(&scene) == 4.0);
    let rejected = || scene.metric(r#"viaduct_rejected_tokens_total{token="pin"}"#).unwrap_or(0.0);
    let (first, second) = dialogs.split_at(CALLS);
    assert_eq!((scene.lost(second), rejected()), (0, 0.0));
    // By the table alone, which has not changed.
    assert_eq!((scene.lost(first), rejected()), (0, CALLS as f64), "what it signed counts no more");
}

#[test]
fn backends_are_asked_as_it_is_set_from_then_on_or_no_more() {
    let file = |probe: &str| {
        format!("{SECRET}\n{}\nVIADUCT_PROBE_INTERVAL_MS=200\nVIADUCT_PROBE={probe}", pool(10, &["a 11", "b 12"]))
    };
    let scene = start(10, &file("off"), &[]);
    let up = |name: &str| scene.metric(&format!(r#"viaduct_backend_up{{backend="{name}"}}"#));
    let one = scene.backend(11);
    assert_eq!([up("a"), up("b")], [Some(1.0); 2], "nobody asks");
    scene.write("settings", &file("on"));
    eventually("the one that is not there is found out", || [up("a"), up("b")] == [Some(1.0), Some(0.0)]);
    assert_eq!(scene.reached(CALLS), names(&[&one]));
    scene.write("settings", &file("off"));
    eventually("what nobody asks counts as alive", || [up("a"), up("b")] == [Some(1.0); 2]);
}

#[test]
fn other_name_servers_are_asked_unless_they_know_nothing_of_the_backends() {
    let (first, second, empty) = (Dns::start(host(11, 53)), Dns::start(host(11, 54)), Dns::start(host(11, 55)));
    let name = format!("kam.example:{}", port(11));
    first.set("kam.example", 1, vec![a(host(11, 11))]);
    second.set("kam.example", 1, vec![a(host(11, 12))]);
    let file =
        |dns: &Dns, names: &str| format!("{SECRET}\nVIADUCT_RESOLVERS={}\nVIADUCT_BACKENDS={names}", dns.address);
    let url = format!("udp://{name}");
    let settings = [("VIADUCT_ENV_FILE", "{folder}/settings")];
    let text = file(&first, &url);
    let scene = Scene::start_with(first, 11, &[("settings", &text)], &settings);
    let [one, two] = [11, 12].map(|number: u8| Backend::at((host(11, number), port(11)).into()));
    eventually("it starts", || scene.logged("metrics at") > 0 && scene.reached(CALLS) == names(&[&one]));
    scene.write("settings", &file(&empty, &format!("udp://other.example:{}", port(11))));
    eventually("it is refused", || refused(&scene) == 1.0);
    assert_eq!(scene.reached(CALLS), names(&[&one]), "the first is asked as before");
    scene.write("settings", &file(&second, &url));
    eventually("the second is asked", || scene.reached(CALLS) == names(&[&two]));
}

#[test]
fn how_connections_are_kept_changes_for_those_that_there_are() {
    let file = |seconds: u8| format!("{SECRET}\n{}\nVIADUCT_MESSAGE_TIMEOUT_S={seconds}", pool(17, &["a 11"]));
    let scene = start(17, &file(60), &[("VIADUCT_LISTEN", "udp://{sip},tcp://{sip}")]);
    let _backend = scene.backend(11);
    let mut stream = TcpStream::connect(scene.sip).unwrap();
    stream.write_all(b"OPTIONS sip:a").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    assert!(stream.read(&mut [0; 64]).is_err(), "it may take a minute");
    scene.write("settings", &file(1));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let begun = Instant::now();
    // By an answer, an end or a reset: it does not wait any longer.
    let _ = stream.read(&mut [0; 64]);
    assert!(begun.elapsed() < PATIENCE, "it is not ended");
}

#[test]
fn an_operator_has_them_read_by_the_api_with_the_token_that_the_file_says() {
    let file =
        |more: &str| format!("{SECRET}\n{}\nVIADUCT_ADMIN_TOKEN_FILE={{folder}}/token\n{more}", pool(18, &["a 11"]));
    let (first, text) = ("the first token of all", file(""));
    let files = [("token", first), ("settings", text.as_str())];
    let settings = [("VIADUCT_ENV_FILE", "{folder}/settings"), ("VIADUCT_RELOAD_S", "0")];
    let scene = Scene::start(18, &files, &settings);
    assert!(scene.post("/api/reload", "another token of none").starts_with("HTTP/1.1 401"));
    let answer = scene.post("/api/reload", first);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""changed":[]"#), "{answer}");
    scene.write("token", "the second token of all");
    scene.write("settings", &file("VIADUCT_LOG=warn"));
    let answer = scene.post("/api/reload", first);
    assert!(answer.contains(r#""changed":["VIADUCT_ADMIN_TOKEN_FILE","VIADUCT_LOG"]"#), "{answer}");
    assert!(scene.post("/api/reload", first).starts_with("HTTP/1.1 401"), "it is another now");
    scene.write("settings", &file("VIADUCT_SHARDS=7"));
    let answer = scene.post("/api/reload", "the second token of all");
    assert!(answer.starts_with("HTTP/1.1 409") && answer.contains("VIADUCT_SHARDS is `7`"), "{answer}");
    scene.write("settings", &file("").replace("VIADUCT_ADMIN_TOKEN_FILE={folder}/token\n", ""));
    let answer = scene.post("/api/reload", "the second token of all");
    assert!(answer.starts_with("HTTP/1.1 409") && answer.contains("VIADUCT_ADMIN_TOKEN is `unset`"), "{answer}");
    assert_eq!((taken(&scene), refused(&scene)), (2.0, 2.0));
}
