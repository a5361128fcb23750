//! One number that is equal in processes that were told the same shard.

use super::topology::{GroupLayout, Partition, Process, Site};

/// FNV-1a over 64 bits: an offset basis, then for each byte an exclusive-or and a multiplication by
/// the prime. Not a cryptographic hash: it finds mistakes, not attacks. Chosen because it is ten lines
/// that will give the same number in every build; the standard library's hasher promises no such thing.
struct Fnv1a(u64);

impl Fnv1a {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(Self::PRIME);
        }
    }

    fn number(&mut self, number: usize) {
        self.bytes(&(number as u64).to_le_bytes());
    }

    /// With its length in front, so that ("ab", "c") and ("a", "bc") differ.
    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.bytes(text.as_bytes());
    }
}

/// Changes with any name, host, port, role, or place of a site in its row; neither with the process
/// that asks nor with the `raft` section.
pub(super) fn fingerprint(processes: &[Process], sites: &[Site], partitions: &[Partition]) -> u64 {
    let address = |hash: &mut Fnv1a, site: &Site, process: &Process| {
        hash.text(&process.host);
        hash.number(usize::from(site.port));
    };
    hash_rows("mako-raft topology 1", processes, sites, partitions, address)
}

/// As [`fingerprint`], but for hosts and ports: what stays when the processes of a shard move. Other shards may have the same.
pub(super) fn fingerprint_of_names(processes: &[Process], sites: &[Site], partitions: &[Partition]) -> u64 {
    hash_rows("mako-raft names 1", processes, sites, partitions, |_, _, _| {})
}

/// Every row's names in order, and what `add` adds of each site.
fn hash_rows(
    title: &str,
    processes: &[Process],
    sites: &[Site],
    partitions: &[Partition],
    add: impl Fn(&mut Fnv1a, &Site, &Process),
) -> u64 {
    let mut hash = Fnv1a(Fnv1a::OFFSET_BASIS);
    hash.text(title);
    hash.number(partitions.len());
    for partition in partitions {
        hash.number(partition.sites.len());
        for site in &partition.sites {
            let site = &sites[usize::from(site.0)];
            let process = &processes[usize::from(site.process.0)];
            hash.text(&site.name);
            hash.text(&process.name);
            add(&mut hash, site, process);
        }
    }
    hash.0
}

/// Of a shard with this fingerprint whose partitions are in these groups. Their members follow from the partitions.
pub(super) fn fingerprint_of_groups(shard: u64, groups: &[GroupLayout]) -> u64 {
    let mut hash = Fnv1a(Fnv1a::OFFSET_BASIS);
    hash.text("mako-raft groups 1");
    hash.bytes(&shard.to_le_bytes());
    hash.number(groups.len());
    for group in groups {
        hash.number(group.partitions.len());
        group.partitions.iter().for_each(|partition| hash.number(partition.0 as usize));
    }
    hash.0
}

#[cfg(test)]
mod tests {
    use super::Fnv1a;

    #[test]
    fn the_hash_gives_the_published_values_of_fnv_1a() {
        for (text, expected) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            let mut hash = Fnv1a(Fnv1a::OFFSET_BASIS);
            hash.bytes(text.as_bytes());
            assert_eq!(hash.0, expected, "{text:?}");
        }
    }
}
