//! Shutdown with a callback that never returns, and with the settings as they come: it is over ten seconds
//! after it *began*, drain included (contract section 3.8). In a file of its own, because the process is of
//! no use afterwards.

mod common;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use mako_raft::helper::{self, CallbackRole, HelperError};

#[test]
fn the_ten_seconds_of_shutdown_begin_with_it_and_contain_the_drain() {
    let host = common::own_address();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shard.yml");
    let text = format!(
        "site:\n  server:\n    - [\"s101:21001\"]\nprocess:\n  s101: localhost\nhost:\n  localhost: {host}\n"
    );
    std::fs::write(&file, text).unwrap();
    let arguments = ["", "-f", &file.display().to_string(), "-P", "localhost"].map(String::from);
    helper::setup(&arguments).unwrap();
    let (entered, enters) = mpsc::channel();
    let (_release, released) = mpsc::channel::<()>();
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

    let began = Instant::now();
    assert!(matches!(helper::shutdown(), Err(HelperError::Unfinished(_))));
    let took = began.elapsed();
    assert!((Duration::from_secs(10)..Duration::from_secs(13)).contains(&took), "{took:?}");
    assert!(matches!(helper::setup(&arguments), Err(HelperError::Order(_))), "a later setup is refused");
    assert!(matches!(helper::shutdown(), Err(HelperError::Unfinished(_))), "and again, at once");
    assert_eq!(helper::submit(b"late", 0), Err(HelperError::ShutDown));
}
