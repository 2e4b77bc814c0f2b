//! A JSON document piece by piece: its frame is walked here, the elements inside are serde's.
//!
//! serde_json reads a slice four times as fast as it reads a stream, and texts of a slice need not be copied. So a window of the
//! input is kept, an element is read from it as a slice, and one that the window cuts is read again once more of the input is in.
//! Memory is bounded by the largest element, not by the input.

use std::io::{self, Read};
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

/// The window's usual size.
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
    window: Vec<u8>,
    /// What of the window is not read yet.
    at: usize,
    end: usize,
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
        Self { input, window: Vec::new(), at: 0, end: 0, before: 0, ended: false, failed: None }
    }

    /// The next byte that is no white space, which is not taken; none at the end.
    pub fn peek(&mut self) -> Result<Option<u8>, Broken> {
        loop {
            let rest = &self.window[self.at..self.end];
            if let Some(skip) = rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
                self.at += skip;
                return Ok(Some(self.window[self.at]));
            }
            self.at = self.end;
            if !self.fill()? {
                return if self.failed.is_some() { Err(self.cut()) } else { Ok(None) };
            }
        }
    }

    /// The first bytes that were not taken, as many as there are.
    pub fn look(&mut self, bytes: usize) -> Result<&[u8], Broken> {
        while self.end - self.at < bytes && self.fill()? {}
        Ok(&self.window[self.at..self.end.min(self.at + bytes)])
    }

    /// Takes bytes that [`Stream::look`] showed.
    pub fn advance(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.end);
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

    /// Passes over the next value. Texts in it may be no UTF-8, and it may be as deep as it likes.
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
        let mut values = serde_json::Deserializer::from_slice(&self.window[self.at..self.end]).into_iter::<T>();
        match values.next() {
            Some(Ok(value)) => {
                let end = self.at + values.byte_offset();
                // A number goes on as long as digits come.
                if end == self.end && !self.ended && self.window[end - 1].is_ascii_alphanumeric() {
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
        match self.failed.take() {
            Some(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Broken::Input { at: self.before + self.end as u64, error }
            }
            _ => Broken::Cut(self.before + self.end as u64),
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
        if self.at > 0 {
            self.window.copy_within(self.at..self.end, 0);
            self.before += self.at as u64;
            self.end -= self.at;
            self.at = 0;
        }
        if self.end == self.window.len() {
            if self.end >= LARGEST {
                return Err(self.broken(&format!("one value takes more than {} MiB", LARGEST >> 20)));
            }
            self.window.resize((self.end * 2).max(WINDOW), 0);
        }
        let had = self.end;
        // As much as fits: a pipe gives little at a time, and what is cut is read again.
        while self.end < self.window.len() {
            match self.input.read(&mut self.window[self.end..]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    self.failed = Some(error);
                    break;
                }
            }
        }
        Ok(self.end > had)
    }
}
