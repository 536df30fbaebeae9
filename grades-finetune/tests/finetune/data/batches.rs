//! The order of the examples.

use grades_finetune::data::{Sampler, SamplerOptions};

fn sampler(count: usize, options: SamplerOptions) -> Sampler {
    // Lengths from 3 to 40, without a pattern that matters.
    let lengths = (0..count).map(|i| 3 + (i * i * 31 + i * 7) % 38).collect();
    Sampler::from_lengths(lengths, options).unwrap()
}

fn options(batch_size: usize, bucket: usize) -> SamplerOptions {
    SamplerOptions { batch_size, seed: 5, bucket }
}

fn sorted(batches: &[Vec<usize>]) -> Vec<usize> {
    let mut all = batches.concat();
    all.sort_unstable();
    all
}

/// Padding tokens in all batches.
fn padding(lengths: &dyn Fn(usize) -> usize, batches: &[Vec<usize>]) -> usize {
    let waste = |batch: &Vec<usize>| {
        let longest = batch.iter().map(|&i| lengths(i)).max().unwrap_or(0);
        batch.iter().map(|&i| longest - lengths(i)).sum::<usize>()
    };
    batches.iter().map(waste).sum()
}

#[test]
fn every_example_is_in_one_batch() {
    for count in [0, 1, 7, 8, 9, 1000] {
        for bucket in [1, 3, 50] {
            let sampler = sampler(count, options(8, bucket));
            for epoch in 0..3 {
                let batches = sampler.epoch_order(epoch);
                assert_eq!(sorted(&batches), (0..count).collect::<Vec<_>>());
                assert_eq!(batches.len(), sampler.batches());
                assert!(batches.iter().filter(|batch| batch.len() != 8).count() <= 1);
            }
            let batches = sampler.evaluation_order(16);
            assert_eq!(sorted(&batches), (0..count).collect::<Vec<_>>());
        }
    }
}

#[test]
fn the_order_depends_on_seed_and_epoch_alone() {
    let first = sampler(500, options(8, 10));
    let (zero, one) = (first.epoch_order(0), first.epoch_order(1));
    assert_ne!(zero, one);
    // A new sampler, asked for a later epoch first.
    let second = sampler(500, options(8, 10));
    assert_eq!(second.epoch_order(1), one);
    assert_eq!(second.epoch_order(0), zero);
    let other = sampler(500, SamplerOptions { seed: 6, ..options(8, 10) });
    assert_ne!(other.epoch_order(0), zero);
}

#[test]
fn the_order_is_the_same_in_every_version() {
    // A run that was stopped continues after an update of the program: these numbers must not change.
    let orders = [
        sampler(10, options(4, 1)).epoch_order(0),
        sampler(10, options(4, 1)).epoch_order(3),
        sampler(10, options(4, 2)).epoch_order(0),
    ];
    assert_eq!(format!("{:?}", orders[0]), "[[7, 9, 4, 5], [0, 6, 1, 2], [8, 3]]");
    assert_eq!(format!("{:?}", orders[1]), "[[8, 2], [0, 4, 1, 6], [3, 9, 5, 7]]");
    assert_eq!(format!("{:?}", orders[2]), "[[0, 1, 7, 5], [6, 2, 9, 4], [8, 3]]");
}

#[test]
fn buckets_save_padding_and_still_mix() {
    let lengths = |i: usize| 3 + (i * i * 31 + i * 7) % 38;
    let (plain, bucketed) = (sampler(2000, options(16, 1)), sampler(2000, options(16, 25)));
    let (many, few) = (padding(&lengths, &plain.epoch_order(0)), padding(&lengths, &bucketed.epoch_order(0)));
    assert!(few * 5 < many, "{few} and {many} padding tokens");
    // The batches do not come sorted by length.
    let longest: Vec<usize> = bucketed
        .epoch_order(0)
        .iter()
        .map(|batch| batch.iter().map(|&i| lengths(i)).max().unwrap())
        .collect();
    assert!(!longest.is_sorted() && !longest.is_sorted_by(|a, b| a >= b));
}

#[test]
fn evaluation_begins_with_the_longest() {
    let lengths = |i: usize| 3 + (i * i * 31 + i * 7) % 38;
    let order = sampler(100, options(8, 10)).evaluation_order(9).concat();
    assert!(order.windows(2).all(|pair| lengths(pair[0]) >= lengths(pair[1])));
}

#[test]
fn sizes_of_zero_are_refused() {
    for wrong in [options(0, 1), options(1, 0)] {
        let error = Sampler::from_lengths(vec![1], wrong).unwrap_err().to_string();
        assert!(error.contains("must be at least 1"), "{error}");
    }
}
