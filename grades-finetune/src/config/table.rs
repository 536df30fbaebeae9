//! The tables of a configuration: a struct, its keys, their defaults and their help in one definition.

use grades::Problems;
use grades::schema::{Key, Section};
use toml::Table;

use super::describe::TableInfo;

/// A table of the configuration that [`table!`] defines.
pub(super) trait ConfigTable: Sized {
    /// Its name.
    const NAME: &'static str;
    /// Its keys.
    const KEYS: &'static [Key];

    /// Reads every key; `met` says whether the condition of a default that depends on another table is met.
    fn read_keys(section: &mut Section<'_>, met: bool) -> Option<Self>;

    /// Describes the table.
    fn describe() -> TableInfo;

    /// Reads the table.
    fn read(table: &Table, met: bool, problems: &mut Problems) -> Option<Self> {
        Self::read_keys(&mut Section::new(Self::NAME, table, Self::KEYS, problems), met)
    }
}

/// Defines a table: `/// help`, `key: type = field`, where the field has the default and the accepted values.
macro_rules! table {
    (
        $(#[doc = $about:literal])+
        #[derive($($derive:path),+)]
        pub struct $table:ident = $name:literal {
            $( $(#[doc = $help:literal])+ $key:ident: $type:ty = $field:expr, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive($($derive),+)]
        pub struct $table {
            $( $(#[doc = $help])+ pub $key: $type, )+
        }

        impl $crate::config::table::ConfigTable for $table {
            const NAME: &'static str = $name;
            const KEYS: &'static [grades::schema::Key] =
                &[$(grades::schema::Key::new(stringify!($key), concat!($($help),+))),+];

            fn read_keys(section: &mut grades::schema::Section<'_>, met: bool) -> Option<Self> {
                // Bound at once: a key must not hide a function that a later field is made by.
                let ($($key,)+) = (
                    $({
                        let field: $crate::config::field::Field<$type> = $field;
                        field.read(section, stringify!($key), met)
                    },)+
                );
                Some(Self { $($key: $key?),+ })
            }

            fn describe() -> $crate::config::describe::TableInfo {
                $crate::config::describe::TableInfo {
                    name: $name.to_owned(),
                    about: concat!($($about),+).trim().trim_end_matches('.').to_owned(),
                    optional: false,
                    keys: vec![
                        $({
                            let field: $crate::config::field::Field<$type> = $field;
                            field.describe(stringify!($key), concat!($($help),+))
                        }),+
                    ],
                }
            }
        }
    };
}
pub(super) use table;
