//! What a peer says of its load in a Via of ours: the parameters of RFC 7339, for its algorithm `loss`.
//!
//! To read them with the Via's others looked simpler. Each Via of each message would pay for what stands in few.

use super::Span;
use super::cursor::{Cursor, decimal};
use super::via::Via;

/// What offers overload control in a Via of ours (RFC 7339 §4.1, §4.2).
pub const OFFER: &str = ";oc;oc-algo=\"loss\"";

/// For how long a report holds that does not say (§4.3).
pub const DEFAULT_VALIDITY_MS: u32 = 500;

/// For how long a report holds at most, whatever it says: who has gone silent cannot take it back.
pub const MAX_VALIDITY_MS: u32 = 60_000;

/// What a peer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossReport {
    /// How many in a hundred requests it wants not to be sent, up to 100. 0 where it has no need of that.
    pub percent: u8,
    /// For how long, at most [`MAX_VALIDITY_MS`].
    pub validity_ms: u32,
    /// What tells a later report from an earlier one: `oc-seq`, in hundred-thousandths; below 2^57.
    pub sequence: u64,
}

impl LossReport {
    /// The report in a Via that a peer has sent back. `None` where there is none, it is malformed, of another algorithm, or has no
    /// sequence, so that nobody can tell whether it was overtaken.
    pub fn of(message: &[u8], via: &Via) -> Option<LossReport> {
        let mut found = Found::default();
        let mut cursor = Cursor::new(message, Span { start: via.host.end, end: via.value.end });
        if cursor.take_separator(b':') {
            cursor.port()?;
        }
        while cursor.take_separator(b';') {
            let name = cursor.token()?.of(message);
            let value = if cursor.take_separator(b'=') { cursor.parameter_value()?.of(message) } else { &[] };
            found.take(name, value);
        }
        found.report()
    }
}

/// The values of the parameters; empty where there is none.
#[derive(Default)]
struct Found<'a> {
    oc: &'a [u8],
    validity: &'a [u8],
    sequence: &'a [u8],
    algorithm: &'a [u8],
}

impl<'a> Found<'a> {
    fn take(&mut self, name: &[u8], value: &'a [u8]) {
        let place = match name {
            name if name.eq_ignore_ascii_case(b"oc") => &mut self.oc,
            name if name.eq_ignore_ascii_case(b"oc-validity") => &mut self.validity,
            name if name.eq_ignore_ascii_case(b"oc-seq") => &mut self.sequence,
            name if name.eq_ignore_ascii_case(b"oc-algo") => &mut self.algorithm,
            _ => return,
        };
        if !value.is_empty() {
            *place = value;
        }
    }

    fn report(&self) -> Option<LossReport> {
        let percent = decimal(self.oc).and_then(|percent| u8::try_from(percent).ok()).filter(|it| *it <= 100)?;
        let validity_ms = match self.validity {
            [] => DEFAULT_VALIDITY_MS,
            digits => decimal(digits)?.min(MAX_VALIDITY_MS),
        };
        let is_loss = self.algorithm.is_empty() || self.algorithm.eq_ignore_ascii_case(b"\"loss\"");
        // A validity of 0 ends overload control, whatever stands beside it (§4.3).
        let percent = if validity_ms == 0 { 0 } else { percent };
        is_loss.then_some(LossReport { percent, validity_ms, sequence: sequence(self.sequence)? })
    }
}

/// `1*12DIGIT "." 1*5DIGIT` (§4.4), most often a time in seconds.
fn sequence(text: &[u8]) -> Option<u64> {
    const WHOLE_DIGITS: usize = 12;
    const FRACTION_DIGITS: usize = 5;
    let dot = text.iter().position(|byte| *byte == b'.')?;
    let (whole, fraction) = (&text[..dot], &text[dot + 1..]);
    let fits = (1..=WHOLE_DIGITS).contains(&whole.len()) && (1..=FRACTION_DIGITS).contains(&fraction.len());
    let is_number = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    let padding = std::iter::repeat_n(&b'0', FRACTION_DIGITS.saturating_sub(fraction.len()));
    let digits = whole.iter().chain(fraction).chain(padding);
    (fits && is_number).then(|| digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(parameters: &str) -> Option<LossReport> {
        let text =
            format!("SIP/2.0/UDP sip.example.com:5060;rport=5060;branch=z9hG4bK1{parameters}, SIP/2.0/UDP b;oc=99");
        let via = Via::parse(text.as_bytes(), Span::new(0, text.len())).unwrap();
        via.oc.and_then(|_| LossReport::of(text.as_bytes(), &via))
    }

    #[test]
    fn a_report_is_read_in_any_order_and_dress() {
        let read = |percent, validity_ms, sequence| Some(LossReport { percent, validity_ms, sequence });
        assert_eq!(
            report(";oc=20;oc-algo=\"loss\";oc-validity=700;oc-seq=1282321615.782"),
            read(20, 700, 128_232_161_578_200)
        );
        assert_eq!(report(";OC = 0 ;oc-seq=1.00001"), read(0, DEFAULT_VALIDITY_MS, 100_001));
        assert_eq!(report(";oc-seq=7.5;x=\";oc=1\";oc-validity=0;oc=100"), read(0, 0, 750_000));
        assert_eq!(
            report(";oc;oc=9;oc-seq=999999999999.99999;oc-validity=4000000000"),
            read(9, 60_000, 99_999_999_999_999_999)
        );
    }

    #[test]
    fn what_is_no_report_of_loss_is_none() {
        for parameters in [
            "",
            OFFER,
            ";oc;oc-seq=1.1",
            ";oc=20",
            ";oc=101;oc-seq=1.1",
            ";oc=-1;oc-seq=1.1",
            ";oc=2x;oc-seq=1.1",
            ";oc=150;oc-algo=\"rate\";oc-seq=1.1",
            ";oc=20;oc-algo=\"rate\";oc-seq=1.1",
            ";oc=20;oc-seq=1",
            ";oc=20;oc-seq=1.",
            ";oc=20;oc-seq=.1",
            ";oc=20;oc-seq=1.1.1",
            ";oc=20;oc-seq=1234567890123.1",
            ";oc=20;oc-seq=1.123456",
            ";oc=20;oc-seq=1.1;oc-validity=soon",
        ] {
            assert_eq!(report(parameters), None, "{parameters}");
        }
    }
}
