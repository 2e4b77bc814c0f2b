//! Every text once: names of services, operations, attributes and their values, as numbers.

use std::hash::BuildHasher as _;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rustc_hash::FxBuildHasher;

/// A text in [`Traces::texts`](super::Traces::texts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(u32);

impl Text {
    /// Its place among the texts, in the order in which they were first seen.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// Every text once.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    bytes: String,
    ends: Vec<usize>,
    index: HashTable<Text>,
}

impl Texts {
    pub fn intern(&mut self, text: &str) -> Text {
        let Self { bytes, ends, index } = self;
        let entry = index.entry(hash_of(text), |of| slice(bytes, ends, *of) == text, |of| hash_of(slice(bytes, ends, *of)));
        match entry {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(place) => {
                let new = Text(u32::try_from(ends.len()).expect("fewer than four thousand million texts"));
                place.insert(new);
                bytes.push_str(text);
                ends.push(bytes.len());
                new
            }
        }
    }

    pub fn find(&self, text: &str) -> Option<Text> {
        self.index.find(hash_of(text), |of| self.get(*of) == text).copied()
    }

    pub fn get(&self, text: Text) -> &str {
        slice(&self.bytes, &self.ends, text)
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

fn slice<'a>(bytes: &'a str, ends: &[usize], text: Text) -> &'a str {
    let at = text.0 as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &bytes[start..ends[at]]
}

pub(super) fn hash_of(text: &str) -> u64 {
    FxBuildHasher.hash_one(text)
}
