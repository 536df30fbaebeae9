//! Laws over shapes, ranks, alphas and kinds.

use grades_lora::{Adapter, Linear, LoraConfig};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

use crate::support::{bits, numbers, set};
use crate::tolerance::{FORMULA, cancelling_layer};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Forward, merged and closed form agree to the kind's rounding, and unmerging gives the bits back.
    #[test]
    fn forward_merged_and_closed_form_agree(
        inputs in 1i64..20,
        outputs in 1i64..20,
        rows in 0i64..6,
        rank in 1i64..20,
        alpha in -20.0..20.0f64,
        kind in prop::sample::select(vec![Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half]),
        (bias, dora, rslora) in any::<(bool, bool, bool)>(),
        start in 0.0..6.0f64,
    ) {
        let rank = rank.min(inputs).min(outputs);
        let bias = bias.then(|| numbers(start + 0.2, &[outputs], kind));
        let mut layer = Linear::new(numbers(start, &[outputs, inputs], kind), bias);
        let config = LoraConfig::default().dora(dora).rslora(rslora);
        let adapter = Adapter::new("default", &layer, rank, alpha, &config).unwrap();
        let wide = adapter.a().kind();
        prop_assert_eq!(wide, if kind == Kind::Double { Kind::Double } else { Kind::Float });
        set(adapter.a(), &numbers(start + 1.0, &[rank, inputs], wide));
        set(adapter.b(), &numbers(start + 2.0, &[outputs, rank], wide));
        let root = if rslora { (rank as f64).sqrt() } else { rank as f64 };
        prop_assert!((adapter.scaling() - alpha / root).abs() < FORMULA);

        let exact = |tensor: &Tensor| tensor.to_kind(Kind::Double);
        let mut weight = exact(layer.weight()) + adapter.scaling() * exact(adapter.b()).matmul(&exact(adapter.a()));
        if let Some(magnitude) = adapter.magnitude() {
            let norms = weight.square().sum_dim_intlist([1i64].as_slice(), true, Kind::Double).sqrt();
            let added = exact(adapter.b()).abs().matmul(&exact(adapter.a()).abs()) * adapter.scaling().abs();
            let summed = exact(layer.weight()).abs() + added;
            let summed = summed.square().sum_dim_intlist([1i64].as_slice(), true, Kind::Double).sqrt();
            // A row that cancels has no direction, for PEFT neither; one that nearly does has lost as many digits.
            prop_assume!(f64::try_from(norms.min()).unwrap() > 0.05);
            prop_assume!(f64::try_from((&norms / summed).min()).unwrap() > 0.01);
            weight = exact(magnitude).unsqueeze(1) / norms * weight;
        }
        layer.attach(adapter).unwrap();
        let x = numbers(start + 3.0, &[rows, inputs], kind);
        let bias = layer.bias().map(exact);
        let closed = exact(&x).linear(&weight, bias.as_ref());
        let unit = cancelling_layer(kind);
        // Rounding grows with what is summed, not with the sum.
        let size = exact(&x).abs().matmul(&weight.abs().tr()).max_or_zero() + closed.abs().max_or_zero() + 1.0;
        let near = |y: &Tensor| (exact(y) - &closed).abs().max_or_zero() <= unit * size;
        let y = layer.forward(&x, true).unwrap();
        prop_assert_eq!((y.size(), y.kind()), (vec![rows, outputs], kind));
        prop_assert!(near(&y), "{y} {closed}");
        let before = bits(layer.weight());
        layer.merge("default").unwrap();
        prop_assert!(near(&layer.forward(&x, true).unwrap()));
        layer.unmerge("default").unwrap();
        prop_assert_eq!(bits(layer.weight()), before);
    }

    /// A rank goes with a layer exactly when it is from 1 to the smaller side.
    #[test]
    fn ranks_are_checked(inputs in 1i64..9, outputs in 1i64..9, rank in -2i64..12) {
        let layer = Linear::new(Tensor::zeros([outputs, inputs], (Kind::Float, Device::Cpu)), None);
        let made = Adapter::new("default", &layer, rank, 1.0, &LoraConfig::default());
        prop_assert_eq!(made.is_ok(), (1..=inputs.min(outputs)).contains(&rank));
    }
}

trait MaxOrZero {
    /// The largest element; 0 when there is none.
    fn max_or_zero(&self) -> f64;
}

impl MaxOrZero for Tensor {
    fn max_or_zero(&self) -> f64 {
        if self.numel() == 0 { 0.0 } else { f64::try_from(self.max()).unwrap() }
    }
}
