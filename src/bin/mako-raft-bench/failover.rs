//! kill -9 of the leader under load, and when a survivor accepts.

use std::time::{Duration, Instant};

use crate::cell::{Cell, Pace};
use crate::cluster::{self, own_program, Cluster};
use crate::clock;
use crate::payload::Sizes;
use crate::words::Words;

/// The load.
const LOG_BYTES: usize = 1024;
const OUTSTANDING: u64 = 64;
/// It runs so long before the leader is killed,
const LOAD_MS: u64 = 300;
/// and so long on the new leader behind the kill.
pub const BEHIND_MS: u64 = 1_000;
/// The timeline begins so long before the kill.
pub const BEFORE_MS: u64 = 200;
/// One point of the timeline.
pub const STEP_MS: u64 = 10;
/// How often the leader is asked what it has delivered. What comes behind the last answer is not known to be done.
const LOOK_EVERY_NS: u64 = 1_000_000;
/// Three seconds are the first bar at worst; a survivor that needs ten has failed.
const ACCEPT_WITHIN: Duration = Duration::from_secs(10);

/// What happened; times are milliseconds from the kill.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FailOver {
    /// When the library in a survivor had taken a log.
    pub accepted_ms: f64,
    /// When that log had been delivered there.
    pub delivered_ms: f64,
    /// What the new leader delivered, before as a follower: the middle of a step, and logs in 10 ms.
    pub timeline: Vec<(f64, f64)>,
}

/// One fail-over of a fresh cluster with the default timeouts and 64 logs of 1 KiB outstanding. The
/// survivors' streams are checked: the new leader's first log follows all that were delivered, there and on the
/// leader that was killed.
///
/// # Errors
/// No survivor accepts, or a log was out of order.
pub fn measure() -> Result<FailOver, String> {
    let pace = Pace::Closed { outstanding: OUTSTANDING };
    let cell = Cell { sizes: Sizes::Fixed(LOG_BYTES), pace, ..Cell::default() };
    let mut cluster = Cluster::start(&own_program()?, &cell)?;
    drive(&mut cluster, &cell).map_err(|what| cluster.explain(what))
}

fn drive(cluster: &mut Cluster, cell: &Cell) -> Result<FailOver, String> {
    let now = clock::now_ns();
    let kill_at = now + LOAD_MS * 1_000_000;
    let (begin, end) = (kill_at - BEFORE_MS * 1_000_000, kill_at + BEHIND_MS * 1_000_000);
    for survivor in &mut cluster.replicas[1..] {
        survivor.order(&format!("standby size={LOG_BYTES} outstanding={OUTSTANDING} end={end}"))?;
        survivor.order(&format!("timeline begin={begin} end={end} every_us={}", STEP_MS * 1_000))?;
    }
    let far = now + 60_000_000_000;
    cluster.replicas[0].order(&format!("load {} begin={now} end={far}", cell.load_words()))?;
    // What the leader has called done until it dies: a survivor that lacks one of these has lost it.
    let mut done: u64 = 0;
    while clock::now_ns() < kill_at {
        done = cluster.replicas[0].ask("state", ACCEPT_WITHIN)?.get("delivered")?;
        clock::sleep_until(kill_at.min(clock::now_ns() + LOOK_EVERY_NS));
    }
    let killed = clock::now_ns();
    cluster.replicas[0].kill();
    let (leader, accepted) = wait_accepted(cluster)?;
    let new_leader = &cluster.replicas[leader];
    let milliseconds = |words: &Words| -> Result<f64, String> {
        Ok(words.get::<u64>("at")?.saturating_sub(killed) as f64 / 1e6)
    };
    check_kept(done, accepted.get("behind")?)?;
    let accepted_ms = milliseconds(&accepted)?;
    let delivered_ms = milliseconds(&new_leader.expect("delivered", ACCEPT_WITHIN)?)?;
    let timeline = steps(&new_leader.expect("timeline", ACCEPT_WITHIN)?, (killed - begin) as f64 / 1e6)?;
    let stood = new_leader.expect("stood", ACCEPT_WITHIN)?;
    // The other survivor delivers what the new leader did.
    cluster.wait_delivered(&[1, 2], stood.get("delivered")?, ACCEPT_WITHIN)?;
    Ok(FailOver { accepted_ms, delivered_ms, timeline })
}

/// The new leader's own first log follows everything that the old one had called done.
fn check_kept(done: u64, behind: u64) -> Result<(), String> {
    match behind >= done {
        true => Ok(()),
        false => Err(format!("the new leader goes on behind log {behind}, and the old one had delivered {done}")),
    }
}

/// Which survivor accepted, and its word.
fn wait_accepted(cluster: &Cluster) -> Result<(usize, Words), String> {
    let deadline = Instant::now() + ACCEPT_WITHIN;
    while Instant::now() < deadline {
        for index in [1, 2] {
            if let Some(words) = cluster.replicas[index].find("accepted", cluster::LOOK_EVERY)? {
                return Ok((index, words));
            }
        }
    }
    Err(format!("no survivor accepted a log within {} s of the kill", ACCEPT_WITHIN.as_secs()))
}

/// Samples of a count as what came in each step; `kill_ms` is when the kill was on the samples' clock.
fn steps(words: &Words, kill_ms: f64) -> Result<Vec<(f64, f64)>, String> {
    let numbers = |key: &str| -> Result<Vec<f64>, String> {
        let text: String = words.get(key)?;
        text.split(',').map(|n| n.parse().map_err(|_| format!("the timeline's {key} holds \"{n}\""))).collect()
    };
    let (at_us, delivered) = (numbers("at_us")?, numbers("delivered")?);
    let step = |(at, logs): (&[f64], &[f64])| {
        let took_ms = ((at[1] - at[0]) / 1e3).max(1e-3);
        ((at[0] + at[1]) / 2e3 - kill_ms, (logs[1] - logs[0]) / took_ms * STEP_MS as f64)
    };
    Ok(at_us.windows(2).zip(delivered.windows(2)).map(step).collect())
}

/// The name of the one nearest to the median.
pub const MEDIAN: &str = "median";

/// The fastest, the one nearest to the median, and the slowest.
pub fn typical(failovers: &[FailOver]) -> Vec<(&'static str, &FailOver)> {
    let mut sorted: Vec<&FailOver> = failovers.iter().collect();
    sorted.sort_by(|a, b| a.accepted_ms.total_cmp(&b.accepted_ms));
    match sorted.as_slice() {
        [] => Vec::new(),
        [one] => vec![("the only one", one)],
        // Of an even number no one is nearer: the median lies between the middle two.
        [first, .., last] => vec![("fastest", *first), (MEDIAN, sorted[sorted.len() / 2]), ("slowest", *last)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_sample_does_not_make_a_step_look_fuller() {
        let words = Words::parse("timeline at_us=0,10000,30000 delivered=5,105,305");
        assert_eq!(steps(&words, 10.0), Ok(vec![(-5.0, 100.0), (10.0, 100.0)]));
        assert!(steps(&Words::parse("timeline at_us=0,x delivered=1,2"), 0.0).unwrap_err().contains("\"x\""));
    }

    #[test]
    fn a_log_that_was_done_on_the_dead_leader_may_not_be_missing() {
        assert_eq!((check_kept(5, 5), check_kept(5, 9)), (Ok(()), Ok(())));
        assert!(check_kept(6, 5).unwrap_err().contains("behind log 5"));
    }

    #[test]
    fn the_one_in_the_middle_is_typical() {
        let all = [3.0, 1.0, 2.0].map(|accepted_ms| FailOver { accepted_ms, ..FailOver::default() });
        let times: Vec<f64> = typical(&all).iter().map(|(_, f)| f.accepted_ms).collect();
        assert_eq!(times, [1.0, 2.0, 3.0]);
        assert_eq!((typical(&all[..1]).len(), typical(&[]).len()), (1, 0));
    }
}
