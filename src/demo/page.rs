//! What Viaduct's metrics page says, read as anybody reads it: the demo shows no figure that /metrics does not.

use crate::metrics;

/// A metrics page in the Prometheus text format.
#[derive(Clone, Debug, Default)]
pub struct Page {
    samples: Vec<(String, u64)>,
}

impl Page {
    /// Reads a page. Lines that are no sample with a whole number are passed over.
    pub fn read(text: &str) -> Self {
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        };
        Page { samples: text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect() }
    }

    /// Messages in.
    pub fn received(&self) -> u64 {
        self.sum(metrics::MESSAGES_RECEIVED.name, "")
    }

    /// Messages forwarded.
    pub fn forwarded(&self) -> u64 {
        self.sum(metrics::MESSAGES_SENT.name, "\"forwarded\"")
    }

    /// Requests answered by Viaduct itself.
    pub fn answered(&self) -> u64 {
        self.sum(metrics::MESSAGES_SENT.name, "\"answered\"")
    }

    /// Messages that ended at Viaduct as they should.
    pub fn absorbed(&self) -> u64 {
        self.sum(metrics::MESSAGES_ABSORBED.name, "")
    }

    /// Messages discarded.
    pub fn dropped(&self) -> u64 {
        self.sum(metrics::MESSAGES_DROPPED.name, "")
    }

    /// Messages that came in and are not yet accounted for.
    pub fn under_way(&self) -> u64 {
        let done = self.forwarded() + self.answered() + self.absorbed() + self.dropped();
        self.received().saturating_sub(done)
    }

    /// Why messages were discarded, and how many, where any were.
    pub fn drops(&self) -> impl Iterator<Item = (&str, u64)> {
        let drops = self.series(metrics::MESSAGES_DROPPED.name).filter(|(_, value)| *value > 0);
        drops.map(|(labels, value)| (labels.split('"').nth(1).unwrap_or(labels), value))
    }

    fn sum(&self, name: &str, label: &str) -> u64 {
        self.series(name).filter(|(labels, _)| labels.contains(label)).map(|(_, value)| value).sum()
    }

    /// The labels and values of a metric.
    fn series<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, u64)> {
        let labels = move |(series, value): &'a (String, u64)| {
            let labels = series.strip_prefix(name)?;
            (labels.is_empty() || labels.starts_with('{')).then_some((labels, *value))
        };
        self.samples.iter().filter_map(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_summed_over_labels_and_drops_are_told_by_reason() {
        let page = Page::read(
            "# HELP x\nviaduct_messages_received_total{side=\"client\"} 7\nviaduct_messages_received_total{side=\"backend\"} 3\n\
             viaduct_messages_sent_total{cause=\"forwarded\",side=\"client\"} 6\nviaduct_messages_sent_total{cause=\"answered\"} 1\n\
             viaduct_messages_absorbed_total{reason=\"keepalive\"} 0\nviaduct_messages_dropped_total{reason=\"malformed\"} 2\n\
             viaduct_messages_dropped_total{reason=\"truncated\"} 0\nviaduct_messages_dropped_total_of_another 9\n",
        );
        assert_eq!((page.received(), page.forwarded(), page.answered(), page.absorbed()), (10, 6, 1, 0));
        assert_eq!((page.dropped(), page.under_way()), (2, 1));
        assert_eq!(page.drops().collect::<Vec<_>>(), [("malformed", 2)]);
    }
}
