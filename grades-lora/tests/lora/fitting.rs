//! Configurations that do not go with a model, in a part or as a whole.

use grades_lora::{Adapter, Adapters, Bias, Linear, LinearLayers, LoraConfig, Targets};
use tch::nn::VarStore;
use tch::{Device, Kind};

use crate::support::{Net, numbers};

/// Layers of these names, as a store has them.
struct Named {
    vs: VarStore,
    layers: Layers,
}

struct Layers(Vec<(String, Linear)>);

impl LinearLayers for Layers {
    fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut Linear)) {
        for (name, layer) in &mut self.0 {
            visit(name, layer);
        }
    }
}

fn model(names: &[&str]) -> Named {
    let vs = VarStore::new(Device::Cpu);
    let layers = names.iter().map(|name| {
        let path = name.split('.').fold(vs.root(), |path, part| path.sub(part));
        let weight = path.add("weight", numbers(0.1, &[4, 4], Kind::Float), true);
        (
            (*name).to_owned(),
            Linear::new(weight, Some(path.add("bias", numbers(0.2, &[4], Kind::Float), true))),
        )
    });
    let layers = Layers(layers.collect());
    Named { vs, layers }
}

fn add(named: &mut Named, config: &LoraConfig) -> grades_lora::Result<Adapters> {
    let mut adapters = Adapters::new();
    adapters.add(&mut named.layers, &named.vs, "default", config)?;
    Ok(adapters)
}

/// The variables that train and are no adapter's.
fn trained(named: &Named) -> Vec<String> {
    let found = grades::parameters::Parameters::from_var_store(&named.vs).unwrap();
    let names = found.iter().map(|(_, parameter)| parameter.name().to_owned());
    names.filter(|name| !Adapters::is_variable(name)).collect()
}

#[test]
fn a_layer_is_adapted_or_saved_in_full_never_both() {
    // DistilBERT's head: the name of the one ends in that of the other, which is how entries are matched.
    let mut named = model(&["q_lin", "pre_classifier", "classifier"]);
    let config = LoraConfig::new(2).modules_to_save(["classifier"]);
    let error = add(&mut named, &config).unwrap_err().to_string();
    let words = "layer \"pre_classifier\": is both adapted and in \"modules_to_save\" entry \"classifier\"";
    assert!(error.contains(words), "{error}");
    let adapters = add(&mut named, &config.exclude_modules(["pre_classifier"])).unwrap();
    assert_eq!(adapters.layers("default").unwrap(), ["q_lin"]);
    let full = ["classifier.bias", "classifier.weight", "pre_classifier.bias", "pre_classifier.weight"];
    assert_eq!(trained(&named), full);
}

#[test]
fn entries_of_modules_to_save_may_overlap() {
    for entries in [["classifier", "classifier.dense"], ["classifier.dense", "classifier"]] {
        let mut named = model(&["query", "classifier.dense"]);
        add(&mut named, &LoraConfig::new(2).modules_to_save(entries)).unwrap();
        assert_eq!(trained(&named), ["classifier.dense.bias", "classifier.dense.weight"]);
    }
}

#[test]
fn the_head_of_a_task_is_never_adapted() {
    for (task, head) in [("SEQ_CLS", "classifier"), ("TOKEN_CLS", "score"), ("QUESTION_ANS", "qa_outputs")] {
        let mut named = model(&["query", head]);
        let config = LoraConfig::new(2).target_modules(["query", head]);
        let adapters = add(&mut named, &config.clone().task_type(task)).unwrap();
        assert_eq!(adapters.layers("default").unwrap(), ["query"], "{task}");
        let adapters = add(&mut model(&["query", head]), &config.task_type("CAUSAL_LM")).unwrap();
        assert_eq!(adapters.layers("default").unwrap().len(), 2);
    }
}

#[test]
fn a_name_that_was_attached_by_hand_is_refused_before_anything_changes() {
    let mut net = Net::new();
    let byhand = Adapter::new("default", net.layer(1), 2, 2.0, &LoraConfig::default()).unwrap();
    net.layer(1).attach(byhand).unwrap();
    let before = net.snapshot();
    let mut adapters = Adapters::new();
    let error =
        adapters.add(&mut net.layers, &net.vs, "default", &LoraConfig::new(2)).unwrap_err().to_string();
    let words = "layer \"layers.0.mlp.down\": has an adapter \"default\" already";
    assert!(error.contains(words), "{error}");
    assert_eq!(net.snapshot(), before);
    assert!(net.layer(0).adapters().is_empty());
    adapters.add(&mut net.layers, &net.vs, "other", &LoraConfig::new(2)).unwrap();
}

#[test]
fn each_part_of_a_configuration_has_to_mean_a_layer() {
    let names = ["h.layer.0.query", "h.layer.0.key", "h.layer.1.query", "h.layer.1.key"];
    let lora = LoraConfig::new(2).target_modules(["query"]);
    let blocks = |blocks: &[u32], pattern: &str| {
        let mut config = lora.clone().layers_to_transform(blocks.iter().copied());
        config.layers_pattern = vec!["layer".to_owned(), pattern.to_owned()];
        config
    };
    let mut excluding = lora.clone();
    excluding.exclude_modules = Some(Targets::Pattern(r".*\.kye".to_owned()));
    let cases = [
        (lora.clone().target_modules(["query", "valeu"]), "\"target_modules\" entry \"valeu\" matches none"),
        (lora.clone().exclude_modules(["kye"]), "\"exclude_modules\" entry \"kye\" matches none"),
        (excluding, "\"exclude_modules\" expression \".*\\.kye\" matches none"),
        (lora.clone().rank_of("qurey", 1), "\"rank_pattern\" entry \"qurey\" matches none"),
        (lora.clone().alpha_of("qurey", 1.0), "\"alpha_pattern\" entry \"qurey\" matches none"),
        (lora.clone().layers_to_transform([99, 0]), "\"layers_to_transform\" entry 99 matches none"),
        (blocks(&[0], "leyer"), "\"layers_pattern\" entry \"leyer\" matches none"),
        (
            lora.clone().target_modules(["query", "valeu"]).rank_of("qurey", 1),
            "each of \"target_modules\" entry \"valeu\", \"rank_pattern\" entry \"qurey\" matches none",
        ),
    ];
    for (config, words) in cases {
        let mut named = model(&names);
        let error = add(&mut named, &config).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("they are: h.layer.0.query, "), "{error}");
        assert!(named.layers.0.iter().all(|(_, layer)| layer.adapters().is_empty()));
    }
    let good =
        lora.exclude_modules(["key"]).layers_to_transform([1]).rank_of("query", 1).alpha_of(r"1\..*", 3.0);
    assert_eq!(add(&mut model(&names), &good).unwrap().layers("default").unwrap(), ["h.layer.1.query"]);
}

#[test]
fn a_file_may_name_layers_that_this_model_does_not_have() {
    // PEFT writes such files: its default names for a family of models, say.
    let mut net = Net::new();
    let mut adapters = Adapters::new();
    let config = LoraConfig::new(2).target_modules(["up"]);
    adapters.add(&mut net.layers, &net.vs, "default", &config).unwrap();
    let dir = tempfile::tempdir().unwrap();
    adapters.save("default", dir.path()).unwrap();
    let path = dir.path().join(grades_lora::CONFIG_FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["target_modules"] = serde_json::json!(["up", "gate"]);
    config["rank_pattern"] = serde_json::json!({"gate": 4});
    std::fs::write(&path, config.to_string()).unwrap();
    let mut other = Net::new();
    let mut adapters = Adapters::new();
    adapters.load(&mut other.layers, &other.vs, "default", dir.path(), Default::default()).unwrap();
    assert_eq!(adapters.layers("default").unwrap(), ["layers.0.mlp.up"]);
}

#[test]
fn biases_of_adapted_layers_have_to_be_in_the_store() {
    let vs = VarStore::new(Device::Cpu);
    let path = vs.root() / "fc";
    let weight = path.add("weight", numbers(0.1, &[4, 4], Kind::Float), true);
    let bias = path.add("bias", numbers(0.2, &[4], Kind::Float), true);
    let layers = Layers(vec![("first".to_owned(), Linear::new(weight, Some(bias)))]);
    let mut named = Named { vs, layers };
    let config = LoraConfig::new(2).bias(Bias::LoraOnly);
    let error = add(&mut named, &config).unwrap_err().to_string();
    let words = "layer \"first\": \"bias\" is \"lora_only\", but the VarStore has no \"first.bias\" to train";
    assert!(error.contains(words), "{error}");
    assert!(add(&mut named, &config.bias(Bias::None)).is_ok());
}
