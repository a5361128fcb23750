//! A turn of a life's event loop, and what becomes of the replica's outputs.

use mako_raft::ids::ProcessId;
use mako_raft::replica::message::{PeerMessage, Standing};
use mako_raft::replica::output::{Event as Output, Gate, LaneItem, Leadership, Outputs, Severity};
use mako_raft::replica::wire;
use raft::eraftpb::MessageType;

use super::checks::{Checked, Violation};
use super::describe::describe;
use super::life::{frame, Pulse};
use super::schedule::{Event, LifeId};
use super::world::{World, FIRST_PARTITION};

/// Bytes beyond the log's bound that a replica may hold at a moment: what a leader may have on its way to
/// one follower, 48 messages of 1 MiB.
const LOG_BYTES_SLACK: usize = 48 << 20;

/// No event loop takes one of so many inputs at a time: a long log that is delivered at a start would stop it for a second.
const BACKLOG_INPUTS: usize = 256;

impl World {
    pub(super) fn turn(&mut self, id: LifeId) -> Checked {
        let life = &mut self.lives[id];
        life.turn_planned = false;
        if life.pulse != Pulse::Running {
            return Ok(());
        }
        self.turns += 1;
        let single = self.random.chance(self.plan.single_input_permille) && life.inbox.len() < BACKLOG_INPUTS;
        let inputs = if single { 1 } else { usize::MAX };
        let mut out = std::mem::take(&mut self.outputs);
        if let Err(error) = life.turn(self.schedule.now, inputs, &mut out, &mut self.trace) {
            return Violation::new("every frame decodes", error);
        }
        let checked = self.act(id, &mut out);
        self.outputs = out;
        checked?;
        self.follow_figure8(id);
        if !self.lives[id].inbox.is_empty() || self.lives[id].replica.has_work() {
            self.plan_turn(id);
        }
        self.plan_commit_due(id);
        Ok(())
    }

    /// The loop's timer for what waits; clocks go wrong by a tenth at most.
    fn plan_commit_due(&mut self, id: LifeId) {
        let life = &mut self.lives[id];
        if life.replica.commit_due().is_some() && !std::mem::replace(&mut life.commit_due_planned, true) {
            let wait_us = self.plan.timing.commit_wait_us;
            self.schedule.after(wait_us + wait_us / 8, Event::CommitDue(id));
        }
    }

    /// Acts on everything that a pass asked for, and checks it.
    fn act(&mut self, id: LifeId, out: &mut Outputs) -> Checked {
        self.look_ahead(id, out);
        let lost = out.events.contains(&Output::Leadership(Leadership::Lost));
        for item in out.deliveries.drain(..) {
            self.hand_over(id, item, lost)?;
        }
        for event in out.events.drain(..) {
            self.on_event(id, event)?;
        }
        for write in out.writes.drain(..) {
            self.lives[id].last_write = write.id;
            let process = self.lives[id].process as usize;
            self.processes[process].disk.write(write);
        }
        if self.plan.durable {
            self.write_on(id);
        }
        for (to, message) in out.messages.drain(..) {
            self.send(id, to.0, &message)?;
        }
        self.check_status(id)
    }

    /// Takes notice of what the whole pass says before its parts are judged: within a pass the lists have
    /// no order among each other.
    fn look_ahead(&mut self, id: LifeId, out: &Outputs) {
        let life = &mut self.lives[id];
        let me = life.process;
        let leads = life.replica.status().role == "leader";
        if life.replica.status().role == "unformed" {
            (life.formation, life.member) = (None, None);
        }
        for event in &out.events {
            match event {
                Output::Leader { leader: Some(leader), .. } if leader.0 != me || !leads => {
                    life.account.knew_other_leader = true;
                }
                Output::Joined { formation, member } => {
                    if let Some(parent) = life.formation.filter(|parent| parent != formation) {
                        for partition in 0..life.lanes.len() {
                            let slots = life.account.slots(partition);
                            self.checks.continue_as(parent, *formation, partition, slots);
                        }
                    }
                    life.met_descendant &= life.formation == Some(*formation);
                    life.formation = Some(*formation);
                    life.member = Some(*member);
                }
                _ => {}
            }
        }
    }

    fn hand_over(&mut self, id: LifeId, item: LaneItem, lost_now: bool) -> Checked {
        let now = self.schedule.now;
        let life = &mut self.lives[id];
        match &item {
            LaneItem::Deliver(delivery) => {
                let Some(formation) = life.formation else {
                    return Violation::new("only members deliver", format!("{delivery:?}"));
                };
                let partition = (delivery.partition.0 - FIRST_PARTITION) as usize;
                let (slot, here) = (delivery.first_slot.0, delivery.executed_here);
                let logs = life.account.deliver(partition, delivery)?;
                self.trace.story(now, life.process, || {
                    let callback = if here { "leader" } else { "follower" };
                    let last = slot + logs.len() as u64 - 1;
                    format!("delivers partition {} slots {slot}..={last} to the {callback} callback", delivery.partition)
                });
                if !here && life.account.announced && !lost_now {
                    let text = format!("partition {}: slot {slot} of another run", delivery.partition);
                    return Violation::new("leadership is announced after all earlier logs", text);
                }
                self.checks.deliver(formation, partition, slot, &logs, life.run, here)?;
            }
            LaneItem::Lost { partition, logs } => self.lose(id, partition.0 - FIRST_PARTITION, *logs)?,
        }
        if let Some(partition) = self.lives[id].hand_over(&item) {
            self.lane_on(id, partition);
        }
        Ok(())
    }

    fn lose(&mut self, id: LifeId, partition: u32, count: u32) -> Checked {
        let life = &mut self.lives[id];
        let logs = life.account.lose(partition as usize, count)?;
        self.trace.story(self.schedule.now, life.process, || {
            format!("loses {count} logs of partition {}", partition + FIRST_PARTITION)
        });
        let excused = life.account.knew_other_leader || life.leaving;
        if life.account.announced && !excused {
            let text = format!("partition {partition}: {count} logs, and no other leader is known");
            return Violation::new("nothing is lost while no other run is known to lead", text);
        }
        if self.plan.leaders_change_in_order && !life.account.queued_in_hope && !life.leaving {
            let text = format!("p{}, partition {partition}: {count} logs", life.process);
            return Violation::new("a hand-over loses nothing", text);
        }
        self.checks.lose(life.formation, &logs)
    }

    fn on_event(&mut self, id: LifeId, event: Output) -> Checked {
        let (now, process) = (self.schedule.now, self.lives[id].process);
        self.trace.story(now, process, || line(&event));
        let life = &mut self.lives[id];
        match event {
            Output::Gate(gate) => {
                life.gate = gate;
                life.account.queued_in_hope |= gate == Gate::Queue && !life.account.announced;
            }
            Output::Leadership(leadership) => {
                life.account.announce(leadership)?;
                if let Leadership::Gained { .. } = leadership {
                    return self.check_lanes_are_through(id);
                }
            }
            Output::Leader { .. } | Output::Notice(..) => {}
            Output::Released { partition, bytes } => {
                return life.account.released((partition.0 - FIRST_PARTITION) as usize, bytes);
            }
            Output::Joined { formation, .. } => {
                let generation = life.replica.status().formation.map_or(0, |(generation, _)| generation);
                self.checks.joined(generation, formation);
            }
            Output::Fatal(text) => return Violation::new("nothing is fatal", text),
        }
        Ok(())
    }

    fn check_lanes_are_through(&self, id: LifeId) -> Checked {
        for (partition, lane) in self.lives[id].lanes.iter().enumerate() {
            if lane.told < lane.last_foreign {
                let text = format!(
                    "partition {partition}: slot {} of another run, and callbacks returned through {}",
                    lane.last_foreign, lane.told
                );
                return Violation::new("leadership is announced after all earlier logs", text);
            }
        }
        Ok(())
    }

    fn send(&mut self, id: LifeId, to: u16, message: &PeerMessage) -> Checked {
        let life = &mut self.lives[id];
        self.trace.minor(self.schedule.now, life.process, || format!("-> p{to} {}", describe(message)));
        match message {
            PeerMessage::Promise(..) | PeerMessage::Accept(..) | PeerMessage::Accepted(..) => life.took_part = true,
            _ => {}
        }
        life.accepted_a_formation |= matches!(message, PeerMessage::Accepted(_));
        self.checks.sent(message)?;
        if self.plan.durable {
            self.check_is_on_disk(id, message)?;
        }
        self.check_known_checksums(id, message)?;
        let (bytes, urgent) = frame(message);
        match wire::decode(bytes.clone()) {
            Ok((_, back)) if back == *message => {}
            other => return Violation::new("every frame decodes to its message", format!("{message:?}, {other:?}")),
        }
        self.network.send(id, to, bytes, urgent, &mut self.schedule);
        Ok(())
    }

    fn check_known_checksums(&self, id: LifeId, message: &PeerMessage) -> Checked {
        let PeerMessage::Raft(_, message) = message else { return Ok(()) };
        for entry in message.entries.iter() {
            let known = self.lives[id].replica.checksum_of(entry);
            if known.is_some_and(|known| known != twox_hash::XxHash3_64::oneshot(&entry.data)) {
                let text = format!("index {}, term {}", entry.index, entry.term);
                return Violation::new("a checksum that is known is the payload's", text);
            }
        }
        Ok(())
    }

    fn check_is_on_disk(&mut self, id: LifeId, message: &PeerMessage) -> Checked {
        let disk = &mut self.processes[self.lives[id].process as usize].disk;
        if let PeerMessage::Standing(Standing { member: Some((formation, member)), .. }) = message {
            if !disk.tells(formation.id, *member) {
                let text = format!("{member} of formation {:016x}", formation.id);
                return Violation::new("a membership is on disk before it is told", text);
            }
        }
        let PeerMessage::Raft(_, message) = message else { return Ok(()) };
        match message.get_msg_type() {
            MessageType::MsgAppendResponse if !message.reject && !disk.has_synced(message.term, message.index) => {
                let text = format!("index {}, and {} is on disk", message.index, disk.synced_last());
                Violation::new("only what is on disk is acknowledged", text)
            }
            MessageType::MsgRequestVoteResponse if !message.reject && !disk.remembers_vote(message.term, message.to) => {
                let text = format!("for {} in term {}", message.to, message.term);
                Violation::new("a vote is on disk before it is given", text)
            }
            MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgHeartbeatResponse | MessageType::MsgRequestVote
                if !disk.remembers_term(message.term) =>
            {
                let text = format!("{:?} in term {}", message.get_msg_type(), message.term);
                Violation::new("a term is on disk before anything is said in it", text)
            }
            _ => Ok(()),
        }
    }

    fn check_status(&mut self, id: LifeId) -> Checked {
        let status = self.status(id);
        let life = &mut self.lives[id];
        let held = life.intake_logs() + life.replica.undecided_logs();
        let account = &mut life.account;
        for (name, now, before) in [
            ("term", status.term.0, &mut account.term),
            ("commit index", status.commit.0, &mut account.commit),
            ("delivered index", status.delivered.0, &mut account.delivered),
        ] {
            if now < *before {
                return Violation::new("progress never goes back", format!("{name} {now} after {before}"));
            }
            *before = now;
        }
        if life.met_descendant && (status.role == "leader" || account.announced) {
            let text = format!("p{} leads formation {:x?}", life.process, status.formation);
            return Violation::new("a child generation wins over its parent", text);
        }
        if status.role == "cut off" && account.announced && status.leader != Some(ProcessId(life.process)) {
            let text = format!("p{} in term {}", life.process, status.term);
            return Violation::new("who is told that it is out does not stand as leader", text);
        }
        if status.commit > status.last || status.delivered > status.commit {
            return Violation::new("delivered <= committed <= last", format!("{status:?}"));
        }
        if status.log_bytes > self.plan.limits.log_memory_bytes + LOG_BYTES_SLACK {
            return Violation::new("the log in memory is bounded", format!("{} bytes", status.log_bytes));
        }
        if held != account.undecided_in_all() {
            let text = format!("{held} logs are undecided, {} by the books", account.undecided_in_all());
            return Violation::new("accepted = delivered + lost + undecided", text);
        }
        if !life.leaving {
            account.gate_agrees(life.gate)?;
        }
        Ok(())
    }

    /// A life that said goodbye ends, once the shard can do without what it remembers.
    pub(super) fn end_of_leaving(&mut self, id: LifeId) {
        if !self.is_alive(id) {
            return;
        }
        if !self.may_crash(id) {
            self.schedule.after(100_000, Event::End(id));
            return;
        }
        let process = self.lives[id].process;
        self.processes[process as usize].disk.close();
        self.kill(id, "shut down after its goodbye");
        let delay = self.random.within(10_000, 3_000_000);
        self.schedule.after(delay, Event::Start(process));
    }
}

/// An event as a line of the transcript.
fn line(event: &Output) -> String {
    match event {
        Output::Gate(Gate::Open) => "gate open".into(),
        Output::Gate(Gate::Queue | Gate::Suspended) => "gate queues".into(),
        Output::Gate(Gate::Hold) => "gate holds".into(),
        Output::Gate(Gate::Closed { leader: None }) => "gate closed, leader unknown".into(),
        Output::Gate(Gate::Closed { leader: Some(leader) }) => format!("gate closed, p{} leads", leader.0),
        Output::Leadership(Leadership::Gained { first: true }) => "ANNOUNCES: leads, first after forming".into(),
        Output::Leadership(Leadership::Gained { first: false }) => "ANNOUNCES: leads".into(),
        Output::Leadership(Leadership::Lost) => "ANNOUNCES: lost leadership".into(),
        Output::Leader { term, leader: Some(leader) } => format!("sees p{} lead in term {term}", leader.0),
        Output::Leader { term, leader: None } => format!("sees nobody lead in term {term}"),
        Output::Released { partition, bytes } => format!("releases {bytes} bytes of partition {partition}"),
        Output::Joined { formation, member } => format!("is {member} of formation {formation:016x}"),
        Output::Notice(Severity::Info, text) => format!("says: {text}"),
        Output::Notice(Severity::Warning, text) => format!("warns: {text}"),
        Output::Notice(Severity::Error, text) => format!("reports an error: {text}"),
        Output::Fatal(text) => format!("STOPS ITSELF: {text}"),
    }
}

