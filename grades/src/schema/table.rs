//! Tables that are defined with their keys: `table!`.

use toml::Table;

use super::{Key, Section};
use crate::error::Problems;

/// A table of a configuration that `table!` defines.
pub trait ConfigTable: Sized {
    /// Its name.
    const NAME: &'static str;
    /// Its purpose.
    const ABOUT: &'static str;
    /// Its keys.
    const KEYS: &'static [Key];

    /// Reads every key of an open table; `None` when one cannot be used. `condition` says whether the condition of
    /// [`Field::or`](super::field::Field::or) is met.
    fn read_if(section: &mut Section<'_>, condition: bool) -> Option<Self>;

    /// Reads every key of an open table; `None` when one cannot be used.
    fn read(section: &mut Section<'_>) -> Option<Self> {
        Self::read_if(section, false)
    }

    /// Adds a problem for each value that reading would refuse, for tables that are made in code.
    fn check(&self, problems: &mut Problems);

    /// Writes every key that has a value.
    fn to_table(&self) -> Table;
}

/// Defines a table of a configuration: a struct, and the help, default and accepted values of each key.
///
/// Each key is `/// help`, `name: type = field`, with a [`field`](crate::schema::field). The struct gets [`ConfigTable`], and
/// `Default` where `: Default` follows its name and every key has a default.
///
/// ```
/// use grades::Problems;
/// use grades::schema::field::{SHARE, count, number};
/// use grades::schema::{ConfigTable, Section, table};
///
/// table! {
///     /// When a component freezes.
///     #[derive(Debug, PartialEq)]
///     struct Keys: Default = "freezing.policy" {
///         /// The share of the peak.
///         rho: f64 = number(0.5, SHARE),
///         /// Checks in a row.
///         hits: u64 = count(5, 1),
///     }
/// }
///
/// let table = "rho = 0.25".parse()?;
/// let mut problems = Problems::default();
/// let keys = Keys::read(&mut Section::new(Keys::NAME, &table, Keys::KEYS, &mut problems));
/// assert_eq!(keys, Some(Keys { rho: 0.25, hits: 5 }));
/// assert_eq!(Keys::default().to_table(), "rho = 0.5\nhits = 5".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __table {
    (
        $(#[doc = $about:literal])+
        #[derive($($derive:path),+)]
        $visibility:vis struct $table:ident: Default = $name:literal {
            $( $(#[doc = $help:literal])+ $key:ident: $type:ty = $field:expr, )+
        }
    ) => {
        $crate::schema::table! {
            $(#[doc = $about])+
            #[derive($($derive),+)]
            $visibility struct $table = $name {
                $( $(#[doc = $help])+ $key: $type = $field, )+
            }
        }

        impl ::std::default::Default for $table {
            fn default() -> Self {
                // Bound at once: a key must not hide a function that a later field is made by.
                let ($($key,)+) = ($({
                    let field: $crate::schema::field::Field<$type> = $field;
                    field.into_default()
                },)+);
                Self { $($key),+ }
            }
        }
    };
    (
        $(#[doc = $about:literal])+
        #[derive($($derive:path),+)]
        $visibility:vis struct $table:ident = $name:literal {
            $( $(#[doc = $help:literal])+ $key:ident: $type:ty = $field:expr, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive($($derive),+)]
        $visibility struct $table {
            $( $(#[doc = $help])+ $visibility $key: $type, )+
        }

        impl $crate::schema::ConfigTable for $table {
            const NAME: &'static str = $name;
            const ABOUT: &'static str = $crate::__private::doc_text(concat!($($about),+));
            const KEYS: &'static [$crate::schema::Key] = &[$(
                $crate::schema::Key::described(stringify!($key), concat!($($help),+), || {
                    $crate::schema::field::KeyField::<$type>::facts(&$field)
                }),
            )+];

            fn read_if(section: &mut $crate::schema::Section<'_>, condition: bool) -> Option<Self> {
                let ($($key,)+) = ($(
                    $crate::schema::field::KeyField::<$type>::read($field, section, stringify!($key), condition),
                )+);
                Some(Self { $($key: $key?),+ })
            }

            fn check(&self, problems: &mut $crate::Problems) {
                $(
                    if let Some(problem) = $crate::schema::field::KeyField::<$type>::check(&$field, &self.$key) {
                        problems.push(stringify!($key), problem);
                    }
                )+
            }

            fn to_table(&self) -> $crate::__private::toml::Table {
                let values = [$(
                    (stringify!($key), $crate::__private::toml::Value::try_from(&self.$key).ok()),
                )+];
                let given = values.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
                given.collect()
            }
        }
    };
}
#[doc(inline)]
pub use crate::__table as table;
