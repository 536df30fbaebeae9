//! Ranks that differ are found, by name, before they train on; so are calls that a group cannot follow.

use std::time::Duration;

use grades::distributed::{Backend, Buckets, Group, ReduceOp};
use grades::optim::AdamConfig;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::{FreezeAt, Spec, TinyBert};
use tch::{Kind, Tensor};

use crate::name;
use crate::processes::{Start, in_ranks, run};
use crate::recipe::{Recipe, adamw};

/// Contract 16: a rank that decides otherwise ends the run on all ranks, at the next step.
#[test]
fn a_rank_that_decides_otherwise_ends_the_run() {
    let ends = in_ranks(2, name!(), |group| {
        let model = TinyBert::new(Spec::default());
        // One rank freezes at step 3, the other at step 6.
        let policy = FreezeAt::new([("layer.1.attention.self.query", 3 + 3 * group.rank() as u64)]);
        let inner = adamw(&model.vs);
        let optimizer = FreezingOptimizer::new(inner, &model.vs, &FreezingConfig::new(policy), 10).unwrap();
        let mut optimizer = optimizer.distributed(group, Buckets::default().with_bytes(1000)).unwrap();
        for step in 1..=10 {
            let loss = model.loss(2 * step + group.rank() as u64) * 0.5;
            if let Err(error) = optimizer.backward_step(&loss) {
                return format!("{step} {error}");
            }
        }
        "no error".to_owned()
    });
    for (rank, end) in ends.iter().enumerate() {
        let expected = format!(
            "4 rank {rank} of 2: comparing the step, learning rate and frozen components: rank 1 differs from rank 0"
        );
        assert_eq!(end.result(), expected);
    }
}

#[test]
fn ranks_that_begin_differently_are_named() {
    let ends = in_ranks(3, name!(), |group| {
        let (rank, mut found) = (group.rank(), Vec::new());
        let odd = rank == 1;
        let mut refused = |spec: Spec, rate: f64, freezing: &str, buckets: Buckets, change: bool| {
            let model = TinyBert::new(spec);
            if change {
                let _ = tch::no_grad(|| model.variable("classifier.bias").shallow_clone().fill_(0.25));
            }
            let config = FreezingConfig::from_toml(freezing).unwrap();
            let inner = AdamConfig::adamw().build(&model.vs, rate).unwrap();
            let optimizer = FreezingOptimizer::new(inner, &model.vs, &config, 10).unwrap();
            let started = optimizer
                .distributed(group, buckets)
                .and_then(|mut optimizer| optimizer.backward_step(&model.loss(1)).map(drop));
            found.push(started.unwrap_err().to_string());
        };
        let (spec, quota) = (Spec::default(), "[freezing.policy]\nname = 'quota'");
        let thaw = "[freezing]\ncheck_every = 2\n[freezing.policy]\nname = 'quota'";
        let buckets = Buckets::default();
        refused(Spec { hidden: if odd { 4 } else { 8 }, ..spec }, 0.1, quota, buckets.clone(), false);
        refused(spec, if odd { 0.2 } else { 0.1 }, quota, buckets.clone(), false);
        refused(spec, 0.1, if odd { thaw } else { quota }, buckets.clone(), false);
        refused(spec, 0.1, quota, buckets.clone(), odd);
        refused(spec, 0.1, quota, if odd { buckets.with_bytes(100) } else { buckets }, false);
        let model = TinyBert::new(Spec { layers: if odd { 1 } else { 2 }, ..spec });
        found.push(group.broadcast(&model.vs).unwrap_err().to_string());
        found.push(group.compare("data", &[u8::from(rank == 2)]).unwrap_err().to_string());
        found.join("\n")
    });
    for (rank, end) in ends.iter().enumerate() {
        let found: Vec<&str> = end.result().lines().collect();
        let expected = [
            "names and shapes of parameters: rank 1 differs",
            "optimizer: rank 1 differs",
            "settings and state of freezing: rank 1 differs",
            "weights: rank 1 differs",
            "step, learning rate and frozen components: rank 1 differs",
            "names and shapes of variables: rank 1 differs",
            "data: rank 2 differs",
        ];
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(*found, format!("rank {rank} of 3: comparing the {expected} from rank 0"));
        }
    }
}

/// Contract 20, and its remedy; and calls that would come in another order on each rank.
#[test]
fn a_gradient_after_its_bucket_was_sent_is_an_error() {
    let ends = in_ranks(2, name!(), |group| {
        let mut found = Vec::new();
        let late = "classifier.weight";
        for (buckets, expected) in [
            (Buckets::default().with_bytes(100), "been sent"),
            (Buckets::default().with_bytes(100).with_late([late]), ""),
            (Buckets::default().with_overlap(false), ""),
        ] {
            let model = TinyBert::new(Spec::default());
            let recipe = Recipe { buckets, ..Recipe::default() };
            let mut optimizer = recipe.optimizer(adamw(&model.vs), &model, Some(group));
            optimizer.zero_grad().unwrap();
            optimizer.begin_last_backward().unwrap();
            // Two pieces of one gradient, as those of an output matrix that is used in two places.
            let backward = model.loss(group.rank() as u64).f_backward();
            backward.unwrap();
            let second = model.variable(late).square().sum(Kind::Float).f_backward();
            let message = second.err().map(|error| error.to_string()).unwrap_or_default();
            if expected.is_empty() {
                assert_eq!(message, "");
                optimizer.step().unwrap();
                found.push(crate::recipe::hash(&crate::recipe::state(&mut optimizer)).to_string());
            } else {
                let expected = "the gradient of \"classifier.weight\" was added to after its bucket had been sent; name \
                                the parameter in Buckets::late";
                assert!(message.contains(expected), "{message}");
                let error = group.sum(&mut [1.0]).unwrap_err().to_string();
                assert!(error.starts_with("summing numbers while gradients are sent: "), "{error}");
            }
            let _ = optimizer.zero_grad();
        }
        assert_eq!(found[0], found[1]);
        found.join(" ")
    });
    assert_eq!(ends[0].result(), ends[1].result());
}

#[test]
fn gradients_that_were_not_cleared_are_refused() {
    let ends = in_ranks(2, name!(), |group| {
        let model = TinyBert::new(Spec::default());
        let recipe = Recipe::default();
        let mut optimizer = recipe.optimizer(adamw(&model.vs), &model, Some(group));
        optimizer.backward_step(&model.loss(1)).unwrap();
        let error = optimizer.step().unwrap_err().to_string();
        assert!(error.contains("call zero_grad of the wrapper"), "{error}");
        let error = model.loss(2).f_backward().unwrap_err().to_string();
        assert!(error.contains("after the gradients were summed over the ranks"), "{error}");
        // Skipped and cleared steps stay in line.
        optimizer.zero_grad().unwrap();
        if group.rank() == 0 {
            optimizer.begin_last_backward().unwrap();
            optimizer.backward_accumulate(&model.loss(2), 1.0).unwrap();
        }
        assert!(!optimizer.skip_step().unwrap().applied);
        optimizer.backward_step(&model.loss(3)).unwrap();
        let unknown = Buckets::default().with_late(["no.such.weight"]);
        let config = FreezingConfig::from_toml(recipe.freezing).unwrap();
        let other = FreezingOptimizer::new(adamw(&model.vs), &model.vs, &config, 5).unwrap();
        let error = other.distributed(group, unknown).unwrap_err().to_string();
        assert!(error.starts_with("unknown parameter \"no.such.weight\""), "{error}");
        format!("{:?}", crate::recipe::weights(&model))
    });
    assert_eq!(ends[0].result(), ends[1].result());
}

#[test]
fn operations_of_a_group() {
    let ends = in_ranks(3, name!(), |group| {
        let rank = group.rank();
        let mut sums = [rank as f64, 1.0];
        group.sum(&mut sums).unwrap();
        assert_eq!(sums, [3.0, 3.0]);
        assert_eq!(group.gather(&vec![rank as f64; rank]).unwrap(), [vec![], vec![1.0], vec![2.0; 2]]);
        // A view with strides, two tensors at once, and dtypes.
        for dtype in [Kind::Float, Kind::Double, Kind::BFloat16, Kind::Int64] {
            let of_rank = || Tensor::full([2, 3], rank as i64 + 1, (dtype, tch::Device::Cpu));
            let (plain, strided) = (of_rank(), of_rank().transpose(0, 1));
            group.all_reduce(&[&plain, &strided], ReduceOp::Sum).unwrap();
            assert_eq!((plain.double_value(&[1, 2]), strided.double_value(&[2, 0])), (6.0, 6.0));
        }
        let number = Tensor::from_slice(&[rank as f32, -(rank as f32)]);
        group.all_reduce(&[&number], ReduceOp::Max).unwrap();
        assert_eq!(Vec::<f32>::try_from(&number).unwrap(), [2.0, 0.0]);
        let number = Tensor::from_slice(&[rank as f32]);
        group.broadcast_tensors(&[&number], 2).unwrap();
        assert_eq!(number.double_value(&[0]), 2.0);
        group.barrier().unwrap();
        let model = TinyBert::new(Spec::default());
        let _ = tch::no_grad(|| model.variable("classifier.bias").shallow_clone().fill_(rank as f64));
        group.broadcast(&model.vs).unwrap();
        assert_eq!(model.variable("classifier.bias").double_value(&[0]), 0.0);
        String::new()
    });
    assert!(ends.iter().all(|end| end.result().is_empty()));
}

#[test]
fn nccl_without_a_gpu_is_refused() {
    if tch::Cuda::is_available() {
        return;
    }
    let ends = run(&Start::all(1), name!(), |ranks| {
        Group::join(ranks, Backend::Nccl, Duration::from_secs(5)).unwrap_err().to_string()
    });
    let found = ends[0].result();
    assert!(found.starts_with("the backend \"nccl\": "), "{found}");
    assert!(found.ends_with("there is no CUDA device") || found.contains("compiled without it"), "{found}");
}
