//! CRC32C (Castagnoli), which guards frames on the wire and records on disk.
//!
//! One place, since it is a sixth of the processor time of large logs: this implementation uses the widest
//! carry-less multiplication that the processor has, found out at run time.

use crc_fast::CrcAlgorithm::Crc32Iscsi;
use crc_fast::Digest;

/// Of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_append(0, bytes)
}

/// Of what `crc` is the checksum of, followed by `bytes`. The checksum of nothing is 0.
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    let mut digest = Digest::new_with_init_state(Crc32Iscsi, u64::from(!crc));
    digest.update(bytes);
    digest.finalize() as u32
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
}
