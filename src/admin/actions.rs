//! What a person may do from the page: log in, refresh now. Everything else of the admin listener only looks.
//!
//! Knows whose word counts: a page that this very listener served, read by a browser on this machine. Host and Origin were
//! admitted before; here an Origin must be there and be the listener's own, and the form carries the token that only a
//! reader of the page knows. Anything else is refused in words.

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, HOST, ORIGIN},
};
use percent_encoding::percent_decode_str;

use super::{Admin, From, SeenToken, logins::Conflict, only, plain, problem};
use crate::{
    secret::Secret,
    token::{Refreshing, Supply},
};

/// Something to do with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action {
    token: String,
    verb: Verb,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Refresh,
    Login,
    Code,
    Cancel,
}

impl Action {
    /// The action behind `path`, if it is one's.
    pub(super) fn of(path: &str) -> Option<Self> {
        let (token, verb) = path.strip_prefix("/tokens/")?.split_once('/')?;
        let verb = match verb {
            "refresh" => Verb::Refresh,
            "login" => Verb::Login,
            "login/code" => Verb::Code,
            "login/cancel" => Verb::Cancel,
            _ => return None,
        };
        Some(Self { token: percent_decode_str(token).decode_utf8().ok()?.into_owned(), verb })
    }
}

/// Why nothing may be done from there.
pub(super) fn refused(from: From) -> Option<&'static str> {
    match from {
        From::Here => None,
        From::Elsewhere => Some(
            "This admin listener can be reached from other machines, so the page only shows. Log in with \
             `bearward login` in a terminal, or set [admin] listen to 127.0.0.1.",
        ),
        From::AnotherName => Some(
            "This page was asked for by a name of allow_hosts, under which others may come too, so it only shows. Open it by \
             the listener's own loopback address, or log in with `bearward login` in a terminal.",
        ),
        From::UnixSocket => {
            Some("The admin listener is a Unix socket; log in with `bearward login` in a terminal.")
        }
    }
}

pub(super) fn answer(
    admin: &Admin,
    request: &Request<Bytes>,
    action: &Action,
    from: From,
) -> Response<Bytes> {
    if request.method() != Method::POST {
        return only(&[Method::POST], "the page posts to this");
    }
    let form = match admit(admin, request, from) {
        Ok(form) => form,
        Err(why) => {
            tracing::warn!(token = action.token, "an action was refused: {why}");
            return problem(StatusCode::FORBIDDEN, "Only the page itself may do this", why);
        }
    };
    let seen = admin.seen.borrow().clone();
    let Some(token) = seen.tokens.iter().find(|token| *token.name == *action.token) else {
        return problem(
            StatusCode::NOT_FOUND,
            "No such token",
            "the configuration has no token of this name; it may have been reloaded",
        );
    };
    if admin.stopping.get() {
        return problem(StatusCode::CONFLICT, "Not now", "bearward is stopping");
    }
    match act(admin, token, action.verb, form.code) {
        Ok(detail) => {
            let done = serde_json::json!({ "detail": detail });
            plain(StatusCode::ACCEPTED, done.to_string(), "application/json")
        }
        Err(why) => problem(StatusCode::CONFLICT, "Not now", &why),
    }
}

/// What the form says.
struct Form {
    code: Option<Secret>,
}

/// Whether the page itself asks, and what.
fn admit(admin: &Admin, request: &Request<Bytes>, from: From) -> Result<Form, &'static str> {
    if let Some(why) = refused(from) {
        return Err(why);
    }
    let fields = request.headers();
    if !is_own_origin(fields) {
        return Err("the request names no Origin, or another one than this listener's");
    }
    let site = |site: &http::HeaderValue| site == "same-origin";
    if !fields.get_all("sec-fetch-site").iter().all(site) {
        return Err("the request comes from a page of another site");
    }
    if !is_form(fields) {
        return Err("the content is no form (application/x-www-form-urlencoded)");
    }
    let (mut token, mut code) = (None, None);
    for (name, value) in form_urlencoded::parse(request.body()) {
        match &*name {
            "form_token" => token = Some(Secret::new(value)),
            "code" => code = Some(Secret::new(value)),
            _ => {}
        }
    }
    // Compared in constant time.
    if token.as_ref() != Some(&admin.form_token) {
        return Err("the form's token is missing or that of another run of bearward: load the page anew");
    }
    Ok(Form { code })
}

/// One Origin, and that of the host which the request names.
fn is_own_origin(fields: &HeaderMap) -> bool {
    let mut origins = fields.get_all(ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else { return false };
    let host = fields.get(HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
    host.zip(origin).is_some_and(|(host, origin)| origin.eq_ignore_ascii_case(host))
}

fn is_form(fields: &HeaderMap) -> bool {
    let kind = fields.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn act(admin: &Admin, token: &SeenToken, verb: Verb, code: Option<Secret>) -> Result<String, String> {
    match verb {
        Verb::Refresh => match &token.supply {
            Supply::One(source) => match source.refresh_now() {
                now @ (Refreshing::Begun | Refreshing::UnderWay) => Ok(now.to_string()),
                not_now => Err(not_now.to_string()),
            },
            Supply::PerSubject(_) => {
                Err("this recipe has a token for each subject, and they refresh by themselves".to_owned())
            }
        },
        Verb::Login => {
            let account = token.account.clone().ok_or("no person logs in for this token")?;
            admin.logins.begin(&token.name, account).map_err(words)?;
            Ok("the login begins".to_owned())
        }
        Verb::Code => {
            let code = code.filter(|code| !code.is_empty()).ok_or("the code is missing")?;
            admin.logins.paste(&token.name, code).map_err(words)?;
            Ok("the code is being redeemed".to_owned())
        }
        Verb::Cancel => {
            admin.logins.cancel(&token.name).map_err(words)?;
            Ok("nothing is under way any more".to_owned())
        }
    }
}

fn words(conflict: Conflict) -> String {
    let words = match conflict {
        Conflict::UnderWay => "a login is under way already; go on with it, or cancel it first",
        Conflict::NoCodeWanted => "no code is waited for; begin the login again",
        Conflict::Redeeming => "the code is being redeemed; what it brings is kept",
    };
    words.to_owned()
}
