//! The invariants: each a named check, looked at after every step.

use std::collections::{BTreeMap, HashMap};

use mako_raft::ids::{PartitionId, RunId};
use mako_raft::replica::message::PeerMessage;
use raft::eraftpb::{Entry, Message, MessageType};

use super::load::{digest, LogName, LogPrint};

/// A check that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The check's name: a sentence that should hold.
    pub check: &'static str,
    /// What was seen instead.
    pub text: String,
}

/// `Err` names the invariant that does not hold.
pub type Checked = Result<(), Violation>;

impl Violation {
    /// An invariant that does not hold.
    pub fn new<T>(check: &'static str, text: String) -> Result<T, Violation> {
        Err(Violation { check, text })
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\" does not hold: {}", self.check, self.text)
    }
}

/// One log as it was first delivered anywhere.
#[derive(Clone, Copy, Debug)]
struct Delivered {
    print: LogPrint,
    executed_by: Option<RunId>,
}

/// What all replicas together have shown so far.
#[derive(Default)]
pub struct Checks {
    /// Per formation and partition: the stream as it was first delivered anywhere.
    streams: BTreeMap<(u64, usize), Vec<Delivered>>,
    last_ticket: HashMap<(u64, RunId, PartitionId), u64>,
    /// Logs that a life called lost, and its formation then.
    lost: HashMap<LogName, Option<u64>>,
    leaders: HashMap<(u64, u64), u64>,
    votes: HashMap<(u64, u64, u64), u64>,
    entries: HashMap<(u64, u64, u64), u64>,
    /// The generation of each formation.
    generations: BTreeMap<u64, u32>,
    /// The formation of each generation that had a leader.
    begun: BTreeMap<u32, u64>,
    /// More is lost than the shard tolerates: it may form a second time.
    reckless: bool,
    /// A member forgot more than the shard can do without: replicas need not agree.
    may_differ: bool,
}

impl Checks {
    /// Nothing seen yet. `reckless`: more is lost than the shard tolerates.
    pub fn new(reckless: bool) -> Self {
        Self { reckless, ..Self::default() }
    }

    /// From now on replicas need not agree: only what each says by itself is looked at.
    pub fn let_replicas_differ(&mut self) {
        self.may_differ = true;
    }

    /// Logs delivered in the stream so far.
    pub fn stream_len(&self, formation: u64, partition: usize) -> u64 {
        self.streams.get(&(formation, partition)).map_or(0, |stream| stream.len() as u64)
    }

    /// Logs delivered anywhere, counted once.
    pub fn delivered(&self) -> u64 {
        self.streams.values().map(|stream| stream.len() as u64).sum()
    }

    /// A life delivered `logs` from `first_slot` on.
    pub fn deliver(
        &mut self,
        formation: u64,
        partition: usize,
        first_slot: u64,
        logs: &[LogPrint],
        run: RunId,
        executed_here: bool,
    ) -> Checked {
        for (offset, &print) in logs.iter().enumerate() {
            let slot = first_slot + offset as u64;
            if print.name.is_some_and(|name| (name.run == run) != executed_here) {
                return Violation::new(
                    "the callback is chosen by who executed the log",
                    format!("partition {partition} slot {slot}: {print} came with executed_here {executed_here}"),
                );
            }
            self.place(formation, partition, slot, print, executed_here.then_some(run))?;
        }
        Ok(())
    }

    fn place(
        &mut self,
        formation: u64,
        partition: usize,
        slot: u64,
        print: LogPrint,
        by: Option<RunId>,
    ) -> Checked {
        if self.may_differ {
            return Ok(());
        }
        let stream = self.streams.entry((formation, partition)).or_default();
        if let Some(known) = stream.get_mut(slot as usize - 1) {
            if known.print != print {
                let text = format!("partition {partition} slot {slot}: {print}, and elsewhere {}", known.print);
                return Violation::new("the same log is in the same slot everywhere", text);
            }
            if by.is_some() && known.executed_by.is_some() && by != known.executed_by {
                let text = format!("partition {partition} slot {slot}: two runs say that they executed it");
                return Violation::new("one run executed a log", text);
            }
            known.executed_by = known.executed_by.or(by);
            return Ok(());
        }
        if slot != stream.len() as u64 + 1 {
            let text = format!("partition {partition}: slot {slot} is the first after {}", stream.len());
            return Violation::new("slots follow one another", text);
        }
        stream.push(Delivered { print, executed_by: by });
        self.place_named(formation, partition, slot, print)
    }

    fn place_named(&mut self, formation: u64, partition: usize, slot: u64, print: LogPrint) -> Checked {
        let Some(name) = print.name else { return Ok(()) };
        // What was lost in the parent may be in the survivor's log, and then goes on in the child.
        if self.lost.get(&name).is_some_and(|lost_in| lost_in.is_none_or(|id| id == formation)) {
            let text = format!("partition {partition} slot {slot}: {print} was called lost");
            return Violation::new("a lost log is never delivered", text);
        }
        let last = self.last_ticket.entry((formation, name.run, name.partition)).or_default();
        if name.ticket <= *last {
            let text = format!("partition {partition} slot {slot}: {print} after its log {last}");
            return Violation::new("a run's logs keep their order and come once", text);
        }
        *last = name.ticket;
        Ok(())
    }

    /// A life called these logs lost.
    pub fn lose(&mut self, formation: Option<u64>, logs: &[LogPrint]) -> Checked {
        if self.may_differ {
            return Ok(());
        }
        for name in logs.iter().filter_map(|log| log.name) {
            self.lost.insert(name, formation);
            let last = formation.and_then(|id| self.last_ticket.get(&(id, name.run, name.partition)));
            // Logs come in order, so one at or below the last delivered one was delivered itself unless it
            // was called lost before that; this one is called lost only now.
            if last.is_some_and(|&last| name.ticket <= last) && self.was_delivered(formation, name) {
                return Violation::new("a delivered log is never lost", format!("log {} of {}", name.ticket, name.run));
            }
        }
        Ok(())
    }

    fn was_delivered(&self, formation: Option<u64>, name: LogName) -> bool {
        let streams = self.streams.iter().filter(|((id, _), _)| Some(*id) == formation);
        streams.flat_map(|(_, stream)| stream).any(|log| log.print.name == Some(name))
    }

    /// A message that `sender`'s member puts on the wire.
    pub fn sent(&mut self, message: &PeerMessage) -> Checked {
        let PeerMessage::Raft(formation, message) = message else { return Ok(()) };
        if self.may_differ {
            return Ok(());
        }
        match message.get_msg_type() {
            MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot => {
                self.leads(*formation, message.term, message.from)?;
                self.carries(*formation, &message.entries)
            }
            MessageType::MsgRequestVoteResponse if !message.reject => self.votes(*formation, message),
            _ => Ok(()),
        }
    }

    /// A member behaves as the leader of a term.
    pub fn leads(&mut self, formation: u64, term: u64, member: u64) -> Checked {
        let known = *self.leaders.entry((formation, term)).or_insert(member);
        if known != member {
            let text = format!("term {term}: members {known} and {member}");
            return Violation::new("one leader per term", text);
        }
        self.begins(formation)
    }

    fn votes(&mut self, formation: u64, message: &Message) -> Checked {
        let key = (formation, message.from, message.term);
        let known = *self.votes.entry(key).or_insert(message.to);
        if known != message.to {
            let text = format!("member {} in term {}: for {known} and {}", message.from, message.term, message.to);
            return Violation::new("a member votes once in a term", text);
        }
        Ok(())
    }

    fn carries(&mut self, formation: u64, entries: &[Entry]) -> Checked {
        for entry in entries {
            // The context of an admission says which run it is.
            let context = digest(&entry.context).rotate_left(1);
            let print = (digest(&entry.data) ^ context).wrapping_add(entry.get_entry_type() as u64);
            let known = *self.entries.entry((formation, entry.index, entry.term)).or_insert(print);
            if known != print {
                let text = format!("index {} term {}", entry.index, entry.term);
                return Violation::new("an index and a term name one entry", text);
            }
        }
        Ok(())
    }

    /// A survivor continues `parent` as `child`, with the slots of `partition` that it has delivered.
    pub fn continue_as(&mut self, parent: u64, child: u64, partition: usize, slots: u64) {
        let mut stream = self.streams.get(&(parent, partition)).cloned().unwrap_or_default();
        stream.truncate(slots as usize);
        for name in stream.iter().filter_map(|log| log.print.name) {
            let last = self.last_ticket.entry((child, name.run, name.partition)).or_default();
            *last = name.ticket.max(*last);
        }
        self.streams.entry((child, partition)).or_insert(stream);
    }

    /// A life joined a formation.
    pub fn joined(&mut self, generation: u32, formation: u64) {
        self.generations.insert(formation, generation);
    }

    /// A formation has a leader. One that never has may be given up for another.
    fn begins(&mut self, formation: u64) -> Checked {
        let Some(&generation) = self.generations.get(&formation) else { return Ok(()) };
        let known = *self.begun.entry(generation).or_insert(formation);
        if known != formation && !self.reckless {
            let text = format!("generation {generation}: formations {known:016x} and {formation:016x}");
            return Violation::new("a generation begins once", text);
        }
        Ok(())
    }
}
