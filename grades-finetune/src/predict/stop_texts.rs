//! Texts that end an answer.

/// The texts that end an answer and are not part of it.
#[derive(Debug, Clone)]
pub(super) struct StopTexts(Vec<String>);

impl StopTexts {
    /// Makes the list; empty texts are left out.
    pub(super) fn new(mut texts: Vec<String>) -> Self {
        texts.retain(|text| !text.is_empty());
        Self(texts)
    }

    /// Returns whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns where the first of them begins.
    pub(super) fn find(&self, text: &str) -> Option<usize> {
        self.0.iter().filter_map(|stop| text.find(stop.as_str())).min()
    }

    /// Returns the length of a text's beginning that no further token changes, and whether a stop text ends it.
    ///
    /// The end of the text that may become a stop text, or that is part of a character, is not settled.
    pub(super) fn settled(&self, text: &str) -> (usize, bool) {
        if let Some(end) = self.find(text) {
            return (end, true);
        }
        let whole = text.trim_end_matches('\u{fffd}').len();
        let begins = |at: &usize| {
            text.get(*at..whole).is_some_and(|rest| self.0.iter().any(|stop| stop.starts_with(rest)))
        };
        let starts = text.get(..whole).unwrap_or_default().char_indices().map(|(at, _)| at);
        (starts.into_iter().find(begins).unwrap_or(whole), false)
    }
}

#[cfg(test)]
mod tests {
    use super::StopTexts;

    #[test]
    fn only_what_no_token_changes_is_settled() {
        let stop = StopTexts::new(vec!["END".into(), String::new(), "\n\n".into()]);
        assert_eq!(stop.settled("a word"), (6, false));
        assert_eq!(stop.settled("a wordEN"), (6, false));
        assert_eq!(stop.settled("a wordENT"), (9, false));
        assert_eq!(stop.settled("a wordEND of"), (6, true));
        assert_eq!(stop.settled("a\n"), (1, false));
        assert_eq!(stop.settled("ü\u{fffd}"), (2, false), "the first half of a character");
        assert_eq!(stop.find("x\n\nEND"), Some(1));
        assert!(StopTexts::new(vec![String::new()]).is_empty());
    }
}
