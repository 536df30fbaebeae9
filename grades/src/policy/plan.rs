//! The length of a run, by which a policy is planned.

/// The length of a run: optimizer steps and checks.
///
/// ```
/// use grades::policy::RunPlan;
///
/// let run = RunPlan::new(500, 50);
/// assert_eq!((run.total_steps(), run.checks()), (500, 10));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunPlan {
    total_steps: u64,
    check_every: u64,
}

impl RunPlan {
    /// Creates the plan of a run of `total_steps` optimizer steps with a check every `check_every` steps.
    pub fn new(total_steps: u64, check_every: u64) -> Self {
        Self { total_steps, check_every: check_every.max(1) }
    }

    /// Returns the optimizer steps that the run is planned for.
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }

    /// Returns the number of checks in the run.
    pub fn checks(&self) -> u64 {
        self.total_steps / self.check_every
    }
}
