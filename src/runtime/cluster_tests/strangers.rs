//! Peers that are not what they should be.

use super::*;

/// Turns a bare transport until `wanted` arrives.
fn turn_until(transport: &mut Transport, poll: &mut mio::Poll, wanted: impl Fn(&TransportEvent) -> bool) {
    assert!(turn_for(transport, poll, SOON, wanted), "not within {SOON:?}");
}

/// Turns a bare transport until `wanted` arrives; false when it has not after `at_most`.
fn turn_for(
    transport: &mut Transport,
    poll: &mut mio::Poll,
    at_most: Duration,
    wanted: impl Fn(&TransportEvent) -> bool,
) -> bool {
    let began = Instant::now();
    let mut events = mio::Events::with_capacity(16);
    let mut arrivals = Vec::new();
    while !arrivals.iter().any(&wanted) {
        if began.elapsed() >= at_most {
            return false;
        }
        poll.poll(&mut events, Some(Duration::from_millis(5))).unwrap();
        events.iter().for_each(|event| transport.handle(event));
        let now = Time(began.elapsed().as_micros() as u64);
        transport.tick(now);
        // The poll never sleeps long: whether something is left makes no difference.
        let _ = transport.poll_io(now, &mut arrivals);
        let _ = transport.flush();
    }
    true
}

#[test]
fn a_peer_that_sends_what_can_not_be_understood_is_disconnected() {
    let shard = Shard::new(2, 1);
    let node = shard.start(0);
    let mut poll = mio::Poll::new().unwrap();
    let config = shard.config(1);
    let config = TransportConfig {
        me: config.me,
        run: config.run,
        fingerprint: config.fingerprint,
        listen: config.listen,
        peers: config.peers,
        limits: TransportLimits::default(),
        seed: 1,
    };
    let mut stranger = Transport::bind(config, poll.registry().try_clone().unwrap(), 0).unwrap();
    turn_until(&mut stranger, &mut poll, |event| matches!(event, TransportEvent::Up { .. }));
    let garbage = Frame { parts: vec![bytes::Bytes::from("no message").into()], len: 10, urgent: false };
    assert_eq!(stranger.send(ProcessId(0), &garbage), SendOutcome::Queued);
    turn_until(&mut stranger, &mut poll, |event| matches!(event, TransportEvent::Down { .. }));
    turn_until(&mut stranger, &mut poll, |event| matches!(event, TransportEvent::Up { .. }));
    node.end();
}

/// The transport's keep-alives don't wait for the replicas' ticks. A machine that stands still for a moment is a reason to
/// let the second run in, so one of some tries is enough.
#[test]
fn a_second_run_of_a_quiet_process_whose_ticks_are_far_apart_is_kept_out() {
    let is_kept_out = || {
        let mut shard = Shard::new(2, 1);
        shard.adjust = |config| {
            config.timing = Timing { tick_ms: 500, heartbeat_ms: 500, election_ms: 1_500, ..config.timing };
        };
        let nodes = shard.start_all();
        nodes[0].wait_gained();
        let mut poll = mio::Poll::new().unwrap();
        let config = shard.config(1);
        let listen = (config.listen.0.clone(), free_port(&config.listen.0));
        let config = TransportConfig {
            me: config.me,
            run: config.run,
            fingerprint: config.fingerprint,
            listen,
            peers: config.peers,
            limits: TransportLimits::default(),
            seed: 1,
        };
        let mut second = Transport::bind(config, poll.registry().try_clone().unwrap(), 0).unwrap();
        let came = turn_for(&mut second, &mut poll, Duration::from_secs(3), |event| matches!(event, TransportEvent::Up { .. }));
        drop(second);
        nodes.into_iter().for_each(|node| drop(node.runtime.shutdown()));
        !came
    };
    assert!((0..3).any(|_| is_kept_out()), "it came in each time");
}
