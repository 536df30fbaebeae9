//! Names that columns of texts, of pairs of texts and of labels usually have.

/// Names of a text's column that leave no doubt, and those that do where several are there.
const TEXTS: [&[&str]; 2] = [
    &["text", "sentence"],
    &[
        "review",
        "comment",
        "content",
        "tweet",
        "message",
        "document",
        "utterance",
        "question",
        "query",
        "headline",
        "title",
        "description",
        "body",
        "post",
        "sms",
        "email",
        "phrase",
        "input",
        "abstract",
    ],
];

/// The same of a label's.
const LABELS: [&[&str]; 2] = [
    &["label", "labels", "class", "target", "category", "gold_label", "is_duplicate"],
    &[
        "sentiment",
        "emotion",
        "intent",
        "mood",
        "topic",
        "polarity",
        "rating",
        "score",
        "stars",
        "tag",
        "genre",
        "toxic",
        "spam",
        "answer",
        "verdict",
        "language",
        "type",
    ],
];

/// Names of the two columns of a pair.
const PAIRS: [[&str; 2]; 10] = [
    ["sentence1", "sentence2"],
    ["premise", "hypothesis"],
    ["question1", "question2"],
    ["question", "sentence"],
    ["question", "passage"],
    ["text", "text_pair"],
    ["text_a", "text_b"],
    ["text1", "text2"],
    ["sentence_a", "sentence_b"],
    ["#1 string", "#2 string"],
];

/// Returns the positions of the two columns whose names are those of a pair.
pub(super) fn pair<'a>(columns: impl Iterator<Item = &'a str> + Clone) -> Option<(usize, usize)> {
    let position = |name: &str| {
        let mut found =
            columns.clone().enumerate().filter(|(_, column)| column.trim().eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some((position, _)), None) => Some(position),
            _ => None,
        }
    };
    PAIRS.iter().find_map(|[first, second]| position(first).zip(position(second)))
}

/// Returns whether the cells of a line are names of columns: those of a pair, of a label without doubt, or of a text and
/// a label.
pub(super) fn are_names<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> bool {
    pair(cells.clone()).is_some()
        || cells.clone().any(|cell| Role::Label.certain(cell))
        || Role::Text
            .find(cells.clone())
            .zip(Role::Label.find(cells))
            .is_some_and(|(text, label)| text != label)
}

/// The column of the text, of the second text of a pair, or of the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Text,
    Pair,
    Label,
}

impl Role {
    /// Returns its key in the configuration.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Pair => "text_pair",
            Self::Label => "label",
        }
    }

    fn names(self) -> &'static [&'static [&'static str]; 2] {
        match self {
            Self::Text => &TEXTS,
            // A second text is known by the name of the first.
            Self::Pair => &[&[], &[]],
            Self::Label => &LABELS,
        }
    }

    /// Returns the position of the one column whose name is of this role.
    pub(super) fn find<'a>(self, columns: impl Iterator<Item = &'a str> + Clone) -> Option<usize> {
        for names in self.names() {
            let known = |name: &str| names.iter().any(|known| name.trim().eq_ignore_ascii_case(known));
            let mut found = columns.clone().enumerate().filter(|(_, name)| known(name));
            match (found.next(), found.next()) {
                (Some((position, _)), None) => return Some(position),
                (None, _) => {}
                (Some(_), Some(_)) => return None,
            }
        }
        None
    }

    /// Returns whether a name leaves no doubt that it is of this role.
    pub(super) fn certain(self, name: &str) -> bool {
        self.names()[0].iter().any(|known| name.trim().eq_ignore_ascii_case(known))
    }
}
