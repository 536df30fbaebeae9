//! The cost of each component in a training step, for policies that weigh it against progress.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use grades::component::{Component, ComponentKind};
use grades::config::{Followers, Tied};
use grades::policy::{ComponentCost, StepCosts};
use grades_models::flops::{BatchShape, Matmuls};
use tch::Tensor;

use crate::cache::ActivationCache;
use crate::config::{CacheMode, RunConfig};
use crate::tasks::{Optimizer, Task};

/// Counts the FLOPs of a training step by component, for the first batch of a run; `adapted` says that only adapters train.
///
/// # Errors
///
/// When the first batch cannot be built.
pub(super) fn step_costs(
    config: &RunConfig,
    task: &dyn Task,
    optimizer: &Optimizer,
    adapted: bool,
) -> Result<StepCosts> {
    let first = task.sampler().epoch_order(0).into_iter().next().unwrap_or_default();
    let shape = match first.is_empty() {
        true => BatchShape::default(),
        false => task.batch(&first, &mut ActivationCache::off())?.shape,
    };
    let sizes =
        task.store().variables().into_iter().map(|(name, tensor)| (name, elements(&tensor))).collect();
    let costs = by_component(optimizer.components(), &sizes, &task.matmuls(), shape);
    let block = |layer: usize| task.model().block_matmuls(layer..layer + 1).forward(shape) as f64;
    let costs = with_attention(costs, optimizer.components(), block);
    // Beside adapters nothing trains below the lowest block; norms and embeddings of a whole model may.
    let (followers, tied) = match &config.freezing {
        Some(freezing) => (freezing.followers(), freezing.tied()),
        None => (Followers::default(), Tied::default()),
    };
    let is_tied = !adapted && !optimizer.parameters().aliases().is_empty();
    let ends = adapted || followers == Followers::WithBlock && !(is_tied && tied == Tied::Keep);
    // Stored outputs are worth something from the second epoch on. Those of blocks above an embedding that moves are not stored.
    let fixed = ends && !(is_tied && tied == Tied::Head);
    let cached = fixed && config.cache.mode != CacheMode::Never && config.training.epochs > 1;
    Ok(costs.with_ending_backward(ends).with_cached_prefix(cached))
}

fn elements(tensor: &Tensor) -> u64 {
    u64::try_from(tensor.numel()).unwrap_or(0)
}

/// Counts each component from the sizes of the variables by name; `rest` is what the model's matmuls have beyond them: attention,
/// and layers that are no components.
fn by_component(
    components: &[Component],
    sizes: &HashMap<String, u64>,
    matmuls: &Matmuls,
    shape: BatchShape,
) -> StepCosts {
    let tokens = shape.tokens() as f64;
    let one = |component: &Component| {
        // An embedding is read by row, a norm is no matmul.
        if matches!(component.kind, ComponentKind::Embedding | ComponentKind::Norm) {
            return ComponentCost::default();
        }
        // An adapter runs beside its frozen matrix.
        let layer = component.name.split(".lora_").next().unwrap_or(&component.name);
        let base = match component.kind {
            ComponentKind::Adapter => sizes.get(&format!("{layer}.weight")).copied().unwrap_or(0),
            _ => 0,
        };
        let product = |elements: u64| 2.0 * elements as f64 * tokens;
        let through = product(base + component.elements);
        ComponentCost {
            forward: through,
            input_gradient: through,
            weight_gradient: product(component.elements),
        }
    };
    let costs: Vec<ComponentCost> = components.iter().map(one).collect();
    let counted: f64 =
        costs.iter().map(|cost| cost.forward + cost.input_gradient + cost.weight_gradient).sum();
    StepCosts::new(costs, (matmuls.total(shape) as f64 - counted).max(0.0))
}

/// Moves what a block computes beyond its components, which is attention, from the rest to the block's first component, as the
/// backward pass through it ends with the block's; `block` returns the FLOPs of a block's forward pass.
fn with_attention(costs: StepCosts, components: &[Component], block: impl Fn(usize) -> f64) -> StepCosts {
    let (mut each, mut rest) = (costs.components().to_vec(), costs.rest());
    let mut forward: BTreeMap<u32, (usize, f64)> = BTreeMap::new();
    for (index, (component, cost)) in components.iter().zip(&each).enumerate() {
        if let Some(layer) = component.layer {
            forward.entry(layer).or_insert((index, 0.0)).1 += cost.forward;
        }
    }
    for (layer, (first, counted)) in forward {
        // Each of its two factors needs a gradient.
        let attention = (block(layer as usize) - counted).clamp(0.0, rest / 3.0);
        if let Some(cost) = each.get_mut(first) {
            cost.forward += attention;
            cost.input_gradient += 2.0 * attention;
            rest -= 3.0 * attention;
        }
    }
    StepCosts::new(each, rest)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use grades::component::{Component, ComponentKind};
    use grades::policy::{ComponentCost, StepCosts};
    use grades_models::flops::{BatchShape, Matmuls, Per};

    use super::{by_component, with_attention};

    #[test]
    fn a_matrix_costs_three_products_and_an_adapter_its_base_as_well() {
        let matrix = Component::detached("layers.0.self_attn.q_proj", ComponentKind::Query, Some(0), 16);
        let adapter = Component::detached("layers.1.self_attn.q_proj", ComponentKind::Adapter, Some(1), 4);
        let apart =
            Component::detached("layers.1.mlp.up_proj.lora_A.default", ComponentKind::Adapter, Some(1), 2);
        let embedding = Component::detached("embed_tokens", ComponentKind::Embedding, None, 100);
        let sizes = HashMap::from([
            ("layers.1.self_attn.q_proj.weight".to_owned(), 16),
            ("layers.1.mlp.up_proj.weight".to_owned(), 8),
        ]);
        let mut matmuls = Matmuls::default();
        matmuls.add(Per::Token, 1000, true, true);
        // 3 rows of 5 tokens, and 2 FLOPs for each product of two numbers.
        let costs =
            by_component(&[matrix, adapter, apart, embedding], &sizes, &matmuls, BatchShape::new(3, 5, 0));
        let cost = |through: f64, own: f64| ComponentCost {
            forward: 30.0 * through,
            input_gradient: 30.0 * through,
            weight_gradient: 30.0 * own,
        };
        assert_eq!(
            costs.components(),
            [cost(16.0, 16.0), cost(20.0, 4.0), cost(10.0, 2.0), ComponentCost::default()]
        );
        assert_eq!(costs.rest(), 30.0 * (3.0 * 1000.0 - 48.0 - 44.0 - 22.0));
    }

    #[test]
    fn attention_is_a_cost_of_its_block() {
        let cost = ComponentCost { forward: 10.0, input_gradient: 10.0, weight_gradient: 10.0 };
        let component = |name, layer| Component::detached(name, ComponentKind::Query, layer, 4);
        let components = [
            component("a", Some(0)),
            component("b", Some(0)),
            component("c", Some(1)),
            component("head", None),
        ];
        let costs = with_attention(StepCosts::new(vec![cost; 4], 100.0), &components, |layer| {
            25.0 - 5.0 * layer as f64
        });
        let more = |attention: f64| ComponentCost {
            forward: 10.0 + attention,
            input_gradient: 10.0 + 2.0 * attention,
            weight_gradient: 10.0,
        };
        assert_eq!(costs.components(), [more(5.0), cost, more(10.0), cost]);
        assert_eq!(costs.rest(), 55.0);
    }
}
