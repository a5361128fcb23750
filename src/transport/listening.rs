//! At which of its own addresses a process listens.
//!
//! A name may be another address here than elsewhere: Debian's `/etc/hosts` gives a machine's own name 127.0.1.1, at which
//! nobody else reaches it. So where a peer is not on this machine, other addresses come first, and where there is none,
//! the operator is told.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpListener;

use super::resolve::{literal, look_up, Resolved, Resolver};
use super::settings::{PeerAddress, TransportError};
use super::NoticeLevel;

/// Whether a peer is elsewhere is asked of the system for so long, and only when this process's own name is a loopback address.
const LOOK_UP_PATIENCE: Duration = Duration::from_secs(2);

/// A line for the operator about the address.
pub type Line = (NoticeLevel, String);

/// A listener, and what came of finding its address.
pub struct Listening {
    /// On that address.
    pub listener: TcpListener,
    /// What the operator should know of it.
    pub line: Option<Line>,
    /// For so long the peers' names were waited for.
    pub waited: Duration,
}

/// Listens on the first address of `host` that this machine has. mio sets SO_REUSEADDR, so connections
/// that linger from an earlier start don't matter.
pub fn listen_on(
    host: &str,
    port: u16,
    peers: &[&PeerAddress],
) -> Result<Listening, TransportError> {
    let addresses = look_up(host, port)
        .map_err(|cause| TransportError::Resolve { host: host.into(), cause: std::io::Error::other(cause) })?;
    let is_name = literal(host).is_none();
    let begun = Instant::now();
    let elsewhere = if is_name && addresses.iter().any(is_loopback) { find_elsewhere(host, peers) } else { None };
    let waited = begun.elapsed();
    let mut failure = None;
    for address in in_order(addresses, elsewhere.is_some()) {
        match TcpListener::bind(address) {
            Ok(listener) => {
                let line = is_name.then(|| describe(host, address, elsewhere.as_deref()));
                return Ok(Listening { listener, line, waited });
            }
            Err(cause) => failure = Some(cause),
        }
    }
    let cause = failure.expect("a look-up brings an address or an error");
    Err(TransportError::Listen { address: format!("{host}:{port}"), cause })
}

/// The order in which addresses of our own are tried.
fn in_order(mut addresses: Vec<SocketAddr>, peer_is_elsewhere: bool) -> Vec<SocketAddr> {
    if peer_is_elsewhere {
        // Stable: otherwise the resolver's order stays.
        addresses.sort_by_key(is_loopback);
    }
    addresses
}

fn describe(host: &str, address: SocketAddr, elsewhere: Option<&str>) -> Line {
    match elsewhere.filter(|_| is_loopback(&address)) {
        Some(peer) => (
            NoticeLevel::Warning,
            format!(
                "the name \"{host}\" is {} on this machine, so this process listens where only processes of this machine \
                 reach it, and {peer} is elsewhere; write this machine's address instead of the name into the \
                 configuration, or take the name off the loopback address in /etc/hosts",
                address.ip()
            ),
        ),
        None => (NoticeLevel::Info, format!("listening on {address}, an address of \"{host}\"")),
    }
}

/// A peer that is not on this machine, in words. Who has the same name as we is on it.
fn find_elsewhere(own_host: &str, peers: &[&PeerAddress]) -> Option<String> {
    let resolver = Resolver::new();
    let judge = |who: usize, answer: Resolved| {
        let PeerAddress { id, host, name, .. } = peers[who];
        is_elsewhere(&answer.ok()?).then(|| format!("{id} ({name}, {host})"))
    };
    let mut names = 0;
    for (who, peer) in peers.iter().enumerate().filter(|(_, peer)| peer.host != own_host) {
        match resolver.ask(who, &peer.host, peer.port) {
            Some(answer) => match judge(who, answer) {
                None => {}
                found => return found,
            },
            None => names += 1,
        }
    }
    let deadline = Instant::now() + LOOK_UP_PATIENCE;
    let answers = (0..names).map_while(|_| resolver.wait(deadline.saturating_duration_since(Instant::now())));
    // What can't be looked up, or not in time, is not known to be elsewhere.
    answers.into_iter().find_map(|(who, answer)| judge(who, answer))
}

fn is_elsewhere(addresses: &[SocketAddr]) -> bool {
    !addresses.is_empty() && !addresses.iter().any(|address| is_loopback(address) || address.ip().is_unspecified())
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ProcessId;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 5)).collect()
    }

    fn peer(host: &str) -> PeerAddress {
        PeerAddress { id: ProcessId(2), host: host.into(), port: 5, name: "two".into() }
    }

    #[test]
    fn loopback_addresses_come_last_where_a_peer_is_elsewhere_and_else_the_resolvers_order_stays() {
        let found = addresses(&["127.0.1.1", "::1", "fd00::7", "10.0.0.7"]);
        assert_eq!(in_order(found.clone(), true), addresses(&["fd00::7", "10.0.0.7", "127.0.1.1", "::1"]));
        assert_eq!(in_order(found.clone(), false), found);
    }

    #[test]
    fn a_peer_is_elsewhere_when_none_of_its_addresses_is_this_machines_for_sure() {
        for (elsewhere, host) in [
            (true, "10.0.0.8"),
            (true, "[2001:db8::8]"),
            (false, "127.0.0.9"),
            (false, "::ffff:127.0.0.9"),
            (false, "0.0.0.0"),
            (false, "localhost"),
            (false, "us"),
            (false, "no-such-host.invalid"),
        ] {
            assert_eq!(find_elsewhere("us", &[&peer(host)]).is_some(), elsewhere, "{host}");
        }
        let found = find_elsewhere("us", &[&peer("localhost"), &peer("10.0.0.8")]);
        assert_eq!(found.as_deref(), Some("process 2 (two, 10.0.0.8)"));
    }

    #[test]
    fn only_a_loopback_address_that_a_peer_elsewhere_can_not_reach_is_warned_of() {
        let [loopback, other] = [addresses(&["127.0.1.1"])[0], addresses(&["10.0.0.7"])[0]];
        let (level, text) = describe("us", loopback, Some("process 2 (two, them)"));
        assert_eq!(level, NoticeLevel::Warning);
        assert!(["\"us\" is 127.0.1.1", "process 2 (two, them)", "/etc/hosts"].iter().all(|word| text.contains(word)), "{text}");
        for (address, elsewhere) in [(loopback, None), (other, Some("process 2")), (other, None)] {
            assert_eq!(describe("us", address, elsewhere).0, NoticeLevel::Info);
        }
    }
}
