//! A text that comes chunk by chunk from whoever writes it, as something to read: so a store's traces go into the model while they are
//! written, and no two copies of them are ever whole.

use std::io::{self, BufRead, Read};

/// Reads what `more` appends until it says that there is no more.
#[derive(Debug)]
pub struct Chunks<F> {
    more: F,
    is_more: bool,
    chunk: Vec<u8>,
    read: usize,
}

impl<F: FnMut(&mut Vec<u8>) -> bool> Chunks<F> {
    /// `more` appends the next chunk and says whether there is another after it.
    pub fn new(more: F) -> Self {
        Self { more, is_more: true, chunk: Vec::new(), read: 0 }
    }
}

impl<F: FnMut(&mut Vec<u8>) -> bool> Read for Chunks<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl<F: FnMut(&mut Vec<u8>) -> bool> BufRead for Chunks<F> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        // A chunk may be empty though another follows.
        while self.read >= self.chunk.len() && self.is_more {
            self.chunk.clear();
            self.read = 0;
            self.is_more = (self.more)(&mut self.chunk);
        }
        Ok(&self.chunk[self.read..])
    }

    fn consume(&mut self, bytes: usize) {
        self.read = (self.read + bytes).min(self.chunk.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_chunk_is_not_the_end() {
        let mut chunks = vec!["", "ab", "", "c"];
        let mut text = String::new();
        let more = |out: &mut Vec<u8>| {
            out.extend_from_slice(chunks.remove(0).as_bytes());
            !chunks.is_empty()
        };
        Chunks::new(more).read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
    }
}
