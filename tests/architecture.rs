//! The house's rules as a test: who may import whom, where `unsafe` and metric names may stand, how long a file may be.

use std::fs;
use std::path::{Path, PathBuf};

/// For each module, what of the crate it may import. ARCHITECTURE.md draws the same arrows.
const ARROWS: [(&str, &[&str]); 17] = [
    ("sip", &["sip"]),
    ("balance", &["balance"]),
    ("frame", &["frame", "sip"]),
    ("io", &["io"]),
    ("proxy", &["proxy", "sip", "balance"]),
    ("metrics", &["metrics", "proxy", "frame", "sip", "balance", "io"]),
    ("hep", &[]),
    ("observe", &["observe", "metrics", "balance", "sip", "io"]),
    ("shard", &["shard", "io", "frame", "proxy", "sip", "metrics", "balance", "observe"]),
    ("config", &["config", "frame", "sip", "balance", "io", "proxy"]),
    ("control", &["control", "explain", "observe", "hep", "metrics", "frame", "proxy", "balance", "sip"]),
    (
        "run",
        &[
            "run", "config", "explain", "control", "shard", "observe", "metrics", "proxy", "frame", "sip", "balance",
            "io",
        ],
    ),
    ("check", &["config", "run", "shard", "io", "balance"]),
    ("explain", &["explain", "proxy", "sip", "balance"]),
    ("ctl", &["ctl", "config", "control"]),
    ("demo", &["demo", "config", "control", "run", "metrics", "proxy", "sip", "balance", "io", "shard"]),
    ("lib", &[]),
];

const MAX_LINES: usize = 450;

#[test]
fn modules_import_only_along_the_arrows() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let module = module_of(&path);
        if module == "main" {
            continue;
        }
        let allowed =
            ARROWS.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("{module} has no arrows"));
        for imported in text.lines().filter(|line| !is_comment(line)).flat_map(crate_paths) {
            if !allowed.1.contains(&imported.as_str()) {
                wrong.push(format!("{} imports crate::{imported}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_stands_only_under_io() {
    for (path, text) in sources() {
        let says_unsafe =
            text.lines().any(|line| !is_comment(line) && line.contains("unsafe ") && !line.contains("unsafe_code"));
        assert!(!says_unsafe || module_of(&path) == "io", "{} says unsafe", path.display());
    }
}

#[test]
fn metric_names_stand_only_in_the_catalogue() {
    for (path, text) in sources() {
        let code = text.lines().filter(|line| !is_comment(line)).any(|line| line.contains("\"viaduct_"));
        assert!(
            !code || path.to_str().unwrap().contains("src/metrics/catalogue/"),
            "{} names a metric",
            path.display()
        );
    }
}

#[test]
fn files_are_short_and_nothing_is_put_off() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines", path.display());
        for word in ["todo!(", "unimplemented!(", "FIXME", "TODO", "#[ignore", "allow(dead_code"] {
            assert!(!text.contains(word), "{} says {word}", path.display());
        }
    }
}

#[test]
fn every_module_begins_with_its_charge() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{} does not begin with what it is for", path.display());
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 20);
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

/// The first part of a path under src: `sip` for src/sip.rs and all of src/sip/.
fn module_of(path: &Path) -> String {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = below.iter().next().unwrap().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn crate_paths(line: &str) -> impl Iterator<Item = String> {
    line.split("crate::").skip(1).map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect())
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[test]
fn the_readme_names_every_setting_and_every_metric() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let files = sources().into_iter().filter(|(path, _)| module_of(path) == "config").map(|(_, text)| text);
    let config: String = files.collect();
    for setting in config.split("env = \"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        let file = setting.strip_suffix("_FILE").filter(|_| readme.contains("_FILE`"));
        assert!(
            readme.contains(setting) || file.is_some_and(|name| readme.contains(name)),
            "{setting} is not in README.md"
        );
    }
    for metric in viaduct::metrics::catalogue::all() {
        assert!(readme.contains(metric.name), "{} is not in README.md", metric.name);
    }
}
