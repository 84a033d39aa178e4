//! Enums whose values are words on the wire, and that survive words they do not know.
//!
//! CRDs that Karpenter installed are never overwritten, and replicas of different versions run side by
//! side during a rollout: an object may hold a word that this version has never heard of. Failing to
//! read it would stop a whole watch for one object, so the word is kept in `Other`, written back
//! unchanged, and whoever decides must say what it does with it.

/// Defines an enum of words: `Variant = "word"` for each, and `Other(String)` for all the rest.
macro_rules! text_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $word:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )+
            /// A word that this version does not know.
            Other(String),
        }

        impl $name {
            /// The words that the schema admits.
            pub const WORDS: &[&str] = &[$($word),+];

            /// The word on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$variant => $word, )+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $( $word => Self::$variant, )+
                    _ => Self::Other(word.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Ok(Self::from(word.as_ref()))
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": Self::WORDS })
            }
        }
    };
}

pub(crate) use text_enum;

#[cfg(test)]
mod tests {
    text_enum! {
        /// Sizes.
        pub enum Size {
            /// Small.
            Small = "small",
            /// Large.
            Large = "LARGE",
        }
    }

    #[test]
    fn a_known_word_becomes_its_variant_and_an_unknown_one_survives() {
        for (word, expected) in [
            ("small", Size::Small),
            ("LARGE", Size::Large),
            ("Small", Size::Other("Small".to_owned())),
            ("", Size::Other(String::new())),
        ] {
            let json = serde_json::to_string(word).expect("a string is JSON");
            let read: Size = serde_json::from_str(&json).expect("every word is read");
            assert_eq!(read, expected);
            assert_eq!(serde_json::to_string(&read).expect("every word is written"), json);
        }
        assert_eq!(Size::WORDS, ["small", "LARGE"]);
    }
}
