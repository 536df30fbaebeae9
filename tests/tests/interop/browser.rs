//! Reports in a headless Chromium: nothing goes wrong, all pictures are drawn, filters and hovering work, and nothing
//! is wider than the screen.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::workspace;

/// The program, if there is one. `GRADES_REQUIRE_BROWSER=1`, which CI sets, makes its absence a failure.
fn chromium() -> Option<String> {
    let given = std::env::var("CHROMIUM").ok();
    let names = ["chromium", "chromium-browser", "google-chrome"].map(str::to_owned);
    let works =
        |name: &String| Command::new(name).arg("--version").output().is_ok_and(|run| run.status.success());
    let found = given.into_iter().chain(names).find(works);
    if found.is_none() {
        let required = std::env::var_os("GRADES_REQUIRE_BROWSER").is_some_and(|value| value == "1");
        assert!(!required, "there is no chromium in PATH, and CHROMIUM names none");
        let note =
            b"skipped: there is no chromium to open reports with (install it, or name it in CHROMIUM)\n";
        // Not captured by the test harness.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), note);
    }
    found
}

/// What a page is like at a width, as `tests/browser/driver.js` finds it.
fn visit(chromium: &str, page: &str, widths: &[u32], dir: &Path) -> Vec<Value> {
    let driver = std::fs::read_to_string(workspace("tests/browser/driver.js")).unwrap();
    let data = json!({"page": page, "widths": widths}).to_string().replace('<', "\\u003c");
    let html = format!(
        "<!doctype html><meta charset=\"utf-8\"><body><pre id=\"result\"></pre>\
         <script type=\"application/json\" id=\"visit\">{data}</script><script>{driver}</script></body>"
    );
    let file: PathBuf = dir.join("visit.html");
    std::fs::write(&file, html).unwrap();
    let output = Command::new(chromium)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--log-level=0"])
        .args(["--virtual-time-budget=20000", "--window-size=1400,1000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", dir.join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    let console: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "the console has something to say: {console:?}");
    let dom = String::from_utf8(output.stdout).unwrap();
    let result = dom.split("<pre id=\"result\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let result = result.unwrap_or_default().replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&result).unwrap_or_else(|error| panic!("{error}: {result:?}\n{log}"))
}

const WIDTHS: [u32; 4] = [320, 390, 768, 1280];

#[test]
fn a_runs_page_works_in_a_browser() {
    let Some(chromium) = chromium() else { return };
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    write_run(&run, 4);
    grades_finetune::report::write_run_report(&run).unwrap();
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    for (found, width) in visit(&chromium, &page, &WIDTHS, dir.path()).iter().zip(WIDTHS) {
        assert_eq!(found["errors"], json!([]), "{width}");
        assert_eq!(found["ready"], "yes", "{width}");
        assert!(
            found["overflow"].as_f64().unwrap() <= 0.0,
            "{width}: the page is too wide by {}",
            found["overflow"]
        );
        assert_eq!(found["cut"], 0, "{width}: a table is cut");
        if width == 1280 {
            assert_eq!(found["tile_rows"], 1, "all key figures are in one row");
        }
        let figures = found["figures"].as_array().unwrap();
        let names: Vec<&str> = figures.iter().map(|figure| figure["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["statistic-0", "heat-map", "loss", "progress"]);
        for figure in figures {
            assert_eq!(figure["shown"], 1, "{width}: one of the two pictures of {}", figure["name"]);
            assert!(
                figure["width"].as_f64().unwrap() > 0.8 * f64::from(width.min(1040) - 40),
                "{width}: {figure}"
            );
            assert!(figure["marks"].as_u64().unwrap() > 10, "{width}: {figure}");
            assert_eq!(
                figure["wrong"],
                json!([]),
                "{width}: places that are no numbers in {}",
                figure["name"]
            );
        }
        // Four blocks of three kinds: without one kind four lines less, with one block of the rest two.
        assert_eq!(
            found["lines"],
            json!({"all": 12, "without_kind": 8, "one_block": 2, "again": 12}),
            "{width}"
        );
        assert_eq!(
            found["cells"],
            json!({"all": 12, "without_kind": 8, "one_block": 2, "again": 12}),
            "{width}"
        );
        assert_eq!(found["focusable"], true, "{width}: filters can be reached by the keyboard");
        let tip = found["tip"].as_str().unwrap();
        assert!(
            tip.contains("model.layers.") && tip.contains("step ") && tip.contains("threshold 0.005"),
            "{tip}"
        );
        let tip = found["key_tip"].as_str().unwrap();
        assert!(tip.contains("loss: ") && tip.contains("learning rate: "), "{tip}");
        assert_eq!(found["tip_after"], false, "the tip goes when the pointer leaves");
        assert_eq!(found["unlabelled"], json!([]), "{width}: pictures without a title");
    }
}

#[test]
fn a_comparisons_page_works_in_a_browser() {
    let Some(chromium) = chromium() else { return };
    let dir = tempfile::tempdir().unwrap();
    let run = |seed: u64, seconds: f64, accuracy: f64| {
        json!({
            "seed": seed, "folder": "gone", "ended": "all-steps", "steps": 100, "train_seconds": seconds * 0.8,
            "eval_seconds": seconds * 0.1, "wall_seconds": seconds, "eval_accuracy": accuracy, "eval_loss": 1.0 - accuracy,
            "test_accuracy": accuracy - 0.01, "test_loss": 1.01 - accuracy, "cost_seconds": seconds * 0.95,
            "flops": seconds * 1e13, "flops_saved": seconds * 1e12, "seconds_to_target": seconds * 0.7,
            "peak_memory_bytes": 1.9e9 + seconds,
        })
    };
    let row = |name: &str, seconds: f64| json!({"name": name, "label": format!("{name}, a way with a long name"), "runs": [run(0, seconds, 0.8), run(1, seconds * 1.1, 0.82)]});
    let comparison = json!({"rows": [row("full", 100.0), row("half", 50.0), row("third", 34.0)], "command": "finetune compare --config a-very-long/path/to/some/configuration/file.toml"});
    std::fs::write(dir.path().join("compare.json"), comparison.to_string()).unwrap();
    let page = grades_finetune::report::Subject::read(&[dir.path().to_path_buf()]).unwrap().page().unwrap();
    for (found, width) in visit(&chromium, &page, &WIDTHS, dir.path()).iter().zip(WIDTHS) {
        assert_eq!(found["errors"], json!([]), "{width}");
        assert!(
            found["overflow"].as_f64().unwrap() <= 0.0,
            "{width}: the page is too wide by {}",
            found["overflow"]
        );
        if width == 1280 {
            assert_eq!(found["cut"], 0, "the table of all numbers is cut");
        }
        if width < 640 {
            assert_eq!(found["fading"], 1, "{width}: the filters show that they scroll");
        }
        let figures = found["figures"].as_array().unwrap();
        assert_eq!(figures.len(), 3);
        for figure in figures {
            assert_eq!((&figure["shown"], &figure["wrong"]), (&json!(1), &json!([])), "{width}: {figure}");
        }
    }
}

/// A run of four blocks of three kinds, the first of which froze.
fn write_run(folder: &Path, blocks: u64) {
    std::fs::create_dir_all(folder).unwrap();
    let kinds = ["query", "key", "value"];
    let components: Vec<Value> = (0..blocks)
        .flat_map(|block| {
            kinds.map(|kind| json!({"name": format!("model.layers.{block}.{kind}"), "kind": kind, "layer": block, "parameters": 64}))
        })
        .collect();
    let mut statistics = json!({"components": components}).to_string() + "\n";
    let (mut steps, mut freezes) = (String::new(), String::new());
    for step in 1..=80u64 {
        let values: Vec<Option<f64>> = (0..components.len())
            .map(|index| (index > 2 || step <= 30).then(|| 0.3 / (step as f64 + index as f64) + 0.002))
            .collect();
        statistics += &(json!({"step": step, "policy": "p", "statistic": "signal-fraction", "threshold": 0.005, "values": values}).to_string() + "\n");
        let frozen = if step >= 40 { 3 } else { 0 };
        steps += &(json!({"step": step, "loss": 1.0 / step as f64, "learning_rate": 1e-4, "seconds": step as f64, "cooling": 0, "frozen": frozen, "memory_bytes": 1e9, "training_bytes": 1e8}).to_string() + "\n");
    }
    for (step, what) in [(30, "cool"), (40, "freeze")] {
        for component in &components[..3] {
            freezes += &(json!({"event": what, "step": step, "component": component["name"], "kind": component["kind"], "layer": 0, "statistic": "signal-fraction", "value": 0.004, "threshold": 0.005, "policy": "p", "parameters": 64}).to_string() + "\n");
        }
    }
    std::fs::write(folder.join("config.toml"), "[freezing]\n[training]\nseed = 0\n").unwrap();
    std::fs::write(folder.join("statistics.jsonl"), statistics).unwrap();
    std::fs::write(folder.join("steps.jsonl"), steps).unwrap();
    std::fs::write(folder.join("freezes.jsonl"), freezes).unwrap();
}
