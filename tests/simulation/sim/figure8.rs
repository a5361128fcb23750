//! A fault with an aim: the course of figure 8 of the Raft paper. A leader's entries reach a minority only; another
//! leads and keeps its first entry to itself; the first leads again and spreads its old entries; it is cut off when
//! a follower has the first of them and nothing of the new term yet; the second returns and overwrites them. The course
//! steers by who leads and how long the logs are; what is wrong with the outcome only the invariants say.

use super::plan::FIGURE8_MESSAGE_BYTES;
use super::schedule::{Event, LifeId};
use super::world::World;

/// A step that is not reached within this time ends the course.
const STEP_US_MAX: u64 = 4_000_000;
/// Between a follower's acknowledgement on its way and the leader's cut: round trips are shorter.
const ACKNOWLEDGED_AFTER_LATENCIES: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The first leader and its follower are apart; the rest elects another.
    ApartFirst,
    /// The second leader is apart; the rest and the first two elect again.
    ApartSecond,
    /// The third leadership has begun: its old entries travel.
    Spreading,
    /// A follower has the first of them, and hears no more; its acknowledgement travels.
    Acknowledging,
    /// Its leader is apart; the second one is back.
    ApartThird,
}

/// Where a course stands.
#[derive(Debug)]
pub struct Figure8 {
    step: Step,
    number: u32,
    /// Nobody leads the shard for long meanwhile, so a leader counts that came in a later term.
    term: u64,
    follower: Option<u16>,
    second: u16,
    /// The first index that the second leader gave to an entry of its own.
    clash: u64,
    third: u16,
    /// The last index of the third leader when it began to lead: an entry of its own.
    own: u64,
    ways: Vec<(u16, u16)>,
}

impl World {
    /// Begins at the present leader.
    pub(super) fn begin_figure8(&mut self) -> bool {
        let Some(leader) = self.leader().filter(|_| self.figure8.is_none()) else { return false };
        let first = self.lives[leader].process;
        let all_run = (0..self.plan.voters).all(|voter| self.processes[voter as usize].current.is_some());
        if !all_run || first >= self.plan.voters {
            return false;
        }
        // What reached a majority would be committed by right.
        let may_have_one = self.plan.voters >= 5;
        let step = self.faults.random().within(1, u64::from(self.plan.voters) - 1) as u16;
        let follower = Some((first + step) % self.plan.voters).filter(|_| may_have_one && self.faults.random().chance(800));
        self.course_number += 1;
        self.figure8 = Some(Figure8 {
            step: Step::ApartFirst,
            number: self.course_number,
            term: self.status(leader).term.0,
            follower,
            second: first,
            clash: 0,
            third: first,
            own: 0,
            ways: Vec::new(),
        });
        let now = self.schedule.now;
        self.trace.world(now, || format!("the course of figure 8 begins: p{first} leads, with {follower:?}"));
        let apart: Vec<u16> = std::iter::once(first).chain(follower).collect();
        self.set_apart(&apart);
        // A log that fills a message: what comes behind it, the third leadership's first entry above all, travels later.
        let length = FIGURE8_MESSAGE_BYTES as usize;
        self.lives[leader].accept_lengths(0, 2 * length, &[length]);
        self.plan_turn(leader);
        self.step_must_end();
        true
    }

    fn step_must_end(&mut self) {
        let Some(course) = &self.figure8 else { return };
        self.schedule.after(STEP_US_MAX, Event::Figure8(course.number, course.step as u8));
    }

    /// Splits `apart` from all others, instead of whoever was apart before. What is on its way over there is lost.
    fn set_apart(&mut self, apart: &[u16]) {
        let Some(course) = &mut self.figure8 else { return };
        let before = std::mem::take(&mut course.ways);
        let is_apart = |process: &u16| apart.contains(process);
        let all = 0..self.plan.processes();
        let ways: Vec<(u16, u16)> = all
            .clone()
            .flat_map(|from| all.clone().map(move |to| (from, to)))
            .filter(|(from, to)| is_apart(from) != is_apart(to))
            .collect();
        course.ways.clone_from(&ways);
        for &(from, to) in &ways {
            self.network.block(from, to);
        }
        for (from, to) in before {
            self.network.unblock(from, to, &mut self.schedule);
        }
        for conn in self.network.open_conns(|conn| ways.contains(&(conn.processes[0], conn.processes[1]))) {
            self.network.close(conn, &mut self.schedule);
        }
    }

    /// Called after each turn of `id`: leaderships move the course on, and what a follower of the third one has.
    pub(super) fn follow_figure8(&mut self, id: LifeId) {
        let Some(course) = &self.figure8 else { return };
        let (step, term) = (course.step, course.term);
        let status = self.status(id);
        let process = self.lives[id].process;
        if step == Step::Spreading && self.has_an_old_entry_only(process, status.last.0) {
            return self.wait_for_acknowledgement();
        }
        if status.role != "leader" || status.term.0 <= term {
            return;
        }
        let next = match step {
            Step::ApartFirst => {
                self.set_apart(&[process]);
                Step::ApartSecond
            }
            Step::ApartSecond if process != course.second => Step::Spreading,
            Step::ApartThird => return self.end_figure8(),
            Step::ApartSecond | Step::Spreading | Step::Acknowledging => return,
        };
        let Some(course) = &mut self.figure8 else { return };
        course.step = next;
        course.term = status.term.0;
        if next == Step::ApartSecond {
            (course.second, course.clash) = (process, status.last.0);
        } else {
            (course.third, course.own) = (process, status.last.0);
        }
        self.step_must_end();
    }

    /// Of the third leader's log, `process` has what contradicts the second's, and nothing of the third's own.
    fn has_an_old_entry_only(&self, process: u16, last: u64) -> bool {
        let Some(course) = &self.figure8 else { return false };
        let spared = [Some(course.second), Some(course.third), course.follower];
        process < self.plan.voters && !spared.contains(&Some(process)) && (course.clash..course.own).contains(&last)
    }

    /// The third leader is not heard any more, and still hears.
    fn wait_for_acknowledgement(&mut self) {
        let Some(course) = &mut self.figure8 else { return };
        course.step = Step::Acknowledging;
        let (number, third) = (course.number, course.third);
        for to in (0..self.plan.processes()).filter(|&to| to != third) {
            course.ways.push((third, to));
            self.network.block(third, to);
        }
        let length = ACKNOWLEDGED_AFTER_LATENCIES * self.plan.latency_us.1;
        self.schedule.after(length, Event::Figure8(number, Step::Acknowledging as u8));
    }

    /// The time of a step is over.
    pub(super) fn figure8_is_late(&mut self, number: u32, late: u8) {
        let Some(course) = &mut self.figure8 else { return };
        if course.number != number || course.step as u8 != late {
            return;
        }
        if course.step != Step::Acknowledging {
            return self.end_figure8();
        }
        course.step = Step::ApartThird;
        let (third, follower) = (course.third, course.follower);
        let apart: Vec<u16> = std::iter::once(third).chain(follower.filter(|&process| process != third)).collect();
        self.set_apart(&apart);
        self.step_must_end();
    }

    /// Everybody is joined again.
    pub(super) fn end_figure8(&mut self) {
        let Some(course) = self.figure8.take() else { return };
        for (from, to) in course.ways {
            self.network.unblock(from, to, &mut self.schedule);
        }
        self.trace.world(self.schedule.now, || format!("the course of figure 8 ends at {:?}", course.step));
    }
}
