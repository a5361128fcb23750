//! What stops a replica: the first thing that made it unable to keep its promises.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use super::wakeup::Wakeup;

/// Set once, by whichever thread fails first. The event loop looks at it every turn and acknowledges
/// nothing once it is set.
pub(super) struct Failure {
    reason: OnceLock<String>,
    wakeup: Arc<Wakeup>,
}

impl Failure {
    pub(super) fn new(wakeup: Arc<Wakeup>) -> Self {
        Self { reason: OnceLock::new(), wakeup }
    }

    /// Stops the replica. Every reason is logged; the first is kept.
    pub(super) fn report(&self, reason: String) {
        let line = format!("this replica stops and acknowledges nothing from now on: {reason}");
        // A later failure changes nothing. The line comes last: the host's log may be slow, and it says "from now on".
        let _ = self.reason.set(reason);
        self.wakeup.notify();
        log::error!("{line}");
    }

    pub(super) fn is_set(&self) -> bool {
        self.reason.get().is_some()
    }

    pub(super) fn reason(&self) -> Option<String> {
        self.reason.get().cloned()
    }
}

/// The text of a caught panic.
pub(super) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let as_str = payload.downcast_ref::<&str>().copied();
    as_str.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
