//! What the demo shows: figures become lines of at most 80 columns, redrawn in place on a terminal.
//!
//! A TUI crate looked better, because it survives a resized window. One block of text that is written over needs two
//! escape sequences, and the same block goes to a pipe as it is.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::call::Failure;
use super::figures::Calls;
use super::page::Page;
use super::settings::Member;

/// The most columns of a line.
const COLUMNS: usize = 80;

/// How many columns a share of 100 % takes as a bar.
const BAR_COLUMNS: u64 = 16;

/// Where the output is no terminal, every how many seconds a block is written; the first after one second.
const PLAIN_EVERY_SECONDS: u64 = 10;

/// What stays the same.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// Viaduct's SIP address.
    pub viaduct: SocketAddr,
    /// How many shards run.
    pub shards: usize,
    /// On which engine.
    pub engine: &'static str,
    /// Whether another engine was wanted.
    pub fallback: bool,
    /// Where the metrics are.
    pub metrics: SocketAddr,
    /// The backends.
    pub members: Vec<Member>,
}

/// What changes.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Since the start.
    pub elapsed: Duration,
    /// Calls started a second.
    pub calls_per_second: f64,
    /// Messages that Viaduct received a second.
    pub messages_per_second: f64,
    /// The agents' figures.
    pub calls: Calls,
    /// Viaduct's figures.
    pub page: Page,
}

/// Where it is shown.
#[derive(Debug)]
pub struct Screen {
    is_terminal: bool,
    /// How many lines are to be written over.
    lines: usize,
    draws: u64,
}

impl Screen {
    /// The standard output, a terminal or not.
    pub fn on_standard_output() -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Screen { is_terminal: io::stdout().is_terminal() && !is_dumb, lines: 0, draws: 0 }
    }

    /// Shows the figures: over the last ones on a terminal, else at times. To be called once a second.
    pub fn draw(&mut self, fixed: &Fixed, view: &View) -> io::Result<()> {
        self.draws += 1;
        if self.is_terminal || self.draws % PLAIN_EVERY_SECONDS == 2 {
            let end = format!("  metrics   curl http://{}/metrics\n  end       Ctrl-C\n", fixed.metrics);
            return self.put(&format!("{}{end}", body(fixed, view)));
        }
        Ok(())
    }

    /// Shows the last figures and what they come to.
    pub fn sum_up(&mut self, fixed: &Fixed, view: &View) -> io::Result<()> {
        self.put(&format!("{}{}\n", body(fixed, view), verdict(view)))
    }

    fn put(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.is_terminal && self.lines > 0 {
            // To the first line of what was drawn, and clear to the end of the screen.
            write!(out, "\x1b[{}F\x1b[J", self.lines)?;
        }
        self.lines = text.lines().count();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

/// The figures as lines.
fn body(fixed: &Fixed, view: &View) -> String {
    let mut rows = vec![("Viaduct", headline(fixed, view.elapsed)), BLANK];
    rows.extend(call_rows(view));
    rows.push(("backend", format!("{:<15} weight {:>9} {:>7} {:>8}", "address", "calls", "share", "expected")));
    let counts = fixed.members.iter().zip(&view.calls.at_backends);
    rows.extend(counts.map(|(member, count)| (member.name, share(fixed, member, *count, &view.calls))));
    rows.push(BLANK);
    rows.extend(message_rows(view));
    rows.push(BLANK);
    rows.iter().fold(String::from("\n"), |text, (label, words)| text + &line(label, words))
}

const BLANK: (&str, String) = ("", String::new());

/// One line: a label and what stands behind it, cut where it is too wide.
fn line(label: &str, words: &str) -> String {
    let line: String = format!("  {label:<9} {words}").chars().take(COLUMNS).collect();
    format!("{}\n", line.trim_end())
}

fn call_rows(view: &View) -> [(&'static str, String); 4] {
    let calls = &view.calls;
    let [started, in_progress, completed, failed] =
        [calls.started, calls.in_progress, calls.completed, calls.failed].map(grouped);
    let [median, p99, max] = calls.latency_ns.map(milliseconds);
    let [calls_per_second, messages_per_second] =
        [view.calls_per_second, view.messages_per_second].map(|rate| grouped(rate.round() as u64));
    [
        ("calls", format!("{started} started, {in_progress} in progress, {completed} completed, {failed} failed")),
        ("rates", format!("{calls_per_second} calls/s, {messages_per_second} messages/s into Viaduct")),
        ("latency", format!("p50 {median}, p99 {p99}, max {max} from INVITE to 180")),
        BLANK,
    ]
}

/// What became of the messages, and why any were dropped or any calls failed.
fn message_rows(View { calls, page, .. }: &View) -> Vec<(&'static str, String)> {
    let under_way = match page.under_way() {
        0 => String::new(),
        count => format!(", {} under way", grouped(count)),
    };
    let mut rows = vec![("messages", format!("{} in{under_way}", grouped(page.received()))), ("", sum(page))];
    let drops: Vec<String> = page.drops().map(|(reason, count)| format!("{reason} {}", grouped(count))).collect();
    if !drops.is_empty() {
        rows.push(("dropped", drops.join(", ")));
    }
    let why = |(why, count): &(Failure, u64)| format!("{why}: {}", grouped(*count));
    let failures: Vec<String> = calls.failures.iter().map(why).collect();
    if !failures.is_empty() {
        rows.push(("failed", failures.join(", ")));
    }
    rows
}

fn headline(fixed: &Fixed, elapsed: Duration) -> String {
    let Fixed { viaduct, shards, engine, fallback, .. } = fixed;
    let engine = if *fallback { format!("{engine}: no io_uring") } else { (*engine).to_owned() };
    let plural = if *shards == 1 { "" } else { "s" };
    format!("on udp://{viaduct}, {shards} shard{plural} ({engine}), for {} s", elapsed.as_secs())
}

/// A backend's line: its share of the calls beside the share that its weight gives it, and a bar that ends at the
/// expected share where it is even.
fn share(fixed: &Fixed, member: &Member, count: u64, calls: &Calls) -> String {
    let all: u64 = calls.at_backends.iter().sum();
    let weights: u64 = fixed.members.iter().map(|member| u64::from(member.weight)).sum();
    let percent = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
    let bar = bar(count, all, BAR_COLUMNS * u64::from(member.weight) / weights.max(1));
    let address = member.address.to_string();
    format!(
        "{address:<15} {:>6} {:>9} {:>5.1} % {:>6.1} %  {bar}",
        member.weight,
        grouped(count),
        percent(count, all),
        percent(u64::from(member.weight), weights)
    )
}

/// A share as a bar, with a mark where it is expected to end.
fn bar(part: u64, whole: u64, expected: u64) -> String {
    let filled = (part * BAR_COLUMNS + whole / 2) / whole.max(1);
    let column = |at| match at {
        at if at == expected => '|',
        at if at < filled => '#',
        _ => ' ',
    };
    (0..=BAR_COLUMNS).map(column).collect::<String>().trim_end().to_owned()
}

/// What they came to: with those under way the sum that holds for every message.
fn sum(page: &Page) -> String {
    let [forwarded, answered, absorbed, dropped] =
        [page.forwarded(), page.answered(), page.absorbed(), page.dropped()].map(grouped);
    format!("= {forwarded} forwarded + {answered} answered + {absorbed} absorbed + {dropped} dropped")
}

fn verdict(view: &View) -> String {
    let View { calls, page, .. } = view;
    let messages = match page.under_way() {
        0 => "every message is accounted for".to_owned(),
        lost => format!("{} messages are not accounted for", grouped(lost)),
    };
    match calls.failed {
        0 => format!("All {} calls completed; {messages}.", grouped(calls.completed)),
        failed => format!("{} of {} calls failed; {messages}.", grouped(failed), grouped(calls.started)),
    }
}

fn milliseconds(latency_ns: u64) -> String {
    format!("{:.2} ms", latency_ns as f64 / 1e6)
}

/// A number with a comma at the thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics;

    fn fixed() -> Fixed {
        let member = |name, address: &str, weight| Member { name, address: address.parse().unwrap(), weight };
        Fixed {
            viaduct: "127.0.0.1:65535".parse().unwrap(),
            shards: 128,
            engine: "poll",
            fallback: true,
            metrics: "127.0.0.1:9060".parse().unwrap(),
            members: vec![member("alpha", "127.0.0.2:65535", 1), member("bravo", "127.0.0.3:65535", 3)],
        }
    }

    fn view(scale: u64) -> View {
        let calls = Calls {
            started: 1_234 * scale,
            in_progress: 99 * scale,
            completed: 1_135 * scale,
            failed: scale,
            failures: vec![(Failure::Refused(503), 7 * scale), (Failure::NoAnswer, 8 * scale)],
            at_backends: vec![300 * scale, 900 * scale],
            latency_ns: [100_000, 250_000, 1_000_000 * scale],
        };
        let page = Page::read(&format!("{} {}\n", metrics::MESSAGES_RECEIVED.name, 7_404 * scale));
        View { elapsed: Duration::from_secs(12 * scale), calls_per_second: 1e4, messages_per_second: 6e4, calls, page }
    }

    #[test]
    fn no_line_is_wider_than_80_columns_even_after_a_day_of_many_calls() {
        for line in body(&fixed(), &view(1_000_000)).lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
    }

    #[test]
    fn shares_stand_beside_what_the_weights_give() {
        let text = body(&fixed(), &view(1));
        let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_owned();
        assert!(line("alpha").contains("25.0 %   25.0 %  ####|"), "{}", line("alpha"));
        assert!(line("bravo").contains("75.0 %   75.0 %  ############|"), "{}", line("bravo"));
        assert!(text.contains("INVITE refused with 503: 7, INVITE not answered: 8"));
    }

    #[test]
    fn a_bar_shows_too_much_and_too_little() {
        assert_eq!(bar(1, 2, 4), "####|###");
        assert_eq!(bar(1, 16, 4), "#   |");
        assert_eq!(bar(0, 0, 4), "    |");
    }

    #[test]
    fn numbers_have_commas_at_the_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
