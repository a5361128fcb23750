//! What a peer may say, from arbitrary bytes: well-formed messages whose values are chosen near the receiver's own, where
//! lies do harm, or at the ends of the numbers.

use arbitrary::{Arbitrary, Unstructured};
use mako_raft::ids::{LogIndex, MemberId, ProcessId, RunId, Term};
use mako_raft::replica::control::Preference;
use mako_raft::replica::formation::{Formation, Member};
use mako_raft::replica::message::{Ballot, PeerMessage, Report, Standing};
use mako_raft::replica::payload::{encode_control, fragments, ChunkWriter, Origin};
use protobuf::Message as _;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, Entry, EntryType, Message, MessageType,
};

/// Where the receiver stands.
#[derive(Clone, Debug)]
pub struct Scene {
    pub me: ProcessId,
    pub term: u64,
    pub last: u64,
    pub commit: u64,
    /// Its formation and its id there, or one that it could join.
    pub formation: Formation,
    pub id: MemberId,
}

/// The run that `process` has until it is started again.
pub fn first_run(process: ProcessId) -> RunId {
    RunId(100 + u64::from(process.0))
}

impl Scene {
    /// Nobody leads, nothing is logged; the formation names processes 0, 1 and 2.
    pub fn new(me: ProcessId) -> Self {
        let member = |p: u16| Member { process: ProcessId(p), run: first_run(ProcessId(p)), id: id(u64::from(p)) };
        let members = vec![member(0), member(1), member(2)];
        let formation = Formation { generation: 1, id: 77, ancestors: Vec::new(), inherited: 0, members };
        Self { me, term: 0, last: 0, commit: 0, formation, id: id(u64::from(me.0)) }
    }

    /// The id that the formation gives `process`, or one that it does not name.
    pub fn id_of(&self, process: ProcessId) -> MemberId {
        let member = self.formation.members.iter().find(|member| member.process == process);
        member.map_or(id(u64::from(process.0)), |member| member.id)
    }
}

/// Member ids from 1 on; a wish for the one behind the last is the last.
fn id(before: u64) -> MemberId {
    MemberId::new(before.saturating_add(1)).expect("at least 1")
}

const FAR: [u64; 8] =
    [u64::MAX, u64::MAX - 1, u64::MAX - 2, 1 << 63, u32::MAX as u64, (1 << 32) + 1, u16::MAX as u64, 1 << 40];

/// A number where it may hurt.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Number {
    Small(u8),
    Term(i8),
    Last(i8),
    Commit(i8),
    Far(u8),
}

impl Number {
    fn value(self, scene: &Scene) -> u64 {
        let near = |base: u64, by: i8| base.saturating_add_signed(i64::from(by % 5));
        match self {
            Number::Small(value) => u64::from(value % 8),
            Number::Term(by) => near(scene.term, by),
            Number::Last(by) => near(scene.last, by),
            Number::Commit(by) => near(scene.commit, by),
            Number::Far(which) => FAR[usize::from(which) % FAR.len()],
        }
    }
}

#[derive(Arbitrary, Clone, Debug)]
pub enum SaidFormation {
    Known,
    With { generation: u32, id: u8, ancestors: Few<Number>, inherited: Number, members: Few<(u8, Number, Number)> },
}

impl SaidFormation {
    fn value(&self, scene: &Scene) -> Formation {
        match self {
            SaidFormation::Known => scene.formation.clone(),
            SaidFormation::With { generation, id: raw, ancestors, inherited, members } => Formation {
                generation: *generation,
                id: if raw % 2 == 0 { scene.formation.id } else { u64::from(*raw) },
                ancestors: ancestors.0.iter().map(|id| id.value(scene)).collect(),
                inherited: inherited.value(scene),
                members: members.0.iter().map(|(p, run, raw)| member(*p, *run, *raw, scene)).collect(),
            },
        }
    }
}

fn member(process: u8, run: Number, raw: Number, scene: &Scene) -> Member {
    let process = ProcessId(u16::from(process % 5));
    let run = match run {
        Number::Small(_) => first_run(process),
        other => RunId(other.value(scene)),
    };
    Member { process, run, id: id(raw.value(scene)) }
}

/// At most eight, so that inputs stay short and memory bounded.
#[derive(Clone, Debug)]
pub struct Few<T>(pub Vec<T>);

impl<'a, T: Arbitrary<'a>> Arbitrary<'a> for Few<T> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let count = u.int_in_range(0..=8)?;
        (0..count).map(|_| T::arbitrary(u)).collect::<arbitrary::Result<_>>().map(Few)
    }
}

/// What an entry holds.
#[derive(Arbitrary, Clone, Debug)]
pub enum SaidEntry {
    Empty,
    Logs { partition: u8, bytes: u8 },
    Fragment { length: u8, which: u8 },
    Wish { from: u8, number: Number, preferred: Option<u8> },
    Change { changes: Few<(u8, Number)>, transition: u8, context: Option<(u8, Number, Number)> },
    Garbage { change: bool, data: [u8; 4], context: [u8; 2] },
}

impl SaidEntry {
    fn value(&self, index: u64, term: u64, scene: &Scene) -> Entry {
        let mut entry = Entry { index, term, ..Entry::default() };
        let origin = |p: u8| Origin { process: ProcessId(u16::from(p % 5)), run: first_run(ProcessId(u16::from(p % 5))) };
        let partition = |p: u8| mako_raft::ids::PartitionId(u32::from(p % 3));
        match self {
            SaidEntry::Empty => {}
            SaidEntry::Logs { partition: p, bytes } => {
                let mut writer = ChunkWriter::new(origin(*p), partition(*p), 0);
                writer.push(&vec![1; usize::from(*bytes)]);
                entry.data = writer.seal().bytes;
            }
            SaidEntry::Fragment { length, which } => {
                let log = vec![2; usize::from(*length)];
                let chunks: Vec<_> = fragments(origin(*which), partition(0), &log, 16).collect();
                entry.data = chunks[usize::from(*which) % chunks.len()].bytes.clone();
            }
            SaidEntry::Wish { from, number, preferred } => {
                let wish = preference(*from, *number, *preferred, scene);
                entry.data = encode_control(wish.origin, &wish.encode());
            }
            SaidEntry::Change { changes, transition, context } => {
                entry.set_entry_type(EntryType::EntryConfChangeV2);
                entry.data = change(changes, *transition, scene).write_to_bytes().expect("it encodes").into();
                if let Some((process, run, raw)) = context {
                    entry.context = context_of(member(*process, *run, *raw, scene)).into();
                }
            }
            SaidEntry::Garbage { change, data, context } => {
                if *change {
                    entry.set_entry_type(EntryType::EntryConfChangeV2);
                }
                entry.data = data.to_vec().into();
                entry.context = context.to_vec().into();
            }
        }
        entry
    }
}

/// An admission's context: id, process, run.
fn context_of(member: Member) -> Vec<u8> {
    let mut out = member.id.get().to_le_bytes().to_vec();
    out.extend(member.process.0.to_le_bytes());
    out.extend(member.run.0.to_le_bytes());
    out
}

fn change(changes: &Few<(u8, Number)>, transition: u8, scene: &Scene) -> ConfChangeV2 {
    let mut out = ConfChangeV2::default();
    let transitions =
        [ConfChangeTransition::Auto, ConfChangeTransition::Implicit, ConfChangeTransition::Explicit];
    out.set_transition(transitions[usize::from(transition) % 3]);
    let kinds = [ConfChangeType::AddNode, ConfChangeType::RemoveNode, ConfChangeType::AddLearnerNode];
    let singles = changes.0.iter().map(|(kind, node)| {
        let mut single = ConfChangeSingle { node_id: node.value(scene), ..ConfChangeSingle::default() };
        single.set_change_type(kinds[usize::from(*kind) % 3]);
        single
    });
    out.set_changes(singles.collect::<Vec<_>>().into());
    out
}

fn preference(from: u8, number: Number, preferred: Option<u8>, scene: &Scene) -> Preference {
    let process = ProcessId(u16::from(from % 5));
    Preference {
        origin: Origin { process, run: first_run(process) },
        number: number.value(scene),
        preferred: preferred.map(|p| ProcessId(u16::from(p))),
    }
}

/// A Raft message; addressed as it should be unless it lies about that too.
#[derive(Arbitrary, Clone, Debug)]
pub struct SaidRaft {
    kind: u8,
    term: Number,
    log_term: Number,
    index: Number,
    commit: Number,
    commit_term: Number,
    reject_hint: Number,
    reject: bool,
    transfer: bool,
    from: Option<Number>,
    to: Option<Number>,
    /// The entries follow `index` unless this says where each is.
    strange_index: Option<Number>,
    entries: Few<(SaidEntry, Number)>,
}

impl SaidRaft {
    fn value(&self, from: ProcessId, scene: &Scene) -> Message {
        use MessageType::*;
        let kinds = [
            MsgAppend, MsgAppendResponse, MsgRequestVote, MsgRequestVoteResponse, MsgHeartbeat, MsgHeartbeatResponse,
            MsgTimeoutNow, MsgRequestPreVote, MsgRequestPreVoteResponse,
        ];
        let number = |number: Number| number.value(scene);
        let mut out = Message {
            to: self.to.map_or(scene.id.get(), number),
            from: self.from.map_or(scene.id_of(from).get(), number),
            term: number(self.term),
            log_term: number(self.log_term),
            index: number(self.index),
            commit: number(self.commit),
            commit_term: number(self.commit_term),
            reject_hint: number(self.reject_hint),
            reject: self.reject,
            ..Message::default()
        };
        out.set_msg_type(kinds[usize::from(self.kind) % kinds.len()]);
        if self.transfer {
            out.context = b"CampaignTransfer".to_vec().into();
        }
        let first = self.strange_index.map_or(out.index.wrapping_add(1), number);
        let entries = self.entries.0.iter().enumerate();
        let entries = entries.map(|(at, (entry, term))| {
            entry.value(first.wrapping_add(at as u64), number(*term), scene)
        });
        out.set_entries(entries.collect::<Vec<_>>().into());
        out
    }
}

/// A message.
#[derive(Arbitrary, Clone, Debug)]
pub enum Said {
    Standing { member: Option<(SaidFormation, Option<Number>)>, leaving: bool },
    Prepare(Number, u8),
    Promise(Number, u8, Option<(Number, u8, SaidFormation)>),
    Accept(Number, u8, SaidFormation),
    Accepted(Number, u8),
    Refused(Number, u8),
    Welcome(SaidFormation, Option<Number>),
    CutOff(u8),
    Raft(Box<SaidRaft>),
    Report { delivered: Number, droppable: Number, lost_accepted: bool },
    Prefer { from: u8, number: Number, preferred: Option<u8> },
}

impl Said {
    /// As `from` says it to the one who stands at `scene`.
    pub fn value(&self, from: ProcessId, scene: &Scene) -> PeerMessage {
        let ballot = |round: Number, p: u8| Ballot { round: round.value(scene), process: u16::from(p % 5) };
        let member = |wanted: &Option<Number>, process: ProcessId| {
            wanted.map_or(scene.id_of(process), |raw| id(raw.value(scene)))
        };
        match self {
            Said::Standing { member: its, leaving } => PeerMessage::Standing(Standing {
                member: its.as_ref().map(|(formation, id)| (formation.value(scene), member(id, from))),
                blank: false,
                leaving: *leaving,
                log_end: (Term(scene.term), LogIndex(scene.last)),
            }),
            Said::Prepare(round, p) => PeerMessage::Prepare(ballot(*round, *p)),
            Said::Promise(round, p, accepted) => PeerMessage::Promise(
                ballot(*round, *p),
                accepted.as_ref().map(|(round, p, formation)| (ballot(*round, *p), formation.value(scene))),
            ),
            Said::Accept(round, p, formation) => PeerMessage::Accept(ballot(*round, *p), formation.value(scene)),
            Said::Accepted(round, p) => PeerMessage::Accepted(ballot(*round, *p)),
            Said::Refused(round, p) => PeerMessage::Refused(ballot(*round, *p)),
            Said::Welcome(formation, id) => PeerMessage::Welcome(formation.value(scene), member(id, scene.me)),
            // Not a variant of its own: the corpus numbers the variants.
            Said::CutOff(250..) => PeerMessage::Restore(scene.formation.id),
            Said::CutOff(length) => PeerMessage::CutOff {
                formation: scene.formation.id,
                term: Term(u64::from(*length) % 4),
                reason: "x".repeat(usize::from(*length) * 32),
            },
            Said::Raft(message) => PeerMessage::Raft(scene.formation.id, Box::new(message.value(from, scene))),
            Said::Report { delivered, droppable, lost_accepted } => PeerMessage::Report(Report {
                delivered: LogIndex(delivered.value(scene)),
                droppable: LogIndex(droppable.value(scene)),
                lost_accepted: *lost_accepted,
            }),
            Said::Prefer { from, number, preferred } => {
                PeerMessage::Prefer(preference(*from, *number, *preferred, scene))
            }
        }
    }
}
