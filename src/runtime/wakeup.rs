//! Waking the event loop: one system call only when it sleeps.
//!
//! The danger is a lost wake-up: a producer that sees the loop awake just as the loop, which saw
//! nothing to do, falls asleep. It is Dekker's problem, with a store before a load on both sides:
//!
//! ```text
//! producer:  push;         fence; load asleep  -> wake when true
//! loop:      asleep = true; fence; look at every source -> sleep when all are empty
//! ```
//!
//! Sequentially consistent fences have one total order. If the producer's comes first, the loop's
//! look sees the push; if the loop's comes first, the producer's load sees `asleep` and wakes. Without
//! either fence both loads can be answered from before both stores, and a log would wait for the next tick.
//!
//! A wake-up that arrives before the loop is in `epoll_wait` is not lost: the eventfd stays readable.
//! `swap` lets one of several producers make the system call.

use std::io;
use std::sync::atomic::{fence, AtomicBool, Ordering};

/// The loop's end of the arrangement and the producers'. Shared.
#[derive(Debug)]
pub struct Wakeup {
    asleep: AtomicBool,
    /// Set by the loop when a lane's progress is worth waking for.
    wants_progress: AtomicBool,
    waker: mio::Waker,
}

impl Wakeup {
    /// A wake-up that makes `token` ready on the poll behind `registry`.
    pub fn new(registry: &mio::Registry, token: mio::Token) -> io::Result<Self> {
        Ok(Self {
            asleep: AtomicBool::new(false),
            wants_progress: AtomicBool::new(false),
            waker: mio::Waker::new(registry, token)?,
        })
    }

    /// Producer: something was pushed where the loop looks.
    pub fn notify(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.wake();
        }
    }

    /// Lane: progress was stored. Wakes only a loop that waits for it; others see it in their next turn,
    /// a tick later at most.
    pub fn notify_progress(&self) {
        fence(Ordering::SeqCst);
        if self.wants_progress.load(Ordering::Relaxed)
            && self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::Relaxed)
        {
            self.wake();
        }
    }

    fn wake(&self) {
        // An eventfd write fails only when the counter is full (then it is readable already, and mio
        // handles it) or the descriptor is gone (then nobody sleeps on it).
        if let Err(error) = self.waker.wake() {
            log::error!("waking the event loop failed: {error}");
        }
    }

    /// Loop: going to sleep. Look at every source after this, and sleep only when all are empty.
    pub fn announce_sleep(&self, wants_progress: bool) {
        self.wants_progress.store(wants_progress, Ordering::Relaxed);
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Loop: awake again; producers need not wake.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::sync::Arc;
    use std::time::Duration;

    /// The loop has no tick here: one lost wake-up and the poll times out.
    #[test]
    fn no_wake_up_is_lost_between_looking_and_sleeping() {
        const ROUNDS: u64 = 20_000;
        let mut poll = mio::Poll::new().unwrap();
        let wakeup = Arc::new(Wakeup::new(poll.registry(), mio::Token(0)).unwrap());
        let pushed: Arc<[AtomicU64; 2]> = Arc::default();
        let taken = Arc::new(AtomicU64::new(0));
        let producers: Vec<_> = (0..2)
            .map(|i| {
                let (wakeup, pushed, taken) = (wakeup.clone(), pushed.clone(), taken.clone());
                std::thread::spawn(move || {
                    for round in 1..=ROUNDS {
                        pushed[i].store(round, Ordering::Relaxed);
                        wakeup.notify();
                        // Half the rounds wait for the loop, so that it sleeps often.
                        while round % 2 == 0 && taken.load(Ordering::Relaxed) < round {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let mut events = mio::Events::with_capacity(4);
        let least = || pushed.iter().map(|p| p.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let mut seen = vec![0, 0];
        while seen.iter().any(|&s| s < ROUNDS) {
            wakeup.announce_sleep(false);
            if least() == seen {
                poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
                assert!(!events.is_empty() || least() != seen, "a wake-up was lost");
                assert!(!events.is_empty(), "slept through a push");
            }
            wakeup.awake();
            seen = least();
            taken.store(seen.iter().copied().min().unwrap_or(0), Ordering::Relaxed);
        }
        producers.into_iter().for_each(|p| p.join().unwrap());
    }
}
