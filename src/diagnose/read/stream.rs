//! A JSON document piece by piece: its frame is walked here, the elements inside are serde's.
//!
//! serde_json reads a text in memory four times as fast as a stream, and what it finds there need not be copied. So a window of the
//! input is kept, an element is read from it, and one that the window cuts is read again once more of the input is in.
//! Memory is bounded by the largest element, not by the input.

use std::io::{self, Read};
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

/// The window's first size, and its usual one where the input is larger.
const FIRST: usize = 1 << 16;
const WINDOW: usize = 1 << 20;
/// An element that is larger is no span: reading it would only take memory.
const LARGEST: usize = 64 << 20;

/// Why no more comes of an input.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("it ends early, after {0} bytes")]
    Cut(u64),
    #[error("it is broken after {at} bytes: {what}")]
    Syntax { at: u64, what: String },
    #[error("{error} after {at} bytes")]
    Input { at: u64, error: io::Error },
}

/// A kind of element, whose texts may be those of the window.
pub(super) trait Element {
    type Of<'a>: Deserialize<'a>;
}

/// One that keeps no text of the window.
pub(super) struct Plain<T>(PhantomData<T>);

impl<T: DeserializeOwned> Element for Plain<T> {
    type Of<'a> = T;
}

pub(super) struct Stream<R> {
    input: R,
    window: String,
    /// The bytes after it, which begin a character that is not in yet.
    begun: Vec<u8>,
    /// What of the window is not read yet begins there.
    at: usize,
    /// Bytes of the input before the window.
    before: u64,
    ended: bool,
    failed: Option<io::Error>,
}

/// What came of reading a value.
enum Attempt {
    /// It ends there.
    Taken(usize),
    /// The window cuts it.
    Cut,
    Unfit(serde_json::Error),
}

impl<R: Read> Stream<R> {
    pub fn new(input: R) -> Self {
        Self { input, window: String::new(), begun: Vec::new(), at: 0, before: 0, ended: false, failed: None }
    }

    /// The next byte that is no white space, which is not taken; none at the end.
    pub fn peek(&mut self) -> Result<Option<u8>, Broken> {
        loop {
            let rest = &self.window.as_bytes()[self.at..];
            if let Some(skip) = rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
                self.at += skip;
                return Ok(Some(rest[skip]));
            }
            self.at = self.window.len();
            if !self.fill()? {
                return if self.failed.is_some() { Err(self.cut()) } else { Ok(None) };
            }
        }
    }

    /// Passes over this text if it is the next, and says whether it was.
    pub fn skip_text(&mut self, text: &str) -> Result<bool, Broken> {
        while self.window.len() - self.at < text.len() && self.fill()? {}
        let found = self.window[self.at..].starts_with(text);
        self.at += if found { text.len() } else { 0 };
        Ok(found)
    }

    /// What is next, at most so many characters of it.
    pub fn next_text(&self, characters: usize) -> String {
        self.window[self.at..].chars().take(characters).collect()
    }

    /// Hands the next element to `take`.
    ///
    /// `Ok(false)` where it is not what was wanted: it is passed over.
    pub fn element<E: Element>(&mut self, take: impl FnOnce(E::Of<'_>)) -> Result<bool, Broken> {
        let mut take = Some(take);
        loop {
            let tried = self.attempt::<E::Of<'_>>(|value| {
                if let Some(take) = take.take() {
                    take(value);
                }
            });
            match tried {
                Attempt::Taken(end) => {
                    self.at = end;
                    return Ok(true);
                }
                Attempt::Cut => {
                    if self.ended {
                        return Err(self.cut());
                    }
                    self.fill()?;
                }
                Attempt::Unfit(_) => return self.skip().map(|()| false),
            }
        }
    }

    /// Passes over the next value, which may be as deep as it likes.
    pub fn skip(&mut self) -> Result<(), Broken> {
        loop {
            match self.attempt::<IgnoredAny>(|_| {}) {
                Attempt::Taken(end) => {
                    self.at = end;
                    return Ok(());
                }
                Attempt::Cut => {
                    if self.ended {
                        return Err(self.cut());
                    }
                    self.fill()?;
                }
                Attempt::Unfit(error) => return Err(self.broken(&error)),
            }
        }
    }

    /// Reads one value from what of the window is not read yet.
    fn attempt<'s, T: Deserialize<'s>>(&'s self, take: impl FnOnce(T)) -> Attempt {
        let mut values = serde_json::Deserializer::from_str(&self.window[self.at..]).into_iter::<T>();
        match values.next() {
            Some(Ok(value)) => {
                let end = self.at + values.byte_offset();
                // A number goes on as long as digits come.
                if end == self.window.len() && !self.ended && self.window.ends_with(|last: char| last.is_ascii_alphanumeric()) {
                    return Attempt::Cut;
                }
                take(value);
                Attempt::Taken(end)
            }
            Some(Err(error)) if error.classify() != Category::Eof => Attempt::Unfit(error),
            _ => Attempt::Cut,
        }
    }

    /// Calls `field` with the name of each field of an object; `field` takes its value. What is no object is passed over.
    pub fn object<N>(&mut self, mut field: impl FnMut(&mut Self, N) -> Result<(), Broken>) -> Result<(), Broken>
    where
        N: DeserializeOwned,
    {
        if !self.open(b'{')? {
            return Ok(());
        }
        loop {
            match self.next()? {
                b'}' => return self.close(),
                b',' => self.at += 1,
                _ => {
                    let mut name = None;
                    self.element::<Plain<N>>(|found| name = Some(found))?;
                    self.expect(b':')?;
                    match name {
                        Some(name) => field(self, name)?,
                        None => self.skip()?,
                    }
                }
            }
        }
    }

    /// Calls `item` before each item of a list, which `item` takes. What is no list is passed over.
    pub fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Broken>) -> Result<(), Broken> {
        if !self.open(b'[')? {
            return Ok(());
        }
        loop {
            match self.next()? {
                b']' => return self.close(),
                b',' => self.at += 1,
                _ => item(self)?,
            }
        }
    }

    /// Steps into a list or an object, or passes over what is neither.
    fn open(&mut self, bracket: u8) -> Result<bool, Broken> {
        if self.next()? == bracket {
            self.at += 1;
            return Ok(true);
        }
        self.skip()?;
        Ok(false)
    }

    fn close(&mut self) -> Result<(), Broken> {
        self.at += 1;
        Ok(())
    }

    fn next(&mut self) -> Result<u8, Broken> {
        match self.peek()? {
            Some(byte) => Ok(byte),
            None => Err(self.cut()),
        }
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Broken> {
        let found = self.next()?;
        if found != wanted {
            return Err(self.broken(&format!("{:?} stands where {:?} is due", char::from(found), char::from(wanted))));
        }
        self.at += 1;
        Ok(())
    }

    fn place(&self) -> u64 {
        self.before + self.at as u64
    }

    fn cut(&mut self) -> Broken {
        let at = self.before + self.window.len() as u64;
        match self.failed.take() {
            Some(error) if error.kind() != io::ErrorKind::UnexpectedEof => Broken::Input { at, error },
            _ => Broken::Cut(at),
        }
    }

    fn broken(&self, what: &dyn std::fmt::Display) -> Broken {
        // serde_json's line and column count from the element.
        let what = what.to_string();
        let what = what.split(" at line ").next().unwrap_or_default().to_owned();
        Broken::Syntax { at: self.place(), what }
    }

    /// Reads on; false where nothing more comes.
    fn fill(&mut self) -> Result<bool, Broken> {
        if self.ended {
            return Ok(false);
        }
        let (first, had) = (self.before == 0 && self.window.is_empty(), self.window.len() - self.at);
        if had >= LARGEST {
            return Err(self.broken(&format!("one value takes more than {} MiB", LARGEST >> 20)));
        }
        let mut bytes = std::mem::take(&mut self.window).into_bytes();
        bytes.drain(..self.at);
        self.before += self.at as u64;
        self.at = 0;
        bytes.append(&mut self.begun);
        // As much as fits, since what is cut is read again; as much again where one value takes it all.
        let more = if first { FIRST } else { WINDOW.saturating_sub(bytes.len()).max(bytes.len()) };
        bytes.reserve_exact(more);
        match self.input.by_ref().take(more as u64).read_to_end(&mut bytes) {
            Ok(read) => self.ended = read < more,
            Err(error) => (self.ended, self.failed) = (true, Some(error)),
        }
        self.window = self.text(bytes);
        Ok(self.window.len() > had)
    }

    /// What is no UTF-8 becomes `�`, as it would on a screen: for a name that is better than no span.
    fn text(&mut self, bytes: Vec<u8>) -> String {
        let error = match String::from_utf8(bytes) {
            Ok(text) => return text,
            Err(error) => error,
        };
        let valid = error.utf8_error().valid_up_to();
        let cut = error.utf8_error().error_len().is_none() && !self.ended;
        let mut bytes = error.into_bytes();
        if cut {
            self.begun = bytes.split_off(valid);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
