//! What was frozen stays frozen while adapters are switched, added and removed.

use grades_lora::{Adapters, LoadOptions, LoraConfig, MergeFrozen};
use tch::Tensor;

use crate::support::{Net, input};

fn config() -> LoraConfig {
    LoraConfig::new(2).alpha(6.0).modules_to_save(["classifier"])
}

/// A model with the adapter `one`, of which A of the first layer and the head's bias are frozen.
fn frozen() -> (Net, Adapters, Vec<Tensor>) {
    let (mut net, mut adapters) = (Net::new(), Adapters::new());
    adapters.add(&mut net.layers, &net.vs, "one", &config()).unwrap();
    net.stir("one");
    let variables = net.vs.variables();
    let names = ["layers.0.mlp.up.lora_A.one.weight", "classifier.bias"];
    let frozen = names.map(|name| variables[name].shallow_clone());
    for tensor in &frozen {
        let _ = tensor.set_requires_grad(false);
    }
    assert_eq!(net.trained().len(), 4 + 2 - 2);
    (net, adapters, frozen.into())
}

#[test]
fn switching_adding_and_removing_turns_nothing_on() {
    let (mut net, mut adapters, _) = frozen();
    let expected = net.trained();
    let layers = |net: &mut Net| std::mem::replace(&mut net.layers, crate::support::Layers(Vec::new()));
    let mut model = layers(&mut net);
    let mut step = |what: &str, act: &mut dyn FnMut(&mut Adapters, &mut crate::support::Layers, &Net)| {
        act(&mut adapters, &mut model, &net);
        assert_eq!(net.trained(), expected, "{what}");
    };
    let dir = tempfile::tempdir().unwrap();
    step("the same again", &mut |adapters, model, _| adapters.activate(model, &["one"]).unwrap());
    step("off and on", &mut |adapters, model, net| {
        adapters.disable(model).unwrap();
        assert!(grades::parameters::Parameters::from_var_store(&net.vs).is_err(), "nothing trains");
        adapters.enable(model).unwrap();
    });
    step("add", &mut |adapters, model, net| adapters.add(model, &net.vs, "two", &config()).unwrap());
    step("another and back", &mut |adapters, model, net| {
        adapters.activate(model, &["two"]).unwrap();
        assert_eq!(net.trained().len(), 6, "another one trains in full");
        adapters.activate(model, &["one"]).unwrap();
    });
    step("load", &mut |adapters, model, net| {
        adapters.save("two", dir.path()).unwrap();
        let options = LoadOptions { trainable: true };
        adapters.load(model, &net.vs, "three", dir.path(), options).unwrap();
    });
    step("remove", &mut |adapters, model, net| {
        adapters.remove(model, &net.vs, "two").unwrap();
        adapters.remove(model, &net.vs, "three").unwrap();
    });
    step("add without the head", &mut |adapters, model, net| {
        adapters.add(model, &net.vs, "four", &LoraConfig::new(2)).unwrap();
    });
}

#[test]
fn what_froze_is_merged_again_after_a_look_at_the_base() {
    let (mut net, mut adapters, _) = frozen();
    for tensor in net.layer(0).adapters()[0].tensors() {
        let _ = tensor.set_requires_grad(false);
    }
    let merge = |net: &mut Net| MergeFrozen::new().apply(&mut net.layers).unwrap();
    assert_eq!(merge(&mut net).merged, ["layers.0.mlp.up"]);
    let y = net.forward(&input(), false);
    adapters.disable(&mut net.layers).unwrap();
    adapters.enable(&mut net.layers).unwrap();
    let again = merge(&mut net);
    assert_eq!((again.merged, again.unmerged), (vec!["layers.0.mlp.up".to_owned()], Vec::new()));
    assert_eq!(crate::support::bits(&net.forward(&input(), false)), crate::support::bits(&y));
}

#[test]
fn enable_brings_back_what_was_in_use_though_another_was_removed_meanwhile() {
    let (mut net, mut adapters, _) = frozen();
    adapters.add(&mut net.layers, &net.vs, "two", &LoraConfig::new(2)).unwrap();
    let expected = (net.trained(), crate::support::bits(&net.forward(&input(), false)));
    adapters.disable(&mut net.layers).unwrap();
    adapters.remove(&mut net.layers, &net.vs, "two").unwrap();
    assert_eq!(adapters.active().count(), 0);
    adapters.enable(&mut net.layers).unwrap();
    assert_eq!(adapters.active().collect::<Vec<_>>(), ["one"]);
    assert_eq!((net.trained(), crate::support::bits(&net.forward(&input(), false))), expected);
    // What was in use and is gone stays gone.
    adapters.disable(&mut net.layers).unwrap();
    adapters.remove(&mut net.layers, &net.vs, "one").unwrap();
    adapters.enable(&mut net.layers).unwrap();
    assert_eq!(adapters.names().count(), 0);
}
