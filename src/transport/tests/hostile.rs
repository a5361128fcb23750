//! Bytes that no peer sends, and connections that no peer makes. A working pair must not notice.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;
use crate::transport::frame::Header;
use crate::transport::handshake::{Greeting, Identity, Refusal, GREETING_BYTES, PROTOCOL_VERSION};

fn stranger(shard: &Shard, process: u16) -> TcpStream {
    let stream = TcpStream::connect(shard.address(process)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn hello(sender: u16, receiver: u16) -> Greeting {
    let identity = Identity { me: ProcessId(sender), run: RunId(0x5eed), fingerprint: FINGERPRINT };
    Greeting::hello(identity, ProcessId(receiver))
}

/// Gives `node` turns while `stream` reads `count` bytes or to its end.
fn read(node: &mut Node, stream: &mut TcpStream, count: usize) -> Vec<u8> {
    stream.set_nonblocking(true).unwrap();
    let mut got = Vec::new();
    until("the stranger's answer", &mut [node], |_| {
        let mut buffer = vec![0; count - got.len()];
        match stream.read(&mut buffer) {
            Ok(0) => true,
            Ok(read) => {
                got.extend(&buffer[..read]);
                got.len() == count
            }
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    });
    got
}

#[test]
fn who_could_not_be_accepted_for_want_of_descriptors_is_accepted_by_a_later_tick() {
    let shard = Shard::new(2);
    let mut node = shard.node(0);
    node.turn(Duration::ZERO);
    let mut stream = stranger(&shard, 0);
    node.poll.poll(&mut node.ready, Some(DEADLINE)).unwrap();
    assert!(node.ready.iter().any(|event| event.token().0 == FIRST_TOKEN), "the only event that the stranger raises");
    (node.transport.accepting, node.transport.accepting_failed) = (false, true);
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(read(&mut node, &mut stream, GREETING_BYTES).len(), GREETING_BYTES, "it is answered");
}

#[test]
fn garbage_is_answered_with_a_refusal_and_logged_at_a_bounded_rate() {
    let shard = Shard::new(2);
    let (mut zero, mut one) = pair(&shard);
    for i in 0..50 {
        let mut stream = stranger(&shard, 0);
        stream.write_all(if i % 2 == 0 { b"GET / HTTP/1.0\r\n\r\n" } else { &[0xff; 5_000] }).unwrap();
        let answer = read(&mut zero, &mut stream, GREETING_BYTES);
        let answer = Greeting::decode(&answer.try_into().unwrap()).unwrap();
        assert_eq!(answer.refusal, Some(Refusal::NotAGreeting));
    }
    exchange(&mut zero, &mut one, (0, 1), "undisturbed");
    assert_eq!(zero.transport.counters().handshakes_refused, 50);
    let lines = zero.notices().iter().filter(|line| line.contains("not this protocol")).count();
    assert!((1..20).contains(&lines), "{lines} lines");
    assert_eq!((zero.downs(1), one.downs(0)), (0, 0));
}

#[test]
fn each_wrong_greeting_is_answered_with_its_reason() {
    let shard = Shard::new(3);
    let mut one = shard.node(1);
    let damaged = {
        let mut bytes = hello(2, 1).encode();
        bytes[20] ^= 1;
        bytes
    };
    let newer = Greeting { version: PROTOCOL_VERSION + 1, ..hello(2, 1) };
    for (bytes, reason) in [
        (damaged, Refusal::Damaged),
        (newer.encode(), Refusal::Version),
        (Greeting { fingerprint: 1, ..hello(2, 1) }.encode(), Refusal::Fingerprint),
        (hello(9, 1).encode(), Refusal::UnknownProcess),
        (hello(1, 1).encode(), Refusal::UnknownProcess),
        (hello(2, 0).encode(), Refusal::WrongReceiver),
        (hello(0, 1).encode(), Refusal::WrongDirection),
    ] {
        let mut stream = stranger(&shard, 1);
        stream.write_all(&bytes).unwrap();
        let answer = read(&mut one, &mut stream, GREETING_BYTES);
        let answer = Greeting::decode(&answer.try_into().unwrap()).unwrap();
        assert_eq!(answer.refusal, Some(reason));
        assert_eq!((answer.sender, answer.fingerprint), (ProcessId(1), FINGERPRINT));
    }
    assert_eq!(one.ups(2) + one.ups(0), 0);
}

#[test]
fn hundreds_of_silent_connections_neither_lock_peers_out_nor_pile_up() {
    let shard = Shard::new(2);
    let (mut zero, one) = pair(&shard);
    let mut held = Vec::new();
    for _ in 0..300 {
        let mut stream = stranger(&shard, 0);
        // Half a greeting, from half of them.
        if held.len() % 2 == 0 {
            stream.write_all(&hello(1, 0).encode()[..20]).unwrap();
        }
        held.push(stream);
        zero.turn(Duration::ZERO);
    }
    until("all taken", &mut [&mut zero], |nodes| !nodes[0].busy);
    let limit = TransportLimits::default().handshakes_max;
    assert!(zero.transport.sockets.len() <= limit + 2, "{} sockets", zero.transport.sockets.len());
    drop(one);
    let mut one = shard.node(1);
    connect(&mut zero, &mut one, (0, 1));
    exchange(&mut zero, &mut one, (0, 1), "through the flood");
    let open = |node: &Node| node.transport.sockets.iter().flatten().count();
    until("the silent are closed", &mut [&mut zero, &mut one], |nodes| open(nodes[0]) == 1);
    assert!(zero.said(&["have not said who they are"]));
    exchange(&mut zero, &mut one, (0, 1), "and after it");
}

#[test]
fn a_frame_length_beyond_the_limit_ends_that_connection_only() {
    let shard = Shard::new(3);
    let (mut zero, mut one) = pair(&shard);
    let mut bad = stranger(&shard, 0);
    bad.write_all(&hello(2, 0).encode()).unwrap();
    let answer = read(&mut zero, &mut bad, GREETING_BYTES);
    assert_eq!(Greeting::decode(&answer.try_into().unwrap()).unwrap().refusal, None);
    assert!(zero.is_up(2));
    bad.write_all(&Header::of_body(4_000_000_000, None).encode()).unwrap();
    until("thrown out", &mut [&mut zero, &mut one], |nodes| nodes[0].downs(2) == 1);
    let clear = |event: &TransportEvent| {
        matches!(event, TransportEvent::Down { reason, .. } if reason.contains("4000000000") && reason.contains("8388608"))
    };
    assert_eq!(zero.count(clear), 1);
    exchange(&mut zero, &mut one, (0, 1), "undisturbed");
}

#[test]
fn a_listener_that_is_something_else_is_reported_and_dialled_again() {
    let shard = Shard::new(2);
    let impostor = std::net::TcpListener::bind(shard.address(0)).unwrap();
    let talker = std::thread::spawn(move || {
        let (mut stream, _) = impostor.accept().unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").unwrap();
        let mut rest = Vec::new();
        // A reset instead of an end is fine here.
        let _ = stream.read_to_end(&mut rest);
    });
    let mut one = shard.node(1);
    until("reported", &mut [&mut one], |nodes| nodes[0].said(&["process 0 (p0", "not this protocol"]));
    talker.join().unwrap();
    let mut zero = shard.node(0);
    connect(&mut zero, &mut one, (0, 1));
}
