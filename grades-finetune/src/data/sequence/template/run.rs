//! Renders one conversation with compiled templates.

use minijinja::{Environment, ErrorKind};

use super::conversation::Conversation;
use super::environment::set_date;
use super::limits;

/// The template that is used unless there are tools and one for them.
pub(super) const DEFAULT: &str = "default";
const TOOLS: &str = "tool_use";

/// Renders a conversation; its error is a message.
pub(super) fn run(
    environment: &mut Environment<'static>,
    conversation: Conversation,
) -> Result<String, String> {
    if let Some(date) = conversation.date {
        set_date(environment, date);
    }
    rendered(environment, conversation).map_err(|error| failure(&error))
}

fn rendered(
    environment: &Environment<'static>,
    conversation: Conversation,
) -> Result<String, minijinja::Error> {
    limits::begin();
    let template = match environment.get_template(TOOLS) {
        Ok(template) if conversation.tools => template,
        _ => environment.get_template(DEFAULT).map_err(|error| no_default(environment, error))?,
    };
    let mut limited = limits::Limited::default();
    template.render_captured_to(conversation.context.to_value(), &mut limited)?;
    Ok(String::from_utf8_lossy(&limited.text).into_owned())
}

/// Names the templates that are there in place of a default one.
fn no_default(environment: &Environment<'static>, error: minijinja::Error) -> minijinja::Error {
    let mut names: Vec<String> = environment.templates().map(|(name, _)| format!("\"{name}\"")).collect();
    names.sort();
    if error.kind() != ErrorKind::TemplateNotFound || names.is_empty() {
        return error;
    }
    let names = names.join(", ");
    let message =
        format!("there are templates named {names}, but none named \"default\"; give one of them this name");
    minijinja::Error::new(ErrorKind::TemplateNotFound, message)
}

/// Returns what a template does instead of rendering, for a message.
fn failure(error: &minijinja::Error) -> String {
    let reason = error.detail().map_or_else(|| error.to_string(), str::to_owned);
    if error.kind() == ErrorKind::UnknownFunction && reason.contains("strftime_now") {
        return "writes today's date; set data.date, such as data.date = \"2026-01-31\", so that the same data gives the \
                same tokens on any day"
            .to_owned();
    }
    let line = error.line().map_or_else(String::new, |line| format!(" in line {line}"));
    format!("fails{line}: {reason}")
}
