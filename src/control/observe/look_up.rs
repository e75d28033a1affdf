//! Where the collector is by its name, as this machine's own resolver has it: with /etc/hosts and search lists, as for its other programs.
//!
//! The runtime's threads for what blocks looked made for it. The process would wait for them at its end, for as long as a name server
//! is silent; and each try would add one.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::thread;

use tokio::sync::oneshot;

/// Looks the collector up, once at a time.
#[derive(Debug, Default)]
pub(super) struct LookUp {
    /// What comes of the look-up that is under way. It outlives who waited for it.
    pending: Option<oneshot::Receiver<io::Result<Vec<SocketAddr>>>>,
}

impl LookUp {
    /// The addresses of a host, which is the same at each call. Where one who asked has not waited to the end, the next one gets what
    /// comes of the same look-up.
    pub(super) async fn addresses(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let pending = match &mut self.pending {
            Some(pending) => pending,
            none => none.insert(begin(host.to_owned(), port)?),
        };
        let found = pending.await;
        self.pending = None;
        found.unwrap_or_else(|_| Err(io::Error::other("the look-up ended by itself")))
    }
}

/// Looks a host up on a thread of its own, which nobody waits for.
fn begin(host: String, port: u16) -> io::Result<oneshot::Receiver<io::Result<Vec<SocketAddr>>>> {
    let (tell, told) = oneshot::channel();
    thread::Builder::new().name("look-up".to_owned()).spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs();
        // Whoever asked may be gone.
        let _ = tell.send(found.map(Iterator::collect));
    })?;
    Ok(told)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::control::block_on;

    #[test]
    fn an_address_is_itself_and_a_name_is_looked_up() {
        let mut look_up = LookUp::default();
        let (one, other, name) = block_on(false, async {
            let one = look_up.addresses("192.0.2.1", 9060).await.unwrap();
            let other = look_up.addresses("2001:db8::1", 9060).await.unwrap();
            (one, other, look_up.addresses("localhost", 9060).await.unwrap())
        })
        .unwrap();
        assert_eq!(one, ["192.0.2.1:9060".parse().unwrap()]);
        assert_eq!(other, ["[2001:db8::1]:9060".parse().unwrap()]);
        assert!(!name.is_empty() && name.iter().all(|address| address.ip().is_loopback() && address.port() == 9060));
    }

    #[test]
    fn what_nobody_waited_for_is_there_for_the_next_one_and_no_other_is_begun() {
        let (tell, told) = oneshot::channel();
        let mut look_up = LookUp { pending: Some(told) };
        let found = block_on(false, async {
            for _ in 0..3 {
                assert!(timeout(Duration::from_millis(1), look_up.addresses("a.invalid", 1)).await.is_err());
            }
            tell.send(Ok(vec!["192.0.2.7:1".parse().unwrap()])).unwrap();
            look_up.addresses("a.invalid", 1).await.unwrap()
        });
        assert_eq!(found.unwrap(), ["192.0.2.7:1".parse().unwrap()]);
        assert!(look_up.pending.is_none());
    }
}
