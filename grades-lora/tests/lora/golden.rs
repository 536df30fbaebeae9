//! Numbers from PEFT: `tests/golden/golden.py` makes them.

use grades_lora::{Adapters, Linear, LinearLayers, LoraConfig};
use serde_json::Value;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::support::{golden_layer, numbers};
use crate::tolerance::{ADAPTED_LAYER, assert_within, epsilon};

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/golden.json")).unwrap()
}

fn tensor(value: &Value) -> Tensor {
    match value[0].is_array() {
        true => Tensor::from_slice2(&serde_json::from_value::<Vec<Vec<f64>>>(value.clone()).unwrap()),
        false => Tensor::from_slice(&serde_json::from_value::<Vec<f64>>(value.clone()).unwrap()),
    }
}

#[test]
fn outputs_gradients_and_merged_weights_are_those_of_peft() {
    let golden = golden();
    let cases = golden["layers"].as_array().unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let kind = match case["kind"].as_str().unwrap() {
            "float32" => Kind::Float,
            "float64" => Kind::Double,
            "bfloat16" => Kind::BFloat16,
            other => panic!("{other}"),
        };
        // In bf16 the sums are f32, and each output is rounded twice: by the base, then with the adapter.
        let tolerance = if kind == Kind::BFloat16 { epsilon(kind) } else { ADAPTED_LAYER.tolerance(kind) };
        let config = LoraConfig::new(2)
            .alpha(6.0)
            .dora(case["dora"].as_bool().unwrap())
            .rslora(case["rslora"].as_bool().unwrap());
        let mut layer = golden_layer(kind, case["bias"].as_bool().unwrap(), &config);
        let x = numbers(0.6, &[3, 5], kind).set_requires_grad(true);
        let y = layer.forward(&x, true).unwrap();
        assert_eq!(y.kind(), kind, "{name}");
        assert_within(&y, &tensor(&case["y"]), tolerance, name);
        (y.to_kind(Kind::Float) * numbers(0.7, &[3, 4], Kind::Float)).sum(Kind::Float).backward();
        let adapter = &layer.adapters()[0];
        assert_within(&x.grad(), &tensor(&case["dx"]), tolerance, name);
        assert_within(&adapter.a().grad(), &tensor(&case["da"]), tolerance, name);
        assert_within(&adapter.b().grad(), &tensor(&case["db"]), tolerance, name);
        if let Some(magnitude) = adapter.magnitude() {
            assert_within(&magnitude.grad(), &tensor(&case["dmagnitude"]), tolerance, name);
        }
        layer.merge("default").unwrap();
        assert_within(layer.weight(), &tensor(&case["merged"]), tolerance, name);
    }
}

struct Named(Vec<(String, Linear)>);

impl LinearLayers for Named {
    fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut Linear)) {
        for (name, layer) in &mut self.0 {
            visit(name, layer);
        }
    }

    // golden.py's model is none of transformers', so PEFT knows no head.
    fn is_head(&self, _: &str) -> bool {
        false
    }
}

#[test]
fn the_layers_that_a_configuration_means_are_those_of_peft() {
    let golden = golden();
    let names: Vec<String> = serde_json::from_value(golden["names"].clone()).unwrap();
    let cases = golden["matching"].as_array().unwrap();
    assert_eq!(cases.len(), 18);
    for case in cases {
        let text = case["config"].as_str().unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(grades_lora::CONFIG_FILE), text).unwrap();
        let mut config = LoraConfig::from_adapter(dir.path()).unwrap();
        // PEFT lets an entry pass that means no layer. We refuse it; without it the layers have to be the same.
        let idle = |(pattern, _): &(String, i64)| pattern == "uery";
        let has_idle = config.rank_pattern.iter().any(idle);
        let vs = VarStore::new(Device::Cpu);
        let layers = names.iter().map(|name| {
            let path = name.split('.').fold(vs.root(), |path, part| path.sub(part));
            (name.clone(), tch::nn::linear(path, 16, 16, Default::default()).into())
        });
        let mut model = Named(layers.collect());
        if has_idle {
            let error = Adapters::new().add(&mut model, &vs, "default", &config).unwrap_err().to_string();
            assert!(error.contains("\"rank_pattern\" entry \"uery\" matches none"), "{error}");
            config.rank_pattern.retain(|entry| !idle(entry));
        }
        let result = Adapters::new().add(&mut model, &vs, "default", &config);
        let expected = case["layers"].as_object().unwrap();
        assert_eq!(result.is_ok(), !expected.is_empty(), "{text}: {result:?}");
        for (name, layer) in &model.0 {
            let ours = layer.adapter("default").map(|adapter| (adapter.a().size()[0], adapter.scaling()));
            let theirs =
                expected.get(name).map(|value| (value[0].as_i64().unwrap(), value[1].as_f64().unwrap()));
            assert_eq!(ours, theirs, "{name} by {text}");
        }
    }
}
