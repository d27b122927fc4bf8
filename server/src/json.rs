//! Strict JSON: what serde lets through by itself is refused here.
//!
//! Owns the reading of a body and the naming of the field that is wrong. Never knows what a field means. Invariant:
//! an object is read from an object only (not from an array, as serde's derive would), each key once, no key that
//! the type does not have; numbers, strings and nulls are never taken for one another. The good case is parsed once;
//! only a bad body is parsed a second time, with the path tracked.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_path_to_error::Segment;

use crate::problem::{Code, Problem};

/// Reads a whole body.
pub(crate) fn parse<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|_| locate::<T>(body))
}

/// Parses a bad body again to find the field.
#[cold]
fn locate<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Problem {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let malformed = |detail: String| Problem::new(Code::Malformed, detail);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => malformed(
            deserializer.end().map_or_else(|error| error.to_string(), |()| "malformed JSON".to_owned()),
        ),
        Err(error) => {
            let message = error.inner().to_string();
            match pointer(error.path(), &message) {
                pointer if pointer.is_empty() => malformed(message),
                pointer => malformed(message).field(pointer),
            }
        }
    }
}

/// The JSON Pointer of an error. An object's own faults are found in its message: serde names the key only there.
fn pointer(path: &serde_path_to_error::Path, message: &str) -> String {
    let mut pointer = String::new();
    let mut last = None;
    for segment in path {
        let key = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.clone(),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        push_key(&mut pointer, &key);
        last = Some(key);
    }
    let quoted = ["missing field `", "duplicate field `", "unknown field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start))
        .and_then(|rest| rest.split_once('`'))
        .map(|(key, _)| key);
    if let Some(key) = quoted.filter(|&key| last.as_deref() != Some(key)) {
        push_key(&mut pointer, key);
    }
    pointer
}

/// Appends a key to a JSON Pointer.
fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

/// A value that is read from a JSON object, and from nothing else.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// What can be read from a text.
pub(crate) trait FromText: Sized {
    /// Completes "expected …".
    const EXPECTED: &'static str;

    /// Reads a text; `None` if it is not [`FromText::EXPECTED`].
    fn from_text(text: &str) -> Option<Self>;
}

/// A value that is read from a JSON string.
pub(crate) struct Text<T>(pub(crate) T);

impl<'de, T: FromText> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<T>(PhantomData<T>);

        impl<T: FromText> Visitor<'_> for TextVisitor<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::from_text(text).map(Text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(TextVisitor(PhantomData))
    }
}

/// A whole number of a range.
#[derive(Clone, Copy)]
pub(crate) struct Ranged<const MIN: u32, const MAX: u32>(pub(crate) u32);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Ranged<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RangedVisitor<const MIN: u32, const MAX: u32>;

        impl<const MIN: u32, const MAX: u32> Visitor<'_> for RangedVisitor<MIN, MAX> {
            type Value = Ranged<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                u32::try_from(number)
                    .ok()
                    .filter(|number| (MIN..=MAX).contains(number))
                    .map(Ranged)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }
        }

        deserializer.deserialize_u64(RangedVisitor::<MIN, MAX>)
    }
}

/// A field for which `null` means something else than being absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Nullable<T> {
    /// Not mentioned.
    #[default]
    Absent,
    /// `null`.
    Null,
    /// A value.
    Value(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nullable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Value))
    }
}

/// Reads an array element by element into `collect`, whose error is the array's.
pub(crate) fn read_elements<'de, T, D>(
    deserializer: D,
    expected: &'static str,
    collect: impl FnMut(T) -> Result<(), String>,
) -> Result<(), D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_seq(Each { collect, expected, types: PhantomData })
}

/// Reads an object pair by pair into `collect`, whose error is the object's.
pub(crate) fn read_pairs<'de, K, V, D>(
    deserializer: D,
    expected: &'static str,
    collect: impl FnMut((K, V)) -> Result<(), String>,
) -> Result<(), D::Error>
where
    K: Deserialize<'de>,
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_map(EachPair(Each { collect, expected, types: PhantomData }))
}

struct Each<F, T> {
    collect: F,
    expected: &'static str,
    types: PhantomData<T>,
}

struct EachPair<F, K, V>(Each<F, (K, V)>);

impl<'de, F, T> Visitor<'de> for Each<F, T>
where
    T: Deserialize<'de>,
    F: FnMut(T) -> Result<(), String>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element()? {
            (self.collect)(element).map_err(de::Error::custom)?;
        }
        Ok(())
    }
}

impl<'de, F, K, V> Visitor<'de> for EachPair<F, K, V>
where
    K: Deserialize<'de>,
    V: Deserialize<'de>,
    F: FnMut((K, V)) -> Result<(), String>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.expected)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(pair) = map.next_entry()? {
            (self.0.collect)(pair).map_err(de::Error::custom)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Word;

    impl FromText for Word {
        const EXPECTED: &'static str = "a word";

        fn from_text(text: &str) -> Option<Self> {
            text.bytes().all(|byte| byte.is_ascii_lowercase()).then_some(Self)
        }
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Outer {
        word: Text<Word>,
        count: Option<Ranged<1, 5>>,
        #[serde(default)]
        inner: Vec<Object<Inner>>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Inner {
        word: Text<Word>,
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        let check = |body: &[u8], field: &str| {
            let text = String::from_utf8_lossy(body);
            let problem = match parse::<Object<Outer>>(body) {
                Ok(_) => panic!("{text} was taken"),
                Err(problem) => problem,
            };
            assert_eq!(problem.code(), Code::Malformed, "{text}");
            assert_eq!(problem.field_pointer().unwrap_or_default(), field, "{text}: {}", problem.detail());
        };
        assert!(parse::<Object<Outer>>(br#" {"inner":[{"word":"a"}],"word":"a","count":null} "#).is_ok());
        for nothing in
            ["", " ", "null", "[]", "1", "\"a\"", "{", "nul", "{\"word\":\"a\"}x", "\u{feff}{\"word\":\"a\"}"]
        {
            check(nothing.as_bytes(), "");
        }
        check(b"{}", "/word");
        check(br#"["a",1,[]]"#, "");
        check(br#"{"word":"a","word":"a"}"#, "/word");
        check(br#"{"word":"a","other":1}"#, "/other");
        check(br#"{"word":"a","o/t~":1}"#, "/o~1t~0");
        check(br#"{"word":1}"#, "/word");
        check(br#"{"word":null}"#, "/word");
        check(br#"{"word":"A"}"#, "/word");
        check(b"{\"word\":\"\xff\"}", "/word");
        check(br#"{"word":"\ud800"}"#, "/word");
        for number in
            ["0", "6", "-1", "1.0", "1e0", "1e400", "NaN", "\"1\"", "4294967297", "99999999999999999999"]
        {
            check(format!("{{\"word\":\"a\",\"count\":{number}}}").as_bytes(), "/count");
        }
        check(br#"{"word":"a","inner":[{"word":"a"},{"word":"a","word":"b"}]}"#, "/inner/1/word");
        check(br#"{"word":"a","inner":[{"word":"a"},{}]}"#, "/inner/1/word");
        check(br#"{"word":"a","inner":[["a"]]}"#, "/inner/0");
        check(format!("{{\"word\":{}", "[".repeat(100_000)).as_bytes(), "/word");
    }
}
