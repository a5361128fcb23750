//! Greetings: arbitrary ones, ones with a right checksum, and what is said about them.

use mako_raft::ids::{ProcessId, RunId};
use mako_raft::transport::handshake::{
    explain_refused, explain_refusing, judge, may_become_greeting, Greeting, Identity, Refused, GREETING_BYTES,
};

/// Some bytes of arguments, then the greeting.
pub fn run(bytes: &[u8]) {
    let Some((&mode, rest)) = bytes.split_first() else { return };
    let mut greeting = Greeting::hello(identity(), ProcessId(1)).encode();
    let length = rest.len().min(GREETING_BYTES);
    greeting[..length].copy_from_slice(&rest[..length]);
    if mode & 1 == 1 {
        greeting[..8].copy_from_slice(&Greeting::hello(identity(), ProcessId(1)).encode()[..8]);
        let crc = crc32c::crc32c(&greeting[..44]);
        greeting[44..].copy_from_slice(&crc.to_le_bytes());
    }
    let decoded = Greeting::decode(&greeting);
    assert!(decoded.is_err() || may_become_greeting(&greeting));
    assert!(mode & 1 == 0 || decoded.is_ok());
    if decoded.is_err() {
        let refused: Refused = decoded.expect_err("just seen").into();
        assert!(!explain_refusing(refused, identity(), None, 300).is_empty());
        return;
    }
    let said = decoded.expect("just seen");
    assert_eq!(Greeting::decode(&said.encode()), Ok(said));
    let dialled = (mode & 2 != 0).then_some(ProcessId(u16::from(mode >> 4)));
    if let Err(refused) = judge(&said, identity(), dialled, mode & 4 != 0) {
        let answer = Greeting::refusal(identity(), said.sender, refused);
        assert_eq!(Greeting::decode(&answer.encode()), Ok(answer));
        assert!(!explain_refusing(refused, identity(), Some(&said), 300).is_empty());
    }
    if let Some(reason) = said.refusal {
        assert!(!explain_refused(reason, identity(), &said).is_empty());
    }
}

fn identity() -> Identity {
    Identity { me: ProcessId(2), run: RunId(0x77), fingerprint: 0xabcd }
}
