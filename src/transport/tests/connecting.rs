//! Who gets connected to whom, and who is told why not.

use super::*;

#[test]
fn a_pair_connects_in_either_order_of_starting() {
    for first in [0, 1] {
        let shard = Shard::new(2);
        let mut early = shard.node(first);
        let meant = Instant::now();
        until("the early one has tried for a while", &mut [&mut early], |_| {
            meant.elapsed() > Duration::from_millis(400)
        });
        let mut late = shard.node(1 - first);
        let listening = Instant::now();
        connect(&mut early, &mut late, (first, 1 - first));
        // 250 ms are promised; the rest is for a machine that is busy with other tests.
        assert!(listening.elapsed() < Duration::from_millis(2_000), "{:?}", listening.elapsed());
        exchange(&mut early, &mut late, (first, 1 - first), "hello");
    }
}

#[test]
fn five_processes_that_start_together_are_all_connected_once_and_know_each_others_runs() {
    let shard = Shard::new(5);
    let mut nodes = shard.nodes();
    let mut all: Vec<_> = nodes.iter_mut().collect();
    until("all connected", &mut all, |nodes| {
        (0..5).all(|me| (0..5).filter(|peer| *peer != me).all(|peer| nodes[me as usize].is_up(peer)))
    });
    for (me, node) in nodes.iter().enumerate() {
        for peer in (0..5u16).filter(|peer| usize::from(*peer) != me) {
            let expected = TransportEvent::Up { peer: ProcessId(peer), run: RunId(1_000 + u64::from(peer)) };
            assert_eq!(node.count(|event| *event == expected), 1);
        }
    }
}

#[test]
fn another_topology_is_refused_and_both_sides_say_so_with_both_fingerprints() {
    let shard = Shard::new(2);
    let mut zero = shard.node(0);
    let mut one = Node::start(TransportConfig { fingerprint: 0xbad, ..shard.config(1) });
    let both = ["123456789abcdef0", "0000000000000bad"];
    until("both told", &mut [&mut zero, &mut one], |nodes| nodes.iter().all(|node| node.said(&both)));
    assert!(!zero.is_up(1) && !one.is_up(0));
    assert!([&zero, &one].iter().all(|node| node.transport.counters().handshakes_refused > 0));
    assert!(one.said(&["process 0 (p0,", "refused our connection"]), "{:?}", one.notices());
}

#[test]
fn a_process_that_is_not_in_the_topology_is_refused() {
    let shard = Shard::new(2);
    let mut zero = shard.node(0);
    let mut one = Node::start(Shard { processes: 8, ..shard_at(&shard) }.config(7));
    until("both told", &mut [&mut zero, &mut one], |nodes| {
        nodes[0].said(&["process 7", "does not have"]) && nodes[1].said(&["topology has no process 7"])
    });
}

#[test]
fn an_address_of_another_process_is_noticed_by_both() {
    let shard = Shard::new(3);
    let mut zero = shard.node(0);
    let mut config = shard.config(2);
    config.peers[1].port = shard.port(0);
    let mut two = Node::start(config);
    until("both told", &mut [&mut zero, &mut two], |nodes| {
        nodes[0].said(&["process 2 was looking for process 1"]) && nodes[1].said(&["belongs to process 0"])
    });
    until("the right one is connected", &mut [&mut zero, &mut two], |nodes| nodes[1].is_up(0));
}

#[test]
fn a_second_run_of_a_connected_process_is_refused_and_takes_over_when_the_first_is_gone() {
    let shard = Shard::new(2);
    let (mut zero, mut one) = pair(&shard);
    let second = TransportConfig { run: RunId(0xfeed), listen: (shard.host.clone(), 25_000), ..shard.config(1) };
    let mut second = Node::start(second);
    until("refused", &mut [&mut zero, &mut one, &mut second], |nodes| {
        let claims = "two processes claim to be process 1";
        nodes[0].said(&[claims, "000000000000feed", "00000000000003e9"])
            && nodes[2].said(&[claims, "000000000000feed", "00000000000003e9"])
    });
    exchange(&mut zero, &mut one, (0, 1), "the first still works");
    assert!(second.ups(0) == 0 && zero.ups(1) == 1);
    assert!(zero.transport.counters().handshakes_refused > 0);
    drop(one);
    until("taken over", &mut [&mut zero, &mut second], |nodes| nodes[0].ups(1) == 2 && nodes[1].is_up(0));
}

#[test]
fn a_silent_run_gives_way_to_another_one() {
    let shard = Shard::new(2);
    let (mut zero, one) = pair(&shard);
    // `one` exists, its connection is open, but it gets no turns any more: it is a stopped process.
    let second = TransportConfig { run: RunId(7), listen: (shard.host.clone(), 25_000), ..shard.config(1) };
    let mut second = Node::start(second);
    until("taken over", &mut [&mut zero, &mut second], |nodes| nodes[1].is_up(0));
    let replaced = |event: &TransportEvent| {
        matches!(event, TransportEvent::Down { reason, .. } if reason.contains("replaced"))
    };
    assert_eq!(zero.count(replaced), 1);
    drop(one);
}

#[test]
fn a_listening_address_that_is_taken_or_foreign_is_an_error_that_names_it() {
    let shard = Shard::new(2);
    let _holder = shard.node(0);
    let poll = Poll::new().unwrap();
    let bind = |listen: (&str, u16)| {
        let config = TransportConfig { listen: (listen.0.into(), listen.1), ..shard.config(0) };
        match Transport::bind(config, poll.registry().try_clone().unwrap(), 0) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("bound {listen:?}"),
        }
    };
    let taken = bind((&shard.host, shard.port(0)));
    assert!(taken.contains(&format!("{}:20000", shard.host)) && taken.contains("in use"), "{taken}");
    // 192.0.2.0/24 is reserved for documentation: nobody has it.
    let foreign = bind(("192.0.2.1", 20_000));
    assert!(foreign.contains("192.0.2.1:20000") && foreign.contains("does not belong to this machine"), "{foreign}");
    let nameless = bind(("no-such-host.invalid", 20_000));
    assert!(nameless.contains("no-such-host.invalid"), "{nameless}");
}

#[test]
fn a_name_that_is_loopback_here_is_warned_of_where_a_peer_is_elsewhere_and_else_its_address_is_said() {
    let shard = Shard::new(2);
    // 192.0.2.0/24 is reserved for documentation: nobody is there.
    for (peer, words) in [("192.0.2.1", ["the name \"localhost\" is ", "/etc/hosts"]), ("127.0.0.1", ["listening on ", "\"localhost\""])] {
        let mut config = TransportConfig { listen: ("localhost".into(), 0), ..shard.config(0) };
        config.peers[0].host = peer.into();
        let mut zero = Node::start(config);
        until("said", &mut [&mut zero], |nodes| nodes[0].said(&words));
    }
}

#[test]
fn a_peer_whose_name_is_unknown_is_reported_and_does_not_keep_the_others_away() {
    let shard = Shard::new(3);
    let mut zero = shard.node(0);
    let mut config = shard.config(2);
    config.peers[1].host = "no-such-host.invalid".into();
    let mut two = Node::start(config);
    until("connected and reported", &mut [&mut zero, &mut two], |nodes| {
        nodes[1].is_up(0) && nodes[1].said(&["process 1 (p1, no-such-host.invalid", "can't be looked up"])
    });
}

#[test]
fn a_list_of_peers_that_contradicts_itself_is_an_error() {
    let shard = Shard::new(2);
    let poll = Poll::new().unwrap();
    let mut twice = shard.config(0);
    twice.peers.push(twice.peers[0].clone());
    let own = TransportConfig { me: ProcessId(1), ..shard.config(0) };
    for (config, words) in [(twice, "listed twice"), (own, "its own peer")] {
        let error = Transport::bind(config, poll.registry().try_clone().unwrap(), 0).err().unwrap().to_string();
        assert!(error.contains("process 1") && error.contains(words), "{error}");
    }
}

fn shard_at(shard: &Shard) -> Shard {
    Shard { host: shard.host.clone(), processes: shard.processes }
}
