//! Callbacks that block or fail, drains, and shutdowns.

use super::*;

#[test]
fn a_blocked_callback_holds_up_its_own_partition_only() {
    let shard = Shard::new(1, 2);
    let (node, callbacks) = start_with_callbacks(&shard);
    let (enters, release) = block(&node, &callbacks, 0);
    (0..10).for_each(|n| assert!(node.submit(0, &numbered(0, n)) > 0));
    enters.recv_timeout(SOON).unwrap();
    (0..1000).for_each(|n| assert!(node.submit(1, &numbered(1, n)) > 0));
    node.witness.wait_delivered(1, 1000);
    assert_eq!(node.port(0).outstanding(), 10);
    release.send(()).unwrap();
    node.witness.wait_delivered(0, 10);
    node.end();
}

#[test]
fn a_callback_that_panics_stops_the_replica_and_the_others_elect_a_leader() {
    let shard = Shard::new(3, 2);
    let others = [shard.start(1), shard.start(2)];
    let (leader, callbacks) = start_with_callbacks(&shard);
    callbacks.partitions[&PartitionId(0)].register(CallbackRole::Leader, Box::new(|_| panic!("as a test wants it")));
    leader.submit(0, b"poison");
    wait_for_a_leader(&others);
    assert_eq!(leader.port(1).submit(b"late"), Err(Refusal::Stopped));
    let reason = leader.runtime.failure().expect("it stopped itself");
    assert!(reason.contains("partition 0") && reason.contains("slot 1"), "{reason}");
    leader.runtime.shutdown().unwrap();
    let counters = leader.port(0).counters();
    assert_eq!((counters.lost, counters.outstanding), (1, 0), "its logs are settled as lost");
    others.into_iter().for_each(|node| drop(node.runtime.shutdown()));
}

#[test]
fn shutdown_reports_a_callback_that_does_not_return_and_ends_the_others() {
    let shard = Shard::new(1, 2);
    let (node, callbacks) = start_with_callbacks(&shard);
    let (enters, release) = block(&node, &callbacks, 1);
    node.submit(1, b"stuck");
    enters.recv_timeout(SOON).unwrap();
    let unfinished = node.runtime.shutdown_within(Duration::from_millis(300)).expect_err("a callback is still running");
    assert_eq!(unfinished.threads, ["mako-raft-p1: the callback of partition 1, slot 1"]);
    assert_eq!(node.port(0).submit(b"late"), Err(Refusal::Stopped));
    drop(release);
    node.witness.wait_delivered(1, 1);
}

#[test]
fn without_a_quorum_the_queue_fills_to_its_bound_and_a_drain_reports_the_rest_as_lost() {
    let mut shard = Shard::new(3, 1);
    shard.adjust = |config| {
        config.queue_bytes = 100_000;
        config.submit_wait = Duration::from_millis(50);
        config.drain_wait = Duration::from_millis(300);
    };
    let node = shard.start(0);
    let mut accepted = 0;
    let refusal = loop {
        match node.port(0).submit(&[1; 995]) {
            Ok(_) => accepted += 1,
            Err(refusal) => break refusal,
        }
        assert!(accepted <= 100, "beyond the bound");
    };
    assert_eq!(accepted, 100);
    assert_eq!(refusal, Refusal::QueueFull { waited_ms: 50, queued_bytes: 100_000, queue_bytes: 100_000 });
    node.runtime.drain();
    assert_eq!(node.port(0).submit(b"late"), Err(Refusal::Stopped));
    node.runtime.shutdown().unwrap();
    let counters = node.port(0).counters();
    assert_eq!((counters.accepted, counters.lost, counters.outstanding, counters.refused), (100, 100, 0, 2));
    let lost: u64 = locked(&node.witness.outcomes)[&0].iter().map(|&(_, count, _)| count).sum();
    assert_eq!(lost, 100);
}

#[test]
fn a_drain_waits_until_everything_accepted_is_delivered() {
    let shard = Shard::new(3, 2);
    let nodes = shard.start_all();
    nodes[0].wait_gained();
    (0..2000).for_each(|n| assert!(nodes[0].submit(n % 2, &numbered(n % 2, n)) > 0));
    nodes[0].runtime.drain();
    assert_eq!((nodes[0].port(0).outstanding(), nodes[0].port(1).outstanding()), (0, 0));
    nodes[0].runtime.shutdown().unwrap();
    assert_eq!(nodes[0].port(0).counters().lost, 0);
    assert_eq!(*locked(&nodes[0].witness.codes), [1], "no announcement from the drain's start on");
    nodes.into_iter().skip(1).for_each(Node::end);
}

#[test]
fn a_drain_waits_for_an_election_callback_that_is_running() {
    let mut shard = Shard::new(1, 1);
    shard.adjust = |config| config.drain_wait = SOON;
    let callbacks = Callbacks::default();
    let (begin, begun) = mpsc::channel();
    let (release, released) = mpsc::channel();
    callbacks.election.register(Some(Box::new(move |code| {
        begin.send(code).expect("the test listens");
        released.recv().expect("the test lets go of it");
    })));
    let config = shard.config(0);
    let storage = Storage::open(&config).unwrap();
    let runtime = Bound::new(config, storage, &callbacks).unwrap().start().unwrap();
    assert_eq!(begun.recv_timeout(SOON), Ok(1));
    let (over, drained) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            runtime.drain();
            over.send(()).expect("the test listens");
        });
        // A drain that does not wait for it is over at once.
        assert!(drained.recv_timeout(Duration::from_millis(500)).is_err(), "a callback was running that had begun before");
        release.send(()).unwrap();
        assert_eq!(drained.recv_timeout(SOON), Ok(()));
    });
    runtime.shutdown().unwrap();
}

/// The host is told of the last log's fate after its delivery is known, and that takes a while here.
#[test]
fn a_drain_ends_when_the_last_callback_has_returned_and_not_at_the_next_tick() {
    let mut shard = Shard::new(1, 1);
    shard.adjust = |config| {
        config.busy_poll = Duration::from_secs(60);
        config.timing = Timing { tick_ms: 4_000, heartbeat_ms: 4_000, election_ms: 12_000, ..config.timing };
    };
    let (node, callbacks) = start_with_callbacks(&shard);
    for n in 0..20 {
        node.submit(0, &numbered(0, n));
        assert_eq!(node.port(0).wait_idle(), Waited::Settled);
    }
    callbacks.outcome.register(Some(Box::new(|_, _, _, _| std::thread::sleep(Duration::from_millis(100)))));
    node.submit(0, b"the last one");
    let begun = Instant::now();
    node.runtime.drain();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    node.runtime.shutdown().unwrap();
}

#[test]
fn after_a_shutdown_the_port_is_free() {
    let shard = Shard::new(1, 1);
    for _ in 0..3 {
        let node = shard.start(0);
        node.wait_gained();
        node.end();
        drop(TcpListener::bind((shard.peers[0].host.as_str(), shard.peers[0].port)).expect("the port is free"));
    }
}

/// The next try wants the same directory.
#[test]
fn a_start_without_threads_enough_leaves_none_behind_and_can_be_tried_again() {
    let mut shard = Shard::new(1, 2);
    shard.disk = Some(tempfile::tempdir().unwrap());
    // Two lanes, the log writer, the election thread, the loop.
    for left in 0..5 {
        let (config, witness) = (shard.config(0), Arc::new(Witness::default()));
        let storage = Storage::open(&config).unwrap_or_else(|error| panic!("with {left} threads before: {error}"));
        let (runtime, threads) = Bound::new(config, storage, &witness.callbacks(2)).unwrap().split();
        runtime.roster_for_tests().left.store(left, Ordering::Relaxed);
        assert!(runtime.start(threads).is_err(), "{left} threads");
        assert!(runtime.roster_for_tests().join(Instant::now()).is_empty());
    }
    let node = shard.start(0);
    node.wait_gained();
    node.end();
}
