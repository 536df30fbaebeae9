//! Attention masks: the positions that each position attends to.

use tch::{Device, Kind, Tensor};

use crate::error::Result;

/// The masks of one forward pass, made once for all blocks.
#[derive(Debug)]
pub(super) struct Masks {
    /// For blocks that see all that came before; `None` where libtorch's own causal mask, or none, is right.
    full: Option<Tensor>,
    /// For blocks with a window, where it hides anything.
    windowed: Option<Tensor>,
    window: Option<i64>,
    /// Whether libtorch's causal mask stands in for `full`.
    causal: bool,
}

/// The sizes of a forward pass that its masks depend on.
#[derive(Debug)]
pub(super) struct Extent<'a> {
    /// Tokens of the pass.
    pub(super) length: i64,
    /// Tokens before them, in a cache.
    pub(super) before: i64,
    /// The example that each token belongs to, `[B, T]`; tokens of different examples do not see each other.
    pub(super) segments: Option<&'a Tensor>,
    /// The window of the blocks that have one.
    pub(super) window: Option<i64>,
    /// The first token of each row, `[B]`: those before it are padding, which no other token sees.
    pub(super) starts: Option<&'a Tensor>,
}

impl Masks {
    pub(super) fn new(extent: &Extent<'_>, device: Device) -> Result<Self> {
        let Extent { length, before, segments, window, starts } = *extent;
        let total = before + length;
        let window = window.filter(|&window| window < total);
        // One new token sees all before it; a first pass has torch's causal form.
        let plain = segments.is_none() && starts.is_none() && (before == 0 || length == 1);
        let mut full = None;
        if !plain || window.is_some() {
            let options = (Kind::Int64, device);
            let query = Tensor::f_arange_start(before, total, options)?.f_unsqueeze(-1)?;
            let key = Tensor::f_arange(total, options)?.f_unsqueeze(0)?;
            let mut seen = key.f_le_tensor(&query)?.f_unsqueeze(0)?.f_unsqueeze(0)?;
            if let Some(segments) = segments {
                let same = segments.f_unsqueeze(2)?.f_eq_tensor(&segments.f_unsqueeze(1)?)?;
                seen = seen.f_logical_and(&same.f_unsqueeze(1)?)?;
            }
            if let Some(starts) = starts {
                let token = key.f_unsqueeze(0)?.f_ge_tensor(&starts.f_view([-1, 1, 1])?)?;
                // Padding sees itself: a row of the mask without a true value would give NaN, which reaches all others.
                let shown = token.f_logical_or(&key.f_eq_tensor(&query)?)?;
                seen = seen.f_logical_and(&shown.f_unsqueeze(1)?)?;
            }
            full = Some((seen, query, key));
        }
        let windowed = match (&full, window) {
            (Some((seen, query, key)), Some(window)) => {
                Some(seen.f_logical_and(&key.f_gt_tensor(&query.f_sub_scalar(window)?)?)?)
            }
            _ => None,
        };
        let full = if plain { None } else { full.map(|(seen, ..)| seen) };
        Ok(Self { full, windowed, window, causal: plain && before == 0 && length > 1 })
    }

    /// Returns the mask of a block, true where it attends.
    pub(super) fn of(&self, window: Option<i64>) -> Option<&Tensor> {
        if self.hides(window) { self.windowed.as_ref() } else { self.full.as_ref() }
    }

    /// Returns whether a block uses libtorch's own causal mask.
    pub(super) fn is_causal(&self, window: Option<i64>) -> bool {
        self.causal && !self.hides(window)
    }

    fn hides(&self, window: Option<i64>) -> bool {
        window.is_some() && self.window.is_some()
    }
}
