//! The panic boundary: nothing unwinds into C.

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};

use crate::helper::HelperError;

use super::{forked, last_error};
use super::status::mako_raft_status;

/// Runs the body of a fallible function: an error or a panic becomes a code and the last error; in a
/// forked child it does not run.
pub(super) fn checked(body: impl FnOnce() -> Result<(), HelperError>) -> mako_raft_status {
    match forked::refuse().and_then(|()| caught(body)).and_then(|result| result) {
        Ok(()) => mako_raft_status::MAKO_RAFT_OK,
        Err(error) => {
            last_error::set(&error.to_string());
            mako_raft_status::of(&error)
        }
    }
}

/// Runs the body of a function that has no status; a panic, or a forked child, gives `fallback` and the last
/// error.
pub(super) fn infallible<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    forked::refuse().and_then(|()| caught(body)).unwrap_or_else(|error| {
        last_error::set(&error.to_string());
        fallback
    })
}

/// `AssertUnwindSafe`: the helper's state is behind locks and atomics that a panic leaves usable,
/// and a replica whose own threads panic stops itself.
fn caught<T>(body: impl FnOnce() -> T) -> Result<T, HelperError> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| {
        let text = format!("panic stopped at the C boundary: {}", panic_text(&*panic));
        // The payload's own Drop could panic; it is a string in practice, and leaking it is safe.
        std::mem::forget(panic);
        HelperError::Internal(text)
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}

/// `MAKO_RAFT_INVALID` for a pointer that must not be null.
pub(super) fn not_null<T>(pointer: *const T, name: &str) -> Result<(), HelperError> {
    if pointer.is_null() {
        return Err(HelperError::Invalid(format!("{name} is null")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_the_internal_code_and_its_text_the_last_error() {
        let status = checked(|| panic!("the {} broke", "thing"));
        assert_eq!(status, mako_raft_status::MAKO_RAFT_INTERNAL);
        // SAFETY: NUL-terminated, and not set again meanwhile.
        let text = unsafe { std::ffi::CStr::from_ptr(last_error::mako_raft_last_error()) };
        assert!(text.to_str().unwrap().ends_with("the thing broke"), "{text:?}");
        assert_eq!(infallible(7, || panic!("no status here")), 7);
    }
}
