//! The work by the UDP sockets of two asynchronous runtimes, used as well as they can be.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::{BURST, BURSTS, PAYLOAD, Pair, WARM_UP_BURSTS, Work, cpu_time, on_the_clock};

/// Operations under way at once: with fewer, tokio-uring enters the kernel for each datagram.
const AT_ONCE: usize = 16;

/// CPU time of one run by tokio-uring's socket.
pub fn tokio_uring(work: Work, pair: &Pair) -> Duration {
    let socket = Rc::new(tokio_uring::net::UdpSocket::from_std(pair.measured()));
    let total = Cell::new(Duration::ZERO);
    tokio_uring::start(async {
        for burst in 0..WARM_UP_BURSTS + BURSTS {
            if work == Work::Receive {
                pair.fill(burst);
            }
            let start = cpu_time();
            let tasks: Vec<_> =
                (0..AT_ONCE).map(|_| tokio_uring::spawn(part(socket.clone(), work, pair.peer_address))).collect();
            for task in tasks {
                task.await.expect("the task does not panic");
            }
            total.set(total.get() + on_the_clock(burst, cpu_time() - start));
            if work != Work::Receive {
                pair.take_out();
            }
        }
    });
    total.get()
}

/// One task's share of a burst.
async fn part(socket: Rc<tokio_uring::net::UdpSocket>, work: Work, peer: std::net::SocketAddr) {
    let mut buffer = match work {
        Work::Receive => vec![0; 2048],
        _ => PAYLOAD.to_vec(),
    };
    for _ in 0..BURST / AT_ONCE {
        let length = match work {
            Work::Receive => {
                let (result, back) = socket.recv_from(buffer).await;
                buffer = back;
                result.map(|(length, _)| length)
            }
            Work::SendTo => {
                let (result, back) = socket.send_to(buffer, peer).await;
                buffer = back;
                result
            }
            Work::SendConnected => {
                let (result, back) = socket.send(buffer).await;
                buffer = back;
                result
            }
        };
        assert_eq!(length.ok(), Some(PAYLOAD.len()));
    }
}

/// CPU time of one run by tokio's socket.
pub fn tokio(work: Work, pair: &Pair) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    runtime.block_on(async {
        let socket = tokio::net::UdpSocket::from_std(pair.measured()).expect("a socket that does not block");
        let mut total = Duration::ZERO;
        for burst in 0..WARM_UP_BURSTS + BURSTS {
            if work == Work::Receive {
                pair.fill(burst);
            }
            let start = cpu_time();
            one_burst(&socket, work, pair.peer_address).await;
            total += on_the_clock(burst, cpu_time() - start);
            if work != Work::Receive {
                pair.take_out();
            }
        }
        total
    })
}

/// Tries until the socket has nothing more, and only then waits, which spares the runtime's share of most operations.
async fn one_burst(socket: &tokio::net::UdpSocket, work: Work, peer: std::net::SocketAddr) {
    let mut buffer = [0; 2048];
    let mut done = 0;
    while done < BURST {
        let outcome = match work {
            Work::Receive => socket.try_recv_from(&mut buffer).map(|(length, _)| length),
            Work::SendTo => socket.try_send_to(&PAYLOAD, peer),
            Work::SendConnected => socket.try_send(&PAYLOAD),
        };
        match outcome {
            Ok(length) => {
                assert_eq!(length, PAYLOAD.len());
                done += 1;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let ready = if work == Work::Receive { socket.readable().await } else { socket.writable().await };
                ready.expect("the runtime works");
            }
            Err(error) => panic!("a datagram failed: {error}"),
        }
    }
}
