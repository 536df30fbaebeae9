//! Pages of single runs.

use grades::component::ComponentKind;
use grades::tracker::FreezeEvent;
use grades_finetune::records::{Ending, read_lines, write_line};
use grades_finetune::report::{RunData, Subject, write_run_report};

use crate::report::made::{KINDS, Made, assert_sound, component, figures, page_of, pictures};
use crate::support::Folder;

const ALL: [&str; 4] = ["statistic-0", "heat-map", "loss", "progress"];

#[test]
fn a_run_has_all_pictures() {
    let page = page_of(&Made::new(4, 60));
    assert_sound(&page);
    assert_eq!(figures(&page), ALL);
    assert!(page.contains(
        "it ran all 60 steps; 14 of 28 components froze, with accuracy 80\u{a0}% on the evaluation data."
    ));
    for kind in KINDS.map(ComponentKind::name) {
        assert!(page.contains(&format!("</span>{kind}</label>")), "a filter for {kind}");
    }
    // 14 freeze: a mark for each in both pictures of the loss, a ring and a dot in both of the statistic.
    assert_eq!(page.matches("class=\"tick ").count(), 28);
    assert_eq!(page.matches("<circle class=\"ring").count(), 28);
    assert_eq!(page.matches("<circle class=\"dot").count(), 28);
    // The heat map has a cell for each component.
    let map = pictures(&page).into_iter().find(|picture| picture.contains("heat-map-wide-t")).unwrap();
    assert_eq!(map.matches("role=\"img\" data-l=").count(), 28);
    assert_eq!(map.matches(": never frozen\">").count(), 14);
}

#[test]
fn runs_of_any_length_have_sound_pages() {
    let page = page_of(&Made::new(2, 0));
    assert_sound(&page);
    assert_eq!(figures(&page), [""; 0]);
    assert!(page.contains("No step has been logged"));
    for steps in [1, 2, 3] {
        let page = page_of(&Made::new(2, steps));
        assert_sound(&page);
        let drawn = figures(&page);
        assert!(drawn.contains(&"loss") && drawn.contains(&"statistic-0"), "{steps}: {drawn:?}");
    }
}

#[test]
fn a_long_run_of_a_large_model_stays_small() {
    let page = page_of(&Made::new(32, 1000));
    assert_sound(&page);
    let page = page_of(&Made::new(2, 10_000));
    assert_sound(&page);
    assert!(page.contains("as means over 21 steps"), "the loss is thinned out");
    assert!(page.contains("of 10000 checks are drawn"), "and the statistics are");
}

#[test]
fn a_run_without_freezing_says_so() {
    let page = page_of(&Made { watched: false, ..Made::new(2, 30) });
    assert_sound(&page);
    assert_eq!(figures(&page), ["loss", "progress"]);
    assert!(page.contains("no [freezing] table"));
    let page = page_of(&Made { freezes: false, ..Made::new(2, 30) });
    assert_sound(&page);
    assert_eq!(figures(&page), ALL);
    assert!(page.contains("No component froze."));
}

#[test]
fn losses_that_are_not_finite_are_gaps() {
    let page = page_of(&Made { nan_every: 3, ..Made::new(2, 30) });
    assert_sound(&page);
    assert!(page.contains("10 losses were not finite"));
    let page = page_of(&Made { nan_every: 1, ..Made::new(2, 30) });
    assert_sound(&page);
    assert!(page.contains("30 of 30 losses were not finite"));
}

#[test]
fn names_are_escaped_everywhere() {
    let mut made = Made::new(2, 30);
    let name = "</script><b>&\"'.0.\u{1}é";
    made.components[0].name = name.to_owned();
    made.components[1].name = "]]>--><!--".to_owned();
    let folder = Folder::empty();
    let path = made.write(&folder, "<i>&\"run");
    let page = Subject::read(std::slice::from_ref(&path)).unwrap().page().unwrap();
    assert_sound(&page);
    assert!(!page.contains("<b>&") && !page.contains("<i>&"));
    assert!(page.contains("&lt;/script&gt;&lt;b&gt;&amp;&quot;&#39;.0.\u{fffd}é"));
    let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["charts"]["statistic-0"]["series"][0]["n"], name);
}

#[test]
fn adapters_are_told_apart_by_their_layers() {
    let mut made = Made::new(0, 30);
    for block in 0..2 {
        for layer in ["self_attn.q_proj", "self_attn.v_proj"] {
            let name = format!("model.layers.{block}.{layer}");
            made.components.push(component(name, ComponentKind::Adapter, Some(block)));
        }
    }
    made.components.push(component("head", ComponentKind::Head, None));
    let page = page_of(&made);
    assert_sound(&page);
    for role in ["self_attn.q_proj", "self_attn.v_proj", "head"] {
        assert!(page.contains(&format!("</span>{role}</label>")), "{role}");
    }
    assert!(page.contains("value=\"–\" checked"), "what belongs to no block can be chosen");
}

#[test]
fn thresholds_that_differ_are_drawn_at_each_line() {
    let folder = Folder::empty();
    let path = Made { freezes: false, ..Made::new(1, 20) }.write(&folder, "run");
    let file = path.join("statistics.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        text.replace("\"threshold\":0.005", "\"threshold\":[0.1,0.2,0.3,0.4,null,0.6,0.7]"),
    )
    .unwrap();
    let page = Subject::read(&[path]).unwrap().page().unwrap();
    assert_sound(&page);
    assert!(page.contains("Thresholds differ by component"));
    let wide = pictures(&page).into_iter().find(|picture| picture.contains("statistic-0-wide-t")).unwrap();
    assert_eq!(wide.matches("class=\"lim\"").count(), 6);
}

#[test]
fn the_page_goes_into_the_runs_folder() {
    let folder = Folder::empty();
    let path = Made { ended: None, ..Made::new(2, 20) }.write(&folder, "run");
    write_run_report(&path).unwrap();
    let page = std::fs::read_to_string(path.join("report.html")).unwrap();
    assert_sound(&page);
    assert!(page.contains("it has not ended; 20 steps so far"));
    // A page is no part of what is read.
    let run = RunData::read(&path).unwrap();
    assert_eq!(Subject::Run(Box::new(run)).page().unwrap(), page, "the same run gives the same bytes");
}

#[test]
fn pictures_are_files_of_their_own() {
    let folder = Folder::empty();
    let path = Made::new(2, 20).write(&folder, "run");
    let written = Subject::read(&[path]).unwrap().write_pictures(&folder.path("pictures/here")).unwrap();
    assert_eq!(written.len(), 4);
    for file in written {
        let text = std::fs::read_to_string(&file).unwrap();
        let document = roxmltree::Document::parse(&text).unwrap();
        assert_eq!(document.root_element().tag_name().name(), "svg");
        assert!(!text.contains("var("), "colours are plain, for viewers that know no variables");
        assert!(text.contains("prefers-color-scheme:dark"));
        let title =
            document.descendants().find(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "title")));
        assert!(title.and_then(|title| title.text()).is_some_and(|title| !title.is_empty()));
    }
}

#[test]
fn a_page_says_why_the_policy_decided_little() {
    let folder = Folder::empty();
    let path = Made::new(2, 40).write(&folder, "run");
    let file = path.join("freezes.jsonl");
    let page = || Subject::read(std::slice::from_ref(&path)).unwrap().page().unwrap();
    assert!(!page().contains("too short"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"policy\":\"signal-fraction\"", "\"policy\":\"deadline\"")).unwrap();
    let page = page();
    assert_sound(&page);
    assert!(page.contains(
        "7 of 14 components were decided by the deadline, not by the policy: the run was too short for the policy."
    ));
    assert!(page.contains("Self-contained: loads nothing from the network."));
}

#[test]
fn colours_of_freezes_are_those_of_the_whole_plan() {
    // All freeze in the last steps of the plan: no cell has a strong colour.
    let folder = Folder::empty();
    let path = Made::new(1, 100).write(&folder, "run");
    let file = path.join("freezes.jsonl");
    let mut events: Vec<FreezeEvent> = read_lines(&file, Ending::Whole).unwrap();
    events.retain(FreezeEvent::is_freeze);
    let mut lines = Vec::new();
    for (step, event) in (96..).zip(events) {
        write_line(&mut lines, &FreezeEvent { step, ..event }).unwrap();
    }
    std::fs::write(&file, lines).unwrap();
    let page = Subject::read(&[path]).unwrap().page().unwrap();
    let map = pictures(&page).into_iter().find(|picture| picture.contains("heat-map-wide-t")).unwrap();
    assert_eq!(map.matches("class=\"cell h0\"").count(), 3);
    assert_eq!(map.matches("class=\"cell h8\"").count(), 0);
}

#[test]
fn results_by_class_have_a_picture() {
    let folder = Folder::empty();
    let path = Made::new(2, 20).write(&folder, "run");
    let file = path.join("summary.json");
    let mut summary: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let class = |label: &str, support: u64| serde_json::json!({"label": label, "precision": 0.75, "recall": 0.6, "f1": 0.667, "support": support});
    let classes = [class("no <b>", 10), class("yes", 4)];
    summary["test_classes"] = serde_json::json!({"classes": classes, "confusion": [[9, 1], [3, 1]]});
    std::fs::write(&file, summary.to_string()).unwrap();
    let page = Subject::read(std::slice::from_ref(&path)).unwrap().page().unwrap();
    assert_sound(&page);
    assert_eq!(figures(&page).last(), Some(&"classes"));
    assert!(page.contains("Results of the saved model on the test data, by class"));
    assert!(page.contains("no &lt;b&gt;: 9 of 10 predicted as no &lt;b&gt;") && !page.contains("no <b>"));
    assert_eq!(page.matches("class=\"cell h7\"").count(), 2);
}
