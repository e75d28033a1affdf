//! A problem as it travels from a shard to whoever writes the log: a record of a fixed size, in a queue that has an end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrayvec::ArrayVec;
use crossbeam::queue::ArrayQueue;
use tokio::sync::Notify;

use crate::metrics::cells::{Dropped, ShardCells};
use crate::metrics::problems::Problem;
use crate::sip::Transport;
use crate::sip::header::HeaderName;
use crate::sip::scan::Head;
use crate::sip::start_line::{Method, StartLine};

use super::rate::{Bucket, Rate};

/// How much of a Call-ID is told, in bytes.
pub const CALL_ID_BYTES_MAX: usize = 128;

/// A reason phrase of an answer of our own, as far as it is told: the longest are shorter.
pub type Phrase = ArrayVec<u8, 96>;

/// The longest answer: it repeats headers of the request.
const ANSWER_BYTES_MAX: usize = 65_535 + 4096;

/// The most problems that wait to be written. They are taken within milliseconds.
const WAITING_MAX: usize = 1024;

/// A problem, as far as the log tells it.
#[derive(Clone, Debug)]
pub struct Record {
    /// What it is.
    pub problem: Problem,
    /// Why a request could not be delivered that was answered for that.
    pub cause: Option<Dropped>,
    /// Who sent the message or has the connection, where that is known.
    pub peer: Option<SocketAddr>,
    /// Where the message was to go, where it had a next hop.
    pub next_hop: Option<SocketAddr>,
    /// What it came by, or was to go by.
    pub transport: Option<Transport>,
    /// What of the message could be read.
    pub read: Read,
    /// The reason phrase of our own answer.
    pub phrase: Phrase,
}

/// What could be read of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// A request's method.
    pub method: Option<Method>,
    /// A response's status code.
    pub status: Option<u16>,
    /// The Call-ID, cut at [`CALL_ID_BYTES_MAX`]; empty where there is none.
    pub call_id: ArrayVec<u8, CALL_ID_BYTES_MAX>,
}

/// What the shards and whoever writes the log share.
#[derive(Debug)]
pub struct ProblemQueue {
    records: ArrayQueue<Record>,
    bell: Notify,
    times_per_second: AtomicU32,
}

/// A shard's way to tell of problems.
#[derive(Debug)]
pub struct Reporter {
    queue: Arc<ProblemQueue>,
    cells: Arc<ShardCells>,
    buckets: [Bucket; Problem::COUNT],
    head: Head,
    /// Where answers are written out. Memory is used as it is filled.
    answer: Box<[u8]>,
}

impl Default for ProblemQueue {
    /// An empty one, of which nothing is told.
    fn default() -> Self {
        ProblemQueue { records: ArrayQueue::new(WAITING_MAX), bell: Notify::new(), times_per_second: AtomicU32::new(0) }
    }
}

impl ProblemQueue {
    /// Has each kind of problem told so many times a second from here on: by each shard, and to whoever writes the log by all of
    /// them together.
    pub fn set_rate(&self, times_per_second: u32) {
        self.times_per_second.store(times_per_second, Ordering::Relaxed);
    }

    /// How often each kind of problem is written; `None` where none is.
    pub fn rate(&self) -> Option<Rate> {
        Rate::per_second(self.times_per_second.load(Ordering::Relaxed))
    }

    /// The next problem that was told.
    pub fn take(&self) -> Option<Record> {
        self.records.pop()
    }

    /// Waits until a problem was told since the last call.
    pub async fn bell(&self) {
        self.bell.notified().await;
    }
}

impl Reporter {
    /// A way into that queue; what is left out is counted in `cells`, which are the shard's own.
    pub fn new(queue: Arc<ProblemQueue>, cells: Arc<ShardCells>) -> Self {
        let buckets = [Bucket::default(); Problem::COUNT];
        Reporter { queue, cells, buckets, head: Head::default(), answer: vec![0; ANSWER_BYTES_MAX].into() }
    }

    /// Whether a problem of this kind may be told now, as is then done; counts it as left out where not, if any are told.
    pub fn admits(&mut self, problem: Problem, now_us: u64) -> bool {
        let Some(rate) = self.queue.rate() else { return false };
        let is_admitted = self.buckets[problem.index()].take(rate, now_us);
        if !is_admitted {
            self.cells.problem_suppressed(problem);
        }
        is_admitted
    }

    /// Tells of a problem that was admitted. Allocates nothing and never waits: where the queue is full, the problem is left out,
    /// and counted.
    pub fn report(&self, record: Record) {
        if let Err(record) = self.queue.records.push(record) {
            self.cells.problem_crowded_out(record.problem);
        }
        self.queue.bell.notify_one();
    }

    /// Reads of a message what is told of it, however little of it is SIP.
    pub fn read(&mut self, message: &[u8]) -> Read {
        // Nothing is to stay of the message before. What was noted of one that cannot be read to its end is good.
        self.head.start = StartLine::BadResponse;
        let _ = self.head.scan(message);
        let (method, status) = match self.head.start {
            StartLine::Request { method, .. } | StartLine::BadRequest { method, .. } => (Some(method), None),
            StartLine::Response { status } => (None, Some(status)),
            StartLine::BadResponse => (None, None),
        };
        let call_id = self.head.first(HeaderName::CallId).map_or(&[][..], |field| field.value.of(message));
        Read { method, status, call_id: cut(call_id) }
    }

    /// The reason phrase of an answer that `write` writes out.
    pub fn phrase(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Phrase {
        let len = write(&mut self.answer).unwrap_or(0);
        let line = self.answer[..len].split(|byte| *byte == b'\r').next().unwrap_or_default();
        // Behind the version and the code.
        cut(line.splitn(3, |byte| *byte == b' ').nth(2).unwrap_or_default())
    }
}

/// As much of `bytes` as there is room for.
fn cut<const ROOM: usize>(bytes: &[u8]) -> ArrayVec<u8, ROOM> {
    bytes.iter().copied().take(ROOM).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::EngineKind;

    fn reporter() -> (Reporter, Arc<ShardCells>) {
        let cells = Arc::new(ShardCells::new(EngineKind::Poll, false, 0));
        let queue = Arc::new(ProblemQueue::default());
        queue.set_rate(1);
        (Reporter::new(queue, cells.clone()), cells)
    }

    fn record(problem: Problem) -> Record {
        Record {
            problem,
            cause: None,
            peer: None,
            next_hop: None,
            transport: None,
            read: Read::default(),
            phrase: ArrayVec::new(),
        }
    }

    #[test]
    fn a_flood_of_one_kind_leaves_the_others_their_own_and_is_counted() {
        let (mut reporter, cells) = reporter();
        let (flood, other) = (Problem::Dropped(Dropped::Truncated), Problem::Dropped(Dropped::NoSendSlot));
        let admitted = (0..1000).filter(|_| reporter.admits(flood, 5)).count() as u64;
        assert!(admitted < 10 && reporter.admits(other, 5));
        assert_eq!(cells.problems().left_out_count(flood.index()), 1000 - admitted);
        assert_eq!(cells.problems().left_out_count(other.index()), 0);
    }

    #[test]
    fn what_a_full_queue_does_not_take_is_counted() {
        let (reporter, cells) = reporter();
        let problem = Problem::Dropped(Dropped::Truncated);
        for _ in 0..WAITING_MAX + 3 {
            reporter.report(record(problem));
        }
        assert_eq!((cells.problems().crowded_out_total(), cells.problems().suppressed_total()), (3, 0));
        assert_eq!(std::iter::from_fn(|| reporter.queue.take()).count(), WAITING_MAX);
    }

    #[test]
    fn a_message_is_read_as_far_as_it_goes() {
        let (mut reporter, _) = reporter();
        let mut read = |message: &[u8]| reporter.read(message);
        let whole = read(b"BYE sip:b SIP/2.0\r\nCall-ID: a@b\r\n\r\n");
        assert_eq!((whole.method, whole.status, &whole.call_id[..]), (Some(Method::Bye), None, &b"a@b"[..]));
        let without_end = read(b"SIP/2.0 404 Not Found\r\ni: a@b\r\nTo: x");
        assert_eq!((without_end.method, without_end.status, &without_end.call_id[..]), (None, Some(404), &b"a@b"[..]));
        for junk in [&b"junk"[..], b"", b"\r\n", b"junk\r\n", b"\0\0\0\r\n\r\n"] {
            assert_eq!(read(junk), Read::default(), "{junk:?}: nothing is left of the message before");
        }
        let long = format!("BYE sip:b SIP/2.0\r\nCall-ID: {}\r\n\r\n", "x".repeat(500));
        assert_eq!(read(long.as_bytes()).call_id.len(), CALL_ID_BYTES_MAX);
    }
}
