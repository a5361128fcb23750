//! [`PeerMessage`] to bytes and back.

use bytes::Bytes;

use crate::ids::GroupId;

use super::message::PeerMessage;

/// A message's bytes, ready for one gathering write. Large payloads are shared, not copied.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// In order.
    pub parts: Vec<Bytes>,
    /// Their total length.
    pub len: usize,
    /// Goes ahead of payload frames that are still queued.
    pub urgent: bool,
}

/// Bytes that are not a message. Names the first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError(pub &'static str);

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "peer message: {}", self.0)
    }
}

impl std::error::Error for WireError {}

/// Encodes `message` of `group`.
pub fn encode(_group: GroupId, _message: &PeerMessage) -> Frame {
    todo!()
}

/// Decodes one frame's body; entries share its buffer.
pub fn decode(_body: Bytes) -> Result<(GroupId, PeerMessage), WireError> {
    todo!()
}
