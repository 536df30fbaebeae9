//! Rotary position embeddings (Su et al., arXiv 2104.09864), with Llama 3.1's scaling of the frequencies.

use serde_json::{Map, Value};
use tch::{Device, Kind, Tensor};

use super::architecture::Architecture;
use crate::error::{Error, Result};
use crate::files::Keys;

/// How queries and keys are rotated by their position.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RopeConfig {
    /// The base of the frequencies: the i-th of n is θ^(-i/n).
    pub theta: f64,
    /// The first elements of a head that are rotated; an even number.
    pub rotary_dim: i64,
    /// How the frequencies are changed for long contexts.
    pub scaling: Option<Llama3Scaling>,
}

/// Llama 3.1's scaling: low frequencies are divided by `factor`, high ones stay, those between are blended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Llama3Scaling {
    /// The divisor of low frequencies.
    pub factor: f64,
    /// Wavelengths longer than the original context divided by this are scaled in full.
    pub low_freq_factor: f64,
    /// Wavelengths shorter than the original context divided by this stay.
    pub high_freq_factor: f64,
    /// The context length of pre-training.
    pub original_max_position_embeddings: f64,
}

impl RopeConfig {
    /// Reads `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (transformers 4).
    pub(super) fn read(
        keys: &Keys<'_>,
        architecture: Architecture,
        head_dim: i64,
        longest: i64,
    ) -> Result<Self> {
        let (key, table) = match (table(keys, "rope_scaling")?, table(keys, "rope_parameters")?) {
            (Some(table), _) => ("rope_scaling", Some(table)),
            (None, table) => ("rope_parameters", table),
        };
        let empty = Map::new();
        let inner = Keys { raw: table.unwrap_or(&empty), path: keys.path };
        let kind = inner.text("rope_type")?.or(inner.text("type")?).unwrap_or("default");
        let scaling = match kind {
            "default" => None,
            // The class Phi3 knows no such type.
            "llama3" if architecture != Architecture::Phi3 => {
                Some(Llama3Scaling::read(&inner, key, longest)?)
            }
            other => {
                let known = if architecture == Architecture::Phi3 { "default" } else { "default, llama3" };
                return Err(keys.unsupported(key, &format!("rope_type {other}"), known));
            }
        };
        let theta = match inner.get("rope_theta") {
            Some(_) => inner.positive("rope_theta", 1e4)?,
            None => keys.positive("rope_theta", 1e4)?,
        };
        let above =
            |keys: &Keys<'_>| keys.number("partial_rotary_factor", 1.0, SHARE, |x| x > 0.0 && x <= 1.0);
        let share = if inner.get("partial_rotary_factor").is_some() { above(&inner)? } else { above(keys)? };
        if share < 1.0 && architecture != Architecture::Phi3 {
            return Err(keys.unsupported("partial_rotary_factor", &share.to_string(), "1.0 (all but phi3)"));
        }
        // A share of at most 1 of a size that was checked.
        let rotary_dim = (head_dim as f64 * share) as i64;
        if rotary_dim < 2 || rotary_dim % 2 != 0 {
            let message = format!("{rotary_dim} of {head_dim} elements of a head cannot be rotated in pairs");
            return Err(keys.error(if share < 1.0 { "partial_rotary_factor" } else { "head_dim" }, message));
        }
        Ok(Self { theta, rotary_dim, scaling })
    }

    /// Computes the angle per position of each pair, f32 `[rotary_dim / 2]`.
    pub(super) fn frequencies(&self, device: Device) -> Result<Tensor> {
        // In f32 and by torch's own power, as the models were trained.
        let exponents = Tensor::f_arange_start_step(0, self.rotary_dim, 2, (Kind::Float, Device::Cpu))?
            .f_div_scalar(self.rotary_dim as f64)?;
        let frequencies = Tensor::f_pow_scalar(self.theta, &exponents)?.f_reciprocal()?;
        let Some(scaling) = self.scaling else { return Ok(frequencies.f_to_device(device)?) };
        let frequencies = Vec::<f32>::try_from(frequencies)?;
        let frequencies: Vec<f32> =
            frequencies.into_iter().map(|frequency| scaling.apply(frequency)).collect();
        Ok(Tensor::f_from_slice(&frequencies)?.f_to_device(device)?)
    }
}

const SHARE: &str = "a share above 0, up to 1";

impl Llama3Scaling {
    fn read(keys: &Keys<'_>, table: &'static str, longest: i64) -> Result<Self> {
        let number = |key: &'static str| -> Result<f64> {
            if keys.get(key).is_none() {
                return Err(
                    keys.error(table, format!("the key \"{key}\" is missing; rope_type llama3 needs it"))
                );
            }
            keys.positive(key, 1.0)
        };
        let scaling = Self {
            factor: number("factor")?,
            low_freq_factor: number("low_freq_factor")?,
            high_freq_factor: number("high_freq_factor")?,
            original_max_position_embeddings: keys
                .positive("original_max_position_embeddings", longest as f64)?,
        };
        if scaling.high_freq_factor <= scaling.low_freq_factor {
            let (high, low) = (scaling.high_freq_factor, scaling.low_freq_factor);
            return Err(keys.error(
                table,
                format!("\"high_freq_factor\" {high} is not above \"low_freq_factor\" {low}"),
            ));
        }
        Ok(scaling)
    }

    fn apply(&self, frequency: f32) -> f32 {
        let original = self.original_max_position_embeddings as f32;
        let (low, high) = (self.low_freq_factor as f32, self.high_freq_factor as f32);
        let wavelength = 2.0 * std::f32::consts::PI / frequency;
        let scaled = frequency / self.factor as f32;
        if wavelength > original / low {
            scaled
        } else if wavelength < original / high {
            frequency
        } else {
            let smooth = (original / wavelength - low) / (high - low);
            (1.0 - smooth) * frequency / self.factor as f32 + smooth * frequency
        }
    }
}

fn table<'a>(keys: &Keys<'a>, key: &'static str) -> Result<Option<&'a Map<String, Value>>> {
    keys.get(key)
        .map(|value| {
            value.as_object().ok_or_else(|| keys.error(key, format!("expected an object, found {value}")))
        })
        .transpose()
}

/// The cosines and sines of the positions of one forward pass, `[.., T, 1, rotary_dim / 2]`.
#[derive(Debug)]
pub(super) struct Rotation {
    cos: Tensor,
    sin: Tensor,
}

impl Rotation {
    /// Computes cosines and sines for positions `[T]` or `[B, T]`; the angles are f32, their sines of the kind asked for.
    pub(super) fn new(frequencies: &Tensor, positions: &Tensor, kind: Kind) -> Result<Self, Error> {
        let angles =
            positions.f_to_kind(Kind::Float)?.f_unsqueeze(-1)?.f_unsqueeze(-1)?.f_mul(frequencies)?;
        Ok(Self { cos: angles.f_cos()?.f_to_kind(kind)?, sin: angles.f_sin()?.f_to_kind(kind)? })
    }

    /// Rotates `[B, T, heads, head_dim]`: pairs are an element of the first half and its peer in the second.
    pub(super) fn apply(&self, x: &Tensor) -> Result<Tensor, Error> {
        let half = self.cos.size().last().copied().unwrap_or(0);
        let width = x.size().last().copied().unwrap_or(0);
        let (first, second) = (x.f_narrow(-1, 0, half)?, x.f_narrow(-1, half, half)?);
        let a = first.f_mul(&self.cos)?.f_sub(&second.f_mul(&self.sin)?)?;
        let b = second.f_mul(&self.cos)?.f_add(&first.f_mul(&self.sin)?)?;
        if width == 2 * half {
            return Ok(Tensor::f_cat(&[a, b], -1)?);
        }
        Ok(Tensor::f_cat(&[a, b, x.f_narrow(-1, 2 * half, width - 2 * half)?], -1)?)
    }
}
