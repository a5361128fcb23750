//! A shard of one group: who leads, what arrives where, and what a restart finds.

use super::*;

#[test]
fn a_shard_of_one_process_leads_at_once_and_delivers_its_own_logs() {
    let shard = Shard::new(1, 2);
    let nodes = shard.start_all();
    nodes[0].wait_gained();
    (0..100).for_each(|n| assert_eq!(nodes[0].submit(1, &numbered(1, n)), u64::from(n) + 1));
    let seen = nodes[0].witness.wait_delivered(1, 100);
    assert!(seen.iter().zip(0..).all(|(seen, n)| seen.log == numbered(1, n)));
    assert!(roles(&seen).iter().all(|&role| role == CallbackRole::Leader));
    end_all(nodes);
}

#[test]
fn logs_of_four_partitions_arrive_everywhere_in_order_with_the_right_callback() {
    const PARTITIONS: u32 = 4;
    const LOGS: u32 = 3_000;
    let shard = Shard::new(3, PARTITIONS);
    let nodes = shard.start_all();
    nodes[0].wait_gained();
    std::thread::scope(|scope| {
        for partition in 0..PARTITIONS {
            let leader = &nodes[0];
            scope.spawn(move || (0..LOGS).for_each(|n| assert!(leader.submit(partition, &numbered(partition, n)) > 0)));
        }
    });
    assert_same_streams(&nodes, PARTITIONS, LOGS as usize);
    for (index, node) in nodes.iter().enumerate() {
        let role = if index == 0 { CallbackRole::Leader } else { CallbackRole::Follower };
        for partition in 0..PARTITIONS {
            let seen = node.witness.wait_delivered(partition, LOGS as usize);
            assert!(seen.iter().all(|seen| seen.role == role));
            assert!(seen.iter().zip(0..).all(|(seen, n)| seen.log == numbered(partition, n)));
        }
    }
    (0..PARTITIONS).for_each(|p| assert_eq!(nodes[0].port(p).wait_idle(), Waited::Settled));
    assert_eq!(nodes[0].port(0).counters().queued_bytes, 0);
    end_all(nodes);
}

#[test]
fn what_is_submitted_right_after_the_start_is_queued_on_the_designated_process_and_refused_elsewhere() {
    let shard = Shard::new(3, 1);
    let designated = shard.start(0);
    assert_eq!(designated.submit(0, b"early"), 1);
    let others = [shard.start(1), shard.start(2)];
    assert!(matches!(others[0].port(0).submit(b"no"), Err(Refusal::NotLeader(_))));
    assert_eq!(designated.witness.wait_delivered(0, 1)[0].log, b"early");
    others.into_iter().for_each(Node::end);
    designated.end();
}

#[test]
fn a_long_log_is_joined_beside_small_ones_of_another_partition() {
    let shard = Shard::new(3, 2);
    let nodes = shard.start_all();
    nodes[0].wait_gained();
    let long: Vec<u8> = (0..20 << 20).map(|i: u32| (i >> 10) as u8).collect();
    nodes[0].submit(0, &long);
    nodes[0].submit(0, b"");
    (0..200).for_each(|n| assert!(nodes[0].submit(1, &numbered(1, n)) > 0));
    assert_same_streams(&nodes, 2, 2);
    for node in &nodes {
        let seen = node.witness.wait_delivered(0, 2);
        assert!(seen[0].log == long && seen[1].log.is_empty());
        node.witness.wait_delivered(1, 200);
    }
    end_all(nodes);
}

#[test]
fn when_the_leader_dies_another_process_leads_and_replays_what_the_dead_one_executed() {
    let shard = Shard::new(3, 2);
    let mut nodes = shard.start_all();
    nodes[0].wait_gained();
    (0..500).for_each(|n| assert!(nodes[0].submit(0, &numbered(0, n)) > 0));
    assert_eq!(nodes[0].port(0).wait_idle(), Waited::Settled);
    nodes.remove(0).runtime.shutdown().expect("abrupt: no goodbye, no drain");
    let successor = wait_for_a_leader(&nodes);
    assert_eq!(nodes[successor].witness.wait_delivered(0, 500).len(), 500, "announced after all earlier logs");
    (500..600).for_each(|n| assert!(nodes[successor].submit(0, &numbered(0, n)) > 0));
    assert_same_streams(&nodes, 1, 600);
    let seen = roles(&nodes[successor].witness.wait_delivered(0, 600));
    assert!(seen[..500].iter().all(|&role| role == CallbackRole::Follower));
    assert!(seen[500..].iter().all(|&role| role == CallbackRole::Leader));
    assert!(locked(&nodes[1 - successor].witness.codes).is_empty(), "one that never led is not called");
    nodes.into_iter().for_each(|node| drop(node.runtime.shutdown()));
}

/// All waits are short against a minute, so these loops sleep only where looking on is dear, and between ticks when nothing
/// comes; and ticks are so far apart that what waits for one takes too long here.
#[test]
fn loops_that_look_on_instead_of_sleeping_miss_no_log_no_tick_and_no_command() {
    let mut shard = Shard::new(3, 2);
    shard.adjust = |config| {
        config.busy_poll = Duration::from_secs(60);
        config.timing = Timing { tick_ms: 500, heartbeat_ms: 500, election_ms: 1_500, commit_wait_us: 0, ..config.timing };
    };
    let mut nodes = shard.start_all();
    nodes[0].wait_gained();
    let begun = Instant::now();
    for n in 0..200 {
        assert!(nodes[0].submit(0, &numbered(0, n)) > 0);
        assert_eq!(nodes[0].port(0).wait_idle(), Waited::Settled);
    }
    assert!(begun.elapsed() < SOON, "logs wait for ticks");
    assert_same_streams(&nodes, 1, 200);
    let begun = Instant::now();
    (0..100).for_each(|_| assert_eq!(nodes[1].runtime.status().expect("an answer").len(), 1));
    assert!(begun.elapsed() < SOON, "commands wait for ticks");
    nodes.remove(0).runtime.shutdown().expect("abrupt: no goodbye, no drain");
    let successor = wait_for_a_leader(&nodes);
    (200..300).for_each(|n| assert!(nodes[successor].submit(0, &numbered(0, n)) > 0));
    assert_same_streams(&nodes, 1, 300);
    end_all(nodes);
}

#[test]
fn a_process_that_comes_back_without_memory_is_rebuilt() {
    let shard = Shard::new(3, 1);
    let mut nodes = shard.start_all();
    nodes[0].wait_gained();
    (0..300).for_each(|n| assert!(nodes[0].submit(0, &numbered(0, n)) > 0));
    nodes.pop().expect("three").runtime.shutdown().expect("abrupt");
    (300..400).for_each(|n| assert!(nodes[0].submit(0, &numbered(0, n)) > 0));
    nodes.push(shard.start(2));
    assert_same_streams(&nodes, 1, 400);
    end_all(nodes);
}

#[test]
fn durable_processes_that_all_stopped_go_on_and_replay_what_their_former_runs_executed() {
    let mut shard = Shard::new(3, 2);
    shard.disk = Some(tempfile::tempdir().unwrap());
    let nodes = shard.start_all();
    nodes[0].wait_gained();
    (0..300).for_each(|n| assert!(nodes[0].submit(n % 2, &numbered(n % 2, n)) > 0));
    assert_same_streams(&nodes, 2, 150);
    nodes.into_iter().for_each(|node| node.runtime.shutdown().expect("abrupt: no goodbye, no drain"));

    let nodes = shard.start_all();
    nodes[0].wait_gained();
    (300..400).for_each(|n| assert!(nodes[0].submit(n % 2, &numbered(n % 2, n)) > 0));
    assert_same_streams(&nodes, 2, 200);
    let seen = nodes[0].witness.wait_delivered(1, 200);
    assert!(seen.iter().zip(0..).all(|(seen, n)| seen.log == numbered(1, 2 * n + 1)));
    assert!(seen[..150].iter().all(|seen| seen.role == CallbackRole::Follower), "another run executed them");
    assert!(seen[150..].iter().all(|seen| seen.role == CallbackRole::Leader));
    end_all(nodes);
}

#[test]
fn a_leader_whose_data_directory_is_deleted_stops_and_comes_back_as_a_new_member_with_nothing_lost() {
    let mut shard = Shard::new(3, 1);
    shard.disk = Some(tempfile::tempdir().unwrap());
    let mut nodes = shard.start_all();
    nodes[0].wait_gained();
    (0..100).for_each(|n| assert!(nodes[0].submit(0, &numbered(0, n)) > 0));
    assert_same_streams(&nodes, 1, 100);
    let member = |node: &Node| node.runtime.status().unwrap()[0].1.member;
    let former = member(&nodes[0]);
    std::fs::remove_dir_all(shard.disk.as_ref().expect("durable").path().join("0")).unwrap();
    let stopped = nodes.remove(0);
    let successor = wait_for_a_leader(&nodes);
    let reason = stopped.runtime.failure().expect("it stopped itself");
    assert!(reason.contains("group 0: durable log: ") && reason.contains("META is gone"), "{reason}");
    stopped.runtime.shutdown().unwrap();
    (100..200).for_each(|n| assert!(nodes[successor].submit(0, &numbered(0, n)) > 0));
    nodes.push(shard.start(0));
    assert_same_streams(&nodes, 1, 200);
    assert!(former.is_some() && member(&nodes[2]) > former, "what its former run acknowledged counts no more");
    nodes.into_iter().for_each(|node| drop(node.runtime.shutdown()));
}

#[test]
fn a_data_directory_of_another_process_is_refused_at_the_start() {
    let mut shard = Shard::new(2, 1);
    shard.disk = Some(tempfile::tempdir().unwrap());
    let mut config = shard.config(0);
    drop(Storage::open(&config).unwrap());
    config.me = ProcessId(1);
    let refused = Storage::open(&config).err().expect("written by process 0").to_string();
    assert!(refused.contains("process"), "{refused}");
}
