//! The admin listener of the real program: what it shows, what it changes and for whom, and what it refuses.

mod ctl;
mod viaduct;

use serde_json::{Value, json};
use viaduct::{TOKEN, Viaduct};

fn named<'a>(pool: &'a Value, name: &str) -> &'a Value {
    let found = pool["backends"].as_array().unwrap().iter().find(|backend| backend["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {pool}"))
}

fn shares(of: &[(&str, f64)]) -> Vec<(String, f64)> {
    of.iter().map(|(name, share)| ((*name).to_owned(), *share)).collect()
}

#[test]
fn the_administrators_word_and_weight_are_in_force_when_the_answer_comes() {
    let viaduct = Viaduct::start(None);
    assert_eq!(viaduct.shares(), shares(&[("a", 0.3), ("b", 0.3), ("c", 0.3)]));
    let drained = viaduct.change("POST", "/api/backends/b/drain", "");
    assert_eq!((drained.status, &drained.json()["standing"]), (200, &json!("draining")), "{drained:?}");
    assert_eq!(viaduct.shares(), shares(&[("a", 0.5), ("b", 0.0), ("c", 0.5)]));
    assert_eq!(named(&viaduct.get("/api/pool").json(), "b")["why"], "it is to drain");

    let weighed = viaduct.change("PUT", "/api/backends/a/weight", r#"{"weight": 4}"#).json();
    assert_eq!([&weighed["weight"], &weighed["weight_listed"]], [4, 1]);
    assert_eq!(viaduct.shares(), shares(&[("a", 0.8), ("b", 0.0), ("c", 0.2)]));
    viaduct.change("PUT", "/api/backends/a/weight", r#"{"weight": null}"#);
    assert_eq!(viaduct.change("POST", "/api/backends/b/disable", "").json()["standing"], "down");
    assert!(viaduct.change("POST", "/api/backends/b/undrain", "").detail().contains("is disabled"));
    assert_eq!(viaduct.change("POST", "/api/backends/b/enable", "").json()["standing"], "up");
    assert_eq!(viaduct.shares(), shares(&[("a", 0.3), ("b", 0.3), ("c", 0.3)]));

    let status = viaduct.get("/api/status").json();
    assert_eq!(status["changes"]["weight"]["made"], 2);
    assert_eq!(status["changes"]["undrain"]["refused"], 1);
    assert_eq!(status["shards"][0]["shard"], 0);
    assert!(viaduct.get("/metrics").body.contains(r#"viaduct_admin_changes_total{action="drain",outcome="made"} 1"#));
}

#[test]
fn backends_come_and_go() {
    let viaduct = Viaduct::start(None);
    let added = viaduct.change("POST", "/api/backends", r#"{"backend": "d/4=udp://127.15.0.5:5060;weight=3"}"#);
    assert_eq!(added.status, 201, "{added:?}");
    assert!(added.head.contains("location: /api/backends/d%2f4"), "{added:?}");
    assert_eq!(viaduct.get("/api/backends/d%2F4").json()["source"], "api");
    assert_eq!(viaduct.shares()[3], ("d/4".to_owned(), 0.5));
    let removed = viaduct.change("DELETE", "/api/backends/d%2F4", "").json();
    assert_eq!(removed["standing"], "draining");
    assert!(removed["leaving_s"].as_f64().unwrap() > 190.0, "{removed}");
    assert!(viaduct.change("DELETE", "/api/backends/d%2F4", "").detail().contains("is leaving"));

    for (backend, status, expected) in [
        ("a=udp://127.15.0.6:5060", 409, "there is a backend a"),
        ("e=udp://127.15.0.2:5060", 409, "two backends are at"),
        ("e=tcp://127.15.0.6:5060", 422, "no listener is tcp://"),
        ("e=carrier-pigeon://127.15.0.6:5060", 422, "is not a transport"),
        ("e=udp://127.15.0.6:5060,f=udp://127.15.0.7:5060", 422, "not one backend"),
        ("", 422, "not one backend"),
    ] {
        let refused = viaduct.change("POST", "/api/backends", &json!({ "backend": backend }).to_string());
        assert_eq!(refused.status, status, "{backend}: {refused:?}");
        assert!(refused.detail().contains(expected), "{backend}: {refused:?}");
        assert!(refused.json()["right"].is_string(), "{refused:?}");
    }
    assert_eq!(viaduct.get("/api/pool").json()["backends"].as_array().unwrap().len(), 4);
}

#[test]
fn a_preview_tells_what_would_move_and_changes_nothing() {
    let viaduct = Viaduct::start(None);
    let change =
        json!({"changes": [{"action": "weight", "name": "a", "weight": 0}, {"action": "disable", "name": "b"}]});
    let preview = viaduct.change("POST", "/api/preview", &change.to_string()).json();
    assert!((preview["moved"].as_f64().unwrap() - 2.0 / 3.0).abs() < 0.01, "{preview}");
    assert_eq!([&preview["moves"][0]["to"], &preview["moves"][1]["to"]], ["c", "c"]);
    assert_eq!([&named(&preview, "a")["dialogs"], &named(&preview, "b")["dialogs"]], ["stay", "rehashed"]);
    let list = json!({"backends": "b=udp://127.15.0.3:5060,c=udp://127.15.0.4:5060,d=udp://127.15.0.5:5060"});
    let preview = viaduct.change("POST", "/api/preview", &list.to_string()).json();
    assert_eq!([&named(&preview, "a")["dialogs"], &named(&preview, "d")["dialogs"]], ["stay_for_a_while", "none"]);
    assert!((named(&preview, "d")["share_after"].as_f64().unwrap() - 1.0 / 3.0).abs() < 0.01);
    assert_eq!(viaduct.shares(), shares(&[("a", 0.3), ("b", 0.3), ("c", 0.3)]));
    let both = json!({"backends": "", "changes": [{"action": "drain", "name": "a"}]});
    assert_eq!(viaduct.change("POST", "/api/preview", &both.to_string()).status, 422);
    let unknown = json!({"changes": [{"action": "drain", "name": "z"}]});
    assert_eq!(viaduct.change("POST", "/api/preview", &unknown.to_string()).status, 404);
}

#[test]
fn a_message_is_explained_by_what_is_in_force() {
    let viaduct = Viaduct::start(None);
    let message = "OPTIONS sip:b@b.example SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nMax-Forwards: 70\n\
                   From: <sip:a@a.example>;tag=1\nTo: <sip:b@b.example>\nCall-ID: 1\nCSeq: 1 OPTIONS\n\n";
    let path = "/api/explain?source=192.0.2.1:5060";
    let told = viaduct.change("POST", path, message).json();
    assert_eq!(told["outcome"], "forwarded");
    let owner = told["backend"].as_str().unwrap().to_owned();
    viaduct.change("POST", &format!("/api/backends/{owner}/drain"), "");
    assert_ne!(viaduct.change("POST", path, message).json()["backend"], owner.as_str());
    let text = viaduct.ask("POST", path, &["Viaduct-Admin: 1", "Accept: text/plain"], message);
    assert!(text.body.contains("verdict    forwarded by listener 0"), "{text:?}");
    assert_eq!(viaduct.change("POST", "/api/explain?source=nowhere", message).status, 400);
    assert_eq!(viaduct.change("POST", &format!("{path}&listener=7"), message).status, 422);
    assert_eq!(viaduct.change("POST", path, "").status, 422);
    assert_eq!(viaduct.change("POST", path, &"x".repeat(65_537)).status, 413);
    assert_eq!(viaduct.ask("POST", path, &[], message).status, 403);
}

#[test]
fn the_log_is_changed_and_a_wrong_filter_changes_nothing() {
    let viaduct = Viaduct::start(None);
    assert_eq!(viaduct.get("/api/log").json()["level"], "info");
    let filter = "warn,viaduct::control=debug";
    assert_eq!(viaduct.change("PUT", "/api/log", &json!({ "level": filter }).to_string()).status, 200);
    let refused = viaduct.change("PUT", "/api/log", r#"{"level": "loud"}"#);
    assert!(refused.status == 422 && refused.detail().contains("has no level"), "{refused:?}");
    assert_eq!(viaduct.get("/api/log").json()["level"], filter);
}

#[test]
fn changes_need_the_token_where_one_is_set() {
    let viaduct = Viaduct::start(Some(TOKEN));
    assert_eq!(viaduct.get("/api/status").json()["changes_need"], "token");
    for headers in [&[][..], &["Viaduct-Admin: 1"], &["Authorization: Bearer another token"]] {
        let refused = viaduct.ask("POST", "/api/backends/a/drain", headers, "");
        assert_eq!(refused.status, 401, "{refused:?}");
        assert!(refused.head.contains("www-authenticate: bearer"), "{refused:?}");
    }
    assert_eq!(viaduct.change("POST", "/api/backends/a/drain", "").status, 200);
    let counted = r#"viaduct_admin_changes_total{action="drain",outcome="unauthorised"} 3"#;
    assert!(viaduct.get("/metrics").body.contains(counted));
}

#[test]
fn where_none_is_set_a_page_of_another_site_cannot_change_anything() {
    let viaduct = Viaduct::start(None);
    let rebound = ["Host: evil.example", "Viaduct-Admin: 1"];
    let cross = ["Viaduct-Admin: 1", "Origin: http://evil.example"];
    let form = ["Content-Type: text/plain", "Origin: null"];
    for headers in [&rebound[..], &cross, &form, &["Content-Type: application/json"]] {
        assert_eq!(viaduct.ask("POST", "/api/backends/a/drain", headers, "").status, 403, "{headers:?}");
    }
    let asked = viaduct.ask("OPTIONS", "/api/backends/a/drain", &["Origin: http://evil.example"], "");
    assert!(asked.status == 405 && !asked.head.contains("access-control"), "{asked:?}");
    assert_eq!(viaduct.shares()[0].1, 0.3);
}

#[test]
fn what_cannot_be_read_is_a_problem_that_says_what_would_be_right() {
    let viaduct = Viaduct::start(None);
    for (method, path, body, status) in [
        ("GET", "/api/nothing", "", 404),
        ("GET", "/api/backends/z", "", 404),
        ("POST", "/api/backends/z/drain", "", 404),
        ("DELETE", "/api/pool", "", 405),
        ("PUT", "/api/backends/a/weight", "{", 400),
        ("PUT", "/api/backends/a/weight", "{}", 400),
        ("PUT", "/api/backends/a/weight", r#"{"weight": "1"}"#, 400),
        ("PUT", "/api/backends/a/weight", r#"{"weight": 1, "wait": 1}"#, 400),
        ("PUT", "/api/backends/a/weight", r#"{"weight": 1001}"#, 422),
    ] {
        let refused = viaduct.change(method, path, body);
        assert_eq!(refused.status, status, "{method} {path} {body}: {refused:?}");
        assert!(!refused.detail().is_empty() && refused.json()["right"].is_string(), "{refused:?}");
    }
    let long = "x".repeat(600 << 10);
    assert_eq!(viaduct.change("PUT", "/api/log", &long).status, 413);
    assert_eq!(viaduct.ask("PUT", "/api/log", &["Viaduct-Admin: 1"], "{}").status, 415);
    let methods = viaduct.change("DELETE", "/api/pool", "");
    assert!(methods.head.contains("allow: get"), "{methods:?}");
}

#[test]
fn the_listener_is_there_for_others_while_many_connections_are_idle() {
    let viaduct = Viaduct::start(None);
    let idle: Vec<_> = (0..200).map(|_| std::net::TcpStream::connect(viaduct.admin).unwrap()).collect();
    assert_eq!(viaduct.get("/livez").status, 200);
    let more: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(viaduct.admin).unwrap()).collect();
    drop((idle, more));
    std::thread::sleep(std::time::Duration::from_millis(300));
    let turned_away = viaduct.get("/metrics").body;
    let line = turned_away.lines().find(|line| line.starts_with("viaduct_admin_turned_away_total ")).unwrap();
    assert!(line.rsplit(' ').next().unwrap().parse::<u64>().unwrap() > 0, "{line}");
}
