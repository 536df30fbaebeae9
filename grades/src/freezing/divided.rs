//! The optimizer's state that is divided over the ranks: gathered on rank 0 to be saved, and thinned to what a rank owns.

use tch::{Device, Kind, Tensor};

use super::over_ranks::OverRanks;
use crate::error::{Error, Result};
use crate::optim::OptimizerState;
use crate::optim::reduction::Owners;
use crate::parameters::{ParamId, Parameters};

/// The dtypes of state tensors, by the letters that stand for them between ranks.
const DTYPES: [(&str, Kind); 4] =
    [("f", Kind::Float), ("d", Kind::Double), ("b", Kind::BFloat16), ("h", Kind::Half)];

/// A tensor of another rank's state.
struct Piece<'a> {
    parameter: &'a str,
    /// Its name among the parameter's tensors; empty for the copy of the last gradient.
    field: &'a str,
    dtype: Kind,
    shape: Vec<i64>,
}

/// Completes the state on rank 0 by what the other ranks own, which they send meanwhile. Does nothing unless the state is
/// divided.
pub(super) fn receive_state(
    ranks: &OverRanks,
    parameters: &Parameters,
    state: &mut OptimizerState,
    copies: &mut Vec<(ParamId, Tensor)>,
) -> Result<()> {
    if ranks.owners().is_none() {
        return Ok(());
    }
    for (rank, text) in gather_text(ranks, "")?.iter().enumerate().skip(1) {
        let damaged = || Error::State {
            what: format!("the optimizer state of rank {rank}"),
            reason: "it arrived in a form that this version does not know".to_owned(),
        };
        for line in text.lines() {
            if let Some((parameter, steps)) = line.split_once("\t=") {
                let known = state.parameters.get_mut(parameter).ok_or_else(damaged)?;
                known.steps = steps.parse().map_err(|_| damaged())?;
                continue;
            }
            let piece = Piece::parse(line).ok_or_else(damaged)?;
            let made = Tensor::f_zeros(&piece.shape, (piece.dtype, Device::Cpu));
            let tensor =
                made.map_err(|error| Error::torch("making room for another rank's state", &error))?;
            ranks.reduction().receive(&[&tensor], rank)?;
            if piece.field.is_empty() {
                copies.push((parameters.id_of(piece.parameter).ok_or_else(damaged)?, tensor));
            } else {
                let known = state.parameters.get_mut(piece.parameter).ok_or_else(damaged)?;
                known.tensors.insert(piece.field.to_owned(), tensor);
            }
        }
    }
    copies.sort_by_key(|(id, _)| *id);
    Ok(())
}

/// Sends the state that this rank owns to rank 0, which receives it meanwhile. Does nothing unless the state is divided.
pub(super) fn send_state(
    ranks: &OverRanks,
    parameters: &Parameters,
    state: &OptimizerState,
    copies: &[(ParamId, Tensor)],
) -> Result<()> {
    let Some(owners) = ranks.owners().filter(|owners| owners.rank > 0) else { return Ok(()) };
    let (mut text, mut tensors) = (String::new(), Vec::new());
    for (id, parameter) in parameters.iter().filter(|(id, _)| owners.owns(*id)) {
        let name = parameter.name();
        let saved = state.parameters.get(name).filter(|saved| !saved.tensors.is_empty());
        if let Some(saved) = saved {
            text += &format!("{name}\t={}\n", saved.steps);
        }
        let fields = saved.iter().flat_map(|saved| &saved.tensors);
        let fields = fields.map(|(field, tensor)| (field.as_str(), tensor));
        let copy = copies.iter().filter(|(of, _)| *of == id).map(|(_, copy)| ("", copy));
        for (field, tensor) in fields.chain(copy) {
            text += &Piece { parameter: name, field, dtype: tensor.kind(), shape: tensor.size() }.to_text();
            tensors.push(tensor);
        }
    }
    gather_text(ranks, &text)?;
    for tensor in tensors {
        let copied = tensor.f_detach().and_then(|tensor| tensor.f_to_device(Device::Cpu)?.f_contiguous());
        let copied = copied.map_err(|error| Error::torch("copying the optimizer's state", &error))?;
        ranks.reduction().send(&[&copied], 0)?;
    }
    Ok(())
}

/// Returns the texts of all ranks.
fn gather_text(ranks: &OverRanks, text: &str) -> Result<Vec<String>> {
    let numbers: Vec<f64> = text.bytes().map(f64::from).collect();
    let all = ranks.reduction().gather(&numbers)?;
    let text = |numbers: Vec<f64>| {
        let bytes: Vec<u8> = numbers.into_iter().map(|number| number as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(all.into_iter().map(text).collect())
}

impl Piece<'_> {
    fn to_text(&self) -> String {
        let dtype = DTYPES.iter().find(|(_, dtype)| *dtype == self.dtype).map_or("?", |(letter, _)| letter);
        let sizes: Vec<String> = self.shape.iter().map(ToString::to_string).collect();
        format!("{}\t{}\t{dtype}\t{}\n", self.parameter, self.field, sizes.join(","))
    }

    fn parse(line: &str) -> Option<Piece<'_>> {
        let mut parts = line.split('\t');
        let (parameter, field, letter) = (parts.next()?, parts.next()?, parts.next()?);
        let (_, dtype) = *DTYPES.iter().find(|(known, _)| *known == letter)?;
        let sizes = parts.next()?.split(',').filter(|size| !size.is_empty());
        Some(Piece { parameter, field, dtype, shape: sizes.map(str::parse).collect::<Result<_, _>>().ok()? })
    }
}

/// Returns whether this rank needs the state of a parameter.
pub(super) fn needs(owners: Option<&Owners>, id: ParamId) -> bool {
    owners.is_none_or(|owners| owners.owns(id))
}
