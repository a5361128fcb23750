//! The epoch: a number that Mako owns and the library only keeps.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Mako packs the epoch as one decimal digit into timestamps.
const DIGIT_MAX: i32 = 9;

static EPOCH: AtomicI32 = AtomicI32::new(0);
static WARNED: AtomicBool = AtomicBool::new(false);

/// The epoch: 0 at start. Any thread, at any time.
pub fn epoch() -> i32 {
    EPOCH.load(Ordering::SeqCst)
}

/// -1 increments; any other value sets. Past 9 a warning is logged once. Any thread, at any time.
pub fn set_epoch(epoch: i32) {
    let now = if epoch == -1 {
        EPOCH.fetch_add(1, Ordering::SeqCst).wrapping_add(1)
    } else {
        EPOCH.store(epoch, Ordering::SeqCst);
        epoch
    };
    if now > DIGIT_MAX && !WARNED.swap(true, Ordering::Relaxed) {
        log::warn!("epoch {now} is past {DIGIT_MAX}: Mako packs it as one decimal digit into its timestamps");
    }
}

/// A new life begins with epoch 0.
pub(super) fn reset() {
    EPOCH.store(0, Ordering::SeqCst);
    WARNED.store(false, Ordering::Relaxed);
}

/// Whether Mako's receivers can read this epoch from a no-ops log.
pub(super) fn is_digit(epoch: i32) -> bool {
    (0..=DIGIT_MAX).contains(&epoch)
}
