//! Connections of the admin listener: so many at a time, each with a time for its heads and one for itself.
//!
//! axum's own loop looked simpler. It takes any number of connections, and waits for a head, and for a client to read, as long as it takes.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::metrics::admin::AdminCells;

use super::api::Peer;

/// How many connections there are at most; further ones are closed at once.
const CONNECTIONS_MAX: usize = 256;

/// Within what time a head must be complete, and after which an idle connection is closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// How long connections last.
const TIMES: Times = Times { connection: Duration::from_secs(300), last_answer: Duration::from_secs(35) };

/// How long a connection lasts: a client that reads slowly, or not at all, would keep its place for ever.
#[derive(Clone, Copy)]
struct Times {
    /// After which it takes no further request.
    connection: Duration,
    /// For how long an answer that is under way may then still be made and written.
    last_answer: Duration,
}

/// For how long nothing is accepted after an error, as where descriptors run out.
const REST: Duration = Duration::from_millis(100);

/// Serves until `stop` is told or dropped, and then until all answers that are under way are written, within their time.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    cells: Arc<AdminCells>,
    stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    serve_within(TIMES, listener, router, cells, stop).await
}

async fn serve_within(
    times: Times,
    listener: TcpListener,
    router: Router,
    cells: Arc<AdminCells>,
    mut stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (ending, ended) = watch::channel(());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "the admin listener could not accept");
                sleep(REST).await;
                continue;
            }
        };
        match room.clone().try_acquire_owned() {
            Ok(permit) => {
                let router = router.clone().layer(Extension(Peer(peer)));
                let ended = ended.clone();
                tokio::spawn(async move {
                    carry(times, stream, router, ended).await;
                    drop(permit);
                });
            }
            Err(_) => cells.turned_away.add(1),
        }
    }
    drop((listener, ending));
    // All places are free when all connections have ended.
    let _ = room.acquire_many(CONNECTIONS_MAX as u32).await;
    Ok(())
}

async fn carry(times: Times, stream: TcpStream, router: Router, mut ended: watch::Receiver<()>) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    // A client that goes away in the middle is no news.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = ended.changed() => (),
        () = sleep(times.connection) => (),
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(times.last_answer, connection).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    /// More than the kernel's buffers take.
    const LONG_BYTES: usize = 64 << 20;

    async fn listening(times: Times) -> (TcpStream, oneshot::Sender<()>, JoinHandle<io::Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "x".repeat(LONG_BYTES) }));
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve_within(times, listener, router, Arc::default(), stopped));
        (TcpStream::connect(address).await.unwrap(), stop, served)
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_its_answer_is_cut_off_in_time() {
        let times = Times { connection: Duration::from_millis(200), last_answer: Duration::from_millis(200) };
        let (mut client, _stop, _served) = listening(times).await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        sleep(Duration::from_secs(2)).await;
        let mut got = Vec::new();
        let read = timeout(Duration::from_secs(10), client.read_to_end(&mut got)).await.unwrap();
        assert!(read.is_err() || got.len() < LONG_BYTES, "all {} bytes came", got.len());
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_hold_up_the_end() {
        let (client, stop, served) = listening(TIMES).await;
        sleep(Duration::from_millis(100)).await;
        drop(stop);
        timeout(Duration::from_secs(5), served).await.unwrap().unwrap().unwrap();
        drop(client);
    }
}
