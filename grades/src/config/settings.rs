//! The keys of the `[freezing]` table, but for the policy and the components.

use super::{Cooling, Followers, Grace, Tied};
use crate::policy::Cooldown;
use crate::schema::field::{Field, SHARE, SHARE_ABOVE_ZERO, count, custom, number, optional_number, word};
use crate::schema::table;
use crate::statistic::Statistic;

table! {
    /// When components freeze; without the table nothing does.
    #[derive(Debug, Clone)]
    pub(super) struct Settings: Default = "freezing" {
        /// The statistic that thresholds mean unless a policy says otherwise.
        metric: Statistic = word(Statistic::GradL1),
        /// The share of the planned steps, or the passes over the examples, before which no policy freezes anything.
        grace: Grace = Grace::field().or(Grace::Epochs { epochs: 1.0 }, "in `finetune`, if components cool"),
        /// The optimizer steps from one check to the next.
        check_every: u64 = count(1, 1),
        /// The share of the components whose freezing ends the training.
        stop_at: f64 = number(1.0, SHARE_ABOVE_ZERO),
        /// How long a component cools before it freezes; a share is one of the steps so far.
        cooldown: Option<Cooldown> = cooldown(),
        /// How it cools: by a falling learning rate, or it freezes at the mean of its weights.
        cooling: Cooling = word(Cooling::Decay),
        /// When biases, norms and embeddings are frozen: never, or once their block is.
        followers: Followers = word(Followers::WithBlock),
        /// The state of an embedding that is the output matrix too once the first block is frozen: it trains, it trains as the
        /// output matrix only, or it is frozen.
        tied: Tied = word(Tied::Keep),
        /// On CUDA, the share of the memory that freezes must give back before the device gets it.
        empty_cache: f64 = number(0.1, SHARE),
        /// The share of the full run's cost that the run may have: freezes are planned for it, and there is no policy.
        budget: Option<f64> = optional_number(SHARE_ABOVE_ZERO).note("none"),
    }
}

fn cooldown() -> Field<Option<Cooldown>> {
    custom(None, Cooldown::EXPECTED, |value| Cooldown::read(value).map(Some)).note("the policy's").checked(
        |cooldown| {
            let wrong = cooldown.filter(|cooldown| !cooldown.is_valid())?;
            Some(format!("expected {}, found {wrong}", Cooldown::EXPECTED))
        },
    )
}
