//! The simulator's own random numbers: every choice of a run comes from its seed.

/// A small generator (SplitMix64), so that a seed means the same run on every machine and with
/// every version of every dependency.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream that `seed` stands for.
    pub fn new(seed: u64) -> Self {
        let mut random = Self { state: seed ^ 0x5851_f42d_4c95_7f2d };
        random.next();
        random
    }

    /// A stream of its own for one component: draws there do not shift the draws of others.
    pub fn fork(&mut self, label: u64) -> Random {
        Random::new(self.next() ^ label.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `low..=high`.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        debug_assert!(low <= high, "{low}..={high} is empty");
        low + self.next() % (high - low + 1)
    }

    /// An index below `count`, which is not zero.
    pub fn below(&mut self, count: usize) -> usize {
        self.within(0, count as u64 - 1) as usize
    }

    /// True `permille` times in a thousand.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.next() % 1_000 < permille
    }

    /// One of `items`.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// A number in `low..=high` whose logarithm is about even: small ones are as likely as large ones.
    pub fn scale(&mut self, low: u64, high: u64) -> u64 {
        let steps = (high / low.max(1)).max(1).ilog2() as u64;
        let top = low.saturating_mul(1 << self.within(0, steps)).min(high);
        self.within(low, (top * 2).clamp(low, high))
    }
}
