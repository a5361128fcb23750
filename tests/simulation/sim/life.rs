//! One start of one process: the replica with what the runtime puts around it (intakes, lanes, a clock,
//! a log writer), without threads.

use std::collections::VecDeque;

use bytes::Bytes;
use mako_raft::ids::{MemberId, PartitionId, ProcessId, RunId, Slot, Time};
use mako_raft::replica::message::{PeerMessage, Standing};
use mako_raft::replica::output::{Gate, LaneItem, Outputs};
use mako_raft::replica::payload::{Chunk, Origin};
use mako_raft::replica::{wire, Replica};
use raft::eraftpb::MessageType;

use super::account::Account;
use super::describe::describe;
use super::load::{self, LogName, LogPrint};
use super::plan::Load;
use super::random::Random;
use super::schedule::LifeId;
use super::trace::Trace;

/// Something that the event loop of a life will look at in its next turn.
#[derive(Debug)]
pub enum Input {
    /// A connection to this run of the process.
    Up(u16, RunId),
    /// The connection to the process is gone.
    Down(u16),
    /// A frame from the process.
    Frame(u16, Bytes),
    /// A lane has delivered through the slot.
    Delivered(usize, Slot),
    /// The log writer has written through this id.
    Persisted(u64),
    /// The timer fired.
    Tick,
    /// The host asks for something.
    Ask(Ask),
}

/// What a host can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `set_preferred_leader`.
    Prefer(Option<u16>),
    /// `upgrade_p1_to_leader`.
    Seek,
    /// `pre_shutdown_step`.
    Goodbye,
    /// The drain time is over.
    Abandon,
    /// The operator's act.
    RestoreAlone,
    /// Another group of the same processes is led there.
    Companion(Option<u16>),
}

/// A life's own clock: it may run faster or slower than the world's, and starts where it likes.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Its reading at `base_us` of the world's.
    pub origin_us: u64,
    /// Where the world's clock was then.
    pub base_us: u64,
    /// Its pace in millionths of the world's.
    pub pace_ppm: u64,
}

impl Clock {
    /// Its reading at `now_us` of the world's.
    pub fn read(&self, now_us: u64) -> Time {
        Time(self.origin_us + (now_us - self.base_us) * self.pace_ppm / 1_000_000)
    }

    /// From now on at another pace.
    pub fn set_pace(&mut self, now_us: u64, pace_ppm: u64) {
        self.origin_us = self.read(now_us).0;
        self.base_us = now_us;
        self.pace_ppm = pace_ppm;
    }
}

/// One partition's queue towards its callback.
#[derive(Debug, Default)]
pub struct Lane {
    /// The last slot of each delivery that waits, and whether this run executed it.
    pub waiting: VecDeque<(Slot, bool)>,
    /// A callback is running or blocked.
    pub busy: bool,
    /// It does not return for now.
    pub blocked: bool,
    /// Told to the replica.
    pub told: Slot,
    /// The last slot handed over that another run executed.
    pub last_foreign: Slot,
}

/// One partition's queue towards the replica.
#[derive(Debug, Default)]
pub struct Intake {
    /// Accepted and not yet submitted to the replica.
    pub chunks: VecDeque<Chunk>,
    /// Their bytes.
    pub bytes: usize,
    /// Logs that end in them.
    pub logs: u64,
    /// Logs accepted so far.
    pub tickets: u64,
}

/// Whether a life runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// It does.
    Running,
    /// Stopped for a while.
    Paused,
    /// Over.
    Ended,
}

/// One start of one process.
pub struct Life {
    /// Which.
    pub id: LifeId,
    /// Of this process.
    pub process: u16,
    /// Its run.
    pub run: RunId,
    /// Whether it runs.
    pub pulse: Pulse,
    /// The real thing.
    pub replica: Replica,
    /// Its clock.
    pub clock: Clock,
    /// What the next turn looks at.
    pub inbox: VecDeque<Input>,
    /// A turn is planned.
    pub turn_planned: bool,
    /// A look at what waits for entries is planned.
    pub commit_due_planned: bool,
    /// Ticks that its loop has slept through since the last one.
    pub slept: u32,
    /// Whether submissions are accepted.
    pub gate: Gate,
    /// Queues towards the replica.
    pub intakes: Vec<Intake>,
    /// Queues towards the callbacks.
    pub lanes: Vec<Lane>,
    /// What was promised and what came of it.
    pub account: Account,
    /// It said goodbye.
    pub leaving: bool,
    /// Its log writer is at work on the writes through this id.
    pub writing: Option<u64>,
    /// Id of the last write that came out.
    pub last_write: u64,
    /// First partition's number.
    pub first_partition: u32,
    /// It promised or accepted something while the shard formed.
    pub took_part: bool,
    /// It accepted another process's formation.
    pub accepted_a_formation: bool,
    /// The formation that it belongs to.
    pub formation: Option<u64>,
    /// It heard of a later generation that began from its formation.
    pub met_descendant: bool,
    /// Its Raft id there.
    pub member: Option<MemberId>,
    /// Its draws.
    pub random: Random,
}

impl Life {
    /// Accepts a burst of logs for a partition, as the gate and the intake's bound allow. Returns how many.
    pub fn accept(&mut self, partition: usize, load: &Load, count: u64) -> u64 {
        let mut logs = Vec::new();
        let mut bytes = self.intakes[partition].bytes;
        for _ in 0..count {
            if bytes >= load.intake_bytes {
                break;
            }
            let length = load::choose_length(load, &mut self.random);
            bytes += length;
            logs.push(length);
        }
        self.accept_lengths(partition, load.fragment_bytes, &logs)
    }

    /// Accepts logs of these lengths.
    pub fn accept_lengths(&mut self, partition: usize, fragment_bytes: usize, lengths: &[usize]) -> u64 {
        if matches!(self.gate, Gate::Closed { .. } | Gate::Hold) || self.leaving || lengths.is_empty() {
            return 0;
        }
        let id = PartitionId(self.first_partition + partition as u32);
        let mut logs = Vec::new();
        for &length in lengths {
            let intake = &mut self.intakes[partition];
            intake.tickets += 1;
            let name = LogName { run: self.run, partition: id, ticket: intake.tickets };
            let log = Bytes::from(load::compose(name, length));
            self.account.accepted(partition, LogPrint::of(&log));
            logs.push(log);
        }
        let origin = Origin { process: ProcessId(self.process), run: self.run };
        for chunk in load::pack(origin, id, &logs, fragment_bytes) {
            let intake = &mut self.intakes[partition];
            intake.bytes += chunk.queued_bytes;
            intake.logs += u64::from(chunk.logs);
            self.account.queued(partition, chunk.queued_bytes);
            intake.chunks.push_back(chunk);
        }
        logs.len() as u64
    }

    /// A tick comes, and its loop sleeps through it since nobody waits for it.
    pub fn sleeps_through_tick(&mut self) -> bool {
        let is_idle = self.inbox.is_empty() && !self.turn_planned && !self.leaving && !self.replica.has_work();
        let sleeps = is_idle && self.slept + 1 < self.replica.ticks_until_due();
        self.slept += u32::from(sleeps);
        sleeps
    }

    /// One turn of the event loop: takes up to `inputs` inputs, fills the outboxes, and advances the replica.
    pub fn turn(
        &mut self,
        now_us: u64,
        inputs: usize,
        out: &mut Outputs,
        trace: &mut Trace,
    ) -> Result<(), String> {
        self.replica.begin_turn(self.clock.read(now_us));
        let slept = std::mem::take(&mut self.slept);
        if slept > 0 {
            self.replica.pass_ticks(self.clock.read(now_us), slept);
        }
        for _ in 0..inputs {
            let Some(input) = self.inbox.pop_front() else { break };
            self.feed(input, now_us, trace)?;
        }
        self.drain_intakes(false);
        // As the event loop does: also when there is no work, since time alone changes the gate.
        self.replica.advance(out);
        Ok(())
    }

    fn feed(&mut self, input: Input, now_us: u64, trace: &mut Trace) -> Result<(), String> {
        match input {
            Input::Up(process, run) => {
                trace.minor(now_us, self.process, || format!("is connected to p{process}"));
                self.replica.peer_up(ProcessId(process), run);
            }
            Input::Down(process) => {
                trace.minor(now_us, self.process, || format!("is not connected to p{process} any more"));
                self.replica.peer_down(ProcessId(process));
            }
            Input::Frame(from, frame) => {
                let (_, message) = wire::decode(frame).map_err(|error| error.to_string())?;
                trace.minor(now_us, self.process, || format!("<- p{from} {}", describe(&message)));
                // A leadership may come and go within one turn: what the replica says of it is its last word.
                self.met_descendant |= is_of_descendant(&message, self.formation);
                self.account.knew_other_leader |= speaks_as_leader(&message, self.account.term) || self.met_descendant;
                self.replica.receive(ProcessId(from), message);
            }
            Input::Delivered(partition, slot) => {
                self.lanes[partition].told = slot;
                self.replica.delivered(PartitionId(self.first_partition + partition as u32), slot);
            }
            Input::Persisted(write) => self.replica.persisted(write),
            Input::Tick => self.replica.tick(self.clock.read(now_us)),
            Input::Ask(ask) => {
                if let Err(why) = self.ask(ask) {
                    trace.story(now_us, self.process, || format!("refuses that: {why}"));
                }
            }
        }
        Ok(())
    }

    /// It has said goodbye, or was told to.
    pub fn leaves(&self) -> bool {
        let is_told = self.inbox.iter().any(|input| matches!(input, Input::Ask(Ask::Goodbye)));
        self.leaving || is_told
    }

    fn ask(&mut self, ask: Ask) -> Result<(), String> {
        match ask {
            Ask::Prefer(process) => self.replica.set_preferred(process.map(ProcessId)),
            Ask::Goodbye => {
                self.leaving = true;
                self.replica.say_goodbye();
            }
            Ask::Abandon => {
                self.drain_intakes(true);
                self.replica.abandon_undecided();
            }
            Ask::Companion(process) => self.replica.set_companion(process.map(ProcessId)),
            // Refusal is an answer too; what matters is what the replica then does.
            Ask::Seek => return self.replica.seek_leadership().map_err(|why| format!("{why:?}")),
            Ask::RestoreAlone => return self.replica.restore_alone(),
        }
        Ok(())
    }

    /// Moves chunks on as the event loop does: while wanted, or all of them once the gate is closed or
    /// held, or `whatever` they want.
    fn drain_intakes(&mut self, whatever: bool) {
        let all = whatever || matches!(self.gate, Gate::Closed { .. } | Gate::Hold);
        for (index, intake) in self.intakes.iter_mut().enumerate() {
            let partition = PartitionId(self.first_partition + index as u32);
            while !intake.chunks.is_empty() && (all || self.replica.wants(partition)) {
                let chunk = intake.chunks.pop_front().expect("not empty");
                intake.bytes -= chunk.queued_bytes;
                intake.logs -= u64::from(chunk.logs);
                self.replica.submit(chunk);
            }
        }
        if self.gate == Gate::Hold && self.intakes.iter().all(|intake| intake.chunks.is_empty()) {
            self.replica.intakes_drained();
        }
    }

    /// Puts an item into its lane. Returns the lane's number when it has work now.
    pub fn hand_over(&mut self, item: &LaneItem) -> Option<usize> {
        let LaneItem::Deliver(delivery) = item else { return None };
        let index = (delivery.partition.0 - self.first_partition) as usize;
        let last = Slot(delivery.first_slot.0 + u64::from(delivery.body.logs()) - 1);
        let lane = &mut self.lanes[index];
        lane.waiting.push_back((last, delivery.executed_here));
        if !delivery.executed_here {
            lane.last_foreign = last;
        }
        Some(index)
    }

    /// Logs that wait in the intakes.
    pub fn intake_logs(&self) -> u64 {
        self.intakes.iter().map(|intake| intake.logs).sum()
    }
}

/// Only a leader of a term that is not over sends this.
fn speaks_as_leader(message: &PeerMessage, term: u64) -> bool {
    let PeerMessage::Raft(_, message) = message else { return false };
    let kind = message.get_msg_type();
    matches!(kind, MessageType::MsgAppend | MessageType::MsgHeartbeat) && message.term >= term
}

/// The sender belongs to a later generation that continues `formation`.
fn is_of_descendant(message: &PeerMessage, formation: Option<u64>) -> bool {
    let PeerMessage::Standing(Standing { member: Some((theirs, _)), .. }) = message else { return false };
    formation.is_some_and(|ours| theirs.ancestors.contains(&ours))
}

/// A message as the wire carries it: one frame, and whether it may overtake payload.
pub fn frame(message: &PeerMessage) -> (Bytes, bool) {
    let frame = wire::encode(mako_raft::ids::GroupId(0), message);
    let bytes = frame.joined();
    assert_eq!(bytes.len(), frame.len, "a frame's length is that of its parts");
    (Bytes::from(bytes), frame.urgent)
}
