//! What replicas of one group say to each other. `wire.rs` turns it into bytes and back.

use raft::eraftpb::MessageType;

use crate::ids::{LogIndex, MemberId, Term};

use super::control::Preference;
use super::formation::Formation;

/// A proposer's number: rounds first, then the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Ballot {
    /// Grows with each try.
    pub round: u64,
    /// Breaks ties.
    pub process: u16,
}

/// Where the sender stands; sent when a connection is up and whenever it changes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Standing {
    /// The formation that the sender belongs to, and its id there, both on its disk where it has one; `None` while unformed,
    /// and until a first membership is on disk.
    pub member: Option<(Formation, MemberId)>,
    /// Of a member: it has no term, no vote and no entry of its formation (`beginning.rs`).
    pub blank: bool,
    /// The sender said goodbye: it is shutting down and does not campaign.
    pub leaving: bool,
    /// Of a member: term and index of its last entry.
    pub log_end: (Term, LogIndex),
}

/// A member's report to the leader, or the leader's to its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Report {
    /// Every lane of the sender has delivered through here.
    pub delivered: LogIndex,
    /// The sender's run lost a log that it had accepted, and is not to be given leadership.
    pub lost_accepted: bool,
    /// From the leader: the log through here may be dropped when memory is short. 0 from a member.
    pub droppable: LogIndex,
}

impl PeerMessage {
    /// A member's answer to its leader's heartbeat.
    pub fn answers_a_heartbeat(&self) -> bool {
        matches!(self, Self::Raft(_, message) if message.get_msg_type() == MessageType::MsgHeartbeatResponse)
    }
}

/// One message between two processes of a group.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerMessage {
    /// Where the sender stands.
    Standing(Standing),
    /// Formation, phase 1: promise to accept nothing below this ballot.
    Prepare(Ballot),
    /// Formation: promised; the value accepted before, if any.
    Promise(Ballot, Option<(Ballot, Formation)>),
    /// Formation, phase 2: accept this.
    Accept(Ballot, Formation),
    /// Formation: accepted.
    Accepted(Ballot),
    /// Formation: a higher ballot was promised.
    Refused(Ballot),
    /// You are this member of this formation: start from its first index.
    Welcome(Formation, MemberId),
    /// You can't be rebuilt from my log.
    CutOff {
        /// The formation that the sender leads.
        formation: u64,
        /// In this term.
        term: Term,
        /// For the receiver's operator.
        reason: String,
    },
    /// A Raft message between members of the formation with this id.
    Raft(u64, Box<raft::eraftpb::Message>),
    /// Progress beyond Raft's.
    Report(Report),
    /// A follower asks the leader to put this into the log.
    Prefer(Preference),
    /// An operator lets the receiver continue this formation alone.
    Restore(u64),
}

impl PeerMessage {
    /// True when the message must not wait behind payload: all but appends. An append without entries
    /// is payload too: overtaking the entries before it would make it look like a gap.
    pub fn is_urgent(&self) -> bool {
        match self {
            PeerMessage::Raft(_, message) => {
                message.get_msg_type() != raft::eraftpb::MessageType::MsgAppend
            }
            _ => true,
        }
    }
}
