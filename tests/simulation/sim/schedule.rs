//! The simulated clock and what is to happen when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::network::{ConnId, Side};

/// One start of one process: an index into the world's lives.
pub type LifeId = usize;

/// Something that happens at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A process is started.
    Start(u16),
    /// A life's timer fires.
    Tick(LifeId),
    /// A life's event loop makes a turn.
    Turn(LifeId),
    /// A commit index of a life that waits for entries may be due.
    CommitDue(LifeId),
    /// A paused life goes on.
    Resume(LifeId),
    /// A life that said goodbye ends.
    End(LifeId),
    /// Messages towards this side of a connection are due.
    Arrive(ConnId, Side),
    /// This side learns that the connection is up.
    Up(ConnId, Side),
    /// This side learns that the connection is gone.
    Down(ConnId, Side),
    /// Two lives try to connect.
    Dial(LifeId, LifeId),
    /// The log writer of a life has done what it took.
    Disk(LifeId),
    /// A lane's callback returns, or its lane looks for work.
    Lane(LifeId, usize),
    /// The worker of a partition submits a burst.
    Submit(LifeId, usize),
    /// The next fault.
    Fault,
    /// The end of the fault with this number.
    Heal(usize),
    /// The operator's next step in a rescue.
    Operator,
    /// The operator looks for what gave way to a later generation.
    Tidy,
    /// The time of a step of a course of figure 8 is over: its number and step.
    Figure8(u32, u8),
    /// Something to look at: the liveness phase's or a transcript's pace.
    Look,
}

/// What is to happen, in order.
#[derive(Debug, Default)]
pub struct Schedule {
    /// Microseconds since the run began.
    pub now: u64,
    order: u64,
    heap: BinaryHeap<Reverse<(u64, u64, Event)>>,
}

impl Schedule {
    /// `event` happens `delay_us` from now, after all that was planned for the same moment before.
    pub fn after(&mut self, delay_us: u64, event: Event) {
        self.order += 1;
        self.heap.push(Reverse((self.now + delay_us, self.order, event)));
    }

    /// The next event not after `until`; the clock moves to it.
    pub fn next(&mut self, until: u64) -> Option<Event> {
        let &Reverse((at, _, event)) = self.heap.peek()?;
        if at > until {
            return None;
        }
        self.heap.pop();
        self.now = at;
        Some(event)
    }
}
