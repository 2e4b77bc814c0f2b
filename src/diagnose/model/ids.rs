//! Ids as numbers: hexadecimal ones are what they say, others are hashed.

use std::hash::BuildHasher as _;

use rustc_hash::FxBuildHasher;

/// A span's id as a number that is not 0.
pub(super) fn span_number(text: &str) -> u64 {
    let number = number(text);
    ((number >> 64) as u64 ^ number as u64).max(1)
}

/// 0 where there is none: an empty text, or as some write it, nothing but zeros.
pub(super) fn parent_number(text: &str) -> u64 {
    if text.bytes().all(|byte| byte == b'0') { 0 } else { span_number(text) }
}

/// Hexadecimal digits are the number they mean; other texts are hashed.
fn number(text: &str) -> u128 {
    hexadecimal(text).unwrap_or_else(|| hashed(text))
}

pub(super) fn hexadecimal(text: &str) -> Option<u128> {
    let mut number = 0;
    let digits = text.len() <= 32
        && text.bytes().all(|byte| {
            let digit = DIGITS[usize::from(byte)];
            number = number << 4 | u128::from(digit & 15);
            digit < 16
        });
    digits.then_some(number)
}

pub(super) fn hashed(text: &str) -> u128 {
    let half = |salt: u64| u128::from(FxBuildHasher.hash_one((salt, text)));
    half(1) << 64 | half(2)
}

/// What each byte is worth as a hexadecimal digit; 16 where it is none.
const DIGITS: [u8; 256] = {
    let mut digits = [16; 256];
    let mut value = 0;
    while value < 16 {
        let upper = b"0123456789ABCDEF"[value as usize];
        digits[upper as usize] = value;
        digits[upper.to_ascii_lowercase() as usize] = value;
        value += 1;
    }
    digits
};
