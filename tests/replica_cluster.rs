//! Three replicas in one thread, messages passed by hand: the shortest path through the replica room.
//! The simulator (`tests/simulation`) does the same under faults; this file is for reading.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use mako_raft::ids::{GroupId, MemberId, PartitionId, ProcessId, RunId, Slot, Time};
use mako_raft::replica::formation::Formation;
use mako_raft::replica::message::PeerMessage;
use mako_raft::replica::output::{Delivery, DeliveryBody, Event, Gate, LaneItem, Leadership, Outputs, WaitsFor, Write};
use mako_raft::replica::payload::{fragments, Chunk, ChunkWriter, Origin};
use mako_raft::replica::{wire, Limits, Recovered, Replica, ReplicaConfig, Timing};
use mako_raft::storage::OlderEntries;
use raft::eraftpb::{Entry, HardState};

const P0: PartitionId = PartitionId(0);
const P1: PartitionId = PartitionId(1);

#[derive(Debug, PartialEq, Eq, Clone)]
struct Delivered {
    slot: u64,
    bytes: Vec<u8>,
    executed_here: bool,
}

struct Host {
    replica: Replica,
    run: RunId,
    disk: Disk,
    gate: Gate,
    /// Accepted, and not taken by the replica yet.
    intake: Vec<Chunk>,
    told: Vec<Leadership>,
    delivered: BTreeMap<PartitionId, Vec<Delivered>>,
    /// Whose logs were delivered, one after the other.
    order: Vec<PartitionId>,
    lost: u32,
}

struct Cluster {
    hosts: BTreeMap<u16, Host>,
    queue: VecDeque<(u16, u16, bytes::Bytes)>,
    limits: Limits,
    now: Time,
    runs: u64,
    /// Nothing comes to it, nothing from it arrives.
    cut_off: Option<u16>,
    /// Its log is on a disk, which takes no time. The others' are in memory.
    durable: Option<u16>,
    /// Whom the files of a process prefer, where that is not process 0.
    prefers: BTreeMap<u16, u16>,
}

/// All that a replica has written.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Written>>);

#[derive(Clone, Default)]
struct Written {
    membership: Option<(Formation, MemberId)>,
    hard_state: HardState,
    entries: Vec<Entry>,
}

impl Disk {
    fn write(&self, write: Write) {
        let mut disk = self.0.lock().unwrap();
        disk.membership = write.membership.or(disk.membership.take());
        disk.hard_state = write.hard_state.unwrap_or(disk.hard_state.clone());
        for entry in write.entries {
            disk.entries.truncate(entry.index as usize - 1);
            disk.entries.push(entry);
        }
    }

    /// Loses the last entries, and that they were committed.
    fn keep_first(&self, count: u64) {
        let mut disk = self.0.lock().unwrap();
        disk.entries.truncate(count as usize);
        disk.hard_state.commit = disk.hard_state.commit.min(count);
    }

    fn recovered(&self) -> Option<Recovered> {
        let Written { membership, hard_state, entries } = self.0.lock().unwrap().clone();
        let (formation, member) = membership?;
        let last_index = entries.len() as u64;
        Some(Recovered { formation, member, hard_state, last_index, tail: Vec::new(), older: None })
    }
}

impl OlderEntries for Disk {
    fn read(&self, low: u64, high: u64, max_bytes: u64) -> std::io::Result<Vec<Entry>> {
        let mut left = max_bytes;
        let fits = |entry: &&Entry| {
            let first = entry.index == low;
            let fits = left.checked_sub(entry.data.len() as u64);
            left = fits.unwrap_or(0);
            first || fits.is_some()
        };
        Ok(self.0.lock().unwrap().entries[low as usize - 1..high as usize - 1].iter().take_while(fits).cloned().collect())
    }

    fn term(&self, index: u64) -> std::io::Result<u64> {
        Ok(self.0.lock().unwrap().entries[index as usize - 1].term)
    }
}

impl Cluster {
    fn new() -> Self {
        Self { hosts: BTreeMap::new(), queue: VecDeque::new(), limits: Limits::default(), now: Time(1_000_000), runs: 0, cut_off: None, durable: None, prefers: BTreeMap::new() }
    }

    fn start(&mut self, process: u16) {
        self.start_with(process, Disk::default());
    }

    fn start_with(&mut self, process: u16, disk: Disk) {
        self.runs += 1;
        let run = RunId(self.runs);
        let is_durable = self.durable == Some(process);
        let config = ReplicaConfig {
            group: GroupId(0),
            me: ProcessId(process),
            run,
            voters: (0..3).map(ProcessId).collect(),
            learners: vec![ProcessId(3)],
            partitions: vec![P0, P1],
            designated: Some(ProcessId(0)),
            preferred: Some(ProcessId(self.prefers.get(&process).copied().unwrap_or(0))),
            campaign_at_start: true,
            restore: None,
            durable: is_durable,
            older: is_durable.then(|| Box::new(disk.clone()) as Box<dyn OlderEntries>),
            timing: Timing::default(),
            limits: self.limits.clone(),
            seed: self.runs,
            now: self.now,
        };
        let host = Host {
            replica: Replica::new(config, disk.recovered().filter(|_| is_durable)).unwrap(),
            run,
            disk,
            gate: Gate::Closed { leader: None },
            intake: Vec::new(),
            told: Vec::new(),
            delivered: BTreeMap::new(),
            order: Vec::new(),
            lost: 0,
        };
        let others: Vec<(u16, RunId)> = self.hosts.iter().map(|(&p, h)| (p, h.run)).collect();
        self.hosts.insert(process, host);
        for (other, other_run) in others {
            self.hosts.get_mut(&process).unwrap().replica.peer_up(ProcessId(other), other_run);
            self.hosts.get_mut(&other).unwrap().replica.peer_up(ProcessId(process), run);
        }
    }

    fn kill(&mut self, process: u16) {
        self.hosts.remove(&process);
        self.queue.retain(|(from, to, _)| *from != process && *to != process);
        for host in self.hosts.values_mut() {
            host.replica.peer_down(ProcessId(process));
        }
    }

    fn settle(&mut self) {
        loop {
            let processes: Vec<u16> = self.hosts.keys().copied().collect();
            for process in processes {
                self.advance(process);
            }
            if self.queue.is_empty() {
                return;
            }
            while let Some((from, to, body)) = self.queue.pop_front() {
                if [from, to].map(Some).contains(&self.cut_off) {
                    continue;
                }
                if let Some(host) = self.hosts.get_mut(&to) {
                    let (group, message) = wire::decode(body).unwrap();
                    assert_eq!(group, GroupId(0));
                    host.replica.receive(ProcessId(from), message);
                }
            }
        }
    }

    fn advance(&mut self, process: u16) {
        let host = self.hosts.get_mut(&process).unwrap();
        let mut out = Outputs::default();
        host.replica.advance(&mut out);
        for (to, message) in out.messages {
            let frame = wire::encode(GroupId(0), &message);
            self.queue.push_back((process, to.0, frame.joined().into()));
        }
        for write in out.writes {
            let id = write.id;
            host.disk.write(write);
            host.replica.persisted(id);
        }
        for item in out.deliveries {
            match item {
                LaneItem::Lost { logs, .. } => host.lost += logs,
                LaneItem::Deliver(delivery) => host.deliver(delivery),
            }
        }
        for event in out.events {
            match event {
                Event::Gate(gate) => {
                    host.gate = gate;
                    if matches!(gate, Gate::Closed { .. }) {
                        host.intake.drain(..).for_each(|chunk| host.replica.surrender(chunk));
                    }
                    if gate == Gate::Hold {
                        host.replica.intakes_drained();
                    }
                }
                Event::Leadership(change) => host.told.push(change),
                Event::Fatal(reason) => panic!("process {process}: {reason}"),
                _ => {}
            }
        }
    }

    /// Ten milliseconds pass, and nothing arrives yet.
    fn tick_all(&mut self) {
        self.now = self.now.plus_millis(10);
        let now = self.now;
        self.hosts.values_mut().for_each(|host| host.replica.tick(now));
    }

    /// The next message that is under way, once everybody has done what there is to do.
    fn next_message(&mut self) -> Option<(u16, u16, PeerMessage)> {
        let processes: Vec<u16> = self.hosts.keys().copied().collect();
        processes.into_iter().for_each(|process| self.advance(process));
        let (from, to, body) = self.queue.pop_front()?;
        Some((from, to, wire::decode(body).unwrap().1))
    }

    fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.now = self.now.plus_millis(10);
            for host in self.hosts.values_mut() {
                host.replica.tick(self.now);
                host.intake.drain(..).for_each(|chunk| host.replica.submit(chunk));
            }
            self.settle();
        }
    }

    /// As [`Self::run_ms`], but each process sleeps as long as its replica allows or until a message comes. Returns how often
    /// the clock alone woke each of them.
    fn run_asleep_ms(&mut self, ms: u64) -> BTreeMap<u16, u64> {
        let (mut slept, mut woken): (BTreeMap<u16, u32>, BTreeMap<u16, u64>) = Default::default();
        for _ in 0..ms / 10 {
            self.now = self.now.plus_millis(10);
            for (&process, host) in &mut self.hosts {
                let slept = slept.entry(process).or_default();
                *slept += 1;
                if *slept >= host.replica.ticks_until_due() {
                    host.replica.pass_ticks(self.now, std::mem::take(slept));
                    *woken.entry(process).or_default() += 1;
                }
            }
            loop {
                self.hosts.keys().copied().collect::<Vec<_>>().into_iter().for_each(|process| self.advance(process));
                let Some((from, to, body)) = self.queue.pop_front() else { break };
                let Some(host) = self.hosts.get_mut(&to) else { continue };
                if let Some(ticks @ 1..) = slept.get_mut(&to).map(std::mem::take) {
                    host.replica.pass_ticks(self.now, ticks);
                }
                host.replica.receive(ProcessId(from), wire::decode(body).unwrap().1);
            }
        }
        woken
    }

    fn submit(&mut self, process: u16, partition: PartitionId, logs: &[&[u8]]) {
        self.submit_to_intake(process, partition, logs);
        let host = self.hosts.get_mut(&process).unwrap();
        host.intake.drain(..).for_each(|chunk| host.replica.submit(chunk));
    }

    fn submit_to_intake(&mut self, process: u16, partition: PartitionId, logs: &[&[u8]]) {
        let host = self.hosts.get_mut(&process).unwrap();
        let origin = Origin { process: ProcessId(process), run: host.run };
        let mut writer = ChunkWriter::new(origin, partition, 64);
        logs.iter().for_each(|log| writer.push(log));
        host.intake.push(writer.seal());
    }

    fn streams(&self, process: u16) -> BTreeMap<PartitionId, Vec<(u64, Vec<u8>)>> {
        let strip = |d: &Delivered| (d.slot, d.bytes.clone());
        self.hosts[&process].delivered.iter().map(|(&p, s)| (p, s.iter().map(strip).collect())).collect()
    }
}

impl Host {
    fn deliver(&mut self, delivery: Delivery) {
        let stream = self.delivered.entry(delivery.partition).or_default();
        let logs: Vec<Vec<u8>> = match &delivery.body {
            DeliveryBody::Logs(run) => run.iter().map(|log| log.unwrap().bytes().to_vec()).collect(),
            DeliveryBody::Joined { fragments, .. } => vec![fragments.concat()],
        };
        for (bytes, slot) in logs.into_iter().zip(delivery.first_slot.0..) {
            stream.push(Delivered { slot, bytes, executed_here: delivery.executed_here });
            self.order.push(delivery.partition);
            self.replica.delivered(delivery.partition, Slot(slot));
        }
    }
}

fn formed() -> Cluster {
    formed_within(Limits::default())
}

fn formed_within(limits: Limits) -> Cluster {
    let mut cluster = Cluster { limits, ..Cluster::new() };
    (0..3).for_each(|p| cluster.start(p));
    cluster.run_ms(300);
    assert_eq!(cluster.hosts[&0].gate, Gate::Open);
    cluster
}

#[test]
fn the_designated_process_leads_within_half_a_second_and_every_log_reaches_everyone_in_order() {
    let mut cluster = formed();
    assert_eq!(cluster.hosts[&0].told, [Leadership::Gained { first: true }]);
    cluster.submit(0, P0, &[b"a", b"", b"c"]);
    cluster.submit(0, P1, &[b"x"]);
    cluster.run_ms(100);
    for process in 0..3 {
        let streams = cluster.streams(process);
        assert_eq!(streams[&P0], [(1, b"a".to_vec()), (2, vec![]), (3, b"c".to_vec())]);
        assert_eq!(streams[&P1], [(1, b"x".to_vec())]);
        assert!(cluster.hosts[&process].delivered[&P0].iter().all(|d| d.executed_here == (process == 0)));
    }
}

#[test]
fn early_logs_of_the_designated_process_are_kept_until_it_leads() {
    let mut cluster = Cluster::new();
    cluster.start(0);
    cluster.run_ms(1_000);
    assert_eq!(cluster.hosts[&0].gate, Gate::Queue);
    cluster.submit(0, P0, &[b"early"]);
    cluster.start(1);
    cluster.run_ms(500);
    assert_eq!(cluster.streams(1)[&P0], [(1, b"early".to_vec())]);
}

#[test]
fn a_survivor_leads_after_the_leader_died_and_the_former_leader_returns_with_nothing_and_leads_again() {
    let mut cluster = formed();
    cluster.submit(0, P0, &[b"one"]);
    cluster.run_ms(50);
    cluster.kill(0);
    cluster.run_ms(1_500);
    let leader = (1..3).find(|p| cluster.hosts[p].gate == Gate::Open).expect("a survivor leads");
    cluster.submit(leader, P0, &[b"two"]);
    cluster.run_ms(100);
    cluster.start(0);
    cluster.run_ms(3_000);
    assert_eq!(cluster.hosts[&0].gate, Gate::Open, "{:?}", cluster.hosts[&0].replica.status());
    let expected = vec![(1, b"one".to_vec()), (2, b"two".to_vec())];
    (0..3).for_each(|p| assert_eq!(cluster.streams(p)[&P0], expected));
    assert_eq!(cluster.hosts[&leader].told.last(), Some(&Leadership::Lost));
    assert_eq!(cluster.hosts[&0].replica.status().voters.len(), 3);
    assert_eq!(cluster.hosts.values().map(|h| h.lost).sum::<u32>(), 0);
}

#[test]
fn who_asks_for_leadership_as_it_learns_of_its_loss_takes_no_log_of_the_former_one_into_the_next() {
    let mut cluster = formed();
    cluster.cut_off = Some(0);
    cluster.run_ms(2_000);
    assert_eq!(cluster.hosts[&0].gate, Gate::Suspended, "suspended");
    let successor = (1..3).find(|p| cluster.hosts[p].gate == Gate::Open).expect("another leads");
    cluster.submit(0, P0, &[b"of the former leadership"]);
    cluster.submit_to_intake(0, P0, &[b"of the former leadership, too"]);
    while cluster.queue.iter().filter(|(_, to, _)| *to == 0).count() < 5 {
        cluster.now = cluster.now.plus_millis(10);
        cluster.hosts.get_mut(&successor).unwrap().replica.tick(cluster.now);
        cluster.advance(successor);
    }
    // In one turn: the successor's heartbeats, then the host's wish.
    let host = cluster.hosts.get_mut(&0).unwrap();
    for (from, _, said) in cluster.queue.drain(..).filter(|(_, to, _)| *to == 0) {
        host.replica.receive(ProcessId(from), wire::decode(said).unwrap().1);
    }
    host.replica.seek_leadership().expect("it votes");
    cluster.advance(0);
    cluster.advance(0);
    let host = &cluster.hosts[&0];
    assert_eq!((host.gate, host.told.last(), host.lost), (Gate::Queue, Some(&Leadership::Lost), 2));
    cluster.submit(0, P0, &[b"for the leadership that was asked for"]);
    cluster.advance(0);
    let host = &cluster.hosts[&0];
    assert_eq!((host.lost, host.replica.undecided_logs()), (2, 1));
}

#[test]
fn a_run_that_lost_logs_is_given_leadership_only_where_it_is_to_lead_all_the_same() {
    let mut cluster = formed();
    cluster.hosts.get_mut(&1).unwrap().replica.lost_in_another_group();
    cluster.run_ms(200);
    cluster.hosts.get_mut(&0).unwrap().replica.set_companion(Some(ProcessId(1)));
    cluster.run_ms(2_000);
    assert_eq!(cluster.hosts[&0].gate, Gate::Open);
    cluster.hosts.get_mut(&1).unwrap().replica.set_leads_despite_loss(true);
    cluster.run_ms(500);
    assert_eq!(cluster.hosts[&1].gate, Gate::Open);
}

/// Reports of a former leadership are forgotten, and the first of this one come with a heartbeat.
#[test]
fn an_heir_is_hoped_for_until_every_voter_in_reach_has_said_that_it_lost_logs() {
    let mut cluster = Cluster::new();
    (0..3).for_each(|process| cluster.start(process));
    let leads = |cluster: &Cluster| cluster.hosts[&0].replica.status().role == "leader";
    assert!((0..100).any(|_| leads(&cluster) || { cluster.run_ms(10); false }), "within a second");
    let hopes = |cluster: &Cluster| cluster.hosts[&0].replica.hopes_for_an_heir();
    assert!(cluster.hosts[&0].replica.ready_heirs().is_empty(), "nobody has reported");
    assert!(hopes(&cluster));
    cluster.hosts.get_mut(&1).unwrap().replica.lost_in_another_group();
    cluster.run_ms(200);
    assert_eq!(cluster.hosts[&0].replica.ready_heirs(), [ProcessId(2)]);
    assert!(hopes(&cluster));
    cluster.hosts.get_mut(&2).unwrap().replica.lost_in_another_group();
    cluster.run_ms(200);
    assert!(!hopes(&cluster));
    assert!(!cluster.hosts[&1].replica.hopes_for_an_heir(), "it does not lead");
}

/// Such a group may be led by one that is out of reach: a member that sees no majority need not know all members of now.
#[test]
fn a_group_is_without_a_leader_also_for_who_sees_no_majority_in_it() {
    let mut cluster = formed();
    let lacks_leader = |cluster: &Cluster| cluster.hosts[&1].replica.lacks_leader();
    assert!(!lacks_leader(&cluster));
    cluster.kill(0);
    cluster.kill(2);
    cluster.run_ms(1_000);
    assert_eq!(cluster.hosts[&1].replica.waits_for(), WaitsFor::Majority);
    assert!(lacks_leader(&cluster));
}

#[test]
fn one_group_of_several_is_handed_over_with_what_is_queued_for_all_of_them() {
    let mut cluster = Cluster::new();
    (0..3).for_each(|process| {
        cluster.start(process);
        cluster.hosts.get_mut(&process).unwrap().replica.be_one_of_several();
    });
    cluster.run_ms(500);
    assert_eq!(cluster.hosts[&0].replica.status().role, "leader");
    cluster.submit(0, P0, &[b"early"]);
    cluster.run_ms(100);
    assert_eq!((cluster.hosts[&0].gate, cluster.hosts[&0].replica.undecided_logs()), (Gate::Queue, 1));
    (0..3).for_each(|p| cluster.hosts.get_mut(&p).unwrap().replica.set_companion(Some(ProcessId(2))));
    cluster.run_ms(20_000);
    assert_eq!(cluster.hosts[&2].replica.status().role, "leader");
    assert_eq!((cluster.hosts[&0].gate, cluster.hosts[&0].lost), (Gate::Queue, 0), "and nobody leads all of them");
    assert!(cluster.hosts.values().all(|host| host.told.is_empty()));
    (0..3).for_each(|p| cluster.hosts.get_mut(&p).unwrap().replica.set_companion(None));
    cluster.run_ms(1_000);
    let host = cluster.hosts.get_mut(&0).unwrap();
    assert!(host.replica.could_announce());
    host.replica.announce();
    cluster.run_ms(100);
    assert_eq!(cluster.hosts[&0].told, [Leadership::Gained { first: true }]);
    assert!((0..3).all(|process| cluster.streams(process)[&P0] == [(1, b"early".to_vec())]));
}

#[test]
fn a_learner_receives_everything_and_a_long_log_arrives_whole() {
    let mut cluster = formed();
    cluster.start(3);
    let long: Vec<u8> = (0..=255u8).cycle().take(3_000_000).collect();
    let host = cluster.hosts.get_mut(&0).unwrap();
    let origin = Origin { process: ProcessId(0), run: host.run };
    fragments(origin, P1, &long, 512 << 10).for_each(|chunk| host.replica.submit(chunk));
    cluster.submit(0, P0, &[b"beside"]);
    cluster.run_ms(1_000);
    for process in 0..4 {
        assert_eq!(cluster.streams(process)[&P1], [(1, long.clone())]);
        assert_eq!(cluster.streams(process)[&P0].len(), 1);
    }
    assert_eq!(cluster.hosts[&0].replica.status().learners, [ProcessId(3)]);
}

#[test]
fn small_logs_of_another_partition_pass_a_log_of_fifty_megabytes() {
    let mut cluster = formed();
    let host = cluster.hosts.get_mut(&0).unwrap();
    let origin = Origin { process: ProcessId(0), run: host.run };
    // All of it waits already, and is more than may be in flight.
    let long = vec![7; 50_000_000];
    fragments(origin, P1, &long, 512 << 10).for_each(|chunk| host.replica.submit(chunk));
    (0..20).for_each(|_| cluster.submit(0, P0, &[b"beside"]));
    cluster.run_ms(1_000);
    for process in 0..3 {
        let order = &cluster.hosts[&process].order;
        assert_eq!(*order, [vec![P0; 20], vec![P1]].concat(), "process {process}");
    }
}

#[test]
fn a_late_third_replica_is_admitted_and_then_votes() {
    let mut cluster = Cluster::new();
    cluster.start(0);
    cluster.start(1);
    cluster.run_ms(500);
    cluster.submit(0, P0, &[b"before"]);
    cluster.run_ms(100);
    cluster.start(2);
    cluster.run_ms(1_000);
    assert_eq!(cluster.streams(2)[&P0], [(1, b"before".to_vec())]);
    cluster.kill(1);
    cluster.submit(0, P0, &[b"after"]);
    cluster.run_ms(300);
    assert_eq!(cluster.streams(2)[&P0].len(), 2);
}

#[test]
fn a_quiet_shard_wakes_for_heartbeats_only_and_campaigns_no_later_for_it() {
    let mut cluster = formed();
    cluster.submit(0, P0, &[b"one"]);
    cluster.run_ms(1_000);
    let term = cluster.hosts[&0].replica.status().term;
    let woken = cluster.run_asleep_ms(10_000);
    let heartbeats = 10_000 / Timing::default().heartbeat_ms;
    assert!((heartbeats - 1..=heartbeats + 1).contains(&woken[&0]), "the leader: {woken:?}");
    assert!((1..3).all(|p| woken.get(&p).is_none_or(|&n| n <= heartbeats)), "the followers: {woken:?}");
    assert_eq!(cluster.hosts[&0].replica.status().term, term, "nobody missed a heartbeat");
    assert_eq!(cluster.hosts[&0].gate, Gate::Open);

    cluster.submit(0, P0, &[b"two"]);
    assert_eq!(cluster.hosts[&0].replica.ticks_until_due(), 1, "something happens");
    cluster.run_asleep_ms(5_000);
    (0..3).for_each(|p| assert_eq!(cluster.streams(p)[&P0].len(), 2));
    assert!((0..3).all(|p| cluster.hosts[&p].replica.ticks_until_due() > 1), "quiet again");

    // It falls silent, and nobody hears that it is gone.
    let silent = cluster.hosts.remove(&0).unwrap();
    let least = Timing::default().election_ms - Timing::default().heartbeat_ms;
    cluster.run_asleep_ms(least - 20);
    assert!((1..3).all(|p| cluster.hosts[&p].replica.status().term == term), "too early");
    cluster.run_asleep_ms(2 * Timing::default().election_ms - least + 20);
    assert!((1..3).any(|p| cluster.hosts[&p].replica.status().term > term), "too late");
    drop(silent);
}

#[test]
fn a_commit_index_waits_for_the_next_log_while_logs_come_closely_and_is_told_when_none_comes() {
    let mut cluster = formed();
    let wait_us = Timing::default().commit_wait_us;
    // A turn of the leader's loop so many microseconds later, with a log or without; then whether a commit index waits.
    let turn = |cluster: &mut Cluster, later_us: u64, log: Option<&[u8]>| {
        cluster.now = Time(cluster.now.0 + later_us);
        let now = cluster.now;
        cluster.hosts.get_mut(&0).unwrap().replica.begin_turn(now);
        log.into_iter().for_each(|log| cluster.submit(0, P0, &[log]));
        cluster.settle();
        cluster.hosts[&0].replica.commit_due()
    };
    let delivered = |cluster: &Cluster| [0, 1, 2].map(|p| cluster.hosts[&p].delivered[&P0].len());

    assert_eq!(turn(&mut cluster, 0, Some(b"a log of its own")), None);
    assert_eq!(delivered(&cluster), [1, 1, 1]);
    turn(&mut cluster, wait_us / 2, Some(b"the next, close behind it"));
    let due = Time(cluster.now.0 + wait_us / 2 + wait_us);
    assert_eq!(turn(&mut cluster, wait_us / 2, Some(b"and another")), Some(due));
    assert_eq!(delivered(&cluster), [3, 2, 2], "the leader's host is told at once");
    turn(&mut cluster, wait_us / 2, Some(b"which tells of the one before"));
    assert_eq!(delivered(&cluster), [4, 3, 3]);
    turn(&mut cluster, wait_us - 1, None);
    assert_eq!(delivered(&cluster), [4, 3, 3], "not yet");
    assert_eq!(turn(&mut cluster, 1, None), None);
    assert_eq!(delivered(&cluster), [4, 4, 4], "none came");
    assert_eq!(turn(&mut cluster, 1, Some(b"a new beginning")), None);
    assert_eq!(delivered(&cluster), [5, 5, 5]);

    turn(&mut cluster, 1, Some(b"close again"));
    turn(&mut cluster, 1, Some(b"the last"));
    assert_eq!(delivered(&cluster), [7, 6, 6]);
    cluster.hosts.get_mut(&0).unwrap().replica.say_goodbye();
    cluster.settle();
    assert_eq!(delivered(&cluster), [7, 7, 7], "who leaves lets nobody wait");
    assert_eq!(turn(&mut cluster, 1, None), None);
}

#[test]
fn with_a_log_at_its_bound_room_is_made_as_fast_as_the_others_deliver() {
    let limit = 64 << 10;
    let mut cluster = formed_within(Limits { log_memory_bytes: limit, ..Limits::default() });
    // A quarter of the log each tick, five ticks between two heartbeats.
    let log = vec![7; limit / 4 - 500];
    for submitted in 1..=100 {
        cluster.submit(0, P0, &[&log]);
        cluster.run_ms(10);
        let delivered = cluster.hosts[&0].delivered[&P0].len();
        assert_eq!(delivered, submitted, "{:?}", cluster.hosts[&0].replica.status());
    }
    assert!(cluster.hosts[&0].replica.status().log_bytes <= limit);
}

/// A leader with its log on disk keeps nothing for others. Those whose log is in memory wait for its word all the same.
#[test]
fn logs_in_memory_are_bounded_beside_a_leader_with_its_log_on_disk() {
    let limit = 256 << 10;
    let limits = Limits { log_memory_bytes: limit, ..Limits::default() };
    let mut cluster = Cluster { limits, durable: Some(0), ..Cluster::new() };
    (0..3).for_each(|process| cluster.start(process));
    cluster.run_ms(500);
    let log = vec![7; 10 << 10];
    for submitted in 1..=200 {
        cluster.submit(0, P0, &[&log]);
        cluster.run_ms(50);
        let states: Vec<_> = cluster.hosts.values().map(|host| host.replica.status()).collect();
        assert!(states.iter().all(|status| status.log_bytes <= limit), "after {submitted}: {states:?}");
    }
    assert!(cluster.hosts.values().all(|host| host.delivered[&P0].len() == 200), "and nobody was refused anything");
    // One that is back with nothing gets all of it from that disk, and does not keep it.
    cluster.kill(2);
    cluster.run_ms(500);
    cluster.start(2);
    cluster.run_ms(1_000);
    let host = &cluster.hosts[&2];
    assert_eq!(host.delivered[&P0].len(), 200);
    assert!(host.replica.status().log_bytes <= limit, "{:?}", host.replica.status());
}

/// As while the files change, one process at a time.
#[test]
fn two_processes_that_prefer_each_other_do_not_pass_leadership_on_and_on() {
    let mut cluster = Cluster { prefers: BTreeMap::from([(0, 1)]), ..Cluster::new() };
    (0..3).for_each(|process| cluster.start(process));
    cluster.run_ms(10_000);
    let gained = |process| cluster.hosts[&process].told.iter().filter(|&&told| told != Leadership::Lost).count();
    let (first, second) = (gained(0), gained(1));
    assert!(first > 0 && second > 0, "each prefers the other");
    assert!(first + second < 16, "{first} and {second} leaderships in ten seconds");
    cluster.run_ms(180_000);
    let gained = |process| cluster.hosts[&process].told.iter().filter(|&&told| told != Leadership::Lost).count();
    assert!(gained(0) + gained(1) < 40, "{} and {} leaderships in three minutes", gained(0), gained(1));
}

/// An older copy of its data directory, or a power cut where nothing was synced. That the leader's own log is in memory says
/// nothing of what others may come back with.
#[test]
fn a_leader_with_its_log_in_memory_asks_anew_who_comes_back_from_a_disk() {
    let mut cluster = Cluster { durable: Some(2), ..Cluster::new() };
    (0..3).for_each(|process| cluster.start(process));
    cluster.run_ms(500);
    (0..20).for_each(|_| cluster.submit(0, P0, &[b"log"]));
    cluster.run_ms(200);
    let disk = cluster.hosts[&2].disk.clone();
    cluster.kill(2);
    cluster.run_ms(100);
    disk.keep_first(10);
    cluster.start_with(2, disk);
    cluster.run_ms(1_000);
    assert_eq!(cluster.hosts[&2].delivered[&P0].len(), 20);
}

/// The line from the leader to a follower: so slow that what is sent waits in a queue with a bound, as in the transport.
#[derive(Default)]
struct SlowLine {
    queue: VecDeque<(usize, PeerMessage)>,
    queued_bytes: usize,
    budget: usize,
    dropped: usize,
    carried: usize,
}

impl SlowLine {
    const BYTES_PER_TICK: usize = 48 << 10;
    const BOUND: usize = 64 << 20;

    fn send(&mut self, host: &mut Host, to: ProcessId, message: PeerMessage) {
        let length = wire::encode(GroupId(0), &message).joined().len();
        if self.queued_bytes + length > Self::BOUND {
            self.dropped += 1;
            return host.replica.not_sent(to, &message);
        }
        self.queued_bytes += length;
        self.queue.push_back((length, message));
    }

    /// What arrives within a tick.
    fn tick(&mut self) -> Vec<PeerMessage> {
        self.budget += Self::BYTES_PER_TICK;
        let mut arrived = Vec::new();
        while self.queue.front().is_some_and(|(length, _)| *length <= self.budget) {
            let (length, message) = self.queue.pop_front().unwrap();
            self.budget -= length;
            self.queued_bytes -= length;
            self.carried += length;
            arrived.push(message);
        }
        if self.queue.is_empty() {
            self.budget = 0;
        }
        arrived
    }
}

#[test]
fn a_follower_behind_a_slow_line_catches_up_at_the_pace_of_the_line() {
    const LOGS: usize = 90;
    let mut cluster = formed();
    cluster.kill(2);
    let log = vec![7; 1_000_000];
    for _ in 0..LOGS {
        let host = cluster.hosts.get_mut(&0).unwrap();
        let origin = Origin { process: ProcessId(0), run: host.run };
        fragments(origin, P0, &log, 512 << 10).for_each(|chunk| host.replica.submit(chunk));
        cluster.run_ms(10);
    }
    cluster.start(2);
    let (mut line, mut ticks) = (SlowLine::default(), 0);
    let is_payload = |message: &PeerMessage| {
        matches!(message, PeerMessage::Raft(_, m) if !m.entries.is_empty())
    };
    while cluster.hosts[&2].delivered.get(&P0).map_or(0, Vec::len) < LOGS {
        ticks += 1;
        assert!(ticks < 20_000, "{} logs, {} messages dropped", cluster.hosts[&2].delivered[&P0].len(), line.dropped);
        cluster.tick_all();
        for message in line.tick() {
            cluster.hosts.get_mut(&2).unwrap().replica.receive(ProcessId(0), message);
        }
        while let Some((from, to, message)) = cluster.next_message() {
            if (from, to) == (0, 2) && is_payload(&message) {
                line.send(cluster.hosts.get_mut(&0).unwrap(), ProcessId(2), message);
                continue;
            }
            let host = cluster.hosts.get_mut(&to).unwrap();
            if message.answers_a_heartbeat() {
                host.replica.set_backlog(ProcessId(from), from == 2 && !line.queue.is_empty());
            }
            host.replica.receive(ProcessId(from), message);
        }
    }
    let needed = LOGS * log.len();
    assert!(line.carried < needed + needed / 4, "{} bytes for {needed}, {} messages dropped", line.carried, line.dropped);
}

/// The other groups of a process may have filled the line: a whole window is then dropped, and nothing is on the way that an
/// acknowledgement could come for.
#[test]
fn a_window_that_was_dropped_whole_is_not_waited_for() {
    let mut cluster = formed_within(Limits { in_flight_messages: 4, message_bytes: 1_000, ..Limits::default() });
    let delivered = |cluster: &Cluster| cluster.hosts[&2].delivered.get(&P0).map_or(0, Vec::len);
    let (mut line_is_full, mut dropped) = (true, 0);
    for round in 0..40 {
        if round == 20 {
            assert!(dropped >= 4, "the window was sent");
            line_is_full = false;
        }
        cluster.submit(0, P0, &[&[7; 900]]);
        cluster.tick_all();
        while let Some((from, to, message)) = cluster.next_message() {
            let is_payload = matches!(&message, PeerMessage::Raft(_, m) if !m.entries.is_empty());
            if (from, to) == (0, 2) && is_payload && line_is_full {
                dropped += 1;
                cluster.hosts.get_mut(&0).unwrap().replica.not_sent(ProcessId(2), &message);
                continue;
            }
            let host = cluster.hosts.get_mut(&to).unwrap();
            if message.answers_a_heartbeat() {
                // The other groups go on using the line.
                host.replica.set_backlog(ProcessId(from), from == 2);
            }
            host.replica.receive(ProcessId(from), message);
        }
    }
    // The last commit index may be on its way.
    assert!(delivered(&cluster) >= 39, "{} of 40, {dropped} messages dropped", delivered(&cluster));
}

#[test]
fn who_formed_a_moment_ago_does_not_go_on_alone_while_the_others_are_about_to_be_members() {
    let mut cluster = Cluster::new();
    (0..3).for_each(|process| cluster.start(process));
    // What would make the others members is on its way for as long as this takes.
    let makes_a_member = |message: &PeerMessage| match message {
        PeerMessage::Welcome(..) => true,
        PeerMessage::Standing(standing) => standing.member.is_some(),
        _ => false,
    };
    let is_member = |cluster: &Cluster, process: u16| cluster.hosts[&process].replica.status().member.is_some();
    for _ in 0..1_000 {
        if is_member(&cluster, 0) {
            break;
        }
        cluster.tick_all();
        while let Some((from, to, message)) = cluster.next_message() {
            if !makes_a_member(&message) {
                cluster.hosts.get_mut(&to).unwrap().replica.receive(ProcessId(from), message);
            }
        }
    }
    assert_eq!([0, 1, 2].map(|process| is_member(&cluster, process)), [true, false, false]);
    let refused = cluster.hosts.get_mut(&0).unwrap().replica.restore_alone().unwrap_err();
    assert!(refused.contains("the first election is still to come"), "{refused}");
    cluster.kill(1);
    cluster.kill(2);
    cluster.run_ms(1_500);
    assert_eq!(cluster.hosts.get_mut(&0).unwrap().replica.restore_alone(), Ok(()), "they are gone");
}
