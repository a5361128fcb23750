//! What happens by the clock: campaigns, reports, memory; hand-overs are in `handing_over.rs`, the own disk in `own_disk.rs`.

use crate::ids::{LogIndex, MemberId, ProcessId, Time};

use super::admission::CUT_OFF_REPEAT_MS;
use super::group::{CutOff, Phase, Replica};
use super::message::{PeerMessage, Report};
use super::node::Node;
use super::planted::{self, Bug};
use super::output::{Severity, WaitsFor};
use super::retention::{Electorate, Standpoint};

/// Where a process stands is repeated, so that a lost message heals.
pub(super) const STANDING_MS: u64 = 500;

impl Replica {
    /// The clock moved. Call every `tick_ms`, or as rarely as [`Replica::ticks_until_due`] says; a late call is one
    /// tick, not several.
    pub fn tick(&mut self, now: Time) {
        self.pass_ticks(now, 1);
    }

    /// The clock moved by so many ticks, of which all but one were slept through as [`Replica::ticks_until_due`] allowed.
    pub fn pass_ticks(&mut self, now: Time, ticks: u32) {
        self.now = self.now.max(now);
        match &mut self.phase {
            Phase::Unformed(_) => {
                self.tick_forming();
                self.pass_order_on();
            }
            Phase::Member(node) => {
                (0..ticks).for_each(|_| node.tick());
                self.out.writes.extend(node.commit_write());
                self.observe();
                self.tick_member();
            }
            Phase::Stopped => return,
        }
        self.mind_waiting();
        if self.now.millis_since(self.standing_sent) >= STANDING_MS {
            self.announce_standing();
        }
    }

    /// In how many ticks the clock has something to do here: 1, unless the shard serves and nothing but what is repeated
    /// by the clock has come or gone for an election timeout. Then up to a heartbeat interval: nothing that waits for a
    /// tick comes later than that, and heartbeats and campaigns come when they would.
    pub fn ticks_until_due(&self) -> u32 {
        let election_ms = self.config.timing.election_ms;
        let is_quiet = self.now.millis_since(self.stirred) >= election_ms && self.waits_for() == WaitsFor::Nothing;
        let Some(node) = self.node().filter(|_| is_quiet) else { return 1 };
        let ticks = if node.is_leader() {
            node.ticks_to_heartbeat()
        } else {
            self.campaigns.ticks_left(node).min(node.heartbeat_ticks())
        };
        u32::try_from(ticks).unwrap_or(1).max(1)
    }

    fn tick_member(&mut self) {
        if let Phase::Member(node) = &self.phase {
            let every_ms = self.config.timing.election_ms / 2;
            self.marks.note(self.now, every_ms, node.last_index(), node.commit_index());
        }
        if !self.leads() {
            self.absent.clear();
        }
        self.ticked = true;
        self.send_wish();
        self.send_reports();
        self.keep_memory_bounded();
        self.mind_own_disk();
        self.mind_unread();
        self.mind_put_off();
        if self.leads() {
            self.tend_members();
            self.mind_absent();
            self.advance_hand_over();
        } else if self.leadership.is_suspended() {
            self.hand_over.await_leader(self.now, self.config.timing.election_ms);
        } else {
            let leader = self.node().and_then(Node::leader);
            self.hand_over.end(leader, self.now);
        }
        self.mind_being_stuck();
        self.mind_a_vain_formation();
    }

    /// Called when what came with a tick has been taken in: a leader's word, or another's campaign, may be waiting to be
    /// read when this process is late.
    pub(super) fn campaign_if_due(&mut self) {
        if !std::mem::take(&mut self.ticked) {
            return;
        }
        let may_begin = || !self.node().is_some_and(Node::is_blank) || self.sees_a_majority();
        if !self.takes_part() || !may_begin() {
            return;
        }
        let first = self.config.designated == Some(self.config.me) && self.config.campaign_at_start;
        let may_start = (first || self.formed_the_shard) && self.sees_a_majority();
        let preferred = self.preferred() == Some(self.config.me) && !self.declines_leadership();
        let Phase::Member(node) = &mut self.phase else { return };
        if self.campaigns.is_due(node, self.now, may_start) {
            self.campaigns.asked(node.term());
            node.campaign();
            self.campaigns.draw(preferred, &mut self.rng);
            self.observe();
        }
    }

    fn takes_part(&self) -> bool {
        !self.leaving && !self.superseded && self.cut_off.is_none()
    }

    /// A majority of the voters, this one included, is connected; while a membership change runs, of the former ones too. For
    /// the first election that is not enough.
    pub fn sees_a_majority(&self) -> bool {
        let Some(node) = self.node() else { return false };
        let conf = node.log().conf_state();
        let formation = node.formation().id;
        if node.is_blank() && !self.sees_enough_to_begin(node) && !planted::has(Bug::BeginWithFew) {
            return false;
        }
        let is_here = |&id: &MemberId| id == node.id() || self.peers.process_of(formation, id).is_some();
        [&conf.voters, &conf.voters_outgoing].iter().filter(|voters| !voters.is_empty()).all(|voters| {
            let here = voters.iter().filter_map(|&id| MemberId::new(id)).filter(is_here);
            here.count() > voters.len() / 2
        })
    }

    fn send_wish(&mut self) {
        let Some(wish) = self.wishes.due(self.now) else { return };
        let Some(node) = self.node() else { return };
        if node.is_leader() {
            self.propose_wish(wish);
        } else if let Some(leader) = self.leader_process() {
            self.send(leader, PeerMessage::Prefer(wish));
        }
    }

    /// The leader's process. A member that is still catching up may not have applied the leader's admission:
    /// then the leader's own word counts.
    pub(super) fn leader_process(&self) -> Option<ProcessId> {
        let node = self.node()?;
        let id = node.leader()?;
        let formation = node.formation().id;
        let own_word = || self.peers.process_of(formation, id).filter(|_| !planted::has(Bug::NameNoLeader));
        node.members().get(id.get()).map(|m| m.process).or_else(own_word)
    }

    fn send_reports(&mut self) {
        let Some(node) = self.node() else { return };
        let delivered = self.streams.delivered_index();
        // Where memory is short every tick counts: what is not known to be delivered stays, unless it is on disk.
        let goes_by_it = !node.log().has_older() || node.is_leader();
        let is_short = goes_by_it && self.memory_bytes() >= self.making_room_from();
        let is_urgent = is_short && delivered > self.report_delivered;
        if self.now.millis_since(self.report_sent) < self.config.timing.heartbeat_ms && !is_urgent {
            return;
        }
        let report = Report {
            delivered,
            lost_accepted: self.declines_leadership(),
            droppable: if node.is_leader() { self.retention.droppable() } else { LogIndex(0) },
        };
        let to: Vec<ProcessId> = if node.is_leader() {
            self.peers.connected().map(|(p, _)| p).collect()
        } else {
            self.leader_process().into_iter().collect()
        };
        (self.report_sent, self.report_delivered) = (self.now, delivered);
        for process in to {
            self.send(process, PeerMessage::Report(report));
        }
    }

    pub(super) fn on_report(&mut self, from: ProcessId, report: Report) {
        if self.leader_process() == Some(from) {
            self.retention.heard_from_leader(report.droppable);
        }
    }

    fn keep_memory_bounded(&mut self) {
        let limit = self.config.limits.log_memory_bytes;
        let Some(node) = self.node() else { return };
        let replays = node.applies_from_disk();
        if node.is_leader() {
            let log = node.log();
            // A leader with its log on disk keeps nothing for others. But others may have theirs in memory, which hold what it
            // has let go of until it says that they need not.
            let holds_others = log.first_in_memory() - 1 > self.retention.droppable().0;
            let at_bound = if log.has_older() { holds_others } else { log.bytes() >= limit };
            self.decide_droppable(at_bound);
        }
        if replays {
            self.streams.look(self.now);
        }
        if self.memory_bytes() >= self.making_room_from() {
            self.drop_from_memory(self.droppable_through(), (limit - limit / 8).saturating_sub(self.unshared_bytes()));
        }
        let over = self.memory_bytes() >= limit;
        // Only callbacks that lag are a reason: what fills the log otherwise is a tail that was never
        // committed, and only the leader's entries can replace it.
        let lags = self.node().is_some_and(|n| self.streams.delivered_index() < n.commit_index());
        self.refuses_payload = over && (lags || planted::has(Bug::ForgetFullFollower)) && !self.leads();
    }

    /// What `raft.log_memory_bytes` bounds: the log in memory, and what the lanes hold beside it.
    pub(super) fn memory_bytes(&self) -> usize {
        self.node().map_or(0, |node| node.log().bytes()) + self.unshared_bytes()
    }

    /// What was read from disk to be applied stops at half the bound, up to a pass ([`Replica::applying`]). The other half is
    /// the log's, however long a pass is.
    fn unshared_bytes(&self) -> usize {
        self.streams.unshared_bytes().min(self.config.limits.log_memory_bytes / 2)
    }

    /// The log in memory is not needed through here.
    fn droppable_through(&self) -> LogIndex {
        let Some(node) = self.node() else { return LogIndex(0) };
        let own = self.streams.delivered_index();
        match node.log().has_older() {
            // They are read when their turn has come.
            true if node.applies_from_disk() => node.persisted_and_committed(),
            true => own,
            false => self.retention.droppable().min(own),
        }
    }

    /// At the bound itself a leader proposes nothing more, and this is looked at once a tick: making room starts a sixteenth
    /// below, more than a tick brings, so that a shard that keeps up never waits.
    fn making_room_from(&self) -> usize {
        let limit = self.config.limits.log_memory_bytes;
        limit - limit / 16
    }

    fn decide_droppable(&mut self, at_bound: bool) {
        let Phase::Member(node) = &self.phase else { return };
        let conf = node.log().conf_state();
        let formation = node.formation().id;
        let election_ms = self.config.timing.election_ms;
        let electorate =
            Electorate { me: node.id(), voters: &conf.voters, outgoing: &conf.voters_outgoing };
        let standpoints: Vec<Standpoint> = conf
            .voters
            .iter()
            .chain(conf.voters_outgoing.iter().filter(|id| !conf.voters.contains(id)))
            .chain(&conf.learners)
            .filter_map(|&id| node.members().get(id))
            .filter(|m| m.id != node.id())
            .filter_map(|m| {
                let peer = self.peers.get(m.process)?;
                let is_it = peer.member_in(formation) == Some(m.id);
                // What it reports may overtake its acknowledgement, or the latter be lost with a connection:
                // Raft would then go on from before what was dropped, and take it for outrun.
                let matched = node.progress(m.id).map_or(LogIndex(0), |p| LogIndex(p.matched));
                let matched = if planted::has(Bug::BelieveDelivered) { LogIndex(u64::MAX) } else { matched };
                let delivered = if is_it { peer.delivered().min(matched) } else { LogIndex(0) };
                let heard = if peer.last_run == Some(m.run) || is_it { peer.heard } else { None };
                let present = is_it && heard.is_some_and(|at| self.now.millis_since(at) < election_ms);
                Some(Standpoint { member: m.id, delivered, heard, present })
            })
            .collect();
        let own = self.streams.delivered_index();
        let absent_ms = self.config.timing.absent_ms;
        let on_disk = node.log().has_older();
        for id in self.retention.decide(electorate, own, &standpoints, at_bound, self.now, absent_ms) {
            if on_disk {
                // It loses nothing by that: what it misses is on this disk.
                continue;
            }
            self.given_up += 1;
            let text = format!("{id} has held the log at its memory bound for {absent_ms} ms: not waiting for it any more");
            self.note("given up", 0, Severity::Warning, text);
        }
    }

    /// Drops what may go, oldest first, until `target` bytes are left.
    fn drop_from_memory(&mut self, through: LogIndex, target: usize) {
        let elapsed_s = self.now.millis_since(self.started) / 1_000;
        let Some(node) = self.node_mut() else { return };
        let was_whole = node.log().reaches_back_to_the_start();
        let mut next = LogIndex(node.log().first_in_memory());
        while node.log().bytes() > target && next <= through {
            node.drop_through(next);
            next = LogIndex(next.0 + 1);
        }
        if was_whole && !node.log().reaches_back_to_the_start() {
            let text = format!(
                "the log no longer reaches back to its start ({elapsed_s} s of history filled raft.log_memory_bytes): \
                 a replica that loses its memory can from now on not be rebuilt"
            );
            self.note("history", 0, Severity::Warning, text);
        }
    }

    /// How long nobody has led and no majority of the members was in reach.
    pub(super) fn stuck_ms(&self) -> u64 {
        self.stuck_since.map_or(0, |since| self.now.millis_since(since))
    }

    /// A member forgets its leader by a campaign. One that does not campaign, since it may not vote yet, was cut off, or has
    /// its own log still to replay, forgets it when any other would have campaigned; raft-rs would name a leader that died for
    /// ever.
    fn forget_a_silent_leader(&mut self) {
        let takes_part = self.takes_part();
        let silent_ticks = self.campaigns.longest_timeout_ticks();
        let Some(node) = self.node_mut().filter(|node| !node.is_leader()) else { return };
        let campaigns = takes_part && node.is_voter() && node.knows_the_members();
        let is_silent = node.leader().is_some() && node.election_elapsed_ticks() >= silent_ticks;
        if !campaigns && is_silent && !planted::has(Bug::RememberDeadLeader) {
            node.step_down();
            self.observe();
        }
    }

    /// This member may not know the members of now, and one that was admitted after all that it has is connected: the shard
    /// went on without it.
    pub(super) fn sees_a_later_member(&self) -> bool {
        let Some(node) = self.node().filter(|node| self.cut_off.is_some() || !node.is_voter()) else { return false };
        let mut others = self.peers.connected().filter_map(|(_, peer)| peer.member_in(node.formation().id));
        others.any(|id| node.members().get(id.get()).is_none()) && !planted::has(Bug::MissLaterMember)
    }

    /// A leader says so now, of members that this one need not know.
    pub(super) fn hears_that_it_is_out(&self) -> bool {
        let is_fresh = |out: &CutOff| self.now.millis_since(out.heard) <= 2 * CUT_OFF_REPEAT_MS;
        self.cut_off.as_ref().is_some_and(is_fresh) && !planted::has(Bug::MissLaterMember)
    }

    /// Who replays its own log knows the members that its formation began with, not those of now: whether a majority is in
    /// reach can't be said yet.
    pub(super) fn can_count_members(&self) -> bool {
        self.node().is_some_and(Node::knows_the_members)
    }

    fn mind_being_stuck(&mut self) {
        self.forget_a_silent_leader();
        let Some(node) = self.node() else { return };
        let is_led = node.leader().is_some() || self.hears_that_it_is_out();
        let knows_who_decides = self.can_count_members() && !self.superseded && !self.sees_a_later_member();
        if is_led || !knows_who_decides || self.sees_a_majority() {
            self.stuck_since = None;
            return;
        }
        self.stuck_since.get_or_insert(self.now);
        self.obey_own_order();
    }
}
