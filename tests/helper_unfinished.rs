//! A callback that never returns: shutdown ends all the same, says so, and nothing can be set up after it.
//! In a file of its own, because the process is of no use afterwards.

mod common;
#[path = "common/stuck.rs"]
mod stuck;

use std::net::TcpListener;
use std::time::Instant;

use mako_raft::helper::{self, HelperError};

#[test]
fn a_callback_that_does_not_return_makes_shutdown_fail_after_ten_seconds() {
    let stuck = stuck::in_a_callback("drain_ms: 100");

    let began = Instant::now();
    let left = match helper::shutdown() {
        Err(HelperError::Unfinished(left)) => left,
        other => panic!("{other:?}"),
    };
    assert!((10..15).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert!(left.contains("partition 0") && left.contains("slot 1"), "{left}");
    assert!(matches!(helper::setup(&stuck.arguments), Err(HelperError::Order(_))));
    assert_eq!(helper::shutdown(), Err(HelperError::Unfinished(left)), "again, and at once");
    assert_eq!(helper::submit(b"late", 0), Err(HelperError::ShutDown));
    drop(TcpListener::bind((stuck.host.as_str(), stuck::PORT)).expect("the port is free"));
}
