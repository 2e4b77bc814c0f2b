//! The words of one segment: what repeats is kept once, and leaves with the segment.
//!
//! Nothing here may grow with hostile input beyond its share: a dictionary that is full, a value that is long, and the values
//! of a key that has too many (an order number, say) stay with the span, where eviction counts them.

use super::index::{Index, hash};
use crate::backend::attribute;
use crate::backend::wire::{put_bytes, put_varint};

/// Byte strings by number.
#[derive(Debug, Default)]
pub(super) struct Words {
    bytes: Vec<u8>,
    /// Where each word ends.
    ends: Vec<u32>,
    index: Index,
}

impl Words {
    pub fn get(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] as usize };
        &self.bytes[start..self.ends[number] as usize]
    }

    #[inline]
    pub fn find(&self, word: &[u8]) -> Option<u32> {
        self.find_hashed(hash(word), word)
    }

    #[inline]
    fn find_hashed(&self, hash: u32, word: &[u8]) -> Option<u32> {
        self.index.find(hash, |number| self.get(number) == word)
    }

    /// The word's number, new if need be; `None` where the dictionary already holds `limit` words.
    #[inline]
    pub fn intern(&mut self, word: &[u8], limit: usize) -> Option<u32> {
        let hash = hash(word);
        if let Some(number) = self.find_hashed(hash, word) {
            return Some(number);
        }
        if self.ends.len() >= limit || self.bytes.len() + word.len() > u32::MAX as usize {
            return None;
        }
        let number = self.ends.len() as u32;
        self.bytes.extend_from_slice(word);
        self.ends.push(self.bytes.len() as u32);
        self.index.insert(hash, number);
        Some(number)
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len() as u32).map(|number| self.get(number))
    }

    pub fn size(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 4 + self.index.size()
    }
}

/// Attributes: a key with its value is one word, so that the usual attribute of a span is a number of one or two bytes.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// Whole `KeyValue` messages.
    pairs: Words,
    /// Beside each pair: its key and where its JSON ends.
    about: Vec<(u32, u32)>,
    /// The OTLP JSON of every pair, written once.
    json: Vec<u8>,
    keys: Words,
    /// Beside each key: how many values it has.
    values: Vec<u16>,
    max_pairs: usize,
}

/// Longer pairs are not worth a place in the dictionary.
const LONG: usize = 256;
/// A key with more values than these is no longer worth it either.
const MAX_VALUES: u16 = 1_000;
const MAX_KEYS: usize = 4_000;
/// What a pair takes with its JSON and its slots, roughly.
const PAIR: usize = 256;

/// One attribute of a span, event or link, as its record has it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attribute<'a> {
    Pair(u32),
    Own { key: &'a [u8], any: &'a [u8] },
}

impl Attributes {
    /// A dictionary that takes up to about a third of `share` bytes.
    pub fn new(share: usize) -> Self {
        Self { max_pairs: share / 3 / PAIR, ..Self::default() }
    }

    /// Appends the code of a `KeyValue` message: `pair << 1`, or `(key + 1) << 1 | 1` and the value, or `1`, key and value.
    #[inline]
    pub fn encode(&mut self, message: &[u8], out: &mut Vec<u8>) {
        if message.len() <= LONG
            && let Some(pair) = self.pairs.find(message)
        {
            put_varint(out, u64::from(pair) << 1);
            return;
        }
        self.encode_new(message, out);
    }

    fn encode_new(&mut self, message: &[u8], out: &mut Vec<u8>) {
        let (key, any) = attribute::key_value(message);
        let number = if key.len() <= LONG { self.keys.intern(key, MAX_KEYS.min(self.max_pairs)) } else { None };
        let Some(number) = number else {
            put_varint(out, 1);
            put_bytes(out, key);
            put_bytes(out, any);
            return;
        };
        if number as usize == self.values.len() {
            self.values.push(0);
        }
        let values = &mut self.values[number as usize];
        if message.len() <= LONG
            && *values < MAX_VALUES
            && self.json.len() < u32::MAX as usize / 2
            && let Some(pair) = self.pairs.intern(message, self.max_pairs)
        {
            *values += 1;
            attribute::otlp(&mut self.json, key, any);
            self.about.push((number, self.json.len() as u32));
            put_varint(out, u64::from(pair) << 1);
            return;
        }
        put_varint(out, u64::from(number + 1) << 1 | 1);
        put_bytes(out, any);
    }

    /// Reads back what [`Attributes::encode`] wrote.
    #[inline]
    pub fn decode<'a>(&'a self, rest: &mut &'a [u8]) -> Attribute<'a> {
        let code = super::record::number(rest);
        if code & 1 == 0 {
            return Attribute::Pair((code >> 1) as u32);
        }
        let key = match code >> 1 {
            0 => super::record::bytes(rest),
            number => self.keys.get((number - 1) as u32),
        };
        Attribute::Own { key, any: super::record::bytes(rest) }
    }

    #[inline]
    pub fn key<'a>(&'a self, attribute: Attribute<'a>) -> &'a [u8] {
        match attribute {
            Attribute::Pair(pair) => self.keys.get(self.about[pair as usize].0),
            Attribute::Own { key, .. } => key,
        }
    }

    /// The value, as an `AnyValue` message.
    pub fn any<'a>(&'a self, attribute: Attribute<'a>) -> &'a [u8] {
        match attribute {
            Attribute::Pair(pair) => attribute::key_value(self.pairs.get(pair)).1,
            Attribute::Own { any, .. } => any,
        }
    }

    /// Appends the attribute as OTLP JSON.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, attribute: Attribute<'_>) {
        match attribute {
            Attribute::Pair(pair) => {
                let pair = pair as usize;
                let start = if pair == 0 { 0 } else { self.about[pair - 1].1 as usize };
                out.extend_from_slice(&self.json[start..self.about[pair].1 as usize]);
            }
            Attribute::Own { key, any } => attribute::otlp(out, key, any),
        }
    }

    /// The pairs that have this key and, written as text, this value. Sorted, for there may be some thousand.
    pub fn pairs_like(&self, key: &[u8], text: &[u8]) -> Vec<u32> {
        let Some(key) = self.keys.find(key) else { return Vec::new() };
        let of_key = self.about.iter().enumerate().filter(|(_, about)| about.0 == key).map(|(pair, _)| pair as u32);
        of_key.filter(|&pair| attribute::equals_text(self.any(Attribute::Pair(pair)), text)).collect()
    }

    pub fn size(&self) -> usize {
        let beside = self.about.capacity() * 8 + self.json.capacity() + self.values.capacity() * 2;
        self.pairs.size() + self.keys.size() + beside
    }
}
