//! A hash index that stores no keys: eight bytes a slot, a hash beside the number of what was indexed.
//!
//! Dictionaries keep their bytes in one place and look them up here; `std`'s map would keep every key a second time.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::LazyLock;

use rustc_hash::FxSeededState;

/// Seeded once a process, so that nobody can prepare names that all collide.
static SEED: LazyLock<FxSeededState> = LazyLock::new(|| FxSeededState::with_seed(rand::random::<u64>() as usize));

pub(super) fn seeded() -> FxSeededState {
    SEED.clone()
}

#[inline]
pub(super) fn hash(bytes: &[u8]) -> u32 {
    let mut hasher = SEED.build_hasher();
    hasher.write(bytes);
    let hash = hasher.finish();
    ((hash ^ (hash >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
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
