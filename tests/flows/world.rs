//! The places and people of the scenarios, as in RFC 3665: atlanta.example.com with Viaduct in front of its proxies,
//! and biloxi.example.com with a proxy of its own.

use std::net::SocketAddr;
use std::rc::Rc;

use viaduct::balance::backend::{Backend, Weight};

use crate::agent::Agent;
use crate::mix::Mix;
use crate::network::{Element, Network};
use crate::proxy::{Binding, Location, Proxy};

/// The members of the pool, by name and address.
pub const MEMBERS: [(&str, &str); 3] = [("a", "10.0.0.11:5060"), ("b", "10.0.0.12:5060"), ("c", "10.0.0.13:5060")];

/// A call as Alice offers it.
pub const OFFER: &str = "v=0\r\no=alice 2890844526 2890844526 IN IP4 client.atlanta.example.com\r\ns=-\r\n\
                         c=IN IP4 192.0.2.101\r\nt=0 0\r\nm=audio 49172 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

/// The backends of that name and address, each of weight 1.
pub fn backends(members: &[(&str, &str)]) -> Vec<Backend> {
    let backend = |(name, address): &(&str, &str)| {
        let address: SocketAddr = address.parse().expect("an address");
        Backend { name: (*name).to_owned(), address, host: address.ip().to_string(), weight: Weight::DEFAULT }
    };
    members.iter().map(backend).collect()
}

/// The host that a member of the pool writes into Via and Record-Route. Viaduct does not know these names: a dialog
/// finds its member by the pin alone.
pub fn host_of(member: &str) -> String {
    format!("proxy-{member}.atlanta.example.com")
}

/// Atlanta and Biloxi: three replicas of Proxy 1 that share a location service, Proxy 2, and on either side user
/// agents. `equip` gives the replicas what the scenario needs.
pub fn proxies(mix: Mix, equip: impl Fn(&mut Proxy)) -> (Network, Location) {
    let mut network = Network::new(mix, &backends(&MEMBERS));
    let location: Location = Rc::default();
    for (name, address) in MEMBERS {
        add_replica(&mut network, name, address, &location, &equip);
    }
    let mut two = Proxy::new("192.0.2.222", &Location::default());
    bind(&two.location, "bob@biloxi.example.com", &mix.of_neighbour("sip:bob@192.0.2.201"));
    two.domains = vec![("atlanta.example.com", mix.of_neighbour("sip:ss1.atlanta.example.com"))];
    network.add("P2", "192.0.2.222:5060", &["ss2.biloxi.example.com"], Element::Proxy(two));
    people(&mut network);
    (network, location)
}

/// One more replica of Proxy 1.
pub fn add_replica(
    network: &mut Network,
    member: &str,
    address: &str,
    location: &Location,
    equip: &impl Fn(&mut Proxy),
) {
    let mut proxy = Proxy::new(&host_of(member), location);
    proxy.domains = vec![("biloxi.example.com", "sip:ss2.biloxi.example.com".to_owned())];
    proxy.alias = address.to_owned();
    proxy.home = Some("atlanta.example.com");
    equip(&mut proxy);
    let host = proxy.host.clone();
    network.add("P1", address, &[&host, &host_of(member)], Element::Proxy(proxy));
}

/// A pool of user agents, such as B2BUAs or applications, all of that name.
pub fn applications(mix: Mix, name: &'static str) -> Network {
    let mut network = Network::new(mix, &backends(&MEMBERS));
    for (_, address) in MEMBERS {
        let contact = format!("sip:{name}@{address}");
        let host = address.split(':').next().expect("a host");
        let mut agent = Agent::new(name, host, &contact, &format!("sip:{name}@atlanta.example.com"));
        agent.outbound = Some(mix.backend_route().to_owned());
        network.add(name, address, &[], Element::Agent(agent));
    }
    people(&mut network);
    network
}

fn people(network: &mut Network) {
    let people = [
        ("alice", "192.0.2.101", "client.atlanta.example.com", "sip:alice@atlanta.example.com"),
        ("carol", "192.0.2.102", "carol.atlanta.example.com", "sip:carol@atlanta.example.com"),
        ("bob", "192.0.2.201", "client.biloxi.example.com", "sip:bob@biloxi.example.com"),
    ];
    for (name, ip, host, aor) in people {
        let mut agent = Agent::new(name, host, &format!("sip:{name}@{ip}"), aor);
        let to_viaduct = network.mix.client_route();
        agent.outbound = Some(if name == "bob" { "<sip:192.0.2.222;lr>" } else { to_viaduct }.to_owned());
        network.add(name, &format!("{ip}:5060"), &[host], Element::Agent(agent));
    }
}

/// A binding of the location service: Proxy 1 reaches that user at this Contact.
pub fn bind(location: &Location, aor: &str, contact: &str) {
    let binding = Binding { contact: contact.to_owned(), path: vec![] };
    location.borrow_mut().insert(aor.to_owned(), binding);
}

/// The address of the member that has a call.
pub fn address_of(network: &Network, call_id: &str) -> &'static str {
    let member = network.viaduct.member_of(call_id);
    MEMBERS.iter().find(|(name, _)| *name == member).expect("a member").1
}
