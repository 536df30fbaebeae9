//! Files that are damaged or go with another model: each is refused, and the model is untouched.

use std::path::Path;

use grades_lora::{Adapters, CONFIG_FILE, LoadOptions, LoraConfig, WEIGHTS_FILE};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use crate::support::Net;

/// Name, kind, shape and bytes of each tensor.
type Tensors = Vec<(String, Dtype, Vec<usize>, Vec<u8>)>;

fn save(config: &LoraConfig) -> tempfile::TempDir {
    let mut net = Net::new();
    let mut adapters = Adapters::new();
    adapters.add(&mut net.layers, &net.vs, "default", config).unwrap();
    let dir = tempfile::tempdir().unwrap();
    adapters.save("default", dir.path()).unwrap();
    dir
}

fn lora() -> LoraConfig {
    LoraConfig::new(2).alpha(6.0).modules_to_save(["classifier"])
}

fn change(dir: &Path, change: impl FnOnce(&mut Tensors)) {
    let path = dir.join(WEIGHTS_FILE);
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Tensors = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, view.dtype(), view.shape().to_vec(), view.data().to_vec()))
        .collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    change(&mut tensors);
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    std::fs::write(path, serialize(views, None).unwrap()).unwrap();
}

/// Loading fails with these words, and nothing about the model changes.
fn refused(dir: &Path, words: &[&str]) {
    let mut net = Net::new();
    let before = net.snapshot();
    let mut adapters = Adapters::new();
    let result = adapters.load(&mut net.layers, &net.vs, "default", dir, LoadOptions::default());
    let error = result.unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "{word} is not in: {error}");
    }
    assert_eq!(net.snapshot(), before);
    assert!(net.layers.0.iter().all(|(_, layer)| layer.adapters().is_empty()));
    assert_eq!(adapters.names().count(), 0);
    // The same adapters can still take a good one.
    adapters.load(&mut net.layers, &net.vs, "default", save(&lora()).path(), LoadOptions::default()).unwrap();
}

#[test]
fn damaged_files() {
    let dir = save(&lora());
    let path = dir.path().join(WEIGHTS_FILE);
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 7, 60, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        refused(dir.path(), &[WEIGHTS_FILE, &format!("({length} bytes)"), "cut off or damaged"]);
    }
    std::fs::remove_file(&path).unwrap();
    refused(dir.path(), &["cannot read", WEIGHTS_FILE]);
    std::fs::write(dir.path().join("adapter_model.bin"), "pickle").unwrap();
    refused(dir.path(), &["adapter_model.bin is a Python pickle"]);
    std::fs::remove_file(dir.path().join(CONFIG_FILE)).unwrap();
    refused(dir.path(), &["cannot read", CONFIG_FILE]);
}

#[test]
fn numbers_that_are_not_finite() {
    for (index, value) in [(0, f32::NAN), (3, f32::INFINITY)] {
        let dir = save(&lora());
        let mut name = String::new();
        change(dir.path(), |tensors| {
            name = tensors[index].0.clone();
            tensors[index].3[..4].copy_from_slice(&value.to_le_bytes());
        });
        refused(dir.path(), &[WEIGHTS_FILE, &name, "holds a NaN or an infinity"]);
    }
}

#[test]
fn numbers_that_are_too_large_for_the_models_kind() {
    let dir = save(&lora());
    let mut name = String::new();
    change(dir.path(), |tensors| {
        let at = tensors.iter().position(|tensor| tensor.0.ends_with("lora_A.weight")).unwrap();
        let (key, dtype, _, bytes) = &mut tensors[at];
        name = key.clone();
        let numbers: Vec<f32> = bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        *bytes = numbers.iter().flat_map(|number| (f64::from(*number) * 1e300).to_le_bytes()).collect();
        *dtype = Dtype::F64;
    });
    refused(dir.path(), &[&name, "holds a number that Float, the model's kind, is too small for"]);
    // What is stored in full has the base's own kind, here f16.
    let dir = save(&lora());
    change(dir.path(), |tensors| {
        let head = tensors.iter_mut().find(|tensor| tensor.0.ends_with("classifier.bias")).unwrap();
        head.3[..4].copy_from_slice(&7e4f32.to_le_bytes());
    });
    let mut net = Net::of_kind(tch::Kind::Half);
    let result =
        Adapters::new().load(&mut net.layers, &net.vs, "default", dir.path(), LoadOptions::default());
    let error = result.unwrap_err().to_string();
    assert!(error.contains("classifier.bias\" holds a number that Half"), "{error}");
}

#[test]
fn the_own_weight_of_an_adapted_layer_has_to_be_the_models() {
    // As PEFT writes that of a targeted lm_head.
    let dir = save(&lora());
    let own = crate::support::bits(Net::new().layer(0).weight());
    let key = "base_model.model.layers.0.mlp.up.base_layer.weight";
    change(dir.path(), |tensors| tensors.push((key.to_owned(), Dtype::F32, vec![10, 6], own)));
    let mut net = Net::new();
    let mut adapters = Adapters::new();
    adapters.load(&mut net.layers, &net.vs, "default", dir.path(), LoadOptions::default()).unwrap();
    change(dir.path(), |tensors| {
        let tensor = tensors.iter_mut().find(|tensor| tensor.0 == key).unwrap();
        tensor.3[0] ^= 1;
    });
    refused(dir.path(), &[key, "differs from this model's", "the base model that it was made for"]);
    change(dir.path(), |tensors| {
        let tensor = tensors.iter_mut().find(|tensor| tensor.0 == key).unwrap();
        tensor.0 = key.replace("mlp.up", "mlp.gate");
    });
    refused(dir.path(), &["have no place for", "mlp.gate.base_layer.weight"]);
}

#[test]
fn dora_on_a_weight_with_a_row_of_zeros() {
    let zero = |net: &mut Net| {
        let mut row = net.layer(1).weight().shallow_clone();
        tch::no_grad(|| row = row.select(0, 3).zero_());
    };
    let dir = save(&lora().dora(true));
    let mut net = Net::new();
    zero(&mut net);
    let before = net.snapshot();
    let words =
        "layer \"layers.0.mlp.down\": DoRA needs weights whose rows are finite and not all zeros, row 3 ";
    let mut adapters = Adapters::new();
    let result = adapters.load(&mut net.layers, &net.vs, "default", dir.path(), LoadOptions::default());
    let error = result.unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
    let error =
        adapters.add(&mut net.layers, &net.vs, "default", &lora().dora(true)).unwrap_err().to_string();
    assert!(error.contains("layers.0.mlp.down") && error.contains("row 3 "), "{error}");
    assert_eq!(net.snapshot(), before);
    adapters.add(&mut net.layers, &net.vs, "default", &lora()).unwrap();
}

#[test]
fn tensors_that_are_misnamed_missing_or_too_many() {
    let first = "base_model.model.layers.0.mlp.down.lora_A.weight";
    let position = |tensors: &Tensors| tensors.iter().position(|tensor| tensor.0 == first).unwrap();
    let dir = save(&lora());
    change(dir.path(), |tensors| {
        let at = position(tensors);
        tensors[at].0 = "layers.0.mlp.down.lora_A.weight".to_owned();
    });
    refused(dir.path(), &["do not begin with \"base_model.model.\"", "layers.0.mlp.down.lora_A.weight"]);

    let dir = save(&lora());
    change(dir.path(), |tensors| {
        let at = position(tensors);
        tensors[at].0 = first.replace("down", "middle");
    });
    refused(
        dir.path(),
        &["1 tensors that this model", "layers.0.mlp.middle.lora_A.weight", "expected such as"],
    );

    let dir = save(&lora());
    change(dir.path(), |tensors| drop(tensors.remove(position(tensors))));
    refused(dir.path(), &["lacks 1 of the adapter's tensors", first]);

    let dir = save(&lora());
    change(dir.path(), |tensors| {
        let mut again = tensors[position(tensors)].clone();
        again.0 = first.replace(".weight", ".default.weight");
        tensors.push(again);
    });
    refused(dir.path(), &["twice"]);

    let dir = save(&lora());
    change(dir.path(), |tensors| {
        let at = position(tensors);
        tensors[at].1 = Dtype::I32;
    });
    refused(dir.path(), &["is stored as I32; supported: F32, F16, BF16, F64"]);

    // DoRA's magnitudes where the configuration has no DoRA, and the other way.
    let dir = save(&lora().dora(true));
    let config = dir.path().join(CONFIG_FILE);
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"use_dora\": true", "\"use_dora\": false")).unwrap();
    refused(dir.path(), &["lora_magnitude_vector"]);
    let dir = save(&lora());
    let config = dir.path().join(CONFIG_FILE);
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"use_dora\": false", "\"use_dora\": true")).unwrap();
    refused(dir.path(), &["lacks 2", "lora_magnitude_vector"]);
}

#[test]
fn an_adapter_for_another_base() {
    let dir = save(&lora());
    change(dir.path(), |tensors| {
        for (name, _, shape, _) in tensors.iter_mut().filter(|tensor| tensor.0.contains("up.lora_A")) {
            assert!(name.contains("layers.0"));
            *shape = vec![4, 3];
        }
    });
    refused(dir.path(), &["up.lora_A.weight\" has shape [4, 3]", "ask for [2, 6]", "another base model"]);
    let dir = save(&lora());
    let config = dir.path().join(CONFIG_FILE);
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("layers.0.mlp", "h.0.mlp")).unwrap();
    refused(dir.path(), &["matches none of the model's linear layers", "layers.0.mlp.up, layers.0.mlp.down"]);
    std::fs::write(&config, text.replace("\"r\": 2", "\"r\": 4")).unwrap();
    refused(dir.path(), &["has shape", "ask for [4"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let mut net = Net::new();
    let mut adapters = Adapters::new();
    adapters.add(&mut net.layers, &net.vs, "default", &lora()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = adapters.save("default", &file.join("adapter")).unwrap_err().to_string();
    assert!(error.contains("cannot create") && error.contains("file/adapter"), "{error}");
    let error = adapters.save("other", dir.path()).unwrap_err().to_string();
    assert!(error.contains("there are: default"), "{error}");
}

#[test]
fn links_that_lead_out_of_the_folder_are_refused() {
    for name in [CONFIG_FILE, WEIGHTS_FILE] {
        let (dir, outside) = (save(&lora()), tempfile::tempdir().unwrap());
        std::fs::rename(dir.path().join(name), outside.path().join("x")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("x"), dir.path().join(name)).unwrap();
        let mut net = Net::new();
        let loaded =
            Adapters::new().load(&mut net.layers, &net.vs, "default", dir.path(), LoadOptions::default());
        let error = loaded.unwrap_err().to_string();
        assert!(
            error.contains(name) && error.contains("it is a link that leads out of the folder"),
            "{error}"
        );
    }
}
