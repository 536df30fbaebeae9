//! Renders one conversation with compiled templates.

use minijinja::{Environment, ErrorKind, Value};

use super::limits;

/// The template that is used unless there are tools and one for them.
pub(super) const DEFAULT: &str = "default";
const TOOLS: &str = "tool_use";

/// Renders a conversation; its error is a message.
pub(super) fn run(environment: &Environment<'static>, context: Value, tools: bool) -> Result<String, String> {
    rendered(environment, context, tools).map_err(|error| failure(&error))
}

fn rendered(
    environment: &Environment<'static>,
    context: Value,
    tools: bool,
) -> Result<String, minijinja::Error> {
    limits::begin();
    let template = match environment.get_template(TOOLS) {
        Ok(template) if tools => template,
        _ => environment.get_template(DEFAULT)?,
    };
    let mut limited = limits::Limited::default();
    template.render_captured_to(context, &mut limited)?;
    Ok(String::from_utf8_lossy(&limited.text).into_owned())
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
