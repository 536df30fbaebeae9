//! The colours, by role, light and dark.
//!
//! Kinds have the colours of Okabe and Ito's palette, which are distinct for any colour vision, darkened until
//! they stand out from white; the heat map is one hue from pale to deep.

use std::fmt::Write;

/// A role, its colour on light ground, and that on dark ground.
const COLOURS: [(&str, &str, &str); 30] = [
    ("bg", "#ffffff", "#14181d"),
    ("ink", "#1b2228", "#e8ecf0"),
    ("mute", "#5b6670", "#a3aeb8"),
    ("grid", "#e3e7eb", "#2a3138"),
    ("edge", "#aab3bb", "#56616b"),
    ("limit", "#b3261e", "#ff8a80"),
    ("k0", "#0072b2", "#5cb3ea"),
    ("k1", "#d55e00", "#ff8b3d"),
    ("k2", "#00855f", "#34c9a0"),
    ("k3", "#b4528a", "#e89ccb"),
    ("k4", "#a87900", "#f0bd48"),
    ("k5", "#3694cc", "#9bd8ff"),
    ("k6", "#6a4fb3", "#b9a4f4"),
    ("k7", "#59636c", "#c3ccd4"),
    ("h0", "#e6eff8", "#16283a"),
    ("h1", "#d2e3f3", "#18334e"),
    ("h2", "#b7d4ea", "#1b4265"),
    ("h3", "#94c4df", "#1f527c"),
    ("h4", "#6badd6", "#286593"),
    ("h5", "#4a97c9", "#377fb0"),
    ("h6", "#2f7ebc", "#559aca"),
    ("h7", "#1864aa", "#80b8e0"),
    ("h8", "#0a4a90", "#b4d8f3"),
    ("never", "#f4f1ea", "#23201b"),
    ("hatch", "#cfc7b6", "#4a4437"),
    ("pale", "#1b2228", "#f2f5f8"),
    ("deep", "#ffffff", "#0d1420"),
    ("train", "#0072b2", "#5cb3ea"),
    ("eval", "#e69f00", "#f0bd48"),
    ("watch", "#b4528a", "#e89ccb"),
];

/// The rules of all pictures, with `$role` for a colour.
const RULES: &str = "\
.chart text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;font-size:12px;fill:$ink}\
.chart .mu{fill:$mute}.chart .sm{font-size:11px}.chart .xs{font-size:9.5px}.chart .b{font-weight:600}\
.chart .end{text-anchor:end}.chart .mid{text-anchor:middle}\
.chart .bg{fill:$bg}\
.chart .gr{stroke:$grid;stroke-width:1;shape-rendering:crispEdges}\
.chart .ax{stroke:$edge;stroke-width:1;shape-rendering:crispEdges}\
.chart .lim{stroke:$limit;stroke-width:1.6;stroke-dasharray:6 4;fill:none}\
.chart .limt{fill:$limit;font-weight:600;font-size:11px}\
.chart .s{fill:none;stroke-width:1.5;stroke-linejoin:round;stroke-linecap:round}\
.chart .thin{stroke-width:1;opacity:.75}\
.chart .cool{fill:none;stroke-width:1;stroke-dasharray:1.5 4;opacity:.35}\
.chart .ring{stroke-width:1.6;fill:$bg}\
.chart .dot{stroke:$bg;stroke-width:1}\
.chart .band{stroke:none;opacity:.18}\
.chart .area{stroke:none;opacity:.85}\
.chart .soft{stroke:none;opacity:.35}\
.chart .cell{stroke:$bg;stroke-width:2}\
.chart .iso{stroke:$edge;stroke-width:1;stroke-dasharray:2 4;fill:none}\
.chart .pale{fill:$pale}.chart .deep{fill:$deep}\
.chart .hat{stroke:$hatch;stroke-width:2}.chart .nev{fill:$never}\
.chart .tick{stroke-width:1.5}\
.chart .hit{fill:transparent}\
.chart .cur{stroke:$mute;stroke-width:1;pointer-events:none}\
.chart .train{fill:$train}.chart .eval{fill:$eval}.chart .watch{fill:$watch}.chart .rest{fill:$edge}\
.chart .ink{stroke:$ink}.chart .finks{fill:$ink}";

/// The dashes of the later kinds, so that they differ on paper too.
const DASHES: [(usize, &str); 4] = [(4, "7 3"), (5, "2.5 2.5"), (6, "9 3 2 3"), (7, "4 4")];

fn rules(colour: impl Fn(&str) -> String) -> String {
    let mut css = String::new();
    // A role's name may begin another's: the longest first.
    let mut roles: Vec<&str> = COLOURS.iter().map(|(role, _, _)| *role).collect();
    roles.sort_by_key(|role| std::cmp::Reverse(role.len()));
    let mut all = RULES.to_owned();
    for kind in 0..8 {
        let _ = write!(all, ".chart .k{kind}{{stroke:$k{kind}}}.chart .f{kind}{{fill:$k{kind}}}");
    }
    for (kind, dash) in DASHES {
        let _ = write!(all, ".chart .s.k{kind}{{stroke-dasharray:{dash}}}");
    }
    for level in 0..9 {
        let _ = write!(all, ".chart .h{level}{{fill:$h{level}}}");
    }
    let mut rest = all.as_str();
    while let Some(at) = rest.find('$') {
        css.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let role = roles.iter().find(|role| rest.starts_with(**role)).copied().unwrap_or_default();
        css.push_str(&colour(role));
        rest = &rest[role.len()..];
    }
    css.push_str(rest);
    css
}

fn values(dark: bool) -> String {
    COLOURS
        .iter()
        .map(|(role, light, night)| format!("--{role}:{};", if dark { night } else { light }))
        .collect()
}

/// Writes the rules for pictures inside of a page: colours are variables, light unless the reader prefers dark; always
/// light in print.
pub(crate) fn chart_css() -> String {
    format!(
        ":root{{color-scheme:light dark;{}}}@media (prefers-color-scheme:dark){{:root{{{}}}}}@media print{{:root{{color-scheme:light;{}}}}}{}",
        values(false),
        values(true),
        values(false),
        rules(|role| format!("var(--{role})"))
    )
}

/// Writes the rules for a file of its own: plain colours, which every viewer knows; dark for readers who prefer that.
pub(crate) fn standalone_style() -> String {
    let find = |role: &str| COLOURS.iter().find(|(name, _, _)| *name == role);
    let light = rules(|role| find(role).map_or("#000", |found| found.1).to_owned());
    let dark = rules(|role| find(role).map_or("#fff", |found| found.2).to_owned());
    format!("{light}@media (prefers-color-scheme:dark){{{dark}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_of_a_rule_has_a_colour() {
        let seen = std::cell::RefCell::new(Vec::new());
        let css = rules(|role| {
            seen.borrow_mut().push(role.to_owned());
            "x".to_owned()
        });
        assert!(!css.contains('$'), "{css}");
        assert!(seen.borrow().iter().all(|role| COLOURS.iter().any(|(name, _, _)| name == role)));
    }

    /// Computes the relative luminance (WCAG 2.2).
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn colours_stand_out_from_their_ground() {
        let get = |role: &str| COLOURS.iter().find(|(name, _, _)| *name == role).unwrap();
        let ground = get("bg");
        for (role, least) in [("ink", 7.0), ("mute", 4.5), ("limit", 4.5)] {
            let colour = get(role);
            assert!(contrast(colour.1, ground.1) >= least, "{role}, light");
            assert!(contrast(colour.2, ground.2) >= least, "{role}, dark");
        }
        for kind in 0..8 {
            let colour = get(&format!("k{kind}"));
            assert!(contrast(colour.1, ground.1) >= 3.0, "k{kind}, light: {}", contrast(colour.1, ground.1));
            assert!(contrast(colour.2, ground.2) >= 3.0, "k{kind}, dark");
        }
        for level in 0..9 {
            let (cell, words) =
                (get(&format!("h{level}")), if level < 5 { get("pale") } else { get("deep") });
            // The middle of the ramp is where both are hardest to read.
            assert!(contrast(cell.1, words.1) >= 3.0, "h{level}, light: {}", contrast(cell.1, words.1));
            assert!(contrast(cell.2, words.2) >= 3.0, "h{level}, dark: {}", contrast(cell.2, words.2));
        }
    }
}
