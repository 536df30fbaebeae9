//! The statistics of a step.

use tch::{Device, Tensor};

use super::{MomentRates, StatsRequest};
use crate::error::{Error, Result};
use crate::parameters::{ParamId, Parameters};
use crate::torch::Norms;
use crate::torch::gradients::{self, GradientSums};
use crate::torch::update::StepSums;

/// Sums over gradients, moments and updates, by parameter.
///
/// Those of the CPU are available at once. Those of other devices are gathered on the device and copied to the host once
/// per device, without waiting; [`read`](Self::read) waits for them.
#[derive(Debug, Default)]
pub struct GradStats {
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
    moment_input: Option<f64>,
    moments: Option<f64>,
    updates: Option<f64>,
    progress: Option<f64>,
    rates: Option<MomentRates>,
}

/// The numbers that describe the entry of a parameter.
const NUMBERS: usize = 10;

impl Entry {
    /// Returns the entry as numbers, of which the first says which of the others there are.
    fn to_numbers(self) -> [f64; NUMBERS] {
        let Self { has_gradient, absolute, squares, moment_input, moments, updates, progress, rates } = self;
        let values = [absolute, squares, moment_input, moments, updates, progress];
        let present = values.iter().map(Option::is_some).chain([rates.is_some(), has_gradient]);
        let mask = present.enumerate().map(|(bit, present)| f64::from(u32::from(present) << bit)).sum();
        let rates = rates.map_or([0.0; 3], |rates| [rates.decay, rates.gain, rates.first_gain]);
        let mut numbers = [0.0; NUMBERS];
        let all = std::iter::once(mask).chain(values.map(|value| value.unwrap_or(0.0))).chain(rates);
        numbers.iter_mut().zip(all).for_each(|(number, value)| *number = value);
        numbers
    }

    /// Returns the entry of what [`to_numbers`](Self::to_numbers) returned.
    fn from_numbers(numbers: [f64; NUMBERS]) -> Self {
        let [mask, absolute, squares, moment_input, moments, updates, progress, decay, gain, first_gain] =
            numbers;
        let has = |bit: u32| mask as u32 & (1 << bit) != 0;
        let value = |bit: u32, value: f64| has(bit).then_some(value);
        Self {
            absolute: value(0, absolute),
            squares: value(1, squares),
            moment_input: value(2, moment_input),
            moments: value(3, moments),
            updates: value(4, updates),
            progress: value(5, progress),
            rates: has(6).then_some(MomentRates { decay, gain, first_gain }),
            has_gradient: has(7),
        }
    }
}

/// The use of a value on a device, which is an L1 norm, an L2 norm to be squared, or a value as it is.
#[derive(Debug, Clone, Copy)]
enum Field {
    Absolute,
    Squares,
    MomentInput,
    Moments,
    Updates,
    Progress,
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

impl GradStats {
    /// Creates empty statistics for `parameters` parameters.
    pub fn new(parameters: usize) -> Self {
        Self { entries: vec![Entry::default(); parameters], ..Self::default() }
    }

    /// Statistics with these Σg², by parameter; Σ|g| is 0.
    pub(crate) fn from_squares(parameters: usize, squares: impl Iterator<Item = (ParamId, f64)>) -> Self {
        let mut stats = Self::new(parameters);
        for (id, squares) in squares {
            stats.set_gradient(id, Some(GradientSums { absolute: 0.0, squares }));
        }
        stats
    }

    /// Returns whether the parameter is known to have a gradient.
    pub fn has_gradient(&self, id: ParamId) -> bool {
        self.entry(id).has_gradient
    }

    /// Returns Σ|g| and Σg² of the gradient before it was scaled; `None` without a gradient, or when not requested.
    pub fn gradient(&self, id: ParamId) -> Option<GradientSums> {
        let entry = self.entry(id);
        Some(GradientSums { absolute: entry.absolute?, squares: entry.squares? })
    }

    /// Returns Σg² of the gradient that entered the moments; `None` when not requested.
    pub fn moment_input(&self, id: ParamId) -> Option<f64> {
        self.entry(id).moment_input
    }

    /// Returns Σm² of the moments after the update.
    pub fn moments(&self, id: ParamId) -> Option<f64> {
        self.entry(id).moments
    }

    /// Returns Σ|ΔW| ÷ lr of the update, decoupled weight decay left out.
    pub fn updates(&self, id: ParamId) -> Option<f64> {
        self.entry(id).updates
    }

    /// Returns lr·Σg·u of the gradient before it was scaled and the direction u of the update before; `None` for a
    /// parameter that was not updated before, or when not requested.
    pub fn progress(&self, id: ParamId) -> Option<f64> {
        self.entry(id).progress
    }

    /// Returns the rates at which the step averaged the gradient; `None` for a parameter without moments, or when not
    /// requested.
    pub fn rates(&self, id: ParamId) -> Option<MomentRates> {
        self.entry(id).rates
    }

    /// Finds which of these parameters have a gradient and, when `summed`, adds Σ|g| and Σg² of each.
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
                self.set_gradient(*id, sums);
            }
            return Ok(());
        }
        let defined = gradients::defined(&tensors)?;
        let with_gradient: Vec<(ParamId, &Tensor)> =
            known.into_iter().zip(defined).filter(|(_, defined)| *defined).map(|(found, _)| found).collect();
        for (id, _) in &with_gradient {
            self.entry_mut(*id).has_gradient = true;
        }
        if !summed {
            return Ok(());
        }
        let (cpu, other): (Vec<_>, Vec<_>) =
            with_gradient.into_iter().partition(|(_, tensor)| gradients::is_on_cpu(tensor));
        let tensors: Vec<&Tensor> = cpu.iter().map(|(_, tensor)| *tensor).collect();
        for ((id, _), sums) in cpu.iter().zip(gradients::sums(&tensors)?) {
            self.set_gradient(*id, sums);
        }
        self.gather(&other, Field::Absolute, |norms, list| norms.add(list, true, 1))?;
        self.gather(&other, Field::Squares, |norms, list| norms.add(list, true, 2))
    }

    /// Adds Σg² of the gradients that enter the moments.
    ///
    /// # Errors
    ///
    /// As [`add_gradients`](Self::add_gradients).
    pub fn add_moment_inputs(&mut self, gradients: &[(ParamId, &Tensor)]) -> Result<()> {
        self.add(gradients, 2, Field::MomentInput)
    }

    /// Adds Σm² of moments after an update.
    ///
    /// # Errors
    ///
    /// As [`add_gradients`](Self::add_gradients).
    pub fn add_moments(&mut self, moments: &[(ParamId, &Tensor)]) -> Result<()> {
        self.add(moments, 2, Field::Moments)
    }

    /// Adds Σ|u| of updates u = ΔW ÷ lr, decoupled weight decay left out.
    ///
    /// # Errors
    ///
    /// As [`add_gradients`](Self::add_gradients).
    pub fn add_updates(&mut self, updates: &[(ParamId, &Tensor)]) -> Result<()> {
        self.add(updates, 1, Field::Updates)
    }

    /// Adds lr·Σg·u, each as a tensor of one element.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`](crate::Error::Torch) when libtorch refuses.
    pub fn add_progress(&mut self, values: &[(ParamId, &Tensor)]) -> Result<()> {
        let (cpu, other): (Vec<_>, Vec<_>) =
            values.iter().copied().partition(|(_, value)| gradients::is_on_cpu(value));
        for (id, value) in cpu {
            let value = f64::try_from(value).map_err(|error| Error::torch("reading a progress", &error))?;
            self.entry_mut(id).progress = Some(value);
        }
        self.gather(&other, Field::Progress, Norms::add_values)
    }

    /// Waits for the values that were gathered on devices, and adds them.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`](crate::Error::Torch) when libtorch refuses.
    pub fn read(&mut self) -> Result<()> {
        self.send()?;
        self.receive(false)
    }

    /// Starts the copies to the host, without waiting.
    pub(crate) fn send(&mut self) -> Result<()> {
        for on_device in self.devices.iter_mut().filter(|on_device| !on_device.sent) {
            on_device.norms.send()?;
            on_device.sent = true;
        }
        Ok(())
    }

    /// Reads as [`read`](Self::read) does, for values that were sent before the devices were given other work.
    pub(crate) fn read_late(&mut self) -> Result<()> {
        self.send()?;
        self.receive(true)
    }

    fn receive(&mut self, late: bool) -> Result<()> {
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
                    Field::Progress => entry.progress = Some(value),
                    Field::Squares => entry.squares = Some(value * value),
                    Field::MomentInput => entry.moment_input = Some(value * value),
                    Field::Moments => entry.moments = Some(value * value),
                    Field::Norm => {}
                }
            }
        }
        Ok(())
    }

    /// Returns the entries of these parameters as numbers, once they are read; zeros for those that `owned` excludes.
    pub(crate) fn numbers(&self, ids: &[ParamId], owned: impl Fn(ParamId) -> bool) -> Vec<f64> {
        let entry = |id: &ParamId| if owned(*id) { self.entry(*id) } else { Entry::default() };
        ids.iter().flat_map(|id| entry(id).to_numbers()).collect()
    }

    /// Sets the entries of these parameters to what [`numbers`](Self::numbers) returned.
    pub(crate) fn set_numbers(&mut self, ids: &[ParamId], numbers: &[f64]) {
        for (id, numbers) in ids.iter().zip(numbers.as_chunks::<NUMBERS>().0) {
            *self.entry_mut(*id) = Entry::from_numbers(*numbers);
        }
    }

    /// Returns the common L2 norm of all gradients that were summed, once they are read.
    pub(crate) fn norm(&self) -> f64 {
        self.norm.unwrap_or_else(|| self.entries.iter().filter_map(|entry| entry.squares).sum::<f64>().sqrt())
    }

    /// Returns the divisor that clips the common L2 norm of gradients on one device to `max`, as a scalar there; `None`
    /// when the gradients are on several devices or on the CPU.
    pub(crate) fn clip_on_device(&mut self, max: f64) -> Result<Option<Tensor>> {
        let on_host = self.entries.iter().any(|entry| entry.squares.is_some());
        let [on_device] = self.devices.as_mut_slice() else { return Ok(None) };
        let first = on_device.targets.iter().position(|(_, field)| matches!(field, Field::Squares));
        let Some(first) = first.filter(|_| !on_host) else { return Ok(None) };
        let divisor = on_device.norms.clip(first, max)?;
        on_device.targets.push((usize::MAX, Field::Norm));
        Ok(Some(divisor))
    }

    /// Sets the sums of a parameter that a kernel computed in its pass.
    pub(super) fn set_sums(&mut self, id: ParamId, request: StatsRequest, sums: &StepSums) {
        let entry = self.entry_mut(id);
        entry.has_gradient = true;
        let set = |field: &mut Option<f64>, requested: bool, value: f64| {
            if requested {
                *field = Some(value);
            }
        };
        set(&mut entry.absolute, request.gradients, sums.absolute);
        set(&mut entry.squares, request.gradients, sums.squares);
        set(&mut entry.moment_input, request.moment_input, sums.moment_input);
        set(&mut entry.moments, request.moments, sums.moments);
        set(&mut entry.updates, request.updates, sums.updates);
        set(&mut entry.progress, request.progress, sums.progress);
    }

    /// Sets the rates at which a step averaged the gradient.
    pub fn set_rates(&mut self, id: ParamId, rates: Option<MomentRates>) {
        self.entry_mut(id).rates = rates;
    }

    fn set_gradient(&mut self, id: ParamId, sums: Option<GradientSums>) {
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
                Field::MomentInput => entry.moment_input = Some(sums.squares),
                Field::Moments => entry.moments = Some(sums.squares),
                Field::Updates => entry.updates = Some(sums.absolute),
                Field::Absolute | Field::Squares | Field::Progress | Field::Norm => {}
            }
        }
        self.gather(&other, field, |norms, list| norms.add(list, false, order))
    }

    /// Adds values of tensors on devices by `add`, which is given all of one device.
    fn gather(
        &mut self,
        tensors: &[(ParamId, &Tensor)],
        field: Field,
        add: impl Fn(&mut Norms, &[&Tensor]) -> Result<()>,
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
            add(&mut on_device.norms, &list)?;
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
