//! Lines for the operator, at a bounded rate: what a hostile or broken neighbour repeats must not fill
//! the log. Pure.

use std::collections::HashMap;

use crate::ids::{ProcessId, Time};

use super::{NoticeLevel, TransportEvent};

const NEWS_PAUSE_MS: u64 = 1_000;

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
            _ => NEWS_PAUSE_MS,
        }
    }
}

/// Decides which lines are said.
#[derive(Default)]
pub struct Notices {
    /// Bounded by kinds times peers: strangers share one.
    said: HashMap<Kind, Said>,
}

/// A kind's last line.
struct Said {
    at: Time,
    /// Lines that were swallowed since.
    swallowed: u64,
    pause_ms: u64,
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
            Some(said) if now.millis_since(said.at) < said.pause_ms => {
                said.swallowed += 1;
                return;
            }
            Some(said) => said.swallowed,
            None => 0,
        };
        self.said.insert(kind, Said { at: now, swallowed: 0, pause_ms: kind.pause_ms() });
        let mut line = line();
        if swallowed > 0 {
            line.push_str(&format!(" ({swallowed} similar lines left out)"));
        }
        events.push(TransportEvent::Notice(level, line));
    }

    /// The state behind `kind` is over: its next line is news again, once a second: a peer may end it as often as it likes.
    pub fn forget(&mut self, kind: Kind) {
        if let Some(said) = self.said.get_mut(&kind) {
            (said.swallowed, said.pause_ms) = (0, NEWS_PAUSE_MS);
        }
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
        assert_eq!(lines(&events), ["at 0", "at 1000 (999 similar lines left out)", "other"]);
    }

    fn lines(events: &[TransportEvent]) -> Vec<&str> {
        let lines = events.iter().map(|event| match event {
            TransportEvent::Notice(_, line) => line.as_str(),
            other => panic!("{other:?}"),
        });
        lines.collect()
    }

    /// A peer that connects, dies and can't be reached, thrice in a second and again two seconds later.
    #[test]
    fn a_state_that_is_over_is_news_again_but_not_more_often_than_once_a_second() {
        let (mut notices, mut events) = (Notices::default(), Vec::new());
        let kind = Kind::Unreachable(ProcessId(1));
        for millis in [0, 300, 600, 2_600, 5_000] {
            let now = Time(0).plus_millis(millis);
            notices.say(&mut events, now, kind, NoticeLevel::Info, || format!("at {millis}"));
            if millis < 2_600 {
                notices.forget(kind);
            }
        }
        assert_eq!(lines(&events), ["at 0", "at 2600"]);
    }
}
