//! Which name servers are asked, and how: the operator's, or those of /etc/resolv.conf.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

/// How long one question to one server waits for its answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How often it is asked again.
const ATTEMPTS: usize = 1;

/// The name servers. Clones ask the same ones.
#[derive(Clone, Debug)]
pub struct Servers(Arc<ArcSwapOption<TokioResolver>>);

/// No answer, or one that says that the server cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) struct Unanswered;

/// The records of one name and kind.
pub(in crate::control) struct Records<T> {
    /// What they say; empty where there are none.
    pub(in crate::control) data: Vec<T>,
    /// How long that may be remembered.
    pub(in crate::control) ttl: Duration,
}

/// How long it is remembered that there are no records, where the zone does not tell.
const UNTOLD_TTL: Duration = Duration::from_secs(10);

impl Servers {
    /// These servers; where none are given, those of /etc/resolv.conf, and the names of /etc/hosts. Fails where that file
    /// cannot be read or names no server.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, NetError> {
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = servers.iter().copied().map(server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        limit(builder.options_mut(), servers.is_empty());
        builder.build().map(|resolver| Servers(Arc::new(ArcSwapOption::from_pointee(resolver))))
    }

    /// No server: no name is ever answered.
    pub fn none() -> Self {
        Servers(Arc::default())
    }

    /// Has all clones ask whom the others ask. What is under way is not concerned.
    pub fn follow(&self, others: &Servers) {
        self.0.store(others.0.load_full());
    }

    /// What `pick` makes of the records of a name. The name is asked for as it stands: a search list is for what people
    /// type, and would lead a domain's requests to a host of ours that bears its name.
    pub(in crate::control) async fn records<T>(
        &self,
        name: &Name,
        kind: RecordType,
        pick: impl Fn(&RData) -> Option<T>,
    ) -> Result<Records<T>, Unanswered> {
        let resolver = self.0.load_full().ok_or(Unanswered)?;
        match resolver.lookup(name.clone(), kind).await {
            Ok(lookup) => {
                let data = lookup.answers().iter().filter_map(|record| pick(&record.data)).collect();
                let least = lookup.answers().iter().map(|record| record.ttl).min();
                Ok(Records { data, ttl: seconds(least) })
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                Ok(Records { data: Vec::new(), ttl: seconds(none.negative_ttl) })
            }
            // Some servers do not know NAPTR or SRV. That they have none is all that can be learnt from them.
            Err(NetError::Dns(DnsError::ResponseCode(ResponseCode::NotImp | ResponseCode::FormErr))) => {
                Ok(Records { data: Vec::new(), ttl: UNTOLD_TTL })
            }
            Err(error) => {
                tracing::debug!(%name, %kind, %error, "a look-up was not answered");
                Err(Unanswered)
            }
        }
    }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

fn limit(options: &mut ResolverOpts, by_system: bool) {
    options.timeout = TIMEOUT;
    options.attempts = ATTEMPTS;
    // What is known stands in the book, which asks again before an answer's time is over.
    options.cache_size = 0;
    options.use_hosts_file = if by_system { ResolveHosts::Auto } else { ResolveHosts::Never };
}

fn seconds(ttl: Option<u32>) -> Duration {
    ttl.map_or(UNTOLD_TTL, |seconds| Duration::from_secs(u64::from(seconds)))
}
