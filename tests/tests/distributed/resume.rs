//! Contract 18: a run that is resumed after a kill of any rank is exact.

use std::path::{Path, PathBuf};

use grades_tests::{Spec, TinyBert};

use crate::name;
use crate::processes::{Start, join, run, signal};
use crate::recipe::{Recipe, Trace, adamw, state, weights};

const BREAK: u64 = 6;

fn files(folder: &Path) -> [PathBuf; 2] {
    ["optimizer.safetensors", "model.safetensors"].map(|name| folder.join(name))
}

/// Trains from the start or from what rank 0 saved; `save` saves after step 6 and then goes on to step 9, where the last rank is
/// killed.
fn course(ranks: &grades::distributed::Ranks, folder: &Path, mode: &str) -> String {
    let group = join(ranks);
    let recipe = Recipe { micro_batches: 6, ..Recipe::default() };
    let mut model = TinyBert::new(Spec::default());
    let mut optimizer = recipe.optimizer(adamw(&model.vs), &model, Some(&group));
    let [state_file, weights_file] = files(folder);
    let done: Trace = match mode {
        "whole" => recipe.train(optimizer, &model, Some(&group), state, 1..=recipe.steps),
        "resume" => {
            model.vs.load(&weights_file).unwrap();
            optimizer.load(&state_file).unwrap();
            optimizer.compare_ranks().unwrap();
            recipe.train(optimizer, &model, Some(&group), state, BREAK + 1..=recipe.steps)
        }
        _ => {
            let mut traffic = Vec::new();
            for step in 1..=recipe.steps {
                recipe.step(&mut optimizer, &model, Some(&group), step, &mut traffic);
                if step == BREAK && ranks.rank == 0 {
                    optimizer.save(&state_file).unwrap();
                    model.vs.save(&weights_file).unwrap();
                }
                if step == BREAK + 3 && ranks.rank == ranks.world - 1 {
                    signal("KILL");
                }
            }
            unreachable!("rank {} was not stopped by the kill", ranks.rank)
        }
    };
    assert_eq!(done.weights, weights(&model));
    serde_json::to_string(&done).unwrap()
}

#[test]
fn resume_after_a_kill_is_exact() {
    let folder = tempfile::tempdir().unwrap();
    let test = name!();
    let session = |mode: &str| {
        let mut start = Start::all(3);
        let path = folder.path().display().to_string();
        start.variables = vec![("GRADES_TEST_MODE", mode.to_owned()), ("GRADES_TEST_FOLDER", path)];
        run(&start, test, |ranks| {
            let variable = |name: &str| std::env::var(name).unwrap();
            course(ranks, Path::new(&variable("GRADES_TEST_FOLDER")), &variable("GRADES_TEST_MODE"))
        })
    };
    let broken = session("save");
    assert!(broken.iter().all(|end| end.result.is_none()));
    let traces = |mode: &str| -> Vec<Trace> {
        session(mode).iter().map(|end| serde_json::from_str(end.result()).unwrap()).collect()
    };
    let (whole, resumed) = (traces("whole"), traces("resume"));
    for (whole, resumed) in whole.iter().zip(&resumed) {
        assert_eq!(resumed.weights, whole.weights);
        assert_eq!(resumed.hashes, whole.hashes[BREAK as usize..]);
        assert!(whole.events.ends_with(&resumed.events) && !resumed.events.is_empty());
    }
}
