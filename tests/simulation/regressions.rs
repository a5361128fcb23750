//! Bugs that need more than a transcript can say: `docs/bugs.md` names each.

use mako_raft::ids::ProcessId;
use mako_raft::replica::{Limits, Timing};

use crate::sim::network::Line;
use crate::sim::plan::{Plan, Profile, Request};
use crate::sim::trace::Detail;
use crate::sim::world::World;

/// The log grows by some thousand entries a second, so a follower is always further behind than a number of entries
/// that means "caught up" while nothing happens.
#[test]
fn a_learner_that_keeps_up_with_a_fast_log_becomes_a_voter() {
    assert!(newcomer_has_a_seat());
}

/// Whether the third process, on a slow line, votes a second and a half after its start.
pub fn newcomer_has_a_seat() -> bool {
    let mut plan = Plan::new(Request::new(1, Profile::Calm));
    (plan.voters, plan.learners, plan.partitions, plan.durable) = (3, 0, 6, false);
    (plan.designated, plan.preferred) = (Some(ProcessId(0)), None);
    (plan.timing, plan.limits) = (Timing::default(), Limits::default());
    plan.latency_us = (200, 300);
    plan.load.gap_us = 1_000;
    plan.load.burst = 1;
    plan.load.log_bytes = 40;
    plan.load.long_permille = 0;
    plan.callback_us = 1;
    plan.single_input_permille = 0;
    let mut world = World::new(plan, Detail::Nothing);
    world.network.lines[2] = Line { latency_low_us: 60_000, latency_high_us: 61_000, nanos_per_byte: 1 };
    world.start(0).unwrap();
    world.start(1).unwrap();
    world.run_until(1_000_000).unwrap();
    let leader = world.leader().expect("two of three form and elect");
    world.start(2).unwrap();
    world.run_until(1_500_000).unwrap();
    let far = world.status(leader).last.0;
    world.run_until(1_620_000).unwrap();
    assert!(world.status(leader).last.0 - far > 200, "the log does not grow fast enough to mean anything");
    world.run_until(3_000_000).unwrap();
    let newcomer = world.processes[2].current.expect("it runs");
    world.has_seat(newcomer)
}
