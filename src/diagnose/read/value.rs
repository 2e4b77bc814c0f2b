//! Values as the two formats write them: times, and attributes of any type as text.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A whole number: as such, as a text (OTLP has 64 bits as text), or with a fraction that is rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Whole(pub i128);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor)
    }
}

struct WholeVisitor;

impl Visitor<'_> for WholeVisitor {
    type Value = Whole;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Whole, E> {
        Ok(Whole(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Whole, E> {
        Ok(Whole(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Whole, E> {
        Ok(Whole(number.round() as i128))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Whole, E> {
        text.parse().map(Whole).map_err(|_| E::custom("no number"))
    }

    fn visit_unit<E: Error>(self) -> Result<Whole, E> {
        Ok(Whole(0))
    }
}

/// A text, empty where it is null. (serde copies what is an `Option<Cow<str>>`.)
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Str<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(PlainVisitor)? {
            Scalar::Text(text) => Ok(Self(text)),
            Scalar::Nothing => Ok(Self::default()),
            other => Ok(Self(other.text(&mut String::new()).unwrap_or_default().to_owned().into())),
        }
    }
}

/// A list, empty where it is null.
#[derive(Clone, Debug)]
pub(super) struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|list| Self(list.unwrap_or_default()))
    }
}

/// What an attribute is worth, as text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Text(Cow<'a, str>),
    /// A number that came as text.
    Digits(Cow<'a, str>),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
    /// Null or nothing.
    Nothing,
}

impl Scalar<'_> {
    /// The text, written to `scratch` where it is not one yet.
    pub fn text<'s>(&'s self, scratch: &'s mut String) -> Option<&'s str> {
        scratch.clear();
        let written = match self {
            Self::Text(text) | Self::Digits(text) => return Some(text),
            Self::Bool(value) => return Some(if *value { "true" } else { "false" }),
            Self::Nothing => return None,
            Self::Int(value) => write!(scratch, "{value}"),
            Self::Unsigned(value) => write!(scratch, "{value}"),
            Self::Float(value) => write!(scratch, "{value}"),
        };
        written.is_ok().then_some(scratch)
    }

    pub fn number(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Unsigned(value) => i64::try_from(*value).ok(),
            Self::Text(text) | Self::Digits(text) => text.parse().ok(),
            _ => None,
        }
    }

    pub fn is_true(&self) -> bool {
        match self {
            Self::Bool(value) => *value,
            Self::Text(text) => text.eq_ignore_ascii_case("true") || text == "1",
            Self::Int(value) => *value == 1,
            Self::Unsigned(value) => *value == 1,
            _ => false,
        }
    }
}

/// A plain JSON value: what Jaeger has in its tags. Lists and objects there are texts already; one that is not is left out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plain<'a>(pub Scalar<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Plain<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor).map(Self)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Unsigned(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(value))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nothing)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nothing)
    }
}

/// OTLP's `{"stringValue":…}`; lists and maps of values become text in the shape of JSON, as Jaeger shows them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Any<'a>(pub Scalar<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Any<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor).map(Self)
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Type {
    StringValue,
    IntValue,
    BoolValue,
    DoubleValue,
    BytesValue,
    ArrayValue,
    KvlistValue,
    #[serde(other)]
    Other,
}

#[derive(serde::Deserialize)]
struct Values<'a> {
    #[serde(borrow, default)]
    values: Vec<Any<'a>>,
}

#[derive(serde::Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    values: Vec<KeyValue<'a>>,
}

#[derive(serde::Deserialize)]
pub(super) struct KeyValue<'a> {
    #[serde(borrow)]
    pub key: Cow<'a, str>,
    #[serde(borrow, default = "nothing")]
    pub value: Any<'a>,
}

fn nothing<'a>() -> Any<'a> {
    Any(Scalar::Nothing)
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value with its type")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Nothing)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut found = Scalar::Nothing;
        while let Some(of) = fields.next_key::<Type>()? {
            found = match of {
                Type::StringValue | Type::BytesValue | Type::BoolValue => fields.next_value::<Plain>()?.0,
                Type::IntValue | Type::DoubleValue => match fields.next_value::<Plain>()?.0 {
                    Scalar::Text(text) => Scalar::Digits(text),
                    number => number,
                },
                Type::ArrayValue => {
                    let list = fields.next_value::<Values>()?.values;
                    let items: Vec<String> = list.iter().map(|Any(item)| json(item)).collect();
                    Scalar::Text(format!("[{}]", items.join(",")).into())
                }
                Type::KvlistValue => {
                    let list = fields.next_value::<Fields>()?.values;
                    let items =
                        list.iter().map(|field| format!("{}:{}", json(&Scalar::Text((*field.key).into())), json(&field.value.0)));
                    Scalar::Text(format!("{{{}}}", items.collect::<Vec<_>>().join(",")).into())
                }
                Type::Other => {
                    fields.next_value::<IgnoredAny>()?;
                    found
                }
            };
        }
        Ok(found)
    }
}

fn json(value: &Scalar<'_>) -> String {
    match value {
        Scalar::Text(text) if text.starts_with(['[', '{']) => text.to_string(),
        Scalar::Text(text) => serde_json::Value::from(&**text).to_string(),
        Scalar::Nothing => "null".to_owned(),
        other => other.text(&mut String::new()).unwrap_or_default().to_owned(),
    }
}
