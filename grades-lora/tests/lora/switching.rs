//! Several adapters in one model.

use grades_lora::{Adapters, LoraConfig};
use tch::{Kind, Tensor};

use crate::support::{Net, assert_near, bits, input, plain, set};

/// A model with the adapters `one`, which also saves the head, and `two`.
fn two(same_head: bool) -> (Net, Adapters) {
    let mut net = Net::new();
    let mut adapters = Adapters::new();
    let one = LoraConfig::new(2).alpha(6.0).modules_to_save(["classifier"]);
    adapters.add(&mut net.layers, &net.vs, "one", &one).unwrap();
    let two = LoraConfig::new(3).target_modules(["up"]);
    let two = if same_head { two.modules_to_save(["classifier"]) } else { two };
    adapters.add(&mut net.layers, &net.vs, "two", &two).unwrap();
    net.stir("one");
    net.stir("two");
    (net, adapters)
}

#[test]
fn each_adapter_has_its_own_outputs_and_modules() {
    let (mut net, mut adapters) = two(true);
    let plain = Net::new().forward(&input(), false);
    let head = net.layer(2).weight().shallow_clone();
    set(&head, &(&head * 2.0));
    let one = net.forward(&input(), false);
    adapters.activate(&mut net.layers, &["two"]).unwrap();
    set(&head, &(&head * 3.0));
    let two = net.forward(&input(), false);
    assert_eq!(adapters.active().collect::<Vec<_>>(), ["two"]);
    assert!(net.trained().iter().all(|name| !name.contains(".one.")));
    adapters.activate(&mut net.layers, &["one"]).unwrap();
    assert_eq!(bits(&net.forward(&input(), false)), bits(&one));
    assert!(net.trained().iter().all(|name| !name.contains(".two.")));
    adapters.disable(&mut net.layers).unwrap();
    assert_eq!(bits(&net.forward(&input(), false)), bits(&plain));
    adapters.enable(&mut net.layers).unwrap();
    assert_eq!(bits(&net.forward(&input(), false)), bits(&one));
    adapters.activate(&mut net.layers, &["two"]).unwrap();
    assert_eq!(bits(&net.forward(&input(), false)), bits(&two));
    adapters.remove(&mut net.layers, &net.vs, "two").unwrap();
    assert_eq!(bits(&net.forward(&input(), false)), bits(&plain));
    adapters.remove(&mut net.layers, &net.vs, "one").unwrap();
    assert_eq!(net.snapshot().len(), Net::new().snapshot().len());
    assert_eq!(adapters.names().count(), 0);
}

#[test]
fn a_saved_file_has_the_values_of_its_own_adapter_whichever_is_in_use() {
    let (mut net, mut adapters) = two(true);
    let head = net.layer(2).weight().shallow_clone();
    set(&head, &(&head * 2.0));
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    adapters.save("one", dirs[0].path()).unwrap();
    adapters.activate(&mut net.layers, &["two"]).unwrap();
    adapters.save("one", dirs[1].path()).unwrap();
    let [used, unused] = dirs.map(|dir| std::fs::read(dir.path().join(grades_lora::WEIGHTS_FILE)).unwrap());
    assert_eq!(used, unused);
}

#[test]
fn both_at_once_add_up_unless_they_share_a_module() {
    let (mut net, mut adapters) = two(false);
    adapters.activate(&mut net.layers, &["one", "two"]).unwrap();
    let x = input();
    let both = net.layer(0).forward(&x, false).unwrap();
    let mut alone = Vec::new();
    for name in ["one", "two"] {
        adapters.activate(&mut net.layers, &[name]).unwrap();
        alone.push(net.layer(0).forward(&x, false).unwrap());
    }
    let plain = plain(net.layer(0), &x);
    assert_near(&both, &(&alone[0] + &alone[1] - plain), "both");

    let (mut net, mut adapters) = two(true);
    let before = net.snapshot();
    let error = adapters.activate(&mut net.layers, &["one", "two"]).unwrap_err().to_string();
    assert!(error.contains("brings values for \"classifier.bias\", as \"one\" does"), "{error}");
    let error = adapters.activate(&mut net.layers, &["three"]).unwrap_err().to_string();
    assert!(error.contains("there are: one, two"), "{error}");
    assert_eq!(net.snapshot(), before);
}

#[test]
fn merging_is_of_all_layers_or_none() {
    let (mut net, mut adapters) = two(false);
    let (x, original) = (input(), bits(net.layer(0).weight()));
    let expected = net.forward(&x, false);
    adapters.merge(&mut net.layers, "one").unwrap();
    assert_near(&net.forward(&x, false), &expected, "merged");
    let error = adapters.merge(&mut net.layers, "one").unwrap_err().to_string();
    assert!(error.contains("is merged already"), "{error}");
    adapters.unmerge(&mut net.layers, "one").unwrap();
    assert_eq!(bits(net.layer(0).weight()), original);
    // The second layer cannot be merged, so the first is not.
    let b = net.layer(1).adapter("one").unwrap().b().shallow_clone();
    set(&b, &Tensor::full(b.size().as_slice(), f64::INFINITY, (Kind::Float, tch::Device::Cpu)));
    assert!(adapters.merge(&mut net.layers, "one").unwrap_err().to_string().contains("not finite"));
    assert_eq!(bits(net.layer(0).weight()), original);
    assert!(!net.layer(0).adapter("one").unwrap().is_merged());
    assert!(adapters.merge_and_unload(&mut net.layers, &net.vs).is_err());
    assert_eq!(bits(net.layer(0).weight()), original);
    assert_eq!(adapters.names().count(), 2);
    // A merged adapter that is no longer used leaves the weight.
    net.layer(0).merge("one").unwrap();
    adapters.activate(&mut net.layers, &["two"]).unwrap();
    assert_eq!(bits(net.layer(0).weight()), original);
}
