//! A thousand connections at once: every response comes on the connection of its request, in order, whichever shard it
//! comes to.

use crate::backend::Backend;
use crate::client::{Client, place_calls};
use crate::on_each_engine;
use crate::viaduct::Viaduct;

const CLIENTS: usize = 1000;

const CALLS: u32 = 5;

const THREADS: usize = 4;

/// How many requests each connection has under way where all speak at once.
const PIPELINED: usize = 8;

#[test]
fn a_thousand_connections_get_each_response_of_backends_over_udp() {
    // No more at once than the receive buffers of sockets have room for where the system's limits are the usual ones.
    on_each_engine(|engine| all_is_answered(engine, [Backend::udp(1), Backend::udp(2)], 16));
}

#[test]
fn a_thousand_connections_get_each_response_of_backends_over_tcp() {
    on_each_engine(|engine| all_is_answered(engine, [Backend::tcp(3), Backend::tcp(4)], CLIENTS / THREADS));
}

#[test]
fn requests_of_a_thousand_connections_at_once_are_all_answered_though_their_responses_cross_shards() {
    on_each_engine(|engine| {
        let backends = [Backend::tcp(5), Backend::tcp(6)];
        // Room for all, however slowly the test's own backends read: it is the way between shards that is tried.
        let settings = [("QUEUE_BYTES", "16777216")];
        let viaduct = Viaduct::start(engine, &backends.each_ref().map(|backend| backend.url.clone()), &settings);
        let connect = |number| Client::connect(viaduct.address, &format!("burst-{number}"));
        let mut clients: Vec<Client> = (0..CLIENTS).map(connect).collect();
        place_calls(&mut clients[..THREADS * 16], 1, THREADS, 16);
        clients.iter_mut().for_each(|client| client.pipeline(PIPELINED));
        let dropped = viaduct.metrics_at_rest();
        assert_eq!(dropped.messages("dropped"), 0, "{:?}", dropped.nonzero("viaduct_messages_dropped_total"));
        clients.iter_mut().for_each(|client| client.take_pipelined(PIPELINED));
        let (metrics, requests) = (viaduct.metrics_at_rest(), (CLIENTS * PIPELINED) as u64);
        assert!(metrics.sum("viaduct_handed_over_total", &[]) > requests / 4, "few responses crossed shards");
    });
}

/// Has all clients call, at most `window` in each thread at a time.
fn all_is_answered(engine: &str, backends: [Backend; 2], window: usize) {
    let viaduct = Viaduct::start(engine, &backends.each_ref().map(|backend| backend.url.clone()), &[]);
    let connect = |number| Client::connect(viaduct.address, &format!("crossing-{number}"));
    let mut clients: Vec<Client> = (0..CLIENTS).map(connect).collect();
    // Opens the connections to backends, for which only so many requests wait.
    place_calls(&mut clients[..THREADS * 16], 1, THREADS, 16);
    place_calls(&mut clients, CALLS, THREADS, window);

    let metrics = viaduct.metrics_at_rest();
    let calls = (CLIENTS * CALLS as usize + THREADS * 16) as u64;
    assert_eq!(metrics.messages("dropped"), 0, "{:?}", metrics.nonzero("viaduct_messages_dropped_total"));
    assert_eq!(metrics.messages("absorbed"), 0);
    // INVITE, ACK and BYE one way; 180, 200 and 200 the other.
    assert_eq!((metrics.messages("received"), metrics.messages("sent")), (6 * calls, 6 * calls));
    assert_eq!(backends.iter().map(Backend::responses).sum::<u64>(), 3 * calls);
    assert_eq!(metrics.sum("viaduct_connections", &[("side", "client")]), CLIENTS as u64);
    assert!(metrics.sum("viaduct_handed_over_total", &[]) > calls / 2, "few responses crossed shards");
}
