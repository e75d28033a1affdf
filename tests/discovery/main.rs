//! Pools that are found by names, through the real program and a name server of the test's own: what is found, what is kept while
//! name servers fail, and what becomes of dialogs meanwhile.

#[path = "../names/dns.rs"]
mod dns;
#[path = "../peers/knot.rs"]
mod knot;
#[path = "../peers/presence.rs"]
mod presence;
mod real_server;
mod reload;
mod scene;

use dns::{Dns, a, aaaa, naptr, srv};
use scene::{Backend, Dialog, Scene, eventually, host, port};

/// How many calls are made so that each of three backends gets some: one misses all with a chance of one in two million.
const CALLS: usize = 36;

fn addresses(backends: &[&Backend]) -> Vec<hickory_proto::rr::RData> {
    // No listener reaches IPv6, so what is there does not count.
    backends.iter().map(|backend| a(backend.ip())).chain([aaaa("::1")]).collect()
}

fn names(backends: &[&Backend]) -> Vec<String> {
    let mut names: Vec<String> = backends.iter().map(|backend| backend.address.to_string()).collect();
    names.sort();
    names
}

#[test]
fn a_pool_by_a_name_grows_and_shrinks_and_no_dialog_is_lost_whatever_the_name_server_says() {
    let name = format!("kam.example:{}", port(1));
    let url = format!("udp://{name}");
    let dns = Dns::start(host(1, 53));
    dns.set("kam.example", 1, vec![a(host(1, 11))]);
    let scene = Scene::start_with(dns, 1, &[], &[("VIADUCT_BACKENDS", &url)]);
    let [one, two, three] = [11, 12, 13].map(|number| scene.backend(number));
    eventually("it starts and is ready", || scene.logged("metrics at") > 0 && scene.is_ready());
    let mut dialogs: Vec<Dialog> = scene.calls(CALLS);
    let steps: [(&[&Backend], &[&Backend]); 6] = [
        (&[&one, &two], &[&one, &two]),
        (&[&one, &two, &three], &[&one, &two, &three]),
        (&[&two, &three], &[&two, &three]),
        (&[&two], &[&two]),
        (&[&three, &two], &[&two, &three]),
        (&[&one, &two, &three], &[&one, &two, &three]),
    ];
    for (said, reached) in steps {
        scene.dns.set("kam.example", 1, addresses(said));
        eventually("the change is taken up", || {
            scene.metric(&format!(r#"viaduct_discovered_backends{{entry="{name}"}}"#)) == Some(said.len() as f64)
                && scene.reached(CALLS) == names(reached)
        });
        assert_eq!(scene.lost(&dialogs), 0, "as the name leads to {:?}", names(said));
        dialogs.extend(scene.calls(CALLS));
    }
    scene.dns.fail(true);
    assert!(scene.has_logged("do not answer about a name of backends; what was known stays in use"));
    assert_eq!((scene.lost(&dialogs), scene.reached(CALLS)), (0, names(&[&one, &two, &three])));
    scene.dns.fail(false);
    scene.dns.set("kam.example", 1, Vec::new());
    assert!(scene.has_logged("leads nowhere; what was known stays in use"));
    assert_eq!((scene.lost(&dialogs), scene.reached(CALLS)), (0, names(&[&one, &two, &three])));
    assert_eq!(scene.metric(&format!(r#"viaduct_discovery_doubtful{{entry="{name}"}}"#)), Some(1.0));
}

#[test]
fn the_dialogs_of_a_name_that_leads_to_one_more_go_on_and_so_they_do_when_it_leads_to_one_again() {
    let url = format!("kam=udp://kam.example:{}", port(5));
    let dns = Dns::start(host(5, 53));
    dns.set("kam.example", 1, vec![a(host(5, 11))]);
    let scene = Scene::start_with(dns, 5, &[], &[("VIADUCT_BACKENDS", &url)]);
    let [one, two] = [11, 12].map(|number| scene.backend(number));
    eventually("it starts", || scene.logged("metrics at") > 0);
    let mut dialogs = scene.calls(CALLS);
    for said in [vec![&one, &two], vec![&one], vec![&two, &one]] {
        scene.dns.set("kam.example", 1, addresses(&said));
        eventually("the change is taken up", || scene.reached(CALLS) == names(&said));
        assert_eq!(scene.lost(&dialogs), 0, "as the name leads to {:?}", names(&said));
        dialogs.extend(scene.calls(CALLS));
    }
}

#[test]
fn a_service_of_lower_priority_gets_calls_only_while_no_other_lives_and_weights_are_heeded() {
    let (network, port) = (2, port(2));
    let dns = Dns::start(host(network, 53));
    dns.set("example", 60, vec![naptr(1, "SIPS+D2T", "tls.example"), naptr(2, "SIP+D2U", "farm.example")]);
    let record = |priority, weight, name| srv(priority, weight, port, name);
    dns.set(
        "farm.example",
        60,
        vec![
            record(1, 10, "a.example"),
            record(1, 30, "b.example"),
            record(1, 0, "c.example"),
            record(2, 1, "d.example"),
        ],
    );
    for (name, number) in [("a.example", 11), ("b.example", 12), ("c.example", 13), ("d.example", 14)] {
        dns.set(name, 60, vec![a(host(network, number))]);
    }
    let settings = [
        ("VIADUCT_BACKENDS", "farm=sip://example"),
        ("VIADUCT_PROBE", "on"),
        ("VIADUCT_PROBE_INTERVAL_MS", "200"),
        ("VIADUCT_PROBE_TIMEOUT_MS", "150"),
    ];
    let [mut one, mut two, mut spare, last] = [11, 12, 13, 14].map(|number| backend(network, number));
    let scene = Scene::start_with(dns, network, &[], &settings);
    eventually("the two of weight share the calls", || {
        scene.logged("metrics at") > 0 && scene.reached(CALLS) == names(&[&one, &two])
    });
    assert_eq!(scene.metric(&format!(r#"viaduct_backend_weight{{backend="farm@b.example:{port}"}}"#)), Some(3.0));
    let asked = (scene.dns.asked_naptr("example"), scene.dns.asked("farm.example"));
    assert_eq!(asked, (1, 1), "answers hold for as long as they say");
    one.end();
    eventually("the other has them", || scene.reached(CALLS) == names(&[&two]));
    two.end();
    eventually("then the one of weight 0", || scene.reached(CALLS) == names(&[&spare]));
    spare.end();
    eventually("then the lower priority", || scene.reached(CALLS) == names(&[&last]));
    two.begin_again();
    eventually("and back", || scene.reached(CALLS) == names(&[&two]));
}

#[test]
fn where_a_name_leads_to_viaduct_itself_it_is_left_out() {
    let dns = Dns::start(host(6, 53));
    dns.set("one.example", 60, vec![a(host(6, 11))]);
    dns.set("self.example", 60, vec![a(host(6, 1))]);
    let one = srv(1, 1, port(6), "one.example");
    dns.set("_sip._udp.example", 1, vec![one.clone()]);
    let scene = Scene::start_with(dns, 6, &[], &[("VIADUCT_BACKENDS", "udp://example")]);
    let backend = scene.backend(11);
    assert!(scene.has_logged("metrics at /metrics"));
    scene.dns.set("_sip._udp.example", 1, vec![one, srv(1, 1, scene.sip.port(), "self.example")]);
    eventually("it is left out", || scene.metric("viaduct_discovery_left_out") == Some(1.0));
    assert!(scene.has_logged("left out: another has the address, or Viaduct itself"));
    assert_eq!(scene.reached(CALLS), names(&[&backend]));
}

fn backend(network: u8, number: u8) -> Backend {
    Backend::at((host(network, number), port(network)).into())
}

#[test]
fn what_is_not_found_keeps_nobody_from_starting_but_from_being_ready() {
    let dns = Dns::start(host(3, 53));
    dns.fail(true);
    let url = format!("udp://kam.example:{}", port(3));
    let scene = Scene::start_with(dns, 3, &[], &[("VIADUCT_BACKENDS", &url)]);
    assert!(scene.has_logged("metrics at /metrics") && scene.has_logged("no backend of this name is found"));
    assert!(!scene.is_ready());
    assert_eq!(scene.call().map(|dialog| dialog.backend).unwrap_err(), "SIP/2.0 503 Service Unavailable - No Backend");
    let one = scene.backend(11);
    scene.dns.set("kam.example", 1, vec![a(one.ip())]);
    scene.dns.fail(false);
    eventually("it is ready", || scene.is_ready());
    assert_eq!(scene.reached(3), names(&[&one]));
    scene.dns.fail(true);
    assert!(scene.has_logged("do not answer about a name of backends"));
    assert!(scene.is_ready(), "once ready, it stays so");
}

#[test]
fn a_file_of_backends_is_read_again_when_it_changes_and_a_bad_one_changes_nothing() {
    let line = |number: u8| format!("udp://{}:{}\n", host(4, number), port(4));
    let files = [("pool", format!("# the pool\n{}", line(11)))];
    let file = [("pool", files[0].1.as_str())];
    let scene = Scene::start(
        4,
        &file,
        &[("VIADUCT_BACKENDS_FILE", "{folder}/pool"), ("VIADUCT_BACKENDS", &format!("udp://kam.example:{}", port(4)))],
    );
    let [one, two, three] = [11, 12, 13].map(|number| scene.backend(number));
    assert_eq!(scene.reached(CALLS), names(&[&one]));
    let dialogs = scene.calls(CALLS);
    scene.dns.set("kam.example", 1, vec![a(three.ip())]);
    scene.write("pool", &format!("{}{}", line(11), line(12)));
    eventually("the file is read again", || scene.reached(CALLS) == names(&[&one, &two, &three]));
    scene.write("pool", &format!("{}udp:/10.0.0.1\n", line(11)));
    assert!(scene.has_logged("line 2: `udp:/10.0.0.1`"));
    assert_eq!(scene.reached(CALLS), names(&[&one, &two, &three]));
    scene.write("pool", &line(12));
    eventually("the file is read again", || scene.reached(CALLS) == names(&[&two, &three]));
    assert_eq!(scene.lost(&dialogs), 0, "who was removed keeps its dialogs for a while");
}
