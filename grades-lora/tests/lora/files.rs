//! Adapters that are written and read again.

use grades_lora::{Adapters, Bias, CONFIG_FILE, LoadOptions, LoraConfig, WEIGHTS_FILE};
use safetensors::SafeTensors;
use tch::Kind;

use crate::support::{Net, bits, input, set};
use crate::tolerance::{assert_within, epsilon};

/// A model with a stirred adapter, and the folder that it was saved in.
fn saved(config: &LoraConfig, kind: Kind) -> (Net, tempfile::TempDir) {
    let mut net = Net::of_kind(kind);
    let mut adapters = Adapters::new();
    adapters.add(&mut net.layers, &net.vs, "mine", config).unwrap();
    net.stir("mine");
    for name in net.trained().iter().filter(|name| !name.contains(".lora_")) {
        let variable = net.vs.variables()[name].shallow_clone();
        set(&variable, &(&variable * 1.5 + 0.1));
    }
    let dir = tempfile::tempdir().unwrap();
    adapters.save("mine", dir.path()).unwrap();
    (net, dir)
}

fn configs() -> [LoraConfig; 6] {
    let lora = LoraConfig::new(2).alpha(6.0);
    [
        lora.clone(),
        lora.clone().rslora(true).rank_of("up", 3).alpha_of("down", 0.5),
        lora.clone().dora(true).target_modules(["down"]),
        lora.clone().modules_to_save(["classifier"]).task_type("SEQ_CLS"),
        lora.clone().bias(Bias::LoraOnly).dora(true),
        lora.bias(Bias::All).modules_to_save(["classifier"]),
    ]
}

#[test]
fn what_was_written_is_read_back_bit_for_bit() {
    for config in configs() {
        let (net, dir) = saved(&config, Kind::Float);
        let mut other = Net::new();
        let mut adapters = Adapters::new();
        adapters.load(&mut other.layers, &other.vs, "default", dir.path(), LoadOptions::default()).unwrap();
        assert_eq!(bits(&other.forward(&input(), false)), bits(&net.forward(&input(), false)), "{config:?}");
        assert_eq!(grades::parameters::Parameters::from_var_store(&other.vs).map(|p| p.len()).ok(), None);
        let again = tempfile::tempdir().unwrap();
        adapters.save("default", again.path()).unwrap();
        for file in [CONFIG_FILE, WEIGHTS_FILE] {
            let read = |dir: &tempfile::TempDir| std::fs::read(dir.path().join(file)).unwrap();
            assert_eq!(read(&again), read(&dir), "{file}");
        }
        // To train on.
        let mut third = Net::new();
        let options = LoadOptions { trainable: true };
        Adapters::new().load(&mut third.layers, &third.vs, "default", dir.path(), options).unwrap();
        let expected: Vec<String> =
            net.trained().iter().map(|name| name.replace(".mine.", ".default.")).collect();
        assert_eq!(third.trained(), expected);
    }
}

#[test]
fn names_and_metadata_are_those_of_peft() {
    let config = configs()[4].clone().modules_to_save(["classifier"]);
    let (_, dir) = saved(&config, Kind::Float);
    let bytes = std::fs::read(dir.path().join(WEIGHTS_FILE)).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let format = metadata.metadata().as_ref().unwrap().get("format").map(String::as_str);
    assert_eq!(format, Some("pt"));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut names: Vec<&str> = file.names();
    names.sort();
    let mut expected = vec!["base_model.model.classifier.bias", "base_model.model.classifier.weight"];
    expected.extend([
        "base_model.model.layers.0.mlp.down.base_layer.bias",
        "base_model.model.layers.0.mlp.down.lora_A.weight",
        "base_model.model.layers.0.mlp.down.lora_B.weight",
        "base_model.model.layers.0.mlp.down.lora_magnitude_vector",
        "base_model.model.layers.0.mlp.up.base_layer.bias",
        "base_model.model.layers.0.mlp.up.lora_A.weight",
        "base_model.model.layers.0.mlp.up.lora_B.weight",
        "base_model.model.layers.0.mlp.up.lora_magnitude_vector",
    ]);
    assert_eq!(names, expected);
}

#[test]
fn adapters_of_16_bit_models_are_written_in_f32_and_read_from_any_kind() {
    let (net, dir) = saved(&LoraConfig::new(2).alpha(6.0), Kind::BFloat16);
    let bytes = std::fs::read(dir.path().join(WEIGHTS_FILE)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert!(file.tensors().iter().all(|(_, view)| view.dtype() == safetensors::Dtype::F32));
    let mut other = Net::of_kind(Kind::BFloat16);
    Adapters::new()
        .load(&mut other.layers, &other.vs, "default", dir.path(), LoadOptions::default())
        .unwrap();
    let x = input().to_kind(Kind::BFloat16);
    assert_eq!(bits(&other.forward(&x, false)), bits(&net.forward(&x, false)));
    // A file of bf16 is widened.
    let (narrow, _) = narrow(&file);
    std::fs::write(dir.path().join(WEIGHTS_FILE), narrow).unwrap();
    let mut third = Net::new();
    Adapters::new()
        .load(&mut third.layers, &third.vs, "default", dir.path(), LoadOptions::default())
        .unwrap();
    assert_eq!(third.layer(0).adapters()[0].a().kind(), Kind::Float);
    let (found, expected) = (third.layer(0).adapters()[0].a(), net.layers.0[0].1.adapters()[0].a());
    assert_within(found, expected, epsilon(Kind::BFloat16) / 2.0, "one rounding to bf16");
}

/// The same file with its tensors cut to bf16.
fn narrow(file: &SafeTensors<'_>) -> (Vec<u8>, usize) {
    let data: Vec<_> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let upper: Vec<u8> = view.data().chunks(4).flat_map(|four| [four[2], four[3]]).collect();
            (name, view.shape().to_vec(), upper)
        })
        .collect();
    let views = data.iter().map(|(name, shape, bytes)| {
        (name, safetensors::tensor::TensorView::new(safetensors::Dtype::BF16, shape.clone(), bytes).unwrap())
    });
    (safetensors::serialize(views, None).unwrap(), data.len())
}
