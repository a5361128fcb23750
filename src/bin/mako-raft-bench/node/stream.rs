//! One partition of a replica process: checks what is delivered, counts it, wakes its submitter.

use std::sync::atomic::{fence, AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use mako_raft::helper::{CallbackRole, LogCallback};

use crate::clock;
use crate::histogram::Histogram;
use crate::payload::{self, Sizes};

/// Nobody waits.
const NOBODY: u64 = u64::MAX;
/// A missed wake-up would be a bug of ours; the submitter looks by itself this often.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What the submitter, the lane and the control thread share.
pub struct Stream {
    partition: u32,
    /// Logs delivered: the last one's sequence number and slot. Written by the lane only.
    delivered: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicBool,
    /// False for big logs that others are measured beside.
    counted: AtomicBool,
    /// Latencies of this process's logs that were stamped at or behind `latency_from`.
    pub latency: Histogram,
    latency_from: AtomicU64,
    /// Wake the submitter once so many are delivered.
    wake_at: AtomicU64,
    submitter: OnceLock<Thread>,
    /// Of its logs, once an order has said so.
    sizes: OnceLock<Sizes>,
}

impl Stream {
    /// Nothing delivered.
    pub fn new(partition: u32) -> Self {
        Self {
            partition,
            delivered: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            counted: AtomicBool::new(true),
            latency: Histogram::default(),
            latency_from: AtomicU64::new(u64::MAX),
            wake_at: AtomicU64::new(NOBODY),
            submitter: OnceLock::new(),
            sizes: OnceLock::new(),
        }
    }

    /// The partition.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// Logs whose callback has run.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A log was not the one that had to come.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether its logs are in the figures.
    pub fn is_counted(&self) -> bool {
        self.counted.load(Ordering::Relaxed)
    }

    /// Takes its logs out of the figures.
    pub fn leave_uncounted(&self) {
        self.counted.store(false, Ordering::Relaxed);
    }

    /// From now on the length of each log is checked, too. The first order counts.
    pub fn expect_sizes(&self, sizes: Sizes) {
        let _ = self.sizes.set(sizes);
    }

    /// Logs stamped before this are not timed.
    pub fn time_from(&self, begin_ns: u64) {
        self.latency_from.store(begin_ns, Ordering::Relaxed);
    }

    /// Submitter: waits until `count` logs are delivered, or until `deadline_ns`; true when they are.
    /// One thread per stream, always the same.
    pub fn wait_delivered(&self, count: u64, deadline_ns: u64) -> bool {
        self.submitter.get_or_init(thread::current);
        loop {
            self.wake_at.store(count, Ordering::Relaxed);
            // Against the lane's store and load the other way round: one of the two sees the other.
            fence(Ordering::SeqCst);
            let there = self.delivered() >= count;
            if there || self.has_failed() || clock::now_ns() >= deadline_ns {
                self.wake_at.store(NOBODY, Ordering::Relaxed);
                return there;
            }
            thread::park_timeout(LOOK_AGAIN);
        }
    }

    /// Lane: the next log of the stream.
    fn take(&self, log: &[u8], slot: u64, own: bool) {
        let expected = self.delivered.load(Ordering::Relaxed) + 1;
        match payload::check(log, expected, slot, self.sizes.get().copied()) {
            Ok(stamp) if own && stamp >= self.latency_from.load(Ordering::Relaxed) && stamp > 0 => {
                self.latency.record(clock::now_ns().saturating_sub(stamp));
            }
            Ok(_) => {}
            Err(what) => {
                if !self.failed.swap(true, Ordering::Relaxed) {
                    super::say(&format!("failed partition {}: {what}", self.partition));
                }
            }
        }
        self.bytes.store(self.bytes.load(Ordering::Relaxed) + log.len() as u64, Ordering::Relaxed);
        self.delivered.store(expected, Ordering::Release);
        fence(Ordering::SeqCst);
        if expected >= self.wake_at.load(Ordering::Relaxed) {
            self.wake_at.store(NOBODY, Ordering::Relaxed);
            if let Some(submitter) = self.submitter.get() {
                submitter.unpark();
            }
        }
    }
}

/// The callback of one role. `slow` is added to each call.
pub fn callback(stream: &Arc<Stream>, role: CallbackRole, slow: Duration) -> LogCallback {
    let stream = stream.clone();
    Box::new(move |call| {
        stream.take(call.log.bytes(), call.slot, role == CallbackRole::Leader);
        if !slow.is_zero() {
            thread::sleep(slow);
        }
        0
    })
}
