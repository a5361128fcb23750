//! What is only on disk any more: a member that starts again applies it at the pace of its callbacks, and a leader reads it
//! for a follower a little at a time. Neither may take memory or time by the length of the log.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

use mako_raft::ids::{GroupId, MemberId, PartitionId, ProcessId, RunId, Slot, Time};
use mako_raft::replica::formation::{Formation, Member};
use mako_raft::replica::message::{PeerMessage, Standing};
use mako_raft::replica::output::{Delivery, DeliveryBody, Event, Gate, LaneItem, Outputs, WaitsFor};
use mako_raft::replica::payload::{ChunkWriter, Origin};
use mako_raft::replica::{Limits, Recovered, Replica, ReplicaConfig, Timing};
use mako_raft::storage::OlderEntries;
use raft::eraftpb::{Entry, HardState, Message, MessageType};

const P0: PartitionId = PartitionId(0);
const P1: PartitionId = PartitionId(1);
const MIB: usize = 1 << 20;
const LOG_BYTES: usize = 256 << 10;
/// Entries that come after the restart, at most.
const LATER_MAX: u64 = 100;
const TERM: u64 = 3;
/// What the lanes may hold of a replay, and what one turn may read: the code's own limits with room for one pass.
const HELD_MAX: usize = 20 * MIB;
const READ_PER_TURN_MAX: usize = 4 * MIB;

fn origin(process: u16) -> Origin {
    Origin { process: ProcessId(process), run: RunId(1 + u64::from(process)) }
}

fn formation() -> Formation {
    let member = |n: u16| Member { process: ProcessId(n), run: origin(n).run, id: id(n) };
    Formation { generation: 1, id: 7, ancestors: Vec::new(), inherited: 0, members: (0..3).map(member).collect() }
}

fn id(process: u16) -> MemberId {
    MemberId::new(1 + u64::from(process)).unwrap()
}

/// A log of `last` entries, all on disk: the empty one of a term, then one log each, of the `partitions` in turn.
struct Disk {
    last: u64,
    partitions: u64,
    read: Arc<AtomicU64>,
    /// The process has no file handle left to read with.
    out_of_handles: Arc<AtomicBool>,
    /// What is read at once is one [`Record`], of which this counts what is in memory, and the logs of P0 in it are short.
    records: Option<Arc<AtomicU64>>,
}

impl Disk {
    fn entry(&self, index: u64) -> Entry {
        let is_short = self.records.is_some() && index.is_multiple_of(self.partitions);
        entry_of(index, self.partitions, if is_short { 100 } else { LOG_BYTES })
    }
}

/// What the disk log reads at once: entries of several partitions in one buffer. Counts what is in memory of them.
struct Record {
    bytes: Vec<u8>,
    live: Arc<AtomicU64>,
}

impl Record {
    fn of(bytes: Vec<u8>, live: &Arc<AtomicU64>) -> bytes::Bytes {
        live.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        bytes::Bytes::from_owner(Record { bytes, live: live.clone() })
    }
}

impl AsRef<[u8]> for Record {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.live.fetch_sub(self.bytes.len() as u64, Ordering::Relaxed);
    }
}

/// The entries of a read in one record.
fn in_one_record(entries: &mut [Entry], live: &Arc<AtomicU64>) {
    let record = Record::of(entries.iter().flat_map(|entry| entry.data.iter().copied()).collect(), live);
    let mut at = 0;
    for entry in entries {
        let end = at + entry.data.len();
        entry.data = record.slice(at..end);
        at = end;
    }
}

fn entry(index: u64, partitions: u64) -> Entry {
    entry_of(index, partitions, LOG_BYTES)
}

fn entry_of(index: u64, partitions: u64, log_bytes: usize) -> Entry {
    let mut entry = Entry { index, term: TERM, ..Entry::default() };
    if index > 1 {
        let partition = PartitionId((index % partitions) as u32);
        let mut writer = ChunkWriter::new(origin(0), partition, log_bytes);
        writer.push(&vec![index as u8; log_bytes]);
        entry.data = writer.seal().bytes;
    }
    entry
}

impl OlderEntries for Disk {
    fn read(&self, low: u64, high: u64, max_bytes: u64) -> std::io::Result<Vec<Entry>> {
        assert!(high <= self.last + 1, "{high}");
        if self.out_of_handles.load(Ordering::Relaxed) {
            return Err(rustix::io::Errno::MFILE.into());
        }
        let mut bytes = 0;
        let mut entries = Vec::new();
        for index in low..high {
            let entry = self.entry(index);
            bytes += entry.data.len() as u64;
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            self.read.fetch_add(entry.data.len() as u64, Ordering::Relaxed);
            entries.push(entry);
        }
        if let Some(live) = &self.records {
            in_one_record(&mut entries, live);
        }
        Ok(entries)
    }

    fn term(&self, _index: u64) -> std::io::Result<u64> {
        Ok(TERM)
    }
}

struct Host {
    replica: Replica,
    /// Bytes that were read from its disk.
    read: Arc<AtomicU64>,
    /// See [`Disk::out_of_handles`].
    out_of_handles: Arc<AtomicBool>,
    /// What it has said.
    notices: Vec<String>,
    /// Handed over and not yet taken by the callbacks.
    lane: VecDeque<Delivery>,
    delivered: u64,
    gate: Gate,
}

impl Host {
    /// A member with `last` entries on disk.
    fn restarted(process: u16, last: u64, now: Time) -> Self {
        Self::restarted_with(process, last, now, 1, Limits::default(), 0)
    }

    /// Its logs are of `partitions` in turn, and the last `tail` entries are in memory.
    fn restarted_with(process: u16, last: u64, now: Time, partitions: u64, limits: Limits, tail: u64) -> Self {
        let (read, out_of_handles) = (Arc::default(), Arc::default());
        let last_on_disk = last + LATER_MAX;
        let disk = Disk { last: last_on_disk, partitions, read, out_of_handles, records: None };
        Self::restarted_from(disk, process, last, now, limits, tail)
    }

    fn restarted_from(disk: Disk, process: u16, last: u64, now: Time, limits: Limits, tail: u64) -> Self {
        let (partitions, read, out_of_handles) = (disk.partitions, disk.read.clone(), disk.out_of_handles.clone());
        let config = ReplicaConfig {
            group: GroupId(0),
            me: ProcessId(process),
            run: origin(process).run,
            voters: (0..3).map(ProcessId).collect(),
            learners: Vec::new(),
            partitions: [P0, P1][..partitions as usize].to_vec(),
            designated: Some(ProcessId(0)),
            preferred: None,
            campaign_at_start: true,
            restore: None,
            durable: true,
            older: Some(Box::new(disk)),
            timing: Timing::default(),
            limits,
            seed: 1 + u64::from(process),
            now,
        };
        let hard_state = HardState { term: TERM, commit: last, ..HardState::default() };
        let recovered = Recovered {
            formation: formation(),
            member: id(process),
            hard_state,
            last_index: last,
            tail: (last + 1 - tail..=last).map(|index| entry(index, partitions)).collect(),
            older: None,
        };
        let replica = Replica::new(config, Some(recovered)).unwrap();
        let (lane, notices, gate) = (VecDeque::new(), Vec::new(), Gate::Closed { leader: None });
        Self { replica, read, out_of_handles, notices, lane, delivered: 0, gate }
    }

    /// One turn; what it sends, and how much it read from disk, in `receive` before it too.
    fn turn(&mut self) -> (Vec<(ProcessId, PeerMessage)>, usize) {
        let mut out = Outputs::default();
        self.replica.advance(&mut out);
        for item in out.deliveries {
            let LaneItem::Deliver(delivery) = item else { panic!("nothing is lost") };
            self.lane.push_back(delivery);
        }
        for event in out.events {
            match event {
                Event::Fatal(reason) => panic!("{reason}"),
                Event::Gate(gate) => self.gate = gate,
                Event::Notice(_, text) => self.notices.push(text),
                _ => {}
            }
        }
        // A disk that takes no time.
        if let Some(write) = out.writes.last() {
            self.replica.persisted(write.id);
        }
        (out.messages, self.read.swap(0, Ordering::Relaxed) as usize)
    }

    fn held(&self) -> usize {
        self.lane.iter().map(|delivery| delivery.body.byte_len()).sum()
    }

    /// All that there is to do while the callbacks of P0 don't return.
    fn work_with_p0_blocked(&mut self) {
        while self.replica.has_work() {
            self.turn();
            self.lane.retain(|delivery| {
                if delivery.partition == P1 {
                    self.replica.delivered(P1, delivery.first_slot);
                }
                delivery.partition != P1
            });
        }
    }

    /// The callback of one log returns.
    fn deliver_one(&mut self) -> bool {
        let Some(delivery) = self.lane.pop_front() else { return false };
        let DeliveryBody::Logs(run) = &delivery.body else { panic!("these logs are short") };
        self.delivered += 1;
        assert_eq!(delivery.first_slot, Slot(self.delivered));
        assert!(run.iter().all(|log| log.unwrap().bytes() == vec![(self.delivered + 1) as u8; LOG_BYTES]));
        self.replica.delivered(P0, delivery.first_slot);
        true
    }
}

#[test]
fn a_restart_applies_a_long_log_at_the_pace_of_its_callbacks() {
    const LAST: u64 = 400;
    let now = Time(1_000_000);
    let mut host = Host::restarted(1, LAST, now);
    let mut turns = 0;
    while host.replica.has_work() {
        let (_, read) = host.turn();
        assert!(read <= READ_PER_TURN_MAX, "{read} bytes in one turn");
        turns += 1;
        assert!(turns < LAST, "a replica whose lanes have enough to do rests");
    }
    assert!(host.replica.waits_for_deliveries());
    assert!((HELD_MAX / 2..HELD_MAX).contains(&host.held()), "{} bytes", host.held());

    // Meanwhile it is a member like any: it answers, and votes.
    let peer = ProcessId(2);
    host.replica.peer_up(peer, origin(2).run);
    host.replica.receive(peer, PeerMessage::Standing(Standing { member: Some((formation(), id(2))), blank: false, leaving: false, log_end: Default::default() }));
    host.turn();
    let mut heartbeat = Message { from: id(2).get(), to: id(1).get(), term: TERM, commit: LAST, ..Message::default() };
    heartbeat.set_msg_type(MessageType::MsgHeartbeat);
    host.replica.receive(peer, PeerMessage::Raft(formation().id, Box::new(heartbeat)));
    assert!(host.replica.has_work());
    let answers = |sent: &[(ProcessId, PeerMessage)], kind| {
        sent.iter().any(|(_, message)| matches!(message, PeerMessage::Raft(_, m) if m.get_msg_type() == kind))
    };
    let mut sent = host.turn().0;
    sent.extend(host.turn().0);
    assert!(answers(&sent, MessageType::MsgHeartbeatResponse), "{sent:?}");
    let mut ask = Message { from: id(2).get(), to: id(1).get(), term: TERM + 1, index: LAST, log_term: TERM, ..Message::default() };
    ask.set_msg_type(MessageType::MsgRequestVote);
    ask.context = bytes::Bytes::from_static(b"CampaignTransfer");
    host.replica.receive(peer, PeerMessage::Raft(formation().id, Box::new(ask)));
    let mut sent = host.turn().0;
    sent.extend(host.turn().0);
    assert!(answers(&sent, MessageType::MsgRequestVoteResponse), "{sent:?}");
    assert!(!host.replica.has_work(), "and rests again");

    // And each callback that returns lets the next be read.
    while host.deliver_one() {
        while host.replica.has_work() {
            let (_, read) = host.turn();
            assert!(read <= READ_PER_TURN_MAX, "{read} bytes in one turn");
            assert!(host.held() < HELD_MAX, "{} bytes", host.held());
        }
    }
    assert_eq!(host.delivered, LAST - 1);
    assert!(!host.replica.waits_for_deliveries());
}

#[test]
fn a_replay_without_a_file_handle_rests_until_a_tick_says_so_once_and_goes_on_when_there_is_one() {
    const LAST: u64 = 40;
    const SAID: &str = "what is to be delivered here waits until this disk gives it";
    let mut now = Time(1_000_000);
    let mut host = Host::restarted(1, LAST, now);
    host.out_of_handles.store(true, Ordering::Relaxed);
    let rest = |host: &mut Host| {
        let mut turns = 0;
        while host.replica.has_work() {
            host.turn();
            turns += 1;
            assert!(turns < 20, "what can't be read is not tried again before a tick");
        }
    };
    rest(&mut host);
    for _ in 0..5 {
        now = now.plus_millis(10);
        host.replica.tick(now);
        rest(&mut host);
    }
    let said = host.notices.iter().filter(|text| text.contains(SAID)).count();
    assert_eq!((said, host.lane.len()), (1, 0), "{:?}", host.notices);
    // What it was told of the last tick holds until the next.
    host.out_of_handles.store(false, Ordering::Relaxed);
    rest(&mut host);
    assert!(host.lane.is_empty());
    now = now.plus_millis(10);
    host.replica.tick(now);
    rest(&mut host);
    while host.deliver_one() {
        rest(&mut host);
    }
    assert_eq!(host.delivered, LAST - 1);
}

/// Process 2, which leads, is connected to `host` and has sent `message` in `term`.
fn leader_sends(host: &mut Host, term: u64, mut message: Message, kind: MessageType) {
    (message.from, message.to, message.term) = (id(2).get(), id(1).get(), term);
    message.set_msg_type(kind);
    host.replica.receive(ProcessId(2), PeerMessage::Raft(formation().id, Box::new(message)));
}

fn meet(host: &mut Host, process: u16, member: MemberId) {
    let peer = ProcessId(process);
    host.replica.peer_up(peer, origin(process).run);
    host.replica.receive(peer, PeerMessage::Standing(Standing { member: Some((formation(), member)), blank: false, leaving: false, log_end: Default::default() }));
}

fn acknowledged(sent: &[(ProcessId, PeerMessage)]) -> Option<u64> {
    let answers = sent.iter().filter_map(|(_, message)| match message {
        PeerMessage::Raft(_, m) if m.get_msg_type() == MessageType::MsgAppendResponse && !m.reject => Some(m.index),
        _ => None,
    });
    answers.max()
}

/// Nothing is delivered, and the end of the log fills the memory that it may have: what comes is taken all the same.
#[test]
fn a_member_that_replays_a_long_log_acknowledges_what_comes_meanwhile() {
    const LAST: u64 = 400;
    let mut now = Time(1_000_000);
    let limits = Limits { log_memory_bytes: 8 * MIB, ..Limits::default() };
    let mut host = Host::restarted_with(1, LAST, now, 1, limits, 31);
    meet(&mut host, 2, id(2));
    for index in LAST + 1..=LAST + LATER_MAX {
        now = now.plus_millis(10);
        host.replica.tick(now);
        let entries = vec![entry(index, 1)].into();
        let append = Message { index: index - 1, log_term: TERM, commit: index - 1, entries, ..Message::default() };
        leader_sends(&mut host, TERM, append, MessageType::MsgAppend);
        let mut sent = Vec::new();
        while host.replica.has_work() {
            sent.extend(host.turn().0);
        }
        assert_eq!(acknowledged(&sent), Some(index), "{:?}", host.replica.status());
        let held = host.held() + host.replica.status().log_bytes;
        assert!(held < 13 * MIB, "{held} bytes, {} of them with the lanes", host.held());
    }
    assert_eq!(host.delivered, 0);
    while host.deliver_one() {
        while host.replica.has_work() {
            host.turn();
        }
        now = now.plus_millis(10);
        host.replica.tick(now);
    }
    assert!(host.delivered >= LAST + LATER_MAX - 2, "{}", host.delivered);
}

/// The end of the log comes back with the process, and is committed: nothing of it is read from disk to be applied.
#[test]
fn what_is_in_memory_is_applied_a_little_in_each_turn_too() {
    const LAST: u64 = 400;
    let mut host = Host::restarted_with(1, LAST, Time(1_000_000), 1, Limits::default(), LAST);
    while host.replica.has_work() {
        let held = host.held();
        host.turn();
        assert!(host.held() - held < 20 * MIB, "{} bytes in one turn", host.held() - held);
    }
    assert_eq!(host.lane.len() as u64, LAST - 1);
}

#[test]
fn a_callback_that_is_blocked_during_a_replay_holds_up_its_own_partition_only() {
    const LAST: u64 = 400;
    let mut now = Time(1_000_000);
    let mut host = Host::restarted_with(1, LAST, now, 2, Limits::default(), 0);
    let mut last_of_p1 = Slot(0);
    for _ in 0..400 {
        now = now.plus_millis(10);
        host.replica.tick(now);
        while host.replica.has_work() {
            host.turn();
        }
        for delivery in host.lane.drain(..).filter(|delivery| delivery.partition == P1) {
            last_of_p1 = delivery.first_slot;
            host.replica.delivered(P1, last_of_p1);
        }
    }
    assert_eq!(last_of_p1, Slot(LAST / 2 - 1));
}

/// A short log that a blocked callback holds is part of a record with long ones of other partitions, which go on: what it
/// counts for is what it takes.
#[test]
fn a_replay_beside_a_blocked_callback_does_not_keep_the_records_that_it_read() {
    const LAST: u64 = 400;
    let live = Arc::new(AtomicU64::new(0));
    let records = Some(live.clone());
    let disk = Disk { last: LAST, partitions: 2, read: Arc::default(), out_of_handles: Arc::default(), records };
    let limits = Limits { log_memory_bytes: 16 * MIB, ..Limits::default() };
    let mut host = Host::restarted_from(disk, 1, LAST, Time(1_000_000), limits, 0);
    host.work_with_p0_blocked();
    assert_eq!(host.lane.len() as u64, LAST / 2, "nothing keeps the other partition from its end");
    let live = live.load(Ordering::Relaxed) as usize;
    assert!(live <= READ_PER_TURN_MAX, "{live} bytes of records, of which {} wait", host.held());
}

/// What a blocked callback holds of a replay is memory too once the replay is over, and the log has the rest of the bound.
#[test]
fn what_a_replay_left_with_a_blocked_callback_counts_against_the_bound() {
    const LAST: u64 = 60;
    let mut now = Time(1_000_000);
    let limits = Limits { log_memory_bytes: 16 * MIB, ..Limits::default() };
    let mut host = Host::restarted_with(1, LAST, now, 2, limits, 0);
    meet(&mut host, 2, id(2));
    host.work_with_p0_blocked();
    let replayed = host.held();
    assert!(replayed >= (LAST as usize / 2 - 1) * LOG_BYTES, "{replayed} bytes");
    for index in LAST + 1..=LAST + LATER_MAX {
        now = now.plus_millis(10);
        host.replica.tick(now);
        let entries = vec![entry(index, 2)].into();
        let append = Message { index: index - 1, log_term: TERM, commit: index - 1, entries, ..Message::default() };
        leader_sends(&mut host, TERM, append, MessageType::MsgAppend);
        host.work_with_p0_blocked();
        let memory = replayed + host.replica.status().log_bytes;
        assert!(memory < 17 * MIB, "{memory} bytes, {replayed} of them read from disk");
    }
    assert!(host.replica.status().log_bytes >= 7 * MIB, "{:?}", host.replica.status());
}

/// Until its lanes are through it does not campaign; it is to be seen that nobody leads.
#[test]
fn a_voter_that_replays_forgets_a_leader_that_died() {
    const LAST: u64 = 400;
    let mut now = Time(1_000_000);
    let limits = Limits { log_memory_bytes: 8 * MIB, ..Limits::default() };
    let mut host = Host::restarted_with(1, LAST, now, 1, limits, 0);
    meet(&mut host, 2, id(2));
    let heartbeat = Message { commit: LAST, ..Message::default() };
    leader_sends(&mut host, TERM, heartbeat, MessageType::MsgHeartbeat);
    while host.replica.has_work() {
        host.turn();
    }
    assert_eq!(host.replica.status().leader, Some(ProcessId(2)));
    host.replica.peer_down(ProcessId(2));
    for _ in 0..200 {
        now = now.plus_millis(10);
        host.replica.tick(now);
        while host.replica.has_work() {
            host.turn();
        }
    }
    assert_eq!(host.replica.status().leader, None);
    assert_eq!(host.replica.status().waits_for, WaitsFor::Replay);
}

#[test]
fn a_member_that_replays_its_log_is_not_made_to_read_all_of_it_to_lead() {
    const LAST: u64 = 400;
    let now = Time(1_000_000);
    let mut host = Host::restarted(1, LAST, now);
    meet(&mut host, 2, id(2));
    while host.replica.has_work() {
        host.turn();
    }
    let heartbeat = Message { commit: LAST, ..Message::default() };
    leader_sends(&mut host, TERM, heartbeat, MessageType::MsgHeartbeat);
    host.turn();
    leader_sends(&mut host, TERM, Message::default(), MessageType::MsgTimeoutNow);
    let (_, read) = host.turn();
    assert!(read <= READ_PER_TURN_MAX, "{read} bytes in one turn");
    assert_eq!(host.replica.status().term.0, TERM, "it does not campaign");
}

/// Processes 1 and 2 were replaced by members that this one learns of at the end of its log.
#[test]
fn who_replays_its_log_does_not_go_on_alone_beside_members_that_it_does_not_know_yet() {
    const LAST: u64 = 400;
    let mut now = Time(1_000_000);
    let limits = Limits { log_memory_bytes: 8 * MIB, ..Limits::default() };
    let mut host = Host::restarted_with(0, LAST, now, 1, limits, 0);
    meet(&mut host, 1, MemberId::new(4).unwrap());
    meet(&mut host, 2, MemberId::new(5).unwrap());
    for _ in 0..200 {
        now = now.plus_millis(10);
        host.replica.tick(now);
        while host.replica.has_work() {
            host.turn();
        }
    }
    assert_eq!(host.replica.status().waits_for, WaitsFor::Replay);
    let refused = host.replica.restore_alone().unwrap_err();
    assert!(refused.contains("replays its log"), "{refused}");
}

/// Three connected members, of which each has so many entries on disk.
fn shard(lasts: [u64; 3], now: Time) -> Vec<Host> {
    let mut hosts: Vec<Host> = (0..3).zip(lasts).map(|(process, last)| Host::restarted(process, last, now)).collect();
    for (a, b) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
        hosts[a].replica.peer_up(ProcessId(b as u16), origin(b as u16).run);
    }
    hosts
}

/// A tick, and all that comes of it.
fn tick(hosts: &mut [Host], now: Time) {
    hosts.iter_mut().for_each(|host| host.replica.tick(now));
    loop {
        for from in 0..hosts.len() {
            let (sent, read) = hosts[from].turn();
            assert!(read <= READ_PER_TURN_MAX, "process {from} read {read} bytes in one turn");
            while hosts[from].deliver_one() {}
            if hosts[from].gate == Gate::Hold {
                hosts[from].replica.intakes_drained();
            }
            for (to, message) in sent {
                hosts[usize::from(to.0)].replica.receive(ProcessId(from as u16), message);
            }
        }
        if !hosts.iter().any(|host| host.replica.has_work()) {
            return;
        }
    }
}

#[test]
fn a_leader_reads_for_a_follower_a_little_in_each_turn() {
    const LAST: u64 = 240;
    let mut now = Time(1_000_000);
    // All of it, all of it, and nothing.
    let mut hosts = shard([LAST, LAST, 0], now);
    for _ in 0..200 {
        now = now.plus_millis(10);
        tick(&mut hosts, now);
    }
    assert!(hosts.iter().any(|host| host.gate == Gate::Open), "somebody leads");
    assert!(hosts.iter().all(|host| host.delivered == LAST - 1), "{:?}", hosts.iter().map(|h| h.delivered).collect::<Vec<_>>());
}

#[test]
fn a_hand_over_to_who_is_not_connected_any_more_is_called_off_at_once() {
    let mut now = Time(1_000_000);
    let mut hosts = shard([4; 3], now);
    let mut step = |hosts: &mut Vec<Host>| {
        now = now.plus_millis(10);
        tick(hosts, now);
    };
    for _ in 0..200 {
        step(&mut hosts);
    }
    let leader = hosts.iter().position(|host| host.gate == Gate::Open).expect("somebody leads");
    let term = hosts[leader].replica.status().term;
    let target = ProcessId((leader as u16 + 1) % 3);
    hosts[leader].replica.set_preferred(Some(target));
    for _ in 0..20 {
        if hosts[leader].gate == Gate::Hold {
            break;
        }
        step(&mut hosts);
    }
    assert_eq!(hosts[leader].gate, Gate::Hold);
    hosts[leader].replica.peer_down(target);
    step(&mut hosts);
    assert_eq!((hosts[leader].gate, hosts[leader].replica.status().term), (Gate::Open, term));
}
