//! How questions get from the control thread to the shards, and answers back: bounded queues both ways.

use crossbeam::queue::ArrayQueue;
use tokio::sync::Notify;

use crate::proxy::token::probe::ProbeMark;
use crate::proxy::verdict::NextHop;

/// The most questions that wait for one shard.
const QUESTIONS_MAX: usize = 1024;

/// The most outcomes that wait for the control thread: as many as there may be backends.
const OUTCOMES_MAX: usize = 4096;

/// A question to be sent.
#[derive(Debug)]
pub struct Question {
    /// Where to.
    pub hop: NextHop,
    /// The message.
    pub bytes: Vec<u8>,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, with that status.
    Answered(u16),
    /// The backend's address takes no connection.
    Refused,
    /// It was not sent, for a reason of our own: nothing is known.
    Unsent,
}

/// What the shards and whoever probes share.
#[derive(Debug)]
pub struct ProbeExchange {
    questions: Box<[ArrayQueue<Question>]>,
    outcomes: ArrayQueue<(ProbeMark, Outcome)>,
    bell: Notify,
}

impl ProbeExchange {
    /// Empty queues for so many shards.
    pub fn new(shards: usize) -> Self {
        let questions = (0..shards).map(|_| ArrayQueue::new(QUESTIONS_MAX)).collect();
        ProbeExchange { questions, outcomes: ArrayQueue::new(OUTCOMES_MAX), bell: Notify::new() }
    }

    /// Has that shard send a question, once it is woken. `false` where its queue is full.
    pub fn ask(&self, shard: usize, question: Question) -> bool {
        self.questions.get(shard).is_some_and(|queue| queue.push(question).is_ok())
    }

    /// The next question that this shard is to send.
    pub fn take(&self, shard: usize) -> Option<Question> {
        self.questions.get(shard)?.pop()
    }

    /// Whether that shard has questions to send.
    pub fn has_questions(&self, shard: usize) -> bool {
        self.questions.get(shard).is_some_and(|queue| !queue.is_empty())
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.questions.len()
    }

    /// Tells what became of a question, and wakes whoever probes. Where the queue is full it is lost, as a datagram might be.
    /// Allocates nothing and never waits.
    pub fn tell(&self, mark: ProbeMark, outcome: Outcome) {
        let _ = self.outcomes.push((mark, outcome));
        self.bell.notify_one();
    }

    /// The next thing that was told.
    pub fn told(&self) -> Option<(ProbeMark, Outcome)> {
        self.outcomes.pop()
    }

    /// Waits until something was told since the last call.
    pub async fn bell(&self) {
        self.bell.notified().await;
    }
}
