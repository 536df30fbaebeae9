//! Contract 7: k + n steps are k steps, save, load into new objects, n steps, bit by bit.

use std::path::{Path, PathBuf};

use grades::optim::{AdamConfig, HalfPrecision, SgdConfig, StatefulOptimizer};
use grades::tracker::{FreezeEvent, StepReport};
use grades::{Error, FreezingConfig, FreezingOptimizer};
use grades_policies as _;
use grades_tests::{Spec, TinyBert, bits};
use proptest::prelude::*;
use tch::Tensor;
use tch::nn::VarStore;

const STEPS: u64 = 30;

type Inner = Box<dyn StatefulOptimizer>;
type Make = fn(&VarStore) -> Inner;

const OPTIMIZERS: [(&str, Make); 6] = [
    ("adamw", |vs| Box::new(AdamConfig::adamw().build(vs, 1e-2).unwrap())),
    ("adam", |vs| Box::new(AdamConfig::adam().wd(0.1).amsgrad(true).build(vs, 1e-2).unwrap())),
    ("sgd", |vs| Box::new(SgdConfig::new().momentum(0.9).dampening(0.2).build(vs, 1e-2).unwrap())),
    ("nesterov", |vs| {
        Box::new(SgdConfig::new().momentum(0.8).wd(0.1).nesterov(true).build(vs, 1e-2).unwrap())
    }),
    ("float state", |vs| {
        Box::new(AdamConfig::adamw().half_precision(HalfPrecision::FloatState).build(vs, 1e-2).unwrap())
    }),
    ("masters", |vs| {
        let config = SgdConfig::new().momentum(0.9).half_precision(HalfPrecision::MasterWeights);
        Box::new(config.build(vs, 1e-2).unwrap())
    }),
];

/// Each freezes some, but not all, within the run.
const CONFIGS: [&str; 10] = [
    "name = 'signal-fraction'\nfloor = 0.4\nwindow = 3\nhits = 2",
    "name = 'quota'\nmax_share = 0.8",
    "name = 'relative-to-peak'\nrho = 0.9\nhits = 2",
    "name = 'patience'\nhits = 3\npolicy = { name = 'fixed-threshold', tau = 0.5 }",
    "name = 'thaw'\nperiod = 3\npolicy = { name = 'quota', max_share = 0.7 }",
    "name = 'per-component-type'\ndefault = { name = 'quota', max_share = 0.6 }\nattention = { name = 'fixed-threshold', tau = 0.3 }",
    "name = 'any-of'\npolicies = [{ name = 'plateau', window = 5 }, { name = 'quota', max_share = 0.5 }]",
    "name = 'all-of'\npolicies = [{ name = 'fixed-threshold', tau = 9.0 }, { name = 'quota', max_share = 0.6 }]",
    "name = 'fixed-threshold'\ntau = 0.6\nmetric = 'grad-delta-l1'",
    "name = 'fixed-threshold'\ntau = 0.6\nmetric = 'weight-delta-l1'",
];

const SETTINGS: [&str; 4] = [
    "",
    "cooldown = 4\ncooling = 'decay'\nfollowers = 'keep'",
    "check_every = 2\ngrace = 0.2\ncooldown = { share = 0.3 }\ncooling = 'decay'",
    "cooldown = 5\ncooling = 'average'",
];

type Step = fn(&mut FreezingOptimizer<Inner>, &TinyBert, u64) -> StepReport;

const WAYS: [(&str, Step); 3] = [
    ("plain", |optimizer, model, step| optimizer.backward_step(&model.loss(step % 7)).unwrap()),
    ("clip", |optimizer, model, step| optimizer.backward_step_clip_norm(&model.loss(step % 7), 0.2).unwrap()),
    ("micro", |optimizer, model, step| {
        optimizer.zero_grad().unwrap();
        for part in 0..2 {
            optimizer.backward_accumulate(&model.loss(2 * (step % 5) + part), 0.5).unwrap();
        }
        optimizer.step().unwrap()
    }),
];

struct Run {
    model: TinyBert,
    optimizer: FreezingOptimizer<Inner>,
    events: Vec<FreezeEvent>,
}

impl Run {
    fn new(make: Make, config: &str) -> Option<Self> {
        let model = TinyBert::new(Spec::default());
        let config = FreezingConfig::from_toml(config).unwrap();
        match FreezingOptimizer::new(make(&model.vs), &model.vs, &config, STEPS) {
            Ok(optimizer) => Some(Self { model, optimizer, events: Vec::new() }),
            Err(Error::Unsupported { .. }) => None, // no momentum to read
            Err(other) => panic!("{other}"),
        }
    }

    fn go(&mut self, way: Step, steps: std::ops::RangeInclusive<u64>) {
        for step in steps {
            let report = way(&mut self.optimizer, &self.model, step);
            self.events.extend(report.events);
        }
    }

    fn bytes(&self) -> Vec<(String, Vec<u32>, bool)> {
        let one =
            |(name, variable): (&str, &Tensor)| (name.to_owned(), bits(variable), variable.requires_grad());
        self.model.variables().map(one).collect()
    }

    /// New objects with what was saved of these.
    fn reborn(&mut self, make: Make, config: &str, file: &Path) -> Self {
        self.optimizer.save(file).unwrap();
        let mut other = Self::new(make, config).unwrap();
        tch::no_grad(|| {
            for (name, variable) in self.model.variables() {
                other.model.variable(name).shallow_clone().copy_(variable);
            }
        });
        other.optimizer.load(file).unwrap();
        other
    }
}

fn config(policy: &str, settings: &str) -> String {
    format!("[freezing]\n{settings}\n[freezing.policy]\n{policy}\n")
}

fn assert_resumes(
    make: (&str, Make),
    policy: &str,
    settings: &str,
    way: (&str, Step),
    breaks: &[u64],
) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("optimizer.safetensors");
    let config = config(policy, settings);
    let Some(mut whole) = Run::new(make.1, &config) else { return 0 };
    whole.go(way.1, 1..=STEPS);
    for at in breaks {
        let mut before = Run::new(make.1, &config).unwrap();
        before.go(way.1, 1..=*at);
        let mut after = before.reborn(make.1, &config, &file);
        let context = format!("{}, {}, broken at {at}, {config}", make.0, way.0);
        assert_eq!(after.bytes(), before.bytes(), "{context}");
        assert_eq!(
            after.optimizer.memory(),
            {
                let mut m = before.optimizer.memory();
                m.gradients = 0;
                m
            },
            "{context}"
        );
        after.go(way.1, at + 1..=STEPS);
        assert!(after.bytes() == whole.bytes(), "{context}");
        let events: Vec<_> = before.events.into_iter().chain(after.events).collect();
        assert_eq!(events, whole.events, "{context}");
        let (after_state, whole_state) =
            (after.optimizer.tracker().state(), whole.optimizer.tracker().state());
        assert_eq!(after_state.unwrap(), whole_state.unwrap(), "{context}");
    }
    whole.events.len()
}

#[test]
fn every_policy_goes_on_as_if_there_had_been_no_break() {
    let mut events = 0;
    for policy in CONFIGS {
        for settings in SETTINGS {
            events += assert_resumes(OPTIMIZERS[0], policy, settings, WAYS[0], &[1, 8, 17]);
        }
    }
    assert!(events > 200, "too little happened for a test: {events}");
}

#[test]
fn every_optimizer_goes_on_as_if_there_had_been_no_break() {
    for make in OPTIMIZERS {
        for way in WAYS {
            for (policy, settings) in [(CONFIGS[0], SETTINGS[1]), (CONFIGS[4], SETTINGS[3])] {
                let events = assert_resumes(make, policy, settings, way, &[5, 12]);
                assert!(events > 0, "{}, {}, {policy}", make.0, way.0);
            }
        }
    }
    let two_batch = "name = 'two-batch'\nfloor = 0.9\nwindow = 3\nhits = 2";
    assert_resumes(OPTIMIZERS[0], two_batch, SETTINGS[1], WAYS[2], &[1, 9]);
}

#[test]
fn deferred_statistics_are_reported_before_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("optimizer.safetensors");
    let config = config(CONFIGS[0], SETTINGS[1]);
    let make = OPTIMIZERS[0].1;
    let run = |broken: bool| {
        let mut run = Run::new(make, &config).unwrap();
        run.optimizer = run.optimizer.with_deferred_statistics(true);
        run.go(WAYS[0].1, 1..=9);
        run.optimizer.save(&file).unwrap();
        if broken {
            run = run.reborn(make, &config, &file);
            run.optimizer = run.optimizer.with_deferred_statistics(true);
        }
        run.go(WAYS[0].1, 10..=STEPS);
        run.bytes()
    };
    assert!(run(false) == run(true));
}

/// A run that was saved, and its file.
fn saved() -> (tempfile::TempDir, PathBuf, Run) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("optimizer.safetensors");
    let mut run = Run::new(OPTIMIZERS[0].1, &config(CONFIGS[0], SETTINGS[1])).unwrap();
    run.go(WAYS[0].1, 1..=9);
    run.optimizer.save(&file).unwrap();
    (folder, file, run)
}

/// The error of loading into these, which are then as they were.
fn refused(make: Make, config: &str, file: &Path) -> String {
    let mut run = Run::new(make, config).unwrap();
    run.go(WAYS[0].1, 1..=3);
    let (bytes, state) = (run.bytes(), run.optimizer.tracker().state().unwrap());
    let error = run.optimizer.load(file).unwrap_err().to_string();
    assert_eq!((run.bytes(), run.optimizer.tracker().state().unwrap()), (bytes, state), "{error}");
    run.go(WAYS[0].1, 4..=6);
    let mut twin = Run::new(make, config).unwrap();
    twin.go(WAYS[0].1, 1..=6);
    assert!(run.bytes() == twin.bytes(), "{error}");
    error
}

#[test]
fn what_differs_is_named_and_nothing_is_changed() {
    let (_folder, file, _) = saved();
    let same = config(CONFIGS[0], SETTINGS[1]);
    struct Case {
        expected: &'static str,
        make: Make,
        config: String,
    }
    let cases = [
        Case {
            expected: "it is that of \"adamw\", the optimizer is \"adam\"",
            make: OPTIMIZERS[1].1,
            config: same.clone(),
        },
        Case {
            expected: "it is that of \"adamw\", the optimizer is \"sgd\"",
            make: OPTIMIZERS[2].1,
            config: same.clone(),
        },
        Case {
            expected: "half_precision was \"as-parameter\" when it was saved and is \"float-state\"",
            make: OPTIMIZERS[4].1,
            config: same.clone(),
        },
        Case {
            expected: "beta2 was 0.999 when it was saved and is 0.9 here",
            make: |vs| Box::new(AdamConfig::adamw().beta2(0.9).build(vs, 1e-2).unwrap()),
            config: same.clone(),
        },
        Case {
            expected: "cooldown was 4 when it was saved and is 5 here",
            make: OPTIMIZERS[0].1,
            config: same.replace("= 4", "= 5"),
        },
        Case {
            expected: "check_every was 1 when it was saved and is 3",
            make: OPTIMIZERS[0].1,
            config: same.replace("cooldown", "check_every = 3\ncooldown"),
        },
        Case {
            expected: "policy was signal-fraction when it was saved and is quota",
            make: OPTIMIZERS[0].1,
            config: config(CONFIGS[1], SETTINGS[1]),
        },
        Case {
            expected: "cooling was decay when it was saved and is average",
            make: OPTIMIZERS[0].1,
            config: same.replace("decay", "average"),
        },
    ];
    for Case { expected, make, config } in cases {
        let error = refused(make, &config, &file);
        assert!(error.contains(expected), "{error}\nexpected: {expected}");
    }
}

#[test]
fn a_parameter_that_does_not_train_any_more_is_named_with_what_to_do() {
    let (_folder, file, _) = saved();
    let model = TinyBert::new(Spec::default());
    let name = "encoder.layer.0.attention.self.query.weight";
    let _ = model.variable(name).set_requires_grad(false);
    let config = FreezingConfig::from_toml(&config(CONFIGS[0], SETTINGS[1])).unwrap();
    let inner = OPTIMIZERS[0].1(&model.vs);
    let mut optimizer = FreezingOptimizer::new(inner, &model.vs, &config, STEPS).unwrap();
    let error = optimizer.load(&file).unwrap_err().to_string();
    let expected =
        format!("the model has no trainable parameter \"{name}\"; load the state into a model in which all");
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn other_files_and_newer_versions_are_refused_by_name() {
    let (folder, file, _) = saved();
    let same = config(CONFIGS[0], SETTINGS[1]);
    let make = OPTIMIZERS[0].1;
    let other = folder.path().join("other.safetensors");
    let whole = std::fs::read(&file).unwrap();

    let error = refused(make, &same, &folder.path().join("none.safetensors"));
    assert!(error.starts_with("reading ") && error.contains("none.safetensors"), "{error}");
    std::fs::write(&other, b"{}").unwrap();
    assert!(refused(make, &same, &other).contains("it is no safetensors file"));
    let version = b"\"version\":\"2\"";
    let at = whole.windows(version.len()).position(|bytes| bytes == version).unwrap();
    let mut newer = whole.clone();
    newer[at + 11] = b'7';
    std::fs::write(&other, &newer).unwrap();
    let error = refused(make, &same, &other);
    assert!(error.contains("it has version 7; this program reads up to version 2"), "{error}");
    assert!(error.contains("other.safetensors"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // The seed of the file is the same for all cases.
    #[test]
    fn a_flipped_bit_or_a_missing_end_is_found(share in 0.0f64..1.0, bit in 0u8..8, cut: bool) {
        thread_local! {
            static SAVED: (tempfile::TempDir, PathBuf, Run) = saved();
        }
        SAVED.with(|(folder, file, _)| {
            let mut whole = std::fs::read(file).unwrap();
            let at = ((whole.len() - 1) as f64 * share) as usize;
            if cut { whole.truncate(at) } else { whole[at] ^= 1 << bit }
            let other = folder.path().join("damaged.safetensors");
            std::fs::write(&other, &whole).unwrap();
            let mut run = Run::new(OPTIMIZERS[0].1, &config(CONFIGS[0], SETTINGS[1])).unwrap();
            let error = run.optimizer.load(&other);
            prop_assert!(matches!(error, Err(Error::State { .. })), "byte {at}, bit {bit}, cut {cut}: {error:?}");
            Ok(())
        })?;
    }
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_old_one() {
    let (folder, file, mut run) = saved();
    let before = std::fs::read(&file).unwrap();
    let error = run.optimizer.save(&folder.path().join("none/optimizer.safetensors")).unwrap_err();
    assert!(
        matches!(&error, Error::Io { .. }) && error.to_string().contains("none/optimizer.safetensors"),
        "{error}"
    );
    run.go(WAYS[0].1, 10..=11);
    run.optimizer.save(&file).unwrap();
    assert_ne!(std::fs::read(&file).unwrap(), before);
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["optimizer.safetensors"], "no temporary file is left");
}
