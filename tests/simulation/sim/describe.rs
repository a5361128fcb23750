//! A message in a few words, for the transcript.

use mako_raft::replica::message::{Ballot, PeerMessage};
use raft::eraftpb::Message;

/// The message in a few words.
pub fn describe(message: &PeerMessage) -> String {
    match message {
        PeerMessage::Standing(standing) => {
            let member = standing.member.as_ref().map_or("unformed".to_string(), |(formation, id)| {
                format!("{id} of formation {:016x}", formation.id)
            });
            format!("standing: {member}{}", if standing.leaving { ", leaving" } else { "" })
        }
        PeerMessage::Prepare(at) => format!("prepare {}", ballot(at)),
        PeerMessage::Promise(at, None) => format!("promise {}", ballot(at)),
        PeerMessage::Promise(at, Some((before, formation))) => {
            format!("promise {}, accepted {:016x} at {}", ballot(at), formation.id, ballot(before))
        }
        PeerMessage::Accept(at, formation) => format!("accept {:016x} at {}", formation.id, ballot(at)),
        PeerMessage::Accepted(at) => format!("accepted {}", ballot(at)),
        PeerMessage::Refused(at) => format!("refused, promised {}", ballot(at)),
        PeerMessage::Welcome(formation, id) => format!("welcome as {id} of formation {:016x}", formation.id),
        PeerMessage::CutOff { term, reason, .. } => format!("cut off by the leader of {term}: {reason}"),
        PeerMessage::Restore(formation) => format!("may continue formation {formation:016x} alone"),
        PeerMessage::Raft(formation, message) => raft_message(*formation, message),
        PeerMessage::Report(report) => format!("{report:?}"),
        PeerMessage::Prefer(wish) => format!("{wish:?}"),
    }
}

fn ballot(ballot: &Ballot) -> String {
    format!("ballot {}.{}", ballot.round, ballot.process)
}

fn raft_message(_formation: u64, m: &Message) -> String {
    let mut text = format!("{:?} {}->{} term {}", m.get_msg_type(), m.from, m.to, m.term);
    if m.index != 0 || m.log_term != 0 {
        text += &format!(" at {}/{}", m.index, m.log_term);
    }
    if let (Some(first), Some(last)) = (m.entries.first(), m.entries.last()) {
        let bytes: usize = m.entries.iter().map(|entry| entry.data.len()).sum();
        text += &format!(" entries {}..={} ({bytes} bytes)", first.index, last.index);
    }
    if m.commit != 0 {
        text += &format!(" commit {}", m.commit);
    }
    if m.reject {
        text += &format!(" REJECTED hint {}/{}", m.reject_hint, m.log_term);
    }
    text
}
