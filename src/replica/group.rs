//! The replica of one group: what it holds, and its inputs.
//!
//! The subjects have files of their own: forming (`forming.rs`, driven by `shaping.rs`), the raft-rs
//! node (`node.rs`), membership (`admission.rs`), what the host is told (`leadership.rs`), hand-overs
//! (`preference.rs`, driven by `handing_over.rs`), slots (`streams.rs`), the accepted and undecided
//! (`outbox.rs`), memory (`retention.rs`), the outputs (`passes.rs`). Here they meet: one owner, one order
//! of events.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use raft::eraftpb::{Entry, Message, MessageType};

use crate::ids::{LogIndex, MemberId, PartitionId, ProcessId, RunId, Slot, Term, Time};
use crate::repeats::Repeats;
use crate::storage::memory::MemoryLog;

use super::admission::Marks;
use super::campaigns::Campaigns;
use super::config::{NotResumed, Recovered, ReplicaConfig};
use super::control::Preference;
use super::formation::Formation;
use super::forming::{Forming, Unformed};
use super::judging;
use super::leadership::{Leadership, NeverLeads, RaftView};
use super::members;
use super::message::{PeerMessage, Standing};
use super::node::Node;
use super::outbox::{Decided, Outbox};
use super::output::{Event, Outputs, Severity, WaitsFor};
use super::pace::Pace;
use super::payload::{Chunk, Origin};
use super::planted::{self, Bug};
use super::peers::Peers;
use super::preference::{HandOver, Wishes};
use super::retention::Retention;
use super::streams::Streams;
use super::waiting::Waiting;

/// What this replica is in the life of the shard.
pub(super) enum Phase {
    /// Belongs to no formation yet.
    Unformed(Box<Shaping>),
    /// A member of a formation.
    Member(Box<Node>),
    /// Can't keep its promises: acknowledges nothing any more.
    Stopped,
}

/// A leader's word that a member is out.
#[derive(Clone, Copy)]
pub(super) struct CutOff {
    /// The leader.
    pub(super) by: ProcessId,
    /// In which it leads.
    pub(super) term: Term,
    /// It is repeated as long as it leads and is connected.
    pub(super) heard: Time,
}

/// What an unformed run knows.
pub(super) struct Shaping {
    pub(super) forming: Forming,
    /// Formed runs that were met and have not said goodbye: who met one does not form.
    pub(super) formed_met: BTreeMap<ProcessId, RunId>,
    /// An operator's order says that a formation has a survivor, met or not.
    pub(super) survivor_told: Option<ProcessId>,
    /// Since when a majority of voters has been connected and unformed.
    pub(super) majority_since: Option<Time>,
    /// When the current round is given up.
    pub(super) round_until: Time,
    /// A round has shown that what it would have to carry forward can't work while voters are missing.
    pub(super) needs_all: bool,
    /// When the designated process was last connected.
    pub(super) designated_seen: Option<Time>,
    /// Writes through this one were of a formation that this run has left.
    pub(super) former_writes: u64,
}

impl Shaping {
    /// A formed run was met, did not say goodbye, and may hold logs, or an operator's order names one: some
    /// voter process is not connected as an unformed run.
    pub(super) fn knows_of_a_formation(&self, unformed: &Unformed) -> bool {
        let is_told = self.survivor_told.is_some() && !planted::has(Bug::FormDespiteOrder);
        let has_heard_of_one = is_told || !self.formed_met.is_empty();
        has_heard_of_one && !self.forming.all_unformed(unformed)
    }
}

/// One replica of one Raft group, without I/O.
pub struct Replica {
    pub(super) config: ReplicaConfig,
    pub(super) origin: Origin,
    pub(super) started: Time,
    pub(super) now: Time,
    /// When anything but what is repeated by the clock last came or went.
    pub(super) stirred: Time,
    pub(super) rng: SmallRng,
    pub(super) peers: Peers,
    pub(super) phase: Phase,
    /// The membership that is on disk, or in memory where logs are there: this run tells of no other. What was told and is
    /// gone after a crash would have made others give way to it.
    pub(super) seat: Option<(Formation, MemberId)>,
    /// Formations that this run has left, and what it was there.
    pub(super) left: BTreeSet<(u64, MemberId)>,
    /// Since when this one's formation can't begin, and nobody has anything of another.
    pub(super) vain_since: Option<Time>,
    pub(super) campaigns: Campaigns,
    /// The clock ticked, and whether to campaign was not looked at since.
    pub(super) ticked: bool,
    pub(super) leadership: Leadership,
    pub(super) wishes: Wishes,
    pub(super) hand_over: HandOver,
    pub(super) companion: Option<ProcessId>,
    /// An entry in the log says that a process led all groups of several.
    pub(super) says_led: bool,
    /// Of several groups: the target of a hand-over is not called before the others are as far.
    pub(super) holds_call: bool,
    /// Of several groups: no order to go on alone is obeyed.
    pub(super) holds_orders: bool,
    /// This run comes to lead although it lost logs: nobody else can lead all groups of several.
    pub(super) leads_despite_loss: bool,
    pub(super) retention: Retention,
    pub(super) marks: Marks,
    pub(super) streams: Streams,
    pub(super) outbox: Outbox,
    pub(super) pace: Pace,
    /// Term and first index of this member's leadership.
    pub(super) leading_since: Option<(Term, LogIndex)>,
    /// This run's proposal formed the shard: it has the first move although it is not designated.
    pub(super) formed_the_shard: bool,
    pub(super) leaving: bool,
    /// Since when this leader, leaving, has had nothing undecided.
    pub(super) through_since: Option<Time>,
    /// A leader said that its log has not what this run needs.
    pub(super) cut_off: Option<CutOff>,
    /// A later generation began from this one's log and was met: this member serves no more.
    pub(super) superseded: bool,
    /// No leader, and no majority of the members in reach, since then.
    pub(super) stuck_since: Option<Time>,
    /// The last entry on this disk while a majority has more on theirs, and for how many ticks it has been that one.
    pub(super) outpaced: Option<(LogIndex, u64)>,
    /// When entries that could not be read are tried again, and how often that was said.
    pub(super) read_again: Time,
    pub(super) unread_repeats: Repeats,
    pub(super) put_off_repeats: Repeats,
    /// This run has asked that another process lead, since what others need can't be read here.
    pub(super) passed_on: bool,
    /// What is waited for now, and how often each was said.
    pub(super) waiting: Waiting,
    pub(super) wait_repeats: BTreeMap<WaitsFor, Repeats>,
    /// Members that this one, leading, has not heard for `absent_ms`.
    pub(super) absent: BTreeSet<MemberId>,
    /// What [`judging`] refused.
    pub(super) refused_messages: u64,
    /// Runs that this one has told that they can't be rebuilt.
    pub(super) turned_away: BTreeSet<RunId>,
    /// Members that this one, leading, waits for no longer.
    pub(super) given_up: u64,
    /// How often this one, leading, waited for a member that it can't give up.
    pub(super) held_up: u64,
    /// This run began the next generation.
    pub(super) restored: bool,
    pub(super) lost_accepted: bool,
    /// Appends are refused until memory is free again.
    pub(super) refuses_payload: bool,
    pub(super) out: Outputs,
    pub(super) standing_sent: Time,
    pub(super) report_sent: Time,
    pub(super) report_delivered: LogIndex,
    pub(super) last_note: BTreeMap<&'static str, Time>,
    /// What was last said about a membership change.
    pub(super) last_change_noted: String,
    last_repeat: BTreeMap<ProcessId, Time>,
    /// An emptied buffer, reused by each pass.
    pub(super) decided: Vec<Decided>,
}

impl Replica {
    /// A replica that knows nobody yet, or the member that `recovered` describes.
    pub fn new(config: ReplicaConfig, recovered: Option<Recovered>) -> Result<Self, NotResumed> {
        let now = config.now;
        let origin = Origin { process: config.me, run: config.run };
        let others = config.voters.iter().chain(&config.learners).copied().filter(|&p| p != config.me);
        let is_designated = config.designated == Some(config.me);
        let mut replica = Self {
            origin,
            started: now,
            now,
            stirred: now,
            rng: SmallRng::seed_from_u64(config.seed),
            peers: Peers::new(others),
            phase: Phase::Stopped,
            seat: None,
            left: BTreeSet::new(),
            vain_since: None,
            campaigns: Campaigns::new(&config.timing, now.plus_millis(config.timing.form_wait_ms)),
            ticked: false,
            leadership: Leadership::new(is_designated),
            wishes: Wishes::new(config.preferred, config.voters.clone()),
            hand_over: HandOver::default(),
            companion: None,
            says_led: false,
            holds_call: false,
            holds_orders: false,
            leads_despite_loss: false,
            retention: Retention::default(),
            marks: Marks::default(),
            streams: Streams::new(&config.partitions),
            outbox: Outbox::new(&config.partitions),
            pace: Pace::new(config.timing.commit_wait_us),
            leading_since: None,
            formed_the_shard: false,
            leaving: false,
            through_since: None,
            cut_off: None,
            superseded: false,
            stuck_since: None,
            outpaced: None,
            read_again: now,
            unread_repeats: Repeats::default(),
            put_off_repeats: Repeats::default(),
            passed_on: false,
            waiting: Waiting::default(),
            wait_repeats: BTreeMap::new(),
            absent: BTreeSet::new(),
            refused_messages: 0,
            turned_away: BTreeSet::new(),
            given_up: 0,
            held_up: 0,
            restored: false,
            lost_accepted: false,
            refuses_payload: false,
            out: Outputs::default(),
            standing_sent: now,
            report_sent: now,
            report_delivered: LogIndex(0),
            last_note: BTreeMap::new(),
            last_change_noted: String::new(),
            last_repeat: BTreeMap::new(),
            decided: Vec::new(),
            config,
        };
        match recovered {
            Some(recovered) => replica.resume(recovered)?,
            None => replica.phase = Phase::Unformed(Box::new(replica.new_shaping())),
        }
        Ok(replica)
    }

    pub(super) fn new_shaping(&self) -> Shaping {
        Shaping {
            forming: Forming::new(self.config.me, self.config.voters.clone()),
            formed_met: BTreeMap::new(),
            survivor_told: self.config.restore.as_ref().map(|order| order.survivor),
            majority_since: None,
            round_until: self.now,
            needs_all: false,
            designated_seen: None,
            former_writes: 0,
        }
    }

    /// Continues as the member that the data directory describes.
    fn resume(&mut self, recovered: Recovered) -> Result<(), NotResumed> {
        let Recovered { formation, member, mut hard_state, last_index, tail, older } = recovered;
        judging::formation(&formation).map_err(str::to_owned)?;
        if planted::has(Bug::ForgetVoteAtRestart) {
            hard_state.vote = 0;
        }
        let conf_state = members::initial_conf_state(&formation);
        let older = older.or(self.config.older.take());
        let log = MemoryLog::recovered(conf_state, hard_state, last_index, tail, older)?;
        let node = Node::new(formation, member, log, 0, &self.config.timing, &self.config.limits, self.config.durable)?;
        self.become_member(node);
        Ok(())
    }

    /// Starts the node of a new member, from the formation's first index.
    pub(super) fn join(&mut self, formation: Formation, id: MemberId) {
        (self.cut_off, self.superseded) = (None, false);
        let former_writes = if let Phase::Unformed(shaping) = &self.phase { shaping.former_writes } else { 0 };
        let older = self.config.older.take();
        let log = MemoryLog::new(members::initial_conf_state(&formation), older);
        match Node::new(formation, id, log, 0, &self.config.timing, &self.config.limits, self.config.durable) {
            Ok(mut node) => {
                node.number_writes_after(former_writes);
                self.out.writes.extend(node.membership_write());
                self.become_member(node);
            }
            Err(reason) => self.stop(reason),
        }
    }

    pub(super) fn become_member(&mut self, node: Node) {
        self.out.events.push(Event::Joined { formation: node.formation().id, member: node.id() });
        self.phase = Phase::Member(Box::new(node));
        let preferred = self.preferred() == Some(self.config.me);
        self.campaigns.draw(preferred, &mut self.rng);
        self.take_seat();
        self.observe();
    }

    /// Tells of a new membership as soon as it is on disk.
    fn take_seat(&mut self) {
        let Some(node) = self.node().filter(|node| node.is_seated() || planted::has(Bug::TellBeforeWritten)) else { return };
        let formation = node.formation();
        if self.seat.as_ref().is_some_and(|(known, _)| known.id == formation.id) {
            return;
        }
        self.seat = Some((formation.clone(), node.id()));
        self.announce_standing();
    }

    pub(super) fn node(&self) -> Option<&Node> {
        match &self.phase {
            Phase::Member(node) => Some(node),
            _ => None,
        }
    }

    /// Raft's word: this member leads. The host may not have been told yet.
    pub(super) fn leads(&self) -> bool {
        self.node().is_some_and(Node::is_leader)
    }

    pub(super) fn node_mut(&mut self) -> Option<&mut Node> {
        match &mut self.phase {
            Phase::Member(node) => Some(node),
            _ => None,
        }
    }

    /// Stops for good: nothing is acknowledged from here on.
    pub(super) fn stop(&mut self, reason: String) {
        self.phase = Phase::Stopped;
        self.out.messages.clear();
        self.out.writes.clear();
        self.out.events.push(Event::Fatal(reason));
    }

    /// Something happened that the clock's next tick may have to act on.
    pub(super) fn stir(&mut self) {
        self.stirred = self.now;
    }

    /// Whom leadership should go to.
    pub(super) fn preferred(&self) -> Option<ProcessId> {
        self.companion.or(self.wishes.preferred())
    }

    /// A turn of the loop begins: what arrived is given next, then `advance` is called. The time is the clock's, in
    /// microseconds; it moves on between ticks too, which only `tick` counts.
    pub fn begin_turn(&mut self, at: Time) {
        self.pace.turn(at);
        let delay = !self.leaving && self.pace.next_log_by().is_some();
        if let Some(node) = self.node_mut() {
            node.delay_commits(delay);
        }
    }

    /// A commit index waits for the next entries until then: call `begin_turn` at that time or soon after, and it is sent
    /// without. `None` when none waits.
    pub fn commit_due(&self) -> Option<Time> {
        let waits = self.node().is_some_and(Node::delays_a_commit);
        waits.then(|| self.pace.next_log_by().unwrap_or(Time(0)))
    }

    /// An authenticated connection to this run of `peer` is up (it replaces any former one).
    pub fn peer_up(&mut self, peer: ProcessId, run: RunId) {
        self.stir();
        let is_another = self.peers.get(peer).and_then(|p| p.last_run).is_some_and(|last| last != run);
        self.peers.up(peer, run, self.now);
        if is_another {
            self.ask_anew(peer);
        }
        if let Phase::Unformed(shaping) = &mut self.phase {
            shaping.forming.forget(peer);
        }
        let standing = PeerMessage::Standing(self.standing());
        self.send(peer, standing);
    }

    /// The connection to `peer` is gone.
    pub fn peer_down(&mut self, peer: ProcessId) {
        self.stir();
        let member = self
            .node()
            .and_then(|node| self.peers.get(peer)?.member_in(node.formation().id));
        self.peers.down(peer);
        match &mut self.phase {
            Phase::Unformed(shaping) => shaping.forming.forget(peer),
            Phase::Member(node) => {
                if let Some(member) = member {
                    node.unreachable(member);
                }
            }
            Phase::Stopped => {}
        }
    }

    /// A message from the connected run of `from`. Messages of processes that are not connected, or not of
    /// this group, are ignored.
    pub fn receive(&mut self, from: ProcessId, message: PeerMessage) {
        let now = self.now;
        let Some(peer) = self.peers.connected_mut(from) else { return };
        peer.heard = Some(now);
        let is_repeated = peer.is_repeated(&message);
        if !is_repeated {
            self.stir();
        }
        if let Err(why) = self.judge(from, &message) {
            return self.note_refused(from, why);
        }
        let Some(peer) = self.peers.connected_mut(from) else { return };
        match message {
            PeerMessage::Standing(standing) => self.on_standing(from, standing),
            PeerMessage::Raft(formation, message) => self.on_raft(from, formation, *message),
            PeerMessage::Report(report) => {
                peer.report = Some(report);
                self.on_report(from, report);
            }
            PeerMessage::Prefer(wish) => self.propose_wish(wish),
            PeerMessage::Welcome(formation, id) => self.on_welcome(from, formation, id),
            PeerMessage::CutOff { formation, term, reason } => self.on_cut_off(from, formation, term, reason),
            PeerMessage::Restore(formation) => self.on_restore(from, formation),
            forming => self.on_forming(from, forming),
        }
    }

    fn on_raft(&mut self, from: ProcessId, formation: u64, message: Message) {
        if self.superseded {
            return;
        }
        let refuses = self.refuses_payload;
        let sender = self.peers.get(from).and_then(|p| p.member_in(formation));
        // The leader's view of us may be older than what we lost, and what we proposed may be overwritten
        // and not known to be lost yet: only this run can tell for sure.
        // And raft-rs looks through all that is not applied yet before it campaigns, which may be a whole log on disk.
        let replays = self.node().is_some_and(Node::applies_from_disk);
        let declines = self.leaving || self.declines_leadership() || replays || !self.outbox.is_settled();
        let is_ours = self.node().is_some_and(|n| n.formation().id == formation);
        if !is_ours || sender.map(MemberId::get) != Some(message.from) {
            return;
        }
        self.note_forgotten(from, formation, &message);
        let Phase::Member(node) = &mut self.phase else { return };
        // A later leader, or the same one after an acknowledgement that was late, sends what this member lacks.
        let (kind, term) = (message.get_msg_type(), Term(message.term));
        if matches!(kind, MessageType::MsgRequestPreVote | MessageType::MsgRequestVote) {
            self.campaigns.saw_a_campaign(node, &message, self.now);
        }
        if kind == MessageType::MsgRequestPreVote && !self.campaigns.lets_ask(node, &message) {
            return;
        }
        match kind {
            MessageType::MsgAppend if refuses && !message.entries.is_empty() => return,
            MessageType::MsgTimeoutNow if declines => return,
            _ => {}
        }
        let goes_on = kind == MessageType::MsgHeartbeatResponse && node.is_leader() && term == node.term() && {
            let matched = sender.and_then(|id| node.progress(id)).map_or(LogIndex(0), |p| LogIndex(p.matched));
            let now = self.now;
            self.peers.connected_mut(from).is_some_and(|peer| peer.takes_what_is_sent(matched, now))
        };
        if goes_on {
            return node.lives(&message);
        }
        if let Err(why) = node.step(message) {
            self.note_refused(from, why);
        } else if kind == MessageType::MsgAppend && self.cut_off.is_some_and(|by| term >= by.term) {
            self.cut_off = None;
            let text = format!("not cut off after all: {from} leads and goes on with this member");
            self.note("cut off", 1_000, Severity::Info, text);
        }
        self.observe();
    }

    fn note_refused(&mut self, from: ProcessId, why: &'static str) {
        self.refused_messages += 1;
        self.note("refused", 1_000, Severity::Warning, format!("refused a message of {from}: {why}"));
    }

    fn on_cut_off(&mut self, by: ProcessId, formation: u64, term: Term, reason: String) {
        // A leader that does not know yet that it was deposed can't say what the one of now can do.
        let is_over = |node: &Node| term < node.term() && !planted::has(Bug::BelieveDeposedLeader);
        if self.node().is_some_and(|node| node.formation().id != formation || is_over(node)) {
            return;
        }
        if self.cut_off.replace(CutOff { by, term, heard: self.now }).is_none() {
            let text = format!("cut off in term {term}, stays out until it is restarted: {reason}");
            self.out.events.push(Event::Notice(Severity::Error, text));
        }
        self.observe();
    }

    /// Whether something is queued for `peer` that the network has not taken. To be told before each answer to a heartbeat.
    pub fn set_backlog(&mut self, peer: ProcessId, backlog: bool) {
        if let Some(peer) = self.peers.connected_mut(peer) {
            peer.backlog = backlog;
        }
    }

    /// The transport had no room for this message, which is lost. Raft learns of it at once, not from a follower that waits
    /// for what is missing while more is sent behind it.
    pub fn not_sent(&mut self, to: ProcessId, message: &PeerMessage) {
        let PeerMessage::Raft(formation, message) = message else { return };
        let (is_append, entries) = (message.get_msg_type() == MessageType::MsgAppend, &message.entries);
        let member = self.peers.get(to).and_then(|peer| peer.member_in(*formation));
        let Phase::Member(node) = &mut self.phase else { return };
        if let (true, Some(first), Some(member)) = (is_append, entries.first(), member) {
            node.not_sent(member, LogIndex(first.index));
        }
    }

    /// Accepted logs, in submission order per partition. Never refused: after the gate closed they come
    /// out as lost.
    pub fn submit(&mut self, chunk: Chunk) {
        self.stir();
        self.pace.took_logs();
        self.outbox.push(chunk);
        if self.leadership.is_closed() {
            self.lose_queued();
        }
    }

    /// Accepted logs that were still in an intake when it closed, in submission order per partition: they come out as
    /// lost, also where logs of another leadership are taken by now.
    pub fn surrender(&mut self, chunk: Chunk) {
        self.stir();
        self.outbox.push(chunk);
        self.lose_queued();
    }

    /// Whether the outbox of `partition` wants more chunks now. Leave logs in the intake otherwise, so
    /// that small ones gather.
    pub fn wants(&self, partition: PartitionId) -> bool {
        self.outbox.queued_bytes(partition) < self.config.limits.outbox_bytes
    }

    /// After [`super::output::Gate::Hold`]: everything that the intakes had accepted has been submitted.
    pub fn intakes_drained(&mut self) {
        self.hand_over.intakes_drained();
    }

    /// The write with this id, and all before it, are on disk.
    pub fn persisted(&mut self, write: u64) {
        if let Some(node) = self.node_mut() {
            node.persisted(write);
        }
        self.take_seat();
        self.observe();
    }

    /// The callbacks of `partition` have returned for all slots through `slot`.
    pub fn delivered(&mut self, partition: PartitionId, slot: Slot) {
        self.stir();
        self.streams.delivered(partition, slot);
    }

    /// Contract section 6, `set_preferred_leader`: repeated until it is seen in the log. Who may not vote is never preferred.
    pub fn set_preferred(&mut self, preferred: Option<ProcessId>) {
        self.stir();
        self.wishes.ask(self.origin, preferred);
    }

    /// Whether leadership can come here before the process is restarted.
    ///
    /// # Errors
    /// Why it can't.
    pub fn can_lead(&self) -> Result<(), NeverLeads> {
        if !self.config.voters.contains(&self.config.me) {
            return Err(NeverLeads::Learner);
        }
        if self.leaving {
            return Err(NeverLeads::Leaving);
        }
        // A run that is no member yet may be admitted by another leader than the one that can't rebuild it.
        let is_out = if self.node().is_some() { self.is_out() } else { self.hears_that_it_is_out() };
        if is_out {
            return Err(NeverLeads::Out);
        }
        Ok(())
    }

    /// Contract section 6, `upgrade_p1_to_leader`.
    ///
    /// # Errors
    /// Leadership would not come, so nothing is asked for and no log is kept for it.
    pub fn seek_leadership(&mut self) -> Result<(), NeverLeads> {
        self.can_lead()?;
        self.leadership.seek(self.now);
        self.set_preferred(Some(self.config.me));
        Ok(())
    }

    /// While set, the leader hands leadership to this process (keeps the leaders of several groups of one
    /// process together), or keeps it where it is this one. `None` returns to the preference.
    pub fn set_companion(&mut self, leader: Option<ProcessId>) {
        if std::mem::replace(&mut self.companion, leader) != leader {
            self.stir();
        }
    }

    /// Contract section 3.7: say goodbye, never campaign again, go on acknowledging and delivering.
    pub fn say_goodbye(&mut self) {
        self.stir();
        if !std::mem::replace(&mut self.leaving, true) {
            self.leadership.stand_alone();
            self.announce_standing();
        }
        // No log may follow.
        if let Some(node) = self.node_mut() {
            node.delay_commits(false);
        }
    }

    /// Logs accepted here and neither committed nor lost yet (outbox and proposals).
    pub fn undecided_logs(&self) -> u64 {
        self.outbox.undecided_logs()
    }

    /// XXH3 of an entry's payload, where whoever submitted it here computed it and it is not decided yet.
    pub fn checksum_of(&self, entry: &Entry) -> Option<u64> {
        self.outbox.checksum_of(LogIndex(entry.index), Term(entry.term))
    }

    /// True when draining can't succeed any more: this replica is no member, was cut off or superseded; what is left was
    /// never proposed, and who said goodbye does not come to lead; or no leader can come, because too
    /// many members left or all are leaving.
    pub fn drain_is_hopeless(&self) -> bool {
        let takes_part = self.cut_off.is_none() && !self.superseded;
        let Some(node) = self.node().filter(|_| takes_part) else { return true };
        if self.leaving && !node.is_leader() && self.outbox.is_settled() && !planted::has(Bug::DrainForNobody) {
            return true;
        }
        let voters = node.members().processes(&node.log().conf_state().voters);
        let gone = voters.iter().filter(|&&p| self.peers.get(p).is_some_and(|peer| peer.departed)).count();
        let nobody_campaigns = node.leader().is_none()
            && voters.iter().all(|&p| match self.peers.get(p) {
                Some(peer) => peer.is_leaving(),
                None => self.leaving,
            });
        nobody_campaigns || voters.len() - gone < voters.len() / 2 + 1
    }

    /// Drain time is over: what was never proposed is lost. What was proposed stays undecided, since it may
    /// still commit and then be delivered; the caller counts the rest as lost once this replica is gone.
    pub fn abandon_undecided(&mut self) {
        self.lose_queued();
    }

    pub(super) fn send(&mut self, to: ProcessId, message: PeerMessage) {
        self.out.messages.push((to, message));
    }

    /// A line for the operator, at most one per `every_ms` and subject.
    pub(super) fn note(&mut self, subject: &'static str, every_ms: u64, severity: Severity, text: String) {
        let now = self.now;
        let due = self.last_note.get(subject).is_none_or(|&at| now.millis_since(at) >= every_ms);
        if due {
            self.last_note.insert(subject, now);
            self.out.events.push(Event::Notice(severity, text));
        }
    }

    /// Bounds how often something is said again to `process`.
    pub(super) fn may_repeat(&mut self, process: ProcessId, every_ms: u64) -> bool {
        let now = self.now;
        let due = self.last_repeat.get(&process).is_none_or(|&at| now.millis_since(at) >= every_ms);
        if due {
            self.last_repeat.insert(process, now);
        }
        due
    }

    pub(super) fn standing(&self) -> Standing {
        let log_end = self.node().map_or_else(Default::default, Node::log_end);
        Standing { member: self.seat.clone(), blank: self.is_blank(), leaving: self.leaving, log_end }
    }

    /// It stands in a formation, and has nothing of it.
    pub(super) fn is_blank(&self) -> bool {
        self.seat.is_some() && self.node().is_some_and(Node::is_blank)
    }

    pub(super) fn announce_standing(&mut self) {
        self.standing_sent = self.now;
        let standing = self.standing();
        let connected: Vec<ProcessId> = self.peers.connected().map(|(p, _)| p).collect();
        for peer in connected {
            self.send(peer, PeerMessage::Standing(standing.clone()));
        }
    }

    /// Puts a wish into the log, when leading.
    pub(super) fn propose_wish(&mut self, wish: Preference) {
        let Phase::Member(node) = &mut self.phase else { return };
        if !self.wishes.is_new_in(node.term(), &wish) {
            return;
        }
        let entry = super::payload::encode_control(self.origin, &wish.encode());
        if node.propose(std::iter::once(entry)).is_some() {
            self.wishes.was_proposed(&wish);
        }
    }

    /// Looks at raft-rs after everything that may have changed it, and at what a leader says to whom it sends nothing else.
    pub(super) fn observe(&mut self) {
        let view = match &self.phase {
            Phase::Stopped => return,
            Phase::Unformed(_) => self.view_from_outside(),
            Phase::Member(_) if self.superseded => RaftView::Following { leader: None },
            Phase::Member(node) if node.is_leader() => {
                let (term, last) = (node.term(), node.last_index());
                match self.leading_since {
                    Some((t, since)) if t == term => RaftView::Leading { since },
                    _ => {
                        // Nothing is proposed between becoming leader and this look: the last entry is the
                        // empty one that starts the term.
                        self.leading_since = Some((term, last));
                        // What others reported under former leaders says nothing of who is in reach now, nor of
                        // what they lost with the change.
                        self.peers.forget_reports();
                        self.retention.begin_leadership();
                        RaftView::Leading { since: last }
                    }
                }
            }
            Phase::Member(node) if node.leader().is_some() => RaftView::Following { leader: self.leader_process() },
            Phase::Member(_) => self.view_from_outside(),
        };
        if view != RaftView::Leaderless && self.node().is_some() {
            self.campaigns.heard_leader();
        }
        // At once: this process may be given leadership back before its next tick.
        if matches!(view, RaftView::Following { .. }) && !planted::has(Bug::HandOverOutlivesLeadership) {
            let leader = self.node().and_then(Node::leader);
            self.hand_over.end(leader, self.now);
        }
        self.leadership.observe(view, self.now);
    }

    /// Who is out knows of a leader by its word alone, as long as that is repeated.
    fn view_from_outside(&self) -> RaftView {
        match self.cut_off.filter(|_| self.hears_that_it_is_out() && !planted::has(Bug::DeafWhenOut)) {
            Some(out) => RaftView::Following { leader: Some(out.by) },
            None => RaftView::Leaderless,
        }
    }

    /// A random number of this replica's own sequence.
    pub(super) fn random(&mut self) -> u64 {
        self.rng.gen()
    }
}
