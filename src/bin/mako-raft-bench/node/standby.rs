//! A survivor of a fail-over: when does it lead, accept, deliver?

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mako_raft::helper;

use crate::clock;
use crate::payload::Sizes;
use crate::words::Words;

use super::{load::Submitter, say, stream::Stream};

/// How often the survivor looks whether it leads: well below what is measured.
const LOOK_EVERY: Duration = Duration::from_micros(500);
/// No fail-over takes so long; the controlling process gives up sooner.
const GIVE_UP_NS: u64 = 60_000_000_000;

/// `standby`: says `accepted` when the library here has taken a log, and `delivered` when it came back. It then
/// goes on with the load until `end`, and says `stood` when all of it is delivered here.
///
/// # Errors
/// The order can't be understood.
pub fn start(words: &Words, stream: &Arc<Stream>) -> Result<(), String> {
    let sizes: Sizes = words.get::<String>("size")?.parse()?;
    let (outstanding, end_ns): (u64, u64) = (words.get("outstanding")?, words.get("end")?);
    let stream = stream.clone();
    let body = move || {
        if let Err(what) = wait_and_submit(&stream, sizes, outstanding, end_ns) {
            say(&format!("failed {what}"));
        }
    };
    thread::Builder::new().name("standby".into()).spawn(body).map_err(|error| format!("a thread: {error}"))?;
    Ok(())
}

fn wait_and_submit(stream: &Stream, sizes: Sizes, outstanding: u64, end_ns: u64) -> Result<(), String> {
    let deadline = clock::now_ns() + GIVE_UP_NS;
    while !helper::is_leader(stream.partition()) {
        if clock::now_ns() > deadline {
            return Ok(());
        }
        thread::sleep(LOOK_EVERY);
    }
    // Leadership is announced when all earlier logs are delivered here: this one follows them.
    let mut submitter = Submitter::new(stream, sizes);
    let behind = submitter.last();
    submitter.submit(0)?;
    say(&format!("accepted at={} behind={behind}", clock::now_ns()));
    if !stream.wait_delivered(submitter.last(), deadline) {
        return Err("the new leader's log was not delivered".into());
    }
    say(&format!("delivered at={}", clock::now_ns()));
    submitter.closed(outstanding, end_ns)?;
    if !stream.wait_delivered(submitter.last(), deadline) {
        return Err("the new leader's last logs were not delivered".into());
    }
    say(&format!("stood delivered={}", stream.delivered()));
    Ok(())
}
