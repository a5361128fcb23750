//! One replica among peers that lie, in sequences: the whole replica room behind its wire format.
//!
//! Some acts do what honest peers would (grant a vote that was asked for, acknowledge what was sent), so that
//! sequences get somewhere: a liar does most harm to a leader with a log.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use mako_raft::ids::{GroupId, PartitionId, ProcessId, RunId, Slot, Time};
use mako_raft::replica::message::{PeerMessage, Standing};
use mako_raft::replica::output::{Event, LaneItem, Outputs};
use mako_raft::replica::payload::{fragments, ChunkWriter, Origin};
use mako_raft::replica::{wire, Limits, Replica, ReplicaConfig, Timing};
use raft::eraftpb::{Message, MessageType};

use super::said::{first_run, Said, Scene};

const ACTS_MAX: usize = 256;
const PARTITIONS: [PartitionId; 2] = [PartitionId(0), PartitionId(1)];
/// Small, so that the bound is met.
const LOG_MEMORY_BYTES: usize = 16 << 10;

#[derive(Arbitrary, Debug)]
enum Act {
    Tick(u8),
    Say(u8, Said),
    Up(u8, u8),
    Down(u8),
    /// The peer says that it belongs to the formation, as it should.
    Join(u8),
    /// The peer says that it belongs to none.
    Unformed(u8),
    /// Peers answer everything that was sent to them as honest ones would.
    Answer(u8),
    Submit(u8, u8),
    SubmitLong(u8, u8),
    Persisted,
    Delivered(u8),
    IntakesDrained,
    SetPreferred(Option<u8>),
    SetCompanion(Option<u8>),
    Seek,
    Goodbye,
    RestoreAlone,
    Abandon,
}

#[derive(Arbitrary, Debug)]
struct Beginning {
    durable: bool,
    me: u8,
    designated: u8,
    preferred: u8,
    campaign_at_start: bool,
    seed: u8,
}

/// A beginning, and acts until the bytes end.
pub fn run(bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let Ok(beginning) = Beginning::arbitrary(&mut bytes) else { return };
    let mut stage = Stage::new(&beginning);
    for _ in 0..ACTS_MAX {
        if bytes.is_empty() {
            return;
        }
        let Ok(act) = Act::arbitrary(&mut bytes) else { return };
        stage.act(act);
        stage.check();
    }
}

struct Stage {
    replica: Replica,
    scene: Scene,
    now: Time,
    sent: Vec<(ProcessId, PeerMessage)>,
    last_write: u64,
    given: BTreeMap<PartitionId, Slot>,
    fatal: bool,
    seen: (Option<(u32, u64)>, u64, u64),
}

fn peer(raw: u8) -> ProcessId {
    ProcessId(u16::from(raw % 5))
}

impl Stage {
    fn new(beginning: &Beginning) -> Self {
        let me = ProcessId(u16::from(beginning.me % 4));
        let now = Time(1_000_000);
        let config = ReplicaConfig {
            group: GroupId(0),
            me,
            run: first_run(me),
            voters: (0..3).map(ProcessId).collect(),
            learners: vec![ProcessId(3)],
            partitions: PARTITIONS.to_vec(),
            designated: Some(peer(beginning.designated)),
            preferred: Some(peer(beginning.preferred)),
            campaign_at_start: beginning.campaign_at_start,
            restore: None,
            durable: beginning.durable,
            older: None,
            timing: Timing { form_wait_ms: 50, absent_ms: 300, ..Timing::default() },
            limits: Limits { log_memory_bytes: LOG_MEMORY_BYTES, in_flight_bytes: 4 << 10, outbox_bytes: 1 << 10, ..Limits::default() },
            seed: u64::from(beginning.seed),
            now,
        };
        Self {
            replica: Replica::new(config, None).expect("nothing was recovered"),
            scene: Scene::new(me),
            now,
            sent: Vec::new(),
            last_write: 0,
            given: BTreeMap::new(),
            fatal: false,
            seen: (None, 0, 0),
        }
    }

    fn origin(&self) -> Origin {
        Origin { process: self.scene.me, run: first_run(self.scene.me) }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Tick(times) => (0..times % 64).for_each(|_| {
                self.now = self.now.plus_millis(10);
                self.replica.tick(self.now);
                self.advance();
            }),
            Act::Say(from, said) => {
                let message = said.value(peer(from), &self.scene);
                self.receive(peer(from), message);
            }
            Act::Up(process, run) => {
                let started_again = RunId(first_run(peer(process)).0 + 1_000 * u64::from(run % 2));
                self.replica.peer_up(peer(process), started_again);
            }
            Act::Down(process) => self.replica.peer_down(peer(process)),
            Act::Join(process) => {
                let member = Some((self.scene.formation.clone(), self.scene.id_of(peer(process))));
                let blank = process >= 128;
                self.receive(peer(process), PeerMessage::Standing(Standing { member, blank, leaving: false, log_end: Default::default() }));
            }
            Act::Unformed(process) => self.receive(peer(process), PeerMessage::Standing(Standing::default())),
            Act::Answer(rounds) => (0..1 + rounds % 4).for_each(|_| self.answer()),
            Act::Submit(partition, length) => {
                let mut writer = ChunkWriter::new(self.origin(), PARTITIONS[usize::from(partition % 2)], 0);
                writer.push(&vec![3; usize::from(length)]);
                self.replica.submit(writer.seal());
            }
            Act::SubmitLong(partition, length) => {
                let log = vec![4; usize::from(length)];
                for chunk in fragments(self.origin(), PARTITIONS[usize::from(partition % 2)], &log, 32) {
                    self.replica.submit(chunk);
                }
            }
            Act::Persisted => self.replica.persisted(self.last_write),
            Act::Delivered(partition) => {
                let partition = PARTITIONS[usize::from(partition % 2)];
                if let Some(&slot) = self.given.get(&partition) {
                    self.replica.delivered(partition, slot);
                }
            }
            Act::IntakesDrained => self.replica.intakes_drained(),
            Act::SetPreferred(process) => self.replica.set_preferred(process.map(peer)),
            Act::SetCompanion(process) => self.replica.set_companion(process.map(peer)),
            Act::Seek => drop(self.replica.seek_leadership()),
            Act::Goodbye => self.replica.say_goodbye(),
            Act::RestoreAlone => {
                let _ = self.replica.restore_alone();
            }
            Act::Abandon => self.replica.abandon_undecided(),
        }
        self.advance();
    }

    /// Through the wire format, as every message comes.
    fn receive(&mut self, from: ProcessId, message: PeerMessage) {
        let body: bytes::Bytes = wire::encode(GroupId(0), &message).joined().into();
        let (_, message) = wire::decode(body).expect("it was encoded");
        self.replica.receive(from, message);
        self.advance();
    }

    fn answer(&mut self) {
        for (to, message) in std::mem::take(&mut self.sent) {
            let answer = match message {
                PeerMessage::Prepare(ballot) => PeerMessage::Promise(ballot, None),
                PeerMessage::Accept(ballot, _) => PeerMessage::Accepted(ballot),
                PeerMessage::Raft(formation, message) => match answer_raft(&message) {
                    Some(answer) => PeerMessage::Raft(formation, Box::new(answer)),
                    None => continue,
                },
                _ => continue,
            };
            self.receive(to, answer);
        }
    }

    fn advance(&mut self) {
        let mut out = Outputs::default();
        self.replica.advance(&mut out);
        self.sent.append(&mut out.messages);
        let surplus = self.sent.len().saturating_sub(1024);
        self.sent.drain(..surplus);
        if let Some(write) = out.writes.last() {
            self.last_write = write.id;
        }
        for item in out.deliveries {
            let LaneItem::Deliver(delivery) = item else { continue };
            let before = self.given.get(&delivery.partition).map_or(0, |slot| slot.0);
            assert_eq!(delivery.first_slot.0, before + 1, "slots follow one another");
            self.given.insert(delivery.partition, Slot(before + u64::from(delivery.body.logs())));
        }
        self.fatal |= out.events.iter().any(|event| matches!(event, Event::Fatal(_)));
        for (_, message) in &self.sent {
            if let PeerMessage::Standing(Standing { member: Some((formation, id)), .. }) = message {
                self.scene.formation = formation.clone();
                self.scene.id = *id;
            }
        }
        let status = self.replica.status();
        (self.scene.term, self.scene.last, self.scene.commit) = (status.term.0, status.last.0, status.commit.0);
    }

    fn check(&mut self) {
        let status = self.replica.status();
        assert_eq!(self.fatal, status.role == "stopped", "who can't go on says so");
        if self.fatal {
            return;
        }
        let (formation, term, commit) = self.seen;
        if formation == status.formation {
            assert!(status.term.0 >= term && status.commit.0 >= commit, "term or commit index went back: {status:?}");
        }
        assert!(status.delivered <= status.commit && status.commit <= status.last, "{status:?}");
        self.seen = (status.formation, status.term.0, status.commit.0);
    }
}

fn answer_raft(message: &Message) -> Option<Message> {
    use MessageType::*;
    let (kind, index) = match message.get_msg_type() {
        MsgAppend => (MsgAppendResponse, message.index + message.entries.len() as u64),
        MsgHeartbeat => (MsgHeartbeatResponse, 0),
        MsgRequestVote => (MsgRequestVoteResponse, 0),
        MsgRequestPreVote => (MsgRequestPreVoteResponse, 0),
        _ => return None,
    };
    let mut out = Message { to: message.from, from: message.to, term: message.term, index, ..Message::default() };
    out.set_msg_type(kind);
    Some(out)
}
