//! When to dial a peer again, and at which of its addresses. Pure.

use std::net::SocketAddr;

use crate::ids::Time;

/// After a refusal that only an operator can mend.
const REFUSED_PAUSE_MS: u64 = 1_000;

/// Names are looked up again so long after the last look-up, while the peer can't be reached.
const LOOK_UP_AGAIN_MS: u64 = 5_000;

/// Why the last attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A working connection was lost, or there was none before: dial soon.
    Connection,
    /// Nobody answered.
    Attempt,
    /// The other side, or this one, refused.
    Refused,
}

/// The dialling of one peer.
#[derive(Debug)]
pub struct Dialling {
    addresses: Vec<SocketAddr>,
    next_address: usize,
    next_at: Time,
    pause_ms: u64,
    pause_min_ms: u64,
    pause_max_ms: u64,
    look_up_at: Time,
    looking_up: bool,
    random: u64,
}

impl Dialling {
    /// Due at once. `seed` decides the jitter.
    pub fn new(pause_min_ms: u64, pause_max_ms: u64, seed: u64) -> Self {
        Self {
            addresses: Vec::new(),
            next_address: 0,
            next_at: Time(0),
            pause_ms: pause_min_ms,
            pause_min_ms,
            pause_max_ms,
            look_up_at: Time(0),
            looking_up: false,
            random: seed | 1,
        }
    }

    /// The address to dial now, if it is time.
    pub fn due(&mut self, now: Time) -> Option<SocketAddr> {
        if now < self.next_at || self.addresses.is_empty() {
            return None;
        }
        let address = self.addresses[self.next_address % self.addresses.len()];
        self.next_address = self.next_address.wrapping_add(1);
        Some(address)
    }

    /// An attempt or a connection ended: sets the pause. The pause grows with each failed attempt, and is
    /// shortened at random so that processes started together do not dial in step.
    pub fn ended(&mut self, how: Ended, now: Time) {
        let pause_ms = match how {
            Ended::Connection => {
                self.pause_ms = self.pause_min_ms;
                self.pause_min_ms
            }
            Ended::Attempt => {
                let pause_ms = self.pause_ms;
                self.pause_ms = (pause_ms * 3 / 2).min(self.pause_max_ms);
                pause_ms
            }
            Ended::Refused => REFUSED_PAUSE_MS,
        };
        let shortened = pause_ms - self.random_below(pause_ms / 2 + 1);
        self.next_at = now.plus_millis(shortened);
    }

    /// Whether to look the name up (again). Says so once; [`Dialling::found`] ends it.
    pub fn wants_look_up(&mut self, now: Time) -> bool {
        let wanted = !self.looking_up && now >= self.look_up_at;
        self.looking_up |= wanted;
        wanted
    }

    /// A look-up was asked for and has not been answered.
    pub fn is_looking_up(&self) -> bool {
        self.looking_up
    }

    /// The look-up's answer. Without one, the addresses that were known stay.
    pub fn found(&mut self, addresses: Option<Vec<SocketAddr>>, now: Time) {
        self.looking_up = false;
        self.look_up_at = now.plus_millis(LOOK_UP_AGAIN_MS);
        if let Some(addresses) = addresses {
            self.addresses = addresses;
        }
    }

    fn random_below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialling(addresses: &[&str]) -> Dialling {
        let mut dialling = Dialling::new(20, 200, 5);
        dialling.found(Some(addresses.iter().map(|a| a.parse().unwrap()).collect()), Time(0));
        dialling
    }

    fn pause(dialling: &mut Dialling, how: Ended) -> u64 {
        let now = Time(1_000_000);
        dialling.ended(how, now);
        dialling.next_at.millis_since(now)
    }

    #[test]
    fn pauses_grow_to_their_bound_and_start_again_after_a_connection() {
        let mut dialling = dialling(&["127.0.0.1:1"]);
        assert!(pause(&mut dialling, Ended::Attempt) <= 20);
        let pauses: Vec<_> = (0..50).map(|_| pause(&mut dialling, Ended::Attempt)).collect();
        assert!(pauses.iter().all(|pause| (10..=200).contains(pause)), "{pauses:?}");
        assert!(pauses[10..].iter().all(|pause| *pause >= 100), "{pauses:?}");
        assert!(pauses[10..].windows(2).any(|pair| pair[0] != pair[1]), "jitter: {pauses:?}");
        assert!(pause(&mut dialling, Ended::Connection) <= 20);
        assert!(pause(&mut dialling, Ended::Attempt) <= 20);
    }

    #[test]
    fn addresses_take_turns() {
        let mut dialling = dialling(&["127.0.0.1:1", "127.0.0.2:1"]);
        let turns: Vec<_> = (0..3).map(|_| dialling.due(Time(0)).unwrap().to_string()).collect();
        assert_eq!(turns, ["127.0.0.1:1", "127.0.0.2:1", "127.0.0.1:1"]);
    }

    #[test]
    fn a_failed_look_up_is_repeated_later_and_keeps_what_was_known() {
        let mut dialling = dialling(&["127.0.0.1:1"]);
        let now = Time(0).plus_millis(LOOK_UP_AGAIN_MS);
        assert!(dialling.wants_look_up(now));
        assert!(!dialling.wants_look_up(now), "one at a time");
        dialling.found(None, now);
        assert!(!dialling.wants_look_up(now));
        assert!(dialling.due(now).is_some());
    }
}
