//! The other processes as this one sees them: connected runs, where they stand, what they reported.

use std::collections::BTreeMap;

use raft::eraftpb::MessageType;

use crate::ids::{LogIndex, MemberId, ProcessId, RunId, Time};

use super::message::{PeerMessage, Report, Standing};

/// Who acknowledges nothing for so long may have lost what it was sent.
const STANDS_STILL_MS: u64 = 1_000;

/// One other process.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// The connected run.
    pub run: Option<RunId>,
    /// The run that was connected last.
    pub last_run: Option<RunId>,
    /// What it said of itself, on this connection.
    pub standing: Option<Standing>,
    /// When it last said so.
    pub standing_heard: Time,
    /// Its last report, on this connection.
    pub report: Option<Report>,
    /// When a message of it last came.
    pub heard: Option<Time>,
    /// When a message of its former run last came: until an election timeout later the process may be
    /// running twice.
    pub former_heard: Option<Time>,
    /// It said goodbye and its connection is gone.
    pub departed: bool,
    /// What it was sent waits for the network to take it.
    pub backlog: bool,
    /// What it acknowledged to this leader, when last looked at, and since when that is so.
    pub acknowledged: (LogIndex, Time),
}

impl Peer {
    /// The member that the connected run is in the formation with this id.
    pub fn member_in(&self, formation: u64) -> Option<MemberId> {
        let (its, id) = self.standing.as_ref()?.member.as_ref()?;
        (its.id == formation).then_some(*id)
    }

    /// Connected, and it said that it belongs to no formation.
    pub fn is_unformed(&self) -> bool {
        self.standing.as_ref().is_some_and(|s| s.member.is_none() && !s.leaving)
    }

    /// Connected, and it belongs to no formation, or has nothing of the other one than this that it belongs to.
    pub fn may_be_admitted_to(&self, formation: u64) -> bool {
        let is_blank_elsewhere = |s: &Standing| s.blank && s.member.as_ref().is_some_and(|(its, _)| its.id != formation);
        self.is_unformed() || self.standing.as_ref().is_some_and(|s| !s.leaving && is_blank_elsewhere(s))
    }

    /// The connected run belongs to another formation.
    pub fn is_foreign_to(&self, formation: u64) -> bool {
        self.standing.as_ref().and_then(|standing| standing.member.as_ref()).is_some_and(|(its, _)| its.id != formation)
    }

    /// It is shutting down.
    pub fn is_leaving(&self) -> bool {
        self.departed || self.standing.as_ref().is_some_and(|s| s.leaving)
    }

    /// What it says by the clock, and has said before on this connection.
    pub fn is_repeated(&self, message: &PeerMessage) -> bool {
        match message {
            PeerMessage::Standing(standing) => self.standing.as_ref() == Some(standing),
            PeerMessage::Report(report) => self.report == Some(*report),
            PeerMessage::Raft(_, message) => {
                matches!(message.get_msg_type(), MessageType::MsgHeartbeat | MessageType::MsgHeartbeatResponse)
            }
            _ => false,
        }
    }

    /// It has acknowledged through `matched`. True: it goes on, and what is queued for it is on its way.
    pub fn takes_what_is_sent(&mut self, matched: LogIndex, now: Time) -> bool {
        if matched != self.acknowledged.0 {
            self.acknowledged = (matched, now);
        }
        self.backlog && now.millis_since(self.acknowledged.1) < STANDS_STILL_MS
    }

    /// Through where its lanes have delivered.
    pub fn delivered(&self) -> LogIndex {
        self.report.map_or(LogIndex(0), |r| r.delivered)
    }
}

/// All other processes of the group.
#[derive(Debug)]
pub struct Peers {
    peers: BTreeMap<ProcessId, Peer>,
}

impl Peers {
    /// Nobody is connected.
    pub fn new(processes: impl Iterator<Item = ProcessId>) -> Self {
        Self { peers: processes.map(|p| (p, Peer::default())).collect() }
    }

    /// A connection to this run is up; everything known from a former connection is void.
    pub fn up(&mut self, process: ProcessId, run: RunId, now: Time) {
        if let Some(peer) = self.peers.get_mut(&process) {
            let former_heard = if peer.last_run == Some(run) { peer.former_heard } else { peer.heard };
            *peer = Peer {
                run: Some(run),
                last_run: Some(run),
                heard: Some(now),
                former_heard,
                ..Peer::default()
            };
        }
    }

    /// The connection is gone.
    pub fn down(&mut self, process: ProcessId) {
        if let Some(peer) = self.peers.get_mut(&process) {
            *peer = Peer {
                last_run: peer.last_run,
                heard: peer.heard,
                former_heard: peer.former_heard,
                departed: peer.is_leaving(),
                ..Peer::default()
            };
        }
    }

    /// A leadership begins: what counts is reported to it anew, within a heartbeat.
    pub fn forget_reports(&mut self) {
        self.peers.values_mut().for_each(|peer| peer.report = None);
    }

    /// One process, if it is of this group.
    pub fn get(&self, process: ProcessId) -> Option<&Peer> {
        self.peers.get(&process)
    }

    /// One connected process.
    pub fn connected_mut(&mut self, process: ProcessId) -> Option<&mut Peer> {
        self.peers.get_mut(&process).filter(|p| p.run.is_some())
    }

    /// The process whose connected run is member `id` of the formation.
    pub fn process_of(&self, formation: u64, id: MemberId) -> Option<ProcessId> {
        self.connected().find(|(_, peer)| peer.member_in(formation) == Some(id)).map(|(process, _)| process)
    }

    /// The connected ones.
    pub fn connected(&self) -> impl Iterator<Item = (ProcessId, &Peer)> {
        self.peers.iter().filter(|(_, p)| p.run.is_some()).map(|(&id, p)| (id, p))
    }
}
