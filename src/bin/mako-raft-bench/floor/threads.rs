//! The floor of many partitions: the wake-ups that the contract's threads cost, and nothing else.
//!
//! Each partition has a submitting thread, and in each of three replicas a thread for its callbacks (contract section
//! 5). A round of its logs, however many they are, wakes each of them once. Here they do nothing but wake the next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::OnceLock;
use std::thread::{self, Thread};
use std::time::Duration;

use crate::clock;
use crate::histogram::Histogram;

use super::Floor;

/// Of one partition: its submitter and three lanes.
const THREADS: usize = 4;

/// A thread's place in its partition's ring.
#[derive(Default)]
struct Seat {
    is_due: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Seat {
    fn wake(&self) {
        self.is_due.store(true, Ordering::Release);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// False when the measurement is over.
    fn wait(&self, is_over: &AtomicBool) -> bool {
        while !self.is_due.swap(false, Ordering::Acquire) {
            if is_over.load(Ordering::Relaxed) {
                return false;
            }
            thread::park();
        }
        true
    }
}

pub fn measure(partitions: usize, seconds: f64) -> Result<Floor, String> {
    let seats: Vec<[Seat; THREADS]> = (0..partitions).map(|_| Default::default()).collect();
    let (is_over, rounds) = (AtomicBool::new(false), Histogram::default());
    thread::scope(|scope| {
        let mut result = Ok(());
        for ring in &seats {
            for number in 0..THREADS {
                let (is_over, rounds) = (&is_over, &rounds);
                let body = move || pass_on(ring, number, is_over, rounds);
                match thread::Builder::new().spawn_scoped(scope, body) {
                    Ok(handle) => drop(ring[number].thread.set(handle.thread().clone())),
                    Err(error) => result = Err(format!("starting a thread: {error}")),
                }
            }
        }
        if result.is_ok() {
            seats.iter().for_each(|ring| ring[0].wake());
            thread::sleep(Duration::from_secs_f64(seconds));
        }
        is_over.store(true, Ordering::Relaxed);
        seats.iter().flatten().for_each(|seat| seat.thread.get().into_iter().for_each(Thread::unpark));
        result
    })?;
    Ok(Floor { latency: rounds.summary(), mb_per_s: 0.0 })
}

/// One thread: wakes the next whenever it is woken. The submitter takes the time of the round.
fn pass_on(ring: &[Seat; THREADS], number: usize, is_over: &AtomicBool, rounds: &Histogram) {
    let mut begun = clock::now_ns();
    while ring[number].wait(is_over) {
        if number == 0 {
            let now = clock::now_ns();
            rounds.record(now - begun);
            begun = now;
        }
        ring[(number + 1) % THREADS].wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_goes_round_and_all_end() {
        let floor = measure(8, 0.1).unwrap();
        assert!(floor.latency.count >= 16, "{floor:?}");
    }
}
