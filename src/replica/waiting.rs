//! What a replica waits for: one word for the status, one line when the wait has lasted, one when it is over.
//!
//! Each tick looks at what *is*. Nothing here decides anything; what is waited for is decided where it belongs
//! (forming, admission, retention, the hand-over), and says by itself when it comes to something.

use crate::ids::{ProcessId, Time};

use super::formation::Member;
use super::forming::{majority_of, Unformed};
use super::group::{Phase, Replica, Shaping};
use super::node::Node;
use super::output::{Event, Severity, WaitsFor};

/// Who is not formed yet says so after this, however long it leaves others the first move.
const FORMING_MS_MAX: u64 = 10_000;
/// So much longer than the first move takes may a connected majority go without an agreement.
const AGREEING_MS: u64 = 1_000;
/// An election among members in reach takes one or two timeouts; so many mean that something keeps failing.
const LATE_ELECTIONS: u64 = 10;
/// A newcomer that catches up is told of only when it takes longer than most.
const CATCHING_UP_MS: u64 = 10_000;

/// The present wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    what: WaitsFor,
    since: Time,
    /// Long enough to be said, and counted.
    has_lasted: bool,
    said: bool,
}

impl Replica {
    /// The state in which nothing goes on here until somebody else, or the operator, does something.
    pub fn waits_for(&self) -> WaitsFor {
        match &self.phase {
            Phase::Stopped => WaitsFor::Nothing,
            _ if self.superseded => WaitsFor::Restart,
            // One that is stuck may be the last that has anything of the log: a restart would lose it.
            _ if self.cut_off.is_some() && self.stuck_since.is_none() => WaitsFor::Restart,
            Phase::Unformed(shaping) if !shaping.formed_met.is_empty() && shaping.knows_of_a_formation(&self.unformed()) => {
                WaitsFor::Admission
            }
            Phase::Unformed(shaping) if shaping.survivor_told.is_some() => WaitsFor::Survivor,
            Phase::Unformed(shaping) if shaping.needs_all => WaitsFor::AllVoters,
            Phase::Unformed(_) => WaitsFor::MajorityToForm,
            Phase::Member(_) if self.stuck_since.is_some() => WaitsFor::Majority,
            Phase::Member(node) if node.leader().is_none() && node.applies_from_disk() => WaitsFor::Replay,
            Phase::Member(node) if node.leader().is_none() => WaitsFor::Election,
            Phase::Member(_) if self.disk_stands_for(1) => WaitsFor::Disk,
            Phase::Member(_) if self.hand_over.is_active() => WaitsFor::HandOver,
            Phase::Member(_) if self.refuses_payload => WaitsFor::Callbacks,
            Phase::Member(node) if node.is_leader() && self.is_at_bound() => self.whom_the_bound_waits_for(node),
            Phase::Member(node) if !node.is_voter() && self.may_vote() => WaitsFor::Promotion,
            Phase::Member(_) => WaitsFor::Nothing,
        }
    }

    pub(super) fn may_vote(&self) -> bool {
        self.config.voters.contains(&self.config.me)
    }

    fn is_at_bound(&self) -> bool {
        self.memory_bytes() >= self.config.limits.log_memory_bytes
    }

    /// A log on disk leaves memory once it is delivered here; one in memory only, once the others have it too.
    fn whom_the_bound_waits_for(&self, node: &Node) -> WaitsFor {
        let delivered = self.streams.delivered_index();
        if delivered < node.commit_index() && (node.log().has_older() || self.retention.droppable() >= delivered) {
            WaitsFor::Callbacks
        } else if !node.log().has_older() && self.retention.droppable() < delivered {
            if self.retention.a_majority_lacks() { WaitsFor::NeededMember } else { WaitsFor::SlowMember }
        } else {
            // A tail that is not committed yet: acknowledgements are on their way, or the election is lost.
            WaitsFor::Nothing
        }
    }

    /// Called on each tick: says what has been waited for long enough, and that a wait that was said is over.
    pub(super) fn mind_waiting(&mut self) {
        let what = self.waits_for();
        if what != self.waiting.what {
            let over = std::mem::replace(&mut self.waiting, Waiting { what, since: self.now, ..Waiting::default() });
            if over.said {
                let lasted_ms = self.now.millis_since(over.since);
                let text = format!("no longer waiting for {}, after {lasted_ms} ms", over.what);
                self.out.events.push(Event::Notice(Severity::Info, text));
            }
        }
        let lasted_ms = self.now.millis_since(self.waiting.since);
        if self.leaving || self.patience_ms(what).is_none_or(|patience_ms| lasted_ms < patience_ms) {
            return;
        }
        let is_new = !std::mem::replace(&mut self.waiting.has_lasted, true);
        self.held_up += u64::from(is_new && what == WaitsFor::NeededMember);
        if self.wait_repeats.entry(what).or_default().take_turn(self.now) {
            self.waiting.said = true;
            let text = self.explain(what, lasted_ms);
            self.out.events.push(Event::Notice(Severity::Warning, text));
        }
    }

    /// Called on each tick of a leader: says which members are not heard any more, and that they are again.
    pub(super) fn mind_absent(&mut self) {
        let Phase::Member(node) = &self.phase else { return };
        let (conf, absent_ms) = (node.log().conf_state(), self.config.timing.absent_ms);
        let what_for_it = if node.log().has_older() {
            "what it misses meanwhile is on this disk"
        } else {
            "at its bound (raft.log_memory_bytes) the log is not kept for it"
        };
        let others = conf.voters.iter().chain(&conf.learners).filter_map(|&id| node.members().get(id));
        let others: Vec<Member> = others.filter(|member| member.id != node.id()).copied().collect();
        self.absent.retain(|id| others.iter().any(|member| member.id == *id));
        for Member { process, id, .. } in others {
            let heard = self.peers.get(process).and_then(|peer| peer.heard).unwrap_or(self.started);
            let quiet_ms = self.now.millis_since(heard);
            let line = if quiet_ms >= absent_ms {
                self.absent.insert(id).then(|| {
                    let text = format!(
                        "{id} of {process} has not been heard for {quiet_ms} ms (raft.absent_ms): {what_for_it}; start it, or \
                         look at its machine"
                    );
                    Event::Notice(Severity::Warning, text)
                })
            } else {
                let is_back = self.absent.remove(&id);
                is_back.then(|| Event::Notice(Severity::Info, format!("{id} of {process} is heard again")))
            };
            self.out.events.extend(line);
        }
    }

    /// How long a wait may last without a word; `None` where others say it.
    fn patience_ms(&self, what: WaitsFor) -> Option<u64> {
        let timing = &self.config.timing;
        let form_wait_ms = timing.form_wait_ms.min(FORMING_MS_MAX);
        match what {
            WaitsFor::Nothing | WaitsFor::HandOver | WaitsFor::Disk => None,
            WaitsFor::MajorityToForm if self.sees_a_majority_to_form() => Some(form_wait_ms + AGREEING_MS),
            WaitsFor::MajorityToForm | WaitsFor::AllVoters | WaitsFor::Survivor | WaitsFor::Admission | WaitsFor::Restart => {
                Some(form_wait_ms)
            }
            // Its members' disks are being written to.
            WaitsFor::Majority if self.node().is_some_and(Node::is_blank) => Some(form_wait_ms),
            WaitsFor::Majority | WaitsFor::Callbacks | WaitsFor::SlowMember | WaitsFor::NeededMember => {
                Some(timing.election_ms / 2)
            }
            WaitsFor::Election | WaitsFor::Replay => Some(LATE_ELECTIONS * timing.election_ms),
            WaitsFor::Promotion => Some(CATCHING_UP_MS),
        }
    }

    fn sees_a_majority_to_form(&self) -> bool {
        matches!(&self.phase, Phase::Unformed(shaping) if shaping.forming.has_majority(&self.unformed()))
    }

    /// What is waited for, and what the operator can do.
    fn explain(&self, what: WaitsFor, lasted_ms: u64) -> String {
        match &self.phase {
            Phase::Stopped => String::new(),
            Phase::Unformed(shaping) => self.explain_unformed(what, shaping),
            Phase::Member(node) => self.explain_member(what, node, lasted_ms),
        }
    }

    /// Of those that are waited for, who has delivered least.
    fn slowest(&self, node: &Node) -> Option<String> {
        let id = self.retention.slowest()?;
        let process = node.members().get(id.get()).map(|member| member.process.to_string());
        Some(format!("{id} of {}", process.unwrap_or_default()))
    }

    fn explain_unformed(&self, what: WaitsFor, shaping: &Shaping) -> String {
        let unformed = self.unformed();
        let here = format!("{} of {} voter processes are connected", unformed.len(), self.config.voters.len());
        let missing = self.missing(&unformed);
        match what {
            WaitsFor::Restart => "still out: no leader has a log from which this process can be rebuilt".to_owned(),
            WaitsFor::Admission => format!(
                "waiting to be admitted: {} belong(s) to a formation whose leader has not admitted this run; if it has none, \
                 start the processes that its own line says it waits for",
                list(shaping.formed_met.keys().copied())
            ),
            WaitsFor::Survivor => {
                let survivor = shaping.survivor_told.map_or_else(String::new, |process| process.to_string());
                format!(
                    "not formed: {here}; raft.restore says that {survivor} has a log to go on from, so this waits for it: \
                     start it, or take the order out and restart"
                )
            }
            WaitsFor::AllVoters => format!(
                "not formed: {here}; a formation of runs that are gone may hold logs, so this waits for all of them: start \
                 {missing}"
            ),
            _ if shaping.forming.has_majority(&unformed) => format!(
                "not formed: {here}, which is a majority, and they have not agreed: one of them leaves the others the first \
                 move (action 1), or knows of a formation and says so itself"
            ),
            _ => format!("not formed: {here}, a majority is needed: start {missing}, or look at the addresses"),
        }
    }

    fn missing(&self, unformed: &Unformed) -> String {
        list(self.config.voters.iter().copied().filter(|process| !unformed.contains_key(process)))
    }

    fn explain_blank(&self, node: &Node) -> String {
        let voters = &self.config.voters;
        let formation = node.formation().id;
        let is_here = |process: ProcessId| self.peers.get(process).is_some_and(|peer| peer.member_in(formation).is_some());
        let members = voters.iter().copied().filter(|&process| (process == self.config.me && self.is_blank()) || is_here(process));
        let members = if members.clone().next().is_none() { "none yet".to_owned() } else { list(members) };
        let is_away = |process: ProcessId| self.peers.get(process).is_some_and(|peer| peer.run.is_none());
        let away = list(voters.iter().copied().filter(|&process| is_away(process)));
        let what = match away.as_str() {
            "" => String::new(),
            away => format!(": start {away}, or look at the addresses; gone for good, let a member go on alone (restore_alone)"),
        };
        format!(
            "not begun: formation {formation:016x} takes {} of the {} voter processes for its first election, and has {members}; \
             once all of them are connected and none has anything of it, a new one is formed{what}",
            majority_of(voters.len()),
            voters.len()
        )
    }

    fn explain_member(&self, what: WaitsFor, node: &Node, lasted_ms: u64) -> String {
        let bound = self.config.limits.log_memory_bytes;
        match what {
            WaitsFor::Restart if self.superseded => {
                "serves no more: a later generation of this shard goes on without it; restart it (without its data \
                 directory) to be admitted there"
                    .to_owned()
            }
            WaitsFor::Restart => {
                "still out: no leader has a log from which this member can go on; restart it (without its data directory)"
                    .to_owned()
            }
            WaitsFor::Majority if node.is_blank() => self.explain_blank(node),
            WaitsFor::Majority => {
                let conf = node.log().conf_state();
                let processes: Vec<u16> = node.members().processes(&conf.voters).iter().map(|p| p.0).collect();
                let whom = format!("no leader: waiting for a majority of the members {:?} (processes {processes:?})", conf.voters);
                if !self.may_vote() {
                    return whom;
                }
                if let Some(other) = self.who_has_more_of_the_log(node) {
                    return format!("{whom}; {other}, which is in reach, has more of the log than this process: see what it says");
                }
                let lacks = if self.cut_off.is_some() { ", which was cut off and lacks the end of the log," } else { "" };
                format!(
                    "{whom}; if they are lost for good, an operator may let this survivor{lacks} go on alone \
                     (mako_raft_restore_alone here, or raft.restore with this process's name and formation {:016x} in one that is \
                     started again)",
                    node.formation().id
                )
            }
            WaitsFor::Election => format!(
                "no leader for {lasted_ms} ms, although a majority of the members is connected (term {}): elections fail; \
                 look at the delays between the processes, and at raft.election_ms",
                node.term()
            ),
            WaitsFor::Replay => format!(
                "no leader for {lasted_ms} ms, and this process still replays its log, at the pace of its callbacks: they have \
                 delivered entry {} of {}; until it knows the members of now it does not campaign",
                self.streams.delivered_index(),
                node.commit_index()
            ),
            WaitsFor::Callbacks if node.is_leader() => format!(
                "callbacks here are {bound} bytes of log behind (raft.log_memory_bytes): submitters wait until they have \
                 caught up"
            ),
            WaitsFor::Callbacks => {
                format!("callbacks here are {bound} bytes of log behind: taking no more until they have caught up")
            }
            WaitsFor::SlowMember => format!(
                "the log is at its memory bound ({bound} bytes, raft.log_memory_bytes) and {} not delivered it: submitters \
                 wait until that is done, or until raft.absent_ms ({}) is over",
                self.slowest(node).map_or_else(|| "a majority has".to_owned(), |who| format!("{who} has")),
                self.config.timing.absent_ms
            ),
            WaitsFor::NeededMember => match self.slowest(node) {
                Some(who) => format!(
                    "the log is at its memory bound ({bound} bytes, raft.log_memory_bytes), {who} has not delivered it, and a \
                     majority needs it: submitters wait until it has caught up, or another replica is back"
                ),
                None => format!(
                    "the log is at its memory bound ({bound} bytes, raft.log_memory_bytes), and no majority of the members \
                     has delivered it: submitters wait until one has"
                ),
            },
            WaitsFor::Promotion => format!(
                "catching up: this process votes once it has what the leader has; it has delivered entry {} of {} so far",
                self.streams.delivered_index(),
                node.commit_index()
            ),
            _ => format!("waiting for {what}"),
        }
    }
}

fn list(processes: impl Iterator<Item = ProcessId>) -> String {
    processes.map(|process| process.to_string()).collect::<Vec<_>>().join(", ")
}
