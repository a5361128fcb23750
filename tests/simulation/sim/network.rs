//! Connections between lives, as TCP gives them, and worse.
//!
//! A connection has two directions. In each, payload frames keep their order and so do urgent frames,
//! but urgent ones may overtake payload. A break loses what is in flight, and the two sides learn of it
//! at different times. A blocked direction holds its frames; when it is free again they arrive. The
//! datagram mode also loses, doubles and reorders frames inside a connection.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::plan::Datagram;
use super::random::Random;
use super::schedule::{Event, LifeId, Schedule};

/// A connection: an index, never used twice.
pub type ConnId = usize;
/// 0 or 1: an end of a connection.
pub type Side = usize;

/// Payload bytes that wait in one direction before more are dropped: the transport's bound for a
/// stalled peer, as small as a few of the largest messages.
const BACKLOG_BYTES_MAX: usize = 8 << 20;

/// A connection between two lives.
#[derive(Debug)]
pub struct Conn {
    /// The lives at its ends.
    pub ends: [LifeId; 2],
    /// Their processes.
    pub processes: [u16; 2],
    /// Frames can still be put into it.
    open: bool,
    /// Whether each side was told that it is up.
    up: [bool; 2],
    /// Frames towards each side.
    inbound: [Direction; 2],
}

#[derive(Debug, Default)]
struct Direction {
    frames: BTreeMap<(u64, u64), Bytes>,
    bytes: usize,
    last_urgent: u64,
    last_bulk: u64,
}

/// How a process's line behaves.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// A frame's way takes at least this long,
    pub latency_low_us: u64,
    /// and at most this.
    pub latency_high_us: u64,
    /// Nanoseconds per byte.
    pub nanos_per_byte: u64,
}

/// All connections.
pub struct Network {
    conns: Vec<Conn>,
    /// What each life believes: its connection to each process.
    seen: Vec<Vec<Option<ConnId>>>,
    /// How many faults block the way from one process to another.
    blocked: Vec<Vec<u32>>,
    dialing: BTreeSet<(LifeId, LifeId)>,
    /// Each process's line.
    pub lines: Vec<Line>,
    /// What happens to frames inside a connection.
    pub datagram: Datagram,
    /// Frames so far; keeps equal moments apart.
    order: u64,
    random: Random,
    /// Frames that the bound dropped.
    pub dropped: u64,
}

/// What a side's view of a peer becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Connected to this life.
    Up(LifeId),
    /// Not connected.
    Down,
}

impl Network {
    /// A network of `processes` processes without a connection.
    pub fn new(processes: u16, line: Line, datagram: Datagram, random: Random) -> Self {
        let count = processes as usize;
        Self {
            conns: Vec::new(),
            seen: Vec::new(),
            blocked: vec![vec![0; count]; count],
            dialing: BTreeSet::new(),
            lines: vec![line; count],
            datagram,
            order: 0,
            random,
            dropped: 0,
        }
    }

    /// A new life, which is connected to nobody.
    pub fn add_life(&mut self, life: LifeId) {
        debug_assert_eq!(life, self.seen.len());
        self.seen.push(vec![None; self.blocked.len()]);
    }

    /// The two lives will try to connect after `delay_us`.
    pub fn dial_later(&mut self, a: LifeId, b: LifeId, delay_us: u64, schedule: &mut Schedule) {
        let pair = (a.min(b), a.max(b));
        if self.dialing.insert(pair) {
            schedule.after(delay_us, Event::Dial(pair.0, pair.1));
        }
    }

    /// The two lives connect now, if the network lets them; tries again later otherwise.
    pub fn dial(&mut self, ends: [LifeId; 2], processes: [u16; 2], reachable: bool, schedule: &mut Schedule) {
        self.dialing.remove(&(ends[0], ends[1]));
        if self.conns.iter().rev().any(|conn| conn.open && conn.ends == ends) {
            return;
        }
        let [a, b] = processes.map(usize::from);
        if !reachable || self.blocked[a][b] > 0 || self.blocked[b][a] > 0 {
            let delay = self.random.within(20_000, 200_000);
            self.dial_later(ends[0], ends[1], delay, schedule);
            return;
        }
        let id = self.conns.len();
        self.conns.push(Conn { ends, processes, open: true, up: [false; 2], inbound: Default::default() });
        for side in 0..2 {
            schedule.after(self.random.within(50, 5_000), Event::Up(id, side));
        }
    }

    /// The life and process at `side`.
    pub fn end(&self, conn: ConnId, side: Side) -> (LifeId, u16) {
        (self.conns[conn].ends[side], self.conns[conn].processes[side])
    }

    /// `side` learns that `conn` is up. `None` when it never hears of it.
    pub fn on_up(&mut self, conn: ConnId, side: Side, schedule: &mut Schedule) -> Option<Notice> {
        let c = &mut self.conns[conn];
        let (me, peer, peer_process) = (c.ends[side], c.ends[1 - side], c.processes[1 - side] as usize);
        if !c.open && self.random.chance(500) {
            return None;
        }
        c.up[side] = true;
        if !c.open {
            schedule.after(self.random.within(100, 20_000), Event::Down(conn, side));
        }
        schedule.after(0, Event::Arrive(conn, side));
        let former = self.seen[me][peer_process].replace(conn);
        if let Some(former) = former.filter(|&former| self.conns[former].open) {
            self.close(former, schedule);
        }
        Some(Notice::Up(peer))
    }

    /// `side` learns that `conn` is gone. `None` when it had replaced it already.
    pub fn on_down(&mut self, conn: ConnId, side: Side) -> Option<Notice> {
        let c = &mut self.conns[conn];
        c.inbound[side] = Direction::default();
        let seen = &mut self.seen[c.ends[side]][c.processes[1 - side] as usize];
        if *seen != Some(conn) {
            return None;
        }
        *seen = None;
        Some(Notice::Down)
    }

    /// Breaks the connection: nothing more goes in, and each side learns of it in its own time. What is
    /// on its way is mostly lost.
    pub fn close(&mut self, conn: ConnId, schedule: &mut Schedule) {
        let c = &mut self.conns[conn];
        if !c.open {
            return;
        }
        c.open = false;
        let ends = c.ends;
        let loses_all = self.random.chance(600);
        for side in 0..2 {
            let inbound = &mut self.conns[conn].inbound[side];
            let mut delay = match self.random.below(10) {
                0 => self.random.within(10_000, 1_000_000),
                1..=3 => self.random.within(1_000, 50_000),
                _ => self.random.within(0, 1_000),
            };
            if loses_all {
                *inbound = Direction::default();
            } else if let Some((&(last, _), _)) = inbound.frames.last_key_value() {
                delay = delay.max(last.saturating_sub(schedule.now) + 1);
            }
            schedule.after(delay, Event::Down(conn, side));
        }
        let delay = self.random.within(10_000, 250_000);
        self.dial_later(ends[0], ends[1], delay, schedule);
    }

    /// Open connections that have a life of one of `processes` at an end.
    pub fn open_conns(&self, wanted: impl Fn(&Conn) -> bool) -> Vec<ConnId> {
        (0..self.conns.len()).filter(|&id| self.conns[id].open && wanted(&self.conns[id])).collect()
    }

    /// True when `life` has an open connection to `process`.
    pub fn connected(&self, life: LifeId, process: u16) -> bool {
        self.seen[life][process as usize].is_some_and(|conn| self.conns[conn].open)
    }

    /// Puts a frame into `from`'s connection to `to`, where it has one.
    pub fn send(&mut self, from: LifeId, to: u16, frame: Bytes, urgent: bool, schedule: &mut Schedule) {
        let Some(conn) = self.seen[from][to as usize] else { return };
        let c = &mut self.conns[conn];
        if !c.open {
            return;
        }
        let side = usize::from(c.ends[0] == from);
        let lines = [c.processes[0], c.processes[1]].map(|process| self.lines[process as usize]);
        let low = lines[0].latency_low_us.max(lines[1].latency_low_us);
        let high = lines[0].latency_high_us.max(lines[1].latency_high_us);
        let pace = lines[0].nanos_per_byte.max(lines[1].nanos_per_byte);
        let Datagram { loss, duplication, reordering } = self.datagram;
        if !urgent && c.inbound[side].bytes + frame.len() > BACKLOG_BYTES_MAX {
            self.dropped += 1;
            return;
        }
        if self.random.chance(loss) {
            return;
        }
        let copies = 1 + usize::from(self.random.chance(duplication));
        for _ in 0..copies {
            let direction = &mut c.inbound[side];
            let travel = self.random.within(low, high) + frame.len() as u64 * pace / 1_000;
            let last = if urgent { &mut direction.last_urgent } else { &mut direction.last_bulk };
            let at = if self.random.chance(reordering) {
                schedule.now + travel + self.random.within(0, 3 * high)
            } else {
                (schedule.now + travel).max(*last)
            };
            *last = at.max(*last).min(schedule.now + travel + high);
            self.order += 1;
            direction.bytes += frame.len();
            direction.frames.insert((at, self.order), frame.clone());
            schedule.after(at - schedule.now, Event::Arrive(conn, side));
        }
    }

    /// Takes the frames that are due at `side`; none while the way is blocked or the side does not know
    /// of the connection.
    pub fn arrivals(&mut self, conn: ConnId, side: Side, now: u64) -> Vec<Bytes> {
        let c = &mut self.conns[conn];
        let (to, from) = (c.processes[side] as usize, c.processes[1 - side] as usize);
        let seen = self.seen[c.ends[side]][from] == Some(conn);
        if !c.up[side] || !seen || self.blocked[from][to] > 0 {
            return Vec::new();
        }
        let direction = &mut c.inbound[side];
        let mut due = Vec::new();
        while let Some(first) = direction.frames.first_entry() {
            if first.key().0 > now {
                break;
            }
            let frame = first.remove();
            direction.bytes -= frame.len();
            due.push(frame);
        }
        due
    }

    /// The line of `process` is fast again: what crept along it arrives soon, in its order.
    pub fn hasten(&mut self, process: u16, schedule: &mut Schedule) {
        let soon = schedule.now + self.lines[process as usize].latency_high_us;
        for id in self.open_conns(|conn| conn.processes.contains(&process)) {
            for direction in &mut self.conns[id].inbound {
                let frames = std::mem::take(&mut direction.frames);
                for ((at, order), frame) in frames {
                    direction.frames.insert((at.min(soon), order), frame);
                }
                direction.last_urgent = direction.last_urgent.min(soon);
                direction.last_bulk = direction.last_bulk.min(soon);
            }
            for side in 0..2 {
                schedule.after(soon - schedule.now, Event::Arrive(id, side));
            }
        }
    }

    /// Looks again at everything that is on its way to or from `process`.
    pub fn wake(&self, process: u16, schedule: &mut Schedule) {
        for id in self.open_conns(|conn| conn.processes.contains(&process)) {
            schedule.after(0, Event::Arrive(id, 0));
            schedule.after(0, Event::Arrive(id, 1));
        }
    }

    /// One more fault blocks the way from `from` to `to`.
    pub fn block(&mut self, from: u16, to: u16) {
        self.blocked[from as usize][to as usize] += 1;
    }

    /// One fault less blocks the way from `from` to `to`.
    pub fn unblock(&mut self, from: u16, to: u16, schedule: &mut Schedule) {
        let count = &mut self.blocked[from as usize][to as usize];
        *count -= 1;
        if *count == 0 {
            self.wake(to, schedule);
        }
    }
}
