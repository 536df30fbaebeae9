//! The one error type of the crate, and the problems of a configuration, which are reported together.

use std::fmt;

/// An error in the user's own words: the key, the component, the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration that cannot be used; every problem of it is listed.
    #[error(transparent)]
    Config(#[from] Problems),

    /// No parameter belongs to a component that is tracked, so nothing could ever freeze.
    #[error("no component to freeze: {reason}\nparameters seen: {seen}")]
    NoComponents {
        /// Why nothing was found.
        reason: String,
        /// The names of the model's parameters, shortened when there are many.
        seen: String,
    },

    /// A name that nothing answers to: a policy, a parameter, a statistic, a group.
    #[error("unknown {what} \"{name}\"{}; known: {known}", nearest_hint(.nearest.as_deref()))]
    Unknown {
        /// The category of the name, such as "policy".
        what: &'static str,
        /// The name as given.
        name: String,
        /// The known name closest to it, when one is close.
        nearest: Option<String>,
        /// All known names.
        known: String,
    },

    /// State that does not fit what it is to be restored into.
    #[error("state of {what}: {reason}")]
    State {
        /// Whose state it is.
        what: String,
        /// The entry that is missing, unknown or of the wrong form.
        reason: String,
    },

    /// An argument of a call that is out of range.
    #[error("{argument}: expected {expected}, found {found}")]
    InvalidArgument {
        /// The argument's name.
        argument: &'static str,
        /// The range or the form that it must have.
        expected: &'static str,
        /// The value as given.
        found: String,
    },

    /// A call that does not fit the object it is made on.
    #[error("{what}: {reason}")]
    Unsupported {
        /// The call.
        what: String,
        /// Why it cannot be done, and what can.
        reason: String,
    },

    /// A plug-in registry that contradicts itself: one name, two policies.
    #[error("policy name \"{name}\" is registered twice: by {first} and by {second}")]
    DuplicatePolicy {
        /// The name.
        name: String,
        /// The type that has it.
        first: &'static str,
        /// The other type that has it.
        second: &'static str,
    },

    /// The processes of a group do not agree, or one of them is gone.
    #[error("rank {rank} of {world}: {doing}: {reason}")]
    Ranks {
        /// The rank of this process.
        rank: usize,
        /// The number of ranks.
        world: usize,
        /// The operation.
        doing: String,
        /// The difference, or the rank that is gone.
        reason: String,
    },

    /// libtorch refused an operation.
    #[error("{doing}: libtorch says: {message}")]
    Torch {
        /// The operation.
        doing: String,
        /// libtorch's own message, its first line.
        message: String,
    },

    /// An observer could not write.
    #[error("{doing}: {source}")]
    Io {
        /// The operation, with the file.
        doing: String,
        /// The operating system's error.
        source: std::io::Error,
    },
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn nearest_hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(" (did you mean \"{name}\"?)")).unwrap_or_default()
}

#[cfg(feature = "torch")]
impl Error {
    /// Refuses the value `found` of an argument: [`Error::InvalidArgument`].
    pub(crate) fn invalid_argument(
        argument: &'static str,
        expected: &'static str,
        found: impl fmt::Display,
    ) -> Self {
        Self::InvalidArgument { argument, expected, found: found.to_string() }
    }

    /// Wraps an error of tch with what was being done.
    pub(crate) fn torch(doing: impl Into<String>, error: &tch::TchError) -> Self {
        Self::torch_message(doing, &error.to_string())
    }

    /// Wraps a message of libtorch, of which the first line is kept: the rest is a C++ back trace.
    pub(crate) fn torch_message(doing: impl Into<String>, message: &str) -> Self {
        Error::Torch { doing: doing.into(), message: first_line(message) }
    }
}

#[cfg(feature = "torch")]
/// Returns the first line of a message of libtorch; the other lines are a C++ back trace.
pub fn first_line(message: impl fmt::Display) -> String {
    message.to_string().lines().next().unwrap_or("no message").to_owned()
}

/// One problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted path of the key, such as `freezing.policy.tau`.
    pub key: String,
    /// The mistake, the expectation and the alternatives.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// All problems of a configuration, in the order of their keys in the file's structure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// Creates the problems of one key.
    pub fn of(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { list: vec![Problem { key: key.into(), message: message.into() }] }
    }

    /// Adds one.
    pub fn push(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.list.push(Problem { key: key.into(), message: message.into() });
    }

    /// Returns the problems, in the order in which they were found.
    pub fn as_slice(&self) -> &[Problem] {
        &self.list
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns `Ok(value)` when there is no problem, all of them otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when there is a problem.
    pub fn into_result<T>(self, value: T) -> Result<T> {
        if self.is_empty() { Ok(value) } else { Err(Error::Config(self)) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.list.as_slice() {
            [one] => write!(f, "{one}"),
            many => {
                write!(f, "{} problems:", many.len())?;
                many.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Problems {}
