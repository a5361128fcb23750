//! `raft.grouping: partition`: one process comes to lead every group.

use super::*;

#[test]
fn a_group_per_partition_is_led_by_one_process_and_announced_once() {
    let mut shard = Shard::new(3, 4);
    shard.grouping = Grouping::Partition;
    let nodes = shard.start_all();
    nodes[0].wait_gained();
    for partition in 0..4 {
        assert!(nodes[0].port(partition).is_leading());
        (0..200).for_each(|n| assert!(nodes[0].submit(partition, &numbered(partition, n)) > 0));
    }
    assert_same_streams(&nodes, 4, 200);
    assert_eq!(*locked(&nodes[0].witness.codes), [1]);
    end_all(nodes);
}

/// Two processes are enough for the first group and not for the second.
#[test]
fn who_does_not_lead_every_group_accepts_for_none_of_them() {
    let mut shard = Shard::new(4, 2);
    shard.grouping = Grouping::Partition;
    shard.adjust = |config| {
        config.timing.form_wait_ms = 100;
        for group in &mut config.groups {
            (group.designated, group.preferred) = (None, None);
        }
        config.groups[0].voters.truncate(2);
        let me = config.me;
        config.groups.retain(|group| group.voters.contains(&me));
    };
    let mut nodes = vec![shard.start(0), shard.start(1)];
    let status = |node: &Node| node.runtime.status().expect("an answer").swap_remove(0).1;
    let leads = |node: &Node| {
        let status = status(node);
        status.role == "leader" && status.delivered == status.last
    };
    let deadline = Instant::now() + SOON;
    let leader = loop {
        assert!(Instant::now() < deadline, "nobody leads the first group");
        match nodes.iter().position(leads) {
            Some(index) => break index,
            None => std::thread::yield_now(),
        }
    };
    assert!(!nodes[leader].port(0).is_leading(), "the host was not told that it leads");
    assert_eq!(nodes[leader].port(0).submit(b"too early"), Err(Refusal::NotLeader(None)));
    assert!(locked(&nodes[leader].witness.codes).is_empty());
    nodes.extend([shard.start(2), shard.start(3)]);
    let leader = wait_for_a_leader(&nodes);
    (0..2).for_each(|partition| assert!(nodes[leader].submit(partition, b"now") > 0));
    (0..2).for_each(|partition| assert_eq!(nodes[leader].witness.wait_delivered(partition, 1)[0].log, b"now"));
    end_all(nodes);
}

/// Two groups of three processes; process 1 makes the first move, 0 is preferred.
fn two_groups() -> Shard {
    let mut shard = Shard::new(3, 2);
    shard.grouping = Grouping::Partition;
    shard.adjust = |config| {
        config.timing.form_wait_ms = 100;
        config.groups.iter_mut().for_each(|group| group.designated = Some(ProcessId(1)));
    };
    shard
}

/// Processes 1 and 2, of which 1 leads, with more in the second group than a preferred process may lack.
fn start_without_the_preferred(shard: &Shard) -> Vec<Node> {
    let nodes = vec![shard.start(1), shard.start(2)];
    nodes[0].wait_gained();
    for n in 0..60 {
        nodes[0].submit(1, &numbered(1, n));
        assert_eq!(nodes[0].port(1).wait_idle(), Waited::Settled);
    }
    // Who has delivered what was committed a moment ago passes for one that keeps up.
    std::thread::sleep(Duration::from_secs(1));
    nodes
}

/// The preferred process, whose callback of the second group does not return until it is told to.
fn start_the_preferred_blocked(shard: &Shard) -> (Node, mpsc::Sender<()>) {
    let witness = Arc::new(Witness::default());
    let callbacks = witness.callbacks(shard.partitions);
    let (enters, release) = block_as(CallbackRole::Follower, &witness, &callbacks, 1);
    let config = shard.config(0);
    let storage = Storage::open(&config).unwrap();
    let runtime = Bound::new(config, storage, &callbacks).unwrap().start().unwrap();
    enters.recv_timeout(SOON).unwrap();
    (Node { runtime, witness }, release)
}

fn group_status(node: &Node, group: usize) -> crate::replica::output::Status {
    node.runtime.status().expect("an answer").swap_remove(group).1
}

fn wait_for_votes(node: &Node) {
    let deadline = Instant::now() + SOON;
    while (0..2).any(|group| group_status(node, group).voters.len() < 3) {
        assert!(Instant::now() < deadline, "it was not given its votes back");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Each log is taken, for longer than a hand-over takes.
fn assert_serves(node: &Node) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        (0..2).for_each(|partition| assert!(node.submit(partition, b"served") > 0));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_preferred_process_gets_no_group_before_it_could_be_given_all_and_the_shard_serves_meanwhile() {
    let shard = two_groups();
    let others = start_without_the_preferred(&shard);
    let (preferred, release) = start_the_preferred_blocked(&shard);
    wait_for_votes(&others[0]);
    assert_serves(&others[0]);
    release.send(()).unwrap();
    preferred.wait_gained();
    (0..2).for_each(|partition| assert!(preferred.submit(partition, b"now") > 0));
    end_all(others);
    preferred.end();
}

#[test]
fn a_run_that_lost_logs_in_one_group_is_given_none() {
    let mut shard = Shard::new(3, 2);
    shard.grouping = Grouping::Partition;
    shard.adjust = |config| {
        config.timing.form_wait_ms = 100;
        config.groups.iter_mut().for_each(|group| group.preferred = None);
    };
    let others = vec![shard.start(1), shard.start(2)];
    let leader = &others[wait_for_a_leader(&others)];
    let designated = shard.start(0);
    designated.submit(1, b"early, and too late for that");
    wait_for_votes(leader);
    let deadline = Instant::now() + SOON;
    while !(0..2).all(|group| group_status(&designated, group).lost_accepted) {
        assert!(Instant::now() < deadline, "it was lost in one group");
        std::thread::sleep(Duration::from_millis(10));
    }
    designated.runtime.set_preferred(Some(ProcessId(0))).unwrap();
    assert_serves(leader);
    end_all(others);
    designated.end();
}

/// Of two elections that begin at once each has its own winner, most of the time.
#[test]
fn a_shard_whose_groups_are_led_by_two_processes_gets_one_leader() {
    let ends = || {
        let mut shard = two_groups();
        shard.adjust = |config| {
            config.timing.form_wait_ms = 100;
            config.groups.iter_mut().for_each(|group| group.designated = Some(ProcessId(1)));
            // It waits less than the first process, in the second group.
            config.groups[1].preferred = Some(ProcessId(2));
        };
        let mut others = start_without_the_preferred(&shard);
        let (preferred, release) = start_the_preferred_blocked(&shard);
        wait_for_votes(&others[0]);
        others.remove(0).runtime.shutdown().expect("abrupt: no goodbye, no drain");
        let survivor = others.remove(0);
        let leaders = || [0, 1].map(|group| group_status(&survivor, group).leader);
        let deadline = Instant::now() + SOON;
        while leaders().iter().any(|leader| leader.is_none_or(|leader| leader == ProcessId(1))) {
            assert!(Instant::now() < deadline, "nobody leads");
            std::thread::sleep(Duration::from_millis(5));
        }
        let is_split = leaders() == [Some(ProcessId(0)), Some(ProcessId(2))];
        if is_split {
            survivor.wait_gained();
            assert_serves(&survivor);
            assert!(locked(&preferred.witness.codes).is_empty(), "it never led both");
        }
        release.send(()).unwrap();
        preferred.wait_gained();
        (0..2).for_each(|partition| assert!(preferred.submit(partition, b"now") > 0));
        [survivor, preferred].into_iter().for_each(|node| drop(node.runtime.shutdown()));
        is_split
    };
    assert!((0..5).any(|_| ends()), "there never was a split");
}

/// Two groups, of which process 1 forms and wins the first and process 0 the second.
fn two_groups_with_a_winner_each() -> Shard {
    let mut shard = two_groups();
    shard.adjust = |config| {
        config.timing.form_wait_ms = 100;
        for (group, winner) in config.groups.iter_mut().zip([1, 0].map(ProcessId)) {
            (group.designated, group.preferred) = (Some(winner), Some(winner));
        }
        config.election_codes = ElectionCodes { first: Some(11), gained: Some(22), lost: Some(0) };
    };
    shard
}

/// The same, on disk and started before; process 0 keeps early logs of both. `adjust` adjusts that.
fn start_again_with_a_winner_each(shard: &mut Shard, adjust: fn(&mut RuntimeConfig)) {
    shard.disk = Some(tempfile::tempdir().unwrap());
    let mut nodes = shard.start_all();
    let leader = wait_for_a_leader(&nodes);
    nodes.iter().for_each(wait_for_votes);
    // All have the same log: with less than the third process nobody would win. Nothing is added while the leader goes last.
    let last = |node: &Node| [0, 1].map(|group| group_status(node, group).last);
    let deadline = Instant::now() + SOON;
    while nodes.iter().any(|node| last(node) != last(&nodes[leader])) {
        assert!(Instant::now() < deadline, "{:?}", nodes.iter().map(last).collect::<Vec<_>>());
        std::thread::yield_now();
    }
    let leader = nodes.remove(leader);
    nodes.into_iter().chain([leader]).for_each(|node| drop(node.runtime.shutdown()));
    shard.adjust = adjust;
}

fn elects_a_winner_each(config: &mut RuntimeConfig) {
    config.timing.form_wait_ms = 100;
    config.campaign_at_start = false;
    config.groups[0].preferred = Some(ProcessId(1));
}

fn leaders(node: &Node) -> [Option<ProcessId>; 2] {
    [0, 1].map(|group| group_status(node, group).leader)
}

const EACH_ITS_WINNER: [Option<ProcessId>; 2] = [Some(ProcessId(1)), Some(ProcessId(0))];

#[test]
fn the_first_leader_of_a_fresh_shard_is_announced_as_the_first_whoever_began_the_groups() {
    let shard = two_groups_with_a_winner_each();
    let nodes = shard.start_all();
    let leader = wait_for_a_leader(&nodes);
    assert_eq!(nodes[leader].witness.wait_code(1), [11]);
    let next = 1 - leader;
    nodes[leader].runtime.set_preferred(Some(ProcessId(next as u16))).unwrap();
    assert_eq!(nodes[next].witness.wait_code(1), [22], "though no log was ever submitted");
    end_all(nodes);
}

/// What the designated process keeps for the shard's leadership stays kept when it leads a group of it for a moment.
#[test]
fn a_group_that_is_won_before_the_shard_proposes_nothing_and_is_handed_over_with_nothing_lost() {
    let shard = || {
        let mut shard = two_groups_with_a_winner_each();
        start_again_with_a_winner_each(&mut shard, |config| {
            elects_a_winner_each(config);
            config.queue_bytes = 256 << 20;
        });
        shard
    };
    let ends = |shard: &Shard| {
        let nodes = shard.start_all();
        let (is_over, mut was_split) = (AtomicBool::new(false), false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) && nodes[0].port(1).submit(b"early").is_ok() {
                    std::thread::yield_now();
                }
            });
            let deadline = Instant::now() + SOON;
            while nodes.iter().all(|node| locked(&node.witness.codes).is_empty()) && Instant::now() < deadline {
                was_split |= leaders(&nodes[0]) == EACH_ITS_WINNER;
            }
            is_over.store(true, Ordering::Relaxed);
        });
        was_split &= !locked(&nodes[1].witness.codes).is_empty();
        if was_split {
            assert_eq!(nodes[0].port(1).counters().lost, 0);
            assert!(nodes[0].port(1).submit(b"early still").is_ok(), "it never led the shard");
            nodes[1].runtime.set_preferred(Some(ProcessId(0))).unwrap();
            nodes[0].witness.wait_code(1);
            assert_eq!(nodes[0].port(1).wait_idle(), Waited::Settled);
            let counters = nodes[0].port(1).counters();
            assert_eq!((counters.lost, counters.delivered_own), (0, counters.accepted));
        }
        nodes.into_iter().for_each(|node| drop(node.runtime.shutdown()));
        was_split
    };
    // From several beginnings: who was ended before it had all of one group wins nothing there any more.
    assert!((0..8).map(|_| shard()).any(|shard| (0..5).any(|_| ends(&shard))), "there never was a split");
}

/// The third process reaches the other two, who do not reach each other, and each of whom wins one group.
#[test]
fn a_broken_link_between_two_leaders_is_no_outage_where_a_third_process_reaches_all() {
    // Each from its own beginning: who does not reach the leader stays behind, and wins nothing any more.
    let ends = || {
        let mut shard = two_groups_with_a_winner_each();
        start_again_with_a_winner_each(&mut shard, |config| {
            elects_a_winner_each(config);
            let other = 1_u16.checked_sub(config.me.0);
            config.peers.iter_mut().filter(|peer| Some(peer.id.0) == other).for_each(|peer| peer.port = 1);
        });
        let nodes = shard.start_all();
        // Who was ended before it had all may not reach enough voters now: that is another story.
        let deadline = Instant::now() + Duration::from_secs(5);
        while leaders(&nodes[2]).contains(&None) && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let mut is_split = leaders(&nodes[2]) == EACH_ITS_WINNER;
        let has_gained = |node: &Node| !locked(&node.witness.codes).is_empty();
        let deadline = Instant::now() + SOON;
        while is_split && !has_gained(&nodes[2]) {
            assert!(Instant::now() < deadline, "nobody leads both groups after {SOON:?}: {:?}", leaders(&nodes[2]));
            // On a busy machine another election may end the split first.
            is_split = !has_gained(&nodes[1]) || has_gained(&nodes[2]);
            std::thread::yield_now();
        }
        if is_split {
            // It reaches the preferred one, so that one gets it in the end.
            nodes[1].wait_gained();
            assert_serves(&nodes[1]);
        }
        nodes.into_iter().for_each(|node| drop(node.runtime.shutdown()));
        is_split
    };
    assert!((0..30).any(|_| ends()), "there never was a split");
}

/// What the leader has queued in one group does not go through, for its callback holds the log at its bound.
#[test]
fn a_preferred_process_that_comes_back_to_a_busy_shard_costs_it_no_refusal() {
    let mut shard = two_groups();
    shard.adjust = |config| {
        config.timing.form_wait_ms = 100;
        config.groups.iter_mut().for_each(|group| group.designated = Some(ProcessId(1)));
        config.limits.log_memory_bytes = 1 << 20;
    };
    let witness = Arc::new(Witness::default());
    let callbacks = witness.callbacks(shard.partitions);
    let config = shard.config(1);
    let storage = Storage::open(&config).unwrap();
    let runtime = Bound::new(config, storage, &callbacks).unwrap().start().unwrap();
    let busy = Node { runtime, witness };
    let third = shard.start(2);
    busy.wait_gained();
    for n in 0..60 {
        busy.submit(1, &numbered(1, n));
        assert_eq!(busy.port(1).wait_idle(), Waited::Settled);
    }
    // Who has delivered what was committed a moment ago passes for one that keeps up.
    std::thread::sleep(Duration::from_secs(1));
    let (preferred, release_preferred) = start_the_preferred_blocked(&shard);
    wait_for_votes(&busy);
    let (enters, release) = block(&busy, &callbacks, 1);
    (0..100).for_each(|_| assert!(busy.submit(1, &[1; 50_000]) > 0));
    enters.recv_timeout(SOON).unwrap();
    release_preferred.send(()).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(8) {
        assert!(busy.submit(0, b"served") > 0);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(*locked(&busy.witness.codes), [1], "it leads all the time");
    release.send(()).unwrap();
    preferred.wait_gained();
    (0..2).for_each(|partition| assert!(preferred.submit(partition, b"now") > 0));
    [busy, third, preferred].into_iter().for_each(|node| drop(node.runtime.shutdown()));
}

/// Each group's log comes to its bound in its own time: what the quiet one keeps for long must not hold what the busy one has
/// given back.
#[test]
fn what_a_quiet_group_keeps_takes_no_memory_of_a_busy_one() {
    const MIB: usize = 1 << 20;
    let mut shard = Shard::new(1, 2);
    shard.grouping = Grouping::Partition;
    shard.adjust = |config| config.limits.log_memory_bytes = 8 * MIB;
    let node = shard.start(0);
    node.wait_gained();
    let log = vec![7; 64 << 10];
    for _ in 0..40 {
        (0..16).for_each(|_| assert!(node.submit(0, &log) > 0));
        assert!(node.submit(1, &log) > 0);
        assert_eq!(node.port(0).wait_idle(), Waited::Settled);
    }
    // 40 MiB went through the busy one, of which it keeps 8; the quiet one has all of its 2.5.
    let bytes = node.runtime.slab_bytes();
    assert!(bytes < 20 * MIB, "{bytes} bytes in slabs");
    end_all(vec![node]);
}
