//! Bases of 16 bits.

use grades_lora::{LoraConfig, MergeFrozen};
use tch::{Kind, Tensor};

use crate::support::{Net, bits, golden_layer, numbers, set};
use crate::tolerance::{ADAPTED_LAYER, assert_within};

/// Of a kind, half the distance from 1 to the next number: what rounding may change a number by, as a share.
const UNITS: [(Kind, f64); 2] = [(Kind::BFloat16, 0.00390625), (Kind::Half, 0.00048828125)];

#[test]
fn adapters_are_f32_and_are_added_in_f32() {
    for (kind, unit) in UNITS {
        let layer = golden_layer(kind, true, &LoraConfig::new(2).alpha(6.0));
        let adapter = &layer.adapters()[0];
        assert_eq!((adapter.a().kind(), adapter.b().kind()), (Kind::Float, Kind::Float));
        let x = numbers(0.6, &[3, 5], kind);
        let base = x.linear(layer.weight(), layer.bias()).to_kind(Kind::Float);
        let own = x.to_kind(Kind::Float).matmul(&adapter.a().tr()).matmul(&adapter.b().tr());
        let exact = base + own * adapter.scaling();
        let y = layer.forward(&x, false).unwrap();
        assert_eq!(y.kind(), kind);
        // One rounding, at the end; the sums before it are in f32.
        let tolerance = unit + ADAPTED_LAYER.tolerance(Kind::Float);
        assert_within(&y, &exact, tolerance, "one rounding");
    }
}

#[test]
fn a_merge_is_off_by_no_more_than_the_bound_that_the_documentation_gives() {
    // Numbers around 1, and such that f16 has no normal ones for.
    for ((kind, unit), size) in UNITS.into_iter().flat_map(|unit| [(unit, 1.0), (unit, 2e-6)]) {
        let mut layer = golden_layer(kind, false, &LoraConfig::new(2).alpha(6.0));
        set(layer.base_weight(), &(numbers(0.1, &[4, 5], Kind::Float) * size));
        let adapter = &layer.adapters()[0];
        set(adapter.b(), &(adapter.b() * size));
        let wide = |tensor: &Tensor| tensor.detach().to_kind(Kind::Double);
        let delta = adapter.scaling() * wide(adapter.b()).matmul(&wide(adapter.a()));
        // The sum itself is made in f32, of few terms.
        let terms = adapter.scaling() * wide(adapter.b()).abs().matmul(&wide(adapter.a()).abs());
        let slack = (terms + wide(layer.weight()).abs()) * 2f64.powi(-21);
        let smallest = if kind == Kind::Half { 2f64.powi(-25) } else { 0.0 };
        let exact = layer.weight().to_kind(Kind::Double) + delta;
        let original = bits(layer.weight());
        layer.merge("default").unwrap();
        let weights = (layer.weight().to_kind(Kind::Double) - &exact).abs();
        let bound = exact.abs() * unit + smallest + &slack;
        let excess = f64::try_from((&weights - &bound).max()).unwrap();
        assert!(excess <= 0.0, "{kind:?}: a weight is off by {excess} more than the bound");
        if kind == Kind::Half && size < 1.0 {
            let relative = f64::try_from((&weights - exact.abs() * unit - &slack).max()).unwrap();
            assert!(relative > 0.0, "the second part of the bound is needed");
        }
        assert!(f64::try_from(weights.max()).unwrap() > 0.0, "{kind:?}: there is something to round");

        let x = numbers(0.6, &[3, 5], Kind::Double);
        let outputs = (x.matmul(&layer.weight().to_kind(Kind::Double).tr()) - x.matmul(&exact.tr())).abs();
        let bound = x.abs().matmul(&bound.tr());
        assert!(f64::try_from((outputs - bound).max()).unwrap() <= 0.0, "{kind:?}");
        layer.unmerge("default").unwrap();
        assert_eq!(bits(layer.weight()), original, "{kind:?}: the very bits are back");
    }
}

#[test]
fn frozen_adapters_are_left_alone_unless_asked() {
    let mut net = Net::of_kind(Kind::BFloat16);
    let config = LoraConfig::new(2).alpha(6.0);
    grades_lora::Adapters::new().add(&mut net.layers, &net.vs, "default", &config).unwrap();
    net.stir("default");
    for tensor in net.layer(0).adapters()[0].tensors() {
        let _ = tensor.set_requires_grad(false);
    }
    let found = MergeFrozen::new().apply(&mut net.layers).unwrap();
    assert_eq!((found.merged.len(), found.left_16_bit), (0, vec!["layers.0.mlp.up".to_owned()]));
    let found = MergeFrozen::new().on_16_bit(true).apply(&mut net.layers).unwrap();
    assert_eq!(found.merged, ["layers.0.mlp.up"]);
    assert!(net.layer(0).adapters()[0].is_merged());
}
