//! Merging changes no variable until it is for good.

use grades_lora::{Adapter, Adapters, Linear, LinearLayers, LoraConfig, MergeFrozen};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::support::{Net, assert_near, bits, input, numbers, set};

/// A model with a stirred adapter for each name.
fn stirred(names: &[&str]) -> (Net, Adapters) {
    let (mut net, mut adapters) = (Net::new(), Adapters::new());
    for name in names {
        adapters.add(&mut net.layers, &net.vs, name, &LoraConfig::new(2).alpha(6.0)).unwrap();
        net.stir(name);
    }
    (net, adapters)
}

#[test]
fn what_is_saved_of_the_variables_while_merged_is_the_base() {
    let (mut net, mut adapters) = stirred(&["default"]);
    let before = net.snapshot();
    let expected = net.forward(&input(), false);
    adapters.merge(&mut net.layers, "default").unwrap();
    assert_eq!(net.snapshot(), before);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.safetensors");
    net.vs.save(&path).unwrap();
    let (mut fresh, _) = stirred(&["default"]);
    fresh.vs.load(&path).unwrap();
    assert_near(&fresh.forward(&input(), false), &expected, "the adapter counts once");
    assert_near(&net.forward(&input(), false), &expected, "merged");
    let layer = net.layer(0);
    assert_ne!(bits(layer.weight()), bits(layer.base_weight()));
}

/// A table of vectors and a head that uses its numbers.
struct Tied {
    vs: VarStore,
    table: Tensor,
    head: Head,
}

struct Head(Vec<(&'static str, Linear)>);

impl LinearLayers for Head {
    fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut Linear)) {
        for (name, layer) in &mut self.0 {
            visit(name, layer);
        }
    }
}

impl Tied {
    fn new(layers: impl Fn(&Tensor) -> Vec<(&'static str, Linear)>) -> Self {
        let vs = VarStore::new(Device::Cpu);
        let table = (vs.root() / "embed").add("weight", numbers(0.1, &[7, 6], Kind::Float), true);
        let head = Head(layers(&table));
        Self { vs, table, head }
    }
}

#[test]
fn a_weight_that_others_use_is_not_written_to() {
    let lm_head = |table: &Tensor| vec![("lm_head", Linear::new(table.shallow_clone(), None))];
    let part = |table: &Tensor| vec![("lm_head", Linear::new(tch::no_grad(|| table.narrow(0, 2, 5)), None))];
    let twins = |table: &Tensor| {
        vec![
            ("embed", Linear::new(table.shallow_clone(), None)),
            ("decoder", Linear::new(table.shallow_clone(), None)),
        ]
    };
    struct Case {
        target: &'static str,
        shared: &'static str,
        tied: Tied,
    }
    let cases = [
        Case { target: "lm_head", shared: "variable \"embed.weight\"", tied: Tied::new(lm_head) },
        Case { target: "lm_head", shared: "variable \"embed.weight\"", tied: Tied::new(part) },
        Case { target: "embed", shared: "layer \"decoder\"", tied: Tied::new(twins) },
    ];
    for Case { target, shared, mut tied } in cases {
        let mut adapters = Adapters::new();
        let config = LoraConfig::new(2).alpha(6.0).target_modules([target]);
        adapters.add(&mut tied.head, &tied.vs, "default", &config).unwrap();
        set(
            tied.head.0[0].1.adapters()[0].b(),
            &numbers(0.3, &tied.head.0[0].1.adapters()[0].b().size(), Kind::Float),
        );
        let (before, x) = (bits(&tied.table), input());
        let expected = tied.head.0[0].1.forward(&x, false).unwrap();
        adapters.merge(&mut tied.head, "default").unwrap();
        assert_eq!(bits(&tied.table), before, "the embeddings are what they were");
        assert_near(&tied.head.0[0].1.forward(&x, false).unwrap(), &expected, "merged");
        let error = adapters.merge_and_unload(&mut tied.head, &tied.vs).unwrap_err().to_string();
        assert!(error.contains(&format!("layer \"{target}\": shares its weight with {shared}")), "{error}");
        assert_eq!(bits(&tied.table), before);
        assert!(tied.head.0[0].1.adapters()[0].is_merged(), "the adapter is there still");
        assert_eq!(adapters.names().count(), 1);
    }
    // A store that holds the model under a prefix, and a neighbour in the same store, share nothing.
    let vs = VarStore::new(Device::Cpu);
    let weight = (vs.root() / "model" / "head").add("weight", numbers(0.1, &[7, 6], Kind::Float), true);
    let _ = (vs.root() / "other").add("weight", numbers(0.2, &[7, 6], Kind::Float), true);
    let mut head = Head(vec![("head", Linear::new(weight.shallow_clone(), None))]);
    let mut adapters = Adapters::new();
    adapters.add(&mut head, &vs, "default", &LoraConfig::new(2).target_modules(["head"])).unwrap();
    set(head.0[0].1.adapters()[0].b(), &numbers(0.3, &[7, 2], Kind::Float));
    let (before, expected) = (bits(&weight), head.0[0].1.forward(&input(), false).unwrap());
    adapters.merge_and_unload(&mut head, &vs).unwrap();
    assert_ne!(bits(&weight), before, "the variable itself was written to");
    assert_near(&input().linear(&weight, None::<&Tensor>), &expected, "baked");
}

#[test]
fn a_base_that_trains_is_not_merged_into_but_can_be_unloaded() {
    let (mut net, mut adapters) = stirred(&["default"]);
    let weight = net.layer(1).base_weight().shallow_clone();
    let _ = weight.set_requires_grad(true);
    let expected = net.forward(&input(), false);
    let error = adapters.merge(&mut net.layers, "default").unwrap_err().to_string();
    assert!(error.contains("its layer's own weight trains"), "{error}");
    assert!(net.layers.0.iter().all(|(_, layer)| layer.adapters().iter().all(|a| !a.is_merged())));
    for (_, layer) in &net.layers.0 {
        for tensor in layer.adapters().iter().flat_map(Adapter::tensors) {
            let _ = tensor.set_requires_grad(false);
        }
    }
    let found = MergeFrozen::new().apply(&mut net.layers).unwrap();
    assert_eq!(
        (found.merged, found.left_training),
        (vec!["layers.0.mlp.up".into()], vec!["layers.0.mlp.down".into()])
    );
    // What the base learns counts, whatever was merged when.
    net.forward(&input(), true).sum(Kind::Float).backward();
    assert!(weight.grad().defined());
    adapters.merge_and_unload(&mut net.layers, &net.vs).unwrap();
    assert_near(&net.forward(&input(), false), &expected, "unloaded");
}

#[test]
fn an_adapter_that_is_not_in_use_is_not_merged() {
    let (mut net, mut adapters) = stirred(&["one", "two"]);
    let check = |net: &Net, adapters: &Adapters, active: &[&str], y: &Tensor| {
        assert_eq!(adapters.active().collect::<Vec<_>>(), active);
        for (_, layer) in &net.layers.0 {
            for adapter in layer.adapters() {
                assert_eq!(adapter.is_active(), active.contains(&adapter.name()), "{}", adapter.name());
                assert!(!adapter.is_merged());
            }
        }
        assert_eq!(bits(&net.forward(&input(), false)), bits(y));
    };
    let y = net.forward(&input(), false);
    let error = adapters.merge(&mut net.layers, "two").unwrap_err().to_string();
    assert!(error.contains("\"two\": is not in use; activate it first (in use: one)"), "{error}");
    check(&net, &adapters, &["one"], &y);
    let error = net.layer(0).merge("two").unwrap_err().to_string();
    assert!(error.contains("is not in use"), "{error}");
    check(&net, &adapters, &["one"], &y);
    adapters.disable(&mut net.layers).unwrap();
    let base = net.forward(&input(), false);
    assert!(adapters.merge(&mut net.layers, "one").is_err());
    check(&net, &adapters, &[], &base);
    adapters.enable(&mut net.layers).unwrap();
    check(&net, &adapters, &["one"], &y);
    adapters.merge(&mut net.layers, "one").unwrap();
    adapters.unmerge(&mut net.layers, "one").unwrap();
    check(&net, &adapters, &["one"], &y);
}

#[test]
fn a_layer_is_listed_once_however_many_adapters_it_has() {
    let (mut net, mut adapters) = stirred(&["one", "two"]);
    adapters.activate(&mut net.layers, &["one", "two"]).unwrap();
    let train = |net: &Net, on: bool| {
        for (_, layer) in &net.layers.0 {
            for tensor in layer.adapters().iter().flat_map(Adapter::tensors) {
                let _ = tensor.set_requires_grad(on);
            }
        }
    };
    let both = ["layers.0.mlp.up", "layers.0.mlp.down"];
    train(&net, false);
    assert_eq!(MergeFrozen::new().apply(&mut net.layers).unwrap().merged, both);
    train(&net, true);
    assert_eq!(MergeFrozen::new().apply(&mut net.layers).unwrap().unmerged, both);
}
