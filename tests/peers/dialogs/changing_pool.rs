//! A pool of three that changes while calls are up: a member is known by another address, weights change, one member comes,
//! another goes, and the order is another.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::peers::kamailio::Kamailio;
use crate::peers::scene::Scene;
use crate::peers::viaduct::Viaduct;
use crate::{BACKENDS, VIADUCT};

/// Three proxies, and one that comes later.
pub struct ChangingPool {
    /// The members from the beginning: `one`, `two` and `three`.
    pub proxies: Vec<Kamailio>,
    /// The member that comes.
    pub newcomer: Kamailio,
    /// The member that goes. It had no share.
    spare: SocketAddr,
}

impl ChangingPool {
    /// Starts the proxies; `proxy` starts one on its host.
    pub fn start(scene: &Scene, proxy: impl Fn(u8) -> Kamailio) -> ChangingPool {
        let proxies = (BACKENDS..BACKENDS + 3).map(&proxy).collect();
        ChangingPool { proxies, newcomer: proxy(BACKENDS + 3), spare: scene.endpoint(BACKENDS + 4) }
    }

    /// Starts Viaduct in front of the three.
    pub fn viaduct(&self, scene: &Scene, settings: &[(&str, &str)]) -> Viaduct {
        let [one, two, three] = self.addresses();
        let list = format!("one=udp://{one},two=udp://{two},three=udp://{three},spare=udp://{};weight=0", self.spare);
        Viaduct::start(scene, VIADUCT, &[], &[&[("BACKENDS", list.as_str())], settings].concat())
    }

    /// Replaces Viaduct by one for which the pool has changed in every way.
    pub fn change(&self, scene: &Scene, viaduct: &mut Viaduct, settings: &[(&str, &str)]) {
        let [one, two, three] = self.addresses();
        let moved = self.proxies[0].other_address;
        let newcomer = self.newcomer.address;
        let list = format!(
            "three=udp://{three};weight=5,four=udp://{newcomer};weight=2,one=udp://{moved},two=udp://{two};weight=0"
        );
        self.replace(scene, viaduct, &list, one, settings);
    }

    /// Replaces Viaduct by one for which the pool has changed, but each call's owner by the hash has not: a member is known
    /// by another address, one without a share has gone, another without a share has come.
    pub fn change_without_shares(&self, scene: &Scene, viaduct: &mut Viaduct, settings: &[(&str, &str)]) {
        let [one, two, three] = self.addresses();
        let moved = self.proxies[0].other_address;
        let newcomer = self.newcomer.address;
        let list = format!("four=udp://{newcomer};weight=0,three=udp://{three},one=udp://{moved},two=udp://{two}");
        self.replace(scene, viaduct, &list, one, settings);
    }

    /// Replaces Viaduct by one whose pool has lost `one`, and which knows what to do with its dialogs.
    pub fn remove_one(&self, scene: &Scene, viaduct: &mut Viaduct, on_lost_pin: &str) {
        let [_, two, three] = self.addresses();
        let list = format!("two=udp://{two},three=udp://{three}");
        viaduct.replace(scene, &[("BACKENDS", &list), ("LOST_PIN", on_lost_pin)]);
    }

    /// Asserts that so many Call-IDs were seen, each by one proxy only.
    pub fn assert_calls_at_one_proxy_each(&self, calls: usize) {
        let proxies = self.proxies.iter().chain([&self.newcomer]);
        let seen: Vec<String> = proxies.flat_map(|proxy| proxy.seen().into_keys()).collect();
        let different: BTreeSet<&String> = seen.iter().collect();
        assert_eq!((seen.len(), different.len()), (calls, calls), "Call-IDs by proxy, Call-IDs");
    }

    /// The called still send to the address that `one` has left, as its Record-Route says, and `one` sends on from there:
    /// so it stays trusted.
    fn replace(&self, scene: &Scene, viaduct: &mut Viaduct, list: &str, left: SocketAddr, settings: &[(&str, &str)]) {
        let trusted = left.ip().to_string();
        viaduct.replace(scene, &[&[("BACKENDS", list), ("TRUSTED", &trusted)], settings].concat());
    }

    fn addresses(&self) -> [SocketAddr; 3] {
        [0, 1, 2].map(|member: usize| self.proxies[member].address)
    }
}
