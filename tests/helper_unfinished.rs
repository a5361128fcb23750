//! A callback that never returns: shutdown ends all the same, says so, and nothing can be set up after it.
//! In a file of its own, because the process is of no use afterwards.

mod common;

use std::net::TcpListener;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mako_raft::helper::{self, CallbackRole, HelperError};

#[test]
fn a_callback_that_does_not_return_makes_shutdown_fail_after_ten_seconds() {
    let (host, port) = (common::own_address(), 21_001);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shard.yml");
    let text = format!(
        "site:\n  server:\n    - [\"s101:{port}\"]\nprocess:\n  s101: localhost\nhost:\n  localhost: {host}\n\
         raft:\n  drain_ms: 100\n"
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
    let left = match helper::shutdown() {
        Err(HelperError::Unfinished(left)) => left,
        other => panic!("{other:?}"),
    };
    assert!((10..15).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert!(left.contains("partition 0") && left.contains("slot 1"), "{left}");
    assert!(matches!(helper::setup(&arguments), Err(HelperError::Order(_))));
    assert_eq!(helper::shutdown(), Err(HelperError::Unfinished(left)), "again, and at once");
    assert_eq!(helper::submit(b"late", 0), Err(HelperError::ShutDown));
    drop(TcpListener::bind((host.as_str(), port)).expect("the port is free"));
}
