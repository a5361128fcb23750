//! The event loop: the one thread that touches sockets and replicas.
//!
//! A turn: poll; read; step what came in; take what the replicas want from the intakes; one pass per
//! group; send; hand on. The next turn takes all that arrived during this one, so batches form by
//! themselves and nothing on this path waits for a timer. Sending comes before handing on, since the
//! callbacks that this wakes want the processor on which an acknowledgement would still have to leave.
//! Replicas learn first what time it is, and campaign in their pass: a turn that comes late has by then
//! read what a leader, or another campaign, has said meanwhile.

use std::io;
use std::num::NonZeroUsize;
use std::sync::{mpsc, Arc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use raft::eraftpb::Entry;

use crate::ids::{GroupId, PartitionId, ProcessId, Time};
use crate::replica::message::PeerMessage;
use crate::replica::output::{Event, Gate, LaneItem, Leadership, Outputs, Severity, WaitsFor, Write};
use crate::replica::wire;
use crate::transport::frame::SMALL_BODY_MAX;
use crate::transport::{NoticeLevel, SendOutcome, Transport, TransportEvent};

use super::busy_poll::BusyPoll;
use super::connection_lines::ConnectionLines;
use super::election::ShardLeadership;
use super::group_run::{GroupRun, NotAlone};
use super::lane::Lane;
use super::replica_process::NotRestored;
use super::shared::{mark_loop_thread, Command, Shared, Sought};
use super::throttle::Throttle;
use super::ticks::Ticks;
use super::together::{next_after, Aim, Look, Stand, Together};
use super::watch::{Line, Watch};

/// Readiness events taken from one poll; what does not fit comes with the next.
const EVENTS_PER_POLL: usize = 256;
/// Between two looks at what stands still, and at buffers that came free and were not used again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The token of the wake-up; the transport's begin behind it.
pub(super) const WAKE_TOKEN: mio::Token = mio::Token(0);
/// The transport's first token.
pub(super) const FIRST_TRANSPORT_TOKEN: usize = 1;

/// How the loop goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    Serving,
    /// Goodbye was said; `drained` opens when nothing is left to wait for.
    Draining,
    /// The same, and what is not decided yet is not waited for any more.
    Abandoning,
    Stopped,
}

/// The times that a loop goes by.
pub(super) struct Clock {
    /// What [`Time`] counts from.
    pub origin: Instant,
    /// Between two ticks.
    pub tick: Duration,
    /// The longest look for work before the loop sleeps.
    pub busy_poll: Duration,
}

/// Everything that the loop's thread owns.
pub(super) struct EventLoop {
    poll: mio::Poll,
    transport: Transport,
    me: ProcessId,
    groups: Vec<GroupRun>,
    shared: Arc<Shared>,
    origin: Instant,
    ticks: Ticks,
    next_look: Instant,
    busy_poll: BusyPoll,
    course: Course,
    outputs: Outputs,
    encoder: wire::Encoder,
    arrivals: Vec<TransportEvent>,
    /// Deliveries sorted by port, handed over once per turn; indexed as `shared.ports`.
    staged: Vec<Vec<LaneItem>>,
    /// Lanes that have to be woken, while they are collected.
    asleep: Vec<Arc<Lane>>,
    /// How many threads of this process run at once.
    cores: NonZeroUsize,
    bad_frames: Throttle,
    connection_lines: ConnectionLines,
    watch: Watch,
    /// Changes of leadership of the pass that is acted on.
    announcements: Vec<Leadership>,
    leadership: ShardLeadership,
    together: Together,
    /// Who asked for leadership and waits for the gates to follow, and the answer.
    after_turn: Vec<(mpsc::SyncSender<Sought>, Sought)>,
}

impl EventLoop {
    pub(super) fn new(
        poll: mio::Poll,
        transport: Transport,
        me: ProcessId,
        mut groups: Vec<GroupRun>,
        shared: Arc<Shared>,
        clock: Clock,
    ) -> Self {
        let voting = groups.iter().filter(|group| group.voting_index.is_some()).count();
        let leadership = ShardLeadership::new(voting);
        if leadership.is_of_several() {
            let several = groups.iter_mut().filter(|group| group.voting_index.is_some());
            several.for_each(|group| group.replica.be_one_of_several());
        }
        Self {
            poll,
            transport,
            me,
            groups,
            staged: shared.ports.iter().map(|_| Vec::new()).collect(),
            asleep: Vec::new(),
            cores: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            shared,
            origin: clock.origin,
            ticks: Ticks::every(clock.tick),
            next_look: Instant::now(),
            busy_poll: BusyPoll::at_most(clock.busy_poll),
            course: Course::Serving,
            outputs: Outputs::default(),
            encoder: wire::Encoder::default(),
            arrivals: Vec::new(),
            bad_frames: Throttle::every(Duration::from_secs(1)),
            connection_lines: ConnectionLines::default(),
            watch: Watch::default(),
            announcements: Vec::new(),
            leadership,
            together: Together::new(),
            after_turn: Vec::new(),
        }
    }

    /// The thread's body, until stopped or failed. Connections and port are closed when it returns.
    pub(super) fn run(mut self) {
        mark_loop_thread();
        let mut events = mio::Events::with_capacity(EVENTS_PER_POLL);
        let mut may_sleep = self.turn();
        self.shared.turning.open();
        while self.course != Course::Stopped && !self.shared.failure.is_set() {
            if let Err(error) = self.poll(&mut events, may_sleep) {
                self.shared.failure.report(format!("polling the sockets: {error}"));
                break;
            }
            for event in &events {
                if self.transport.owns(event.token()) {
                    self.transport.handle(event);
                }
            }
            may_sleep = self.turn();
        }
        if self.shared.failure.is_set() {
            // Dropping it closes the sockets without sending what is queued.
            drop(self.transport);
        } else {
            self.transport.close();
        }
    }

    /// One turn after the poll. True when nothing is left that can be done now.
    fn turn(&mut self) -> bool {
        let now = Instant::now();
        let time = self.time(now);
        self.groups.iter_mut().for_each(|group| group.replica.begin_turn(time));
        let ticks = self.ticks.passed(now);
        if self.ticks.take_look(now, ticks) {
            self.transport.tick(time);
        }
        if ticks > 0 {
            self.tell_what_is_lost();
            self.keep_together(time);
            self.hold_orders();
            self.groups.iter_mut().for_each(|group| group.replica.pass_ticks(time, ticks));
            if now >= self.next_look {
                self.next_look = now + LOOK_EVERY;
                self.shared.buffers.iter().for_each(|buffers| buffers.trim());
                self.connection_lines.look().for_each(|line| log::info!("{line}"));
                self.look_for_stands(time);
            }
        }
        let more_to_read = self.transport.poll_io(time, &mut self.arrivals);
        self.take_arrivals();
        if self.shared.is_commanded() {
            self.shared.take_commands().into_iter().for_each(|command| self.obey(command));
        }
        for index in 0..self.groups.len() {
            if self.shared.failure.is_set() {
                return false;
            }
            self.groups[index].report_progress();
            self.groups[index].drain_intakes();
            self.advance(index);
        }
        self.announce_the_shard();
        let more_to_send = self.transport.flush();
        self.hand_to_lanes();
        for (answer, sought) in self.after_turn.drain(..) {
            // An asker that has given up needs no answer.
            let _ = answer.try_send(sought);
        }
        if self.is_draining() {
            self.drain();
        }
        let wrote = self.write_held(more_to_read || more_to_send);
        !more_to_read && !more_to_send && !wrote && !self.groups.iter().any(|group| group.replica.has_work())
    }

    fn time(&self, now: Instant) -> Time {
        Time(now.duration_since(self.origin).as_micros() as u64)
    }

    /// Says what stands still.
    fn look_for_stands(&mut self, now: Time) {
        if self.is_draining() {
            return;
        }
        let (mut index, mut lines) = (0, Vec::new());
        for (number, group) in self.groups.iter().enumerate() {
            let waits_for = group.replica.waits_for();
            for port in &group.ports {
                self.watch.port(index, port, waits_for, now, &mut lines);
                index += 1;
            }
            if let Some(writer) = &group.writer {
                self.watch.writer(number, writer, now, &mut lines);
            }
        }
        lines.iter().for_each(Line::log);
    }

    /// Polls: until the next tick, the transport's or ours, a socket or a wake-up when nothing is left to do, else without waiting.
    fn poll(&mut self, events: &mut mio::Events, may_sleep: bool) -> io::Result<()> {
        if !may_sleep {
            return self.poll_for(events, Duration::ZERO);
        }
        let begun = Instant::now();
        let wants_progress = self.is_draining() || self.groups.iter().any(|group| group.waits_for_lanes(self.me));
        if self.look_on(events, begun, wants_progress)? {
            self.busy_poll.found(begun.elapsed());
        } else if self.sleep(events, wants_progress)? {
            self.busy_poll.woken(begun.elapsed());
        } else {
            self.busy_poll.nothing_came();
        }
        Ok(())
    }

    /// False when nothing came until it was time to look at the clock.
    fn sleep(&mut self, events: &mut mio::Events, wants_progress: bool) -> io::Result<bool> {
        let mut timeout = Duration::ZERO;
        self.shared.wakeup.announce_sleep(wants_progress);
        let found = self.finds_work(wants_progress);
        if !found {
            self.ticks.sleep_through(self.ticks_until_due());
            timeout = self.time_left(Instant::now());
        }
        let polled = self.poll_for(events, timeout);
        self.shared.wakeup.awake();
        polled.map(|()| found || !events.is_empty())
    }

    fn poll_for(&mut self, events: &mut mio::Events, timeout: Duration) -> io::Result<()> {
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            polled => polled,
        }
    }

    /// Looks for work for as long as that is better than to sleep; true when there is some.
    fn look_on(&mut self, events: &mut mio::Events, begun: Instant, wants_progress: bool) -> io::Result<bool> {
        let window = self.busy_poll.window(begun);
        if window.is_zero() {
            return Ok(false);
        }
        let end = begun + window.min(self.time_left(begun));
        loop {
            self.poll_for(events, Duration::ZERO)?;
            if !events.is_empty() || self.finds_work(wants_progress) {
                return Ok(true);
            }
            if !self.busy_poll.give_way(end) {
                return Ok(false);
            }
        }
    }

    /// Until the next look at the clock, or a commit index that waits for entries is due.
    fn time_left(&self, now: Instant) -> Duration {
        let left = self.ticks.left(now);
        let due = self.groups.iter().filter_map(|group| group.replica.commit_due()).min();
        let until = |due: Time| Duration::from_micros(due.0.saturating_sub(self.time(now).0));
        due.map_or(left, |due| until(due).min(left))
    }

    fn ticks_until_due(&self) -> u32 {
        let due = self.groups.iter().map(|group| group.replica.ticks_until_due()).min();
        due.filter(|_| !self.is_draining()).unwrap_or(1)
    }

    /// The look before sleeping, and again between announcing sleep and sleeping: at what other threads write that would
    /// wake a sleeping loop.
    fn finds_work(&self, wants_progress: bool) -> bool {
        self.shared.is_commanded()
            || self.shared.failure.is_set()
            // A lane has finished what it delivered before.
            || (self.is_draining() && self.is_drained() && !self.shared.drained.is_open())
            || self.groups.iter().any(|group| {
                group.has_arrivals()
                    || (wants_progress && group.has_unreported_progress())
                    // An intake filled up meanwhile that waits for a lane: announce that first.
                    || (!wants_progress && group.waits_for_lanes(self.me))
            })
    }

    /// Small bodies that came together share memory. Of several groups each keeps its part for as long as its own log does.
    fn apart(&self, body: Bytes) -> Bytes {
        let is_shared = self.groups.len() > 1 && body.len() <= SMALL_BODY_MAX;
        if is_shared { Bytes::copy_from_slice(&body) } else { body }
    }

    fn take_arrivals(&mut self) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        for event in arrivals.drain(..) {
            match event {
                TransportEvent::Frame { from, body } => match wire::decode(self.apart(body)) {
                    Ok((group, message)) => self.receive(from, group, message),
                    Err(error) => self.reject(from, &error.to_string()),
                },
                TransportEvent::Up { peer, run } => {
                    self.say_connection(peer, format!("is connected (run {run})"));
                    for group in self.groups.iter_mut().filter(|group| group.peers.contains(&peer)) {
                        group.replica.peer_up(peer, run);
                    }
                }
                TransportEvent::Down { peer, reason } => {
                    self.say_connection(peer, format!("is disconnected: {reason}"));
                    self.together.forget(peer);
                    for group in self.groups.iter_mut().filter(|group| group.peers.contains(&peer)) {
                        group.replica.peer_down(peer);
                    }
                }
                TransportEvent::Notice(NoticeLevel::Info, text) => log::info!("{text}"),
                TransportEvent::Notice(NoticeLevel::Warning, text) => log::warn!("{text}"),
            }
        }
        self.arrivals = arrivals;
    }

    fn say_connection(&mut self, peer: ProcessId, news: String) {
        if let Some(line) = self.connection_lines.changed(peer, news) {
            log::info!("{line}");
        }
    }

    fn receive(&mut self, from: ProcessId, id: GroupId, message: PeerMessage) {
        match self.groups.iter_mut().find(|group| group.id == id && group.peers.contains(&from)) {
            Some(group) => {
                if message.answers_a_heartbeat() {
                    group.replica.set_backlog(from, self.transport.has_backlog(from));
                }
                group.replica.receive(from, message);
            }
            None => self.reject(from, &format!("a message for {id}, which we do not share")),
        }
    }

    /// A peer whose bytes make no sense is no peer: what else it said can't be trusted to be what it meant.
    fn reject(&mut self, from: ProcessId, what: &str) {
        if let Some(held_back) = self.bad_frames.pass() {
            log::warn!("{from} sent what can't be understood: {what} ({held_back} more like it before)");
        }
        self.transport.disconnect(from, format!("it sent what can't be understood: {what}"));
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::SetPreferred(process) => {
                self.groups.iter_mut().for_each(|group| group.replica.set_preferred(process));
            }
            Command::SeekLeadership(question) => {
                let Some(answer) = question.take() else { return };
                // All or none: leadership of some groups is none.
                let can_lead = self.groups.iter().try_for_each(|group| group.replica.can_lead());
                let sought = can_lead.and_then(|()| self.groups.iter_mut().try_for_each(|group| group.replica.seek_leadership()));
                self.after_turn.push((answer, sought));
            }
            Command::RestoreAlone(question) => {
                let Some(answer) = question.take() else { return };
                let me = self.me;
                // All or none: a survivor that has one group and not the other serves nobody.
                let refusals = self.restoring_refusals();
                let _ = answer.try_send(if refusals.is_empty() {
                    NotRestored::sum_up(self.groups.iter_mut().map(|group| (group.id, group.restore_alone(me))))
                } else {
                    NotRestored::sum_up(refusals.into_iter().map(|(group, refusal)| (group, Err(refusal))))
                });
            }
            Command::Status(question) => {
                let Some(answer) = question.take() else { return };
                let status = self.groups.iter().map(|group| (group.id, group.replica.status())).collect();
                let _ = answer.try_send(status);
            }
            Command::Traffic(question) => {
                let Some(answer) = question.take() else { return };
                let _ = answer.try_send(self.transport.counters());
            }
            Command::Drain => {
                self.groups.iter_mut().for_each(|group| group.replica.say_goodbye());
                self.course = Course::Draining;
            }
            Command::Abandon => {
                self.groups.iter_mut().for_each(|group| {
                    group.surrender_intakes();
                    group.replica.abandon_undecided();
                });
                self.course = Course::Abandoning;
            }
            Command::Stop => self.course = Course::Stopped,
        }
    }

    fn is_draining(&self) -> bool {
        matches!(self.course, Course::Draining | Course::Abandoning)
    }

    fn drain(&mut self) {
        for group in self.groups.iter_mut().filter(|group| group.replica.drain_is_hopeless()) {
            group.surrender_intakes();
            group.replica.abandon_undecided();
        }
        if self.is_drained() {
            self.shared.drained.open();
        }
    }

    fn is_drained(&self) -> bool {
        self.groups.iter().all(|group| group.is_drained(self.course == Course::Abandoning))
    }

    /// One pass of a group, and what it asks for.
    fn advance(&mut self, index: usize) {
        let mut outputs = std::mem::take(&mut self.outputs);
        let group = &mut self.groups[index];
        group.replica.advance(&mut outputs);
        if let Some(reason) = outputs.events.iter().find_map(fatal) {
            // Nothing of this pass may leave.
            self.shared.failure.report(format!("{}: {reason}", group.id));
            return;
        }
        self.take_writes(index, &mut outputs.writes);
        let group = &mut self.groups[index];
        for (to, message) in outputs.messages.drain(..) {
            let checksum_of = |entry: &Entry| group.replica.checksum_of(entry);
            let sent = self.transport.send(to, self.encoder.encode(group.id, &message, &checksum_of));
            if sent == SendOutcome::Dropped {
                group.replica.not_sent(to, &message);
            }
        }
        self.encoder.clear();
        for item in outputs.deliveries.drain(..) {
            self.stage(item);
        }
        for event in outputs.events.drain(..) {
            self.act_on(index, event);
        }
        // The host may submit as soon as it is told that it leads, so every gate of this pass is set first.
        if !self.announcements.is_empty() {
            self.set_doors();
            self.announcements.drain(..).for_each(|change| self.shared.election.push(change));
        }
        self.outputs = outputs;
    }

    /// Where there are several groups none of them is announced, or proposes what is queued, before each of them could be.
    fn announce_the_shard(&mut self) {
        let is_due = self.leadership.is_of_several() && !self.leadership.is_announced() && !self.is_draining();
        let could_announce = |group: &GroupRun| group.voting_index.is_none() || group.replica.could_announce();
        if !is_due || !self.groups.iter().all(could_announce) {
            return;
        }
        for index in 0..self.groups.len() {
            if self.shared.failure.is_set() {
                return;
            }
            if self.groups[index].voting_index.is_some() {
                self.groups[index].replica.announce();
                self.advance(index);
            }
        }
    }

    /// Gives `writes` to the group's log writer, or keeps them for the end of the turn, when they are best made
    /// by the loop itself.
    fn take_writes(&mut self, index: usize, writes: &mut Vec<Write>) {
        let Some(writer) = &self.groups[index].writer else {
            debug_assert!(writes.is_empty(), "only a durable replica writes");
            return;
        };
        // One at a time: several groups' writes go on at the same time in their threads.
        let alone = || self.groups.iter().all(GroupRun::writes_nothing);
        if !self.groups[index].held_writes.is_empty() {
            // A second pass in this turn: behind what the first one kept.
            self.groups[index].held_writes.append(writes);
        } else if !writes.is_empty() && writer.suits_here(writes) && !self.groups[index].has_filled_intake() && alone() {
            self.groups[index].held_writes.append(writes);
        } else {
            writer.push(writes);
        }
    }

    /// Makes the writes that were kept, when nothing else is left to do, after all that could be sent is
    /// sent; else the log writer gets them. True when something was written.
    fn write_held(&mut self, busy: bool) -> bool {
        let Some(group) = self.groups.iter_mut().find(|group| !group.held_writes.is_empty()) else { return false };
        let Some(writer) = &group.writer else { return false };
        if busy || !writer.suits_here(&group.held_writes) || group.ports.iter().any(|port| port.intake.is_filled()) {
            writer.push(&mut group.held_writes);
            return false;
        }
        match writer.write_here(&mut group.held_writes) {
            Ok(took) => Watch::own_write(group.id, took).iter().for_each(Line::log),
            Err(reason) => self.shared.failure.report(reason),
        }
        true
    }

    fn stage(&mut self, item: LaneItem) {
        let partition = match &item {
            LaneItem::Deliver(delivery) => delivery.partition,
            LaneItem::Lost { partition, .. } => *partition,
        };
        match self.port_index(partition) {
            Some(port) => self.staged[port].push(item),
            None => self.shared.failure.report(format!("a delivery for unknown partition {partition}")),
        }
    }

    fn port_index(&self, partition: PartitionId) -> Option<usize> {
        self.shared.ports.binary_search_by_key(&partition, |port| port.partition).ok()
    }

    fn hand_to_lanes(&mut self) {
        for (port, items) in self.shared.ports.iter().zip(&mut self.staged) {
            if !items.is_empty() && port.lane.push(items) {
                self.asleep.push(port.lane.clone());
            }
        }
        self.shared.chain.wake(&mut self.asleep, self.cores);
    }

    fn act_on(&mut self, index: usize, event: Event) {
        let group = &mut self.groups[index];
        match event {
            Event::Gate(gate) => {
                group.gate = gate;
                self.set_doors();
                if matches!(gate, Gate::Closed { .. }) {
                    self.groups[index].surrender_intakes();
                }
            }
            Event::Leadership(change) => match group.voting_index {
                Some(voting) => self.announcements.extend(self.leadership.apply(voting, change)),
                None => log::error!("{}: {change:?} in a group where this process has no vote", group.id),
            },
            Event::Leader { term, leader } => {
                group.view.set_leader(leader);
                let who = leader.map_or("nobody known".to_string(), |leader| leader.to_string());
                log::info!("{}: leader in term {term}: {who}", group.id);
                self.keep_together(self.time(Instant::now()));
            }
            Event::Released { partition, bytes } => {
                if let Some(port) = self.port_index(partition) {
                    self.shared.ports[port].intake.release(bytes);
                }
            }
            Event::Joined { formation, member } => {
                log::info!("{}: joined formation {formation:016x} as {member}", group.id);
            }
            Event::Notice(Severity::Info, text) => log::info!("{}: {text}", group.id),
            Event::Notice(Severity::Warning, text) => log::warn!("{}: {text}", group.id),
            Event::Notice(Severity::Error, text) => log::error!("{}: {text}", group.id),
            Event::Fatal(reason) => self.shared.failure.report(format!("{}: {reason}", group.id)),
        }
    }

    /// Of several groups, while one is stuck, each obeys an operator's order only when all that need it can.
    fn hold_orders(&mut self) {
        let is_stuck = self.groups.len() > 1 && self.groups.iter().any(|group| group.replica.waits_for() == WaitsFor::Majority);
        let holds = is_stuck && !self.restoring_refusals().is_empty();
        self.groups.iter_mut().for_each(|group| group.replica.hold_orders(holds));
    }

    /// The groups that need restoring, and why they could not go on alone here.
    fn restoring_refusals(&self) -> Vec<(GroupId, NotAlone)> {
        let refusal = |group: &GroupRun| Some((group.id, group.could_restore_alone(self.me).err().filter(|no| !no.serves)?));
        self.groups.iter().filter_map(refusal).collect()
    }

    fn set_doors(&mut self) {
        let queues = self.groups.iter().any(|group| group.voting_index.is_some() && group.gate == Gate::Queue);
        for group in &mut self.groups {
            group.set_door(self.leadership.gate(group.gate, queues), self.leadership.is_announced());
        }
    }

    /// What the host has executed, and others have not, is in one database.
    fn tell_what_is_lost(&mut self) {
        if self.groups.iter().any(|group| group.replica.lost_accepted()) {
            self.groups.iter_mut().for_each(|group| group.replica.lost_in_another_group());
        }
    }

    /// With several groups one process has to lead them all: see `together.rs`. Looked at before the replicas' ticks, in which
    /// hand-overs begin.
    fn keep_together(&mut self, now: Time) {
        if self.groups.len() < 2 {
            return;
        }
        let (me, is_announced) = (self.me, self.leadership.is_announced());
        let (first, others) = self.groups.split_first_mut().expect("several");
        let is_known_there = |leader: &ProcessId| first.peers.contains(leader);
        let stand = |group: &GroupRun| Stand {
            leader: group.view.leader().filter(is_known_there),
            is_out: group.replica.is_out(),
            lacks_leader: group.replica.lacks_leader(),
            ready: group.replica.ready_heirs(),
            has_hope: group.replica.hopes_for_an_heir(),
        };
        let first_stand = stand(first);
        let others_stand: Vec<Stand> =
            others.iter().filter(|group| group.voting_index.is_some()).map(stand).collect();
        let look = Look {
            me,
            wish: first.replica.wish(),
            hands_over: first.replica.hands_over(),
            is_announced,
            has_lost: first.replica.lost_accepted(),
            first: &first_stand,
            others: &others_stand,
        };
        let aim = self.together.decide(now, &look);
        if let Some((level, line)) = self.together.news(now, &look) {
            log::log!(level, "{}: {line}", first.id);
        }
        first.replica.set_companion(aim.companion(me));
        if aim == Aim::Elect {
            first.replica.leave_it_to_an_election();
        }
        let (gives_all_to, led_elsewhere) = (self.together.gives_all_to(&look), look.is_led_elsewhere());
        let are_all_drained = others.iter().all(|group| group.voting_index.is_none() || group.replica.could_call());
        first.replica.set_led_elsewhere(led_elsewhere);
        first.replica.hold_call(gives_all_to.is_some() && !are_all_drained);
        for group in others {
            group.replica.set_led_elsewhere(led_elsewhere);
            group.replica.set_leads_despite_loss(aim == Aim::TakeAll);
            group.replica.hold_call(gives_all_to.is_some() && !first.replica.has_called());
            let leader = match first.view.leader().filter(|_| !first_stand.is_out) {
                _ if gives_all_to.is_some() => gives_all_to,
                Some(leader) => Some(leader),
                // Its target may be about to lead the first group.
                None if group.replica.hands_over() => continue,
                // It does not know who leads the first group, and passes the others on to somebody who may.
                None if first_stand.is_out => next_after(me, &group.replica.ready_heirs()),
                None => None,
            };
            group.replica.set_companion(leader.filter(|leader| group.peers.contains(leader)));
        }
    }
}

fn fatal(event: &Event) -> Option<&str> {
    match event {
        Event::Fatal(reason) => Some(reason),
        _ => None,
    }
}
