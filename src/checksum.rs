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

/// Of what `first` is the checksum of, followed by `length` bytes that `second` is the checksum of. Below a
/// microsecond whatever the length, since it looks at no byte: from some 16 KiB on less than a second look at them.
pub fn crc32c_joined(first: u32, second: u32, length: usize) -> u32 {
    // A checksum is a remainder modulo P; bytes behind multiply it by x to the power of their bits.
    let shift = |power, k: usize| if length >> k & 1 == 1 { product(power, X_TO_8_TIMES_2_TO[k]) } else { power };
    product((0..usize::BITS as usize).fold(ONE, shift), first) ^ second
}

/// P without x^32, as every polynomial here in reversed order: the highest bit is x^0.
const CASTAGNOLI: u32 = 0x82f6_3b78;
const ONE: u32 = 1 << 31;
/// x^(8 * 2^k) modulo P: what 2^k bytes behind multiply a remainder by.
const X_TO_8_TIMES_2_TO: [u32; usize::BITS as usize] = {
    let mut powers = [ONE >> 8; usize::BITS as usize];
    let mut k = 1;
    while k < powers.len() {
        powers[k] = product(powers[k - 1], powers[k - 1]);
        k += 1;
    }
    powers
};

/// Modulo P.
const fn product(a: u32, mut b: u32) -> u32 {
    let mut sum = 0;
    let mut bit = 0;
    while bit < 32 {
        sum ^= b & (a >> (31 - bit) & 1).wrapping_neg();
        b = b >> 1 ^ CASTAGNOLI & (b & 1).wrapping_neg();
        bit += 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_checksums_joined_are_the_checksum_of_both() {
        let bytes: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
        for cut in (0..70).chain([255, 4_096, 65_537, 286_208, 299_999, 300_000]) {
            let (one, two) = bytes.split_at(cut);
            let joined = super::crc32c_joined(super::crc32c(one), super::crc32c(two), two.len());
            assert_eq!(joined, super::crc32c(&bytes), "cut at {cut}");
        }
    }

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
