//! What framing costs: memory only while a message is split, and work in proportion to the bytes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use viaduct::frame::spare::{SpareBuffers, SpareLimits};
use viaduct::frame::stream::{Fault, Framer, Limits};

use crate::support::{Connection, Event, cut, message, message_of};

proptest! {
    #[test]
    fn nothing_is_held_when_every_message_is_whole(
        messages in prop::collection::vec(message(), 1..6),
        places in prop::collection::vec(any::<u16>(), 0..12),
    ) {
        let stream = messages.concat();
        let mut connection = Connection::new(Limits::default());
        for piece in cut(&stream, &places) {
            connection.receive(piece);
            prop_assert_eq!(connection.spare.held_bytes() > 0, connection.framer.is_mid_message());
        }
        prop_assert_eq!(connection.spare.held_bytes(), 0);
    }

    #[test]
    fn a_connection_that_ends_in_mid_message_gives_back_what_it_held(message in message(), place in any::<u16>()) {
        let mut connection = Connection::new(Limits::default());
        connection.receive(cut(&message, &[place])[0]);
        connection.framer.close(&mut connection.spare);
        prop_assert_eq!(connection.spare.held_bytes(), 0);
        connection.events.clear();
        connection.receive(&message);
        prop_assert_eq!(connection.events, [Event::Message(message)]);
    }
}

#[test]
fn a_message_that_is_received_whole_is_lent_from_what_was_received() {
    let messages = [message_of(300, 200), message_of(400, 0)].concat();
    let mut spare = SpareBuffers::new(SpareLimits { held_bytes: 0, kept_buffers: 0 });
    let (mut framer, mut input) = (Framer::default(), &messages[..]);
    let mut places = Vec::new();
    while let Some(frame) = framer.next(&mut input, Limits::default(), &mut spare) {
        let Ok(viaduct::frame::stream::Frame::Message(message)) = frame else { panic!("a message") };
        places.push(message.as_ptr() as usize - messages.as_ptr() as usize);
    }
    assert_eq!(places, [0, 500]);
}

#[test]
fn a_split_message_beyond_what_may_be_held_ends_its_connection_and_no_other() {
    let mut connection = Connection::new(Limits::default());
    connection.spare = SpareBuffers::new(SpareLimits { held_bytes: 4096, kept_buffers: 2 });
    let mut hoarders = [Framer::default(), Framer::default()];
    for framer in &mut hoarders {
        assert!(framer.next(&mut &b"OPTIONS"[..], connection.limits, &mut connection.spare).is_none());
    }
    connection.receive(&message_of(500, 0));
    connection.receive(b"OPTIONS");
    assert!(matches!(connection.events[..], [Event::Message(_), Event::Error(Fault::NoSpareBuffer, None)]));
    hoarders.iter_mut().for_each(|framer| framer.close(&mut connection.spare));
    assert_eq!(connection.spare.held_bytes(), 0);
}

#[test]
fn steady_traffic_of_split_messages_allocates_nothing() {
    let stream = message_of(700, 900).repeat(50);
    let limits = Limits::default();
    let mut spare = SpareBuffers::new(SpareLimits::default());
    let mut framer = Framer::default();
    let mut frame_all = || {
        let mut messages = 0;
        for mut piece in stream.chunks(1000) {
            while framer.next(&mut piece, limits, &mut spare).is_some() {
                messages += 1;
            }
        }
        assert_eq!(messages, 50);
    };
    frame_all();
    let counted = allocation_counter::measure(frame_all);
    assert_eq!(counted.count_total, 0);
}

/// A search from the beginning for each receive would make the long head sixty-four times as dear a byte.
#[test]
fn bytes_cost_the_same_in_a_long_message_as_in_a_short_one() {
    let limits = Limits { head_bytes: 1 << 17, message_bytes: 1 << 18 };
    for message_of_size in [|size| message_of(size, 0), |size| message_of(200, size - 200)] {
        let (short, long) = (message_of_size(1 << 10), message_of_size(1 << 16));
        let (short_cost, long_cost) = (cost_of_1000_bytes(&short, limits), cost_of_1000_bytes(&long, limits));
        assert!(
            long_cost < short_cost * 8,
            "1,000 bytes cost {long_cost:?} in the long one, {short_cost:?} in the short"
        );
    }
}

/// Byte by byte; the best of several runs of equal work, since what else the machine does only adds.
fn cost_of_1000_bytes(message: &[u8], limits: Limits) -> Duration {
    let turns = (1 << 17) / message.len();
    let run = || {
        let (mut framer, mut spare) = (Framer::default(), SpareBuffers::new(SpareLimits::default()));
        let begun = Instant::now();
        for _ in 0..turns {
            let frames = message.chunks(1).filter(|byte| {
                let mut input = *byte;
                framer.next(black_box(&mut input), limits, &mut spare).is_some()
            });
            assert_eq!(frames.count(), 1);
        }
        begun.elapsed() * 1000 / (turns * message.len()) as u32
    };
    (0..7).map(|_| run()).min().expect("seven runs")
}
