//! All members of the pool, sorted by name, and who owns an address.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ahash::AHashMap;
use arrayvec::ArrayVec;

use super::backend::{Backend, BackendId, BackendIndex};

/// The most backends in a pool: a table of more would give each too few places to share evenly.
pub const MAX_BACKENDS: usize = 4096;

/// The members of a pool.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    backends: Vec<Backend>,
    by_address: AHashMap<SocketAddr, BackendIndex>,
    /// For each host and port its member, or `None` where there are several, as of a name with several addresses.
    by_host: AHashMap<Vec<u8>, Option<BackendIndex>>,
    by_id: AHashMap<BackendId, BackendIndex>,
    ids: Vec<BackendId>,
    /// For each IP address its member, or `None` where there are several.
    only_at: AHashMap<IpAddr, Option<BackendIndex>>,
}

/// Why these backends make no pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolError {
    /// More than [`MAX_BACKENDS`].
    TooMany(usize),
    /// Two backends have this name.
    NameTwice(String),
    /// Two backends have this address.
    AddressTwice(SocketAddr),
    /// The names of these two have the same id, which one pair in four billion has.
    IdTwice(String, String),
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolError::TooMany(count) => write!(f, "{count} backends are too many; at most {MAX_BACKENDS}"),
            PoolError::NameTwice(name) => write!(f, "two backends are named `{name}`; each name may stand once"),
            PoolError::IdTwice(a, b) => write!(f, "the names `{a}` and `{b}` have the same id; rename one of them"),
            PoolError::AddressTwice(address) => write!(f, "two backends are at {address}; each address may stand once"),
        }
    }
}

impl std::error::Error for PoolError {}

impl Pool {
    /// A pool of these members, in the order of their names whatever order they come in.
    pub fn new(mut backends: Vec<Backend>) -> Result<Self, PoolError> {
        if backends.len() > MAX_BACKENDS {
            return Err(PoolError::TooMany(backends.len()));
        }
        backends.sort_by(|a, b| a.name.cmp(&b.name));
        let mut pool = Pool::default();
        for (index, backend) in backends.iter().enumerate() {
            if index > 0 && backends[index - 1].name == backend.name {
                return Err(PoolError::NameTwice(backend.name.clone()));
            }
            let index = BackendIndex(index as u16);
            if pool.by_address.insert(backend.address, index).is_some() {
                return Err(PoolError::AddressTwice(backend.address));
            }
            if let Some(key) = host_key(backend.host.as_bytes(), backend.address.port()) {
                let of_host = pool.by_host.entry(key.to_vec()).or_insert(Some(index));
                *of_host = of_host.filter(|other| *other == index);
            }
            let id = BackendId::of_name(&backend.name);
            pool.ids.push(id);
            if let Some(other) = pool.by_id.insert(id, index) {
                return Err(PoolError::IdTwice(backends[other.get()].name.clone(), backend.name.clone()));
            }
            let at_ip = pool.only_at.entry(backend.address.ip()).or_insert(Some(index));
            *at_ip = at_ip.filter(|other| *other == index);
        }
        pool.backends = backends;
        Ok(pool)
    }

    /// The same, with a member found by the id of a name that it had before, too, unless that is a member's own.
    pub fn with_former_name(mut self, name: &str, index: BackendIndex) -> Self {
        self.by_id.entry(BackendId::of_name(name)).or_insert(index);
        self
    }

    /// The members, by name.
    pub fn backends(&self) -> &[Backend] {
        &self.backends
    }

    /// The member at that place.
    pub fn get(&self, index: BackendIndex) -> Option<&Backend> {
        self.backends.get(index.get())
    }

    /// The member at exactly that address and port.
    pub fn by_address(&self, address: SocketAddr) -> Option<BackendIndex> {
        self.by_address.get(&address).copied()
    }

    /// The only member configured with that host, in any case, and port.
    pub fn by_host(&self, host: &[u8], port: u16) -> Option<BackendIndex> {
        self.by_host.get(host_key(host, port)?.as_slice()).copied().flatten()
    }

    /// The member that a message from there was sent by: the one at that very address, or the only one at that IP address,
    /// since backends send from ports of their choice.
    pub fn by_source(&self, source: SocketAddr) -> Option<BackendIndex> {
        self.by_address(source).or_else(|| self.only_at.get(&source.ip()).copied().flatten())
    }

    /// The id of the member at that place.
    pub fn id_of(&self, index: BackendIndex) -> Option<BackendId> {
        self.ids.get(index.get()).copied()
    }

    /// The member whose name, or former name, has that id.
    pub fn by_id(&self, id: BackendId) -> Option<BackendIndex> {
        self.by_id.get(&id).copied()
    }

    /// Whether any member is at that address, whatever the port: backends send from ports of their choice.
    pub fn has_ip(&self, ip: IpAddr) -> bool {
        self.only_at.contains_key(&ip)
    }
}

/// Host and port in one key, without allocation; `None` where the host is longer than any name can be.
fn host_key(host: &[u8], port: u16) -> Option<ArrayVec<u8, 260>> {
    let mut key = ArrayVec::new();
    key.try_extend_from_slice(host).ok()?;
    key.make_ascii_lowercase();
    key.try_extend_from_slice(&port.to_be_bytes()).ok()?;
    Some(key)
}
