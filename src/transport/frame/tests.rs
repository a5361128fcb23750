//! The decoder against every way a byte stream can be cut, and against bytes that are no frames.

use super::*;

const LIMIT: usize = 4 << 20;

/// Small and fast; the tests must repeat exactly.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn body(length: usize, salt: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + salt) as u8).collect()
}

fn wire(bodies: &[Vec<u8>], checksum: bool) -> Vec<u8> {
    let mut wire = Vec::new();
    for body in bodies {
        wire.extend(Header::of_body(body.len(), checksum.then(|| xxh3(body))).encode());
        wire.extend(body);
        wire.extend(Header::of_keep_alive().encode());
    }
    wire
}

/// A frame whose body is in pieces of these lengths.
fn in_pieces(body: &[u8], lengths: &[usize]) -> Vec<u8> {
    let (mut table, mut start) = (Vec::new(), 0);
    for &length in lengths {
        put_piece(&mut table, length, xxh3(body.get(start..start + length).unwrap_or_default()));
        start += length;
    }
    [&Header::of_pieces(body.len(), &table).encode(), &table[..], body].concat()
}

/// Feeds as a connection does: large bodies through their own buffer.
fn receive(decoder: &mut Decoder, mut wire: &[u8], piece: usize, got: &mut Vec<Bytes>) -> Result<(), FrameError> {
    while !wire.is_empty() {
        if let Some(buffer) = decoder.large_buffer() {
            let room = buffer.capacity() - buffer.len();
            let (now, later) = wire.split_at(piece.min(room).min(wire.len()));
            buffer.extend_from_slice(now);
            wire = later;
            decoder.large_received(&mut |body| got.push(body))?;
        } else {
            let (now, later) = wire.split_at(piece.min(wire.len()));
            wire = later;
            decoder.feed(now, &mut |body| got.push(body))?;
        }
    }
    Ok(())
}

#[test]
fn bodies_come_out_whole_however_the_stream_is_cut() {
    let sizes = [0, 1, 12, 100, SMALL_BODY_MAX, SMALL_BODY_MAX + 1, 7, 70_000, 3, 3, LARGE_STEP_BYTES * 3, 5];
    let bodies: Vec<_> = sizes.iter().enumerate().map(|(i, size)| body(*size, i)).collect();
    for checksum in [false, true] {
        let wire = wire(&bodies, checksum);
        for piece in [1, 15, 16, 17, 255, 4096, 65_536, 1 << 20, wire.len()] {
            let mut got = Vec::new();
            receive(&mut Decoder::new(LIMIT), &wire, piece, &mut got).unwrap();
            assert!(got == bodies, "pieces of {piece}");
        }
        let mut got = Vec::new();
        let mut decoder = Decoder::new(LIMIT);
        let mut random = Random(7);
        let mut rest = &wire[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at((1 + random.below(50_000)).min(rest.len()));
            decoder.feed(now, &mut |body| got.push(body)).unwrap();
            rest = later;
        }
        assert!(got == bodies, "random pieces");
    }
}

#[test]
fn small_bodies_share_chunks_of_bounded_size() {
    let bodies: Vec<_> = (0..2_000).map(|i| body(100, i)).collect();
    let mut got = Vec::new();
    Decoder::new(LIMIT).feed(&wire(&bodies, true), &mut |body| got.push(body)).unwrap();
    assert_eq!(got, bodies);
    // Within a chunk bodies lie one after the other, a header and a keep-alive apart.
    let apart = |pair: &[Bytes]| (pair[1].as_ptr() as usize).wrapping_sub(pair[0].as_ptr() as usize);
    let breaks = got.windows(2).filter(|pair| apart(pair) != 100 + 2 * HEADER_BYTES).count();
    assert!(breaks <= 2_000 * (100 + 2 * HEADER_BYTES) / CHUNK_BYTES_MAX + 1, "{breaks} chunks");
}

#[test]
fn a_damaged_body_is_an_error_and_what_came_before_is_delivered() {
    for size in [10, 100_000] {
        let bodies = [body(5, 0), body(size, 1)];
        let mut wire = wire(&bodies, true);
        let last = wire.len() - HEADER_BYTES - 1;
        wire[last] ^= 1;
        let mut got = Vec::new();
        let result = receive(&mut Decoder::new(LIMIT), &wire, 1 << 20, &mut got);
        assert_eq!(result, Err(FrameError::Checksum { length: size }));
        assert_eq!(got, bodies[..1]);
    }
}

#[test]
fn a_body_in_pieces_comes_out_whole_however_the_stream_is_cut() {
    let bodies = [body(20_000, 1), body(7, 2), body(LARGE_STEP_BYTES + 5, 3), body(9_000, 4)];
    let wire = [
        in_pieces(&bodies[0], &[1, 15_000, 4_999]),
        wire(&bodies[1..2], true),
        in_pieces(&bodies[2], &[LARGE_STEP_BYTES, 0, 5]),
        in_pieces(&bodies[3], &[9_000]),
    ]
    .concat();
    for step in [1, 15, 16, 17, 28, 29, 255, 4096, 65_536, wire.len()] {
        let mut got = Vec::new();
        receive(&mut Decoder::new(LIMIT), &wire, step, &mut got).unwrap();
        assert!(got == bodies, "{step} bytes at a time");
    }
}

#[test]
fn a_piece_is_checked_as_soon_as_it_has_arrived_and_a_table_must_be_of_the_whole_body() {
    let body = body(20_000, 1);
    let damaged = Err(FrameError::Checksum { length: 20_000 });
    let feed = |wire: &[u8]| Decoder::new(LIMIT).feed(wire, &mut |_| panic!("it is not whole"));
    let whole = in_pieces(&body, &[9_000, 11_000]);
    let (head, bytes) = (HEADER_BYTES + 2 * PIECE_BYTES, |at: usize, length: usize| {
        let mut wire = whole.clone();
        wire[at] ^= 1;
        wire.truncate(length);
        wire
    });
    assert_eq!(feed(&bytes(head + 8_999, head + 9_000)), damaged);
    assert_eq!(feed(&bytes(head + 8_999, head + 8_999)), Ok(()), "too early to tell");
    assert_eq!(feed(&bytes(HEADER_BYTES + 3, head)), damaged, "the table's own checksum");
    assert_eq!(feed(&in_pieces(&body, &[9_000, 10_999])), Err(FrameError::Header));
    assert_eq!(feed(&in_pieces(&body, &[9_000, 11_001])), Err(FrameError::Header));
    assert_eq!(feed(&in_pieces(&body[..8_000], &[8_000])), Err(FrameError::Header), "a small body has none");
    let mut unchecked = Header::of_body(20_000, None);
    unchecked.pieces = 1;
    assert_eq!(feed(&unchecked.encode()), Err(FrameError::Header));
}

#[test]
fn a_length_beyond_the_limit_is_refused_and_the_limit_itself_is_not() {
    let mut decoder = Decoder::new(LIMIT);
    decoder.feed(&Header::of_body(LIMIT, None).encode(), &mut |_| ()).unwrap();
    let result = Decoder::new(LIMIT).feed(&Header::of_body(LIMIT + 1, None).encode(), &mut |_| ());
    assert_eq!(result, Err(FrameError::TooLong { length: LIMIT + 1, limit: LIMIT }));
}

#[test]
fn a_header_alone_allocates_no_more_than_one_step() {
    let mut decoder = Decoder::new(1 << 30);
    decoder.feed(&Header::of_body(1 << 30, None).encode(), &mut |_| ()).unwrap();
    assert!(decoder.held() <= LARGE_STEP_BYTES + LOOKAHEAD_BYTES + 64);
    for _ in 0..8 {
        decoder.feed(&[0; LARGE_STEP_BYTES], &mut |_| ()).unwrap();
    }
    assert!(decoder.held() <= 2 * (8 * LARGE_STEP_BYTES + LOOKAHEAD_BYTES));
}

#[test]
fn garbage_never_panics_and_holds_bounded_memory() {
    for seed in 1..400 {
        let mut random = Random(seed * 0x9e37_79b9);
        let mut decoder = Decoder::new(64 << 10);
        for _ in 0..50 {
            let mut piece: Vec<u8> = (0..random.below(200)).map(|_| random.below(256) as u8).collect();
            // Plausible headers now and then, or the first one would always end it.
            if random.below(4) > 0 {
                piece.splice(0..0, Header::of_body(random.below(70_000), None).encode());
            }
            if decoder.feed(&piece, &mut |_| ()).is_err() {
                break;
            }
            assert!(decoder.held() <= (64 << 10) + SMALL_BODY_MAX * 2 + LOOKAHEAD_BYTES);
        }
    }
}

#[test]
fn more_pieces_than_anybody_sends_are_refused_before_the_table_is_received() {
    let body = body(SMALL_BODY_MAX + 1, 1);
    let lengths = |pieces| [vec![0; pieces - 1], vec![body.len()]].concat();
    let mut got = Vec::new();
    receive(&mut Decoder::new(LIMIT), &in_pieces(&body, &lengths(PIECES_MAX)), 1 << 20, &mut got).unwrap();
    assert_eq!(got, [&body[..]]);
    let wire = in_pieces(&body, &lengths(PIECES_MAX + 1));
    let mut decoder = Decoder::new(LIMIT);
    assert_eq!(receive(&mut decoder, &wire[..HEADER_BYTES], 1, &mut got), Err(FrameError::Header));
}

#[test]
fn a_table_that_arrives_bit_by_bit_is_not_copied_for_each_of_them() {
    let body = body(SMALL_BODY_MAX + 1, 1);
    let wire = in_pieces(&body, &[vec![0; PIECES_MAX - 1], vec![body.len()]].concat());
    let table_end = HEADER_BYTES + PIECES_MAX * PIECE_BYTES;
    let (mut decoder, mut got, mut moved) = (Decoder::new(LIMIT), Vec::new(), 0);
    for now in wire[..table_end].chunks(64) {
        let before = decoder.carry.as_ptr();
        decoder.feed(now, &mut |body| got.push(body)).unwrap();
        moved += usize::from(decoder.carry.as_ptr() != before);
    }
    // A buffer that doubles moves this often.
    assert!(moved <= table_end.ilog2() as usize, "{moved} times");
    receive(&mut decoder, &wire[table_end..], 64, &mut got).unwrap();
    assert_eq!(got, [&body[..]]);
}
