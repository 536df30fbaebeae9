//! The registry of parameters: the trainable variables of a `VarStore`, by name.
//!
//! tch has names in an unordered map and trainable variables in a list without names; the registry matches the two.

mod from_var_store;

use std::collections::BTreeMap;
use std::fmt;

use tch::{Device, Kind, Tensor};

/// The position of a parameter in [`Parameters`], which are sorted by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(u32);

impl ParamId {
    /// Returns the position as an index into a list with one entry per parameter.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// Creates the id of a position; the caller knows that there is a parameter.
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
    /// Returns its name in the `VarStore`, such as `layer.0.attention.query.weight`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its tensor, a shallow clone: an update of it is an update of the model.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Returns its group from `Path::set_group`; 0 by default.
    pub fn group(&self) -> usize {
        self.group
    }

    /// Returns its number of elements.
    pub fn elements(&self) -> usize {
        self.tensor.numel()
    }

    /// Returns its shape.
    pub fn shape(&self) -> Vec<i64> {
        self.tensor.size()
    }

    /// Returns its dtype.
    pub fn kind(&self) -> Kind {
        self.tensor.kind()
    }

    /// Returns its device.
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
    /// Returns the number of parameters, at least one.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns false: construction fails without parameters.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the parameters in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ParamId, &Parameter)> {
        self.list.iter().enumerate().map(|(index, parameter)| (ParamId::new(index), parameter))
    }

    /// Returns the ids, in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = ParamId> + use<> {
        (0..self.list.len()).map(ParamId::new)
    }

    /// Returns the parameter with this id; `None` when the id is of another, larger registry.
    pub fn get(&self, id: ParamId) -> Option<&Parameter> {
        self.list.get(id.index())
    }

    /// Returns the parameter with this name or alias.
    pub fn by_name(&self, name: &str) -> Option<&Parameter> {
        self.get(self.id_of(name)?)
    }

    /// Returns the id of the parameter with this name or alias.
    pub fn id_of(&self, name: &str) -> Option<ParamId> {
        self.ids.get(name).copied()
    }

    /// Returns further names that tensors of the list have in the `VarStore`, each with the tensor's id.
    pub fn aliases(&self) -> &[(String, ParamId)] {
        &self.aliases
    }

    /// Returns the names of variables that are registered as trainable but had `requires_grad` off, so are not in the list.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Returns the highest group in use plus one: tch numbers groups from 0.
    pub fn groups(&self) -> usize {
        self.list.iter().map(|parameter| parameter.group + 1).max().unwrap_or(0)
    }
}
