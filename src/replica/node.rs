//! The raft-rs node of a member. What keeps raft-rs from panicking on bad input is in `judging.rs`.
//!
//! Owns `RawNode`, its log, the formation and the members. Decides nothing about leadership: timers here
//! only count; `campaigns.rs` says when. Every write is ordered: what raft-rs wants to say once something
//! is on disk waits in `awaiting` until [`Node::persisted`].

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType, HardState, Message, MessageType};
use raft::{Config, ProgressState, RawNode, Ready, SoftState, StateRole, Storage as _};

use crate::ids::{LogIndex, MemberId, Term};
use crate::storage::memory::{MemoryLog, Unread};

use super::config::{Limits, Timing};
use super::formation::Formation;
use super::judging;
use super::members::{self, Members};
use super::output::Write;
use super::planted::{self, Bug};

/// One append message carries at most so many payload bytes. At the measured gigabyte per second it
/// takes a millisecond, which bounds how long it delays what comes behind it.
pub const MESSAGE_BYTES_MAX: u64 = 1 << 20;
/// Append messages on the way to one follower. With [`MESSAGE_BYTES_MAX`] it stays below the transport's
/// bound for a peer (64 MiB).
pub const IN_FLIGHT_MESSAGES: usize = 48;
/// raft-rs would pick election timeouts from the thread's random generator, which no seed reaches. Its own
/// timer is therefore set out of reach, and `campaigns.rs` counts instead.
const NEVER_TICKS: usize = 1 << 40;
/// What one pass over raft-rs yields.
#[derive(Default)]
pub struct Pass {
    /// Raft messages to send.
    pub messages: Vec<Message>,
    /// Committed entries to apply, in order; call [`Node::applied`] behind them.
    pub committed: Vec<Entry>,
    /// To be written, when durable.
    pub write: Option<Write>,
}

struct Awaiting {
    write: u64,
    ready: u64,
    messages: Vec<Message>,
}

impl Awaiting {
    /// A later pass that waits for the same write. However long the disk takes, what is kept does not grow: of equal
    /// messages the last one says all, and of acknowledgements the furthest.
    fn join(&mut self, ready: u64, messages: Vec<Message>) {
        self.ready = ready;
        for new in messages {
            let key = |message: &Message| (message.get_msg_type(), message.to, message.reject);
            match self.messages.iter_mut().find(|old| key(old) == key(&new)) {
                Some(old) if acknowledges(old) && old.index > new.index => {}
                Some(old) => *old = new,
                None => self.messages.push(new),
            }
        }
    }
}

fn acknowledges(message: &Message) -> bool {
    message.get_msg_type() == MessageType::MsgAppendResponse && !message.reject
}

/// A member of a formation.
pub struct Node {
    raw: RawNode<MemoryLog>,
    formation: Formation,
    id: MemberId,
    members: Members,
    durable: bool,
    last_write: u64,
    /// Writes through this one are on disk.
    persisted_through: u64,
    /// The write with the newest term and vote. Nothing is said before it is on disk: who is a majority of its own leads at
    /// once, and would after a crash lead in the same term again, with other entries.
    term_write: u64,
    /// The write with the membership.
    seat_write: u64,
    awaiting: VecDeque<Awaiting>,
    /// Answers to heartbeats, the newest per receiver: they acknowledge nothing but the term, so they wait for
    /// `term_write` only. Else a leader would lose touch with followers whose disks are slow.
    answers: BTreeMap<u64, Message>,
    released: Vec<Message>,
    /// A commit index that no write has carried to the disk yet. Nothing is acknowledged by it, so it goes
    /// with the next entries, or with the next tick.
    unwritten_commit: Option<HardState>,
    /// Entries were committed whose commitment waits for the next append.
    commit_waits: bool,
    /// What members had acknowledged to this leader before their present run began: member to term and index.
    unconfirmed: BTreeMap<u64, (u64, u64)>,
    /// The states as of the last pass: what differs from them is a reason for the next.
    passed: (SoftState, HardState),
    /// As [`Limits::reads_per_turn`].
    reads_per_turn: u32,
}

/// Whether a pass takes what is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applying {
    /// It does.
    Goes,
    /// The lanes have enough; everything else goes on.
    Waits,
}

fn raft_config(id: MemberId, timing: &Timing, limits: &Limits) -> Config {
    let ticks = |ms: u64| (ms / timing.tick_ms.max(1)).max(1) as usize;
    let heartbeat_tick = ticks(timing.heartbeat_ms);
    Config {
        id: id.get(),
        heartbeat_tick,
        election_tick: ticks(timing.election_ms).max(heartbeat_tick + 1),
        min_election_tick: NEVER_TICKS,
        max_election_tick: NEVER_TICKS + 1,
        max_size_per_msg: limits.message_bytes.min(MESSAGE_BYTES_MAX),
        max_inflight_msgs: limits.in_flight_messages,
        check_quorum: true,
        pre_vote: true,
        max_committed_size_per_ready: limits.committed_bytes,
        ..Config::default()
    }
}

impl Node {
    /// A member on `log` (new, recovered, or inherited from a parent formation) of which entries through
    /// `applied` were applied before.
    pub fn new(
        formation: Formation,
        id: MemberId,
        log: MemoryLog,
        applied: u64,
        timing: &Timing,
        limits: &Limits,
        durable: bool,
    ) -> Result<Self, String> {
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let config = Config { applied, ..raft_config(id, timing, limits) };
        let raw = RawNode::new(&config, log, &logger)
            .map_err(|e| format!("starting raft for {id}: {e}"))?;
        let members = Members::new(&formation);
        Ok(Self {
            passed: (raw.raft.soft_state(), raw.raft.hard_state()),
            raw,
            formation,
            id,
            members,
            durable,
            last_write: 0,
            persisted_through: 0,
            term_write: 0,
            seat_write: 0,
            awaiting: VecDeque::new(),
            answers: BTreeMap::new(),
            released: Vec::new(),
            unwritten_commit: None,
            commit_waits: false,
            unconfirmed: BTreeMap::new(),
            reads_per_turn: limits.reads_per_turn,
        })
    }

    /// The formation.
    pub fn formation(&self) -> &Formation {
        &self.formation
    }

    /// This member's Raft id.
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// Who the members are.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// It is one of those that formed, and has had no part in anything yet: no term, so no vote, and no entry.
    pub fn is_blank(&self) -> bool {
        let is_named = || self.formation.members.iter().any(|member| member.id == self.id);
        self.raw.raft.term == 0 && self.last_index() == LogIndex(0) && is_named()
    }

    /// Current term.
    pub fn term(&self) -> Term {
        Term(self.raw.raft.term)
    }

    /// This member leads.
    pub fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Raft's word for what this member is.
    pub fn role(&self) -> StateRole {
        self.raw.raft.state
    }

    /// The leader's Raft id, when known.
    pub fn leader(&self) -> Option<MemberId> {
        MemberId::new(self.raw.raft.leader_id)
    }

    /// The log.
    pub fn log(&self) -> &MemoryLog {
        self.raw.store()
    }

    /// Last index, unstable entries included.
    pub fn last_index(&self) -> LogIndex {
        LogIndex(self.raw.raft.raft_log.last_index())
    }

    /// Term and index of the last entry, unstable ones included.
    pub fn log_end(&self) -> (Term, LogIndex) {
        (Term(self.raw.raft.raft_log.last_term()), self.last_index())
    }

    /// Commit index.
    pub fn commit_index(&self) -> LogIndex {
        LogIndex(self.raw.raft.raft_log.committed)
    }

    /// A voter by what it has applied.
    pub fn is_voter(&self) -> bool {
        self.raw.raft.promotable()
    }

    /// It has applied every entry that it knows to be committed, membership changes among them. A member that starts from
    /// its disk has not: it knows the members that the formation began with. (raft-rs looks for such changes before it
    /// campaigns, which here would be a look through the whole log.)
    pub fn knows_the_members(&self) -> bool {
        let log = &self.raw.raft.raft_log;
        log.applied == log.committed || planted::has(Bug::CampaignBeforeMembers)
    }

    /// How far `member` matches this leader's log, and whether it was heard lately.
    pub fn progress(&self, member: MemberId) -> Option<&raft::Progress> {
        self.raw.raft.prs().get(member.get())
    }

    /// A leader may put a membership change into the log now.
    pub fn may_change_members(&self) -> bool {
        self.is_leader() && !self.raw.raft.has_pending_conf()
    }

    /// Moves raft-rs's tick counters. It never campaigns by them, and how long a transfer may take is for
    /// `preference.rs` to say: until then raft-rs proposes nothing.
    pub fn tick(&mut self) {
        let transferee = self.raw.raft.lead_transferee;
        self.raw.tick();
        if self.is_leader() {
            self.raw.raft.lead_transferee = transferee;
        }
    }

    /// Ticks between two heartbeats.
    pub fn heartbeat_ticks(&self) -> usize {
        self.raw.raft.heartbeat_timeout()
    }

    /// Of a leader: ticks until its next heartbeat.
    pub fn ticks_to_heartbeat(&self) -> usize {
        let raft = &self.raw.raft;
        raft.heartbeat_timeout().saturating_sub(raft.heartbeat_elapsed())
    }

    /// Ticks since a leader was heard.
    pub fn election_elapsed_ticks(&self) -> usize {
        self.raw.raft.election_elapsed
    }

    /// Starts an election, by pre-vote. Nothing happens on a leader, on one who may not vote or does not know who may, or
    /// while own entries are still being written (raft-rs demands that a candidate's log is on disk).
    pub fn campaign(&mut self) {
        let log = &self.raw.raft.raft_log;
        let is_fit = self.is_voter() && self.knows_the_members();
        if self.is_leader() || !is_fit || log.persisted != log.last_index() {
            return;
        }
        self.raw.raft.election_elapsed = 0;
        let _ = self.raw.campaign();
    }

    /// Hands leadership to `member`, who must match the whole log for it to happen at once.
    pub fn transfer_to(&mut self, member: MemberId) {
        self.raw.transfer_leader(member.get());
    }

    /// Stops a transfer. Who was called to campaign may still do so.
    pub fn abort_transfer(&mut self) {
        self.raw.raft.abort_leader_transfer();
    }

    /// Gives this leadership up for that of the next term: what others were called to in this one is void then. The voters
    /// are asked by force, as by the target of a transfer, since this very member is the leader that they are loyal to.
    pub fn lead_anew(&mut self) {
        self.step_down();
        let log = &self.raw.raft.raft_log;
        // A candidate's log must be on disk. Until it is, others may campaign, or this member later.
        if log.persisted != log.last_index() || !self.knows_the_members() {
            return;
        }
        let id = self.id.get();
        let mut call = Message { from: id, to: id, term: self.raw.raft.term, ..Message::default() };
        call.set_msg_type(MessageType::MsgTimeoutNow);
        let _ = self.raw.raft.step(call);
    }

    /// `member` can't be reached: probe it instead of streaming to it.
    pub fn unreachable(&mut self, member: MemberId) {
        if self.is_leader() {
            self.raw.report_unreachable(member.get());
        }
    }

    /// An append that begins with the entry `first` was not sent to `member`: go on with that one, not behind it.
    pub fn not_sent(&mut self, member: MemberId, first: LogIndex) {
        if !self.is_leader() {
            return;
        }
        let Some(progress) = self.raw.raft.mut_prs().get_mut(member.get()) else { return };
        if progress.state == ProgressState::Replicate {
            progress.next_idx = progress.next_idx.min(first.0).max(progress.matched + 1);
            // Nothing is on the way to it, so no acknowledgement would ever empty the window.
            if first.0 <= progress.matched + 1 {
                progress.ins.reset();
            }
        }
    }

    /// The sender of this answer to a heartbeat lives. raft-rs would also take what is on the way to it for lost, and send
    /// more.
    pub fn lives(&mut self, answer: &Message) {
        if let Some(progress) = self.raw.raft.mut_prs().get_mut(answer.from) {
            progress.update_committed(answer.commit);
            progress.recent_active = true;
        }
    }

    /// Another run of `member` is connected, and has to say anew what is on its disk: until then nothing counts that its
    /// former run acknowledged. A log that is as it was answers the next append with all of it.
    pub fn ask_anew(&mut self, member: MemberId) {
        let term = self.raw.raft.term;
        if !self.is_leader() || planted::has(Bug::BelieveFormerRun) {
            return;
        }
        let Some(progress) = self.raw.raft.mut_prs().get_mut(member.get()) else { return };
        let before = self.unconfirmed.get(&member.get()).filter(|(in_term, _)| *in_term == term).map_or(0, |&(_, index)| index);
        self.unconfirmed.insert(member.get(), (term, before.max(progress.matched)));
        // From behind what was acknowledged on, not from the log's start.
        progress.become_probe();
        progress.matched = 0;
    }

    /// The sender of this answer lacks entries that it had acknowledged to this leader: through which one. Entries that
    /// match this log can't be what it rejects behind them, so a rejection says that they are gone.
    pub fn has_forgotten(&mut self, answer: &Message) -> Option<LogIndex> {
        let term = self.raw.raft.term;
        let &(in_term, acknowledged) = self.unconfirmed.get(&answer.from)?;
        if answer.get_msg_type() != MessageType::MsgAppendResponse || answer.term != term || in_term != term {
            return None;
        }
        if !answer.reject && answer.index >= acknowledged {
            self.unconfirmed.remove(&answer.from);
        }
        (answer.reject && answer.reject_hint < acknowledged).then_some(LogIndex(acknowledged))
    }

    /// A heartbeat that its receiver's judge refuses, whatever its log has, and says why. One with a true commit index would
    /// be obeyed where the log is long enough, and what stands there need not be this leader's.
    pub fn reproach(&self, to: u64) -> Message {
        let commit = if planted::has(Bug::CommitWhatDiffers) { self.commit_index().0 } else { u64::MAX };
        let mut heartbeat = Message { from: self.id.get(), to, term: self.term().0, commit, ..Message::default() };
        heartbeat.set_msg_type(MessageType::MsgHeartbeat);
        heartbeat
    }

    /// Feeds a message from another member. A message that raft-rs would panic on is refused with the reason.
    pub fn step(&mut self, message: Message) -> Result<(), &'static str> {
        judging::raft_message(&self.raw.raft, &message)?;
        if planted::has(Bug::VoteTwice) && message.get_msg_type() == MessageType::MsgRequestVote {
            self.raw.raft.vote = 0;
            self.raw.raft.leader_id = 0;
        }
        // "Not a member" and "proposal dropped" are no errors between members whose logs differ.
        self.noting_commits(|raw| drop(raw.step(message)));
        Ok(())
    }

    /// Whether a leader tells a commit index with its next entries only, or at once, with what waited until now.
    pub fn delay_commits(&mut self, delay: bool) {
        self.raw.raft.skip_bcast_commit(delay);
        if !delay && std::mem::take(&mut self.commit_waits) && self.is_leader() {
            self.raw.raft.bcast_append();
        }
    }

    /// A commit index waits for the next entries.
    pub fn delays_a_commit(&self) -> bool {
        self.commit_waits && self.is_leader()
    }

    /// Raft may commit by doing this.
    fn noting_commits(&mut self, act: impl FnOnce(&mut RawNode<MemoryLog>)) {
        let before = self.commit_index();
        act(&mut self.raw);
        if self.commit_index() > before && !self.raw.raft.should_bcast_commit() {
            self.commit_waits = true;
        }
    }

    /// Proposes entries with these payloads. Returns the index of the first, or `None` when raft-rs takes
    /// none now; then nothing was appended.
    pub fn propose(&mut self, payloads: impl Iterator<Item = Bytes>) -> Option<LogIndex> {
        let entries: Vec<Entry> =
            payloads.map(|data| Entry { data, ..Entry::default() }).collect();
        self.propose_entries(entries)
    }

    fn propose_entries(&mut self, entries: Vec<Entry>) -> Option<LogIndex> {
        if !self.is_leader() || entries.is_empty() {
            return None;
        }
        let first = self.last_index().0 + 1;
        let mut message = Message { from: self.id.get(), ..Message::default() };
        message.set_msg_type(MessageType::MsgPropose);
        message.set_entries(entries.into());
        self.raw.raft.step(message).ok()?;
        // It went to all, and carried the commit index.
        self.commit_waits = false;
        Some(LogIndex(first))
    }

    /// Proposes a membership change with its context. raft-rs turns a refused one into an empty entry.
    pub fn propose_change(&mut self, change: &ConfChangeV2, context: &[u8]) -> bool {
        let data = change.write_to_bytes().expect("a change in memory encodes");
        let mut entry = Entry {
            data: data.into(),
            context: Bytes::copy_from_slice(context),
            ..Entry::default()
        };
        entry.set_entry_type(EntryType::EntryConfChangeV2);
        self.propose_entries(vec![entry]).is_some()
    }

    /// The configuration is joint and nobody is about to leave it: the leader that entered it stepped down.
    pub fn is_stuck_in_joint(&self) -> bool {
        self.may_change_members() && !self.log().conf_state().voters_outgoing.is_empty()
    }

    /// Applies a committed membership change.
    pub fn apply_change(&mut self, entry: &Entry) -> Result<(), String> {
        if entry.index <= self.formation.inherited {
            return Ok(());
        }
        let change: ConfChangeV2 = protobuf::Message::parse_from_bytes(&entry.data)
            .map_err(|e| format!("entry {}: membership change: {e}", entry.index))?;
        if !entry.context.is_empty() {
            let member = members::decode_member(&entry.context)
                .map_err(|e| format!("entry {}: {e}", entry.index))?;
            self.members.admit(member);
        }
        let conf_state = self
            .raw
            .apply_conf_change(&change)
            .map_err(|e| format!("entry {}: applying a membership change: {e}", entry.index))?;
        self.raw.mut_store().set_conf_state(conf_state);
        if self.is_leader() && self.progress(self.id).is_none() {
            // raft-rs leaves it a leader, and then looks in vain for its progress once its next entry is written.
            self.step_down();
        }
        Ok(())
    }

    /// Leads no more, and knows no leader.
    pub fn step_down(&mut self) {
        let term = self.raw.raft.term;
        self.raw.raft.become_follower(term, raft::INVALID_ID);
    }

    /// The next entry to be applied is not in memory: applying it takes memory that the log's bound does not count.
    pub fn applies_from_disk(&self) -> bool {
        self.raw.raft.raft_log.applied + 1 < self.log().first_in_memory()
    }

    /// Entries through here are on this member's disk and stay what they are.
    pub fn persisted_and_committed(&self) -> LogIndex {
        let log = &self.raw.raft.raft_log;
        LogIndex(log.persisted.min(log.committed))
    }

    /// raft-rs wants a pass.
    pub fn has_ready(&self, applying: Applying) -> bool {
        let wants = match applying {
            Applying::Goes => self.raw.has_ready(),
            Applying::Waits => self.has_ready_beside_committed(),
        };
        wants || !self.released.is_empty()
    }

    /// raft-rs can't be asked this: it wants a pass as long as it has committed entries to hand out.
    fn has_ready_beside_committed(&self) -> bool {
        let raft = &self.raw.raft;
        let (soft, hard) = &self.passed;
        !raft.msgs.is_empty()
            || !raft.raft_log.unstable_entries().is_empty()
            || raft.soft_state() != *soft
            || raft.hard_state() != *hard
    }

    /// One pass: stores new entries in the memory log, releases messages, returns what is to be done.
    pub fn pass(&mut self, applying: Applying) -> Pass {
        let mut pass = Pass { messages: std::mem::take(&mut self.released), ..Pass::default() };
        if !self.has_ready(applying) {
            return pass;
        }
        if planted::has(Bug::CommitOlderTermByCount) && self.is_leader() {
            let (index, _) = self.raw.raft.mut_prs().maximal_committed_index();
            self.raw.raft.raft_log.commit_to(index);
        }
        let mut ready = self.ready(applying);
        let number = ready.number();
        let mut messages = ready.take_messages();
        let mut waiting = ready.take_persisted_messages();
        // What a leader of a former term had appended in this very pass may be replaced again, and is then never written.
        let term = if planted::has(Bug::AcknowledgeReplaced) { 0 } else { self.raw.raft.term };
        waiting.retain(|message| message.get_msg_type() != MessageType::MsgAppendResponse || message.term >= term);
        pass.committed = ready.take_committed_entries();
        let entries = ready.take_entries();
        let hard_state = ready.hs().cloned();
        let must_sync = ready.must_sync();
        self.raw.mut_store().append(&entries);
        let mut has_new_term = false;
        if let Some(new) = &hard_state {
            let old = self.log().hard_state();
            has_new_term = (old.term, old.vote) != (new.term, new.vote);
            self.raw.mut_store().set_hard_state(new.clone());
        }
        self.raw.advance_append_async(ready);
        if self.log().has_older() {
            self.passed = (self.raw.raft.soft_state(), self.raw.raft.hard_state());
        }
        pass.write = self.write_of(hard_state, entries, must_sync);
        if has_new_term {
            self.term_write = self.last_write;
        }
        if self.persisted_through < self.term_write && !planted::has(Bug::SpeakBeforeTermIsWritten) {
            waiting.append(&mut messages);
        }
        pass.messages.append(&mut messages);
        if !self.is_persisted() {
            let is_answer = |message: &Message| message.get_msg_type() == MessageType::MsgHeartbeatResponse;
            let (answers, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_answer);
            waiting = others;
            self.answers.extend(answers.into_iter().map(|answer| (answer.to, answer)));
        }
        self.await_write(number, waiting);
        pass.messages.append(&mut self.released);
        pass
    }

    fn ready(&mut self, applying: Applying) -> Ready {
        let log = &mut self.raw.raft.raft_log;
        let persisted = log.persisted;
        if applying == Applying::Waits {
            // It hands out what is committed and on disk, and looks at neither for anything else here.
            log.persisted = log.applied;
        }
        let ready = self.raw.ready();
        self.raw.raft.raft_log.persisted = persisted;
        ready
    }

    fn write_of(&mut self, hard_state: Option<HardState>, entries: Vec<Entry>, must_sync: bool) -> Option<Write> {
        if !self.durable {
            return None;
        }
        let hard_state = hard_state.or(self.unwritten_commit.take());
        if entries.is_empty() && !must_sync {
            self.unwritten_commit = hard_state;
            return None;
        }
        self.last_write += 1;
        Some(Write { id: self.last_write, membership: None, hard_state, entries, must_sync })
    }

    /// The commit index, when no write has carried it. It spares a restart that finds no leader the wait.
    pub fn commit_write(&mut self) -> Option<Write> {
        let hard_state = Some(self.unwritten_commit.take()?);
        self.last_write += 1;
        Some(Write { id: self.last_write, hard_state, ..Write::default() })
    }

    /// The first write of a new member: its membership.
    pub fn membership_write(&mut self) -> Option<Write> {
        if !self.durable {
            return None;
        }
        self.last_write += 1;
        (self.term_write, self.seat_write) = (self.last_write, self.last_write);
        Some(Write {
            id: self.last_write,
            membership: Some((self.formation.clone(), self.id)),
            must_sync: true,
            ..Write::default()
        })
    }

    /// That this process is this member is on disk, where logs are: a restart continues as it.
    pub fn is_seated(&self) -> bool {
        self.persisted_through >= self.seat_write
    }

    /// Everything written so far is on disk.
    pub fn is_persisted(&self) -> bool {
        self.persisted_through == self.last_write
    }

    /// Continues the numbering of writes of an earlier node of this replica.
    pub fn number_writes_after(&mut self, last_write: u64) {
        self.last_write = last_write;
        self.persisted_through = last_write;
    }

    /// The last write's number.
    pub fn last_write(&self) -> u64 {
        self.last_write
    }

    fn await_write(&mut self, ready: u64, messages: Vec<Message>) {
        match self.awaiting.back_mut().filter(|last| last.write == self.last_write) {
            Some(last) => last.join(ready, messages),
            None => self.awaiting.push_back(Awaiting { write: self.last_write, ready, messages }),
        }
        // In memory, or with nothing left to write, that is at once.
        let early = planted::has(Bug::AcknowledgeBeforeWritten);
        self.persisted(if early { self.last_write } else { self.persisted_through });
    }

    /// All writes through this one are on disk.
    pub fn persisted(&mut self, write: u64) {
        self.persisted_through = self.persisted_through.max(write);
        let write = self.persisted_through;
        let mut ready = None;
        while self.awaiting.front().is_some_and(|a| a.write <= write) {
            let done = self.awaiting.pop_front().expect("just seen");
            ready = Some(done.ready);
            self.released.extend(done.messages);
        }
        if write >= self.term_write {
            self.released.extend(std::mem::take(&mut self.answers).into_values());
        }
        if let Some(ready) = ready {
            self.noting_commits(|raw| raw.on_persist_ready(ready));
        }
    }

    /// A turn begins: what followers need from disk may be read again, a message for each of a few.
    pub fn resume_reads(&mut self) {
        if !self.log().grant_reads(self.reads_per_turn) || !self.is_leader() {
            return;
        }
        let first = self.log().first_in_memory();
        let raft = &mut self.raw.raft;
        let needs_disk = |progress: &raft::Progress| progress.next_idx < first && !progress.is_paused();
        let followers: Vec<u64> =
            raft.prs().iter().filter(|&(&id, progress)| id != raft.id && needs_disk(progress)).map(|(&id, _)| id).collect();
        for id in followers {
            raft.send_append(id);
        }
    }

    /// Followers need what was not read from disk in this turn.
    pub fn has_postponed_reads(&self) -> bool {
        self.log().has_postponed_reads() && self.is_leader()
    }

    /// The last entry on this member's disk, when a majority has more on theirs.
    pub fn outpaced_at(&self) -> Option<LogIndex> {
        let log = &self.raw.raft.raft_log;
        (log.persisted < log.committed).then_some(LogIndex(log.persisted))
    }

    /// Older entries that this leader could not read for others since the last call. They are tried again.
    pub fn take_unread(&self) -> Option<Unread> {
        self.log().take_unread()
    }

    /// Entries through `index` have been applied.
    pub fn applied(&mut self, index: LogIndex) {
        let last = self.last_index();
        self.raw.advance_apply_to(index.0);
        // The entry that leaves a joint configuration: raft-rs appends it here and sends it with whatever comes next. Until it
        // is committed the shard needs both majorities.
        if self.last_index() > last && !planted::has(Bug::LeaveJointLater) {
            self.raw.raft.bcast_append();
        }
    }

    /// Drops entries through `index` from memory.
    pub fn drop_through(&mut self, index: LogIndex) -> usize {
        self.raw.mut_store().drop_through(index.0)
    }

    /// Whether the next entry for `member` has left this leader's log, so that it can't follow any more. Also while entries
    /// are on their way to it: what it needs behind them is gone.
    pub fn has_outrun(&self, member: MemberId) -> bool {
        let first = self.log().first_index().unwrap_or(1);
        let ignored = |p: &raft::Progress| p.state == ProgressState::Replicate && planted::has(Bug::MissWhoIsOutrun);
        self.progress(member).is_some_and(|p| p.next_idx < first && !ignored(p))
    }

    /// Whether a member that acknowledged entries through `matched`, and at least one, finds the next one in this log. raft-rs
    /// believes of a newcomer that it has everything until it has answered.
    pub fn can_go_on_from(&self, matched: u64) -> bool {
        matched > 0 && matched + 1 >= self.log().first_index().unwrap_or(1)
    }

    /// Takes the log out, to start another formation from it.
    pub fn into_log(self) -> MemoryLog {
        self.raw.raft.r.raft_log.store
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ProcessId, RunId};
    use crate::replica::formation::Member;

    /// Member 1 of three, in term 1 and with entry 1 of member 2, both on disk.
    fn follower() -> Node {
        let member = |n: u16| Member { process: ProcessId(n), run: RunId(1), id: MemberId::new(1 + u64::from(n)).unwrap() };
        let members = (0..3).map(member).collect();
        let formation = Formation { generation: 1, id: 7, ancestors: Vec::new(), inherited: 0, members };
        let log = MemoryLog::new(members::initial_conf_state(&formation), None);
        let mut node = Node::new(formation, member(0).id, log, 0, &Timing::default(), &Limits::default(), true).unwrap();
        node.membership_write().unwrap();
        node.step(append(1)).unwrap();
        let write = node.pass(Applying::Goes).write.unwrap().id;
        node.persisted(write);
        assert_eq!(kinds(&mut node), [MessageType::MsgAppendResponse]);
        node
    }

    fn append(index: u64) -> Message {
        let mut message = Message { from: 2, to: 1, term: 1, index: index - 1, log_term: index.min(2) - 1, ..Message::default() };
        message.set_msg_type(MessageType::MsgAppend);
        message.set_entries(vec![Entry { index, term: 1, ..Entry::default() }].into());
        message
    }

    fn heartbeat(from: u64, term: u64) -> Message {
        let mut message = Message { from, to: 1, term, ..Message::default() };
        message.set_msg_type(MessageType::MsgHeartbeat);
        message
    }

    /// What a pass sends, which writes nothing.
    fn kinds(node: &mut Node) -> Vec<MessageType> {
        let pass = node.pass(Applying::Goes);
        assert!(pass.write.is_none(), "{:?}", pass.write);
        pass.messages.iter().map(Message::get_msg_type).collect()
    }

    #[test]
    fn while_the_disk_does_not_answer_heartbeats_are_answered_and_what_waits_for_it_does_not_grow() {
        let mut node = follower();
        node.step(append(2)).unwrap();
        let write = node.pass(Applying::Goes).write.unwrap().id;
        for _ in 0..10_000 {
            node.step(heartbeat(2, 1)).unwrap();
            // A leader sends it again with each answer, as long as it is not acknowledged.
            node.step(append(2)).unwrap();
            assert_eq!(kinds(&mut node), [MessageType::MsgHeartbeatResponse]);
        }
        assert_eq!((node.awaiting.len(), node.awaiting[0].messages.len(), node.answers.len()), (1, 1, 0));
        node.persisted(write);
        let acknowledged: Vec<u64> = node.pass(Applying::Goes).messages.iter().filter(|m| acknowledges(m)).map(|m| m.index).collect();
        assert_eq!(acknowledged, [2]);
    }

    #[test]
    fn in_a_new_term_nothing_is_said_before_that_is_on_disk_and_then_one_answer_to_each() {
        let mut node = follower();
        node.step(heartbeat(3, 2)).unwrap();
        let pass = node.pass(Applying::Goes);
        assert!(pass.messages.is_empty());
        for _ in 0..100 {
            node.step(heartbeat(3, 2)).unwrap();
            assert_eq!(kinds(&mut node), []);
        }
        node.persisted(pass.write.unwrap().id);
        assert_eq!(kinds(&mut node), [MessageType::MsgHeartbeatResponse]);
    }
}
