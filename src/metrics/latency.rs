//! How long backends take, counted into fixed buckets by the shards and shown as one Prometheus histogram.
//!
//! The histograms of the prometheus crate looked better, because they come with everything. Each observation there takes
//! a look-up by label and locked instructions on lines that all shards share; here it is two plain stores.

use prometheus::proto::{Bucket, Histogram, LabelPair, Metric as Series, MetricFamily, MetricType};

use crate::proxy::latency::{MethodClass, Phase, Sample};

use super::Metric;
use super::cells::Cell;

/// The upper bounds of the buckets, in microseconds: 0.5 ms to 30 s. What takes longer is in none of them.
pub const BOUNDS_US: [u32; 15] = [
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
    10_000_000, 30_000_000,
];

const PHASES: usize = Phase::ALL.len();
const CLASSES: usize = MethodClass::ALL.len();

/// What one shard counts of one backend.
#[derive(Debug, Default)]
pub struct LatencyCells {
    histograms: [HistogramCells; PHASES * CLASSES],
}

#[derive(Debug, Default)]
struct HistogramCells {
    /// How many fell into each bucket alone; the last one is for what is beyond all bounds.
    counts: [Cell; BOUNDS_US.len() + 1],
    sum_us: Cell,
}

impl LatencyCells {
    /// Counts a sample. Only the owning shard may.
    pub fn observe(&self, sample: &Sample) {
        let bucket = BOUNDS_US.partition_point(|bound| *bound < sample.elapsed_us);
        for phase in sample.phases {
            let cells = &self.histograms[place(*phase, sample.class)];
            cells.counts[bucket].add(1);
            cells.sum_us.add(u64::from(sample.elapsed_us));
        }
    }

    /// Adds what was counted to a total.
    pub fn add_to(&self, phase: Phase, class: MethodClass, total: &mut Total) {
        let cells = &self.histograms[place(phase, class)];
        for (total, cell) in total.counts.iter_mut().zip(&cells.counts) {
            *total += cell.get();
        }
        total.sum_us += cells.sum_us.get();
    }
}

/// What several shards counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    counts: [u64; BOUNDS_US.len() + 1],
    sum_us: u64,
}

impl Total {
    /// How many samples there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// How many fell into each bucket of [`BOUNDS_US`] alone, and beyond all.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The time, in microseconds, within which that part of all samples lies, from 0 to 1, taken to be spread evenly in a
    /// bucket; the highest bound where it lies beyond all; `None` without samples.
    pub fn quantile_us(&self, part: f64) -> Option<f64> {
        let rank = part * self.count() as f64;
        let mut below = 0;
        for (index, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            if (below + count) as f64 >= rank {
                let Some(upper) = BOUNDS_US.get(index) else { break };
                let lower = index.checked_sub(1).map_or(0, |index| BOUNDS_US[index]);
                let inside = (rank - below as f64) / *count as f64;
                return Some(f64::from(lower) + f64::from(upper - lower) * inside);
            }
            below += count;
        }
        (self.count() > 0).then(|| f64::from(BOUNDS_US[BOUNDS_US.len() - 1]))
    }

    /// As Prometheus counts: each bucket holds all that lies below its bound, and the count is of the very same reading.
    fn histogram(&self) -> Histogram {
        let mut below = 0;
        let bucket = |(bound_us, count): (&u32, &u64)| {
            below += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(f64::from(*bound_us) / 1e6);
            bucket.set_cumulative_count(below);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(BOUNDS_US.iter().zip(&self.counts).map(bucket).collect());
        histogram.set_sample_count(self.count());
        histogram.set_sample_sum(self.sum_us as f64 / 1e6);
        histogram
    }
}

/// The family of a metric, with a series for each row of label values.
pub(super) fn family<'a>(metric: &Metric, rows: impl IntoIterator<Item = (Vec<&'a str>, Total)>) -> MetricFamily {
    let series = |(values, total): (Vec<&str>, Total)| {
        let mut labels: Vec<LabelPair> = metric.labels.iter().zip(values).map(label).collect();
        labels.sort_by(|a, b| a.name().cmp(b.name()));
        let mut series = Series::from_label(labels);
        series.set_histogram(total.histogram());
        series
    };
    let mut family = MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(MetricType::HISTOGRAM);
    family.set_metric(rows.into_iter().map(series).collect());
    family
}

fn label((name, value): (&&str, &str)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name((*name).to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn place(phase: Phase, class: MethodClass) -> usize {
    phase.index() * CLASSES + class.index()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::backend::BackendSlot;

    fn total_of(elapsed_us: &[u32]) -> Total {
        let cells = LatencyCells::default();
        for elapsed_us in elapsed_us {
            let phases = &[Phase::Final];
            let class = MethodClass::Other;
            cells.observe(&Sample { backend: BackendSlot(0), class, phases, elapsed_us: *elapsed_us });
        }
        let mut total = Total::default();
        cells.add_to(Phase::Final, MethodClass::Other, &mut total);
        cells.add_to(Phase::First, MethodClass::Other, &mut total);
        cells.add_to(Phase::Final, MethodClass::Invite, &mut total);
        total
    }

    #[test]
    fn a_time_falls_into_the_first_bucket_that_reaches_it_and_into_all_above() {
        let histogram = total_of(&[0, 500, 501, 30_000_000, 60_000_000]).histogram();
        let counts: Vec<u64> = histogram.get_bucket().iter().map(Bucket::cumulative_count).collect();
        assert_eq!(counts, [2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4]);
        assert_eq!(histogram.get_sample_count(), 5);
        assert!((histogram.get_sample_sum() - 90.001_001).abs() < 1e-9);
    }

    #[test]
    fn a_quantile_lies_in_its_bucket_and_beyond_all_bounds_is_the_highest() {
        assert_eq!(total_of(&[]).quantile_us(0.5), None);
        assert_eq!(total_of(&[600, 700, 800, 900]).quantile_us(0.5), Some(750.0));
        assert_eq!(total_of(&[100, 1_500]).quantile_us(0.99), Some(1_980.0));
        assert_eq!(total_of(&[60_000_000]).quantile_us(0.5), Some(30_000_000.0));
    }

    #[test]
    fn bounds_are_told_in_seconds_and_rise() {
        let histogram = total_of(&[]).histogram();
        let bounds: Vec<f64> = histogram.get_bucket().iter().map(Bucket::upper_bound).collect();
        assert_eq!((bounds[0], bounds[14]), (0.0005, 30.0));
        assert!(bounds.is_sorted());
    }
}
