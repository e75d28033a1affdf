//! Whether a port of UDP is closed: the kernel of its machine says so by ICMP, if it is asked.
//!
//! The shards' own sockets looked better, because the question leaves by them. They are not connected, so errors that come back by
//! ICMP are told for the whole socket, of whatever peer, and end receives; a socket that is connected to one address hears of that
//! one alone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

/// What keeps a flow open and says nothing (RFC 5626 §4.4.1): no proxy answers it over UDP.
const NOTHING: &[u8] = b"\r\n\r\n";

/// Whether that port is known to be closed, within that time; asked from that address, if it is one of this machine's. Anything
/// else tells nothing.
pub async fn is_closed(from: Option<IpAddr>, to: SocketAddr, patience: Duration) -> bool {
    timeout(patience, refusal(from, to)).await.is_ok_and(|refused| refused.is_ok_and(|refused| refused))
}

async fn refusal(from: Option<IpAddr>, to: SocketAddr) -> io::Result<bool> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((from.unwrap_or(any), 0)).await?;
    socket.connect(to).await?;
    socket.send(NOTHING).await?;
    let heard = socket.recv(&mut [0; 16]).await;
    Ok(heard.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::block_on;

    #[test]
    fn a_closed_port_is_told_from_a_silent_one() {
        let open = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let patience = Duration::from_millis(200);
        let told = block_on(false, async {
            let from = Some(gone.ip());
            (is_closed(from, gone, patience).await, is_closed(None, open.local_addr().unwrap(), patience).await)
        });
        assert_eq!(told.unwrap(), (true, false));
    }
}
