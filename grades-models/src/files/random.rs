//! Freshly drawn weights.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use tch::{Kind, Tensor};

use crate::error::Result;

/// Fills a variable with normal numbers that depend on the seed and the stream only: the same on every device,
/// whatever torch's own generator did before.
///
/// Gradients must be off.
pub(crate) fn draw_normal(variable: &mut Tensor, deviation: f64, seed: u64, stream: u64) -> Result<()> {
    // An even number, so that no piece but the last ends within a pair.
    const PIECE: usize = 1 << 20;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    let flat = variable.f_view(-1)?;
    let total = variable.numel();
    let mut values = Vec::with_capacity(PIECE.min(total + 1));
    for start in (0..total).step_by(PIECE) {
        let count = PIECE.min(total - start);
        values.clear();
        while values.len() < count {
            // Box and Muller: two uniform numbers give two normal ones.
            let radius = (-2.0 * uniform(&mut rng).ln()).sqrt() * deviation;
            let (sin, cos) = (uniform(&mut rng) * std::f64::consts::TAU).sin_cos();
            values.extend([radius * cos, radius * sin]);
        }
        values.truncate(count);
        let drawn = Tensor::f_from_slice(&values)?.f_to_kind(Kind::Float)?;
        // Elements of a tensor in memory are far fewer than i64 counts.
        flat.f_narrow(0, start as i64, count as i64)?.f_copy_(&drawn)?;
    }
    Ok(())
}

/// Draws uniformly from (0, 1], so that its logarithm is finite.
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    // 53 bits fit an f64 exactly.
    ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
}
