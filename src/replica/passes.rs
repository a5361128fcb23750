//! One pass: proposes what is queued, runs raft-rs until it is quiet, applies what is committed, and says
//! how what was accepted here ended. What a pass asks for is collected in `out`.

use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType, Message};

use crate::ids::{LogIndex, MemberId, Term};

use super::control::{Control, Preference};
use super::group::{Phase, Replica};
use super::message::PeerMessage;
use super::node::{Applying, Node, MESSAGE_BYTES_MAX};
use super::outbox::Decided;
use super::output::{Event, LaneItem, Outputs, Severity};
use super::payload::{encode_control, Payload};
use super::planted::{self, Bug};
use super::preference::Applied;

/// Read from disk, handed to the lanes and not delivered yet: at most so much and one pass.
const REPLAYED_BYTES: usize = 16 << 20;
/// Beyond what one message carries a proposal leaves a tail, and below this it costs more than that.
const PROPOSAL_BYTES_MIN: u64 = 64 << 10;
/// Of one turn, at most. A pass applies so much at most that heartbeats are answered in time.
const PASSES_PER_TURN: u32 = 8;

impl Replica {
    /// True when `advance` has something to do.
    pub fn has_work(&self) -> bool {
        !self.out.messages.is_empty()
            || !self.out.events.is_empty()
            || !self.out.deliveries.is_empty()
            || !self.out.writes.is_empty()
            || self.node().is_some_and(|n| n.has_ready(self.applying()) || n.has_postponed_reads())
            || self.may_propose() && !self.outbox.is_queue_empty()
    }

    /// Proposes from the outboxes, runs raft-rs until it is quiet, and puts what is to be done into `out`. Where that takes
    /// long, as with what a member that starts again has to apply, `has_work` stays true and the next turn goes on.
    pub fn advance(&mut self, out: &mut Outputs) {
        if let Some(node) = self.node_mut() {
            node.resume_reads();
        }
        self.campaign_if_due();
        for pass in 1.. {
            self.update_leadership();
            self.propose_queued();
            let replays = self.node().is_some_and(Node::applies_from_disk);
            if !self.run_raft() {
                break;
            }
            if replays || pass == PASSES_PER_TURN {
                self.update_leadership();
                break;
            }
        }
        if !self.out.writes.is_empty() || !self.out.deliveries.is_empty() || !self.out.events.is_empty() {
            self.stir();
        }
        out.messages.append(&mut self.out.messages);
        out.writes.append(&mut self.out.writes);
        out.deliveries.append(&mut self.out.deliveries);
        out.events.append(&mut self.out.events);
    }

    fn update_leadership(&mut self) {
        self.observe();
        let own_term = match &self.phase {
            Phase::Unformed(_) => Term(0),
            Phase::Member(node) => node.term(),
            Phase::Stopped => return,
        };
        let term = self.cut_off.map_or(own_term, |out| own_term.max(out.term));
        let delivered = self.streams.delivered_index();
        let holding = self.hand_over.is_active();
        let loses = self.leadership.update(self.now, term, self.config.me, delivered, holding, &mut self.out.events);
        if loses && !self.outbox.is_queue_empty() {
            self.lose_queued();
        }
    }

    /// This group is one of several that have to be led by one process: it is announced by [`Replica::announce`], and what
    /// is queued before is not proposed.
    pub fn be_one_of_several(&mut self) {
        self.leadership.be_one_of_several();
    }

    /// This process leads the group and could be told so, were it the only one.
    pub fn could_announce(&self) -> bool {
        self.leads() && self.leadership.could_announce() && !self.hand_over.is_active()
    }

    /// Each of several groups could be announced: the next pass announces this one.
    ///
    /// For which time, the first index can't say here: who began a group's log need not have led the others. So the log does,
    /// as soon as a process leads all.
    pub fn announce(&mut self) {
        let first = !self.was_led();
        self.leadership.let_announce(first);
        let entry = encode_control(self.origin, &Control::Led(self.origin).encode());
        if let Some(node) = self.node_mut().filter(|_| first) {
            // Where it is lost with this leadership, the next one is the first again, as with one group.
            let _ = node.propose(std::iter::once(entry));
        }
    }

    /// Whether another process leads all groups of several.
    pub fn set_led_elsewhere(&mut self, led_elsewhere: bool) {
        self.leadership.set_led_elsewhere(led_elsewhere);
    }

    /// A process has led all groups of several, this one's log says. Logs say so too: earlier versions wrote nothing else.
    fn was_led(&self) -> bool {
        self.says_led || self.streams.has_slots()
    }

    /// What comes from disk to be applied waits while the lanes that move have enough to do, where one that stands still holds
    /// half of what the log may, and for the next tick where there was no file handle to read it with. What is in memory
    /// anyway does not wait.
    pub(super) fn applying(&self) -> Applying {
        let Some(node) = self.node().filter(|node| node.applies_from_disk()) else { return Applying::Goes };
        let is_full = self.streams.held_bytes() >= self.config.limits.log_memory_bytes / 2;
        let waits = is_full || self.streams.moving_bytes() >= REPLAYED_BYTES || node.log().has_put_off();
        if waits { Applying::Waits } else { Applying::Goes }
    }

    /// A lane's progress lets this replica go on.
    pub fn waits_for_deliveries(&self) -> bool {
        self.applying() == Applying::Waits
    }

    /// One pass over raft-rs; false when there was nothing to do.
    fn run_raft(&mut self) -> bool {
        if let Some(reason) = self.node().and_then(|node| node.log().broken()) {
            self.stop(format!("{}: {reason}", self.config.group));
            return false;
        }
        let applying = self.applying();
        let Some(node) = self.node_mut().filter(|n| n.has_ready(applying)) else { return false };
        let replays = node.applies_from_disk();
        let pass = node.pass(applying);
        self.out.writes.extend(pass.write);
        self.route(pass.messages);
        for entry in &pass.committed {
            if let Err(reason) = self.apply(entry, !replays) {
                self.stop(format!("{}: {reason}", self.config.group));
                return false;
            }
        }
        if let Some(last) = pass.committed.last() {
            let index = LogIndex(last.index);
            if let Some(node) = self.node_mut() {
                node.applied(index);
            }
        }
        true
    }

    /// Raft messages go to the connected run that *is* the member they are for, or nowhere.
    fn route(&mut self, messages: Vec<Message>) {
        let Phase::Member(node) = &self.phase else { return };
        let formation = node.formation().id;
        for message in messages {
            let member = MemberId::new(message.to);
            if let Some(to) = member.and_then(|id| self.peers.process_of(formation, id)) {
                self.out.messages.push((to, PeerMessage::Raft(formation, Box::new(message))));
            }
        }
    }

    /// `shared`: the log in memory holds it too.
    fn apply(&mut self, entry: &Entry, shared: bool) -> Result<(), String> {
        let (index, term) = (LogIndex(entry.index), Term(entry.term));
        self.streams.begin_entry(index, term);
        match entry.get_entry_type() {
            EntryType::EntryConfChangeV2 => {
                let node = self.node_mut().ok_or("applying without a node")?;
                node.apply_change(entry)?;
                self.observe();
            }
            _ if entry.data.is_empty() => {}
            _ => self.apply_payload(entry, shared)?,
        }
        let mut decided = std::mem::take(&mut self.decided);
        self.outbox.decide(index, term, &mut decided);
        self.tell_decided(decided);
        Ok(())
    }

    fn apply_payload(&mut self, entry: &Entry, shared: bool) -> Result<(), String> {
        // What comes from disk alone is part of a record that holds many entries. A lane that stands still would keep all of
        // it, and count the part.
        let data = if shared { entry.data.clone() } else { Bytes::copy_from_slice(&entry.data) };
        let payload = Payload::parse(&data).map_err(|e| format!("entry {}: {e}", entry.index))?;
        if let Payload::Control(body) = &payload {
            match Control::decode(body).map_err(|e| format!("entry {}: {e}", entry.index))? {
                Control::Prefer(wish) => self.obey_wish(wish),
                Control::Led(_) => self.says_led = true,
            }
            return Ok(());
        }
        if let Some(mut delivery) = self.streams.apply(payload, self.origin, shared)? {
            if planted::has(Bug::CallbackByRole) {
                delivery.executed_here = self.leads();
            }
            self.out.deliveries.push(LaneItem::Deliver(delivery));
        }
        Ok(())
    }

    fn obey_wish(&mut self, wish: Preference) {
        let applied = self.wishes.apply(wish);
        if applied != Applied::Void {
            self.hand_over.forgive();
        }
        if applied == Applied::Changes {
            let whom = wish.preferred.map_or("nobody".to_owned(), |p| p.to_string());
            let text = format!("the preferred leader is now {whom}, as {} asked", wish.origin.process);
            self.out.events.push(Event::Notice(Severity::Info, text));
        }
    }

    pub(super) fn may_propose(&self) -> bool {
        let limits = &self.config.limits;
        self.node().is_some_and(Node::is_leader)
            && self.memory_bytes() < limits.log_memory_bytes
            && self.leadership.is_announced()
            && !self.hand_over.has_called()
            && self.outbox.in_flight_bytes() < limits.in_flight_bytes
    }

    /// Proposes from the outboxes while the window is open. One proposal of at most one message's bytes at a
    /// time: a larger one would leave its tail waiting a round trip.
    pub(super) fn propose_queued(&mut self) {
        while self.may_propose() && !self.outbox.is_queue_empty() {
            let Phase::Member(node) = &mut self.phase else { return };
            let term = node.term();
            // With one entry a message every proposal has a tail.
            let message_bytes = self.config.limits.message_bytes.clamp(PROPOSAL_BYTES_MIN, MESSAGE_BYTES_MAX);
            let chunks = self.outbox.take(term, message_bytes as usize / 2);
            let Some(first) = node.propose(chunks.iter().map(|c| c.bytes.clone())) else {
                self.outbox.put_back(chunks);
                return;
            };
            for (chunk, index) in chunks.into_iter().zip(first.0..) {
                self.outbox.proposed(chunk, LogIndex(index), term);
            }
        }
    }

    pub(super) fn lose_queued(&mut self) {
        let mut decided = std::mem::take(&mut self.decided);
        self.outbox.lose_queued(&mut decided);
        self.tell_decided(decided);
    }

    /// Says how what was accepted ended, and keeps the emptied buffer for the next time.
    fn tell_decided(&mut self, mut decided: Vec<Decided>) {
        for d in decided.drain(..) {
            if d.bytes > 0 {
                self.out.events.push(Event::Released { partition: d.partition, bytes: d.bytes });
            }
            if !d.committed && d.logs > 0 && !planted::has(Bug::LossIsNotTold) {
                self.note_lost();
                self.out.deliveries.push(LaneItem::Lost { partition: d.partition, logs: d.logs });
            }
        }
        self.decided = decided;
    }

    /// Contract section 6: from here on this run is not given leadership by preference.
    fn note_lost(&mut self) {
        if std::mem::replace(&mut self.lost_accepted, true) || self.leaving {
            return;
        }
        self.campaigns.draw(false, &mut self.rng);
        let text = "logs that this run had accepted are lost: its host has executed them, so its database may differ from \
                    the others'; it is not given leadership by preference until it is restarted";
        self.out.events.push(Event::Notice(Severity::Warning, text.into()));
    }
}
