//! One seed from start to verdict.

use std::panic::{catch_unwind, AssertUnwindSafe};

use super::checks::Violation;
use super::life::Pulse;
use super::plan::{Plan, Request};
use super::trace::Detail;
use super::world::World;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was run.
    pub request: Request,
    /// The invariant that did not hold.
    pub violation: Option<Violation>,
    /// What happened, as far as it was written down.
    pub trace: String,
    /// Figures.
    pub figures: Figures,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Timer ticks of all lives.
    pub ticks: u64,
    /// Turns of all event loops.
    pub turns: u64,
    /// Lives started.
    pub lives: u64,
    /// Logs accepted.
    pub accepted: u64,
    /// Logs delivered, counted once for all replicas.
    pub delivered: u64,
    /// Logs lost.
    pub lost: u64,
    /// Leaderships announced.
    pub leaderships: u64,
    /// Faults.
    pub faults: u64,
    /// Simulated milliseconds.
    pub simulated_ms: u64,
}

impl Figures {
    /// Both together.
    pub fn add(&mut self, other: &Figures) {
        self.ticks += other.ticks;
        self.turns += other.turns;
        self.lives += other.lives;
        self.accepted += other.accepted;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.leaderships += other.leaderships;
        self.faults += other.faults;
        self.simulated_ms += other.simulated_ms;
    }
}

/// Runs one seed. A panic of the code under test is a violation like any other.
pub fn run(request: Request, detail: Detail) -> Outcome {
    let mut world = World::new(Plan::new(request), detail);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    let violation = match result {
        Ok(Ok(())) => None,
        Ok(Err(violation)) => Some(violation),
        Err(panic) => Some(Violation { check: "nothing panics", text: panic_text(panic.as_ref()) }),
    };
    let now = world.now();
    if let Some(violation) = &violation {
        // After a panic a replica may not answer.
        for life in world.lives.iter().filter(|_| violation.check != "nothing panics") {
            if life.pulse != Pulse::Ended {
                let status = life.replica.status();
                world.trace.story(now, life.process, || format!("at the end, run {}: {status:?}", life.run));
            }
        }
        world.trace.world(now, || format!("VIOLATION: {violation}"));
    }
    Outcome { request, violation, trace: world.trace.text().to_string(), figures: figures(&world) }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()))
        .unwrap_or_else(|| "a panic without words".into())
}

fn figures(world: &World) -> Figures {
    let mut figures = Figures {
        ticks: world.ticks,
        turns: world.turns,
        lives: world.lives.len() as u64,
        delivered: world.checks.delivered(),
        faults: world.faults.counts.iter().sum(),
        simulated_ms: world.now() / 1_000,
        ..Figures::default()
    };
    for life in &world.lives {
        let [accepted, _, _, lost] = life.account.totals();
        figures.accepted += accepted;
        figures.lost += lost;
        figures.leaderships += life.account.announcements;
    }
    figures
}
