//! Records: what is written is read back, and what older or broken-off runs lack is accepted.

use grades_finetune::records::{
    ComponentCounts, Ending, EvalRecord, Evaluation, FlopCounts, SkipReason, StepMemory, StepRecord,
    StepWork, StopReason, Summary, read_lines, write_line,
};
use serde_json::{Value, json};

use crate::support::Folder;

/// More than a u64 has room for.
const FLOPS: u128 = 1 << 70;

fn step(loss: f64) -> StepRecord {
    StepRecord {
        step: 7,
        epoch: 1,
        loss,
        learning_rate: 1e-4,
        grad_norm: None,
        work: StepWork { examples: 8, tokens: 90, flops: FLOPS, cache_flops: 0, seconds: 1.5 },
        components: ComponentCounts { cooling: 1, frozen: 2 },
        memory: StepMemory { memory_bytes: None, training_bytes: 1 << 40, cache_bytes: 0 },
        skipped: Some(SkipReason::Gradients),
    }
}

#[test]
fn steps_are_read_as_they_were_written() {
    let folder = Folder::empty();
    let mut file = Vec::new();
    for loss in [0.5, f64::NAN] {
        write_line(&mut file, &step(loss)).unwrap();
    }
    folder.write("steps.jsonl", &file);
    let read: Vec<StepRecord> = read_lines(&folder.path("steps.jsonl"), Ending::Whole).unwrap();
    assert_eq!(read[0], step(0.5));
    assert!(read[1].loss.is_nan(), "null");
    let first = String::from_utf8(file).unwrap().lines().next().unwrap().to_owned();
    assert_eq!(
        first,
        format!(
            "{{\"step\":7,\"epoch\":1,\"loss\":0.5,\"learning_rate\":0.0001,\"grad_norm\":null,\"examples\":8,\
             \"tokens\":90,\"flops\":{FLOPS},\"seconds\":1.5,\"cooling\":1,\"frozen\":2,\"memory_bytes\":null,\
             \"training_bytes\":1099511627776,\"skipped\":\"gradients\"}}"
        )
    );
}

#[test]
fn the_cache_of_a_step_is_written_where_there_is_one() {
    let folder = Folder::empty();
    let mut cached = step(0.5);
    (cached.work.cache_flops, cached.memory.cache_bytes) = (FLOPS / 2, 1 << 41);
    let mut file = Vec::new();
    write_line(&mut file, &cached).unwrap();
    folder.write("steps.jsonl", &file);
    assert_eq!(read_lines::<StepRecord>(&folder.path("steps.jsonl"), Ending::Whole).unwrap(), [cached]);
    let line = String::from_utf8(file).unwrap();
    assert!(
        line.contains(&format!("\"cache_flops\":{}", FLOPS / 2))
            && line.contains("\"cache_bytes\":2199023255552")
    );
}

#[test]
fn evaluations_are_read_as_they_were_written() {
    let evaluation = Evaluation {
        loss: 0.25,
        accuracy: Some(0.5),
        examples: 10,
        flops: 1 << 40,
        seconds: 2.0,
        ..Evaluation::default()
    };
    let record = EvalRecord {
        step: 3,
        is_final: true,
        best: Some(false),
        train_seconds: 1.0,
        validation_seconds: 0.5,
        wall_seconds: 2.5,
        flops: FLOPS,
        validation_flops: 5,
        evaluation,
    };
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<EvalRecord>(&text).unwrap(), record);
    for part in ["\"final\":true", "\"best\":false", "\"eval_flops\":1099511627776", "\"perplexity\":null"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // As other versions have it.
    let old: EvalRecord = serde_json::from_str(r#"{"step":3,"loss":null}"#).unwrap();
    assert!(old.wall_seconds.is_nan() && old.evaluation.loss.is_nan() && old.evaluation.accuracy.is_none());
}

#[test]
fn a_summary_is_flat_and_names_each_score_by_its_part() {
    let least = json!({"ended": "bad-numbers", "eval_loss": 0.5, "test_accuracy": 0.75, "flops": 1e21, "unheard_of": []});
    let mut summary: Summary = serde_json::from_value(least).unwrap();
    assert_eq!(summary.ended, StopReason::NonFinite);
    assert_eq!(
        (summary.eval.loss, summary.eval.accuracy, summary.test.accuracy),
        (Some(0.5), None, Some(0.75))
    );
    assert_eq!(summary.flops.flops, 1_000_000_000_000_000_000_000);
    summary.flops =
        FlopCounts { flops: 1 << 50, flops_without_freezing: 1 << 51, cache_flops: 1 << 49, ..summary.flops };
    let written = serde_json::to_value(&summary).unwrap();
    let object = written.as_object().unwrap();
    assert!(object.values().all(|value| !value.is_object()), "{written}");
    for (key, value) in
        [("eval_loss", json!(0.5)), ("test_loss", Value::Null), ("test_accuracy", json!(0.75))]
    {
        assert_eq!(written[key], value, "{key}");
    }
    for absent in ["eval_perplexity", "test_exact_match", "best_step", "skipped"] {
        assert!(!object.contains_key(absent), "{absent} is left out where there is none");
    }
    assert_eq!(serde_json::from_value::<Summary>(written).unwrap(), summary);
}

#[test]
fn reasons_have_their_words_and_codes() {
    struct Case {
        reason: StopReason,
        word: &'static str,
        code: u8,
    }
    for Case { reason, word, code } in [
        Case { reason: StopReason::AllFrozen, word: "all-frozen", code: 0 },
        Case { reason: StopReason::EnoughFrozen, word: "enough-frozen", code: 0 },
        Case { reason: StopReason::EarlyStopped, word: "early-stopped", code: 0 },
        Case { reason: StopReason::AllSteps, word: "all-steps", code: 0 },
        Case { reason: StopReason::Interrupted, word: "interrupted", code: 130 },
        Case { reason: StopReason::NonFinite, word: "bad-numbers", code: 3 },
    ] {
        assert_eq!((reason.name(), reason.exit_code()), (word, code));
        assert_eq!(serde_json::to_value(reason).unwrap(), word);
        assert_eq!(serde_json::from_value::<StopReason>(word.into()).unwrap(), reason);
        assert!(reason.sentence((5, 9), (2, 4)).contains('5'), "{word}");
    }
}
