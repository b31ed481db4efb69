//! Reads inputs and states out of JSON values.
//!
//! serde_json's own reader would do, but is a twelfth of the component: for each type it can also read a struct out of an
//! array, and it holds each number against the floating point that it might be. Here a struct is an object, and a number
//! that a field asks for is an integer of 64 bits.

use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value, map};

use crate::action::Fields;

/// Reads an object.
pub(crate) fn object<T: DeserializeOwned>(fields: &Fields) -> Result<T, Error> {
    T::deserialize(MapAccessDeserializer::new(Entries::of(fields)))
}

/// Reads any value.
pub(crate) fn value<T: DeserializeOwned>(value: &Value) -> Result<T, Error> {
    T::deserialize(Reader(value))
}

#[derive(Clone, Copy)]
struct Reader<'a>(&'a Value);

impl Reader<'_> {
    fn misfit(self, expected: &dyn Expected) -> Error {
        let found = match self.0 {
            Value::Null => Unexpected::Unit,
            Value::Bool(flag) => Unexpected::Bool(*flag),
            Value::Number(_) => Unexpected::Other("number"),
            Value::String(text) => Unexpected::Str(text),
            Value::Array(_) => Unexpected::Seq,
            Value::Object(_) => Unexpected::Map,
        };
        Error::invalid_type(found, expected)
    }

    fn integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match (self.0.as_u64(), self.0.as_i64()) {
            (Some(number), _) => visitor.visit_u64(number),
            (None, Some(number)) => visitor.visit_i64(number),
            (None, None) => Err(self.misfit(&visitor)),
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Error;

    /// For fields of any type: what is in them stays what it is, each digit of a number too.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Number(number) => {
                serde_json::Deserializer::from_str(number.as_str()).deserialize_any(visitor)
            }
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Items(items.iter())),
            Value::Object(fields) => visitor.visit_map(Entries::of(fields)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Bool(flag) => visitor.visit_bool(*flag),
            _ => Err(self.misfit(&visitor)),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.integer(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.integer(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::String(text) => visitor.visit_borrowed_str(text),
            _ => Err(self.misfit(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            _ => Err(self.misfit(&visitor)),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::Array(items) = self.0 else { return Err(self.misfit(&visitor)) };
        let mut items = Items(items.iter());
        let read = visitor.visit_seq(&mut items)?;
        items.ended()?;
        Ok(read)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _size: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _size: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(fields) => visitor.visit_map(Entries::of(fields)),
            _ => Err(self.misfit(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    /// A variant is its name, or an object with its name and what is in it.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.variant() {
            Some(variant) => visitor.visit_enum(variant),
            None => Err(self.misfit(&visitor)),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 u8 u16 f32 f64 char bytes byte_buf identifier ignored_any
    }
}

impl<'a> Reader<'a> {
    fn variant(self) -> Option<Variant<'a>> {
        match self.0 {
            Value::String(name) => Some(Variant { name, content: &Value::Null }),
            Value::Object(fields) if fields.len() == 1 => {
                let (name, content) = fields.iter().next()?;
                Some(Variant { name, content })
            }
            _ => None,
        }
    }
}

struct Items<'a>(std::slice::Iter<'a, Value>);

impl Items<'_> {
    fn ended(self) -> Result<(), Error> {
        match self.0.len() {
            0 => Ok(()),
            more => Err(Error::custom(format!("{more} elements too many"))),
        }
    }
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|item| seed.deserialize(Reader(item))).transpose()
    }
}

struct Entries<'a> {
    left: map::Iter<'a>,
    /// What belongs to the key that was read last.
    content: &'a Value,
}

impl<'a> Entries<'a> {
    fn of(fields: &'a Fields) -> Self {
        Self { left: fields.iter(), content: &Value::Null }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((key, content)) = self.left.next() else { return Ok(None) };
        self.content = content;
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(Reader(self.content))
    }
}

struct Variant<'a> {
    name: &'a str,
    content: &'a Value,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Error;
    type Variant = Reader<'de>;

    fn variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<(T::Value, Reader<'de>), Error> {
        let name = seed.deserialize(BorrowedStrDeserializer::new(self.name))?;
        Ok((name, Reader(self.content)))
    }
}

impl<'de> VariantAccess<'de> for Reader<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.0 {
            Value::Null => Ok(()),
            _ => Err(self.misfit(&"a name alone")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _size: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Form {
        text: String,
        number: Option<u32>,
        #[serde(default)]
        flag: bool,
        any: Option<Value>,
        list: Option<Vec<Part>>,
        choice: Option<Choice>,
        row: Option<(u64, [u32; 2])>,
        nothing: Option<()>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Part {
        key: Name,
        other: Option<Fields>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Name(String);

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Choice {
        One,
        Two(Name),
        Three { key: u32 },
        Four(u32, u32),
    }

    fn anything() -> impl Strategy<Value = Value> {
        let digits = prop_oneof!["-?[1-9][0-9]{0,30}", "-?[0-9]\\.[0-9]{1,30}", "[1-9]e[1-9]{1,2}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            digits.prop_map(|digits| Value::Number(digits.parse().unwrap())),
            any::<u64>().prop_map(Value::from),
            (0_u32..9).prop_map(Value::from),
            "one|two|[a-zé\"]{0,4}".prop_map(Value::from),
        ];
        let keys = "one|two|three|four|key|other|[a-z]{1,2}";
        leaf.prop_recursive(3, 12, 3, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((keys, inner), 0..3)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn form() -> impl Strategy<Value = Value> {
        let keys = "text|number|flag|any|list|choice|row|nothing|x";
        prop::collection::vec((keys, anything()), 0..6).prop_map(|fields| {
            let mut form = json!({ "text": "t" });
            form.as_object_mut().unwrap().extend(fields);
            form
        })
    }

    /// serde_json also reads a struct out of an array.
    fn is_lenient(value: &Value) -> bool {
        let is_array = |pointer: &str| value.pointer(pointer).is_some_and(Value::is_array);
        ["/list/0", "/list/1", "/list/2", "/three", "/choice/three"].into_iter().any(is_array)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        #[test]
        fn forms_are_read_as_serde_json_reads_them(given in form()) {
            prop_assume!(!is_lenient(&given));
            let read = object::<Form>(given.as_object().unwrap());
            prop_assert_eq!(read.ok(), serde_json::from_value(given).ok());
        }

        #[test]
        fn parts_are_read_as_serde_json_reads_them(given in anything()) {
            prop_assume!(!is_lenient(&given));
            let (choice, row, names) = (value(&given), value(&given), value(&given));
            prop_assert_eq!(choice.ok(), serde_json::from_value::<Choice>(given.clone()).ok());
            prop_assert_eq!(row.ok(), serde_json::from_value::<(u64, [u32; 2])>(given.clone()).ok());
            prop_assert_eq!(names.ok(), serde_json::from_value::<Vec<Option<Name>>>(given).ok());
        }

        #[test]
        fn any_value_stays_what_it_is(given in anything()) {
            prop_assert_eq!(value::<Value>(&given).unwrap(), given);
        }
    }

    #[test]
    fn what_does_not_fit_is_told_in_the_words_of_serde() {
        for (given, expected) in [
            (json!({}), "missing field `text`"),
            (json!({ "text": 1 }), "invalid type: number, expected a string"),
            (json!({ "text": "", "y": 1 }), "unknown field `y`, expected one of "),
            (
                json!({ "text": "", "number": 4_294_967_296_u64 }),
                "invalid value: integer `4294967296`, expected u32",
            ),
            (json!({ "text": "", "number": -1 }), "invalid value: integer `-1`, expected u32"),
            (json!({ "text": "", "number": 1.5 }), "invalid type: number, expected u32"),
            (json!({ "text": "", "choice": "five" }), "unknown variant `five`, expected one of "),
            (
                json!({ "text": "", "list": [["a"]] }),
                "invalid type: sequence, expected struct Part",
            ),
            (json!({ "text": "", "row": [1, [2, 3], 4] }), "1 elements too many"),
        ] {
            let error = object::<Form>(given.as_object().unwrap()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{given}: {error}");
        }
    }
}
