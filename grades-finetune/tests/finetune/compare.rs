//! `finetune compare`: its runs are real processes.

use std::process::Stdio;
use std::time::{Duration, Instant};

use grades_finetune::records::{
    Comparison, ComparisonRow, Failure, Metric, Numbers, Overhead, Quantity, StopReason, Target,
};
use grades_finetune::storage::Lock;

use crate::support::{Folder, PROGRAM, Ran, RunFiles, send};
use crate::tolerance::{FORMULA, assert_number_within};

/// Two epochs of three steps each; all that freezes does so at step 4.
const CONFIG: &str = r#"
[output]
folder = "runs"

[model]
path = "model"

[data]
train = "train.tsv"
eval = "dev.tsv"
test = "test.tsv"
max_tokens = 12

[training]
epochs = 2
batch_size = 8
eval_every = 2

[optimizer]
lr = 1e-3

[compare]
monitoring_steps = 8

[freezing]
grace = 0.5

[freezing.policy]
name = "fixed-threshold"
tau = 1e9
"#;

/// A folder with test examples, a configuration, and the file of one more row.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("test.tsv", "very good film\tyes\nvery bad film\tno\ngood\tyes\n");
    folder.write("base.toml", CONFIG);
    folder.write("slow.toml", "[optimizer]\nlr = 1e-4\n");
    folder
}

fn compare(folder: &Folder, arguments: &[&str]) -> Ran {
    folder.finetune(&[&["compare", "--config", "base.toml", "--output", "out"], arguments].concat())
}

fn row<'a>(comparison: &'a Comparison, name: &str) -> &'a ComparisonRow {
    comparison.row(name).unwrap_or_else(|| panic!("{name} in {comparison:?}"))
}

fn names(comparison: &Comparison) -> Vec<&str> {
    comparison.rows.iter().map(|row| row.name.as_str()).collect()
}

/// A number that is there.
fn number(numbers: &Numbers, quantity: Quantity) -> f64 {
    numbers.get(quantity).unwrap_or_else(|| panic!("{quantity:?} in {numbers:?}"))
}

fn read(folder: &Folder) -> Comparison {
    Comparison::read(&folder.path("out/compare-base/compare.json")).unwrap()
}

/// The files of a run of the comparison.
fn files(folder: &Folder, run: &str) -> RunFiles {
    RunFiles { path: folder.path("out/compare-base/runs").join(run) }
}

/// The runs that were begun, in their order.
fn begun(ran: &Ran) -> Vec<String> {
    let line = |line: &str| {
        let (place, rest) = line.split_once(' ')?;
        let (_, of) = place.split_once('/')?;
        of.parse::<u32>().ok()?;
        Some(rest.split([' ', ',']).next()?.to_owned())
    };
    ran.stderr.lines().filter_map(line).collect()
}

#[test]
fn rows_are_run_with_every_seed_and_put_together() {
    let folder = folder();
    let arguments =
        ["--seeds", "3,5", "--rows", "full,full-es,full-grades,lora-grades,full-half", "--with", "slow.toml"];
    let ran = compare(&folder, &arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let result = read(&folder);
    assert_eq!(names(&result), ["full", "full-es", "full-grades", "lora-grades", "full-half", "slow"]);
    assert_eq!(result.seeds, [3, 5]);
    assert_eq!(result.failures, []);
    let command = "finetune compare --config base.toml --output out --seeds 3,5 --rows full,full-es,full-grades,lora-grades,full-half --with slow.toml";
    assert_eq!(result.command, command);
    // Seed by seed, in another order each.
    let of = |seed: u32, order: [&str; 6]| order.map(|row| format!("{row}-seed{seed}"));
    let first = of(3, ["full", "full-es", "full-grades", "lora-grades", "full-half", "slow"]);
    let second = of(5, ["lora-grades", "full-half", "slow", "full", "full-es", "full-grades"]);
    assert_eq!(begun(&ran), [first, second].concat());

    // Numbers of runs are those of their summaries, and rows are made of those.
    for name in names(&result) {
        let row = row(&result, name);
        assert_eq!(row.runs.len(), 2, "{name}");
        for (run, seed) in row.runs.iter().zip([3, 5]) {
            assert_eq!(run.seed, Some(seed));
            assert_eq!(run.folder, format!("runs/{name}-seed{seed}"));
            let files = files(&folder, &format!("{name}-seed{seed}"));
            let summary = files.summary();
            assert_eq!(run.ended, Some(summary.ended), "{name}");
            for quantity in [
                Quantity::Steps,
                Quantity::PlannedSteps,
                Quantity::TrainSeconds,
                Quantity::EvalAccuracy,
                Quantity::EvalLoss,
                Quantity::TestAccuracy,
                Quantity::TestLoss,
                Quantity::Flops,
                Quantity::PeakMemoryBytes,
            ] {
                assert_eq!(run.numbers.get(quantity), quantity.of(&summary), "{name}: {quantity:?}");
            }
            let training = files.config()["training"].clone();
            assert_eq!(training["seed"].as_integer(), Some(seed.cast_signed()));
            assert_eq!(training["eval_every"].as_integer(), Some(2), "all have the same evaluations");
            let number = |quantity| number(&run.numbers, quantity);
            let paid = |quantity| if name == "full-es" { number(quantity) } else { 0.0 };
            let cost = number(Quantity::WallSeconds) - number(Quantity::EvalSeconds)
                + paid(Quantity::ValidationSeconds);
            assert_number_within(number(Quantity::CostSeconds), cost, FORMULA, name);
            assert!(number(Quantity::CostSeconds) >= number(Quantity::TrainSeconds), "{name}");
            assert!(number(Quantity::ValidationFlops) > 0.0, "{name}");
            let flops = number(Quantity::Flops) + paid(Quantity::ValidationFlops);
            assert_eq!(number(Quantity::CostFlops), flops, "{name}");
        }
        for quantity in [Quantity::Steps, Quantity::EvalLoss, Quantity::TrainSeconds, Quantity::Flops] {
            let [a, b] = [0, 1].map(|run: usize| number(&row.runs[run].numbers, quantity));
            let (mean, spread) = (number(&row.mean, quantity), number(&row.spread, quantity));
            let what = format!("{name}: {quantity:?}");
            assert_number_within(mean, (a + b) / 2.0, FORMULA, &what);
            // Of numbers as large as the mean.
            let error = (spread - (a - b).abs() / 2f64.sqrt()).abs();
            assert!(error <= FORMULA * mean.abs(), "{what}: {spread} of {a} and {b}");
        }
    }
    let steps = |name: &str| number(&row(&result, name).mean, Quantity::Steps);
    assert_eq!((steps("full"), steps("full-grades"), steps("full-half")), (6.0, 4.0, 3.0));
    assert_eq!(row(&result, "full-grades").savings.steps.map(|share| (share * 3.0).round()), Some(2.0));
    assert_eq!(row(&result, "full-grades").runs[0].ended, Some(StopReason::AllFrozen));
    let lora = files(&folder, "lora-grades-seed3").config();
    assert_eq!(lora["optimizer"]["lr"].as_float(), Some(1e-2), "ten times that of the whole model");
    assert_eq!(lora["lora"]["r"].as_integer(), Some(8));
    assert!(files(&folder, "full-seed3").config().get("freezing").is_none());
    assert_eq!(files(&folder, "slow-seed3").config()["optimizer"]["lr"].as_float(), Some(1e-4));

    // The baseline's own result is what the others are to reach.
    let full = row(&result, "full");
    let target = number(&full.mean, Quantity::EvalAccuracy);
    assert_eq!(result.target, Some(Target { metric: Metric::Accuracy, value: target }));
    for run in &full.runs {
        let evals = files(&folder, run.folder.trim_start_matches("runs/")).evals();
        let reached = evals.iter().find(|eval| eval.evaluation.accuracy.unwrap() >= target);
        let (steps, seconds) = reached.map(|eval| (eval.step as f64, eval.train_seconds)).unzip();
        assert_eq!(run.numbers.get(Quantity::StepsToTarget), steps);
        assert_eq!(run.numbers.get(Quantity::SecondsToTarget), seconds);
    }
    let paired = row(&result, "slow").paired[&Quantity::EvalLoss];
    let losses = |name: &str| {
        [0, 1].map(|run: usize| number(&row(&result, name).runs[run].numbers, Quantity::EvalLoss))
    };
    let (slow, fast) = (losses("slow"), losses("full"));
    let difference = ((slow[0] - fast[0]) + (slow[1] - fast[1])) / 2.0;
    // Of numbers as large as the losses.
    assert!((paired.mean - difference).abs() <= FORMULA * fast[0], "{paired:?}: {difference}");
    assert_eq!(paired.n, 2);
    for name in ["full-grades", "lora-grades"] {
        assert_eq!(row(&result, name).monitoring.unwrap().pairs, 4, "{name}");
    }
    assert!(full.monitoring.is_none());

    assert_eq!(folder.text("out/compare-base/compare.md"), ran.stdout);
    assert!(ran.stdout.contains("| full + GradES | 4 ± 0 |"), "{}", ran.stdout);
    assert!(
        folder.names("out/compare-base/runs/full-seed3").iter().all(|name| name != "model"),
        "models are not kept"
    );

    // The same again: all is there.
    let before = folder.bytes("out/compare-base/compare.json");
    let again = compare(&folder, &arguments);
    assert_eq!((again.code, begun(&again).len()), (Some(0), 0), "{again:?}");
    assert_eq!(folder.bytes("out/compare-base/compare.json"), before);
    assert_eq!(again.stdout, ran.stdout);

    // What would be another comparison is refused, and nothing is lost.
    let other = compare(&folder, &[&arguments[..], &["--set", "training.batch_size=4"]].concat());
    assert_eq!(other.code, Some(1));
    assert!(
        other.error().contains("training.batch_size was 8, now it is 4; choose another --name"),
        "{other:?}"
    );
    folder.write("train.tsv", folder.text("train.tsv") + "good\tyes\n");
    let other = compare(&folder, &arguments);
    assert!(
        other.error().starts_with("data.train is not what the comparison in out/compare-base was begun with"),
        "{other:?}"
    );
    assert_eq!(folder.bytes("out/compare-base/compare.json"), before);
}

#[test]
fn a_comparison_that_was_killed_goes_on() {
    let folder = folder();
    let arguments = [
        "compare",
        "--config",
        "base.toml",
        "--output",
        "out",
        "--seeds",
        "0,1",
        "--rows",
        "full,full-half",
        "--set",
        "compare.monitoring_steps=0",
    ];
    // Nobody else may be at it.
    std::fs::create_dir_all(folder.path("out/compare-base")).unwrap();
    let lock = Lock::acquire(&folder.path("out/compare-base")).unwrap().unwrap();
    let ran = folder.finetune(&arguments);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let expected = "another process is at the comparison in out/compare-base; it must end first";
    assert!(ran.error().contains(expected), "{}", ran.error());
    drop(lock);
    for signal in ["-TERM", "-KILL"] {
        let mut command = folder.command(PROGRAM, &arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // In the middle of the second run, or later.
        let summary = folder.path("out/compare-base/runs/full-seed0/summary.json");
        let second = folder.path("out/compare-base/configs/full-half-seed0.toml");
        let start = Instant::now();
        while !(summary.exists() && second.exists()) {
            assert!(start.elapsed() < Duration::from_secs(120), "the first run does not end");
            assert!(child.try_wait().unwrap().is_none(), "it ended before its time");
            std::thread::sleep(Duration::from_millis(5));
        }
        send(&child, signal);
        let status = child.wait().unwrap();
        if signal == "-TERM" {
            // As after Ctrl-C; unless it was done by then.
            assert!(matches!(status.code(), Some(130 | 0)), "{status:?}");
        }
    }
    let first = folder.bytes("out/compare-base/runs/full-seed0/summary.json");
    // A run of which something is missing, as one that was killed leaves it.
    std::fs::create_dir_all(folder.path("out/compare-base/runs/full-half-seed1")).unwrap();
    folder.write("out/compare-base/runs/full-half-seed1/steps.jsonl", "{}");
    let _ = std::fs::remove_file(folder.path("out/compare-base/runs/full-half-seed1/summary.json"));
    let ran = folder.finetune(&arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(begun(&ran).contains(&"full-half-seed1".to_owned()), "{ran:?}");
    assert!(!begun(&ran).contains(&"full-seed0".to_owned()), "{ran:?}");
    assert_eq!(folder.bytes("out/compare-base/runs/full-seed0/summary.json"), first, "it was not made again");
    let result = read(&folder);
    assert!(result.rows.iter().all(|row| row.runs.len() == 2));
    // Times with another number of threads are no part of it.
    let ran = Ran::of(folder.command(PROGRAM, &arguments).env("OMP_NUM_THREADS", "2"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.error().contains("the number of threads is not what the comparison"), "{}", ran.error());
    // A run whose evaluations cannot be read is made again.
    folder.write("out/compare-base/runs/full-seed0/evals.jsonl", "{\"step\": 2, \"lo");
    let ran = folder.finetune(&arguments);
    assert_eq!((ran.code, begun(&ran)), (Some(0), vec!["full-seed0".to_owned()]), "{ran:?}");
}

#[test]
fn a_row_that_fails_does_not_keep_the_others() {
    let folder = folder();
    folder
        .write("broken.toml", "[optimizer]\nlr = 1e30\n[schedule]\nwarmup = 0\n[guard]\nmax_bad_steps = 3\n");
    let arguments = ["--seeds", "0", "--rows", "full-third,full", "--with", "broken.toml"];
    let ran = compare(&folder, &arguments);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.starts_with("warning: one seed says nothing about the spread between runs"),
        "{ran:?}"
    );
    let result = read(&folder);
    let [Failure { row: failed, seed, reason }] = &result.failures[..] else {
        panic!("{:?}", result.failures)
    };
    assert_eq!((failed.as_str(), *seed), ("broken", 0));
    assert!(
        reason.starts_with("exit status: 3; error: the last 3 steps, up to step 4, had a loss"),
        "{reason}"
    );
    assert_eq!(row(&result, "broken").runs, []);
    let third = row(&result, "full-third");
    assert_eq!((third.mean.get(Quantity::Steps), third.spread.get(Quantity::Steps)), (Some(2.0), None));
    assert!(ran.stdout.contains("| broken (0 of 1 runs) | – |"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("Missing: `broken` with seed 0: exit status: 3; error: the last 3 steps"),
        "{}",
        ran.stdout
    );
    // It is tried again, the others are not.
    assert_eq!(begun(&compare(&folder, &arguments)), ["broken-seed0"]);
}

#[test]
fn what_cannot_be_compared_is_refused_before_anything_is_written() {
    let folder = folder();
    folder.write("model.toml", "[model]\npath = \"elsewhere\"\n");
    folder.write("data.toml", "[data]\nmax_tokens = 5\n");
    folder.write("wrong.toml", "[training]\nepoch = 3\n");
    folder.write("full.toml", "[training]\nepochs = 3\n");
    std::fs::create_dir_all(folder.path("out/mine")).unwrap();
    folder.write("out/mine/notes.txt", "kept");
    let rows = "rows: full, full-es, full-grades, lora, lora-es, lora-grades, full-third, full-half";
    let cases = [
        (&["--rows", "full,full-grade"][..], format!("there is no row \"full-grade\" (did you mean \"full-grades\"?); {rows}")),
        (&["--rows", "full,full"], "two rows are called \"full\"; each needs a name of its own".to_owned()),
        (&["--with", "full.toml"], "two rows are called \"full\"; each needs a name of its own".to_owned()),
        (&["--seeds", "1,2,1"], "seed 1 is given twice; each must be another".to_owned()),
        (&["--with", "model.toml"], "model.toml: model.path is not what the comparison has; all rows have the same model and data".to_owned()),
        (&["--with", "data.toml"], "data.toml: data.max_tokens is not what the comparison has; all rows have the same model and data".to_owned()),
        (&["--with", "wrong.toml"], "row wrong: training.epoch: unknown key (did you mean \"epochs\"?)".to_owned()),
        (&["--with", "gone.toml"], "cannot read gone.toml".to_owned()),
        (&["--name", "mine"], "the folder out/mine exists and is no comparison's; choose another --name".to_owned()),
        (&["--set", "compare.lora_lr=0"], "compare.lora_lr: expected a number above 0, found 0".to_owned()),
        (&["--set", "compare.seeds=[]"], "compare.seeds: expected a list of whole numbers, found []".to_owned()),
        (&["--set", "data={ train = \"train.tsv\" }"], "data.eval is missing: a comparison needs examples that it measures by".to_owned()),
    ];
    let before = (folder.names("."), folder.names("out"), folder.names("out/mine"));
    for (arguments, message) in cases {
        let ran = compare(&folder, arguments);
        assert_eq!(ran.code, Some(1), "{arguments:?}: {ran:?}");
        assert!(ran.error().contains(&message), "{arguments:?}: {}", ran.error());
        assert_eq!(
            (folder.names("."), folder.names("out"), folder.names("out/mine")),
            before,
            "{arguments:?}"
        );
    }
    // Words in the place of numbers are wrong usage.
    assert_eq!(compare(&folder, &["--seeds", "one"]).code, Some(2));
}

#[test]
fn watching_gradients_is_measured_by_itself_too() {
    let folder = folder();
    let ran = folder.finetune(&["monitoring", "--config", "base.toml", "--steps", "6"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let Overhead { percent, quartiles: [low, high], pairs, seconds_per_step } =
        serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(pairs, 3);
    assert!(low <= percent && percent <= high && low > -100.0, "{}", ran.stdout);
    assert!(seconds_per_step > 0.0);
    assert_eq!(folder.names("runs"), [""; 0], "nothing is written");
    let lora = ["--set", "lora.r=2", "--set", "training.gradient_accumulation_steps=2"];
    let ran =
        folder.finetune(&[&["monitoring", "--config", "base.toml", "--steps", "4"], &lora[..]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    folder.write("plain.toml", folder.text("base.toml").split("[freezing]").next().unwrap());
    let ran = folder.finetune(&["monitoring", "--config", "plain.toml"]);
    assert!(ran.error().starts_with("there is no [freezing] table, so nothing is watched"), "{ran:?}");
}
