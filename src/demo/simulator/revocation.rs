//! What a client may say and ask about a token: taking it back (RFC 7009), and whether it is good (RFC 7662).
//!
//! Knows which token goes with which, and that an unknown token is no error. Does not know who may ask.

use std::time::UNIX_EPOCH;

use http::{StatusCode, header};
use serde_json::{Value, json};

use super::{
    Answer, Desk,
    tokens::{Access, Standing},
    wire::{Parameters, Refusal},
};

/// Which tokens a revocation endpoint takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Revocable {
    /// Both kinds.
    All,
    /// Refresh tokens alone (RFC 7009 section 2: implementations should support both, and must support these).
    RefreshTokens,
}

/// Takes a token back (RFC 7009 section 2.1); a refresh token with the access tokens that came of it. `token_type_hint` is a
/// hint: both kinds are looked at.
pub(super) fn revoked(
    revocable: Revocable,
    parameters: &Parameters,
    desk: &mut Desk<'_>,
) -> Result<Answer, Refusal> {
    let token = parameters.needed("token")?;
    let is_access = !matches!(desk.tokens.standing(token, desk.now), Standing::Unknown);
    if is_access && revocable == Revocable::RefreshTokens {
        return Err(Refusal::other("unsupported_token_type", "access tokens are not revoked here"));
    }
    desk.tokens.revoke(token, desk.now);
    desk.tokens.end_chain(token);
    Ok(Answer::status(StatusCode::OK).field(header::CACHE_CONTROL, "no-store"))
}

/// What there is to say of a token (RFC 7662 section 2.2): of a dead or unknown one nothing.
pub(super) fn introspected(
    parameters: &Parameters,
    client_id: &str,
    desk: &Desk<'_>,
) -> Result<Answer, Refusal> {
    let token = parameters.needed("token")?;
    let content = match (desk.tokens.standing(token, desk.now), desk.tokens.login(token)) {
        (Standing::Alive(access), _) => {
            let mut content = told(&access, client_id);
            let issued = access.issued.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
            content["iat"] = json!(issued.as_secs());
            content["token_type"] = json!("Bearer");
            content
        }
        (_, Some(login)) => json!({
            "active": true,
            "scope": login.scope.join(" "),
            "client_id": client_id,
            "username": login.subject,
        }),
        _ => json!({ "active": false }),
    };
    Ok(Answer::json(StatusCode::OK, &content).field(header::CACHE_CONTROL, "no-store"))
}

/// What every introspection says of a living access token.
pub(super) fn told(access: &Access, client_id: &str) -> Value {
    let exp = access.deadline.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    json!({
        "active": true,
        "scope": access.scope.join(" "),
        "exp": exp,
        "client_id": client_id,
        "username": access.subject,
    })
}
