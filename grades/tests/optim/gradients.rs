//! The sums over gradients against plain f64 sums, and the in-place operations on them.

use grades::torch::{gradients, host_syncs, identity, torch_info};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

use crate::common::{devices, elements, give, values};
use crate::tolerance::GRADIENT_SUM;

const KINDS: [Kind; 4] = [Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half];

fn parameter(shape: &[i64], kind: Kind, device: Device, formula: impl Fn(i64) -> f64) -> Tensor {
    let parameter = Tensor::zeros(shape, (kind, device)).set_requires_grad(true);
    give(&parameter, &values(shape, kind, device, formula));
    parameter
}

/// On the CPU the sums are f64; elsewhere they are f32 norms.
fn tolerance(device: Device) -> f64 {
    GRADIENT_SUM.tolerance(if device == Device::Cpu { Kind::Double } else { Kind::Float })
}

fn assert_sums(parameters: &[Tensor], device: Device) {
    let sums = gradients::sums(parameters).unwrap();
    assert_eq!(sums.len(), parameters.len());
    for (parameter, sums) in parameters.iter().zip(sums) {
        let sums = sums.unwrap();
        let elements = elements(&parameter.grad());
        let absolute: f64 = elements.iter().map(|x| x.abs()).sum();
        let squares: f64 = elements.iter().map(|x| x * x).sum();
        let close = |a: f64, b: f64| (a - b).abs() <= tolerance(device) * b.abs();
        assert!(close(sums.absolute, absolute), "{parameter:?}: {} for {absolute}", sums.absolute);
        assert!(close(sums.squares, squares), "{parameter:?}: {} for {squares}", sums.squares);
    }
}

#[test]
fn sums_of_every_kind_and_shape() {
    for device in devices() {
        for kind in KINDS {
            let shapes: [&[i64]; 7] = [&[0], &[3, 0], &[], &[1], &[31], &[129, 257], &[3, 16384]];
            let formula = |i: i64| ((i * 37) % 101 - 50) as f64 / 64.0;
            let parameters: Vec<Tensor> =
                shapes.iter().map(|shape| parameter(shape, kind, device, formula)).collect();
            assert_sums(&parameters, device);
        }
    }
}

#[test]
fn half_precision_is_read_exactly() {
    // Every finite value of the two kinds, subnormal ones included, one at a time.
    for kind in [Kind::Half, Kind::BFloat16] {
        let bits: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let all = Tensor::from_slice(&bits).view_dtype(kind);
        let finite = all.masked_select(&all.isfinite());
        for chunk in finite.split(997, 0) {
            let parameter = Tensor::zeros_like(&chunk).set_requires_grad(true);
            give(&parameter, &chunk);
            let sums = gradients::sums(&[&parameter]).unwrap()[0].unwrap();
            let expected: f64 = elements(&chunk).iter().map(|x| x.abs()).sum();
            assert!(
                (sums.absolute - expected).abs() <= GRADIENT_SUM.tolerance(Kind::Double) * expected,
                "{kind:?}"
            );
        }
    }
}

#[test]
fn non_finite_values_reach_the_sums() {
    for device in devices() {
        for kind in KINDS {
            for (bad, index) in [(f64::NAN, 0), (f64::INFINITY, 40), (f64::NEG_INFINITY, 99)] {
                let formula = |i: i64| if i == index { bad } else { 0.5 };
                let parameter = parameter(&[100], kind, device, formula);
                let sums = gradients::sums(&[&parameter]).unwrap()[0].unwrap();
                assert_eq!(sums.absolute.is_nan(), bad.is_nan(), "{kind:?} {bad}");
                assert_eq!(sums.squares.is_nan(), bad.is_nan(), "{kind:?} {bad}");
                assert!(!sums.absolute.is_finite() && !sums.squares.is_finite(), "{kind:?} {bad}");
            }
        }
    }
}

#[test]
fn large_half_precision_sums_do_not_overflow() {
    let parameter = parameter(&[100_000], Kind::Half, Device::Cpu, |_| 60_000.0);
    let sums = gradients::sums(&[&parameter]).unwrap()[0].unwrap();
    let value = elements(&parameter.grad())[0];
    assert_eq!(sums.absolute, value * 1e5);
    assert_eq!(sums.squares, value * value * 1e5);
}

#[test]
fn gradients_of_any_layout() {
    // The gradient of a transposed parameter is transposed too; the one of an expanded sum is expanded.
    let base = Tensor::randn([40, 30], (Kind::Double, Device::Cpu));
    let transposed = base.tr().detach().set_requires_grad(true);
    give(&transposed, &Tensor::randn([40, 30], (Kind::Double, Device::Cpu)).tr());
    let gapped = Tensor::randn([40, 60], (Kind::Double, Device::Cpu)).slice(1, 0, 60, 2).detach();
    let gapped = gapped.set_requires_grad(true);
    (&gapped * 3.0).sum(Kind::Double).backward();
    assert!(!transposed.is_contiguous() && !gapped.is_contiguous());
    assert_sums(&[transposed, gapped], Device::Cpu);
}

#[test]
fn sums_do_not_depend_on_threads() {
    let parameters: Vec<Tensor> = [100_003, 7, 262_144]
        .iter()
        .map(|&n| parameter(&[n], Kind::Double, Device::Cpu, |i| ((i * 7919) as f64).sin()))
        .collect();
    let before = tch::get_num_threads();
    let bits = |threads: i32| {
        tch::set_num_threads(threads);
        let sums = gradients::sums(&parameters).unwrap().into_iter().flatten();
        sums.flat_map(|s| [s.absolute.to_bits(), s.squares.to_bits()]).collect::<Vec<u64>>()
    };
    let one = bits(1);
    assert_eq!(one, bits(2));
    assert_eq!(one, bits(5));
    assert_eq!(one, bits(5));
    tch::set_num_threads(before);
}

#[test]
fn missing_gradients_and_empty_lists() {
    let none = Tensor::zeros([3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let some = parameter(&[3], Kind::Float, Device::Cpu, |_| 2.0);
    let sums = gradients::sums(&[&none, &some]).unwrap();
    assert!(sums[0].is_none());
    assert_eq!(sums[1].unwrap().absolute, 6.0);
    assert_eq!(gradients::defined(&[&none, &some]).unwrap(), [false, true]);
    let empty: [&Tensor; 0] = [];
    assert!(gradients::sums(&empty).unwrap().is_empty());
    gradients::undefine(&empty).unwrap();
    gradients::scale(&[&none], 2.0).unwrap();
    gradients::clamp(&[&none], 2.0).unwrap();
    assert!(!none.grad().defined());
}

#[test]
fn undefine_scale_and_clamp() {
    for device in devices() {
        let a = parameter(&[4], Kind::Float, device, |i| i as f64 - 1.5);
        let b = parameter(&[2], Kind::BFloat16, device, |_| 4.0);
        gradients::scale(&[&a, &b], 0.5).unwrap();
        assert_eq!(elements(&a.grad()), [-0.75, -0.25, 0.25, 0.75]);
        gradients::clamp(&[&a, &b], 0.5).unwrap();
        assert_eq!(elements(&a.grad()), [-0.5, -0.25, 0.25, 0.5]);
        assert_eq!(elements(&b.grad()), [0.5, 0.5]);
        gradients::undefine(&[&a]).unwrap();
        assert!(!a.grad().defined() && b.grad().defined());
        gradients::undefine(&[&a]).unwrap();
    }
}

#[test]
fn refused_gradients_are_errors() {
    let table = Tensor::randn([10, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let rows = Tensor::embedding(&table, &Tensor::from_slice(&[1i64, 2]), -1, false, true);
    rows.sum(Kind::Float).backward();
    let error = gradients::sums(&[&table]).unwrap_err().to_string();
    assert!(error.contains("sparse"), "{error}");
}

#[test]
fn one_copy_to_the_host_per_call() {
    for device in devices() {
        let parameters: Vec<Tensor> =
            KINDS.iter().map(|&kind| parameter(&[100], kind, device, |_| 1.0)).collect();
        let before = host_syncs().unwrap();
        let _ = gradients::sums(&parameters).unwrap();
        let expected = if device == Device::Cpu { 0 } else { 1 };
        assert_eq!(host_syncs().unwrap() - before, expected);
    }
}

#[test]
fn facts() {
    let info = torch_info().unwrap();
    assert_eq!(info.loaded_version, info.compiled_version);
    assert!(info.library.contains("torch_cpu"), "{}", info.library);
    assert!(info.fused.iter().all(|kernel| kernel.cpu));
    assert!(info.to_string().contains("aten::_fused_adamw_"));
    // A library that is linked has registered its kernels, with or without a GPU.
    assert!(info.fused.iter().all(|kernel| kernel.cuda == info.built_for_cuda));
    let a = Tensor::zeros([1], (Kind::Float, Device::Cpu));
    assert_ne!(identity(&a).unwrap(), identity(&a.detach()).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn sums_are_plain_sums(
        shapes in prop::collection::vec(prop::collection::vec(0i64..40, 0..4), 0..6),
        kind in prop::sample::select(&KINDS),
        scale in 1e-3f64..1e3,
    ) {
        let formula = |i: i64| scale * ((i * 7919 + 13) as f64).sin();
        let parameters: Vec<Tensor> =
            shapes.iter().map(|shape| parameter(shape, kind, Device::Cpu, formula)).collect();
        assert_sums(&parameters, Device::Cpu);
    }
}
