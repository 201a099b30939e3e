//! The macros with which a plugin declares its options.

/// Declares a table of options: a struct with documented fields, their names, types and defaults in
/// one place.
///
/// It generates the struct, `Default`, `Deserialize` (unknown keys are errors, missing ones keep
/// their default), [`Config`](crate::config::Config) with the schema, and
/// [`ConfigValue`](crate::config::ConfigValue), so that one table can be an option of another.
///
/// - `#[alias("old_name", ...)]` on a field: other names of the key.
/// - `#[flatten]` on a field of such a type: its keys stand in this table, not in a table of their
///   own.
/// - A field `r#type` is the key `type`.
/// - `refused { "key" = "reason", ... }` behind the struct: keys that users may bring along and
///   that are refused.
///
/// ```
/// use headwater_plugin_api::config::Duration;
///
/// headwater_plugin_api::config! {
///     /// Reads the weather.
///     pub struct WeatherConfig {
///         /// Stations to ask, as globs; empty for all.
///         #[alias("station_names")]
///         pub stations: Vec<String> = Vec::new(),
///         /// How long to wait for an answer.
///         pub timeout: Duration = Duration::from_secs(5),
///     }
///     refused {
///         "proxy" = "there is none to talk to; remove it",
///     }
/// }
///
/// let config: WeatherConfig = headwater_plugin_api::config::parse("timeout = '1m'").unwrap();
/// assert_eq!(config.timeout, Duration::from_secs(60));
/// assert!(headwater_plugin_api::config::parse::<WeatherConfig>("proxy = 1").is_err());
/// ```
#[macro_export]
macro_rules! config {
    (
        $(#[doc = $doc:expr])*
        $(#[derive($($derive:path),* $(,)?)])?
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $field_doc:expr])*
                $(#[alias($($alias:expr),+ $(,)?)])?
                // The lifetime is never written: it only lets the expansion see whether the
                // attribute is there.
                $(#[flatten $($flatten:lifetime)?])?
                $field_vis:vis $field:ident : $ty:ty = $default:expr
            ),*
            $(,)?
        }
        $(refused { $($refused_key:literal = $reason:expr),* $(,)? })?
    ) => {
        $(#[doc = $doc])*
        $(#[derive($($derive),*)])?
        #[derive(Debug, Clone)]
        $vis struct $name {
            $(
                $(#[doc = $field_doc])*
                $field_vis $field: $ty,
            )*
        }

        impl ::core::default::Default for $name {
            fn default() -> Self {
                Self { $($field: $default),* }
            }
        }

        impl $crate::config::Config for $name {
            fn schema() -> $crate::config::TableSchema {
                #[allow(unused_mut)]
                let mut builder = $crate::config::SchemaBuilder::new(&[$($doc),*]);
                #[allow(unused_variables)]
                let defaults = <Self as ::core::default::Default>::default();
                $(
                    builder.field::<$ty>(
                        stringify!($field),
                        &[$($field_doc),*],
                        &[$($($alias),+)?],
                        false $(|| { $($flatten)? true })?,
                        &defaults.$field,
                    );
                )*
                $($(builder.refuse($refused_key, $reason);)*)?
                builder.finish()
            }

            #[allow(unused_variables)]
            fn read_key<'de, A: $crate::config::serde::de::MapAccess<'de>>(
                &mut self,
                key: &str,
                map: &mut A,
            ) -> ::core::result::Result<bool, A::Error> {
                $(
                    if false $(|| { $($flatten)? true })? {
                        if $crate::config::ConfigValue::read_flat(&mut self.$field, key, map)? {
                            return Ok(true);
                        }
                    } else if $crate::config::is_key(key, stringify!($field), &[$($($alias),+)?]) {
                        self.$field = map.next_value()?;
                        return Ok(true);
                    }
                )*
                Ok(false)
            }
        }

        impl $crate::config::ConfigValue for $name {
            fn kind() -> $crate::config::Kind {
                $crate::config::Kind::Table
            }

            fn table() -> ::core::option::Option<$crate::config::TableSchema> {
                Some(<Self as $crate::config::Config>::schema())
            }

            fn to_text(&self) -> ::core::option::Option<::std::string::String> {
                $crate::config::inline_table(
                    [$((
                        $crate::config::key_name(stringify!($field)),
                        $crate::config::ConfigValue::to_text(&self.$field),
                    )),*]
                    .into_iter(),
                )
            }

            fn read_flat<'de, A: $crate::config::serde::de::MapAccess<'de>>(
                &mut self,
                key: &str,
                map: &mut A,
            ) -> ::core::result::Result<bool, A::Error> {
                $crate::config::Config::read_key(self, key, map)
            }
        }

        impl<'de> $crate::config::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::config::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                $crate::config::read_table(deserializer)
            }
        }
    };
}

/// Declares an option that takes one of a few words.
///
/// ```
/// headwater_plugin_api::choice! {
///     /// How the body is packed.
///     pub enum Encoding {
///         /// As it is.
///         Identity = "identity",
///         Gzip = "gzip",
///     }
/// }
///
/// headwater_plugin_api::config! {
///     pub struct Upload {
///         /// How the body is packed.
///         pub encoding: Encoding = Encoding::Gzip,
///     }
/// }
///
/// let upload: Upload = headwater_plugin_api::config::parse("encoding = 'identity'").unwrap();
/// assert_eq!(upload.encoding, Encoding::Identity);
/// ```
#[macro_export]
macro_rules! choice {
    (
        $(#[doc = $doc:expr])*
        $vis:vis enum $name:ident {
            $(
                $(#[doc = $variant_doc:expr])*
                $variant:ident = $word:literal
            ),+
            $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $(
                $(#[doc = $variant_doc])*
                $variant,
            )+
        }

        impl $name {
            /// The word that stands in the configuration.
            #[allow(dead_code)]
            $vis const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl $crate::config::ConfigValue for $name {
            fn kind() -> $crate::config::Kind {
                $crate::config::Kind::Choice
            }

            fn choices() -> &'static [&'static str] {
                &[$($word),+]
            }

            fn to_text(&self) -> ::core::option::Option<::std::string::String> {
                Some($crate::config::quote(self.word()))
            }
        }

        impl<'de> $crate::config::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::config::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                $crate::config::read_choice(deserializer, &[$(($word, Self::$variant)),+])
            }
        }
    };
}
