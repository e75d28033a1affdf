//! What single words and numbers may be, where a type does not say.
//!
//! A type with its own grammar for each looked more even. These have nothing to say once they are read.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::io::Choice;
use crate::proxy::drain::{DrainNewRequests, DrainOptions};
use crate::proxy::snapshot::{OnLostPin, PathMode};

/// Which REGISTER requests get a Path.
pub(super) fn path_mode() -> impl TypedValueParser<Value = PathMode> {
    PossibleValuesParser::new(["off", "on", "auto"]).map(|word| match word.as_str() {
        "off" => PathMode::Off,
        "on" => PathMode::On,
        _ => PathMode::Auto,
    })
}

/// What becomes of a dialog whose backend is gone.
pub(super) fn on_lost_pin() -> impl TypedValueParser<Value = OnLostPin> {
    PossibleValuesParser::new(["rehash", "481"]).map(|word| match word.as_str() {
        "481" => OnLostPin::Refuse,
        _ => OnLostPin::Rehash,
    })
}

/// What becomes of OPTIONS for Viaduct itself while it drains.
pub(super) fn drain_options() -> impl TypedValueParser<Value = DrainOptions> {
    PossibleValuesParser::new(["503", "silence"]).map(|word| match word.as_str() {
        "silence" => DrainOptions::Ignore,
        _ => DrainOptions::Refuse,
    })
}

/// What becomes of clients' requests that begin something while Viaduct drains.
pub(super) fn drain_new_requests() -> impl TypedValueParser<Value = DrainNewRequests> {
    PossibleValuesParser::new(["forward", "503"]).map(|word| match word.as_str() {
        "503" => DrainNewRequests::Refuse,
        _ => DrainNewRequests::Forward,
    })
}

/// Which engine is to run.
pub(super) fn io_choice() -> impl TypedValueParser<Value = Choice> {
    PossibleValuesParser::new(["auto", "uring", "poll"]).map(|word| match word.as_str() {
        "uring" => Choice::Uring,
        "poll" => Choice::Poll,
        _ => Choice::Auto,
    })
}

/// A limit on requests over UDP: none, or one that no implementation is below (RFC 791 has all take 576 bytes).
pub(super) fn udp_request_bytes(text: &str) -> Result<u32, String> {
    let number = text.parse::<u32>().ok().filter(|number| *number == 0 || (576..=65_535).contains(number));
    number.ok_or_else(|| "neither 0 nor a number from 576 to 65535".to_owned())
}

/// What the kernel takes as the size of a ring.
pub(super) fn power_of_two(text: &str) -> Result<u16, String> {
    let number = text.parse::<u16>().ok().filter(|number| number.is_power_of_two() && *number >= 16);
    number.ok_or_else(|| "not a power of two from 16 to 32768".to_owned())
}
