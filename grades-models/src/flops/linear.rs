//! Counts the matmuls of a linear layer with its adapters.

use grades_lora::Linear;

use super::matmuls::{Matmuls, Per};

/// Adds the matmuls of a linear layer with its adapters; `input` says whether the layer's input needs a gradient. Returns
/// whether its output does.
///
/// An adapter adds x·Aᵀ and its product with Bᵀ. With DoRA it adds the norms of W + s·BA, which take no gradient and are
/// computed once while nothing of the layer trains. A merged adapter costs nothing.
pub fn linear_matmuls(matmuls: &mut Matmuls, layer: &Linear, per: Per, input: bool) -> bool {
    let side = |index: usize| {
        let size = layer.base_weight().size();
        size.get(index).and_then(|side| u64::try_from(*side).ok()).unwrap_or(0)
    };
    let (outputs, inputs) = (side(0), side(1));
    let mut output = matmuls.add(per, inputs * outputs, input, layer.weight().requires_grad());
    output |= layer.bias().is_some_and(|bias| bias.requires_grad());
    let live: Vec<_> =
        layer.adapters().iter().filter(|adapter| adapter.is_active() && !adapter.is_merged()).collect();
    let merged = layer.adapters().iter().any(|adapter| adapter.is_merged());
    let dora = live.iter().any(|adapter| adapter.magnitude().is_some());
    if merged && dora {
        // DoRA needs the base apart from merged adapters: two matmuls.
        output |= matmuls.add(per, inputs * outputs, input, layer.base_weight().requires_grad());
    }
    for adapter in live {
        let rank = adapter.a().size().first().and_then(|rank| u64::try_from(*rank).ok()).unwrap_or(0);
        let lowered = matmuls.add(per, inputs * rank, input, adapter.a().requires_grad());
        output |= matmuls.add(per, rank * outputs, lowered, adapter.b().requires_grad());
        let Some(magnitude) = adapter.magnitude() else { continue };
        output |= magnitude.requires_grad();
        if adapter.dropout() > 0.0 {
            // The base also multiplies the adapter's input, which dropout makes another one.
            output |= matmuls.add(per, inputs * outputs, input, layer.base_weight().requires_grad());
        }
        if !adapter.is_frozen() || layer.base_weight().requires_grad() {
            // W·Aᵀ, A·Aᵀ and B·(A·Aᵀ).
            let norms = outputs * inputs * rank + rank * inputs * rank + outputs * rank * rank;
            matmuls.add(Per::Batch, norms, false, false);
        }
    }
    output
}
