//! A replica process without the helper: what a test does not say of its configuration is this.

use std::time::Duration;

use mako_raft::ids::{ProcessId, RunId};
use mako_raft::replica::{Limits, Timing};
use mako_raft::runtime::{ElectionCodes, GroupConfig, RuntimeConfig};
use mako_raft::transport::PeerAddress;

/// In memory, and with bounds that no test waits for.
pub fn config(me: ProcessId, listen: (String, u16), peers: Vec<PeerAddress>, groups: Vec<GroupConfig>) -> RuntimeConfig {
    const SOON: Duration = Duration::from_secs(30);
    RuntimeConfig {
        me,
        run: RunId(1 + u64::from(me.0)),
        seed: me.0.into(),
        fingerprint: 7,
        shard_fingerprint: 7,
        addressed_fingerprint: 8,
        moved_from: None,
        listen,
        peers,
        groups,
        campaign_at_start: true,
        restore: None,
        timing: Timing::default(),
        limits: Limits::default(),
        queue_bytes: 1 << 20,
        submit_wait: SOON,
        drain_wait: SOON,
        max_log_bytes: 1 << 20,
        fragment_bytes: 256 << 10,
        disk: None,
        busy_poll: Duration::ZERO,
        election_codes: ElectionCodes { first: Some(1), gained: Some(1), lost: Some(0) },
    }
}
