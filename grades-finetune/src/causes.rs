//! Errors as text.

/// Writes an error and its causes, without those that the text before already has: whether an error's own text ends
/// with its cause is up to the crate that it is from.
pub(crate) fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text += ": ";
            text += &cause;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    #[test]
    fn a_cause_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("writing x: {0}")]
        struct Own(#[source] std::io::Error);

        let error: anyhow::Result<()> = Err(Own(std::io::Error::other("the disk is full")).into());
        let error = error.context("no checkpoint").unwrap_err();
        assert_eq!(super::with_causes(&error), "no checkpoint: writing x: the disk is full");
    }
}
