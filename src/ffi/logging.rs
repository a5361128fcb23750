//! Where the library's messages go: standard error, or the host's own sink.

use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::sync::{Arc, OnceLock, RwLock};

use log::{Level, Log, Metadata, Record};

use crate::helper::{inside_callback, HelperError};

use super::boundary::{checked, infallible};
use super::c_text;
use super::{forked, signals};
use super::callbacks::{mako_raft_destructor, mako_raft_log_sink, Context};
use super::mako_raft_status;

/// `RUST_LOG` filters both; without it, `info` and above.
struct Messages {
    stderr: env_logger::Logger,
    sink: RwLock<Option<Arc<Sink>>>,
}

type SinkFunction = unsafe extern "C" fn(*mut c_void, i32, *const c_char, *const c_char);

struct Sink {
    call: SinkFunction,
    context: Context,
}

thread_local! {
    /// This thread is inside the host's sink. No destructor, so it works in `thread_local` ones.
    static IN_SINK: Cell<bool> = const { Cell::new(false) };
}

impl Log for Messages {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.stderr.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.stderr.matches(record) {
            return;
        }
        // The lock is not held during the call, so that a sink may install another sink.
        let sink = self.sink.read().unwrap_or_else(|poison| poison.into_inner()).clone();
        match sink {
            Some(sink) => sink.log(record),
            None => signals::without_sigpipe(|| self.stderr.log(record)),
        }
    }

    fn flush(&self) {}
}

impl Sink {
    fn log(&self, record: &Record<'_>) {
        if IN_SINK.replace(true) {
            return;
        }
        let target = c_text::own(record.target());
        let message = c_text::own(&record.args().to_string());
        // The event loop and the lanes log too: what would wait for them is refused in the sink as well.
        // SAFETY: both texts live through the call, and the context as long as `self`.
        inside_callback(|| unsafe {
            (self.call)(self.context.pointer(), record.level() as i32, target.as_ptr(), message.as_ptr());
        });
        IN_SINK.set(false);
    }
}

/// The process's logger where it is ours; `None` where the host, another user of the `log` crate in
/// the same program, had installed its own before.
static MESSAGES: OnceLock<Option<&'static Messages>> = OnceLock::new();

/// Makes sure that messages go somewhere: installs our logger, once, unless the process has one.
pub(super) fn install() {
    messages();
}

fn messages() -> Option<&'static Messages> {
    *MESSAGES.get_or_init(|| {
        say_panics_without_sigpipe();
        let filter = env_logger::Env::default().default_filter_or("info");
        let stderr = env_logger::Builder::from_env(filter).format_timestamp_millis().build();
        let level = stderr.filter();
        // Leaked on purpose: `log` keeps it for the life of the process.
        let messages: &'static Messages = Box::leak(Box::new(Messages { stderr, sink: RwLock::new(None) }));
        log::set_logger(messages).ok()?;
        log::set_max_level(level);
        Some(messages)
    })
}

/// A panic's own line goes to standard error as well, by whatever hook there is, and on a thread with the host's signal mask.
fn say_panics_without_sigpipe() {
    // A thread that panics may not change the hook.
    if !std::thread::panicking() {
        let former = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| signals::without_sigpipe(|| former(panic))));
    }
}

/// Sends the library's messages to `sink` in place of standard error, from now on; a null `sink`
/// returns to standard error. RUST_LOG filters either way (default: info). May be called at any
/// time, also before mako_raft_setup. The former sink's destructor is called when its last call has
/// returned.
///
/// Errors: MAKO_RAFT_ORDER where the program, being written in Rust, has installed a logger of its
/// own: messages go there.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_set_log_sink(
    sink: mako_raft_log_sink,
    context: *mut c_void,
    destructor: mako_raft_destructor,
) -> mako_raft_status {
    let context = Context::new(context, destructor);
    checked(|| {
        let messages = messages().ok_or_else(|| {
            HelperError::Order("the program has installed a logger of its own; messages go there".to_owned())
        })?;
        let fresh = sink.map(|call| Arc::new(Sink { call, context }));
        let mut place = messages.sink.write().unwrap_or_else(|poison| poison.into_inner());
        let former = std::mem::replace(&mut *place, fresh);
        drop(place);
        // Outside the lock: this may run the host's destructor.
        drop(former);
        Ok(())
    })
}

/// Writes `message` where the library's own messages go. `level` as in mako_raft_log_sink; a value
/// outside 1..5 counts as the nearest. A null message is ignored.
#[no_mangle]
pub unsafe extern "C" fn mako_raft_log(level: i32, message: *const c_char) {
    if forked::is_child() {
        // SAFETY: null or a C string.
        return unsafe { c_text::read_lossy(message) }.map_or((), |message| forked::write_line(&message));
    }
    infallible((), || {
        install();
        let level = match level {
            ..=1 => Level::Error,
            2 => Level::Warn,
            3 => Level::Info,
            4 => Level::Debug,
            5.. => Level::Trace,
        };
        // SAFETY: null or a C string.
        if let Ok(message) = unsafe { c_text::read_lossy(message) } {
            log::log!(target: "mako_raft::host", level, "{message}");
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn what_a_panic_writes_raises_no_sigpipe() {
        static MASK: AtomicU64 = AtomicU64::new(0);
        const NAME: &str = "panics on purpose";
        let default = std::panic::take_hook();
        // Other tests of this program may panic meanwhile: they get the usual line.
        std::panic::set_hook(Box::new(move |panic| match std::thread::current().name() {
            Some(NAME) => MASK.store(signals::mask(), Ordering::SeqCst),
            _ => default(panic),
        }));
        say_panics_without_sigpipe();
        let panicking = std::thread::Builder::new().name(NAME.into()).spawn(|| {
            let before = signals::mask();
            assert!(std::panic::catch_unwind(|| panic!("as a defect would")).is_err());
            (before, signals::mask())
        });
        let (before, after) = panicking.expect("a thread").join().expect("the panic was caught");
        drop(std::panic::take_hook());
        let sigpipe = 1 << (libc::SIGPIPE - 1);
        assert_eq!((MASK.load(Ordering::SeqCst), after), (before | sigpipe, before));
        assert_eq!(before & sigpipe, 0, "or this shows nothing");
    }
}
