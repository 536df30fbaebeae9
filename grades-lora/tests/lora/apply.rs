//! Adding adapters to a model.

use grades_lora::{Adapters, Bias, Linear, LinearLayers, LoraConfig};

use crate::support::{Net, assert_near, input};
use crate::tolerance::assert_within;

fn add(net: &mut Net, config: &LoraConfig) -> Adapters {
    let mut adapters = Adapters::new();
    adapters.add(&mut net.layers, &net.vs, "default", config).unwrap();
    adapters
}

#[test]
fn only_what_the_configuration_names_trains() {
    let a_and_b = |module: &str| ["A", "B"].map(|m| format!("{module}.lora_{m}.default.weight"));
    let (up, down) = (a_and_b("layers.0.mlp.up"), a_and_b("layers.0.mlp.down"));
    let lora = LoraConfig::new(2).alpha(6.0);
    let head = ["classifier.bias".to_owned(), "classifier.weight".to_owned()];
    let biases = ["layers.0.mlp.down.bias", "layers.0.mlp.up.bias"].map(str::to_owned);
    let magnitudes = ["down", "up"].map(|m| format!("layers.0.mlp.{m}.lora_magnitude_vector.default.weight"));
    let cases: [(LoraConfig, Vec<Vec<String>>); 6] = [
        (lora.clone(), vec![up.to_vec(), down.to_vec()]),
        (lora.clone().target_modules(["up"]), vec![up.to_vec()]),
        (lora.clone().modules_to_save(["classifier"]), vec![up.to_vec(), down.to_vec(), head.to_vec()]),
        (lora.clone().dora(true), vec![up.to_vec(), down.to_vec(), magnitudes.to_vec()]),
        (
            lora.clone().bias(Bias::LoraOnly).target_modules(["up"]),
            vec![up.to_vec(), vec![biases[1].clone()]],
        ),
        (
            lora.bias(Bias::All).target_modules(["up"]),
            vec![up.to_vec(), biases.to_vec(), vec![head[0].clone()]],
        ),
    ];
    for (config, expected) in cases {
        let mut net = Net::new();
        add(&mut net, &config);
        let mut expected = expected.concat();
        expected.sort();
        assert_eq!(net.trained(), expected, "{config:?}");
    }
}

#[test]
fn the_adapters_of_a_layer_are_one_component_or_several() {
    use grades::component::{AdapterGrouping, ComponentConfig, ComponentKind, ComponentMap, ParameterInfo};
    let mut net = Net::new();
    add(&mut net, &LoraConfig::new(2).dora(true).modules_to_save(["classifier"]));
    let parameters = grades::parameters::Parameters::from_var_store(&net.vs).unwrap();
    let infos: Vec<ParameterInfo> =
        parameters.iter().map(|(_, p)| ParameterInfo::new(p.name(), p.shape())).collect();
    let map =
        |grouping| ComponentMap::new(&infos, &ComponentConfig::default().with_adapters(grouping)).unwrap();
    let together = map(AdapterGrouping::Together);
    let found: Vec<_> = together
        .components()
        .iter()
        .map(|c| (c.name.as_str(), c.kind, c.layer, c.parameters.len(), c.elements))
        .collect();
    let kind = ComponentKind::Adapter;
    let expected = [
        ("layers.0.mlp.down", kind, Some(0), 3, 20 + 12 + 6),
        ("layers.0.mlp.up", kind, Some(0), 3, 12 + 20 + 10),
    ];
    assert_eq!(found, expected);
    assert_eq!(together.left_out().len(), 2, "the head trains on, but is no component by default");
    assert_eq!(map(AdapterGrouping::Apart).components().len(), 6);
}

#[test]
fn a_failed_call_leaves_the_model_untouched() {
    let mut net = Net::new();
    let mut adapters = add(&mut net, &LoraConfig::new(2).alpha(6.0));
    net.stir("default");
    let before = (net.snapshot(), net.forward(&input(), false));
    let lora = LoraConfig::new(2);
    struct Case {
        name: &'static str,
        config: LoraConfig,
        words: &'static str,
    }
    let cases = [
        Case {
            name: "more",
            config: lora.clone().target_modules(["middle"]),
            words: "matches none of the model's linear layers; they are: layers.0.mlp.up, layers.0.mlp.down, classifier",
        },
        Case {
            name: "more",
            config: lora.clone().exclude_modules(["up", "down", "classifier"]),
            words: "exclude_modules",
        },
        Case {
            name: "more",
            config: LoraConfig::new(7),
            words: "layer \"layers.0.mlp.up\": a rank of 7 does not go with 6 inputs and 10 outputs; expected 1 to 6",
        },
        Case {
            name: "more",
            config: lora.clone().rank_of("down", 40),
            words: "layer \"layers.0.mlp.down\": a rank of 40",
        },
        Case { name: "more", config: LoraConfig::new(0), words: "r: expected a rank of at least 1" },
        Case {
            name: "more",
            config: lora.clone().modules_to_save(["haed"]),
            words: "\"modules_to_save\" entry \"haed\" matches none",
        },
        Case { name: "default", config: lora.clone(), words: "adapter \"default\": is there already" },
        Case { name: "a.b", config: lora.clone(), words: "is no name" },
        Case { name: "", config: lora, words: "is no name" },
    ];
    for Case { name, config, words } in cases {
        let error = adapters.add(&mut net.layers, &net.vs, name, &config).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(net.snapshot(), before.0, "{words}");
        assert_within(&net.forward(&input(), false), &before.1, 0.0, words);
    }
    assert_eq!(adapters.names().collect::<Vec<_>>(), ["default"]);
}

#[test]
fn a_model_that_shows_two_layers_of_one_name_is_refused() {
    struct Twice(Linear);
    impl LinearLayers for Twice {
        fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut Linear)) {
            visit("a", &mut self.0);
            visit("a", &mut self.0);
        }
    }
    let vs = tch::nn::VarStore::new(tch::Device::Cpu);
    let mut model = Twice(tch::nn::linear(vs.root() / "a", 4, 4, Default::default()).into());
    let error = Adapters::new().add(&mut model, &vs, "default", &LoraConfig::new(2)).unwrap_err().to_string();
    assert!(error.contains("two layers of this name"), "{error}");
}

#[test]
fn unloading_leaves_a_plain_model_with_the_same_outputs() {
    for config in [LoraConfig::new(2).alpha(6.0), LoraConfig::new(2).alpha(6.0).dora(true)] {
        let mut net = Net::new();
        let names: Vec<String> = net.snapshot().into_iter().map(|(name, ..)| name).collect();
        let mut adapters = add(&mut net, &config.modules_to_save(["classifier"]));
        net.stir("default");
        let expected = net.forward(&input(), false);
        adapters.merge_and_unload(&mut net.layers, &net.vs).unwrap();
        assert_near(&net.forward(&input(), true), &expected, "unloaded");
        let left: Vec<String> = net.snapshot().into_iter().map(|(name, ..)| name).collect();
        assert_eq!(left, names);
        assert!(net.layer(0).adapters().is_empty());
        assert_eq!(adapters.names().count(), 0);
        assert_eq!(net.vs.trainable_variables().len(), names.len());
    }
}
