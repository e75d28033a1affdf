//! `viaduct ctl` as an operator meets it: the real program, asked by the real command.

use crate::viaduct::{TOKEN, Viaduct};

/// What it prints where it succeeds.
fn printed(viaduct: &Viaduct, arguments: &[&str], input: &str) -> String {
    let output = viaduct.ctl(arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Its exit code, and what it says, where it fails.
fn failed(viaduct: &Viaduct, arguments: &[&str]) -> (i32, String) {
    let output = viaduct.ctl(arguments, "");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// The row of that name, as words.
fn row(viaduct: &Viaduct, name: &str) -> Vec<String> {
    let pool = printed(viaduct, &["pool"], "");
    let line = pool.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in:\n{pool}")).split_whitespace().map(str::to_owned).collect()
}

#[test]
fn each_word_is_done_and_told() {
    for token in [None, Some(TOKEN)] {
        let viaduct = Viaduct::start(token);
        assert_eq!(row(&viaduct, "a")[1..3], ["udp://127.15.0.2:5060", "up"]);
        assert_eq!(
            printed(&viaduct, &["drain", "a"], ""),
            "a is draining (it is to drain), weight 1, 0.0 % of new calls\n"
        );
        assert_eq!(row(&viaduct, "a")[2], "draining");
        assert!(printed(&viaduct, &["pool"], "").contains("\na: it is to drain\n"));
        for (word, standing) in [("undrain", "up"), ("disable", "down"), ("enable", "up")] {
            printed(&viaduct, &[word, "a"], "");
            assert_eq!(row(&viaduct, "a")[2], standing);
        }
        printed(&viaduct, &["weight", "b", "7"], "");
        assert_eq!(row(&viaduct, "b")[5], "7");
        printed(&viaduct, &["weight", "b", "listed"], "");
        assert_eq!(row(&viaduct, "b")[5], "1");
        printed(&viaduct, &["add", "d=udp://127.15.0.5:5060;weight=2"], "");
        assert!(row(&viaduct, "d")[7].starts_with("40."));
        assert!(printed(&viaduct, &["remove", "d"], "").starts_with("d is draining (it was removed)"));
        assert_eq!(printed(&viaduct, &["log", "warn"], ""), "warn\n");
        assert_eq!(printed(&viaduct, &["log"], ""), "warn\n");
        assert!(printed(&viaduct, &["status"], "").contains("messages  0 in = 0 forwarded + 0 answered"));
    }
}

#[test]
fn a_preview_and_an_explanation_are_text_for_people_and_json_for_programs() {
    let viaduct = Viaduct::start(Some(TOKEN));
    let preview = printed(&viaduct, &["preview", "disable", "c"], "");
    assert!(preview.contains(" of new calls would move\n") && preview.contains("from c to a\n"), "{preview}");
    assert!(preview.contains("go to their keys' owners"), "{preview}");
    let list = printed(&viaduct, &["preview", "list", "a=udp://127.15.0.2:5060", "--json"], "");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&list).unwrap()["backends"][1]["dialogs"], "stay_for_a_while");
    let message = "OPTIONS sip:b@b.example SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nMax-Forwards: 70\n\
                   From: <sip:a@a.example>;tag=1\nTo: <sip:b@b.example>\nCall-ID: 1\nCSeq: 1 OPTIONS\n\n";
    let told = printed(&viaduct, &["explain", "--source", "192.0.2.1:5060"], message);
    assert!(told.starts_with("message    OPTIONS ") && told.contains("verdict    forwarded"), "{told}");
    let json = printed(&viaduct, &["explain", "--source", "192.0.2.1:5060", "--json"], message);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["outcome"], "forwarded");
}

#[test]
fn the_exit_code_tells_a_refusal_from_a_wrong_setting_and_from_silence() {
    let viaduct = Viaduct::start(Some(TOKEN));
    let (code, text) = failed(&viaduct, &["drain", "z"]);
    assert_eq!(code, 1);
    assert!(text.contains("no backend is named `z`. Right would be: a name that GET /api/pool shows."), "{text}");
    assert_eq!(failed(&viaduct, &["drain", "a", "--admin-token", "a token that is another"]).0, 1);
    for arguments in
        [&["weight", "a", "1001"][..], &["pool", "--admin", "https://127.0.0.1:1"], &["pool", "--admin", "x"], &["x"]]
    {
        assert_eq!(failed(&viaduct, arguments).0, 2, "{arguments:?}");
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, text) = failed(&viaduct, &["pool", "--admin", &format!("http://{free}")]);
    assert!(code == 3 && text.contains(&format!("no Viaduct answers at http://{free}")), "{text}");
}
