//! The trainable variables of a `VarStore`, by name: the registry that the rest of the crate uses.
//!
//! tch keeps names in an unordered map and trainable variables in a list without names; here the two are matched.

mod from_var_store;

use std::collections::BTreeMap;
use std::fmt;

use tch::{Device, Kind, Tensor};

/// The place of a parameter in [`Parameters`]: its rank among the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(u32);

impl ParamId {
    /// The place as an index into a list that has one entry per parameter.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The id of the parameter in that place; the caller knows that there is one.
    pub(crate) fn new(index: usize) -> Self {
        // A model with 2³² tensors does not exist.
        ParamId(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for ParamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "parameter {}", self.0)
    }
}

/// One trainable variable: its name, its group and a handle to its tensor.
pub struct Parameter {
    name: String,
    tensor: Tensor,
    group: usize,
}

impl Parameter {
    /// The name under which the `VarStore` holds it, such as `layer.0.attention.query.weight`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tensor itself: a shallow clone, so an update of it is an update of the model.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// The group that `Path::set_group` gave it; 0 when none did.
    pub fn group(&self) -> usize {
        self.group
    }

    /// How many elements it has.
    pub fn elements(&self) -> usize {
        self.tensor.numel()
    }

    /// Its shape.
    pub fn shape(&self) -> Vec<i64> {
        self.tensor.size()
    }

    /// The kind of its elements.
    pub fn kind(&self) -> Kind {
        self.tensor.kind()
    }

    /// The device that holds it.
    pub fn device(&self) -> Device {
        self.tensor.device()
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parameter")
            .field("name", &self.name)
            .field("shape", &self.shape())
            .field("kind", &self.kind())
            .field("device", &self.device())
            .field("group", &self.group)
            .finish()
    }
}

/// All trainable variables of a `VarStore`, sorted by name, each tensor once.
///
/// ```
/// use grades::parameters::Parameters;
/// use tch::{Device, nn};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let _layer = nn::linear(vs.root() / "layer", 4, 2, Default::default());
/// let parameters = Parameters::from_var_store(&vs)?;
/// let names: Vec<&str> = parameters.iter().map(|(_, parameter)| parameter.name()).collect();
/// assert_eq!(names, ["layer.bias", "layer.weight"]);
/// let weight = parameters.id_of("layer.weight").unwrap();
/// assert_eq!(parameters.get(weight).unwrap().elements(), 8);
/// # Ok::<(), grades::Error>(())
/// ```
#[derive(Debug)]
pub struct Parameters {
    list: Vec<Parameter>,
    ids: BTreeMap<String, ParamId>,
    aliases: Vec<(String, ParamId)>,
    left_out: Vec<String>,
}

impl Parameters {
    /// How many there are; at least one.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none, which does not happen.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The parameters in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ParamId, &Parameter)> {
        self.list.iter().enumerate().map(|(index, parameter)| (ParamId::new(index), parameter))
    }

    /// The ids, in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = ParamId> + use<> {
        (0..self.list.len()).map(ParamId::new)
    }

    /// The parameter with this id; `None` when the id is of another, larger registry.
    pub fn get(&self, id: ParamId) -> Option<&Parameter> {
        self.list.get(id.index())
    }

    /// The parameter with this name, or with this alias.
    pub fn by_name(&self, name: &str) -> Option<&Parameter> {
        self.get(self.id_of(name)?)
    }

    /// The id of the parameter with this name, or with this alias.
    pub fn id_of(&self, name: &str) -> Option<ParamId> {
        self.ids.get(name).copied()
    }

    /// Further names under which the `VarStore` holds a tensor of the list, with the id of that tensor.
    pub fn aliases(&self) -> &[(String, ParamId)] {
        &self.aliases
    }

    /// The names of variables that are registered as trainable but had `requires_grad` off, so are not in the list.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// One more than the highest group in use: tch numbers groups from 0.
    pub fn groups(&self) -> usize {
        self.list.iter().map(|parameter| parameter.group + 1).max().unwrap_or(0)
    }
}
