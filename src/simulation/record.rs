//! Spans on their way into [`Traces`]: ids, and ends that nobody has to remember.

use std::cell::{Cell, RefCell};

use crate::diagnose::model::{Builder, Kind, NewSpan, Status, Text, Traces};

/// The simulation starts at this moment, in nanoseconds since the epoch: a day in 2023.
const EPOCH: u64 = 1_700_000_000_000_000_000;

/// Takes spans that have ended.
#[derive(Debug)]
pub(super) struct Recorder {
    builder: RefCell<Builder>,
    ids: Cell<u64>,
    /// Resources whose clock counts whole milliseconds.
    coarse: Vec<u32>,
}

/// What a request carries from one service to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    pub trace: u128,
    /// 0 where the next span is the root.
    pub parent: u64,
    pub customer: Option<Text>,
    pub client: Option<Text>,
    /// Somebody has spoilt it.
    pub spoilt: bool,
    /// It is made a second time, because the first one was refused.
    pub again: bool,
}

/// A span that has started.
#[derive(Clone, Debug)]
pub(super) struct Started {
    pub trace: u128,
    pub id: u64,
    pub parent: u64,
    pub operation: &'static str,
    pub resource: u32,
    pub kind: Kind,
    pub start: u64,
    pub attributes: Vec<(Text, Text)>,
}

impl Recorder {
    /// Another `seed` gives other ids.
    pub fn new(builder: Builder, seed: u64, coarse: Vec<u32>) -> Self {
        Self { builder: RefCell::new(builder), ids: Cell::new(mixed(seed)), coarse }
    }

    /// One that was not given before.
    pub fn id(&self) -> u64 {
        loop {
            self.ids.set(self.ids.get().wrapping_add(1));
            // 0 is no id.
            match mixed(self.ids.get()) {
                0 => {}
                id => return id,
            }
        }
    }

    pub fn trace_id(&self) -> u128 {
        u128::from(self.id()) << 64 | u128::from(self.id())
    }

    pub fn text(&self, text: &str) -> Text {
        self.builder.borrow_mut().text(text)
    }

    pub fn end(&self, span: &Started, end: u64, status: Status) {
        let Started { trace, id, parent, operation, resource, kind, start, attributes } = span;
        let tick = if self.coarse.contains(resource) { 1_000_000 } else { 1 };
        let [start, end] = [*start, end].map(|time| time / tick * tick);
        let (trace_digits, id_digits, parent_digits) = (hex::<32>(*trace), hex::<16>((*id).into()), hex::<16>((*parent).into()));
        self.builder.borrow_mut().push(NewSpan {
            trace_id: text(&trace_digits),
            span_id: text(&id_digits),
            parent_id: if *parent == 0 { "" } else { text(&parent_digits) },
            operation,
            resource: *resource,
            start: EPOCH + start,
            duration: i64::try_from(end - start).unwrap_or(i64::MAX),
            kind: *kind,
            status,
            attributes,
        });
    }

    pub fn finish(self) -> Traces {
        self.builder.into_inner().finish()
    }
}

/// SplitMix64's last step: a bijection, so that no two numbers give the same id.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn hex<const DIGITS: usize>(mut number: u128) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
    digits
}

fn text(digits: &[u8]) -> &str {
    std::str::from_utf8(digits).unwrap_or_default()
}
