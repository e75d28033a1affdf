//! Connections of the admin listener: so many at a time, each with a time for its heads.
//!
//! axum's own loop looked simpler. It takes any number of connections, and waits for a head as long as it takes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::sleep;

use crate::metrics::admin::AdminCells;

use super::api::Peer;

/// How many connections there are at most; further ones are closed at once.
const CONNECTIONS_MAX: usize = 256;

/// Within what time a head must be complete, and after which an idle connection is closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// For how long nothing is accepted after an error, as where descriptors run out.
const REST: Duration = Duration::from_millis(100);

/// Serves until `stop` is told or dropped, and then until all answers that are under way are written.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    cells: Arc<AdminCells>,
    mut stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    let (graceful, room) = (GracefulShutdown::new(), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
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
                tokio::spawn(carry(stream, router, graceful.watcher(), permit));
            }
            Err(_) => cells.turned_away.add(1),
        }
    }
    drop(listener);
    graceful.shutdown().await;
    Ok(())
}

async fn carry(stream: TcpStream, router: Router, watcher: Watcher, permit: OwnedSemaphorePermit) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A client that goes away in the middle is no news.
    let _ = watcher.watch(connection).await;
    drop(permit);
}
