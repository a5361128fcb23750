//! The transport against plain blocking TCP, interleaved, on loopback: `cargo bench --bench transport`, with
//! frame sizes behind `--` if not all are wanted.
//!
//! Throughput: one thread sends frames, another receives them. The plain pair does what the transport must
//! do at least: one gathering write per frame, and a receive buffer of its own for each body. Latency: a frame of
//! 100 bytes there and back. Median of the rounds; the machine is shared, so only the ratios mean
//! anything.

use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::{Events, Poll};

use mako_raft::ids::{ProcessId, RunId, Time};
use mako_raft::replica::wire::Frame;
use mako_raft::transport::{
    PeerAddress, SendOutcome, Transport, TransportConfig, TransportCounters, TransportEvent, TransportLimits,
};

const ROUNDS: usize = 7;
const BYTES_PER_ROUND: usize = 1 << 30;
const ROUND_TRIPS: usize = 20_000;
const HOST: &str = "127.77.66.55";

struct Node {
    transport: Transport,
    poll: Poll,
    ready: Events,
    events: Vec<TransportEvent>,
    start: Instant,
    busy: bool,
}

impl Node {
    fn start(me: u16, checksum: bool) -> Self {
        let other = 1 - me;
        let poll = Poll::new().unwrap();
        let limits =
            TransportLimits { checksum, bulk_queue_bytes_max: 8 << 20, ..TransportLimits::default() };
        let config = TransportConfig {
            me: ProcessId(me),
            run: RunId(1),
            fingerprint: 1,
            listen: (HOST.into(), 20_000 + me),
            peers: vec![PeerAddress {
                id: ProcessId(other),
                host: HOST.into(),
                port: 20_000 + other,
                name: "peer".into(),
            }],
            limits,
            seed: 1,
        };
        let transport = Transport::bind(config, poll.registry().try_clone().unwrap(), 0).unwrap();
        let (ready, start) = (Events::with_capacity(64), Instant::now());
        let mut node = Self { transport, poll, ready, events: Vec::new(), start, busy: false };
        while !node.events.iter().any(|event| matches!(event, TransportEvent::Up { .. })) {
            node.turn();
        }
        node.events.clear();
        node
    }

    /// One turn of an event loop: flush what was queued, sleep, read.
    fn turn(&mut self) {
        let busy = self.transport.flush() || self.busy;
        let sleep = Duration::from_millis(if busy { 0 } else { 10 });
        self.poll.poll(&mut self.ready, Some(sleep)).unwrap();
        for event in self.ready.iter() {
            self.transport.handle(event);
        }
        let now = Time(self.start.elapsed().as_micros() as u64);
        self.transport.tick(now);
        self.busy = self.transport.poll_io(now, &mut self.events);
    }

    fn received(&mut self) -> usize {
        let frames = self.events.drain(..).filter(|event| matches!(event, TransportEvent::Frame { .. }));
        frames.count()
    }
}

/// MB/s, and the receiver's counters.
fn transport_rate(size: usize, checksum: bool) -> (f64, TransportCounters) {
    let frames = BYTES_PER_ROUND / size;
    let receiver = thread::spawn(move || {
        let mut node = Node::start(0, checksum);
        let (mut got, mut begun) = (0, None);
        while got < frames {
            node.turn();
            got += node.received();
            if got > 0 && begun.is_none() {
                begun = Some(Instant::now());
            }
        }
        let rate = BYTES_PER_ROUND as f64 / 1e6 / begun.unwrap().elapsed().as_secs_f64();
        let counters = node.transport.counters();
        node.transport.close();
        (rate, counters)
    });
    let sender = thread::spawn(move || {
        let mut node = Node::start(1, checksum);
        let body = Bytes::from(vec![7; size]);
        let mut sent = 0;
        // Until the receiver closes.
        while !node.events.iter().any(|event| matches!(event, TransportEvent::Down { .. })) {
            let frame = || Frame { parts: vec![body.clone().into()], len: size, urgent: false };
            while sent < frames && node.transport.send(ProcessId(0), &frame()) == SendOutcome::Queued {
                sent += 1;
            }
            node.turn();
        }
    });
    let result = receiver.join().unwrap();
    sender.join().unwrap();
    result
}

fn plain_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((HOST, 20_010)).unwrap();
    let near = TcpStream::connect((HOST, 20_010)).unwrap();
    let far = listener.accept().unwrap().0;
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    (near, far)
}

fn plain_rate(size: usize) -> f64 {
    let (mut near, mut far) = plain_pair();
    let frames = BYTES_PER_ROUND / size;
    let sender = thread::spawn(move || {
        let (header, body) = ([1; 12], vec![7; size]);
        for _ in 0..frames {
            let written = near.write_vectored(&[IoSlice::new(&header), IoSlice::new(&body)]).unwrap();
            // A blocking write is nearly always whole.
            near.write_all(&body[written - header.len()..]).unwrap();
        }
        near
    });
    let mut begun = None;
    for _ in 0..frames {
        let mut header = [0; 12];
        far.read_exact(&mut header).unwrap();
        begun.get_or_insert_with(Instant::now);
        let mut body = Vec::with_capacity(size);
        (&far).take(size as u64).read_to_end(&mut body).unwrap();
        std::hint::black_box(body);
    }
    let rate = BYTES_PER_ROUND as f64 / 1e6 / begun.unwrap().elapsed().as_secs_f64();
    sender.join().unwrap();
    rate
}

fn percentiles(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// Microseconds there and back: median and 99th percentile.
fn transport_latency(checksum: bool) -> (f64, f64) {
    let far = thread::spawn(move || {
        let mut node = Node::start(0, checksum);
        loop {
            node.turn();
            for event in std::mem::take(&mut node.events) {
                match event {
                    TransportEvent::Frame { from, body } => {
                        let frame = Frame { len: body.len(), parts: vec![body.into()], urgent: false };
                        node.transport.send(from, &frame);
                    }
                    TransportEvent::Down { .. } => return,
                    _ => {}
                }
            }
        }
    });
    let mut node = Node::start(1, checksum);
    let body = Bytes::from(vec![7; 100]);
    let mut times = Vec::new();
    for _ in 0..ROUND_TRIPS {
        let begun = Instant::now();
        node.transport.send(ProcessId(0), &Frame { parts: vec![body.clone().into()], len: 100, urgent: false });
        while node.received() == 0 {
            node.turn();
        }
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    node.transport.close();
    far.join().unwrap();
    percentiles(times)
}

fn plain_latency() -> (f64, f64) {
    let (mut near, mut far) = plain_pair();
    let echo = thread::spawn(move || {
        let mut frame = [0; 112];
        while far.read_exact(&mut frame).is_ok() {
            far.write_all(&frame).unwrap();
        }
    });
    let mut times = Vec::new();
    let mut frame = [0; 112];
    for _ in 0..ROUND_TRIPS {
        let begun = Instant::now();
        near.write_all(&frame).unwrap();
        near.read_exact(&mut frame).unwrap();
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    drop(near);
    echo.join().unwrap();
    percentiles(times)
}

fn median(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

fn main() {
    println!("{:>9} {:>22} {:>28} {:>28}", "bytes", "plain MB/s", "transport, checksum", "transport, none");
    let mut sizes: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![4_096, 16_384, 65_536, 286_208, 1 << 20];
    }
    for size in sizes {
        let (mut plain, mut with, mut without) = (Vec::new(), Vec::new(), Vec::new());
        let mut counters = TransportCounters::default();
        for _ in 0..ROUNDS {
            plain.push(plain_rate(size));
            let (rate, counted) = transport_rate(size, true);
            with.push(rate);
            counters = counted;
            without.push(transport_rate(size, false).0);
        }
        let (plain, with, without) = (median(plain), median(with), median(without));
        let show = |(mid, low, high): (f64, f64, f64)| {
            format!("{mid:.0} ({low:.0}-{high:.0}) {:.0} %", mid / plain.0 * 100.0)
        };
        let calls = counters.receive_calls as f64 / counters.frames_in as f64;
        println!(
            "{size:>9} {:>22} {:>28} {:>28}   {calls:.2} receive calls per frame",
            format!("{:.0} ({:.0}-{:.0})", plain.0, plain.1, plain.2),
            show(with),
            show(without)
        );
    }
    let (mut plain, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        plain.push(plain_latency());
        ours.push(transport_latency(true));
    }
    let show = |of: &[(f64, f64)]| {
        let p50 = median(of.iter().map(|pair| pair.0).collect()).0;
        let p99 = median(of.iter().map(|pair| pair.1).collect()).0;
        format!("p50 {p50:.1} us, p99 {p99:.1} us")
    };
    println!("100 bytes there and back: plain {}; transport {}", show(&plain), show(&ours));
}
