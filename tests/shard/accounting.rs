//! In = forwarded + answered + absorbed + dropped, whatever comes in.

use viaduct::io::Options;
use viaduct::metrics::cells::Dropped;
use viaduct::proxy::verdict::DropReason;

use crate::harness::{Bench, on_each_engine, request};

#[test]
fn every_message_is_forwarded_answered_absorbed_or_dropped() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &Options { receive_buffer_bytes: 2048, ..Options::default() });
        let mut sent = 0;
        let mut junk = junk();
        for round in 0..50 {
            for number in 0..20 {
                bench.request(["INVITE", "ACK", "BYE", "OPTIONS"][number % 4], round * 100 + number);
                sent += 1;
            }
            for message in &mut junk {
                bench.client.send_to(message, bench.address).unwrap();
                sent += 1;
            }
            bench.settle();
            sent += bench.answer_all();
            bench.settle();
        }
        assert_eq!(bench.received(), sent as u64, "all that was sent was received");
        assert_eq!(bench.received(), bench.forwarded() + bench.answered() + bench.absorbed() + bench.dropped());
        assert_eq!(bench.forwarded(), 2 * 50 * 20, "each request and its response");
        assert_eq!(bench.answered(), 2 * 50, "the hops used up, and the wrong version");
        assert_eq!(bench.absorbed(), 3 * 50, "the keepalives");
        assert_eq!(bench.dropped_as(Dropped::Truncated), 50);
        assert_eq!(bench.dropped_as(Dropped::Decided(DropReason::ResponseUnverified)), 50);
    });
}

#[test]
fn a_datagram_that_the_kernel_refuses_is_a_counted_drop_and_stops_nobody() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &Options::default());
        // The answer to this one would go to port 0, which no datagram can be sent to.
        let unanswerable = request("OPTIONS", 1);
        let unanswerable = String::from_utf8(unanswerable).unwrap();
        let unanswerable = unanswerable.replace(":9;rport", ":0").replace("Max-Forwards: 70", "Max-Forwards: 0");
        bench.client.send_to(unanswerable.as_bytes(), bench.address).unwrap();
        bench.request("OPTIONS", 2);
        bench.settle();
        assert_eq!((bench.forwarded(), bench.answered(), bench.dropped()), (1, 0, 1));
        assert_eq!(bench.received(), 2);
    });
}

fn junk() -> Vec<Vec<u8>> {
    let with = |from: &str, to: &str| String::from_utf8(request("INFO", 7)).unwrap().replace(from, to).into_bytes();
    vec![
        Vec::new(),
        b"\r\n\r\n".to_vec(),
        vec![0; 4],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 700],
        vec![b'A'; 5000],
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1;vd=A\r\nVia: SIP/2.0/UDP b\r\n\r\n".to_vec(),
        with("Max-Forwards: 70", "Max-Forwards: 0"),
        with("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"),
        with("Via: ", "Vai: "),
    ]
}
