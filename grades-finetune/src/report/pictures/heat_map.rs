//! Block × kind: the step at which each component froze.

use super::figure::Figure;
use super::legend::width_of;
use crate::report::analysis::{Analysis, ComponentHistory};
use crate::report::svg::{Picture, Size, attribute, coordinate, count, escape};

/// Draws the picture.
pub(crate) fn heat_map(analysis: &Analysis<'_>) -> Figure {
    let caption = match analysis.freeze_range() {
        Some((first, last)) => format!(
            "The step at which each component froze, from step 0 (strong) to the last planned one (faint); hatched: never. \
             {} of {} froze, at steps {first} to {last}.",
            analysis.frozen(),
            analysis.run.components_total()
        ),
        None => "No component froze.".to_owned(),
    };
    Figure::draw("heat-map", "When each matrix froze", caption, Vec::new(), |size| picture(analysis, size))
}

/// A row or a column of the map.
struct Line {
    label: String,
    attribute: String,
}

fn picture(analysis: &Analysis<'_>, size: Size) -> Picture {
    let mut blocks: Vec<Option<u32>> = analysis.layers.iter().copied().map(Some).collect();
    if analysis.histories.iter().any(|history| history.component.layer.is_none()) {
        blocks.push(None);
    }
    let of_blocks: Vec<Line> = blocks
        .iter()
        .map(|block| Line {
            label: Analysis::block(*block),
            attribute: attribute("data-l", Analysis::block(*block)),
        })
        .collect();
    let of_groups: Vec<Line> = analysis
        .groups
        .iter()
        .enumerate()
        .map(|(group, name)| Line { label: name.clone(), attribute: attribute("data-k", group) })
        .collect();
    // Blocks go across where there is room for all of them, and down on a phone.
    let across = size == Size::Wide;
    let (columns, rows) = if across { (&of_blocks, &of_groups) } else { (&of_groups, &of_blocks) };
    let longest = rows.iter().map(|row| width_of(&shortened(&row.label))).fold(0.0, f64::max);
    let left = (longest + 14.0).max(size.of(62.0, 34.0));
    let width = ((size.width() - left - 14.0) / columns.len().max(1) as f64).min(size.of(84.0, 56.0));
    let height: f64 = size.of(30.0, if rows.len() > 16 { 20.0 } else { 26.0 });
    let slanted = !across && columns.iter().any(|column| width_of(&column.label) > width + 4.0);
    let top = if slanted {
        28.0 + 0.88 * columns.iter().map(|column| width_of(&shortened(&column.label))).fold(0.0, f64::max)
    } else {
        36.0
    };
    let bottom = top + height * rows.len() as f64;
    let what = format!(
        "{} blocks by {} kinds; {} components froze.",
        analysis.layers.len(),
        analysis.groups.len(),
        analysis.frozen()
    );
    let mut picture =
        Picture::new("heat-map", size, bottom + 62.0, "The step at which each component froze", what);
    let hatch = format!("{}-never", picture.id());
    picture.raw(format_args!(
        r#"<defs><pattern id="{hatch}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="nev" width="6" height="6"/><line class="hat" x1="0" y1="0" x2="0" y2="6"/></pattern></defs>"#
    ));
    picture.text(
        "sm mu",
        (size.of(8.0, 4.0), 14.0),
        if across { "kind ↓   block →" } else { "block ↓   kind →" },
    );
    for (index, column) in columns.iter().enumerate() {
        let x = left + width * (index as f64 + 0.5);
        let y = top - 7.0;
        if slanted {
            let [x, y] = [x + 4.0, y].map(coordinate);
            picture.raw(format_args!(
                r#"<text class="sm"{} transform="translate({x} {y}) rotate(-90)">{}</text>"#,
                column.attribute,
                escape(&shortened(&column.label))
            ));
        } else {
            picture.text("sm mid", (x, y), &column.label);
        }
    }
    for (index, row) in rows.iter().enumerate() {
        let y = top + height * (index as f64 + 0.5) + 4.0;
        picture.text("sm end", (left - 8.0, y), &shortened(&row.label));
    }
    for (across_index, column) in columns.iter().enumerate() {
        for (down_index, row) in rows.iter().enumerate() {
            let (block, group) = if across { (across_index, down_index) } else { (down_index, across_index) };
            let here: Vec<&ComponentHistory<'_>> = analysis
                .histories
                .iter()
                .filter(|history| history.component.layer == blocks[block] && history.group == group)
                .collect();
            if here.is_empty() {
                continue;
            }
            let at = (left + width * across_index as f64, top + height * down_index as f64);
            cell(
                &mut picture,
                analysis,
                &here,
                (at, (width, height)),
                (&hatch, &format!("{}{}", column.attribute, row.attribute)),
            );
        }
    }
    ramp(&mut picture, analysis, (left, bottom + 16.0), &hatch);
    picture
}

/// Draws one cell: its colour, the step, and the whole story as its title.
fn cell(
    picture: &mut Picture,
    analysis: &Analysis<'_>,
    here: &[&ComponentHistory<'_>],
    place: ((f64, f64), (f64, f64)),
    how: (&str, &str),
) {
    let ((x, y), (width, height)) = place;
    let (hatch, whose) = how;
    let all_frozen = here.iter().all(|history| history.frozen.is_some());
    let step =
        here.iter().filter_map(|history| history.frozen.map(|event| event.step)).max().filter(|_| all_frozen);
    let stories: Vec<String> = here.iter().map(|history| story(history)).collect();
    let title = stories.join("; ");
    picture.raw(format_args!(
        r#"<g class="one" role="img"{whose}{}{}><title>{}</title>"#,
        attribute("data-tip", &title),
        attribute("aria-label", &title),
        escape(&title)
    ));
    let (class, fill, words, ink) = match step {
        Some(step) => {
            let level = level(analysis, step);
            (
                format!("cell h{level}"),
                String::new(),
                step.to_string(),
                if level < 5 { "pale" } else { "deep" },
            )
        }
        None => {
            let cools = here.iter().any(|history| history.cooled.is_some() && history.frozen.is_none());
            let words = if cools { "cools" } else { "" };
            ("cell".to_owned(), format!(" style=\"fill:url(#{hatch})\""), words.to_owned(), "pale")
        }
    };
    picture.rect(&class, (x, y), (width, height), &fill);
    let small = width < 34.0 || words.len() > 4;
    if !words.is_empty() && width >= 6.0 * words.len() as f64 {
        let class = format!("{} mid {ink}", if small { "xs" } else { "sm" });
        picture.text(&class, (x + width / 2.0, y + height / 2.0 + 4.0), &words);
    }
    picture.raw("</g>");
}

fn story(history: &ComponentHistory<'_>) -> String {
    let name = &history.component.name;
    let thawed =
        if history.thaws > 0 { format!(", thawed {} times before", history.thaws) } else { String::new() };
    match (history.cooled, history.frozen) {
        (Some(cooled), Some(frozen)) => {
            format!(
                "{name}: decided at step {}, froze at step {} by {}{thawed}",
                cooled.step, frozen.step, frozen.policy
            )
        }
        (None, Some(frozen)) => format!("{name}: froze at step {} by {}{thawed}", frozen.step, frozen.policy),
        (Some(cooled), None) => format!("{name}: cools since step {}{thawed}", cooled.step),
        (None, None) => format!("{name}: never frozen{thawed}"),
    }
}

/// Returns the strength of a step's colour: 8 for step 0, 0 for the last planned one.
fn level(analysis: &Analysis<'_>, step: u64) -> usize {
    let share = step as f64 / analysis.run.planned_steps().max(1) as f64;
    (8.0 * (1.0 - share.min(1.0))).round() as usize
}

/// Draws the legend of the colours.
fn ramp(picture: &mut Picture, analysis: &Analysis<'_>, (left, top): (f64, f64), hatch: &str) {
    let mut x = left;
    if analysis.freeze_range().is_some() {
        picture.text("sm mu", (x, top + 11.0), "0");
        x += width_of("0") + 8.0;
        for level in (0..9).rev() {
            picture.rect(&format!("h{level}"), (x, top), (14.0, 14.0), "");
            x += 14.0;
        }
        let last = count(analysis.run.planned_steps() as f64);
        picture.text("sm mu", (x + 6.0, top + 11.0), &last);
        x += width_of(&last) + 20.0;
    }
    if analysis.frozen() < analysis.histories.len() {
        picture.rect("cell", (x, top - 1.0), (18.0, 16.0), &format!(" style=\"fill:url(#{hatch})\""));
        picture.text("sm mu", (x + 24.0, top + 11.0), "not frozen");
    }
    picture.text("sm mu", (left, top + 34.0), "step of the freeze");
}

/// Shortens a label to 18 characters; the end of a name says more than its beginning.
fn shortened(label: &str) -> String {
    let characters: Vec<char> = label.chars().collect();
    if characters.len() <= 18 {
        label.to_owned()
    } else {
        format!("…{}", characters[characters.len() - 17..].iter().collect::<String>())
    }
}
