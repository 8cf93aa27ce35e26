//! The pages that a simulated authorization server shows to a person.
//!
//! Knows HTML, and that nothing from a request goes into it unescaped. Does not know what a decision leads to.

use http::{StatusCode, header};

use super::answer::Answer;

/// What the page asks a person to decide on.
pub(super) struct Question<'a> {
    /// Where the form goes.
    pub(super) action: &'a str,
    /// What it carries, unseen.
    pub(super) hidden: &'a [(&'a str, &'a str)],
    /// The client that wants something.
    pub(super) client_id: &'a str,
    /// What it wants.
    pub(super) scope: &'a [String],
}

/// Asks a person who they are, and whether they allow it.
pub(super) fn consent(question: &Question<'_>) -> Answer {
    let wanted: String = question.scope.iter().map(|part| format!("<li>{}</li>", escaped(part))).collect();
    let asked = format!("<p>{} wants to act for you:</p><ul>{wanted}</ul>", escaped(question.client_id));
    page(StatusCode::OK, "Log in", &format!("{asked}{}", form(question.action, question.hidden, "")))
}

/// Asks a person for the code that another device shows (RFC 8628 section 3.3).
pub(super) fn device(action: &str, user_code: &str) -> Answer {
    let field = format!(
        "<p><label>Code of your device <input name=\"user_code\" value=\"{}\"></label></p>",
        escaped(user_code)
    );
    page(StatusCode::OK, "Connect a device", &form(action, &[], &field))
}

/// Tells a person how it ended.
pub(super) fn told(title: &str, text: &str) -> Answer {
    page(StatusCode::OK, title, &format!("<p>{}</p>", escaped(text)))
}

/// Shows a code to copy.
pub(super) fn code(code: &str) -> Answer {
    let content = format!(
        "<p>Copy this code into the application:</p><p><code id=\"code\">{}</code></p>",
        escaped(code)
    );
    page(StatusCode::OK, "Your code", &content)
}

/// Tells a person what is wrong with the request (RFC 6749 section 4.1.2.1), and sends the browser nowhere.
pub(super) fn wrong(text: &str) -> Answer {
    page(StatusCode::BAD_REQUEST, "This does not work", &format!("<p id=\"error\">{}</p>", escaped(text)))
}

fn form(action: &str, hidden: &[(&str, &str)], fields: &str) -> String {
    let hidden: String = hidden
        .iter()
        .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value)))
        .collect();
    format!(
        "<form method=\"post\" action=\"{}\">{hidden}{fields}\
         <p><label>Login name <input name=\"username\" autocomplete=\"off\"></label></p>\
         <p><button name=\"decision\" value=\"allow\">Allow</button> \
         <button name=\"decision\" value=\"refuse\">Refuse</button></p></form>",
        escaped(action)
    )
}

fn page(status: StatusCode, title: &str, content: &str) -> Answer {
    let title = escaped(title);
    Answer::status(status)
        .field(header::CONTENT_TYPE, "text/html; charset=utf-8")
        .field(header::CACHE_CONTROL, "no-store")
        .field(header::REFERRER_POLICY, "no-referrer")
        .field(header::X_FRAME_OPTIONS, "DENY")
        .content(format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><h1>{title}</h1>{content}"
        ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
