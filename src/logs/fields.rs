//! What a line says beside what all lines say: kept as text, which takes a tenth of the memory that parsed JSON does.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

/// An object whose values stay as they were written: no digit of a long number is lost.
pub(super) type Object = BTreeMap<String, Box<RawValue>>;

/// A JSON object on one line. Its values can all be parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Box<str>);

impl Fields {
    /// `value` is an object; anything else is no fields.
    pub fn of(value: &impl Serialize) -> Self {
        match serde_json::to_string(value) {
            Ok(text) if text.starts_with('{') && text != "{}" => Self(text.into()),
            _ => Self::default(),
        }
    }

    pub(super) fn of_object(object: Object) -> Self {
        let object: BTreeMap<_, _> = object.into_iter().map(|(key, value)| (key, sound(value))).collect();
        Self::of(&object)
    }

    pub fn json(&self) -> &str {
        if self.0.is_empty() { "{}" } else { &self.0 }
    }

    /// Keys and values in the order of the keys.
    pub(super) fn entries(&self) -> Object {
        serde_json::from_str(self.json()).unwrap_or_default()
    }
}

/// An object, where `text` is one and only that.
pub(super) fn object(text: &str) -> Option<Object> {
    text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok()).flatten()
}

/// Whether `text` is JSON; cheap.
pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// A string without its quotes and escapes, anything else as it is written.
pub(super) fn plain(raw: &RawValue) -> Cow<'_, str> {
    match serde_json::from_str(raw.get()) {
        Ok(text) => Cow::Owned(text),
        Err(_) => raw.get().into(),
    }
}

/// What readers would refuse becomes text: numbers beyond all bounds, half characters, a thousand brackets. Outside of text there
/// is white space that would end the line.
fn sound(raw: Box<RawValue>) -> Box<RawValue> {
    const SPACE: [char; 3] = ['\n', '\r', '\t'];
    let is_sound = serde_json::from_str::<Value>(raw.get()).is_ok();
    if is_sound && !raw.get().contains(SPACE) {
        return raw;
    }
    let text = raw.get().replace(SPACE, " ");
    let text = if is_sound { text } else { Value::String(text).to_string() };
    RawValue::from_string(text).unwrap_or(raw)
}
