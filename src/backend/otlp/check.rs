//! Checks an OTLP request before anything of it is stored: all of it is well formed, or it is refused as a whole.
//!
//! Spans whose ids are missing, zero or of the wrong length are another matter: they are left out one by one (partial
//! success), by the store.

use crate::backend::wire::{Fields, Malformed, Value};

/// Nested arrays and maps beyond this are an attack on the reader's stack, not telemetry.
const MAX_DEPTH: usize = 32;

/// Checks an `ExportTraceServiceRequest`.
pub(crate) fn traces(body: &[u8]) -> Result<(), Malformed> {
    each(body, |number, value| match number {
        1 => each(value.bytes()?, |number, value| match number {
            1 => resource(value.bytes()?),
            2 => each(value.bytes()?, |number, value| match number {
                1 => scope(value.bytes()?),
                2 => span(value.bytes()?),
                3 => value.utf8().map(drop),
                _ => Ok(()),
            }),
            3 => value.utf8().map(drop),
            _ => Ok(()),
        }),
        _ => Ok(()),
    })
}

/// Checks an `ExportLogsServiceRequest`.
pub(crate) fn logs(body: &[u8]) -> Result<(), Malformed> {
    each(body, |number, value| match number {
        1 => each(value.bytes()?, |number, value| match number {
            1 => resource(value.bytes()?),
            2 => each(value.bytes()?, |number, value| match number {
                1 => scope(value.bytes()?),
                2 => log_record(value.bytes()?),
                3 => value.utf8().map(drop),
                _ => Ok(()),
            }),
            3 => value.utf8().map(drop),
            _ => Ok(()),
        }),
        _ => Ok(()),
    })
}

#[inline]
fn each<'a>(message: &'a [u8], mut check: impl FnMut(u32, Value<'a>) -> Result<(), Malformed>) -> Result<(), Malformed> {
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.try_next()? {
        check(number, value)?;
    }
    Ok(())
}

fn resource(message: &[u8]) -> Result<(), Malformed> {
    each(message, |number, value| match number {
        1 => key_value(value.bytes()?, 0),
        2 => value.varint().map(drop),
        _ => Ok(()),
    })
}

fn scope(message: &[u8]) -> Result<(), Malformed> {
    each(message, |number, value| match number {
        1 | 2 => value.utf8().map(drop),
        3 => key_value(value.bytes()?, 0),
        4 => value.varint().map(drop),
        _ => Ok(()),
    })
}

fn span(message: &[u8]) -> Result<(), Malformed> {
    each(message, |number, value| match number {
        1 | 2 | 4 => value.bytes().map(drop),
        3 | 5 => value.utf8().map(drop),
        6 | 10 | 12 | 14 => value.varint().map(drop),
        7 | 8 => value.fixed64().map(drop),
        9 => key_value(value.bytes()?, 0),
        11 => each(value.bytes()?, |number, value| match number {
            1 => value.fixed64().map(drop),
            2 => value.utf8().map(drop),
            3 => key_value(value.bytes()?, 0),
            4 => value.varint().map(drop),
            _ => Ok(()),
        }),
        13 => each(value.bytes()?, |number, value| match number {
            1 | 2 => value.bytes().map(drop),
            3 => value.utf8().map(drop),
            4 => key_value(value.bytes()?, 0),
            5 => value.varint().map(drop),
            6 => value.fixed32().map(drop),
            _ => Ok(()),
        }),
        15 => each(value.bytes()?, |number, value| match number {
            2 => value.utf8().map(drop),
            3 => value.varint().map(drop),
            _ => Ok(()),
        }),
        16 => value.fixed32().map(drop),
        _ => Ok(()),
    })
}

fn log_record(message: &[u8]) -> Result<(), Malformed> {
    each(message, |number, value| match number {
        1 | 11 => value.fixed64().map(drop),
        2 | 7 => value.varint().map(drop),
        3 | 12 => value.utf8().map(drop),
        5 => any_value(value.bytes()?, 0),
        6 => key_value(value.bytes()?, 0),
        8 => value.fixed32().map(drop),
        9 | 10 => value.bytes().map(drop),
        _ => Ok(()),
    })
}

#[inline]
fn key_value(message: &[u8], depth: usize) -> Result<(), Malformed> {
    each(message, |number, value| match number {
        1 => value.utf8().map(drop),
        2 => any_value(value.bytes()?, depth),
        _ => Ok(()),
    })
}

#[inline]
fn any_value(message: &[u8], depth: usize) -> Result<(), Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed::new("attribute values are nested too deeply"));
    }
    each(message, |number, value| match number {
        1 => value.utf8().map(drop),
        2 | 3 => value.varint().map(drop),
        4 => value.fixed64().map(drop),
        5 => each(value.bytes()?, |number, value| if number == 1 { any_value(value.bytes()?, depth + 1) } else { Ok(()) }),
        6 => each(value.bytes()?, |number, value| if number == 1 { key_value(value.bytes()?, depth + 1) } else { Ok(()) }),
        7 => value.bytes().map(drop),
        _ => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::wire::put_field;

    fn nested(depth: usize) -> Vec<u8> {
        let mut value = Vec::new();
        for _ in 0..depth {
            let mut array = Vec::new();
            put_field(&mut array, 1, &value);
            value.clear();
            put_field(&mut value, 5, &array);
        }
        value
    }

    #[test]
    fn values_nested_beyond_reason_are_refused() {
        assert!(any_value(&nested(20), 0).is_ok());
        assert!(any_value(&nested(10_000), 0).is_err());
    }
}
