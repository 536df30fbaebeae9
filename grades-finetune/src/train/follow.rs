//! The ranks after the first: they train their batches of each step, as rank 0 says.

use std::path::Path;

use anyhow::{Context, Result};
use grades::tracker::StepReport;

use super::prefix;
use super::ranks::{Order, RunRanks};
use super::resume::restore_follower;
use super::setup::Setup;
use super::step::{StepOptions, train_step};
use crate::cache::ActivationCache;
use crate::config::{CacheConfig, RunConfig};
use crate::run::{Interrupt, run_inputs};
use crate::tasks::{self, Ranks, Share, merge_frozen};

/// Takes part in the run that rank 0 leads; returns the exit code.
pub(crate) fn follow(config: &RunConfig, interrupt: &Interrupt, ranks: &RunRanks) -> Result<u8> {
    if let Order::End(code) = ranks.receive(interrupt)? {
        return Ok(code);
    }
    let loading = interrupt.end_at_once();
    let (mut setup, config) = Setup::build(tasks::load(config)?)?;
    let inputs = run_inputs(&config)?;
    setup.optimizer = ranks.attach(setup.optimizer, setup.task.as_ref(), &config)?;
    ranks.compare_inputs(inputs.into_values())?;
    if let Some(checkpoint) = ranks.share_checkpoint(None)? {
        restore_follower(&checkpoint, &mut setup, &config, ranks)?;
    }
    ranks.compare(&setup.optimizer)?;
    drop(loading);
    // Ranks compute frozen blocks anew; the model still follows what is frozen.
    let layout = setup.task.cache_layout(setup.evaluator.repeats());
    let mut cache = ActivationCache::new(CacheConfig::NEVER, layout, Path::new(""));
    follow_freezes(&mut setup, &mut cache);
    let options = StepOptions::new(&config);
    loop {
        match ranks.receive(interrupt)? {
            Order::Begin => {}
            Order::Step => {
                let batch = setup.loader.next().context("rank 0 asks for a step after the last one")?;
                let batches = batch.load(setup.task.as_ref(), &mut cache, |index| ranks.owns(index))?;
                let rate = setup.schedule.at(setup.optimizer.steps() + 1);
                let (task, optimizer) = (setup.task.as_ref(), &mut setup.optimizer);
                let done = train_step(task, optimizer, &batches, rate, options, &|| false, Some(ranks))?;
                if let Some(outcome) = done {
                    handle_report(&mut setup, &mut cache, &outcome.report)?;
                }
            }
            Order::Checkpoint => {
                if let Some(report) = setup.optimizer.flush()? {
                    handle_report(&mut setup, &mut cache, &report)?;
                }
                ranks.gather_generators(setup.task.store().device())?;
                setup.optimizer.send_state()?;
            }
            Order::Flush => {
                if let Some(report) = setup.optimizer.flush()? {
                    handle_report(&mut setup, &mut cache, &report)?;
                }
            }
            Order::Average => setup.optimizer.apply_averages()?,
            Order::Best => {
                if let Some(adapter) = &setup.adapter {
                    adapter.unmerge(setup.task.as_mut())?;
                }
                ranks.broadcast(setup.task.as_ref())?;
            }
            // Rank 0 says for all when an evaluation ends early.
            Order::Evaluate(split) => {
                let share = Share::new(Some(ranks), &|| false);
                setup.evaluator.evaluate_share(setup.task.as_ref(), split, &mut cache, &share)?;
            }
            Order::End(code) => return Ok(code),
        }
    }
}

/// Does after a step what rank 0 does, but for its logs.
fn handle_report(setup: &mut Setup, cache: &mut ActivationCache, report: &StepReport) -> Result<()> {
    merge_frozen(setup.adapter.as_mut(), setup.task.as_mut(), report)?;
    if !report.events.is_empty() {
        follow_freezes(setup, cache);
    }
    Ok(())
}

fn follow_freezes(setup: &mut Setup, cache: &mut ActivationCache) {
    let Setup { task, optimizer, loader, .. } = setup;
    // Rank 0 shows the fact, if there is one.
    let _ = prefix::follow(cache, task.as_mut(), optimizer, loader);
}
