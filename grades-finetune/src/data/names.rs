//! Names that columns of texts and of labels usually have.

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
    &["label", "labels", "class", "target", "category"],
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

/// The column of the text or of the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Text,
    Label,
}

impl Role {
    /// The word for it, which is its key in the configuration, too.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Label => "label",
        }
    }

    fn names(self) -> &'static [&'static [&'static str]; 2] {
        match self {
            Self::Text => &TEXTS,
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
