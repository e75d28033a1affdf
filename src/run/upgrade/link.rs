//! How messages for connections of one process get there from the other, while both run: a packet each, with a line before it that
//! says where it came from.
//!
//! Listeners are named by transport and address. Their places differ where the settings have changed.

use std::fmt::{Display, Write};
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::thread::Builder;

use crossbeam::channel::Receiver;

use crate::io::channel::Channel;
use crate::proxy::inbound::{ConnectionRef, ListenerIndex};
use crate::proxy::snapshot::Snapshot;
use crate::shard::kin::{Handed, Role};
use crate::shard::mailbox::PostOffice;
use crate::sip::Transport;

/// The longest packet: a message, and the line before it.
const PACKET_BYTES_MAX: usize = 65_535 + 1024;

/// The listeners of a process, in their order.
pub(super) type Places = Vec<(Transport, SocketAddr)>;

/// Where the listeners of a snapshot are.
pub(super) fn places(snapshot: &Snapshot) -> Places {
    snapshot.listeners().iter().map(|listener| (listener.transport, listener.address)).collect()
}

/// Carries messages from that process, and to it those that are handed on, until it ends. Where that cannot be done, connections are
/// as good as gone for the other process, and nothing else.
pub(super) fn carry_or_warn(channel: Channel, role: Role, handed: Receiver<Handed>, post: &PostOffice, places: Places) {
    if let Err(error) = carry(channel, role, handed, post, places) {
        post.part_from(role);
        tracing::warn!(%error, "what comes for connections of the other process does not get there");
    }
}

fn carry(channel: Channel, role: Role, handed: Receiver<Handed>, post: &PostOffice, places: Places) -> io::Result<()> {
    channel.set_patience(None)?;
    let (outward, of_writer, post) = (channel.try_clone()?, places.clone(), post.clone());
    Builder::new().name("kin-out".to_owned()).spawn(move || {
        let mut packet = Vec::new();
        for message in handed {
            if write(&message, &of_writer, &mut packet).is_some() && outward.send(&packet, &[]).is_err() {
                break;
            }
        }
    })?;
    Builder::new().name("kin-in".to_owned()).spawn(move || {
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        while let Ok(packet) = channel.receive(&mut buffer) {
            if packet.length == 0 {
                break;
            }
            match read(&buffer[..packet.length], &places) {
                Some(message) => post.take_in(role, message),
                None => post.upgrade_cells().lost(),
            }
        }
        post.part_from(role);
        channel.shut();
    })?;
    Ok(())
}

/// Writes a message out; `None` where its listener is none of these.
fn write(message: &Handed, places: &Places, packet: &mut Vec<u8>) -> Option<()> {
    let Handed { to, bytes, peer, listener, local, relay, connection } = message;
    let (transport, address) = places.get(listener.get())?;
    let mut line = String::with_capacity(256);
    let from = connection.map(written);
    let (local, relay, from) = (or_none(local.as_ref()), or_none(relay.as_ref()), or_none(from.as_ref()));
    let to = written(*to);
    writeln!(line, "{} {address} {peer} {local} {relay} {from} {to}", transport.label()).ok()?;
    packet.clear();
    packet.extend_from_slice(line.as_bytes());
    packet.extend_from_slice(bytes);
    Some(())
}

/// Reads one; `None` where it is malformed, or there is no such listener.
fn read(packet: &[u8], places: &Places) -> Option<Handed> {
    let end = memchr::memchr(b'\n', packet)?;
    let line = std::str::from_utf8(&packet[..end]).ok()?;
    let words: Vec<&str> = line.split(' ').collect();
    let [transport, address, peer, local, relay, from, to] = words[..] else { return None };
    let address: SocketAddr = address.parse().ok()?;
    let place = places.iter().position(|(known, at)| known.label() == transport && *at == address)?;
    Some(Handed {
        to: connection(to)?,
        bytes: packet[end + 1..].to_vec(),
        peer: peer.parse().ok()?,
        listener: ListenerIndex(place as u8),
        local: optional(local)?,
        relay: optional(relay)?,
        connection: if from == NONE { None } else { Some(connection(from)?) },
    })
}

const NONE: &str = "-";

fn or_none(value: Option<&impl Display>) -> String {
    value.map_or_else(|| NONE.to_owned(), ToString::to_string)
}

fn optional<T: FromStr>(word: &str) -> Option<Option<T>> {
    if word == NONE { Some(None) } else { word.parse().ok().map(Some) }
}

fn written(ConnectionRef { process, number }: ConnectionRef) -> String {
    format!("{process}/{number}")
}

fn connection(word: &str) -> Option<ConnectionRef> {
    let (process, number) = word.split_once('/')?;
    Some(ConnectionRef { process: process.parse().ok()?, number: number.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places() -> Places {
        let at = |text: &str| text.parse().unwrap();
        vec![
            (Transport::Udp, at("192.0.2.1:5060")),
            (Transport::Tcp, at("192.0.2.1:5060")),
            (Transport::Wss, at("[::]:443")),
        ]
    }

    fn name() -> impl Strategy<Value = ConnectionRef> {
        (any::<u32>(), any::<u64>()).prop_map(|(process, number)| ConnectionRef { process, number })
    }

    proptest! {
        #[test]
        fn a_message_reads_back_as_written_at_the_same_listener_wherever_it_stands(
            to in name(),
            bytes: Vec<u8>,
            (port, listener) in (any::<u16>(), 0..3u8),
            (local, relay) in (prop::option::of(any::<std::net::Ipv4Addr>()), prop::option::of(any::<u16>())),
            connection in prop::option::of(name()),
        ) {
            let address = |port| SocketAddr::from(([198, 51, 100, 7], port));
            let message = Handed {
                to,
                bytes,
                peer: address(port),
                listener: ListenerIndex(listener),
                local: local.map(Into::into),
                relay: relay.map(address),
                connection,
            };
            let mut packet = Vec::new();
            prop_assert_eq!(write(&message, &places(), &mut packet), Some(()));
            prop_assert!(packet.len() <= message.bytes.len() + 1024);
            prop_assert_eq!(read(&packet, &places()), Some(message.clone()));
            let turned: Places = places().into_iter().rev().collect();
            let listener = ListenerIndex(2 - listener);
            prop_assert_eq!(read(&packet, &turned), Some(Handed { listener, ..message }));
            prop_assert_eq!(read(&packet, &Vec::new()), None);
        }

        #[test]
        fn any_bytes_are_read_or_refused(packet: Vec<u8>) {
            let _ = read(&packet, &places());
        }
    }
}
