//! The choice of the next token.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::error::{Error, Result};

/// How the next token follows from its logits, as in `transformers`: the repetition penalty, then the temperature, then
/// `top_k`, then `top_p`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 chooses the most likely token.
    pub temperature: f64,
    /// Only the k most likely tokens are chosen from, with those as likely as the last; 0 is no limit.
    pub top_k: usize,
    /// Only the most likely tokens that together reach this probability are chosen from; 1 is no limit.
    pub top_p: f64,
    /// Positive logits of tokens that are there already are divided by it, negative ones multiplied; 1 changes nothing.
    pub repetition_penalty: f64,
    /// The seed. Each prompt has random numbers of its own, so other prompts beside it change nothing.
    pub seed: u64,
    /// The number of the first prompt, on which its random numbers depend: of a list that is answered in parts, how many
    /// prompts the parts before had.
    pub first: u64,
}

impl Default for Sampling {
    /// Chooses the most likely token.
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, repetition_penalty: 1.0, seed: 0, first: 0 }
    }
}

impl Sampling {
    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] with the value that is out of its range.
    pub fn check(&self) -> Result<()> {
        let Self { temperature, top_p, repetition_penalty, .. } = *self;
        let wrong = |name: &str, expected: &str, found: f64| {
            Err(Error::Input(format!("{name}: expected {expected}, found {found}")))
        };
        if !(temperature.is_finite() && temperature >= 0.0) {
            return wrong("temperature", "a number of at least 0", temperature);
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return wrong("top_p", "a share above 0, up to 1", top_p);
        }
        if !(repetition_penalty.is_finite() && repetition_penalty > 0.0) {
            return wrong("repetition_penalty", "a number above 0", repetition_penalty);
        }
        Ok(())
    }

    /// Returns whether the most likely token is chosen, whatever came before.
    pub(super) fn is_plain(&self) -> bool {
        self.temperature == 0.0 && self.repetition_penalty == 1.0
    }

    /// Returns the probability of each token, from its logits and the tokens before; those that are not chosen from have 0.
    /// With a temperature of 0 the most likely token has 1, the first of equal ones.
    ///
    /// ```
    /// use grades_models::decoder::Sampling;
    ///
    /// let sampling = Sampling { temperature: 1.0, top_k: 2, ..Sampling::default() };
    /// let found = sampling.probabilities(&[0.0, f32::ln(3.0), -1.0], &[]);
    /// assert!((found[1] - 0.75).abs() < 1e-6 && found[2] == 0.0);
    /// ```
    pub fn probabilities(&self, logits: &[f32], before: &[i64]) -> Vec<f64> {
        let mut scores: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
        if self.repetition_penalty != 1.0 {
            let seen: BTreeSet<usize> = before.iter().filter_map(|&id| usize::try_from(id).ok()).collect();
            for id in seen {
                if let Some(score) = scores.get_mut(id) {
                    *score *=
                        if *score < 0.0 { self.repetition_penalty } else { 1.0 / self.repetition_penalty };
                }
            }
        }
        if self.temperature == 0.0 {
            let mut best = 0;
            for (id, score) in scores.iter().enumerate() {
                if scores.get(best).is_some_and(|best| score > best) {
                    best = id;
                }
            }
            return (0..scores.len()).map(|id| if id == best { 1.0 } else { 0.0 }).collect();
        }
        for score in &mut scores {
            *score /= self.temperature;
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        let score = |id: usize| scores.get(id).copied().unwrap_or(f64::NEG_INFINITY);
        order.sort_by(|&one, &other| score(other).total_cmp(&score(one)));
        if self.top_k > 0
            && let Some(&last) = order.get(self.top_k - 1)
        {
            let lowest = score(last);
            order.retain(|&id| score(id) >= lowest);
        }
        let largest = order.first().map_or(0.0, |&id| score(id));
        let mut chances: Vec<f64> = order.iter().map(|&id| (score(id) - largest).exp()).collect();
        let total: f64 = chances.iter().sum();
        if self.top_p < 1.0 {
            let mut sum = 0.0;
            let mut within = 0;
            for chance in &chances {
                // A token stays where those before it do not reach the share yet.
                if within > 0 && sum >= self.top_p * total {
                    break;
                }
                sum += chance;
                within += 1;
            }
            chances.truncate(within);
            order.truncate(within);
        }
        let total: f64 = chances.iter().sum();
        let mut found = vec![0.0; scores.len()];
        for (id, chance) in order.into_iter().zip(chances) {
            if let Some(slot) = found.get_mut(id) {
                *slot = chance / total;
            }
        }
        found
    }
}

/// The random numbers of one prompt.
#[derive(Debug)]
pub(super) struct Chooser(ChaCha8Rng);

impl Chooser {
    /// Begins the numbers of the prompt at this position.
    pub(super) fn new(sampling: &Sampling, prompt: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(sampling.seed);
        rng.set_stream(sampling.first.wrapping_add(u64::try_from(prompt).unwrap_or(u64::MAX)));
        Self(rng)
    }

    /// Draws a token by its probability.
    pub(super) fn choose(&mut self, probabilities: &[f64]) -> usize {
        // 53 bits fit an f64 exactly.
        let mut rest = (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let mut last = 0;
        for (id, chance) in probabilities.iter().enumerate().filter(|(_, chance)| **chance > 0.0) {
            last = id;
            rest -= chance;
            if rest < 0.0 {
                break;
            }
        }
        last
    }
}
