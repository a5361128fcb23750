//! A callback that never returns: shutdown ends all the same, says so, and nothing can be set up after it.
//! In a file of its own, because the process is of no use afterwards.

mod common;
#[path = "common/stuck.rs"]
mod stuck;

use std::net::TcpListener;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mako_raft::helper::{self, CallbackRole, HelperError, Outcome};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_callback_that_does_not_return_makes_shutdown_fail_after_ten_seconds() {
    let (tell, outcomes) = mpsc::channel();
    helper::register_outcome(Some(Box::new(move |partition, first, count, outcome| {
        tell.send((partition, first, count, outcome)).expect("the test listens");
    })))
    .unwrap();
    // What a callback of the same partition owns: the lane has it too.
    let (owned, destroyed) = mpsc::channel::<()>();
    let owner = move |_: helper::LogCall<'_>| {
        let _owned = &owned;
        0
    };
    helper::register_log(CallbackRole::Follower, 0, Box::new(owner)).unwrap();
    let stuck = stuck::in_a_callback("drain_ms: 100");
    // The other partition's lane ends. It has called one of these, and not looked at the other.
    let owner = || {
        let (owned, destroyed) = mpsc::channel::<()>();
        let callback = move |_: helper::LogCall<'_>| {
            let _owned = &owned;
            0
        };
        (Box::new(callback), destroyed)
    };
    let ((called, called_destroyed), (waiting, waiting_destroyed)) = (owner(), owner());
    helper::register_log(CallbackRole::Leader, 1, called).unwrap();
    helper::submit(b"log", 1).unwrap();
    helper::wait_for_submit(1).unwrap();
    assert_eq!(outcomes.recv_timeout(SOON), Ok((1, 1, 1, Outcome::Delivered)));
    helper::register_log(CallbackRole::Follower, 1, waiting).unwrap();

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

    assert_eq!(called_destroyed.try_recv(), Err(mpsc::TryRecvError::Disconnected), "as in any shutdown");
    assert_eq!(waiting_destroyed.try_recv(), Err(mpsc::TryRecvError::Empty), "no thread had taken it up");
    assert!(outcomes.try_recv().is_err() && destroyed.try_recv() == Err(mpsc::TryRecvError::Empty));
    drop(stuck);
    assert_eq!(outcomes.recv_timeout(SOON), Ok((0, 1, 1, Outcome::Delivered)), "it has returned, late");
    assert_eq!(destroyed.recv_timeout(SOON), Err(mpsc::RecvTimeoutError::Disconnected), "and its thread has ended");
    assert_eq!(waiting_destroyed.try_recv(), Err(mpsc::TryRecvError::Empty));
}
