//! What comes out of a replica: messages, writes, deliveries, events.

use std::fmt;

use bytes::Bytes;
use raft::eraftpb::{Entry, HardState};

use crate::ids::{LogIndex, MemberId, PartitionId, ProcessId, Slot, Term};

use super::formation::Formation;
use super::message::PeerMessage;
use super::payload::LogRun;

/// Everything that one [`super::Replica::advance`] asks for. Reused between calls: the caller drains it.
#[derive(Default, Debug)]
pub struct Outputs {
    /// Send each to the process, in order per process. Lost ones are sent again by Raft.
    pub messages: Vec<(ProcessId, PeerMessage)>,
    /// Write in order; report each with [`super::Replica::persisted`]. Empty unless durable.
    pub writes: Vec<Write>,
    /// Hand each to its partition's lane, in order.
    pub deliveries: Vec<LaneItem>,
    /// Act on each, in order.
    pub events: Vec<Event>,
}

/// One write to the durable log. All of it must be on disk before `persisted(id)`.
#[derive(Debug, Default)]
pub struct Write {
    /// Grows by one per write.
    pub id: u64,
    /// This process became this member of this formation: the first record of a data directory.
    pub membership: Option<(Formation, MemberId)>,
    /// Term, vote, commit index, when changed.
    pub hard_state: Option<HardState>,
    /// Entries to append. The first one's index may be at or below what was written before: it then
    /// replaces that and everything behind it.
    pub entries: Vec<Entry>,
    /// False when only the commit index changed: no sync needed before `persisted`.
    pub must_sync: bool,
}

/// One item for the lane of a partition.
#[derive(Debug, Clone)]
pub enum LaneItem {
    /// Committed logs, to be given to a callback.
    Deliver(Delivery),
    /// Logs that this run accepted and that will never be delivered, in their order among the
    /// deliveries of this run's logs.
    Lost {
        /// Their partition.
        partition: PartitionId,
        /// How many.
        logs: u32,
    },
}

/// Committed logs with consecutive slots.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Their partition.
    pub partition: PartitionId,
    /// The slot of the first.
    pub first_slot: Slot,
    /// True: this run of this process executed them, so the leader callback gets them; the follower
    /// callback otherwise (contract section 5, "Which callback").
    pub executed_here: bool,
    /// The logs.
    pub body: DeliveryBody,
}

/// The logs of a delivery.
#[derive(Debug, Clone)]
pub enum DeliveryBody {
    /// Whole logs, to be handed out in place.
    Logs(LogRun),
    /// One long log; the lane joins the fragments.
    Joined {
        /// In order; together `length` bytes.
        fragments: Vec<Bytes>,
        /// The log's length.
        length: usize,
    },
}

impl DeliveryBody {
    /// How many logs, and so how many slots.
    pub fn logs(&self) -> u32 {
        match self {
            DeliveryBody::Logs(run) => run.count(),
            DeliveryBody::Joined { .. } => 1,
        }
    }

    /// Bytes held until delivered.
    pub fn byte_len(&self) -> usize {
        match self {
            DeliveryBody::Logs(run) => run.byte_len(),
            DeliveryBody::Joined { length, .. } => *length,
        }
    }
}

/// Whether submissions are accepted. Set it on the group's intakes before the next submission is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// This process leads, and that was announced.
    Open,
    /// Accept and keep for a leadership to come: not leading yet, or asked for it (contract section 4).
    Queue,
    /// Accept and keep for the leadership that was announced: nobody is known to lead now.
    Suspended,
    /// Make submitters wait, neither accepting nor refusing: leadership is about to be handed over, and
    /// what was accepted before must commit first. Inside a callback, where waiting would deadlock, accept.
    /// Once the intakes are empty, say so with [`super::Replica::intakes_drained`].
    Hold,
    /// Refuse, naming the leader where it is known. Whatever is still queued is lost: drain the intakes into
    /// [`super::Replica::surrender`] before the next event is looked at, which may be a gate that lets logs of
    /// another leadership in. It comes out as [`LaneItem::Lost`].
    Closed {
        /// Who leads.
        leader: Option<ProcessId>,
    },
}

/// A change of leadership that the host is told of (contract section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// This process leads, and every log of earlier leaders has been delivered here.
    Gained {
        /// The first leadership after a fresh formation.
        first: bool,
    },
    /// Another run leads now; this one had announced that it led.
    Lost,
}

/// How loudly an event is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Expected and worth a line.
    Info,
    /// An operator may have to act.
    Warning,
    /// A promise can't be kept.
    Error,
}

/// What happened, as a value; `Display` is the operator's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Set the intakes' gate.
    Gate(Gate),
    /// Tell the election callback.
    Leadership(Leadership),
    /// The known leader changed.
    Leader {
        /// In this term
        term: Term,
        /// this process leads, or nobody known.
        leader: Option<ProcessId>,
    },
    /// Bytes of this run's logs left the queue bound: committed or lost.
    Released {
        /// From this partition's bound.
        partition: PartitionId,
        /// As [`super::payload::Chunk::queued_bytes`] counted them.
        bytes: usize,
    },
    /// This process became a member.
    Joined {
        /// Of this formation
        formation: u64,
        /// under this id.
        member: MemberId,
    },
    /// A line for the operator.
    Notice(Severity, String),
    /// The replica can't keep its promises and must be stopped; it does nothing from now on.
    Fatal(String),
}

/// What has to come from elsewhere before a replica can go on. `Display` is the status endpoint's word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitsFor {
    /// It goes on.
    #[default]
    Nothing,
    /// Unformed: a majority of the voter processes.
    MajorityToForm,
    /// Unformed: a former formation may hold logs, and only all voter processes together can tell.
    AllVoters,
    /// Unformed: an operator's order names a survivor that was not met.
    Survivor,
    /// Unformed: the leader of a formation that was met.
    Admission,
    /// No leader, and no majority of the members in reach.
    Majority,
    /// No leader, although a majority of the members is in reach.
    Election,
    /// No leader, and this member still replays its own log.
    Replay,
    /// Leading, until leadership is handed over: submitters are held.
    HandOver,
    /// Its disk stands still, and a majority has on theirs what it lacks.
    Disk,
    /// Callbacks here are a whole log memory behind.
    Callbacks,
    /// Leading, with the log at its bound, which another member has not delivered; it is given up after `absent_ms`.
    SlowMember,
    /// The same, and without that member a majority lacks the log: it is never given up.
    NeededMember,
    /// A member that may vote, and has not caught up yet.
    Promotion,
    /// It can't be rebuilt, or a later generation wins.
    Restart,
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::MajorityToForm => "a majority to form",
            Self::AllVoters => "all voters",
            Self::Survivor => "the survivor",
            Self::Admission => "admission",
            Self::Majority => "a majority of the members",
            Self::Election => "an election",
            Self::Replay => "the replay of its log",
            Self::HandOver => "the hand-over",
            Self::Disk => "its disk",
            Self::Callbacks => "its callbacks",
            Self::SlowMember => "a slow member",
            Self::NeededMember => "a member that a majority needs",
            Self::Promotion => "promotion",
            Self::Restart => "a restart",
        })
    }
}

/// Whom the log prefers as its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish {
    /// Nobody, where the preference is disabled.
    pub whom: Option<ProcessId>,
    /// How often a host's wish was seen in the log, be it for the same process.
    pub asked: u64,
}

/// A moment's view, for counters and the status line.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// "unformed", "learner", "follower", "candidate", "leader", "suspended", "cut off", "superseded" or "stopped".
    pub role: &'static str,
    /// Current term.
    pub term: Term,
    /// Known leader.
    pub leader: Option<ProcessId>,
    /// Commit index.
    pub commit: LogIndex,
    /// Last index.
    pub last: LogIndex,
    /// Index through which all lanes have delivered.
    pub delivered: LogIndex,
    /// The log through here may go from memory when that is short.
    pub droppable: LogIndex,
    /// First index still in memory.
    pub first_in_memory: LogIndex,
    /// Bytes of the log in memory.
    pub log_bytes: usize,
    /// Voters of the current configuration.
    pub voters: Vec<ProcessId>,
    /// Learners of the current configuration.
    pub learners: Vec<ProcessId>,
    /// This process's Raft id.
    pub member: Option<MemberId>,
    /// Raft ids of the voters.
    pub voter_members: Vec<MemberId>,
    /// A membership change is under way, by what this member has applied or, on a leader, proposed: until
    /// it is over the shard may need a majority of the old members as well.
    pub changing_members: bool,
    /// This run lost a log that it had accepted.
    pub lost_accepted: bool,
    /// What has to come from elsewhere before this replica can go on.
    pub waits_for: WaitsFor,
    /// Runs that this one, leading, has told that they can't be rebuilt.
    pub turned_away: u64,
    /// How often this one, leading, ceased to wait for a member that held the log at its bound.
    pub given_up: u64,
    /// How often this one, leading, waited for a member that it can't give up.
    pub held_up: u64,
    /// It has said goodbye: what it accepted is drained, or was.
    pub leaving: bool,
    /// This run began the next generation by an operator's act.
    pub restored: bool,
    /// Messages of peers that no peer of ours sends.
    pub refused_messages: u64,
    /// The processes that are connected.
    pub connected: Vec<ProcessId>,
    /// Members that this one, leading, has not heard for `absent_ms`.
    pub absent: Vec<MemberId>,
    /// How many of the connected processes belong to another formation.
    pub foreign: usize,
    /// Generation and id of the formation.
    pub formation: Option<(u32, u64)>,
}
