//! What keeps a connection or an address translation open and says nothing: line ends (RFC 5626 §3.5.1, §4.4.1).
//!
//! A frame for each ping looked simpler. A flood of line ends would then be a flood of frames and answers; a run of them is one
//! frame that counts, so the work and the answers are bounded by the number of receives.

/// What asks for an answer on a connection (RFC 5626 §3.5.1).
pub const PING: &[u8] = b"\r\n\r\n";

/// The answer to a ping.
pub const PONG: &[u8] = b"\r\n";

/// A run of line ends between messages, as far as one receive brought it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// How many line ends. On a connection that we opened and pinged, one is the pong. Some peers put one behind every
    /// body, which means nothing.
    pub line_ends: u32,
    /// How many pings these line ends completed, perhaps with one that an earlier receive brought.
    pub pings: u32,
}

impl Keepalive {
    /// What is to be sent back on a connection: one pong, however many pings. A peer that pings twice before it is answered
    /// learns from one pong what both ask for: that the connection is open.
    pub fn answer(self) -> Option<&'static [u8]> {
        (self.pings > 0).then_some(PONG)
    }
}

/// The keepalive that a datagram, or a WebSocket message, is as a whole: line ends, NULs (as some proxies send) or nothing.
/// A datagram is not answered: over UDP, STUN is for that (RFC 5626 §4.4.2). A WebSocket message may be.
pub fn of_packet(bytes: &[u8]) -> Option<Keepalive> {
    let says_nothing = bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0));
    let line_ends = if says_nothing { count_line_ends(bytes) } else { 0 };
    says_nothing.then_some(Keepalive { line_ends, pings: line_ends / 2 })
}

/// Takes the line ends before the next message on a connection; `None` where there are none. `is_odd` says whether those
/// since the last message are an odd number, for a ping may be cut.
pub(super) fn take_line_ends(input: &mut &[u8], is_odd: &mut bool) -> Option<Keepalive> {
    let count = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let (blank, rest) = input.split_at(count);
    *input = rest;
    let line_ends = count_line_ends(blank);
    let to_pair = line_ends + u32::from(*is_odd);
    *is_odd = to_pair % 2 == 1;
    (line_ends > 0).then_some(Keepalive { line_ends, pings: to_pair / 2 })
}

fn count_line_ends(bytes: &[u8]) -> u32 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_answered_once_wherever_it_is_cut() {
        for cut in 0..PING.len() {
            let (mut first, mut second) = PING.split_at(cut);
            let mut is_odd = false;
            let answers: Vec<_> = [&mut first, &mut second]
                .into_iter()
                .filter_map(|bytes| take_line_ends(bytes, &mut is_odd))
                .filter_map(Keepalive::answer)
                .collect();
            assert_eq!(answers, [PONG]);
            assert!(!is_odd);
        }
    }

    #[test]
    fn a_single_line_end_is_counted_and_not_answered() {
        let (mut input, mut is_odd) = (&b"\r\nSIP/2.0"[..], false);
        let keepalive = take_line_ends(&mut input, &mut is_odd);
        assert_eq!(keepalive, Some(Keepalive { line_ends: 1, pings: 0 }));
        assert_eq!(keepalive.and_then(Keepalive::answer), None);
        assert_eq!(input, b"SIP/2.0");
    }

    #[test]
    fn a_flood_of_line_ends_is_one_frame_with_one_answer() {
        let flood = PING.repeat(10_000);
        let keepalive = take_line_ends(&mut &flood[..], &mut false);
        assert_eq!(keepalive, Some(Keepalive { line_ends: 20_000, pings: 10_000 }));
        assert_eq!(keepalive.and_then(Keepalive::answer), Some(PONG));
    }

    #[test]
    fn a_packet_is_a_keepalive_as_a_whole_or_not_at_all() {
        assert_eq!(of_packet(b""), Some(Keepalive::default()));
        assert_eq!(of_packet(b"\0\0\0\0"), Some(Keepalive::default()));
        assert_eq!(of_packet(PONG), Some(Keepalive { line_ends: 1, pings: 0 }));
        assert_eq!(of_packet(PING), Some(Keepalive { line_ends: 2, pings: 1 }));
        assert_eq!(of_packet(b"\r\n\r\nBYE"), None);
    }
}
