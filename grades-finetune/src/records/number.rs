//! Numbers as JSON has them: null for what is not finite, and whole numbers of any size.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Returns the default of a number whose 0 would be a value.
pub(super) fn nan() -> f64 {
    f64::NAN
}

/// Returns whether a number is 0, as it is where something was not used.
pub(super) fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// Reads null, which is how JSON writes what is not finite, as NaN.
pub(super) fn nan_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// Reads a whole number, also one that is written as a float (`1e18`) or that a flattened struct has buffered.
pub(super) fn whole<'de, D: Deserializer<'de>, T: TryFrom<u128>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Whole(PhantomData))
}

/// Reads a whole number or null, as [`whole`].
pub(super) fn whole_or_null<'de, D: Deserializer<'de>, T: TryFrom<u128>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_option(OrNull(PhantomData))
}

struct Whole<T>(PhantomData<T>);

impl<T: TryFrom<u128>> Visitor<'_> for Whole<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        self.visit_u128(value.into())
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<T, E> {
        T::try_from(value).map_err(|_| E::custom(format!("the number {value} is too large")))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        if value >= 0.0 && value.fract() == 0.0 && value < u128::MAX as f64 {
            return self.visit_u128(value as u128);
        }
        Err(E::custom(format!("invalid number {value}, expected a whole number")))
    }
}

struct OrNull<T>(PhantomData<T>);

impl<'de, T: TryFrom<u128>> Visitor<'de> for OrNull<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number or null")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        whole(deserializer).map(Some)
    }
}
