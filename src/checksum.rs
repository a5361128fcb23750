//! What guards frames on the wire (XXH3) and records on disk (CRC32C, Castagnoli).
//!
//! One place, since checksums were a fifth of the processor time of large logs: both implementations use the widest
//! instructions that the processor has, found out at run time. XXH3 is two to three times as fast where these are old.

use std::hash::Hasher as _;

use crc_fast::CrcAlgorithm::Crc32Iscsi;
use crc_fast::Digest;
use twox_hash::xxhash3_64::{RawHasher, SecretBuffer, DEFAULT_SECRET_LENGTH};
use twox_hash::XxHash3_64;

/// CRC32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_append(0, bytes)
}

/// CRC32C of what `crc` is the checksum of, followed by `bytes`. The checksum of nothing is 0.
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    let mut digest = Digest::new_with_init_state(Crc32Iscsi, u64::from(!crc));
    digest.update(bytes);
    digest.finalize() as u32
}

/// XXH3 of `bytes`, 64 bits.
pub fn xxh3(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// XXH3 of bytes that come in pieces. Allocates nothing.
pub struct Xxh3(RawHasher<&'static [u8; DEFAULT_SECRET_LENGTH]>);

impl Xxh3 {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(RawHasher::new(SecretBuffer::default()))
    }

    /// Of `bytes` too, behind what there was.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// Of all that there was.
    pub fn finish(&self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    /// Another implementation, in pieces of every length around those at which implementations change course.
    #[test]
    fn it_agrees_with_another_implementation_however_the_bytes_are_cut() {
        let bytes: Vec<u8> = (0..70_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let cuts = (0..600).chain([1_023, 1_024, 4_095, 4_096, 4_097, 65_535, 65_536, 69_999, 70_000]);
        for cut in cuts {
            let (one, two) = bytes.split_at(cut);
            let expected = crc32c::crc32c(&bytes);
            assert_eq!(super::crc32c(one), crc32c::crc32c(one), "{cut} bytes");
            assert_eq!(super::crc32c_append(super::crc32c(one), two), expected, "cut at {cut}");
        }
        assert_eq!(super::crc32c(b"123456789"), 0xe306_9283, "the check value of the catalogue of CRCs");
    }

    #[test]
    fn xxh3_is_the_published_one_however_the_bytes_are_cut() {
        assert_eq!(super::xxh3(b""), 0x2d06_8005_38d3_94c2, "the value that its authors publish for nothing");
        let bytes: Vec<u8> = (0..70_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for piece in [1, 7, 64, 240, 241, 1_024, 4_097, 65_536] {
            for length in [0, 1, 16, 17, 128, 129, 240, 241, 256, 257, 1_024, 65_537, 70_000] {
                let mut sum = super::Xxh3::new();
                bytes[..length].chunks(piece).for_each(|piece| sum.update(piece));
                assert_eq!(sum.finish(), super::xxh3(&bytes[..length]), "{length} bytes in pieces of {piece}");
            }
        }
    }
}
