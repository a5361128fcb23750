//! Suspended leaders, lost leadership, and runs that lost a log (contract sections 4 and 6): three replicas in
//! one thread whose links can be cut while the connections stay, as when a switch fails.

use std::collections::{BTreeSet, VecDeque};

use mako_raft::ids::{GroupId, PartitionId, ProcessId, RunId, Slot, Time};
use mako_raft::replica::message::PeerMessage;
use mako_raft::replica::output::{Delivery, DeliveryBody, Event, Gate, LaneItem, Leadership, Outputs, Severity};
use mako_raft::replica::payload::{ChunkWriter, Origin};
use mako_raft::replica::{wire, Limits, Replica, ReplicaConfig, Timing};
use raft::eraftpb::MessageType;

const P0: PartitionId = PartitionId(0);
const FIRST: Leadership = Leadership::Gained { first: true };
const AGAIN: Leadership = Leadership::Gained { first: false };

/// One replica with what its host would have seen.
struct Host {
    replica: Replica,
    origin: Origin,
    gate: Gate,
    told: Vec<Leadership>,
    /// Each log, and whether it went to the leader callback.
    delivered: Vec<(String, bool)>,
    lost: u32,
    warnings: Vec<String>,
}

/// Process 0 is designated and preferred.
struct Cluster {
    hosts: Vec<Host>,
    frames: VecDeque<(usize, usize, bytes::Bytes)>,
    /// Directions in which nothing arrives.
    cut: BTreeSet<(usize, usize)>,
    now: Time,
}

impl Cluster {
    /// Process 0 leads.
    fn formed() -> Self {
        let now = Time(1_000_000);
        let hosts = (0..3).map(|process| Host::new(process, now)).collect();
        let mut cluster = Self { hosts, frames: VecDeque::new(), cut: BTreeSet::new(), now };
        for (a, b) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
            let run = cluster.hosts[b].origin.run;
            cluster.hosts[a].replica.peer_up(ProcessId(b as u16), run);
        }
        cluster.run_ms(300);
        assert_eq!((cluster.hosts[0].gate, &cluster.hosts[0].told[..]), (Gate::Open, &[FIRST][..]));
        cluster
    }

    fn cut(&mut self, links: &[(usize, usize)]) {
        self.cut.extend(links.iter().flat_map(|&(a, b)| [(a, b), (b, a)]));
    }

    fn mend(&mut self, links: &[(usize, usize)]) {
        links.iter().for_each(|&(a, b)| self.cut.retain(|&way| way != (a, b) && way != (b, a)));
    }

    fn submit(&mut self, process: usize, log: &str) {
        let host = &mut self.hosts[process];
        let mut writer = ChunkWriter::new(host.origin, P0, 64);
        writer.push(log.as_bytes());
        host.replica.submit(writer.seal());
    }

    fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.now = self.now.plus_millis(10);
            let now = self.now;
            self.hosts.iter_mut().for_each(|host| host.replica.tick(now));
            self.settle();
        }
    }

    /// Passes frames until nobody has anything to say.
    fn settle(&mut self) {
        loop {
            for (from, host) in self.hosts.iter_mut().enumerate() {
                let sent = host.advance().into_iter().map(|(to, body)| (from, to, body));
                self.frames.extend(sent);
            }
            if self.frames.is_empty() {
                return;
            }
            while let Some((from, to, body)) = self.frames.pop_front() {
                if !self.cut.contains(&(from, to)) {
                    let (_, message) = wire::decode(body).unwrap();
                    self.hosts[to].replica.receive(ProcessId(from as u16), message);
                }
            }
        }
    }

    fn logs(&self, process: usize) -> Vec<&str> {
        self.hosts[process].delivered.iter().map(|(log, _)| log.as_str()).collect()
    }

    /// Which of the others leads, once 0 is out of reach.
    fn other_leader(&self) -> usize {
        let leader = (1..3).find(|&process| self.hosts[process].gate == Gate::Open);
        let gates: Vec<Gate> = self.hosts.iter().map(|host| host.gate).collect();
        leader.unwrap_or_else(|| panic!("none of the others leads: {gates:?}"))
    }
}

impl Host {
    fn new(process: u16, now: Time) -> Self {
        let origin = Origin { process: ProcessId(process), run: RunId(100 + u64::from(process)) };
        let config = ReplicaConfig {
            group: GroupId(0),
            me: origin.process,
            run: origin.run,
            voters: (0..3).map(ProcessId).collect(),
            learners: Vec::new(),
            partitions: vec![P0],
            designated: Some(ProcessId(0)),
            preferred: Some(ProcessId(0)),
            campaign_at_start: true,
            restore: None,
            durable: false,
            older: None,
            timing: Timing::default(),
            limits: Limits::default(),
            seed: origin.run.0,
            now,
        };
        Self {
            replica: Replica::new(config, None).unwrap(),
            origin,
            gate: Gate::Closed { leader: None },
            told: Vec::new(),
            delivered: Vec::new(),
            lost: 0,
            warnings: Vec::new(),
        }
    }

    /// One pass; the frames that it sends.
    fn advance(&mut self) -> Vec<(usize, bytes::Bytes)> {
        let mut out = Outputs::default();
        self.replica.advance(&mut out);
        for item in out.deliveries {
            match item {
                LaneItem::Lost { logs, .. } => self.lost += logs,
                LaneItem::Deliver(delivery) => self.deliver(&delivery),
            }
        }
        for event in out.events {
            match event {
                Event::Gate(gate) => self.gate = gate,
                Event::Leadership(change) => self.told.push(change),
                Event::Notice(Severity::Warning, text) => self.warnings.push(text),
                Event::Fatal(reason) => panic!("{}: {reason}", self.origin.process),
                _ => {}
            }
        }
        if self.gate == Gate::Hold {
            self.replica.intakes_drained();
        }
        let frame = |message| bytes::Bytes::from(wire::encode(GroupId(0), &message).joined());
        out.messages.into_iter().map(|(to, message)| (usize::from(to.0), frame(message))).collect()
    }

    fn deliver(&mut self, delivery: &Delivery) {
        let DeliveryBody::Logs(run) = &delivery.body else { panic!("these logs are short") };
        for (log, slot) in run.iter().map(|log| log.unwrap().bytes()).zip(delivery.first_slot.0..) {
            self.delivered.push((String::from_utf8(log.to_vec()).unwrap(), delivery.executed_here));
            self.replica.delivered(delivery.partition, Slot(slot));
        }
    }

    fn warned(&self, part: &str) -> usize {
        self.warnings.iter().filter(|warning| warning.contains(part)).count()
    }
}

#[test]
fn a_suspended_leader_keeps_logs_and_goes_on_with_them_without_an_announcement() {
    let mut cluster = Cluster::formed();
    cluster.cut(&[(0, 1), (0, 2), (1, 2)]);
    // With this in its log alone, nobody else can be elected.
    cluster.submit(0, "proposed");
    cluster.run_ms(1_500);
    assert_eq!((cluster.hosts[0].gate, cluster.hosts[0].replica.status().role), (Gate::Suspended, "suspended"));
    cluster.submit(0, "kept");
    cluster.run_ms(1_000);
    assert_eq!(cluster.hosts[0].lost, 0);
    cluster.mend(&[(0, 1), (0, 2)]);
    cluster.run_ms(2_500);
    assert_eq!(cluster.hosts[0].gate, Gate::Open);
    (0..3).for_each(|process| assert_eq!(cluster.logs(process), ["proposed", "kept"]));
    assert_eq!((&cluster.hosts[0].told[..], cluster.hosts[0].lost), (&[FIRST][..], 0));
}

#[test]
fn another_leadership_loses_what_was_not_proposed_and_the_log_decides_the_rest() {
    let mut cluster = Cluster::formed();
    // Reaches 1, which can't say so.
    cluster.cut.extend([(1, 0), (2, 0), (0, 2)]);
    cluster.submit(0, "reached one other");
    cluster.settle();
    cluster.cut(&[(0, 1), (0, 2)]);
    cluster.submit(0, "reached nobody");
    cluster.run_ms(1_500);
    cluster.submit(0, "never proposed");
    assert_eq!((cluster.other_leader(), cluster.hosts[0].lost), (1, 0), "another leads, and 0 can't know it");
    cluster.mend(&[(0, 1), (0, 2)]);
    cluster.run_ms(500);
    assert_eq!(cluster.hosts[0].told, [FIRST, Leadership::Lost]);
    assert_eq!(cluster.hosts[0].lost, 2);
    (0..3).for_each(|process| assert_eq!(cluster.logs(process), ["reached one other"]));
    assert!(cluster.hosts[0].delivered[0].1 && !cluster.hosts[1].delivered[0].1, "0 executed it");
    assert_eq!(cluster.hosts[0].replica.undecided_logs(), 0);
}

#[test]
fn a_run_that_lost_a_log_is_not_given_leadership_and_both_sides_say_why() {
    // The leader's last report of process 0 is from before the loss; what matters is when the next one comes.
    for moment_ms in (0..60).step_by(10) {
        let mut cluster = Cluster::formed();
        cluster.run_ms(moment_ms);
        cluster.cut(&[(0, 1), (0, 2)]);
        cluster.submit(0, "reached nobody");
        cluster.run_ms(1_500);
        let leader = cluster.other_leader();
        cluster.submit(leader, "executed by the other");
        cluster.mend(&[(0, 1), (0, 2)]);
        cluster.run_ms(10_000);
        let other = &cluster.hosts[leader];
        assert_eq!((&other.told[..], other.gate), (&[AGAIN][..], Gate::Open), "at {moment_ms} ms");
        assert!(other.warned("process 0 is the preferred leader, but its run lost logs") > 0, "{:?}", other.warnings);
        let former = &cluster.hosts[0];
        assert_eq!((&former.told[..], former.lost), (&[FIRST, Leadership::Lost][..], 1));
        assert_eq!(former.warned("not given leadership by preference"), 1, "{:?}", former.warnings);
        assert_eq!(cluster.logs(0), ["executed by the other"]);
    }
}

#[test]
fn a_preferred_process_that_lost_nothing_is_given_leadership_again() {
    let mut cluster = Cluster::formed();
    cluster.cut(&[(0, 1), (0, 2)]);
    cluster.run_ms(1_500);
    let leader = cluster.other_leader();
    cluster.submit(leader, "executed by the other");
    cluster.mend(&[(0, 1), (0, 2)]);
    cluster.run_ms(3_000);
    assert_eq!(cluster.hosts[0].told, [FIRST, Leadership::Lost, AGAIN]);
    assert_eq!(cluster.hosts[leader].told, [AGAIN, Leadership::Lost]);
    assert_eq!(cluster.hosts.iter().map(|host| host.lost).sum::<u32>(), 0);
    cluster.submit(0, "executed here");
    cluster.run_ms(100);
    (0..3).for_each(|process| assert_eq!(cluster.logs(process), ["executed by the other", "executed here"]));
}

#[test]
fn a_new_leader_does_not_hold_its_submitters_for_a_preferred_process_that_is_out_of_reach() {
    let mut cluster = Cluster::formed();
    cluster.cut(&[(0, 1), (0, 2)]);
    let mut gates = BTreeSet::new();
    for _ in 0..500 {
        cluster.run_ms(10);
        gates.extend(cluster.hosts[1..].iter().map(|host| format!("{:?}", host.gate)));
    }
    assert!(gates.contains("Open") && !gates.contains("Hold"), "{gates:?}");
}

#[test]
fn a_preference_for_nobody_leaves_leadership_where_it_is() {
    let mut cluster = Cluster::formed();
    // Asked of a follower, which forwards it.
    cluster.hosts[2].replica.set_preferred(None);
    cluster.run_ms(500);
    cluster.cut(&[(0, 1), (0, 2)]);
    cluster.run_ms(1_500);
    let leader = cluster.other_leader();
    cluster.mend(&[(0, 1), (0, 2)]);
    cluster.run_ms(5_000);
    assert_eq!(cluster.hosts[leader].told, [AGAIN]);
    assert_eq!(cluster.hosts[0].told, [FIRST, Leadership::Lost]);
}

fn has(frames: &[(usize, bytes::Bytes)], kind: MessageType) -> bool {
    frames.iter().any(|(_, body)| match wire::decode(body.clone()).unwrap() {
        (_, PeerMessage::Raft(_, message)) => message.get_msg_type() == kind,
        _ => false,
    })
}

/// Ticks without a leader's word until `host` campaigns, and what it sends then.
fn until_it_campaigns(host: &mut Host, mut now: Time) -> (u64, Vec<(usize, bytes::Bytes)>) {
    for ticks in 1..100 {
        now = now.plus_millis(10);
        host.replica.tick(now);
        let frames = host.advance();
        if has(&frames, MessageType::MsgRequestPreVote) {
            return (ticks, frames);
        }
    }
    panic!("it does not campaign");
}

/// A loop that wakes late finds its tick and another's campaign at once.
#[test]
fn who_is_due_to_campaign_first_reads_what_has_arrived() {
    let due = until_it_campaigns(&mut Cluster::formed().hosts[2], Cluster::formed().now).0;
    let Cluster { mut hosts, now, .. } = Cluster::formed();
    let asked = until_it_campaigns(&mut hosts[1], now).1;
    let at = |tick: u64| now.plus_millis(10 * tick);
    for tick in 1..due {
        hosts[2].replica.tick(at(tick));
        assert!(!has(&hosts[2].advance(), MessageType::MsgRequestPreVote));
    }
    hosts[2].replica.tick(at(due));
    for (_, body) in asked.into_iter().filter(|(to, _)| *to == 2) {
        hosts[2].replica.receive(ProcessId(1), wire::decode(body).unwrap().1);
    }
    let answer = hosts[2].advance();
    assert!(has(&answer, MessageType::MsgRequestPreVoteResponse) && !has(&answer, MessageType::MsgRequestPreVote));
}
