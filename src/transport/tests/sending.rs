//! Frames: order, priority, sizes, bounds.

use super::*;

#[test]
fn frames_of_all_sizes_arrive_whole_and_in_order_with_and_without_checksums() {
    for checksum in [true, false] {
        let shard = Shard::new(2);
        let config = |me| {
            let mut config = shard.config(me);
            config.limits.checksum = checksum;
            config
        };
        let (mut zero, mut one) = (Node::start(config(0)), Node::start(config(1)));
        connect(&mut zero, &mut one, (0, 1));
        let sizes = [0, 1, 100, 2_048, 16_384, 16_385, 65_536, 286_208, 1 << 20, 8 << 20];
        let sent: Vec<Vec<u8>> =
            (0..60).map(|i| (0..sizes[i * 7 % sizes.len()]).map(|at| (at * 13 + i) as u8).collect()).collect();
        let mut next = 0;
        until("all arrived", &mut [&mut zero, &mut one], |nodes| {
            if next < sent.len() && nodes[0].send(1, &sent[next]) == SendOutcome::Queued {
                next += 1;
            }
            nodes[1].bodies(0).len() == sent.len()
        });
        assert!(one.bodies(0) == sent);
        assert_eq!(one.transport.counters().frames_in, 60);
        assert_eq!(zero.transport.counters().frames_out, 60);
    }
}

#[test]
fn parts_are_joined() {
    let shard = Shard::new(2);
    let (mut zero, mut one) = pair(&shard);
    let parts: Vec<Bytes> = (0..300usize).map(|i| Bytes::from(vec![i as u8; i * 97 % 5_000])).collect();
    let whole = parts.concat();
    let frame = Frame { len: whole.len(), parts: parts.into_iter().map(Into::into).collect(), urgent: false };
    assert_eq!(zero.transport.send(ProcessId(1), &frame), SendOutcome::Queued);
    until("arrived", &mut [&mut zero, &mut one], |nodes| nodes[1].bodies(0).len() == 1);
    assert!(one.bodies(0)[0] == whole);
}

#[test]
fn an_urgent_frame_overtakes_bulk_that_a_stopped_peer_has_not_taken() {
    let shard = Shard::new(2);
    let (mut zero, mut one) = pair(&shard);
    let bulk = vec![1; 1 << 20];
    for _ in 0..40 {
        assert_eq!(zero.send(1, &bulk), SendOutcome::Queued);
        zero.turn(Duration::ZERO);
    }
    assert_eq!(zero.transport.send(ProcessId(1), &frame(b"urgent", true)), SendOutcome::Queued);
    until("all arrived", &mut [&mut zero, &mut one], |nodes| nodes[1].bodies(0).len() == 41);
    let place = one.bodies(0).iter().position(|body| body == "urgent").unwrap();
    // What the kernel had taken before can't be overtaken.
    assert!(place < 25, "the urgent frame was number {place}");
}

#[test]
fn frames_for_a_stopped_peer_are_dropped_at_the_bound_and_flow_again_when_it_is_back() {
    let shard = Shard::new(2);
    let mut config = shard.config(0);
    config.limits.bulk_queue_bytes_max = 4 << 20;
    let (mut zero, mut one) = (Node::start(config), shard.node(1));
    connect(&mut zero, &mut one, (0, 1));
    let bulk = vec![1; 1 << 20];
    let mut queued = 0;
    let deadline = Instant::now() + DEADLINE;
    while zero.send(1, &bulk) == SendOutcome::Queued {
        assert!(Instant::now() < deadline);
        queued += 1;
        zero.turn(Duration::ZERO);
    }
    assert!(zero.transport.counters().frames_dropped == 1);
    until("all that was queued arrived", &mut [&mut zero, &mut one], |nodes| nodes[1].bodies(0).len() == queued);
    assert!(zero.said(&["frames for process 1 are being dropped"]));
    exchange(&mut zero, &mut one, (0, 1), "again");
    assert_eq!((zero.ups(1), zero.downs(1)), (1, 0));
}

#[test]
fn a_frame_beyond_the_limit_is_dropped_and_one_at_the_limit_is_not() {
    let shard = Shard::new(2);
    let (mut zero, mut one) = pair(&shard);
    let limit = TransportLimits::default().frame_bytes_max;
    assert_eq!(zero.send(1, &vec![1; limit + 1]), SendOutcome::Dropped);
    assert_eq!(zero.send(1, &vec![1; limit]), SendOutcome::Queued);
    until("arrived", &mut [&mut zero, &mut one], |nodes| nodes[1].bodies(0).len() == 1);
}

#[test]
fn nobody_is_sent_to_who_is_not_connected() {
    let shard = Shard::new(2);
    let mut zero = shard.node(0);
    assert_eq!(zero.send(1, b"x"), SendOutcome::NoConnection);
    assert_eq!(zero.send(0, b"x"), SendOutcome::NoConnection);
    assert_eq!(zero.send(9, b"x"), SendOutcome::NoConnection);
}

#[test]
fn a_busy_connection_does_not_keep_another_one_waiting() {
    let shard = Shard::new(3);
    let mut nodes = shard.nodes();
    let mut all: Vec<_> = nodes.iter_mut().collect();
    until("connected", &mut all, |nodes| nodes[0].is_up(1) && nodes[0].is_up(2));
    let bulk = vec![1; 8 << 20];
    let mut sent = 0;
    until("a small frame arrives among large ones", &mut all, |nodes| {
        if sent < 6 && nodes[1].send(0, &bulk) == SendOutcome::Queued {
            sent += 1;
        }
        if sent == 3 {
            nodes[2].send(0, b"small");
        }
        !nodes[0].bodies(2).is_empty()
    });
    assert!(nodes[0].bodies(1).len() < 6);
}
