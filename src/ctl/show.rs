//! Answers of the API as text for people. What is missing in an answer, as of another version, is a dash.

use std::fmt::Write;

use serde_json::Value;

use super::table::{Column, table};

const POOL: [Column; 13] = [
    ("name", false),
    ("address", false),
    ("standing", false),
    ("health", false),
    ("probed", true),
    ("weight", true),
    ("effective", true),
    ("share", true),
    ("requests", true),
    ("req/s", true),
    ("5xx", true),
    ("p50 ms", true),
    ("p99 ms", true),
];

/// The pool as a table, and below it why backends do not get what they might.
pub(super) fn pool(pool: &Value) -> String {
    let backends = array(&pool["backends"]);
    let bounds: Vec<f64> = array(&pool["bounds_ms"]).iter().filter_map(Value::as_f64).collect();
    let rows: Vec<Vec<String>> = backends.iter().map(|backend| row(backend, &bounds)).collect();
    let mut text = table(&POOL, &rows);
    if backends.is_empty() {
        text = "there are no backends\n".to_owned();
    }
    if pool["is_panic"] == true {
        text.push_str("no backend can take calls, so they go to all (VIADUCT_PANIC)\n");
    }
    for backend in backends.iter().filter(|backend| backend["why"] != "it is in use") {
        let left = ["held_back_s", "leaving_s"].iter().find_map(|key| backend[*key].as_f64());
        let left = left.map_or(String::new(), |left| format!(", for {left:.0} s more"));
        let _ = writeln!(text, "{}: {}{left}", word(&backend["name"]), word(&backend["why"]));
    }
    text
}

/// What a reload has changed.
pub(super) fn reload(report: &Value) -> String {
    let changed: Vec<String> = array(&report["changed"]).iter().map(word).collect();
    let digest = word(&report["config_digest"]);
    match changed.is_empty() {
        true => format!("nothing has changed; the configuration is {digest}\n"),
        false => format!("changed: {}; the configuration is {digest}\n", changed.join(", ")),
    }
}

/// One backend, after a change.
pub(super) fn backend(backend: &Value) -> String {
    let share = backend["share"].as_f64().map_or("-".to_owned(), percent);
    let [name, standing, why] = ["name", "standing", "why"].map(|key| word(&backend[key]));
    format!("{name} is {standing} ({why}), weight {}, {share} of new calls\n", word(&backend["weight"]))
}

fn row(backend: &Value, bounds: &[f64]) -> Vec<String> {
    let probe = &backend["last_probe"];
    let probed = match probe["ago_s"].as_f64() {
        Some(ago) => format!("{} {} ago", word(&probe["outcome"]), seconds(ago)),
        None => "-".to_owned(),
    };
    let [p50, p99] = [0.5, 0.99].map(|part| first_response_ms(backend, bounds, part));
    let ms = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.1}"));
    vec![
        word(&backend["name"]),
        format!("{}://{}", word(&backend["transport"]), word(&backend["address"])),
        word(&backend["standing"]),
        word(&backend["health"]),
        probed,
        word(&backend["weight"]),
        backend["weight_effective"].as_f64().map_or("-".to_owned(), |weight| format!("{weight:.2}")),
        backend["share"].as_f64().map_or("-".to_owned(), percent),
        word(&backend["requests"]),
        backend["requests_per_s"].as_f64().map_or("-".to_owned(), |rate| format!("{rate:.1}")),
        word(&backend["responses"]["5xx"]),
        ms(p50),
        ms(p99),
    ]
}

/// Within which time that part of all first responses came.
fn first_response_ms(backend: &Value, bounds: &[f64], part: f64) -> Option<f64> {
    let mut counts = vec![0.0; bounds.len() + 1];
    for times in array(&backend["response_times"]).iter().filter(|times| times["phase"] == "first") {
        for (sum, count) in counts.iter_mut().zip(array(&times["counts"])) {
            *sum += count.as_f64().unwrap_or(0.0);
        }
    }
    let rank = counts.iter().sum::<f64>() * part;
    let (mut below, mut lower) = (0.0, 0.0);
    for (count, upper) in counts.iter().zip(bounds) {
        if *count > 0.0 && below + count >= rank {
            return Some(lower + (upper - lower) * (rank - below) / count);
        }
        (below, lower) = (below + count, *upper);
    }
    counts.last().filter(|beyond| **beyond > 0.0).map(|_| lower)
}

/// Viaduct itself.
pub(super) fn status(status: &Value) -> String {
    let (messages, pool) = (&status["messages"], &status["pool"]);
    let up = status["uptime_s"].as_f64().map_or("-".to_owned(), seconds);
    let mut text = String::new();
    let [version, digest, level] = ["version", "config_digest", "log_level"].map(|key| word(&status[key]));
    let _ = writeln!(text, "viaduct   {version}, for {up}, configuration {digest}, log {level}");
    let [all, ups, draining, down] = ["backends", "up", "draining", "down"].map(|key| word(&pool[key]));
    let _ = writeln!(text, "backends  {all}: {ups} up, {draining} draining, {down} down");
    let [received, forwarded, answered, absorbed, dropped] =
        ["received", "forwarded", "answered", "absorbed", "dropped"].map(|key| word(&messages[key]));
    let _ = writeln!(
        text,
        "messages  {received} in = {forwarded} forwarded + {answered} answered + {absorbed} absorbed + {dropped} dropped"
    );
    for (reason, count) in messages["dropped_by_reason"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "dropped   {} {reason}", word(count));
    }
    let columns: [Column; 8] = [
        ("shard", true),
        ("engine", false),
        ("cpu s", true),
        ("turns", true),
        ("datagrams", true),
        ("stream bytes", true),
        ("connections", true),
        ("kernel drops", true),
    ];
    let keys = ["shard", "engine", "cpu_s", "turns", "datagrams", "stream_bytes", "connections", "kernel_drops"];
    let row = |shard: &Value| keys.iter().map(|key| word(&shard[*key])).collect();
    let rows: Vec<Vec<String>> = array(&status["shards"]).iter().map(row).collect();
    text.push('\n');
    text + &table(&columns, &rows)
}

/// What would come of a change.
pub(super) fn preview(preview: &Value) -> String {
    let part = |value: &Value| value.as_f64().map_or("-".to_owned(), percent);
    let mut text = format!("{} of new calls would move\n", part(&preview["moved"]));
    for moves in array(&preview["moves"]) {
        let of = |value: &Value| if value.is_null() { "nobody".to_owned() } else { word(value) };
        let _ = writeln!(text, "  {:>7}  from {} to {}", part(&moves["share"]), of(&moves["from"]), of(&moves["to"]));
    }
    let columns: [Column; 4] = [("name", false), ("share before", true), ("share after", true), ("its dialogs", false)];
    let row = |backend: &Value| {
        let dialogs = match backend["dialogs"].as_str() {
            Some("stay_for_a_while") => "stay until it is gone".to_owned(),
            Some("rehashed") => "go to their keys' owners".to_owned(),
            Some("refused") => "are answered 481".to_owned(),
            _ => word(&backend["dialogs"]),
        };
        vec![word(&backend["name"]), part(&backend["share_before"]), part(&backend["share_after"]), dialogs]
    };
    let rows: Vec<Vec<String>> = array(&preview["backends"]).iter().map(row).collect();
    text.push('\n');
    text + &table(&columns, &rows)
}

/// What is wrong, and what would be right.
pub(super) fn problem(status: u16, text: &str) -> String {
    let Ok(problem) = serde_json::from_str::<Value>(text) else { return format!("it answers {status}") };
    let right = problem["right"].as_str().map_or(String::new(), |right| format!(". Right would be: {right}"));
    format!("{}{right}.", word(&problem["detail"]))
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn seconds(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min", whole / 60),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {} h", whole / 86_400, whole / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_backend_stands_in_its_row_and_what_is_missing_is_a_dash() {
        let times = json!([{"phase": "first", "counts": [0, 4, 0]}, {"phase": "final", "counts": [9, 9, 9]}]);
        let pool = json!({"bounds_ms": [1.0, 3.0], "is_panic": false, "backends": [
            {"name": "a", "address": "10.0.0.1:5060", "transport": "udp", "standing": "up", "why": "it is in use", "share": 0.25,
             "requests_per_s": 7.25, "response_times": times},
            {"name": "b", "why": "it was removed", "leaving_s": 12.3}]});
        let text = self::pool(&pool);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            lines[1],
            ["a", "udp://10.0.0.1:5060", "up", "-", "-", "-", "-", "25.0", "%", "-", "7.2", "-", "2.0", "3.0"]
        );
        assert_eq!(text.lines().last().unwrap(), "b: it was removed, for 12 s more");
    }

    #[test]
    fn times_are_told_as_people_do() {
        assert_eq!([1.25, 90.0, 7_260.0, 180_000.0].map(seconds), ["1.2 s", "1 min", "2 h 1 min", "2 d 2 h"]);
    }
}
