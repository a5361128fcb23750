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

/// No message was in the way and nobody was slow: a leader is there after one timeout, whoever asked at the same time.
pub const FAIL_OVER_MS_MAX: u64 = 750;

#[test]
fn two_of_three_that_campaign_at_once_elect_one_of_them() {
    let worst = [1_000, 5_000, 20_000].map(|way_us| worst_fail_over_ms(3, way_us, 100));
    assert!(worst.iter().all(|&ms| ms < FAIL_OVER_MS_MAX), "{worst:?} ms");
}

#[test]
fn some_of_five_that_campaign_at_once_elect_one_of_them() {
    let worst = [1_000, 5_000, 20_000].map(|way_us| worst_fail_over_ms(5, way_us, 100));
    assert!(worst.iter().all(|&ms| ms < FAIL_OVER_MS_MAX), "{worst:?} ms");
}

/// The longest time without a leader, when leaders die one after the other in a shard whose clocks tick at the same moments
/// and whose messages are `way_us` on their way.
pub fn worst_fail_over_ms(voters: u16, way_us: u64, deaths: u64) -> u64 {
    let mut plan = Plan::new(Request::new(1, Profile::Calm));
    (plan.voters, plan.learners, plan.partitions, plan.durable) = (voters, 0, 1, false);
    (plan.designated, plan.preferred) = (Some(ProcessId(0)), None);
    (plan.timing, plan.limits) = (Timing::default(), Limits::default());
    plan.latency_us = (way_us, way_us);
    plan.single_input_permille = 0;
    plan.sleeps = false;
    let tick_us = plan.timing.tick_ms * 1_000;
    let mut world = World::new(plan, Detail::Nothing);
    world.load_on = false;
    (0..voters).for_each(|process| world.start(process).unwrap());
    let mut worst_us = 0;
    for death in 0..deaths {
        let everybody_votes = |world: &World| {
            let mut lives = world.processes.iter().map(|process| process.current);
            world.leader().is_some() && lives.all(|life| life.is_some_and(|life| world.has_seat(life)))
        };
        step_until(&mut world, tick_us, everybody_votes);
        // Between two heartbeats, at another moment each time.
        world.run_until(world.now() + 100_000 + death * 7_001).unwrap();
        let (leader, died_us) = (world.leader().expect("it leads"), world.now());
        let process = world.lives[leader].process;
        world.kill(leader, "crash");
        step_until(&mut world, 1_000, |world| world.leader().is_some());
        worst_us = worst_us.max(world.now() - died_us);
        world.run_until(world.now().next_multiple_of(tick_us)).unwrap();
        world.start(process).unwrap();
    }
    worst_us / 1_000
}

fn step_until(world: &mut World, step_us: u64, done: impl Fn(&World) -> bool) {
    let until_us = world.now() + 20_000_000;
    while !done(world) {
        assert!(world.now() < until_us, "in vain");
        world.run_until(world.now() + step_us).unwrap();
    }
}
