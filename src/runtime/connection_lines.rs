//! Lines about connections that come and go, at a bounded rate for each peer: how often they do is up to the peer, which may
//! die again and again, or sit behind a line that damages what passes. What the log said last is made true by the next look.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::ProcessId;

use super::throttle::Throttle;

/// So many lines about a peer pass at once: some restarts, each with an end and a beginning.
const BURST: u32 = 10;
/// One more may with every interval.
const INTERVAL: Duration = Duration::from_secs(10);

/// What was said about which peer, and what is to be said yet.
pub(super) struct ConnectionLines {
    burst: u32,
    interval: Duration,
    peers: BTreeMap<ProcessId, PeerLines>,
}

struct PeerLines {
    throttle: Throttle,
    /// What became of its connection last, while the log does not have it.
    unsaid: Option<String>,
    /// What had become of it before and is nowhere in the log.
    left_out: u64,
}

impl Default for ConnectionLines {
    fn default() -> Self {
        Self::bounded(BURST, INTERVAL)
    }
}

impl ConnectionLines {
    fn bounded(burst: u32, interval: Duration) -> Self {
        Self { burst, interval, peers: BTreeMap::new() }
    }

    /// `news`: that `peer` is connected, or is not. The line, if it is to be written now.
    pub(super) fn changed(&mut self, peer: ProcessId, news: String) -> Option<String> {
        let (burst, interval) = (self.burst, self.interval);
        let lines = self.peers.entry(peer).or_insert_with(|| PeerLines {
            throttle: Throttle::burst(burst, interval),
            unsaid: None,
            left_out: 0,
        });
        if lines.unsaid.replace(news).is_some() {
            lines.left_out += 1;
        }
        lines.say(peer)
    }

    /// The lines that were held back and are due by now.
    pub(super) fn look(&mut self) -> impl Iterator<Item = String> + '_ {
        self.peers.iter_mut().filter_map(|(&peer, lines)| lines.say(peer))
    }
}

impl PeerLines {
    fn say(&mut self, peer: ProcessId) -> Option<String> {
        self.unsaid.as_ref()?;
        self.throttle.pass()?;
        let news = self.unsaid.take()?;
        Some(match std::mem::take(&mut self.left_out) {
            0 => format!("{peer} {news}"),
            left_out => format!("{peer} {news} ({left_out} similar lines left out)"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn each_peer_has_a_burst_of_lines_and_then_no_more() {
        let mut lines = ConnectionLines::bounded(3, HOUR);
        let said: Vec<_> = (0..1_000).filter_map(|n| lines.changed(ProcessId(1), format!("is connected (run {n})"))).collect();
        assert_eq!(said, [0, 1, 2].map(|n| format!("process 1 is connected (run {n})")));
        assert_eq!(lines.look().count(), 0);
        let other = lines.changed(ProcessId(2), "is disconnected: it ended".into());
        assert_eq!(other.as_deref(), Some("process 2 is disconnected: it ended"));
    }

    #[test]
    fn what_the_log_lacks_of_the_present_is_said_when_it_is_due_with_a_count_of_the_rest() {
        let mut lines = ConnectionLines::bounded(1, Duration::from_millis(50));
        assert!(lines.changed(ProcessId(1), "is connected".into()).is_some());
        assert_eq!(lines.look().count(), 0, "the log has it");
        let began = Instant::now();
        for n in 0..10 {
            let said = lines.changed(ProcessId(1), format!("is disconnected: {n}"));
            assert!(said.is_none() || began.elapsed() >= Duration::from_millis(40), "{said:?}");
        }
        let mut said = Vec::new();
        while said.is_empty() {
            assert!(began.elapsed() < Duration::from_secs(20), "it is due after 50 ms");
            said = lines.look().collect();
        }
        assert_eq!(said, ["process 1 is disconnected: 9 (9 similar lines left out)"]);
        assert_eq!(lines.look().count(), 0, "the log has it");
    }
}
