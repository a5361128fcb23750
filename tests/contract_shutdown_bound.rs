//! Shutdown with a callback that never returns, and with the settings as they come: it is over ten seconds
//! after it *began*, drain included (contract section 3.8). In a file of its own, because the process is of
//! no use afterwards.

mod common;
#[path = "common/stuck.rs"]
mod stuck;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use mako_raft::helper::{self, HelperError};

#[test]
fn the_ten_seconds_of_shutdown_begin_with_it_and_contain_the_drain() {
    let stuck = stuck::in_a_callback("");

    let began = Instant::now();
    assert!(matches!(helper::shutdown(), Err(HelperError::Unfinished(_))));
    let took = began.elapsed();
    assert!((Duration::from_secs(10)..Duration::from_secs(13)).contains(&took), "{took:?}");
    assert!(matches!(helper::setup(&stuck.arguments), Err(HelperError::Order(_))), "a later setup is refused");
    assert!(matches!(helper::shutdown(), Err(HelperError::Unfinished(_))), "and again, at once");
    assert_eq!(helper::submit(b"late", 0), Err(HelperError::ShutDown));
    drop(TcpListener::bind((stuck.host.as_str(), stuck::PORT)).expect("the port is free"));
}
