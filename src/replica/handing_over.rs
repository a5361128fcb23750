//! Hand-overs as a leader drives them (`preference.rs` says where one stands): to the preferred process, and by a leader that
//! said goodbye to whoever stays.

use std::cmp::Reverse;

use crate::ids::{LogIndex, MemberId, ProcessId};

use super::group::{Phase, Replica};
use super::output::{Severity, WaitsFor, Wish};
use super::peers::Peer;
use super::planted::{self, Bug};
use super::preference::Step;

/// A preferred process gets leadership once it has delivered within so many entries of the leader, or what
/// was committed a moment ago: its reports are up to a heartbeat interval old.
const NEARLY_DELIVERED_ENTRIES: u64 = 16;
/// A leader that said goodbye leads on for so long, for others that are about to: who is given leadership at its end acts on it.
const LET_GO_MS: u64 = 2_000;

/// A voter that could lead in this leader's place.
struct Heir {
    process: ProcessId,
    member: MemberId,
    /// It has delivered nearly everything, so it could accept logs soon.
    is_near: bool,
    matched: LogIndex,
    lost_accepted: bool,
}

impl Replica {
    pub(super) fn advance_hand_over(&mut self) {
        if self.hand_over.target().is_some_and(|(to, member)| !self.is_to_lead(to, member)) {
            self.hand_over.call_off(self.now);
        }
        if self.leaving {
            self.let_go();
        } else {
            self.start_hand_over();
        }
        let Some(node) = self.node() else { return };
        let term = node.term();
        let settled = self.is_settled() && (!self.holds_call || self.leaving);
        let step = self.hand_over.advance(self.now, term, settled, self.config.timing.election_ms);
        let Phase::Member(node) = &mut self.phase else { return };
        let late = match step {
            Step::Nothing => None,
            Step::Transfer(member) => {
                node.transfer_to(member);
                None
            }
            Step::GiveUp(to) => Some((to, "")),
            // Who said goodbye does not campaign, nor need it: it accepts nothing that a late campaign could cost.
            Step::TakeBack(to) if self.leaving || planted::has(Bug::GoOnAfterCall) => {
                node.abort_transfer();
                self.hand_over.end(None, self.now);
                Some((to, ""))
            }
            Step::TakeBack(to) => {
                node.lead_anew();
                Some((to, ", in a new term"))
            }
        };
        if let Some((to, how)) = late {
            let text = format!("handing leadership to {to} took too long: going on as leader{how}");
            self.note("hand-over", 0, Severity::Warning, text);
        }
        self.observe();
    }

    /// Nothing is undecided here, and the target of the hand-over has it all.
    fn is_settled(&self) -> bool {
        let Some(node) = self.node() else { return false };
        let last = node.last_index();
        let target = self.hand_over.target();
        let matched = target.and_then(|(_, id)| node.progress(id)).is_some_and(|p| p.matched == last.0);
        // What is held back stays with this process, whoever leads the group.
        let is_through = self.outbox.is_queue_empty() || self.leadership.holds_back();
        matched && node.commit_index() == last && is_through && self.outbox.is_settled()
    }

    /// Of several groups: the target of a hand-over is not called before the others are as far.
    pub fn hold_call(&mut self, holds: bool) {
        self.holds_call = holds;
    }

    /// The target of the hand-over could be called.
    pub fn could_call(&self) -> bool {
        self.hand_over.has_drained_intakes() && self.is_settled()
    }

    /// The target of the hand-over was called.
    pub fn has_called(&self) -> bool {
        self.hand_over.has_called()
    }

    fn start_hand_over(&mut self) {
        let Some((to, member)) = self.hand_over_target() else { return };
        if self.peers.get(to).and_then(|peer| peer.report).is_some_and(|report| report.lost_accepted) {
            let text = format!(
                "{to} is the preferred leader, but its run lost logs that it had accepted: it is not given leadership \
                 until it is restarted"
            );
            return self.note("lost accepted", 30_000, Severity::Warning, text);
        }
        if self.companion.is_none() {
            self.hand_over.note_returned(member, self.now);
        }
        // It may have to stay for the sake of other groups.
        if self.preferred() == Some(to) && self.hand_over.start(to, member, self.now) {
            if self.leadership.holds_back() {
                // They may be full, and are for the leadership of all groups.
                self.hand_over.intakes_drained();
            }
            let text = format!("handing leadership to {to}, the preferred leader");
            self.note("hand-over", 0, Severity::Info, text);
        }
    }

    fn hand_over_target(&self) -> Option<(ProcessId, MemberId)> {
        let elsewhere = self.preferred().filter(|&to| to != self.config.me);
        let to = elsewhere.or(self.wishes.preferred()).filter(|_| self.leadership.could_announce())?;
        let heir = self.heirs().find(|heir| heir.process == to && heir.is_near)?;
        Some((to, heir.member))
    }

    /// Whom the log prefers, whoever the companion is.
    pub fn wish(&self) -> Wish {
        self.wishes.current()
    }

    /// Leadership is being handed over.
    pub fn hands_over(&self) -> bool {
        self.hand_over.is_active()
    }

    /// No leader is known here, and there may be one out of reach. Who sees no majority need not know the members of now: a
    /// process that it does see may have become one since.
    pub fn lacks_leader(&self) -> bool {
        matches!(self.waits_for(), WaitsFor::Election | WaitsFor::Majority)
    }

    /// This member can't lead before its process is restarted.
    pub fn is_out(&self) -> bool {
        self.cut_off.is_some() || self.superseded
    }

    /// Logs that this run had accepted are lost, in this group or another.
    pub fn lost_accepted(&self) -> bool {
        self.lost_accepted
    }

    /// This run lost logs that it had accepted in another group: what its host has executed is in all of them.
    pub fn lost_in_another_group(&mut self) {
        if !std::mem::replace(&mut self.lost_accepted, true) {
            self.stir();
            self.campaigns.draw(false, &mut self.rng);
        }
    }

    /// Of several groups: whether this run comes to lead although it lost logs, since nobody else can lead all.
    pub fn set_leads_despite_loss(&mut self, leads: bool) {
        if std::mem::replace(&mut self.leads_despite_loss, leads) != leads {
            self.stir();
        }
    }

    /// This run lost logs that it had accepted, and another is to lead.
    pub(super) fn declines_leadership(&self) -> bool {
        self.lost_accepted && !self.leads_despite_loss
    }

    /// Who could be given leadership now, where this process leads.
    pub fn ready_heirs(&self) -> Vec<ProcessId> {
        if !self.leads() {
            return Vec::new();
        }
        let is_ready = |heir: &Heir| heir.is_near && !heir.lost_accepted && !self.hand_over.must_wait(heir.member, self.now);
        self.heirs().filter(is_ready).map(|heir| heir.process).collect()
    }

    /// Where this process leads: a voter in reach has lost nothing, for all that it has said, and can be given leadership once it is
    /// near. Who has not reported since this leadership began has said nothing.
    pub fn hopes_for_an_heir(&self) -> bool {
        let may_have_lost_nothing = |peer: &Peer| peer.report.is_none_or(|report| !report.lost_accepted);
        self.leads() && self.voters_in_reach().any(|(_, peer, _)| may_have_lost_nothing(peer))
    }

    /// Leads no more, where leadership has to go to another, who would not obey a call.
    pub fn leave_it_to_an_election(&mut self) {
        if !self.leads() || self.hand_over.is_active() || !self.only_an_election_helps() {
            return;
        }
        let text = "leading no more, since another process leads other groups: the others lost logs that they had accepted, and \
                    have to elect one of them";
        self.note("hand-over", 0, Severity::Warning, text.into());
        self.node_mut().expect("it leads").step_down();
        self.observe();
    }

    /// The voters that could lead in this one's place, of those that have reported.
    fn heirs(&self) -> impl Iterator<Item = Heir> + '_ {
        self.voters_in_reach().filter_map(move |(process, peer, member)| {
            let (node, report) = (self.node()?, peer.report?);
            let is_near = report.delivered.0.saturating_add(NEARLY_DELIVERED_ENTRIES) >= node.commit_index().0
                || self.marks.keeps_delivering(report.delivered);
            let matched = node.progress(member).map_or(LogIndex(0), |progress| LogIndex(progress.matched));
            Some(Heir { process, member, is_near, matched, lost_accepted: report.lost_accepted })
        })
    }

    /// Heard within an election timeout, and not about to end.
    fn voters_in_reach(&self) -> impl Iterator<Item = (ProcessId, &Peer, MemberId)> + '_ {
        let election_ms = self.config.timing.election_ms;
        self.peers.connected().filter_map(move |(process, peer)| {
            let node = self.node()?;
            let member = peer.member_in(node.formation().id)?;
            let is_voter = node.log().conf_state().voters.contains(&member.get());
            let in_reach = peer.heard.is_some_and(|at| self.now.millis_since(at) < election_ms);
            (is_voter && in_reach && !peer.is_leaving()).then_some((process, peer, member))
        })
    }

    /// Whether the target of a hand-over is the one to lead, still, and there.
    fn is_to_lead(&self, to: ProcessId, member: MemberId) -> bool {
        let Some(node) = self.node() else { return false };
        let is_there = self.peers.process_of(node.formation().id, member) == Some(to);
        let stays = is_there && self.peers.get(to).is_some_and(|peer| !peer.is_leaving());
        stays && (self.leaving || self.preferred() == Some(to))
    }

    /// A leader that said goodbye keeps nobody waiting until its process ends: once nothing is undecided it hands over. Not
    /// at once: others may end with it, as a whole shard does, each when its callbacks have seen the last log.
    fn let_go(&mut self) {
        let is_through = self.outbox.is_queue_empty() && self.outbox.is_settled();
        self.through_since = is_through.then(|| self.through_since.unwrap_or(self.now));
        let waited = self.through_since.is_some_and(|since| self.now.millis_since(since) >= LET_GO_MS);
        if !waited || self.hand_over.is_active() {
            return;
        }
        let preferred = self.preferred();
        let may_be_given_it = |heir: &Heir| !heir.lost_accepted && !self.hand_over.must_wait(heir.member, self.now);
        let best = self.heirs().filter(may_be_given_it).max_by_key(|heir| {
            (heir.is_near, preferred == Some(heir.process), heir.matched, Reverse(heir.process))
        });
        if let Some(Heir { process: to, member, .. }) = best {
            self.hand_over.start(to, member, self.now);
            let text = format!("handing leadership to {to}, since this process said goodbye");
            self.note("hand-over", 0, Severity::Info, text);
        } else if self.only_an_election_helps() {
            let text = "leading no more, since this process said goodbye: the others lost logs that they had accepted, and have \
                        to elect one of them";
            self.note("hand-over", 0, Severity::Warning, text.into());
            self.node_mut().expect("it leads").step_down();
        }
    }

    /// Who lost logs that it had accepted does not answer a call to campaign. It may be elected, if it has the whole log.
    fn only_an_election_helps(&self) -> bool {
        let Some(node) = self.node() else { return false };
        let last = node.last_index();
        let heirs: Vec<Heir> = self.heirs().collect();
        let is_level = heirs.iter().any(|heir| heir.matched == last);
        is_level && node.commit_index() == last && heirs.iter().all(|heir| heir.lost_accepted)
    }
}
