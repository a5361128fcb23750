//! Strings across the boundary.

use std::ffi::{c_char, CStr, CString};

use crate::helper::HelperError;

use super::boundary::not_null;

/// Copies a C string.
///
/// # Safety
/// `text` is null or NUL-terminated and readable up to its NUL.
pub(super) unsafe fn read(text: *const c_char, name: &str) -> Result<String, HelperError> {
    not_null(text, name)?;
    // SAFETY: not null, and the caller promises the rest.
    let bytes = unsafe { CStr::from_ptr(text) };
    match bytes.to_str() {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(HelperError::Invalid(format!("{name} is not UTF-8: {bytes:?}"))),
    }
}

/// For handing out. A NUL inside can't be represented; what stands before it is kept.
pub(super) fn own(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).expect("cut before the first NUL")
}

/// Copies a C string that is only shown to people: what is not UTF-8 is replaced.
///
/// # Safety
/// As [`read`].
pub(super) unsafe fn read_lossy(text: *const c_char) -> Result<String, HelperError> {
    not_null(text, "text")?;
    // SAFETY: not null, and the caller promises the rest.
    Ok(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}
