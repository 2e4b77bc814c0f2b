//! A hash index that stores no keys: eight bytes a slot, a hash beside the number of what was indexed.
//!
//! Dictionaries keep their bytes in one place and look them up here; `std`'s map would keep every key a second time.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

/// Words of 32 bits that are hashed by [`Keys::words`]: no attribute that a dictionary takes is longer.
const WORDS: usize = 64;

/// Drawn once a process, so that nobody can prepare names that all collide.
struct Keys {
    first: u64,
    words: [u64; WORDS],
    long: RandomState,
}

static KEYS: LazyLock<Keys> = LazyLock::new(Keys::draw);

#[inline]
pub(super) fn hash(bytes: &[u8]) -> u32 {
    let keys = &*KEYS;
    if bytes.len() <= WORDS * 4 { keys.words(bytes) } else { (keys.long.hash_one(bytes) >> 32) as u32 }
}

impl Keys {
    fn draw() -> Self {
        Self { first: rand::random(), words: std::array::from_fn(|_| rand::random()), long: RandomState::new() }
    }

    /// Multilinear hashing in pairs of words (Lemire and Kaser, "Strongly universal string hashing is fast"): whatever two
    /// different words somebody chooses who does not know the keys, they collide at most in two of four billion draws. SipHash would do
    /// as well, at twice the time for words as short as these.
    #[inline]
    fn words(&self, bytes: &[u8]) -> u32 {
        // The length tells apart what padding makes equal.
        let mut sum = self.first.wrapping_mul(bytes.len() as u64 | 1 << 32);
        let (whole, rest) = bytes.as_chunks::<8>();
        let mut pairs = self.words.as_chunks::<2>().0.iter();
        let mut add = |word: u64| {
            if let Some([low, high]) = pairs.next() {
                sum = sum.wrapping_add(low.wrapping_add(word & 0xffff_ffff).wrapping_mul(high.wrapping_add(word >> 32)));
            }
        };
        for word in whole {
            add(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            add(u64::from_le_bytes(last));
        }
        (sum >> 32) as u32
    }
}

/// Numbers by hash; whoever asks compares the keys.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The hash above, the number plus one below; zero is a free slot. A power of two, or none yet.
    slots: Vec<u64>,
    len: usize,
}

impl Index {
    #[inline]
    pub fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            let number = (slot as u32).wrapping_sub(1);
            if (slot >> 32) as u32 == hash && is_it(number) {
                return Some(number);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a number that [`Index::find`] did not find.
    pub fn insert(&mut self, hash: u32, number: u32) {
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            let doubled = vec![0; (self.slots.len() * 2).max(16)];
            for slot in std::mem::replace(&mut self.slots, doubled) {
                if slot != 0 {
                    self.place(slot);
                }
            }
        }
        self.place(u64::from(hash) << 32 | u64::from(number.wrapping_add(1)));
        self.len += 1;
    }

    pub fn size(&self) -> usize {
        self.slots.len() * 8
    }

    fn place(&mut self, slot: u64) {
        let mask = self.slots.len() - 1;
        let mut at = (slot >> 32) as usize & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn words_that_collide_by_one_draw_of_the_keys_do_not_by_another() {
        let (one, other) = (Keys::draw(), Keys::draw());
        let mut seen: HashMap<u32, Vec<u8>> = HashMap::new();
        let (mut collide, mut again) = (0, 0);
        for number in 0..40_000u64 {
            // Long runs of zeros and words that differ in their length alone are what a weak hash stumbles over.
            let word = [vec![0; number as usize % 8 * 8], number.to_le_bytes().to_vec()].concat();
            let short = one.words(&word) & 0xffff;
            if let Some(before) = seen.insert(short, word.clone()) {
                collide += 1;
                again += u32::from(other.words(&before) & 0xffff == other.words(&word) & 0xffff);
            }
        }
        assert!((5_000..15_000).contains(&collide), "{collide}: chance alone makes about 10,000");
        assert!(again < 20, "{again} of {collide}");
    }

    #[test]
    fn zeros_of_every_length_have_hashes_of_their_own() {
        let mut hashes: Vec<u32> = (0..=256).map(|length| hash(&vec![0; length])).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 257);
    }
}
