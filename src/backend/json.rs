//! Writes JSON straight into bytes: no tree in between.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A string with its quotes; the bytes were checked to be UTF-8 when they came in.
#[inline]
pub(crate) fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    escaped(out, text);
    out.push(b'"');
}

/// The inside of a string.
#[inline]
pub(crate) fn escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut plain = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text[plain..at]);
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
        plain = at + 1;
    }
    out.extend_from_slice(&text[plain..]);
}

#[inline]
pub(crate) fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[inline]
pub(crate) fn signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    unsigned(out, value.unsigned_abs());
}

/// A number in quotes, as OTLP's JSON wants 64 bits written.
#[inline]
pub(crate) fn quoted(out: &mut Vec<u8>, value: u64) {
    out.push(b'"');
    unsigned(out, value);
    out.push(b'"');
}

/// The shortest text that reads back as the same number; what JSON has no number for becomes a string, as in protobuf's JSON.
pub(crate) fn double(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        double_text(out, value);
    } else {
        out.push(b'"');
        double_text(out, value);
        out.push(b'"');
    }
}

/// A double as text: the way Go's JSON writes it, which is also what a search compares with.
pub(crate) fn double_text(out: &mut Vec<u8>, value: f64) {
    use std::io::Write as _;
    let size = value.abs();
    // Writing to a vector cannot fail.
    let _ = if value.is_nan() {
        out.write_all(b"NaN")
    } else if value.is_infinite() {
        out.write_all(if value > 0.0 { b"Infinity" } else { b"-Infinity" })
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((mantissa, exponent)) if !exponent.starts_with('-') => write!(out, "{mantissa}e+{exponent}"),
            _ => out.write_all(text.as_bytes()),
        }
    } else {
        write!(out, "{value}")
    };
}

#[inline]
pub(crate) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

#[inline]
pub(crate) fn hex_u64(out: &mut Vec<u8>, value: u64) {
    let mut text = [0u8; 16];
    let mut rest = value;
    for digit in text.iter_mut().rev() {
        *digit = HEX[(rest & 15) as usize];
        rest >>= 4;
    }
    out.extend_from_slice(&text);
}

pub(crate) fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let group = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let sextet = (group >> (18 - 6 * digit)) & 63;
            out.push(if digit <= chunk.len() { ALPHABET[sextet as usize] } else { b'=' });
        }
    }
}

/// Standard or URL-safe, with or without padding.
pub(crate) fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let (mut out, mut group, mut bits) = (Vec::with_capacity(digits.len() / 4 * 3 + 2), 0u32, 0);
    if digits.len() % 4 == 1 {
        return None;
    }
    for &digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        group = group << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((group >> bits) as u8);
        }
    }
    Some(out)
}

pub(crate) fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.chunks(2).map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_read_back_as_they_were() {
        for text in ["", "plain", "<b>\"quoted\"\\</b>", "a\nb\t\u{1}\u{7f}", "grüße 🦀"] {
            let json = written(|out| string(out, text.as_bytes()));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn numbers_read_back_as_they_were() {
        for value in [0, 9, 10, u64::MAX] {
            assert_eq!(written(|out| unsigned(out, value)), value.to_string());
        }
        for value in [i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(written(|out| signed(out, value)), value.to_string());
        }
        for value in [0.0, 0.5, -1.25, 1e300, 1e-300, f64::MAX, 123_456_789.123] {
            assert_eq!(written(|out| double(out, value)).parse::<f64>().unwrap(), value);
        }
        assert_eq!(written(|out| double(out, f64::NAN)), "\"NaN\"");
    }

    #[test]
    fn base64_and_hex_are_their_own_inverse() {
        for length in 0..20u8 {
            let bytes: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(97)).collect();
            assert_eq!(from_base64(written(|out| base64(out, &bytes)).as_bytes()), Some(bytes.clone()));
            assert_eq!(from_hex(written(|out| hex(out, &bytes)).as_bytes()), Some(bytes));
        }
        assert_eq!(written(|out| base64(out, &[0, 255])), "AP8=");
        assert_eq!(from_hex(b"xyz"), None);
    }
}
