//! Forward, merged and closed form agree, with alpha ≠ rank and B ≠ 0, and so do the gradients.

use grades_lora::{Adapter, Init, Linear, LoraConfig};
use tch::{Device, Kind, Tensor};

use crate::support::{assert_near, bits, golden_layer, numbers, set};

/// y = x·(W + s·B·A)ᵀ + b, with DoRA x·(m/n ∘ (W + s·B·A))ᵀ + b, n being the rows' norms without a gradient.
fn closed(layer: &Linear, x: &Tensor) -> Tensor {
    let adapter = &layer.adapters()[0];
    let mut weight = layer.base_weight() + adapter.scaling() * adapter.b().matmul(adapter.a());
    if let Some(magnitude) = adapter.magnitude() {
        let norms = weight.square().sum_dim_intlist([1i64].as_slice(), true, Kind::Float).sqrt().detach();
        weight = magnitude.unsqueeze(1) / norms * weight;
    }
    x.linear(&weight, layer.bias())
}

fn variants() -> [(&'static str, LoraConfig); 4] {
    let lora = LoraConfig::new(2).alpha(6.0);
    [
        ("lora", lora.clone()),
        ("rslora", lora.clone().rslora(true)),
        ("dora", lora.clone().dora(true)),
        ("dora and rslora", lora.dora(true).rslora(true)),
    ]
}

#[test]
fn forward_merged_and_closed_form_agree() {
    for (name, config) in variants() {
        for bias in [true, false] {
            let mut layer = golden_layer(Kind::Float, bias, &config);
            let x = numbers(0.6, &[2, 3, 5], Kind::Float);
            let base = x.linear(layer.weight(), layer.bias());
            let closed = closed(&layer, &x);
            let y = layer.forward(&x, false).unwrap();
            assert_eq!(y.size(), [2, 3, 4]);
            assert_near(&y, &closed, name);
            let difference = f64::try_from((&y - &base).abs().max()).unwrap();
            assert!(difference > 1.0, "{name}: the adapter does nothing");
            layer.merge("default").unwrap();
            assert_near(&layer.forward(&x, false).unwrap(), &closed, name);
            layer.unmerge("default").unwrap();
            assert_eq!(bits(&layer.forward(&x, false).unwrap()), bits(&y), "{name}");
        }
    }
}

#[test]
fn gradients_are_those_of_the_closed_form() {
    for (name, config) in variants() {
        let gradients = |by_us: bool| {
            let layer = golden_layer(Kind::Float, true, &config);
            let x = numbers(0.6, &[3, 5], Kind::Float).set_requires_grad(true);
            let y = if by_us { layer.forward(&x, true).unwrap() } else { closed(&layer, &x) };
            (y * numbers(0.7, &[3, 4], Kind::Float)).sum(Kind::Float).backward();
            let adapter = &layer.adapters()[0];
            assert!(!layer.weight().grad().defined(), "{name}: the base takes no gradient");
            let mut all: Vec<Tensor> = adapter.tensors().map(Tensor::grad).collect();
            all.push(x.grad());
            all
        };
        let (ours, theirs) = (gradients(true), gradients(false));
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_near(ours, theirs, name);
        }
    }
}

#[test]
fn a_fresh_adapter_changes_nothing() {
    for init in [Init::Default, Init::Gaussian] {
        for dora in [false, true] {
            let mut layer = Linear::new(numbers(0.1, &[40, 50], Kind::Float), None);
            let x = numbers(0.6, &[3, 50], Kind::Float);
            let before = layer.forward(&x, true).unwrap();
            let config = LoraConfig::default().init(init).dora(dora);
            layer.attach(Adapter::new("default", &layer, 4, 6.0, &config).unwrap()).unwrap();
            assert_near(&layer.forward(&x, true).unwrap(), &before, "fresh");
            let deviation = f64::try_from(layer.adapters()[0].a().std(false)).unwrap();
            // Uniform up to 1/√50, and normal with deviation 1/4; 200 numbers.
            let expected = if init == Init::Gaussian { 0.25 } else { (1.0f64 / 50.0 / 3.0).sqrt() };
            assert!((deviation / expected - 1.0).abs() < 0.25, "{deviation}, not {expected}");
        }
    }
    let layer = Linear::new(numbers(0.1, &[40, 50], Kind::Float), None);
    let random = Adapter::new("r", &layer, 4, 6.0, &LoraConfig::default().init(Init::Random)).unwrap();
    assert!(f64::try_from(random.b().abs().max()).unwrap() > 0.1);
}

#[test]
fn dropout_is_on_the_adapters_input_and_in_training_only() {
    let config = LoraConfig::new(2).alpha(6.0).dropout(0.5);
    for config in [config.clone(), config.dora(true)] {
        let layer = golden_layer(Kind::Float, true, &config);
        let x = Tensor::ones([2000, 5], (Kind::Float, Device::Cpu));
        assert_near(&layer.forward(&x, false).unwrap(), &closed(&layer, &x), "evaluation");
        tch::manual_seed(3);
        let train = layer.forward(&x, true).unwrap();
        // The base sees all of x: rows differ by what the adapter's own part varies, around the same mean.
        let mean = train.mean_dim([0i64].as_slice(), true, Kind::Float);
        let spread = f64::try_from(train.std(false)).unwrap();
        assert!(spread > 1.0);
        let off = f64::try_from((mean - closed(&layer, &x.narrow(0, 0, 1))).abs().max()).unwrap();
        assert!(off < 0.5, "the mean over masks is off by {off}");
        // No dropout on the base's part: with B zero and magnitude at the norm, training gives the base's output.
        set(layer.adapters()[0].b(), &Tensor::zeros([4, 2], (Kind::Float, Device::Cpu)));
        if let Some(magnitude) = layer.adapters()[0].magnitude() {
            let norms = layer.weight().square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float).sqrt();
            set(magnitude, &norms);
        }
        let base = x.linear(layer.weight(), layer.bias());
        assert_near(&layer.forward(&x, true).unwrap(), &base, "no adapter");
    }
}

#[test]
fn what_is_kept_of_a_frozen_magnitude_is_never_old() {
    let config = LoraConfig::new(2).alpha(6.0).dora(true);
    let layer = golden_layer(Kind::Float, true, &config);
    let adapter = &layer.adapters()[0];
    let x = numbers(0.6, &[3, 5], Kind::Float);
    let check = |what: &str| {
        for _ in 0..2 {
            assert_near(&layer.forward(&x, true).unwrap(), &closed(&layer, &x), what);
        }
    };
    let train = |on: bool| adapter.tensors().for_each(|tensor| drop(tensor.set_requires_grad(on)));
    check("training");
    train(false);
    check("frozen");
    let parts = [("base", layer.weight()), ("A", adapter.a()), ("B", adapter.b())];
    for (name, tensor) in parts.into_iter().chain(adapter.magnitude().map(|tensor| ("magnitude", tensor))) {
        set(tensor, &(tensor * 1.25 + 0.1));
        check(name);
    }
    // Moved to other memory, which is no writing.
    let mut moved = adapter.a().shallow_clone();
    moved.set_data(&numbers(0.8, &[2, 5], Kind::Float));
    check("moved");
    train(true);
    layer.forward(&x, true).unwrap().sum(Kind::Float).backward();
    assert!(adapter.magnitude().unwrap().grad().defined(), "thawed");
    set(adapter.b(), &(adapter.b() * 2.0));
    check("thawed");
    train(false);
    check("frozen again");
}

#[test]
fn several_adapters_add_up_in_any_mix_of_merged_and_not() {
    let lora = LoraConfig::new(2).alpha(6.0);
    let dora = lora.clone().dora(true);
    for second in [lora, dora.clone()] {
        let mut layer = golden_layer(Kind::Float, true, &dora);
        let alone = layer.forward(&numbers(0.6, &[3, 5], Kind::Float), false).unwrap();
        let other = Adapter::new("other", &layer, 3, 2.0, &second).unwrap();
        set(other.b(), &numbers(1.4, &[4, 3], Kind::Float));
        layer.attach(other).unwrap();
        let x = numbers(0.6, &[3, 5], Kind::Float);
        let plain = x.linear(layer.weight(), layer.bias());
        layer.set_active("default", false).unwrap();
        let other_alone = layer.forward(&x, false).unwrap();
        layer.set_active("default", true).unwrap();
        let expected = &alone + &other_alone - plain;
        let original = bits(layer.weight());
        for merges in [vec![], vec!["default"], vec!["other"], vec!["other", "default"]] {
            for name in &merges {
                layer.merge(name).unwrap();
            }
            assert_near(&layer.forward(&x, true).unwrap(), &expected, &format!("{merges:?} merged"));
            for name in &merges {
                layer.unmerge(name).unwrap();
            }
            assert_eq!(bits(layer.weight()), original);
        }
    }
}

#[test]
fn merging_twice_and_other_misuse_is_refused() {
    let mut layer = golden_layer(Kind::Float, true, &LoraConfig::new(2).alpha(6.0));
    let refused = |result: grades_lora::Result<()>, words: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    layer.merge("default").unwrap();
    let merged = bits(layer.weight());
    refused(layer.merge("default"), "\"default\": is merged already");
    assert_eq!(bits(layer.weight()), merged);
    refused(layer.merge("mine"), "\"mine\": is not there; there are: default");
    layer.unmerge("default").unwrap();
    refused(layer.unmerge("default"), "is not merged");
    let again = Adapter::new("default", &layer, 1, 1.0, &LoraConfig::default()).unwrap();
    refused(layer.attach(again), "is there already");
    let other = Linear::new(numbers(0.1, &[3, 5], Kind::Float), None);
    let foreign = Adapter::new("foreign", &other, 1, 1.0, &LoraConfig::default()).unwrap();
    refused(layer.attach(foreign), "3 outputs");
    for rank in [0, -1, 5] {
        let error = Adapter::new("r", &layer, rank, 1.0, &LoraConfig::default()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("a rank of {rank} does not go with 5 inputs and 4 outputs")),
            "{error}"
        );
    }
    set(layer.adapters()[0].b(), &Tensor::full([4, 2], f64::NAN, (Kind::Float, Device::Cpu)));
    let before = bits(layer.weight());
    refused(layer.merge("default"), "not finite");
    assert_eq!(bits(layer.weight()), before);
}
