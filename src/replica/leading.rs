//! What happens by the clock: campaigns, hand-overs, reports, memory.

use std::cmp::Reverse;

use crate::ids::{LogIndex, MemberId, ProcessId, Time};

use super::group::{Phase, Replica};
use super::message::{PeerMessage, Report};
use super::node::Node;
use super::planted::{self, Bug};
use super::output::{Event, Severity, WaitsFor};
use super::preference::Step;
use super::retention::{Electorate, Standpoint};

/// Where a process stands is repeated, so that a lost message heals.
const STANDING_MS: u64 = 500;
/// A preferred process gets leadership once it has delivered within so many entries of the leader, or what
/// was committed a moment ago: its reports are up to a heartbeat interval old.
const NEARLY_DELIVERED_ENTRIES: u64 = 16;
/// A leader leads no more when its disk has stood still for so many election timeouts. A disk under load does so for some
/// hundred milliseconds now and then, and what is queued is lost with the leadership: so not after one.
const STALL_ELECTIONS: u64 = 4;
/// The disk is asked again for entries that it could not give: a follower's messages alone would ask all the time.
const READ_AGAIN_MS: u64 = 1_000;

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
    }

    /// Called when what came with a tick has been taken in: a leader's word, or another's campaign, may be waiting to be
    /// read when this process is late.
    pub(super) fn campaign_if_due(&mut self) {
        if !std::mem::take(&mut self.ticked) {
            return;
        }
        if !self.takes_part() {
            return;
        }
        let first = self.config.designated == Some(self.config.me) && self.config.campaign_at_start;
        let may_start = (first || self.formed_the_shard) && self.sees_a_majority();
        let preferred = self.preferred() == Some(self.config.me) && !self.lost_accepted;
        let Phase::Member(node) = &mut self.phase else { return };
        if self.campaigns.is_due(node, self.now, may_start) {
            self.campaigns.asked(node.term());
            node.campaign();
            self.campaigns.draw(preferred, &mut self.rng);
            self.observe();
        }
    }

    /// Looks whether the disk stands still while a majority has on theirs what it lacks. A leader then leads no more:
    /// its heartbeats leave all the same, so nobody would take over, and raft-rs applies nothing that is not on its own disk.
    /// Where the majority needs this disk, nobody has more on theirs, and nobody could lead better.
    fn mind_own_disk(&mut self) {
        let Some(node) = self.node() else { return };
        let (at, leads) = (node.outpaced_at(), node.is_leader());
        // Ticks, since after a pause of this process its disk may have gone on long ago.
        let ticks = self.outpaced.filter(|&(before, _)| Some(before) == at).map_or(0, |(_, ticks)| ticks + 1);
        self.outpaced = at.map(|at| (at, ticks));
        if !leads || !self.disk_stands_for(STALL_ELECTIONS) {
            return;
        }
        let text = format!(
            "the disk has not finished a write for {} ms, and a majority has on theirs what is missing here: leading no more, \
             so that another one can; look at the disk of raft.data_dir",
            ticks * self.config.timing.tick_ms
        );
        self.out.events.push(Event::Notice(Severity::Warning, text));
        if let Some(node) = self.node_mut() {
            node.step_down();
        }
        self.observe();
    }

    /// Old entries on this leader's disk that a member needs can't be read. That member gets them from a leader with a good
    /// copy, so leadership goes to one, by an orderly hand-over, as the host would ask for it: this process still serves,
    /// and may be the second of a majority. Once per run: where it comes back, the others' copies are no better.
    fn mind_unread(&mut self) {
        let Some(unread) = self.node().filter(|_| self.now >= self.read_again).and_then(Node::take_unread) else { return };
        self.read_again = self.now.plus_millis(READ_AGAIN_MS);
        if self.unread_repeats.take_turn(self.now) {
            let severity = if unread.is_passing { Severity::Warning } else { Severity::Error };
            let text = format!("a member can't be sent what it needs, since this disk does not give it: {}", unread.error);
            self.out.events.push(Event::Notice(severity, text));
        }
        if unread.is_passing || self.passed_on || !self.leads() {
            return;
        }
        if let Some(to) = self.who_has(unread.lows.last().copied().unwrap_or_default()) {
            self.passed_on = true;
            let text = format!(
                "asking that {to} lead, which has those entries on a disk of its own; once another process leads and all \
                 replicas vote, stop this one, move its raft.data_dir away and start it again"
            );
            self.out.events.push(Event::Notice(Severity::Error, text));
            self.set_preferred(Some(to));
        }
    }

    /// The voter process in reach that has most of the log, and more than the entry `index`, and may be given leadership.
    fn who_has(&self, index: u64) -> Option<ProcessId> {
        let node = self.node()?;
        let formation = node.formation().id;
        let voters = node.log().conf_state().voters.iter().filter_map(|&id| MemberId::new(id)).filter(|&id| id != node.id());
        let with_log = voters.filter_map(|id| {
            let (matched, process) = (node.progress(id)?.matched, self.peers.process_of(formation, id)?);
            let peer = self.peers.get(process)?;
            let may_lead = !peer.is_leaving() && !peer.report.is_some_and(|report| report.lost_accepted);
            (may_lead && matched > index).then_some((matched, process))
        });
        with_log.max_by_key(|&(matched, _)| matched).map(|(_, process)| process)
    }

    /// This disk has stood still for so many election timeouts while a majority has on theirs what it lacks.
    pub(super) fn disk_stands_for(&self, elections: u64) -> bool {
        let timing = &self.config.timing;
        self.outpaced.is_some_and(|(_, ticks)| ticks * timing.tick_ms >= elections * timing.election_ms)
    }

    fn takes_part(&self) -> bool {
        !self.leaving && !self.superseded && self.cut_off.is_none()
    }

    /// A majority of the voters, this one included, is connected; while a membership change runs, of the former ones too.
    pub(super) fn sees_a_majority(&self) -> bool {
        let Some(node) = self.node() else { return false };
        let conf = node.log().conf_state();
        let formation = node.formation().id;
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
        let is_short = !node.log().has_older() && node.log().bytes() >= self.making_room_from();
        let is_urgent = is_short && delivered > self.report_delivered;
        if self.now.millis_since(self.report_sent) < self.config.timing.heartbeat_ms && !is_urgent {
            return;
        }
        let report = Report {
            delivered,
            lost_accepted: self.lost_accepted,
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
        let (bytes, has_disk) = (node.log().bytes(), node.log().has_older());
        if node.is_leader() && !has_disk {
            self.decide_droppable(bytes >= limit);
        }
        if bytes >= self.making_room_from() {
            let own = self.streams.delivered_index();
            let through = if has_disk { own } else { self.retention.droppable().min(own) };
            self.drop_from_memory(through, limit - limit / 8);
        }
        let over = self.node().is_some_and(|n| n.log().bytes() >= limit);
        // Only callbacks that lag are a reason: what fills the log otherwise is a tail that was never
        // committed, and only the leader's entries can replace it.
        let lags = self.node().is_some_and(|n| self.streams.delivered_index() < n.commit_index());
        self.refuses_payload = over && (lags || planted::has(Bug::ForgetFullFollower)) && !self.leads();
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
        for id in self.retention.decide(electorate, own, &standpoints, at_bound, self.now, absent_ms) {
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

    fn advance_hand_over(&mut self) {
        if self.hand_over.target().is_some_and(|(to, _)| !self.is_to_lead(to)) {
            self.hand_over.call_off();
        }
        if self.leaving {
            self.let_go();
        } else {
            self.start_hand_over();
        }
        let Some(node) = self.node() else { return };
        let target = self.hand_over.target();
        let last = node.last_index();
        let matched = target.and_then(|(_, id)| node.progress(id)).is_some_and(|p| p.matched == last.0);
        let settled = matched
            && node.commit_index() == last
            && self.outbox.is_queue_empty()
            && self.outbox.is_settled();
        let term = node.term();
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

    fn start_hand_over(&mut self) {
        let Some((to, member)) = self.hand_over_target() else { return };
        if self.peers.get(to).and_then(|peer| peer.report).is_some_and(|report| report.lost_accepted) {
            let text = format!(
                "{to} is the preferred leader, but its run lost logs that it had accepted: it is not given leadership \
                 until it is restarted"
            );
            return self.note("lost accepted", 30_000, Severity::Warning, text);
        }
        if self.hand_over.start(to, member, self.now) {
            let text = format!("handing leadership to {to}, the preferred leader");
            self.note("hand-over", 0, Severity::Info, text);
        }
    }

    fn hand_over_target(&self) -> Option<(ProcessId, MemberId)> {
        let to = self.preferred().filter(|_| self.leadership.is_announced())?;
        let heir = self.heirs().find(|heir| heir.process == to && heir.is_near)?;
        Some((to, heir.member))
    }

    /// The voters that could lead in this one's place: in reach, and not about to end.
    fn heirs(&self) -> impl Iterator<Item = Heir> + '_ {
        let election_ms = self.config.timing.election_ms;
        self.peers.connected().filter_map(move |(process, peer)| {
            let node = self.node()?;
            let member = peer.member_in(node.formation().id)?;
            let report = peer.report?;
            let is_voter = node.log().conf_state().voters.contains(&member.get());
            let in_reach = peer.heard.is_some_and(|at| self.now.millis_since(at) < election_ms);
            let is_near = report.delivered.0.saturating_add(NEARLY_DELIVERED_ENTRIES) >= node.commit_index().0
                || self.marks.keeps_delivering(report.delivered);
            let matched = node.progress(member).map_or(LogIndex(0), |progress| LogIndex(progress.matched));
            let heir = Heir { process, member, is_near, matched, lost_accepted: report.lost_accepted };
            (is_voter && in_reach && !peer.is_leaving()).then_some(heir)
        })
    }

    /// Whether the target of a hand-over is the one to lead, still.
    fn is_to_lead(&self, to: ProcessId) -> bool {
        let stays = self.peers.get(to).is_some_and(|peer| !peer.is_leaving());
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

    /// How long nobody has led and no majority of the members was in reach.
    pub(super) fn stuck_ms(&self) -> u64 {
        self.stuck_since.map_or(0, |since| self.now.millis_since(since))
    }

    /// A member forgets its leader by a campaign. One that does not campaign, since it may not vote yet or was cut off,
    /// forgets it when any other would have campaigned; raft-rs would name a leader that died for ever.
    fn forget_a_silent_leader(&mut self) {
        let takes_part = self.takes_part();
        let silent_ticks = self.campaigns.longest_timeout_ticks();
        let Some(node) = self.node_mut().filter(|node| !node.is_leader()) else { return };
        let campaigns = takes_part && node.is_voter();
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

    fn mind_being_stuck(&mut self) {
        self.forget_a_silent_leader();
        let Some(node) = self.node() else { return };
        if node.leader().is_some() || self.superseded || self.sees_a_majority() || self.sees_a_later_member() {
            self.stuck_since = None;
            return;
        }
        self.stuck_since.get_or_insert(self.now);
        self.obey_own_order();
    }
}
