//! A shard of one process and two partitions whose first callback never returns.

use std::sync::mpsc;
use std::time::Duration;

use mako_raft::helper::{self, CallbackRole};

/// Where the process listens.
pub const PORT: u16 = 21_001;

/// While it lives, the callback is in its first log.
pub struct Stuck {
    /// Of `setup`.
    pub arguments: [String; 5],
    /// Where it listens, with [`PORT`].
    pub host: String,
    _release: mpsc::Sender<()>,
    _directory: tempfile::TempDir,
}

/// `raft` is the content of that section.
pub fn in_a_callback(raft: &str) -> Stuck {
    let host = crate::common::own_address();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shard.yml");
    let text = format!(
        "site:\n  server:\n    - [\"s101:{PORT}\"]\n    - [\"s201:21002\"]\nprocess:\n  s101: localhost\n  s201: localhost\nhost:\n  \
         localhost: {host}\nraft: {{{raft}}}\n"
    );
    std::fs::write(&file, text).unwrap();
    let arguments = ["", "-f", &file.display().to_string(), "-P", "localhost"].map(String::from);
    helper::setup(&arguments).unwrap();
    let (entered, enters) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let stuck = move |_: helper::LogCall<'_>| {
        entered.send(()).expect("the test listens");
        // Nothing is ever sent: it ends with the test.
        let _ = released.recv();
        0
    };
    helper::register_log(CallbackRole::Leader, 0, Box::new(stuck)).unwrap();
    helper::setup2(0, 0).unwrap();
    helper::submit(b"log", 0).unwrap();
    enters.recv_timeout(Duration::from_secs(30)).expect("the callback is called");
    Stuck { arguments, host, _release: release, _directory: directory }
}
