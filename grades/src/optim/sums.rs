//! What a step summed.

use tch::{Device, Tensor};

use crate::Result;
use crate::parameters::{ParamId, Parameters};
use crate::torch::Norms;
use crate::torch::gradients::{self, GradientSums};
use crate::torch::update::StepSum;

/// Sums over gradients, moments and updates, by parameter.
///
/// On the CPU they are there at once. Those of other devices are gathered on the device and copied to the host once
/// per device, without waiting; [`read`](Self::read) takes them in.
#[derive(Debug, Default)]
pub struct StepSums {
    entries: Vec<Entry>,
    devices: Vec<OnDevice>,
    /// The common L2 norm of the gradients that a clip on a device computed.
    norm: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    has_gradient: bool,
    absolute: Option<f64>,
    squares: Option<f64>,
    averaged: Option<f64>,
    moments: Option<f64>,
    updates: Option<f64>,
}

/// A value that a device holds, and what it is for: the L1 norm itself, or the square of the L2 norm.
#[derive(Debug, Clone, Copy)]
enum Field {
    Absolute,
    Squares,
    Averaged,
    Moments,
    Updates,
    /// The common norm, of no parameter.
    Norm,
}

#[derive(Debug)]
struct OnDevice {
    device: Device,
    norms: Norms,
    targets: Vec<(usize, Field)>,
    sent: bool,
}

impl StepSums {
    /// Room for the sums of so many parameters.
    pub fn new(parameters: usize) -> Self {
        Self { entries: vec![Entry::default(); parameters], ..Self::default() }
    }

    /// Whether the parameter has a gradient, as far as it was looked at.
    pub fn has_gradient(&self, id: ParamId) -> bool {
        self.entry(id).has_gradient
    }

    /// Σ|g| and Σg² of the gradient as it is held; `None` where there is none, or it was not wanted.
    pub fn gradient(&self, id: ParamId) -> Option<GradientSums> {
        let entry = self.entry(id);
        Some(GradientSums { absolute: entry.absolute?, squares: entry.squares? })
    }

    /// Σg² of what entered the moments; `None` where it was not summed on its own.
    pub fn averaged(&self, id: ParamId) -> Option<f64> {
        self.entry(id).averaged
    }

    /// Σm² of the moments after the update.
    pub fn moments(&self, id: ParamId) -> Option<f64> {
        self.entry(id).moments
    }

    /// Σ|ΔW| ÷ lr of the update, decoupled weight decay left out.
    pub fn updates(&self, id: ParamId) -> Option<f64> {
        self.entry(id).updates
    }

    /// Looks at the gradients of these parameters: whether there is one, and, where they are to be summed, Σ|g| and Σg².
    ///
    /// # Errors
    ///
    /// [`Error::Torch`](crate::Error::Torch) for a sparse gradient, or a kind other than f32, f64, bf16, f16.
    pub fn add_gradients(&mut self, parameters: &Parameters, ids: &[ParamId], summed: bool) -> Result<()> {
        let known: Vec<(ParamId, &Tensor)> =
            ids.iter().filter_map(|id| Some((*id, parameters.get(*id)?.tensor()))).collect();
        let tensors: Vec<&Tensor> = known.iter().map(|(_, tensor)| *tensor).collect();
        if summed && tensors.iter().all(|tensor| gradients::is_on_cpu(tensor)) {
            for ((id, _), sums) in known.iter().zip(gradients::sums(&tensors)?) {
                self.take_gradient(*id, sums);
            }
            return Ok(());
        }
        let defined = gradients::defined(&tensors)?;
        let there: Vec<(ParamId, &Tensor)> =
            known.into_iter().zip(defined).filter(|(_, defined)| *defined).map(|(found, _)| found).collect();
        for (id, _) in &there {
            self.entry_mut(*id).has_gradient = true;
        }
        if !summed {
            return Ok(());
        }
        let (cpu, other): (Vec<_>, Vec<_>) =
            there.into_iter().partition(|(_, tensor)| gradients::is_on_cpu(tensor));
        let tensors: Vec<&Tensor> = cpu.iter().map(|(_, tensor)| *tensor).collect();
        for ((id, _), sums) in cpu.iter().zip(gradients::sums(&tensors)?) {
            self.take_gradient(*id, sums);
        }
        self.gather(&other, true, 1, Field::Absolute)?;
        self.gather(&other, true, 2, Field::Squares)
    }

    /// Sums what enters the moments: the gradients as the update takes them.
    ///
    /// # Errors
    ///
    /// As [`add_gradients`](Self::add_gradients).
    pub fn add_averaged(&mut self, gradients: &[(ParamId, &Tensor)]) -> Result<()> {
        self.add(gradients, 2, Field::Averaged)
    }

    /// Sums the moments after an update.
    ///
    /// # Errors
    ///
    /// As [`add_gradients`](Self::add_gradients).
    pub fn add_moments(&mut self, moments: &[(ParamId, &Tensor)]) -> Result<()> {
        self.add(moments, 2, Field::Moments)
    }

    /// Sums updates, ΔW ÷ lr, decoupled weight decay left out.
    ///
    /// # Errors
    ///
    /// As [`add_gradients`](Self::add_gradients).
    pub fn add_updates(&mut self, updates: &[(ParamId, &Tensor)]) -> Result<()> {
        self.add(updates, 1, Field::Updates)
    }

    /// Takes in what has been gathered on devices, waiting for it.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`](crate::Error::Torch) when libtorch refuses.
    pub fn read(&mut self) -> Result<()> {
        self.send()?;
        self.take_in(false)
    }

    /// Starts the copies to the host; nothing waits.
    pub(crate) fn send(&mut self) -> Result<()> {
        for on_device in self.devices.iter_mut().filter(|on_device| !on_device.sent) {
            on_device.norms.send()?;
            on_device.sent = true;
        }
        Ok(())
    }

    /// Takes in what was sent, after the devices have been given other work.
    pub(crate) fn read_late(&mut self) -> Result<()> {
        self.send()?;
        self.take_in(true)
    }

    fn take_in(&mut self, late: bool) -> Result<()> {
        for mut on_device in std::mem::take(&mut self.devices) {
            let values = on_device.norms.read(late)?;
            for ((index, field), value) in on_device.targets.into_iter().zip(values) {
                let Some(entry) = self.entries.get_mut(index) else {
                    self.norm = Some(value);
                    continue;
                };
                match field {
                    Field::Absolute => entry.absolute = Some(value),
                    Field::Updates => entry.updates = Some(value),
                    Field::Squares => entry.squares = Some(value * value),
                    Field::Averaged => entry.averaged = Some(value * value),
                    Field::Moments => entry.moments = Some(value * value),
                    Field::Norm => {}
                }
            }
        }
        Ok(())
    }

    /// The common L2 norm of all gradients that were summed, once they are there.
    pub(crate) fn norm(&self) -> f64 {
        self.norm.unwrap_or_else(|| self.entries.iter().filter_map(|entry| entry.squares).sum::<f64>().sqrt())
    }

    /// What gradients that were all summed on one device are divided by so that their common L2 norm is at most `max`, as
    /// a scalar there; `None` where the sums are not of one device alone.
    pub(crate) fn clip_on_device(&mut self, max: f64) -> Result<Option<Tensor>> {
        let on_host = self.entries.iter().any(|entry| entry.squares.is_some());
        let [on_device] = self.devices.as_mut_slice() else { return Ok(None) };
        let first = on_device.targets.iter().position(|(_, field)| matches!(field, Field::Squares));
        let Some(first) = first.filter(|_| !on_host) else { return Ok(None) };
        let divisor = on_device.norms.clip(first, max)?;
        on_device.targets.push((usize::MAX, Field::Norm));
        Ok(Some(divisor))
    }

    /// Takes what a kernel summed of a parameter in its pass.
    pub(super) fn take(&mut self, id: ParamId, wanted: super::Wanted, sums: &StepSum) {
        let entry = self.entry_mut(id);
        entry.has_gradient = true;
        let set = |field: &mut Option<f64>, wanted: bool, value: f64| {
            if wanted {
                *field = Some(value);
            }
        };
        set(&mut entry.absolute, wanted.gradients, sums.absolute);
        set(&mut entry.squares, wanted.gradients, sums.squares);
        set(&mut entry.averaged, wanted.averaged, sums.averaged);
        set(&mut entry.moments, wanted.moments, sums.moments);
        set(&mut entry.updates, wanted.updates, sums.updates);
    }

    fn take_gradient(&mut self, id: ParamId, sums: Option<GradientSums>) {
        let entry = self.entry_mut(id);
        entry.has_gradient |= sums.is_some();
        entry.absolute = sums.map(|sums| sums.absolute);
        entry.squares = sums.map(|sums| sums.squares);
    }

    fn add(&mut self, tensors: &[(ParamId, &Tensor)], order: i32, field: Field) -> Result<()> {
        let (cpu, other): (Vec<_>, Vec<_>) =
            tensors.iter().partition(|(_, tensor)| gradients::is_on_cpu(tensor));
        let list: Vec<&Tensor> = cpu.iter().map(|(_, tensor)| *tensor).collect();
        for ((id, _), sums) in cpu.iter().zip(gradients::sums_of_tensors(&list)?) {
            let entry = self.entry_mut(*id);
            match field {
                Field::Averaged => entry.averaged = Some(sums.squares),
                Field::Moments => entry.moments = Some(sums.squares),
                Field::Updates => entry.updates = Some(sums.absolute),
                Field::Absolute | Field::Squares | Field::Norm => {}
            }
        }
        self.gather(&other, false, order, field)
    }

    /// Adds norms of tensors on devices.
    fn gather(
        &mut self,
        tensors: &[(ParamId, &Tensor)],
        of_gradients: bool,
        order: i32,
        field: Field,
    ) -> Result<()> {
        let mut left: Vec<(ParamId, &Tensor)> = tensors.to_vec();
        while let Some((_, first)) = left.first() {
            let device = first.device();
            let (here, other): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|(_, tensor)| tensor.device() == device);
            left = other;
            let index = match self.devices.iter().position(|on_device| on_device.device == device) {
                Some(index) => index,
                None => {
                    let (norms, targets) = (Norms::new()?, Vec::new());
                    self.devices.push(OnDevice { device, norms, targets, sent: false });
                    self.devices.len() - 1
                }
            };
            let list: Vec<&Tensor> = here.iter().map(|(_, tensor)| *tensor).collect();
            let on_device = &mut self.devices[index];
            on_device.norms.add(&list, of_gradients, order)?;
            on_device.targets.extend(here.iter().map(|(id, _)| (id.index(), field)));
        }
        Ok(())
    }

    fn entry(&self, id: ParamId) -> Entry {
        self.entries.get(id.index()).copied().unwrap_or_default()
    }

    fn entry_mut(&mut self, id: ParamId) -> &mut Entry {
        if id.index() >= self.entries.len() {
            self.entries.resize(id.index() + 1, Entry::default());
        }
        &mut self.entries[id.index()]
    }
}
