//! The message of the last failed call, one per thread.
//!
//! The storage is a fixed array without a destructor: Rust tears down thread-locals that have one
//! before C++ `thread_local` destructors run, and Mako submits its last batch from such a destructor.

use std::cell::UnsafeCell;
use std::ffi::c_char;

/// Bytes for a message and its NUL: room for a long path and a sentence. Longer messages are cut.
const CAPACITY_BYTES: usize = 4096;
const CUT_MARK: &str = "...";

thread_local! {
    static MESSAGE: UnsafeCell<[u8; CAPACITY_BYTES]> = const { UnsafeCell::new([0; CAPACITY_BYTES]) };
}

/// Remembers `text` for this thread.
pub(super) fn set(text: &str) {
    MESSAGE.with(|message| {
        // SAFETY: the array belongs to this thread, and no reference to it outlives this closure
        // or the one below; neither calls the other.
        let message = unsafe { &mut *message.get() };
        let end = cut_at(text, CAPACITY_BYTES - 1 - CUT_MARK.len());
        let mark = if end < text.len() { CUT_MARK } else { "" };
        let bytes = text.as_bytes()[..end].iter().chain(mark.as_bytes()).chain(&[0]);
        for (place, &byte) in message.iter_mut().zip(bytes) {
            *place = byte;
        }
    });
}

/// The end of the longest prefix of whole characters within `limit` bytes and before any NUL.
fn cut_at(text: &str, limit: usize) -> usize {
    let end = text.find('\0').unwrap_or(text.len());
    if end <= limit {
        return end;
    }
    (0..=limit).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// The message of the last call of this library that failed on the calling thread; an empty string
/// when none has failed yet. Calls that succeed leave it alone. Never null.
///
/// The text belongs to the library and lives until the next failing call on this thread or the
/// thread's end, whichever comes first; copy it to keep it. Works in thread_local destructors too.
#[no_mangle]
pub extern "C" fn mako_raft_last_error() -> *const c_char {
    MESSAGE.with(|message| message.get().cast::<c_char>().cast_const())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn last() -> String {
        // SAFETY: NUL-terminated, and this thread sets it nowhere else meanwhile.
        unsafe { CStr::from_ptr(mako_raft_last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn the_message_is_empty_before_any_failure_and_private_to_its_thread() {
        std::thread::spawn(|| assert_eq!(last(), "")).join().unwrap();
        set("mine");
        std::thread::spawn(|| assert_eq!(last(), "")).join().unwrap();
        assert_eq!(last(), "mine");
    }

    #[test]
    fn a_shorter_message_replaces_a_longer_one_completely() {
        set("a long story");
        set("short");
        assert_eq!(last(), "short");
    }

    #[test]
    fn a_message_too_long_is_cut_between_characters_and_marked() {
        set(&"ä".repeat(CAPACITY_BYTES));
        let text = last();
        assert!(text.ends_with("ä..."), "{text}");
        assert!(text.len() < CAPACITY_BYTES);
    }

    #[test]
    fn a_nul_inside_a_message_ends_it() {
        set("seen\0unseen");
        assert_eq!(last(), "seen...");
    }
}
