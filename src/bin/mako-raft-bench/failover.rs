//! kill -9 of the leader under load, and when a survivor accepts.

use std::time::{Duration, Instant};

use crate::cell::{Cell, Pace};
use crate::cluster::{own_program, Cluster};
use crate::clock;
use crate::payload::Sizes;

/// The load runs so long before the leader is killed.
const LOAD_MS: u64 = 300;
/// Three seconds are the first bar at worst; a survivor that needs ten has failed.
const ACCEPT_WITHIN: Duration = Duration::from_secs(10);

/// Milliseconds from the kill.
#[derive(Clone, Copy, Debug)]
pub struct FailOver {
    /// Until the library in a survivor had taken a log.
    pub accepted_ms: f64,
    /// Until that log had been delivered there.
    pub delivered_ms: f64,
}

/// One fail-over of a fresh cluster with the default timeouts and 64 logs of 1 KiB outstanding. The
/// survivors' streams are checked: the new leader's first log follows all that were delivered.
///
/// # Errors
/// No survivor accepts, or a log was out of order.
pub fn measure() -> Result<FailOver, String> {
    let cell = Cell { sizes: Sizes::Fixed(1024), pace: Pace::Closed { outstanding: 64 }, ..Cell::default() };
    let mut cluster = Cluster::start(&own_program()?, &cell)?;
    drive(&mut cluster, &cell).map_err(|what| cluster.explain(what))
}

fn drive(cluster: &mut Cluster, cell: &Cell) -> Result<FailOver, String> {
    let now = clock::now_ns();
    let far = now + 60_000_000_000;
    for survivor in &mut cluster.replicas[1..] {
        survivor.order("standby size=1024")?;
    }
    cluster.replicas[0].order(&format!("load {} begin={now} end={far}", cell.load_words()))?;
    std::thread::sleep(Duration::from_millis(LOAD_MS));
    let killed = clock::now_ns();
    cluster.replicas[0].kill();
    let deadline = Instant::now() + ACCEPT_WITHIN;
    let milliseconds = |at: u64| at.saturating_sub(killed) as f64 / 1e6;
    while Instant::now() < deadline {
        for survivor in &cluster.replicas[1..] {
            let Some(accepted) = survivor.find("accepted", Duration::from_millis(5))? else { continue };
            let delivered = survivor.expect("delivered", ACCEPT_WITHIN)?;
            let logs = cluster.replicas.iter().position(|replica| replica.name == survivor.name).unwrap_or(1);
            let (accepted_ms, delivered_ms) =
                (milliseconds(accepted.get("at")?), milliseconds(delivered.get("at")?));
            converge(cluster, logs)?;
            return Ok(FailOver { accepted_ms, delivered_ms });
        }
    }
    Err(format!("no survivor accepted a log within {} s of the kill", ACCEPT_WITHIN.as_secs()))
}

/// The other survivor delivers what the new leader did.
fn converge(cluster: &mut Cluster, leader: usize) -> Result<(), String> {
    let state = cluster.replicas[leader].ask("state", crate::cluster::ANSWER_WITHIN)?;
    cluster.wait_delivered(&[1, 2], state.get("delivered")?, ACCEPT_WITHIN)
}
