//! Looks host names up without holding up the event loop.
//!
//! The system's resolver blocks, up to half a minute when a name server is silent. Addresses written
//! as numbers need no resolver; names are looked up on a thread that ends with its answer.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::time::Duration;

/// What a look-up brought: addresses, or why there are none.
pub type Resolved = Result<Vec<SocketAddr>, String>;

/// Look-ups under way. Dropping it abandons them.
pub struct Resolver {
    answers: Receiver<(usize, Resolved)>,
    sender: Sender<(usize, Resolved)>,
}

impl Resolver {
    /// Idle.
    pub fn new() -> Self {
        let (sender, answers) = channel();
        Self { answers, sender }
    }

    /// Looks `host` up for the asker `who`, who must not ask again before its answer. An address written
    /// as a number is answered at once, by the return value.
    pub fn ask(&self, who: usize, host: &str, port: u16) -> Option<Resolved> {
        if let Some(address) = literal(host) {
            return Some(Ok(vec![SocketAddr::new(address, port)]));
        }
        let (sender, name) = (self.sender.clone(), host.to_owned());
        let spawned = std::thread::Builder::new().name("mako-resolve".into()).spawn(move || {
            // The room may be gone by now.
            let _ = sender.send((who, look_up(&name, port)));
        });
        spawned.err().map(|error| Err(format!("no thread to look \"{host}\" up: {error}")))
    }

    /// An answer that has come, if any.
    pub fn answer(&self) -> Option<(usize, Resolved)> {
        self.answers.try_recv().ok()
    }

    /// Waits for an answer.
    pub fn wait(&self, at_most: Duration) -> Option<(usize, Resolved)> {
        self.answers.recv_timeout(at_most).ok()
    }
}

/// The address that `host` spells out, if it is no name.
pub fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Blocks until the system's resolver has answered.
pub fn look_up(host: &str, port: u16) -> Resolved {
    if let Some(address) = literal(host) {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let addresses: Vec<_> = (host, port).to_socket_addrs().map_err(|error| error.to_string())?.collect();
    if addresses.is_empty() {
        return Err("the name has no address".into());
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_answered_at_once_and_names_later() {
        let resolver = Resolver::new();
        let at_once = resolver.ask(0, "[::1]", 5).expect("a literal").expect("is an address");
        assert_eq!(at_once, ["[::1]:5".parse().unwrap()]);
        assert!(resolver.ask(1, "localhost", 5).is_none());
        let (who, found) = resolver.wait(Duration::from_secs(20)).expect("localhost is known everywhere");
        assert_eq!(who, 1);
        assert!(found.expect("has an address").iter().all(|a| a.ip().is_loopback() && a.port() == 5));
    }

    #[test]
    fn a_name_that_cannot_exist_is_an_error_with_the_resolvers_words() {
        assert!(!look_up("no-such-host.invalid", 1).expect_err("reserved by RFC 2606").is_empty());
    }
}
