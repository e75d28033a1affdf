//! Sends copies of messages on to a collector by HEP, such as Homer: over UDP, or over TCP with connections that are made again.
//!
//! A queue of packets that waits for a lost collector on a disk looked safer. What is copied is for looking at calls, and what the
//! collector misses is counted; the calls themselves must not depend on how it is.

use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, io};

use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, sleep_until, timeout};

use crate::hep::{self, Packet, Protocol};
use crate::metrics::copies::ExportCells;
use crate::observe::copy::{Copy, CopyQueue};
use crate::observe::withhold;
use crate::sip::Transport;

use super::link::{Collector, Link};
use super::look_up::LookUp;

/// How copies are sent on.
#[derive(Clone, PartialEq, Eq)]
pub struct ExportPolicy {
    /// Where to.
    pub collector: Collector,
    /// The number by which the collector tells this Viaduct from others.
    pub agent: u32,
    /// The key that the collector asks for; empty where it asks for none.
    pub key: Vec<u8>,
    /// Whether they have the bodies of messages.
    pub has_bodies: bool,
}

/// Who sends copies on, by one policy.
struct Exporter {
    policy: ExportPolicy,
    queue: Arc<CopyQueue>,
    cells: Arc<ExportCells>,
    /// Packets that are sent together.
    packets: Vec<u8>,
    look_up: LookUp,
    /// Whether the log has said so, where copies do not get through.
    has_complained: bool,
}

/// What an exporter is told.
pub struct Orders {
    /// How copies are sent on, `None` where they are not. It stays as it is once the sender is gone.
    pub policies: watch::Receiver<Option<ExportPolicy>>,
    /// Told or dropped when the end has come.
    pub stop: oneshot::Receiver<()>,
}

/// Why a link is no more fed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    /// The end has come.
    Stopped,
    /// The policy has changed.
    Changed,
    /// It is time to look the collector's name up again.
    Renewed,
}

/// How long a connection may take to open, name and all.
const CONNECT: Duration = Duration::from_secs(10);

/// How long the collector may take to take something.
const WRITE: Duration = Duration::from_secs(5);

/// How long is waited after the first failure; after each further one twice as long, up to the longest.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(10);

/// A connection that lasts for less has failed like one that did not open.
const SHORT_LIVED: Duration = Duration::from_secs(5);

/// How often a name is looked up again where no connection ends.
const RENEW: Duration = Duration::from_secs(60);

/// How often it is looked for copies where none wait. At that, all buffers together last for 200,000 copies a second.
const LOOK: Duration = Duration::from_millis(5);

/// How many bytes of packets are sent together over a stream, at least one packet.
const BATCH_BYTES: usize = 64 << 10;

/// How many copies that is at most, with those that are too long for a packet.
const BATCH_COPIES: usize = 256;

/// For how long what is left may still be sent at the end.
const FAREWELL: Duration = Duration::from_millis(500);

impl fmt::Debug for ExportPolicy {
    /// All but the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportPolicy").field("collector", &self.collector).finish_non_exhaustive()
    }
}

/// Sends copies on as it is told, until the end has come. Those that nobody takes any more are lost, which is counted.
pub async fn export(queue: Arc<CopyQueue>, cells: Arc<ExportCells>, mut orders: Orders) {
    loop {
        let policy = orders.policies.borrow_and_update().clone();
        let order = match policy {
            Some(policy) => Exporter::new(policy, queue.clone(), cells.clone()).run(&mut orders).await,
            None => {
                lose(&queue, &cells);
                orders.next().await
            }
        };
        if order == Over::Stopped {
            return lose(&queue, &cells);
        }
    }
}

/// Gives up what waits.
fn lose(queue: &CopyQueue, cells: &ExportCells) {
    while let Some(copy) = queue.take() {
        queue.give_back(copy);
        cells.lost.add(1);
    }
}

impl Orders {
    async fn next(&mut self) -> Over {
        tokio::select! {
            _ = &mut self.stop => Over::Stopped,
            Ok(()) = self.policies.changed() => Over::Changed,
        }
    }
}

impl Exporter {
    /// One that sends on what comes through that queue.
    fn new(policy: ExportPolicy, queue: Arc<CopyQueue>, cells: Arc<ExportCells>) -> Self {
        let (packets, look_up) = (Vec::with_capacity(2 * BATCH_BYTES), LookUp::default());
        Exporter { policy, queue, cells, packets, look_up, has_complained: false }
    }

    /// Sends until another order comes. The link that it has then is over.
    async fn run(mut self, orders: &mut Orders) -> Over {
        let mut rest = FIRST_REST;
        loop {
            let connected = tokio::select! {
                connected = timeout(CONNECT, Link::open(&self.policy.collector, &mut self.look_up)) => connected,
                order = orders.next() => return order,
            };
            let begun = Instant::now();
            let over = match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(mut link) => {
                    self.relent(&link);
                    self.feed(&mut link, orders).await
                }
                Err(error) => Err(error),
            };
            match over {
                Ok(Over::Renewed) => self.has_complained = false,
                Ok(order) => return order,
                Err(error) => {
                    self.complain(&error);
                    rest = if begun.elapsed() < SHORT_LIVED { rest } else { FIRST_REST };
                    tokio::select! {
                        () = sleep(rest) => rest = (rest * 2).min(LONGEST_REST),
                        order = orders.next() => return order,
                    }
                }
            }
        }
    }

    /// Sends what comes, for as long as the link holds. Orders come first: by another policy goes what waits, too.
    async fn feed(&mut self, link: &mut Link, orders: &mut Orders) -> io::Result<Over> {
        let renew = Instant::now() + RENEW;
        loop {
            let may_more_wait = self.send_some(link).await?;
            tokio::select! {
                biased;
                order = orders.next() => {
                    if order == Over::Stopped {
                        // Whether it gets through or not is counted.
                        let _ = timeout(FAREWELL, self.send_all(link)).await;
                    }
                    return Ok(order);
                }
                error = link.broken() => return Err(error),
                () = sleep_until(renew.into()), if link.is_renewed() => return Ok(Over::Renewed),
                () = pause(may_more_wait) => {}
            }
        }
    }

    async fn send_all(&mut self, link: &mut Link) -> io::Result<()> {
        while self.send_some(link).await? {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Sends packets of what waits, once; whether more may wait.
    async fn send_some(&mut self, link: &mut Link) -> io::Result<bool> {
        match self.pack(link.batch_bytes(BATCH_BYTES)) {
            None => Ok(false),
            Some(0) => Ok(true),
            Some(count) => self.send(link, count).await.map(|()| true),
        }
    }

    /// Sends the packets that were put together. Over UDP those that are refused hold up none of the others.
    async fn send(&mut self, link: &mut Link, count: u64) -> io::Result<()> {
        let mut sending = Sending { cells: &self.cells, count };
        let sent = timeout(WRITE, link.send(&self.packets)).await;
        match sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(()) => sending.has_gone(),
            Err(error) if link.outlives_errors() => {
                drop(sending);
                self.complain(&error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Puts packets together up to that many bytes, of one copy at least; how many there are. `None` where no copy waits.
    fn pack(&mut self, batch_bytes: usize) -> Option<u64> {
        self.packets.clear();
        let mut count = 0;
        for taken in 0..BATCH_COPIES {
            let Some(mut copy) = self.queue.take() else { return (taken > 0).then_some(count) };
            match self.encode(&mut copy) {
                Ok(()) => count += 1,
                Err(hep::TooLong) => self.cells.too_long.add(1),
            }
            self.queue.give_back(copy);
            if self.packets.len() >= batch_bytes {
                break;
            }
        }
        Some(count)
    }

    fn encode(&mut self, copy: &mut Copy) -> Result<(), hep::TooLong> {
        let ExportPolicy { agent, key, has_bodies, .. } = &self.policy;
        if !has_bodies {
            copy.bytes.truncate(withhold::head_bytes(&copy.bytes));
        }
        withhold::mask(&mut copy.bytes);
        let packet = Packet {
            source: copy.path.source,
            destination: copy.path.destination,
            protocol: if copy.path.transport == Transport::Udp { Protocol::Udp } else { Protocol::Tcp },
            at: copy.at,
            agent: *agent,
            key,
            correlation: &copy.call_id,
            payload: &copy.bytes,
        };
        hep::encode(&packet, &mut self.packets)
    }

    /// Says that copies do not get through: once until they do, and over UDP, where nobody knows, once in the life of a link.
    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.has_complained, true) {
            let collector = &self.policy.collector;
            tracing::warn!(%collector, %error, "copies of messages do not get to the collector (VIADUCT_HEP)");
        }
    }

    /// Says that they do again.
    fn relent(&mut self, link: &Link) {
        if !link.outlives_errors() && std::mem::replace(&mut self.has_complained, false) {
            tracing::info!(collector = %self.policy.collector, "the collector is connected again");
        }
    }
}

/// Lets others on this thread have their turn, and shards copy something.
async fn pause(may_more_wait: bool) {
    match may_more_wait {
        true => tokio::task::yield_now().await,
        false => sleep(LOOK).await,
    }
}

/// Packets that are being sent: lost, unless they have gone.
struct Sending<'a> {
    cells: &'a ExportCells,
    count: u64,
}

impl Sending<'_> {
    fn has_gone(&mut self) {
        self.cells.sent.add(std::mem::take(&mut self.count));
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.cells.lost.add(self.count);
    }
}
