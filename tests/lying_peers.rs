//! One replica among peers that lie: well-formed messages with values that no replica of ours sends. Each is
//! refused where messages are judged (`src/replica/judging.rs`), because raft-rs, or our own arithmetic, would panic
//! on it. The fuzz target `room` looks for more of them.

use mako_raft::ids::{GroupId, LogIndex, MemberId, PartitionId, ProcessId, RunId, Term, Time};
use mako_raft::replica::control::Preference;
use mako_raft::replica::formation::{Formation, Member};
use mako_raft::replica::message::{Ballot, PeerMessage, Report, Standing};
use mako_raft::replica::output::{Event, Outputs};
use mako_raft::replica::payload::{ChunkWriter, Origin};
use mako_raft::replica::{Limits, Replica, ReplicaConfig, Timing};
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, Entry, EntryType, Message, MessageType,
};

const ME: ProcessId = ProcessId(0);
const LIAR: ProcessId = ProcessId(1);
const OTHER: ProcessId = ProcessId(2);
const FORMATION: u64 = 77;

fn run_of(process: ProcessId) -> RunId {
    RunId(100 + u64::from(process.0))
}

fn id(raw: u64) -> MemberId {
    MemberId::new(raw).unwrap()
}

fn member(process: ProcessId) -> Member {
    Member { process, run: run_of(process), id: id(1 + u64::from(process.0)) }
}

fn formation() -> Formation {
    Formation { generation: 1, id: FORMATION, ancestors: Vec::new(), inherited: 0, members: vec![member(ME), member(LIAR), member(OTHER)] }
}

/// The replica under test; its peers are what the test says.
struct Bench {
    replica: Replica,
    now: Time,
    sent: Vec<(ProcessId, PeerMessage)>,
    writes: Vec<u64>,
    notices: Vec<String>,
    fatal: Option<String>,
}

impl Bench {
    fn unformed(durable: bool) -> Self {
        let now = Time(1_000_000);
        let config = ReplicaConfig {
            group: GroupId(0),
            me: ME,
            run: run_of(ME),
            voters: vec![ME, LIAR, OTHER],
            learners: Vec::new(),
            partitions: vec![PartitionId(0)],
            designated: Some(ME),
            preferred: Some(LIAR),
            campaign_at_start: true,
            restore: None,
            durable,
            older: None,
            timing: Timing::default(),
            limits: Limits::default(),
            seed: 1,
            now,
        };
        let replica = Replica::new(config, None).unwrap();
        let mut bench = Self { replica, now, sent: Vec::new(), writes: Vec::new(), notices: Vec::new(), fatal: None };
        bench.replica.peer_up(LIAR, run_of(LIAR));
        bench.replica.peer_up(OTHER, run_of(OTHER));
        bench.pass();
        bench
    }

    /// A follower of term 1 with entries through `last`, of which all but the last are committed.
    fn follower(durable: bool, last: u64) -> Self {
        let mut bench = Self::unformed(durable);
        for process in [LIAR, OTHER] {
            let standing = Standing { member: Some((formation(), member(process).id)), blank: false, leaving: false, log_end: Default::default() };
            bench.receive(process, PeerMessage::Standing(standing));
        }
        bench.persist();
        let entries = (1..=last).map(|index| Entry { index, term: 1, ..Entry::default() }).collect();
        bench.append(Message { term: 1, commit: last.saturating_sub(1), ..Message::default() }, entries);
        bench.persist();
        bench.forget();
        bench
    }

    /// Elected in term 2 or later by the others.
    fn leader(durable: bool, last: u64) -> Self {
        let mut bench = Self::follower(durable, last);
        for _ in 0..200 {
            bench.tick();
            bench.persist();
            for (to, message) in std::mem::take(&mut bench.sent) {
                let PeerMessage::Raft(_, message) = message else { continue };
                let kind = match message.get_msg_type() {
                    MessageType::MsgRequestPreVote => MessageType::MsgRequestPreVoteResponse,
                    MessageType::MsgRequestVote => MessageType::MsgRequestVoteResponse,
                    _ => continue,
                };
                bench.raft(to, kind, Message { term: message.term, ..Message::default() });
            }
            if bench.role() == "leader" {
                bench.persist();
                bench.forget();
                return bench;
            }
        }
        panic!("not elected: {:?}", bench.replica.status());
    }

    fn role(&self) -> &'static str {
        self.replica.status().role
    }

    fn term(&self) -> u64 {
        self.replica.status().term.0
    }

    fn tick(&mut self) {
        self.now = self.now.plus_millis(10);
        self.replica.tick(self.now);
        self.pass();
    }

    fn pass(&mut self) {
        let mut out = Outputs::default();
        self.replica.advance(&mut out);
        self.sent.append(&mut out.messages);
        self.writes.extend(out.writes.iter().map(|write| write.id));
        for event in out.events {
            match event {
                Event::Notice(_, text) => self.notices.push(text),
                Event::Fatal(text) => self.fatal = Some(text),
                _ => {}
            }
        }
    }

    fn persist(&mut self) {
        while let Some(last) = self.writes.last().copied() {
            self.writes.clear();
            self.replica.persisted(last);
            self.pass();
        }
    }

    fn forget(&mut self) {
        self.sent.clear();
        self.notices.clear();
    }

    fn sent_to_liar(&self, kind: MessageType) -> Option<&Message> {
        self.sent.iter().find_map(|(to, message)| match message {
            PeerMessage::Raft(_, message) if *to == LIAR && message.get_msg_type() == kind => Some(&**message),
            _ => None,
        })
    }

    fn receive(&mut self, from: ProcessId, message: PeerMessage) {
        self.replica.receive(from, message);
        self.pass();
    }

    fn raft(&mut self, from: ProcessId, kind: MessageType, message: Message) {
        let mut message = Message { from: member(from).id.get(), to: member(ME).id.get(), ..message };
        message.set_msg_type(kind);
        self.receive(from, PeerMessage::Raft(FORMATION, Box::new(message)));
    }

    fn append(&mut self, message: Message, entries: Vec<Entry>) {
        let mut message = message;
        message.set_entries(entries.into());
        self.raft(LIAR, MessageType::MsgAppend, message);
    }

    /// It was refused, with this reason for the operator, and the replica goes on.
    fn assert_refused(&mut self, why: &str) {
        let told = self.notices.iter().any(|text| text.contains(why));
        assert!(told, "no line with {why:?} among {:?}", self.notices);
        assert_eq!(self.fatal, None);
        assert!(self.replica.status().refused_messages > 0, "it is counted");
        self.notices.clear();
        for _ in 0..5 {
            self.tick();
            self.persist();
        }
    }
}

fn entry(index: u64, term: u64) -> Entry {
    Entry { index, term, ..Entry::default() }
}

#[test]
fn an_append_at_the_end_of_the_numbers_is_refused() {
    for (index, entries) in [(u64::MAX, vec![entry(0, 1)]), (u64::MAX - 1, vec![entry(u64::MAX, 1)]), (u64::MAX, vec![])] {
        let mut bench = Bench::follower(false, 3);
        bench.append(Message { term: 1, index, log_term: 1, ..Message::default() }, entries);
        bench.assert_refused("past the last index");
    }
}

#[test]
fn an_append_behind_an_entry_of_no_term_is_refused() {
    for entries in [vec![], vec![entry(51, 1)]] {
        let mut bench = Bench::follower(false, 3);
        bench.append(Message { term: 1, index: 50, commit: 50, ..Message::default() }, entries);
        bench.assert_refused("behind an entry without a term");
    }
}

#[test]
fn an_entry_of_no_term_is_refused() {
    let mut bench = Bench::follower(false, 0);
    bench.append(Message { term: 1, commit: 1, ..Message::default() }, vec![entry(1, 0)]);
    bench.assert_refused("out of order");
}

#[test]
fn a_rejection_beyond_the_log_is_refused_by_a_leader() {
    for (index, reject_hint) in [(3, u64::MAX), (u64::MAX, 0), (4, 1 << 40)] {
        for log_term in [0, 1, u64::MAX] {
            let mut bench = Bench::leader(false, 3);
            let term = bench.term();
            let lie = Message { term, index, reject_hint, log_term, reject: true, ..Message::default() };
            bench.raft(LIAR, MessageType::MsgAppendResponse, lie);
            bench.assert_refused("rejects entries that do not exist");
            assert_eq!(bench.role(), "leader");
        }
    }
}

#[test]
fn a_message_in_this_members_own_name_is_refused() {
    let mut bench = Bench::leader(false, 3);
    let standing = Standing { member: Some((formation(), member(ME).id)), blank: false, leaving: false, log_end: Default::default() };
    bench.receive(LIAR, PeerMessage::Standing(standing));
    bench.assert_refused("belongs to another process");
    // An id that the formation does not name can be claimed by anyone; this member's own is refused still.
    let mut bench = Bench::leader(false, 3);
    let mut later = formation();
    later.members.remove(0);
    bench.receive(LIAR, PeerMessage::Standing(Standing { member: Some((later, member(ME).id)), blank: false, leaving: false, log_end: Default::default() }));
    let mut lie = Message { from: 1, to: 1, term: bench.term(), index: 4, ..Message::default() };
    lie.set_msg_type(MessageType::MsgAppendResponse);
    bench.receive(LIAR, PeerMessage::Raft(FORMATION, Box::new(lie)));
    bench.assert_refused("in this member's own name");
}

#[test]
fn a_call_to_campaign_waits_until_the_log_is_on_disk() {
    let mut bench = Bench::follower(true, 3);
    bench.append(Message { term: 1, index: 3, log_term: 1, ..Message::default() }, vec![entry(4, 1)]);
    bench.raft(LIAR, MessageType::MsgTimeoutNow, Message { term: 1, ..Message::default() });
    // Votes that nobody asked for, before the entry is written.
    for voter in [LIAR, OTHER] {
        bench.raft(voter, MessageType::MsgRequestVoteResponse, Message { term: 2, ..Message::default() });
    }
    bench.assert_refused("before what it has is on disk");
}

#[test]
fn a_leader_that_the_log_removes_steps_down() {
    let mut bench = Bench::follower(true, 3);
    let mut removal = ConfChangeSingle { node_id: member(ME).id.get(), ..ConfChangeSingle::default() };
    removal.set_change_type(ConfChangeType::RemoveNode);
    let mut change = ConfChangeV2::default();
    change.set_transition(ConfChangeTransition::Auto);
    change.set_changes(vec![removal].into());
    let mut lie = entry(4, 1);
    lie.set_entry_type(EntryType::EntryConfChangeV2);
    lie.data = protobuf::Message::write_to_bytes(&change).unwrap().into();
    bench.append(Message { term: 1, index: 3, log_term: 1, ..Message::default() }, vec![lie]);
    bench.persist();
    bench.raft(LIAR, MessageType::MsgTimeoutNow, Message { term: 1, ..Message::default() });
    bench.persist();
    let term = bench.term();
    bench.raft(OTHER, MessageType::MsgRequestVoteResponse, Message { term, ..Message::default() });
    assert_eq!(bench.role(), "leader");
    // Its first entry is written, and then one behind its own removal.
    for index in [4, 5] {
        for voter in [LIAR, OTHER] {
            bench.raft(voter, MessageType::MsgAppendResponse, Message { term, index, ..Message::default() });
        }
        bench.persist();
    }
    assert_ne!(bench.role(), "leader");
    (0..100).for_each(|_| bench.tick());
    bench.persist();
    assert_eq!(bench.fatal, None);
}

#[test]
fn terms_that_cannot_be_are_refused_in_every_message() {
    use MessageType::*;
    for kind in [
        MsgAppend, MsgAppendResponse, MsgRequestVote, MsgRequestVoteResponse, MsgHeartbeat, MsgHeartbeatResponse,
        MsgTimeoutNow, MsgRequestPreVote, MsgRequestPreVoteResponse,
    ] {
        for (term, why) in [(u64::MAX, "a term that can't be"), (0, "without a term")] {
            let mut bench = Bench::follower(false, 3);
            bench.raft(LIAR, kind, Message { term, ..Message::default() });
            bench.assert_refused(why);
        }
    }
}

#[test]
fn formations_that_nobody_can_decide_are_refused_however_they_come() {
    let with = |members: Vec<Member>| Formation { members, ..formation() };
    let same_id = with(vec![member(ME), Member { id: member(ME).id, ..member(LIAR) }]);
    let same_process = with(vec![member(ME), Member { id: id(9), ..member(ME) }]);
    let huge_id = with(vec![member(ME), Member { id: id(u64::MAX), ..member(LIAR) }]);
    let last_generation = Formation { generation: u32::MAX, ..formation() };
    let history_of_nobody = Formation { inherited: u64::MAX, ..formation() };
    let before_the_first = Formation { ancestors: vec![5], ..formation() };
    let its_own_parent = Formation { generation: 2, ancestors: vec![FORMATION], ..formation() };
    let lies = [
        (before_the_first, "more ancestors than generations before it"),
        (its_own_parent, "its own ancestor"),
        (with(Vec::new()), "without members"),
        (same_id, "one member id twice"),
        (same_process, "one process twice"),
        (huge_id, "a member id that can't be"),
        (last_generation, "a generation that can't be"),
        (history_of_nobody, "inherits from no parent"),
    ];
    let ballot = Ballot { round: 1, process: LIAR.0 };
    for (formation, why) in lies {
        let messages = [
            PeerMessage::Standing(Standing { member: Some((formation.clone(), member(LIAR).id)), blank: false, leaving: false, log_end: Default::default() }),
            PeerMessage::Welcome(formation.clone(), member(ME).id),
            PeerMessage::Accept(ballot, formation.clone()),
            PeerMessage::Promise(ballot, Some((ballot, formation.clone()))),
        ];
        for message in messages {
            let mut bench = Bench::unformed(false);
            bench.receive(LIAR, message);
            bench.assert_refused(why);
            assert_eq!(bench.role(), "unformed");
        }
    }
}

#[test]
fn a_welcome_under_the_id_of_another_process_is_refused() {
    let mut bench = Bench::unformed(false);
    bench.receive(LIAR, PeerMessage::Welcome(formation(), member(OTHER).id));
    bench.assert_refused("belongs to another process");
    assert_eq!(bench.role(), "unformed");
}

#[test]
fn ballots_that_nobody_can_pass_are_refused() {
    let last = Ballot { round: u64::MAX, process: LIAR.0 };
    let messages = [PeerMessage::Prepare(last), PeerMessage::Refused(last), PeerMessage::Accept(last, formation())];
    for message in messages {
        let mut bench = Bench::unformed(false);
        for process in [LIAR, OTHER] {
            bench.receive(process, PeerMessage::Standing(Standing::default()));
        }
        bench.forget();
        bench.receive(LIAR, message);
        bench.assert_refused("a ballot that can't be");
        (0..60).for_each(|_| bench.tick());
        let proposes = |(_, m): &(ProcessId, PeerMessage)| matches!(m, PeerMessage::Prepare(b) if b.round < 100);
        assert!(bench.sent.iter().any(proposes), "it goes on forming: {:?}", bench.sent);
    }
    let mut bench = Bench::unformed(false);
    bench.receive(LIAR, PeerMessage::Prepare(Ballot { round: 1, process: OTHER.0 }));
    bench.assert_refused("a ballot of another process");
}

#[test]
fn a_peer_of_an_unrelated_formation_is_told_to_the_operator_and_counted_while_it_is_connected() {
    let mut bench = Bench::follower(false, 3);
    assert_eq!(bench.replica.status().foreign, 0);
    let theirs = Formation { id: 99, ..formation() };
    bench.receive(OTHER, PeerMessage::Standing(Standing { member: Some((theirs, id(3))), blank: false, leaving: false, log_end: Default::default() }));
    let told = bench.notices.iter().any(|text| text.contains("unrelated to ours: two shards were formed"));
    assert!(told && bench.replica.status().foreign == 1, "{:?}", bench.notices);
    bench.replica.peer_down(OTHER);
    assert_eq!(bench.replica.status().foreign, 0);
}

#[test]
fn a_data_directory_put_back_from_a_copy_is_told_from_a_heartbeat_that_commits_what_it_lacks() {
    let mut bench = Bench::follower(true, 3);
    bench.raft(LIAR, MessageType::MsgHeartbeat, Message { term: 1, commit: 9, ..Message::default() });
    bench.assert_refused("acknowledged and does not have: where raft.data_dir is an older copy, move it away and restart");
}

#[test]
fn a_report_beyond_the_log_is_refused_by_a_leader() {
    let mut bench = Bench::leader(false, 3);
    let lie = Report { delivered: LogIndex(u64::MAX), lost_accepted: false, droppable: LogIndex(u64::MAX) };
    bench.receive(LIAR, PeerMessage::Report(lie));
    bench.assert_refused("delivered what this leader does not have");
    let mut follower = Bench::follower(false, 3);
    follower.receive(LIAR, PeerMessage::Report(lie));
    (0..100).for_each(|_| follower.tick());
}

#[test]
fn a_wish_in_the_name_of_another_run_is_refused() {
    for origin in [Origin { process: ME, run: run_of(ME) }, Origin { process: LIAR, run: RunId(5) }] {
        let mut bench = Bench::leader(false, 3);
        let wish = Preference { origin, number: u64::MAX, preferred: Some(ProcessId(9_999)) };
        bench.receive(LIAR, PeerMessage::Prefer(wish));
        bench.assert_refused("in the name of another run");
    }
    let mut bench = Bench::leader(false, 3);
    let origin = Origin { process: LIAR, run: run_of(LIAR) };
    let wish = Preference { origin, number: u64::MAX, preferred: Some(ProcessId(9_999)) };
    bench.receive(LIAR, PeerMessage::Prefer(wish));
    (0..20).for_each(|_| bench.tick());
    assert_eq!((bench.fatal, bench.replica.status().role), (None, "leader"));
}

#[test]
fn a_reason_that_would_flood_the_operators_log_is_refused() {
    let mut bench = Bench::follower(false, 3);
    bench.receive(LIAR, PeerMessage::CutOff { formation: FORMATION, term: Term(1), reason: "x".repeat(1 << 20) });
    bench.assert_refused("a reason that is too long");
    assert_eq!(bench.role(), "follower");
}

/// Not a lie: the acknowledgement was lost with a connection, and the report came. What the leader dropped on its word alone
/// Raft would still have to send.
#[test]
fn what_a_member_reports_as_delivered_is_kept_until_it_has_acknowledged_it() {
    let mut bench = Bench::leader(false, 5);
    let last = bench.replica.status().last.0;
    let term = bench.term();
    let acknowledgement = || Message { term, index: last, ..Message::default() };
    bench.raft(LIAR, MessageType::MsgAppendResponse, acknowledgement());
    for peer in [LIAR, OTHER] {
        let report = Report { delivered: LogIndex(last), ..Report::default() };
        bench.receive(peer, PeerMessage::Report(report));
    }
    bench.tick();
    assert_eq!(bench.replica.status().droppable, LogIndex(0));
    bench.raft(OTHER, MessageType::MsgAppendResponse, acknowledgement());
    bench.tick();
    assert_eq!(bench.replica.status().droppable, LogIndex(last));
}

/// No lie either: the leader was admitted in an entry that this member has not applied. The leader's own word counts.
#[test]
fn a_leader_whose_admission_was_not_applied_yet_is_believed() {
    let mut bench = Bench::follower(false, 5);
    let later = id(9);
    let standing = Standing { member: Some((formation(), later)), blank: false, leaving: false, log_end: Default::default() };
    bench.receive(OTHER, PeerMessage::Standing(standing));
    let mut heartbeat = Message { from: later.get(), to: 1, term: 2, ..Message::default() };
    heartbeat.set_msg_type(MessageType::MsgHeartbeat);
    bench.receive(OTHER, PeerMessage::Raft(FORMATION, Box::new(heartbeat)));
    bench.receive(OTHER, PeerMessage::Report(Report { droppable: LogIndex(3), ..Report::default() }));
    let status = bench.replica.status();
    assert_eq!((status.leader, status.droppable), (Some(OTHER), LogIndex(3)));
}

/// A leader whose follower has acknowledged an entry, the fifth, that is not on the leader's own disk yet, when another
/// run of the follower connects.
fn leader_whose_follower_restarted() -> Bench {
    let mut bench = Bench::leader(true, 3);
    let term = bench.term();
    let answer = |index| Message { term, index, ..Message::default() };
    bench.raft(LIAR, MessageType::MsgAppendResponse, answer(4));
    let mut writer = ChunkWriter::new(Origin { process: ME, run: run_of(ME) }, PartitionId(0), 16);
    writer.push(b"log");
    bench.replica.submit(writer.seal());
    bench.pass();
    bench.raft(LIAR, MessageType::MsgAppendResponse, answer(5));
    assert_eq!((bench.replica.status().last, bench.replica.status().commit), (LogIndex(5), LogIndex(4)));
    bench.replica.peer_down(LIAR);
    bench.replica.peer_up(LIAR, RunId(999));
    let standing = Standing { member: Some((formation(), member(LIAR).id)), blank: false, leaving: false, log_end: Default::default() };
    bench.receive(LIAR, PeerMessage::Standing(standing));
    bench.persist();
    bench
}

#[test]
fn what_a_follower_acknowledged_in_a_former_run_does_not_count_before_it_says_so_again() {
    let mut bench = leader_whose_follower_restarted();
    assert_eq!(bench.replica.status().commit, LogIndex(4), "only this leader is known to have the fifth");
    let answer = Message { term: bench.term(), index: 5, ..Message::default() };
    bench.raft(LIAR, MessageType::MsgAppendResponse, answer);
    assert_eq!(bench.replica.status().commit, LogIndex(5));
    assert_eq!(bench.notices, [""; 0]);
}

#[test]
fn a_follower_on_an_older_copy_of_its_directory_is_told_and_sent_what_it_lacks() {
    let mut bench = leader_whose_follower_restarted();
    bench.sent.clear();
    let term = bench.term();
    bench.raft(LIAR, MessageType::MsgHeartbeatResponse, Message { term, ..Message::default() });
    assert_eq!(bench.sent_to_liar(MessageType::MsgAppend).unwrap().index, 5, "from behind what it had acknowledged");
    bench.sent.clear();
    let rejection = Message { term, index: 5, reject: true, reject_hint: 2, log_term: 1, ..Message::default() };
    bench.raft(LIAR, MessageType::MsgAppendResponse, rejection);
    assert!(bench.notices[0].contains("acknowledged entries through 5 and came back with those through 2"), "{:?}", bench.notices);
    assert_eq!(bench.sent_to_liar(MessageType::MsgAppend).unwrap().index, 2);
    let heartbeat = bench.sent_to_liar(MessageType::MsgHeartbeat).unwrap();
    assert_eq!(heartbeat.commit, u64::MAX, "more than any log has: its own operator is told, and nothing is committed there");
    assert_eq!(bench.replica.status().commit, LogIndex(4));
    bench.raft(LIAR, MessageType::MsgAppendResponse, Message { term, index: 5, ..Message::default() });
    assert_eq!(bench.replica.status().commit, LogIndex(5));
}
