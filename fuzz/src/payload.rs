//! The bytes of a Raft entry, arbitrary ones and what our own writers write.

use bytes::Bytes;
use mako_raft::ids::{PartitionId, ProcessId, RunId};
use mako_raft::replica::control::Preference;
use mako_raft::replica::payload::{encode_control, fragments, Chunk, ChunkWriter, Origin, Payload};

const PARTITION: PartitionId = PartitionId(7);

/// The first byte chooses: parse the rest, or write it as logs, fragments or a wish.
pub fn run(bytes: &[u8]) {
    let Some((&mode, rest)) = bytes.split_first() else { return };
    match mode % 4 {
        0 => parse(rest),
        1 => logs(rest),
        2 => long_log(rest, usize::from(mode / 4) + 1),
        _ => wish(rest),
    }
}

fn origin() -> Origin {
    Origin { process: ProcessId(3), run: RunId(0x0123_4567_89ab_cdef) }
}

fn parse(bytes: &[u8]) {
    match Payload::parse(&Bytes::copy_from_slice(bytes)) {
        Ok(Payload::Logs { logs: run, .. }) => match run.iter().collect::<Result<Vec<_>, _>>() {
            Ok(logs) => {
                let held: usize = logs.iter().map(|log| log.bytes().len() + 5).sum();
                assert_eq!((logs.len(), held), (run.count() as usize, run.byte_len()));
                assert!(logs.iter().all(|log| log.with_nul().last() == Some(&0)));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        },
        Ok(Payload::Fragment { fragment, .. }) => {
            assert!(fragment.offset + fragment.bytes.len() as u64 <= fragment.total);
        }
        Ok(Payload::Control(body)) => {
            if let Ok(wish) = Preference::decode(&body) {
                assert_eq!(wish.encode()[..], body[..]);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn logs(bytes: &[u8]) {
    let logs: Vec<&[u8]> = bytes.split(|&byte| byte == 0xff).collect();
    let mut writer = ChunkWriter::new(origin(), PARTITION, 0);
    logs.iter().for_each(|log| writer.push(log));
    match Payload::parse(&writer.seal().bytes) {
        Ok(Payload::Logs { origin: from, partition, logs: run }) => {
            assert_eq!((from, partition), (origin(), PARTITION));
            assert_eq!(run.iter().map(|log| log.unwrap().bytes()).collect::<Vec<_>>(), logs);
        }
        other => panic!("logs were read as {other:?}"),
    }
}

fn long_log(log: &[u8], fragment_bytes: usize) {
    let chunks: Vec<Chunk> = fragments(origin(), PARTITION, log, fragment_bytes).collect();
    let mut joined = Vec::new();
    for (at, chunk) in chunks.iter().enumerate() {
        let Ok(Payload::Fragment { fragment, .. }) = Payload::parse(&chunk.bytes) else {
            panic!("a fragment of {} of {} bytes is not read as one", chunk.bytes.len(), log.len());
        };
        assert_eq!((fragment.first, fragment.last), (at == 0, at + 1 == chunks.len()));
        assert_eq!(fragment.offset, joined.len() as u64);
        joined.extend_from_slice(&fragment.bytes);
    }
    assert_eq!(joined, log);
}

fn wish(bytes: &[u8]) {
    let entry = encode_control(origin(), bytes);
    assert!(matches!(Payload::parse(&entry), Ok(Payload::Control(body)) if body[..] == *bytes));
}
