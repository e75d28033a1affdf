//! What deploy/ has for Prometheus and Grafana names metrics and labels that there are.
//!
//! To ask a Prometheus looked surer, and tests/deploy.sh does. To it a metric that nobody has is no error: the query gives nothing, and
//! the alert is never raised.

use std::fs;
use std::path::Path;

use viaduct::metrics::catalogue::{self, Metric};

/// What Prometheus adds by itself: where something was scraped, and the bounds of histograms.
const LABELS_OF_PROMETHEUS: [&str; 3] = ["instance", "job", "le"];

#[test]
fn every_query_of_the_board_names_metrics_and_labels_that_there_are() {
    let queries = queries("grafana.json", "\"expr\": \"", "\",");
    assert!(queries.len() > 20, "{queries:?}");
    queries.iter().for_each(|query| assert_known(&query.replace("\\\"", "\"")));
}

#[test]
fn every_alert_names_metrics_and_labels_that_there_are() {
    let queries = queries("alerts.yaml", "expr: ", "labels: ");
    assert!(queries.len() > 10, "{queries:?}");
    queries.iter().for_each(|query| assert_known(query));
}

/// What stands in a file of deploy/ between these two, each time.
fn queries(file: &str, before: &str, behind: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)).unwrap();
    text.split(before).skip(1).map(|rest| rest.split(behind).next().unwrap().to_owned()).collect()
}

fn assert_known(query: &str) {
    let words: Vec<&str> = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let metrics: Vec<&Metric> =
        words.iter().filter(|word| word.starts_with("viaduct_")).map(|word| metric(word, query)).collect();
    let is_label = |label: &str| {
        LABELS_OF_PROMETHEUS.contains(&label) || metrics.iter().any(|metric| metric.labels.contains(&label))
    };
    for label in labels(query) {
        assert!(is_label(label), "no metric of this has the label {label}: {query}");
    }
}

fn metric(word: &str, query: &str) -> &'static Metric {
    let names = [Some(word), word.strip_suffix("_bucket"), word.strip_suffix("_sum"), word.strip_suffix("_count")];
    let mut all = catalogue::all();
    let known = all.find(|metric| names.contains(&Some(metric.name)));
    known.unwrap_or_else(|| panic!("there is no metric {word}: {query}"))
}

/// The labels that a query selects or groups by.
fn labels(query: &str) -> Vec<&str> {
    let grouped = query.split("by (").skip(1).flat_map(|rest| rest.split(')').next().unwrap_or_default().split(", "));
    let braces = query.split('{').skip(1).flat_map(|rest| rest.split('}').next().unwrap_or_default().split(','));
    let selected = braces.map(|selector| selector.split(['=', '!']).next().unwrap_or_default());
    grouped.chain(selected).map(str::trim).filter(|label| !label.is_empty()).collect()
}
