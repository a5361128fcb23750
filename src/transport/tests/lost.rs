//! Connections that end: closed, broken, silent; and closing on purpose.

use std::net::TcpListener;

use super::*;

#[test]
fn a_process_that_dies_and_returns_is_connected_again_as_a_new_run() {
    for victim in [0u16, 1] {
        let shard = Shard::new(2);
        let (zero, one) = pair(&shard);
        let (mut other, mut dying) = if victim == 0 { (one, zero) } else { (zero, one) };
        for run in 1..6usize {
            // Without `close`, as by kill -9; the port is bound again at once.
            drop(dying);
            dying = Node::start(TransportConfig { run: RunId(run as u64), ..shard.config(victim) });
            let peer = 1 - victim;
            until("back", &mut [&mut other, &mut dying], |nodes| {
                nodes[0].ups(victim) == run + 1 && nodes[0].is_up(victim) && nodes[1].is_up(peer)
            });
            let last = TransportEvent::Up { peer: ProcessId(victim), run: RunId(run as u64) };
            assert_eq!(other.count(|event| *event == last), 1);
            exchange(&mut other, &mut dying, (peer, victim), &format!("run {run}"));
        }
    }
}

#[test]
fn what_was_queued_for_a_lost_connection_is_counted_and_not_sent_to_the_next_one() {
    let shard = Shard::new(2);
    let (mut zero, one) = pair(&shard);
    for _ in 0..20 {
        zero.send(1, &vec![1; 1 << 20]);
    }
    zero.turn(Duration::ZERO);
    drop(one);
    until("noticed", &mut [&mut zero], |nodes| nodes[0].downs(1) == 1);
    assert!(zero.transport.counters().frames_lost > 0);
    assert_eq!(zero.send(1, b"x"), SendOutcome::NoConnection);
    let mut one = shard.node(1);
    connect(&mut zero, &mut one, (0, 1));
    exchange(&mut zero, &mut one, (0, 1), "fresh");
    assert_eq!(one.bodies(0).len(), 1);
}

#[test]
fn an_idle_pair_stays_connected_by_keep_alives_that_nobody_sees() {
    let shard = Shard::new(2);
    let config = |me| {
        let mut config = shard.config(me);
        (config.limits.idle_ms, config.limits.keep_alive_ms) = (600, 20);
        config
    };
    let (mut zero, mut one) = (Node::start(config(0)), Node::start(config(1)));
    connect(&mut zero, &mut one, (0, 1));
    let before = zero.transport.counters().bytes_in;
    // Over 100 keep-alives: several idle times.
    until("keep-alives", &mut [&mut zero, &mut one], |nodes| {
        nodes[0].transport.counters().bytes_in >= before + 100 * 12
    });
    assert_eq!((zero.downs(1), one.downs(0)), (0, 0));
    assert!(zero.bodies(1).is_empty() && one.bodies(0).is_empty());
}

#[test]
fn a_peer_that_vanished_without_a_word_is_given_up_and_found_again() {
    let shard = Shard::new(2);
    for silent in [0u16, 1] {
        let config = |me| {
            let mut config = shard.config(me);
            (config.limits.idle_ms, config.limits.keep_alive_ms) = (300, 20);
            config
        };
        let (mut zero, mut one) = (Node::start(config(0)), Node::start(config(1)));
        connect(&mut zero, &mut one, (0, 1));
        // Without turns it is like a stopped process: its system keeps the connection, nothing is said.
        {
            let (other, gone) = if silent == 0 { (&mut one, silent) } else { (&mut zero, silent) };
            until("given up", &mut [other], |nodes| nodes[0].downs(gone) == 1);
            let silence = |event: &TransportEvent| {
                matches!(event, TransportEvent::Down { reason, .. } if reason.contains("nothing was heard"))
            };
            assert_eq!(other.count(silence), 1);
        }
        connect(&mut zero, &mut one, (0, 1));
        exchange(&mut zero, &mut one, (0, 1), "back");
    }
}

#[test]
fn a_process_that_was_stopped_itself_does_not_blame_the_others() {
    let shard = Shard::new(2);
    let config = |me| {
        let mut config = shard.config(me);
        config.limits.idle_ms = 2_000;
        config
    };
    let (mut zero, mut one) = (Node::start(config(0)), Node::start(config(1)));
    connect(&mut zero, &mut one, (0, 1));
    // Its clock moves on by an hour while it gets no turn.
    zero.start -= Duration::from_secs(3_600);
    exchange(&mut zero, &mut one, (0, 1), "still here");
    assert_eq!((zero.downs(1), one.downs(0)), (0, 0));
}

#[test]
fn a_stopped_listener_with_a_backlog_of_given_up_dials_comes_up_once() {
    let shard = Shard::new(2);
    let mut config = shard.config(1);
    config.limits.handshake_ms = 50;
    let (mut zero, mut one) = (shard.node(0), Node::start(config));
    until("several dials were given up", &mut [&mut one], |nodes| nodes[0].transport.serial >= 6);
    connect(&mut zero, &mut one, (0, 1));
    exchange(&mut zero, &mut one, (0, 1), "hello");
    assert!(zero.ups(1) <= 2, "{:?}", zero.events);
}

#[test]
fn closing_sends_what_is_queued_tells_the_peer_and_frees_the_port() {
    let shard = Shard::new(2);
    let (mut zero, mut one) = pair(&shard);
    zero.send(1, &vec![3; 100_000]);
    zero.send(1, b"goodbye");
    // Unread here when it closes.
    one.send(0, b"too late");
    one.turn(Duration::ZERO);
    let closer = std::thread::spawn(move || {
        let begun = Instant::now();
        zero.transport.close();
        zero.transport.close();
        assert_eq!(zero.send(1, b"x"), SendOutcome::NoConnection);
        zero.turn(Duration::ZERO);
        (zero, begun.elapsed())
    });
    until("told", &mut [&mut one], |nodes| nodes[0].downs(0) == 1);
    let (zero, _) = closer.join().unwrap();
    assert_eq!(one.bodies(0).last().unwrap(), &b"goodbye"[..]);
    // A plain listener, without SO_REUSEADDR's help for connections that linger: std sets it too, so
    // what this shows is that nobody listens any more.
    drop(TcpListener::bind(shard.address(0)).expect("the port is free while the closed transport still exists"));
    drop(zero);
}

#[test]
fn closing_does_not_wait_for_a_stopped_peer_beyond_its_bound() {
    let shard = Shard::new(2);
    let (mut zero, one) = pair(&shard);
    for _ in 0..40 {
        zero.send(1, &vec![3; 1 << 20]);
    }
    let begun = Instant::now();
    zero.transport.close();
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(100), "{took:?}: it did not try");
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(one);
}
