//! The registry of parameters.

use grades::Error;
use grades::parameters::Parameters;
use grades::torch::identity;
use tch::nn::VarStore;
use tch::{Device, Kind};

use crate::common::{add, values};

fn store(names: &[(&str, usize)]) -> VarStore {
    let vs = VarStore::new(Device::Cpu);
    for (name, group) in names {
        let _ = add(&vs, name, *group, &values(&[2, 3], Kind::Float, Device::Cpu, |i| i as f64));
    }
    vs
}

#[test]
fn sorted_by_name_with_group_shape_and_kind() {
    let vs = store(&[("m.b", 3), ("z", 0), ("m.a", 1)]);
    let parameters = Parameters::from_var_store(&vs).unwrap();
    let names: Vec<_> = parameters.iter().map(|(id, p)| (id.index(), p.name(), p.group())).collect();
    assert_eq!(names, [(0, "m.a", 1), (1, "m.b", 3), (2, "z", 0)]);
    assert_eq!((parameters.len(), parameters.groups(), parameters.is_empty()), (3, 4, false));
    let id = parameters.id_of("m.b").unwrap();
    let parameter = parameters.get(id).unwrap();
    assert_eq!((parameter.elements(), parameter.shape()), (6, vec![2, 3]));
    assert_eq!((parameter.kind(), parameter.device()), (Kind::Float, Device::Cpu));
    assert!(parameters.id_of("m").is_none() && parameters.by_name("nope").is_none());
    assert!(format!("{parameter:?}").contains("m.b"));
}

#[test]
fn the_tensor_is_the_models_own() {
    let vs = store(&[("w", 0)]);
    let parameters = Parameters::from_var_store(&vs).unwrap();
    let own = &vs.variables()["w"];
    let listed = parameters.by_name("w").unwrap().tensor();
    assert_eq!(identity(own).unwrap(), identity(listed).unwrap());
}

#[test]
fn not_trainable_is_left_out() {
    let vs = store(&[("a", 0), ("b", 0)]);
    let _buffer = vs.root().zeros_no_train("buffer", &[2]);
    let _ = vs.variables()["b"].set_requires_grad(false);
    let parameters = Parameters::from_var_store(&vs).unwrap();
    assert_eq!(parameters.len(), 1);
    assert_eq!(parameters.left_out(), ["b"]);
    assert!(parameters.aliases().is_empty());
}

#[test]
fn a_tensor_with_two_names_appears_once() {
    let vs = store(&[("embedding", 1), ("other", 0)]);
    let shared = vs.variables()["embedding"].shallow_clone();
    vs.variables_.lock().unwrap().named_variables.insert("output".to_owned(), shared);
    let parameters = Parameters::from_var_store(&vs).unwrap();
    let embedding = parameters.id_of("embedding").unwrap();
    assert_eq!(parameters.len(), 2);
    assert_eq!(parameters.aliases(), [("output".to_owned(), embedding)]);
    assert_eq!(parameters.id_of("output"), Some(embedding));
    assert_eq!(parameters.by_name("output").unwrap().name(), "embedding");
}

#[test]
fn groups_and_kinds_survive_a_change_of_kind() {
    let mut vs = store(&[("a", 0), ("b", 1)]);
    vs.bfloat16();
    let parameters = Parameters::from_var_store(&vs).unwrap();
    assert!(parameters.iter().all(|(_, p)| p.kind() == Kind::BFloat16));
    assert_eq!(parameters.by_name("b").unwrap().group(), 1);
}

#[test]
fn nothing_trainable_is_an_error_that_lists_names() {
    let mut vs = store(&[("a", 0), ("b", 0)]);
    vs.freeze();
    let error = Parameters::from_var_store(&vs).unwrap_err();
    assert!(matches!(&error, Error::NoComponents { seen, .. } if seen == "a, b"), "{error}");
    let error = Parameters::from_var_store(&VarStore::new(Device::Cpu)).unwrap_err();
    assert!(matches!(error, Error::NoComponents { .. }));
}

#[test]
fn a_trainable_without_a_name_is_an_error() {
    let vs = store(&[("a", 0), ("b", 0)]);
    let _ = vs.variables_.lock().unwrap().named_variables.remove("a");
    let error = Parameters::from_var_store(&vs).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}
