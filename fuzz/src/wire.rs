//! Peer messages: arbitrary bytes, which are a message's only if they are exactly what it encodes to, and structured ones.

use arbitrary::{Arbitrary as _, Unstructured};
use bytes::Bytes;
use mako_raft::ids::{GroupId, ProcessId};
use mako_raft::replica::message::PeerMessage;
use mako_raft::replica::wire::{decode, encode};

use super::said::{Said, Scene};

/// The first byte chooses: decode the rest, or make a message of it.
pub fn run(bytes: &[u8]) {
    let Some((&mode, rest)) = bytes.split_first() else { return };
    if mode & 1 == 0 {
        let Ok((group, message)) = decode(Bytes::copy_from_slice(rest)) else { return };
        // A text is shown, not compared: what is not UTF-8 in it is replaced.
        if !matches!(message, PeerMessage::CutOff { .. }) {
            assert_eq!(encode(group, &message).joined(), rest);
        }
        return;
    }
    let mut bytes = Unstructured::new(rest);
    while let Ok(said) = Said::arbitrary(&mut bytes) {
        let from = ProcessId(u16::from(mode >> 6));
        let message = said.value(from, &Scene::new(ProcessId(0)));
        let frame = encode(GroupId(u16::from(mode)), &message);
        let body: Bytes = frame.joined().into();
        assert_eq!(body.len(), frame.len);
        assert_eq!(decode(body), Ok((GroupId(u16::from(mode)), message)));
        if bytes.is_empty() {
            return;
        }
    }
}
