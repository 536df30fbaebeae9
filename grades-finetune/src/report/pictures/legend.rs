//! The legend of the colours.

use crate::report::svg::{Picture, Size, attribute, coordinate};

/// Returns the width of a text of 12 pixels, roughly.
pub(super) fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * 6.7
}

/// Returns the height that a legend of these words takes.
pub(super) fn height(words: &[String], size: Size) -> f64 {
    20.0 * (places(words, size).last().map_or(0.0, |place| place.1) + 1.0)
}

/// Draws the words with a line in each one's colour, from this place downwards.
pub(super) fn draw(picture: &mut Picture, words: &[String], size: Size, top: f64) {
    let left = size.of(62.0, 12.0);
    for (index, (word, (x, row))) in words.iter().zip(places(words, size)).enumerate() {
        let (x, y) = (left + x, top + 20.0 * row + 10.0);
        let group = index % 8;
        let dots = [x, y, x + 18.0].map(coordinate);
        picture.raw(format_args!(
            r#"<g{}><path class="s k{group}" style="stroke-width:2.5" d="M{} {}H{}"/>"#,
            attribute("data-k", index),
            dots[0],
            dots[1],
            dots[2]
        ));
        picture.text("", (x + 24.0, y + 4.0), word);
        picture.raw("</g>");
    }
}

fn places(words: &[String], size: Size) -> Vec<(f64, f64)> {
    let room = size.of(880.0, 336.0);
    let (mut x, mut row) = (0.0, 0.0);
    words
        .iter()
        .map(|word| {
            let width = 24.0 + width_of(word) + 18.0;
            if x > 0.0 && x + width > room {
                (x, row) = (0.0, row + 1.0);
            }
            let place = (x, row);
            x += width;
            place
        })
        .collect()
}
