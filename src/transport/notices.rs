//! Lines for the operator, at a bounded rate: what a hostile or broken neighbour repeats must not fill
//! the log. Pure.

use std::collections::HashMap;

use crate::ids::{ProcessId, Time};

use super::{NoticeLevel, TransportEvent};

/// What a line is about. Each kind has a rate of its own, per peer where one is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A connection of somebody unknown was refused or dropped.
    Stranger,
    /// A connection of, or to, this peer was refused.
    Refused(ProcessId),
    /// This peer can't be reached.
    Unreachable(ProcessId),
    /// This peer's name can't be looked up.
    Unresolved(ProcessId),
    /// Too many connections in handshake.
    Flood,
    /// The system does not give us connections.
    Accepting,
    /// Frames for this peer were dropped.
    Dropping(ProcessId),
}

impl Kind {
    fn pause_ms(self) -> u64 {
        match self {
            // A peer that is down is a state, not an event: a reminder now and then.
            Kind::Unreachable(_) | Kind::Unresolved(_) => 30_000,
            _ => 1_000,
        }
    }
}

/// Decides which lines are said.
#[derive(Default)]
pub struct Notices {
    /// When each kind spoke last, and how many lines it has swallowed since. Bounded by kinds times peers:
    /// strangers share one.
    said: HashMap<Kind, (Time, u64)>,
}

impl Notices {
    /// Says `line`, or counts it.
    pub fn say(
        &mut self,
        events: &mut Vec<TransportEvent>,
        now: Time,
        kind: Kind,
        level: NoticeLevel,
        line: impl FnOnce() -> String,
    ) {
        let swallowed = match self.said.get_mut(&kind) {
            Some((last, swallowed)) if now.millis_since(*last) < kind.pause_ms() => {
                *swallowed += 1;
                return;
            }
            Some((_, swallowed)) => *swallowed,
            None => 0,
        };
        self.said.insert(kind, (now, 0));
        let mut line = line();
        if swallowed > 0 {
            line.push_str(&format!(" ({swallowed} similar lines left out)"));
        }
        events.push(TransportEvent::Notice(level, line));
    }

    /// The state behind `kind` is over: its next line is news again.
    pub fn forget(&mut self, kind: Kind) {
        self.said.remove(&kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_line_is_said_once_a_second_with_a_count_of_the_others() {
        let (mut notices, mut events) = (Notices::default(), Vec::new());
        for millis in 0..1_500 {
            let now = Time(0).plus_millis(millis);
            notices.say(&mut events, now, Kind::Stranger, NoticeLevel::Warning, || format!("at {millis}"));
        }
        notices.say(&mut events, Time(0), Kind::Refused(ProcessId(1)), NoticeLevel::Info, || "other".into());
        let lines: Vec<_> = events
            .iter()
            .map(|event| match event {
                TransportEvent::Notice(_, line) => line.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(lines, ["at 0", "at 1000 (999 similar lines left out)", "other"]);
    }
}
