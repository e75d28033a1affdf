//! Who may change anything, and ask what only an administrator may know.
//!
//! Where a token is set, whoever shows it may, from anywhere, and nobody else: a page of another site cannot know it, so its
//! origin need not be asked for. Where none is set, programs of this machine may. A browser on this machine runs programs of
//! strangers, so three things must hold beside the address: the host that was asked is this machine's (a name that a stranger's
//! name server leads here is not: DNS rebinding), the page that asks, if one does, is of that host, and a header stands in the
//! request that no page of another site can put there without a question beforehand, which is never answered. A request that was
//! passed on by a proxy is nobody's of this machine.
//!
//! To let all of loopback in without that looked enough, as many programs do; a page that an operator visits could then drain a pool.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::Problem;

/// The header that a request without a token must have, whatever its value.
pub const OWN_HEADER: HeaderName = HeaderName::from_static("viaduct-admin");

/// Headers by which proxies say that they pass on.
const PASSED_ON: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// Who may. Clones are the same one.
#[derive(Clone, Default)]
pub struct Guard {
    /// A digest, so that a comparison takes the same time for whatever is shown.
    token: Arc<ArcSwapOption<[u8; 32]>>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guard")
    }
}

impl Guard {
    /// Where no token is set, programs of this machine may.
    pub fn new(token: Option<&[u8]>) -> Self {
        let digest = |token| Arc::new(<[u8; 32]>::from(Sha256::digest(token)));
        Guard { token: Arc::new(ArcSwapOption::new(token.map(digest))) }
    }

    /// Whether a token is needed.
    pub fn has_token(&self) -> bool {
        self.token.load().is_some()
    }

    /// Whether the other one lets in whom this one does.
    pub fn is_like(&self, other: &Guard) -> bool {
        self.token.load_full() == other.token.load_full()
    }

    /// Lets in from here on whom the other one does.
    pub fn follow(&self, other: &Guard) {
        self.token.store(other.token.load_full());
    }

    /// What someone at that address needs: `token`, `nothing`, or it is `refused` whatever is shown.
    pub fn need(&self, peer: IpAddr) -> &'static str {
        match *self.token.load() {
            Some(_) => "token",
            None if peer.to_canonical().is_loopback() => "nothing",
            None => "refused",
        }
    }

    /// Whether a request may, by the address that it came from and its headers.
    pub fn check(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<(), Problem> {
        match &*self.token.load() {
            Some(token) => shows(token, headers),
            None => is_of_this_machine(peer.ip(), headers),
        }
    }
}

fn shows(token: &[u8; 32], headers: &HeaderMap) -> Result<(), Problem> {
    let right = "Authorization: Bearer and the token of VIADUCT_ADMIN_TOKEN or VIADUCT_ADMIN_TOKEN_FILE";
    let unauthorised = |detail| Err(Problem::new(StatusCode::UNAUTHORIZED, detail, right));
    let Some(shown) = headers.get(header::AUTHORIZATION) else {
        return unauthorised("no token is shown");
    };
    let Some((scheme, shown)) = shown.as_bytes().split_at_checked(7) else {
        return unauthorised("what is shown is no bearer token");
    };
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return unauthorised("what is shown is no bearer token");
    }
    let digest: [u8; 32] = Sha256::digest(shown.trim_ascii()).into();
    if bool::from(digest.ct_eq(token)) { Ok(()) } else { unauthorised("the token that is shown is another") }
}

fn is_of_this_machine(peer: IpAddr, headers: &HeaderMap) -> Result<(), Problem> {
    let forbidden = |detail: &str, right: &str| Err(Problem::new(StatusCode::FORBIDDEN, detail, right));
    let a_token = "a token: set VIADUCT_ADMIN_TOKEN_FILE, and show it";
    if !peer.to_canonical().is_loopback() {
        return forbidden("no token is set, so only programs of Viaduct's own machine may", a_token);
    }
    if PASSED_ON.iter().any(|name| headers.contains_key(*name)) {
        return forbidden("no token is set, and the request was passed on by a proxy", a_token);
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_loopback(host) {
        return forbidden("no token is set, and the host that is asked is no name of this machine", "Host: 127.0.0.1");
    }
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    if origin.is_some_and(|origin| origin.strip_prefix("http://") != Some(host)) {
        return forbidden("no token is set, and a page of another site asks", a_token);
    }
    if !headers.contains_key(OWN_HEADER) {
        return forbidden(
            "no token is set, and the header that a page of another site cannot send is missing",
            "Viaduct-Admin: 1",
        );
    }
    Ok(())
}

/// Whether a Host names this machine to itself.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "a token for tests only";

    fn status(token: Option<&str>, peer: &str, headers: &[(&'static str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        match Guard::new(token.map(str::as_bytes)).check(peer, &map) {
            Ok(()) => 200,
            Err(problem) => problem.status.as_u16(),
        }
    }

    #[test]
    fn where_a_token_is_set_it_is_needed_from_everywhere_and_suffices() {
        for peer in ["127.0.0.1", "::1", "192.0.2.1"] {
            let shown = format!("Bearer {TOKEN}");
            assert_eq!(status(Some(TOKEN), peer, &[("authorization", &shown), ("origin", "https://a.example")]), 200);
            assert_eq!(status(Some(TOKEN), peer, &[("authorization", &shown.to_lowercase())]), 200);
            let local = [("host", "127.0.0.1:9060"), ("viaduct-admin", "1")];
            assert_eq!(status(Some(TOKEN), peer, &local), 401);
            for wrong in ["Bearer", "Bearer ", "Bearer other", "Basic YTpi", &format!("{shown}x"), TOKEN] {
                assert_eq!(status(Some(TOKEN), peer, &[("authorization", wrong)]), 401, "{wrong}");
            }
        }
    }

    #[test]
    fn where_none_is_set_only_programs_of_this_machine_may() {
        let local = [("host", "127.0.0.1:9060"), ("viaduct-admin", "1")];
        for peer in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(status(None, peer, &local), 200);
        }
        for peer in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"] {
            assert_eq!(status(None, peer, &local), 403);
        }
        for host in ["localhost", "LocalHost:9060", "127.1.2.3", "[::1]:9060"] {
            assert_eq!(status(None, "127.0.0.1", &[("host", host), ("viaduct-admin", "1")]), 200, "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_rebound_names_and_proxies_may_not() {
        let refused = |more: &[(&'static str, &str)]| status(None, "127.0.0.1", more) == 403;
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "", "0.0.0.0", "192.0.2.1"]
        {
            assert!(refused(&[("host", host), ("viaduct-admin", "1")]), "{host}");
        }
        assert!(refused(&[("viaduct-admin", "1")]), "no host");
        assert!(refused(&[("host", "127.0.0.1")]), "no header of ours");
        let own = [("host", "localhost:1"), ("viaduct-admin", "1")];
        assert_eq!(status(None, "127.0.0.1", &[own[0], own[1], ("origin", "http://localhost:1")]), 200);
        for origin in ["http://localhost:2", "https://localhost:1", "null", "http://evil.example"] {
            assert!(refused(&[own[0], own[1], ("origin", origin)]), "{origin}");
        }
        for name in PASSED_ON {
            assert!(refused(&[own[0], own[1], (name, "203.0.113.1")]), "{name}");
        }
    }
}
