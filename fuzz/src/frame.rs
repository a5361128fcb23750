//! A byte stream in pieces of any size: what the decoder hands out depends on the bytes only, not on how they came.

use bytes::Bytes;
use mako_raft::transport::frame::{put_piece, Decoder, FrameError, Header, SMALL_BODY_MAX};
use twox_hash::XxHash3_64;

/// The product's limit is 8 MiB; a smaller one keeps inputs small on both sides of it.
const LIMIT: usize = 64 << 10;

type Outcome = (Vec<Bytes>, Result<(), FrameError>);

/// The first byte says how the rest is cut, and whether it is taken as bodies to be framed.
pub fn run(bytes: &[u8]) {
    let Some((&mode, stream)) = bytes.split_first() else { return };
    let step = usize::from(mode >> 1) + 1;
    if mode & 1 == 0 {
        compare(stream, step);
    } else {
        round_trip(stream, step);
    }
}

fn compare(stream: &[u8], step: usize) {
    let whole = decode(stream, stream.len().max(1), false);
    assert_eq!(whole, decode(stream, step, false));
    assert_eq!(whole, decode(stream, step, true));
}

fn round_trip(bodies: &[u8], step: usize) {
    let bodies: Vec<&[u8]> = bodies.split(|&byte| byte == 0xff).collect();
    let mut stream = Vec::new();
    for (at, body) in bodies.iter().enumerate() {
        if at % 3 == 2 && body.len() > 2 * SMALL_BODY_MAX {
            let (one, two) = body.split_at(body.len() / 3);
            let mut table = Vec::new();
            [one, two].into_iter().for_each(|piece| put_piece(&mut table, piece.len(), XxHash3_64::oneshot(piece)));
            stream.extend(Header::of_pieces(body.len(), &table).encode());
            stream.extend(table);
        } else {
            let checksum = (at % 2 == 0).then(|| XxHash3_64::oneshot(body));
            stream.extend(Header::of_body(body.len(), checksum).encode());
        }
        stream.extend_from_slice(body);
        stream.extend(Header::of_keep_alive().encode());
    }
    let (decoded, result) = decode(&stream, step, true);
    assert_eq!((decoded, result), (bodies.iter().map(|body| Bytes::copy_from_slice(body)).collect(), Ok(())));
}

/// `direct`: large bodies are received straight into their buffer, as a connection does it.
fn decode(stream: &[u8], step: usize, direct: bool) -> Outcome {
    let mut decoder = Decoder::new(LIMIT);
    let mut bodies = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let mut take = |body| bodies.push(body);
        let result = match decoder.large_buffer().filter(|_| direct) {
            Some(buffer) => {
                let room = buffer.capacity() - buffer.len();
                assert!(room > 0, "a read into no room would look like the end of the stream");
                let (now, later) = rest.split_at(rest.len().min(room).min(step));
                buffer.extend_from_slice(now);
                rest = later;
                decoder.large_received(&mut take)
            }
            None => {
                let (now, later) = rest.split_at(rest.len().min(step));
                rest = later;
                decoder.feed(now, &mut take)
            }
        };
        if result.is_err() {
            return (bodies, result);
        }
    }
    (bodies, Ok(()))
}
