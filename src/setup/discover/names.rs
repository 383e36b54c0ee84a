//! Asks the name service for SRV and MX records, which the system's own resolver does not look up. Addresses are looked
//! up by the system, in `proxy/net/dial.rs`.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::time::timeout;

use ostler_mail::wire::printable;

/// For one query to one name server, before the next attempt.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
/// How often one name server is asked; UDP packets get lost.
const MAX_ATTEMPTS: usize = 2;
/// For an answer from any number of name servers, because a person is waiting.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(6);
/// Records taken from one answer; a domain has one or two of a kind.
const MAX_RECORDS: usize = 16;

/// The name service.
pub struct Names(Result<TokioResolver, String>);

/// One SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// The record with the lowest priority comes first.
    pub priority: u16,
    /// Of records with equal priority, the share of clients that should use this one.
    pub weight: u16,
    /// 0 if the service is not offered.
    pub port: u16,
    /// In lower case, without the trailing dot; empty if the service is not offered (a target of `.`).
    pub target: String,
}

/// Why there are no records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamesTrouble {
    /// The name service answered that there are none.
    #[error("there is no such record")]
    NoRecord,
    /// It gave no answer, for this reason.
    #[error("the name service gave no answer: {0}")]
    NotAsked(String),
}

impl Names {
    /// The name servers that this system uses. If they cannot be determined, every query fails with
    /// [`NamesTrouble::NotAsked`]; no other name servers are asked instead.
    pub fn system() -> Self {
        let resolver = TokioResolver::builder_tokio().and_then(|mut builder| {
            configure(builder.options_mut());
            builder.build()
        });
        Self(resolver.map_err(|error| describe_error(&error)))
    }

    /// These name servers and no others.
    pub fn at(servers: Vec<SocketAddr>) -> Self {
        let servers = servers.into_iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.to_vec())
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        configure(builder.options_mut());
        Self(builder.build().map_err(|error| describe_error(&error)))
    }

    /// The SRV records of a name such as `_pop3s._tcp.example.net`, best first. Of records with equal priority the one
    /// with the greatest weight comes first. RFC 2782 wants a random choice, which spreads many clients over the
    /// servers; here one user chooses once, and should get the same server next time.
    pub async fn srv(&self, name: &str) -> Result<Vec<Srv>, NamesTrouble> {
        let mut found = Vec::new();
        for record in self.ask(name, RecordType::SRV).await? {
            if let RData::SRV(srv) = record {
                let target = host(&srv.target.to_ascii());
                found.push(Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target });
            }
        }
        found.sort_by_key(|srv| (srv.priority, u16::MAX - srv.weight));
        if found.is_empty() { Err(NamesTrouble::NoRecord) } else { Ok(found) }
    }

    /// The hosts that receive mail for a domain, in order of preference. A domain that receives none (RFC 7505) has no
    /// record.
    pub async fn mx(&self, domain: &str) -> Result<Vec<String>, NamesTrouble> {
        let mut found = Vec::new();
        for record in self.ask(domain, RecordType::MX).await? {
            if let RData::MX(mx) = record {
                found.push((mx.preference, host(&mx.exchange.to_ascii())));
            }
        }
        found.retain(|(_, host)| !host.is_empty());
        found.sort();
        if found.is_empty() {
            Err(NamesTrouble::NoRecord)
        } else {
            Ok(found.into_iter().map(|(_, host)| host).collect())
        }
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, NamesTrouble> {
        let resolver = self.0.as_ref().map_err(|why| NamesTrouble::NotAsked(why.clone()))?;
        // The trailing dot keeps the resolver from appending this computer's search domains.
        match timeout(LOOKUP_TIMEOUT, resolver.lookup(format!("{name}."), kind)).await {
            Err(_) => Err(NamesTrouble::NotAsked("no answer in time".into())),
            Ok(Ok(lookup)) => Ok(lookup.answers().iter().take(MAX_RECORDS).map(|record| record.data.clone()).collect()),
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(_)))) => Err(NamesTrouble::NoRecord),
            Ok(Err(error)) => Err(NamesTrouble::NotAsked(describe_error(&error))),
        }
    }
}

fn configure(options: &mut ResolverOpts) {
    options.timeout = QUERY_TIMEOUT;
    options.attempts = MAX_ATTEMPTS;
    // It has neither SRV nor MX records.
    options.use_hosts_file = ResolveHosts::Never;
    options.try_tcp_on_error = true;
}

/// A host name in lower case without its trailing dot.
fn host(name: &str) -> String {
    printable(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().as_bytes())
}

fn describe_error(error: &NetError) -> String {
    match error {
        NetError::Timeout => "no answer in time".into(),
        NetError::NoConnections => "no name server can be reached".into(),
        other => printable(other.to_string().as_bytes()),
    }
}
