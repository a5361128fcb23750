//! What several of these test programs need.

/// A loopback address of this process alone: no other test takes its ports, so none needs probing.
pub fn own_address() -> String {
    let pid = std::process::id();
    format!("127.{}.{}.1", 1 + (pid >> 8) % 250, pid % 256)
}
