//! What the browser takes along, and what of that which it brings back is believed.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const ISSUER: &str = "https://id.example";

fn issuer(promised: bool) -> Option<ExpectedIssuer> {
    Some(ExpectedIssuer { identifier: ISSUER.to_owned(), promised })
}

fn request(issuer: Option<ExpectedIssuer>) -> AuthorizationRequest {
    let says = Says { client_id: "app", redirect_uri: None, scope: None, further: "", issuer };
    AuthorizationRequest::new(&"https://id.example/authorize".parse().unwrap(), says).unwrap()
}

fn parameters(request: &AuthorizationRequest) -> Vec<(String, String)> {
    let (_, query) = request.url().split_once('?').unwrap();
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn state(request: &AuthorizationRequest) -> String {
    let parameters = parameters(request);
    parameters.into_iter().find(|(name, _)| name == "state").map(|(_, value)| value).unwrap()
}

fn code(text: &str) -> Result<Code, Refused> {
    Ok(Code(Secret::new(text)))
}

#[test]
fn r134_r135_the_url_says_what_the_rfcs_want_and_nothing_twice() {
    let says = Says {
        client_id: "a b&c",
        redirect_uri: Some("http://127.0.0.1:4711/callback?x=y".to_owned()),
        scope: Some(("scope", "A B")),
        further: "",
        issuer: None,
    };
    let endpoint = "https://id.example:8443/oauth/authorize/?prompt=consent&a=%20b".parse().unwrap();
    let request = AuthorizationRequest::new(&endpoint, says).unwrap();
    let (state, challenge) = (state(&request), request.verifier.challenge());
    assert_eq!(
        request.url(),
        format!(
            "https://id.example:8443/oauth/authorize/?prompt=consent&a=%20b&response_type=code&client_id=a+b%26c\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A4711%2Fcallback%3Fx%3Dy&scope=A+B&state={state}\
             &code_challenge={challenge}&code_challenge_method=S256"
        )
    );
}

#[test]
fn what_is_not_configured_is_not_a_parameter() {
    let names: Vec<_> = parameters(&request(None)).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["response_type", "client_id", "state", "code_challenge", "code_challenge_method"]);
}

#[test]
fn an_endpoints_own_query_stays_whatever_its_end() {
    for (endpoint, beginning) in [
        ("https://id.example", "https://id.example/?response_type=code&"),
        ("https://id.example/a?", "https://id.example/a?response_type=code&"),
        ("https://id.example/a?b", "https://id.example/a?b&response_type=code&"),
        ("https://id.example/a?b=c&", "https://id.example/a?b=c&response_type=code&"),
    ] {
        let says = Says { client_id: "app", redirect_uri: None, scope: None, further: "", issuer: None };
        let request = AuthorizationRequest::new(&endpoint.parse().unwrap(), says).unwrap();
        assert!(request.url().starts_with(beginning), "{}", request.url());
    }
    for own in ["client_id=x", "a=b&state=x", "%73tate=x", "user_scope=x"] {
        let says = Says {
            client_id: "app",
            redirect_uri: None,
            scope: Some(("user_scope", "a")),
            further: "",
            issuer: None,
        };
        let endpoint = format!("https://id.example/a?{own}").parse().unwrap();
        let failure = AuthorizationRequest::new(&endpoint, says).unwrap_err();
        assert_eq!(failure.fault, Fault::Refused, "{own}");
    }
}

#[test]
fn r135_each_login_has_a_state_of_its_own_with_256_bits() {
    let states: HashSet<_> = (0..100).map(|_| state(&request(None))).collect();
    assert_eq!(states.len(), 100);
    assert!(states.iter().all(|state| state.len() == 43));
}

#[test]
fn r135_only_an_answer_with_this_logins_state_is_looked_at() {
    let (ours, other) = (request(None), request(None));
    let (state, others) = (state(&ours), state(&other));
    assert_eq!(ours.judge(&format!("code=c&state={state}")), code("c"));
    for query in [
        String::new(),
        "code=c".to_owned(),
        "code=c&state=".to_owned(),
        format!("code=c&state={others}"),
        format!("code=c&state={state}x"),
        format!("code=c&state={}", &state[1..]),
        format!("code=c&state={}", state.to_lowercase()),
        format!("code=c&state={state}&state={state}"),
        format!("code=c&state={others}&state={state}"),
        format!("code=c&STATE={state}"),
        format!("error=access_denied&state={others}"),
        "error=access_denied".to_owned(),
    ] {
        assert_eq!(ours.judge(&query), Err(Refused::WrongState), "{query}");
    }
}

#[test]
fn r133_an_issuer_is_compared_letter_by_letter() {
    for (promised, iss, accepted) in [
        (true, Some("https%3A%2F%2Fid.example"), true),
        (false, Some("https://id.example"), true),
        (false, None, true),
        (true, None, false),
        (false, Some("https://id.example/"), false),
        (false, Some("https://ID.example"), false),
        (false, Some("https://id.example:443"), false),
        (false, Some("https://evil.example"), false),
        (false, Some(""), false),
    ] {
        let request = request(issuer(promised));
        let iss = iss.map(|iss| format!("&iss={iss}")).unwrap_or_default();
        for answer in ["code=c", "error=access_denied"] {
            let judged = request.judge(&format!("{answer}{iss}&state={}", state(&request)));
            let taken = !matches!(judged, Err(Refused::WrongIssuer(_)));
            assert_eq!(taken, accepted, "{promised} {iss} {judged:?}");
        }
    }
    let unknown = request(None);
    let query = format!("code=c&iss=https://anybody.example&state={}", state(&unknown));
    assert_eq!(unknown.judge(&query), code("c"), "nothing can be said of it");
}

#[test]
fn what_is_said_twice_is_refused_and_what_is_unknown_ignored() {
    let request = request(None);
    let state = state(&request);
    for twice in
        ["code=c&code=d", "code=c&code=c", "iss=a&iss=a&code=c", "error=x&error=y", "code=c&c%6fde=d"]
    {
        let judged = request.judge(&format!("{twice}&state={state}"));
        let Err(Refused::Error(words)) = judged else { panic!("{twice}: {judged:?}") };
        assert!(words.contains("twice"), "{words}");
    }
    let query = format!("session_state=1&x=1&x=2&code=a+b%2Fc%3D&state={state}&scope=a");
    assert_eq!(request.judge(&query), code("a b/c="));
    assert_eq!(request.judge(&format!("?code=c&state={state}")), code("c"));
}

#[test]
fn no_code_is_none() {
    let request = request(None);
    let state = state(&request);
    for without in ["", "code=", "code", "code=%0a", "code=a%00b", "code=%C3%A4", "Code=c"] {
        let judged = request.judge(&format!("{without}&state={state}"));
        assert_eq!(judged, Err(Refused::NoCode), "{without:?}");
    }
    assert!(Refused::NoCode.to_string().contains("copy the code"));
}

#[test]
fn an_error_says_whose_fault_it_is_and_what_to_do() {
    let request = request(None);
    let state = state(&request);
    for (error, expected) in [
        ("error=access_denied", "answered access_denied: the person refused"),
        (
            "error=invalid_scope&error_description=No+such+scope%3A+x",
            "invalid_scope (No such scope: x): check scope",
        ),
        (
            "error=unauthorized_client&error_description=",
            "unauthorized_client: the client may not log people in",
        ),
        ("error=temporarily_unavailable&code=c", "log in again later"),
        ("error=login_required", "take `prompt` out"),
        ("error=never_heard_of", "answered never_heard_of: log in again"),
    ] {
        let Err(refused) = request.judge(&format!("{error}&state={state}")) else { panic!("{error}") };
        assert!(matches!(refused, Refused::Error(_)));
        assert!(refused.to_string().contains(expected), "{refused}");
    }
}

#[test]
fn a_description_cannot_steer_a_terminal_nor_fill_it() {
    let request = request(None);
    let long = "x".repeat(10_000);
    let description = format!("%1b%5b31mred%0d%0aforged%e2%80%ae{long}");
    let query = format!("error=%07odd&error_description={description}&state={}", state(&request));
    let words = request.judge(&query).unwrap_err().to_string();
    assert!(words.contains("answered odd ([31mredforgedxxx"), "{words}");
    assert!(!words.chars().any(|letter| letter.is_control() || letter == '\u{202e}'), "{words}");
    assert!(words.len() < 400, "{}", words.len());
}

#[test]
fn a_person_pastes_the_code_or_what_it_stands_in() {
    let request = request(issuer(true));
    let state = state(&request);
    for (text, expected) in [
        ("c-1".to_owned(), "c-1"),
        ("\n  c-1\t\r\n".to_owned(), "c-1"),
        ("4/0Ab_c==".to_owned(), "4/0Ab_c=="),
        ("a&b".to_owned(), "a&b"),
        ("why?".to_owned(), "why?"),
        ("code=c-1".to_owned(), "c-1"),
        (format!("code=c-1&state={state}&iss={ISSUER}"), "c-1"),
        (format!("?state={state}&code=c%2F1&iss={ISSUER}"), "c/1"),
        (format!("https://app.example/cb?code=c-1&state={state}&iss={ISSUER}#_=_"), "c-1"),
        ("127.0.0.1:4711/cb?code=c-1".to_owned(), "c-1"),
        ("https://app.example/#/cb?code=c-1".to_owned(), "c-1"),
        (format!("state={state}&iss={ISSUER}&code=c?1"), "c?1"),
    ] {
        assert_eq!(request.pasted(&text), code(expected), "{text}");
    }
    for text in
        ["", " \n", "two words", "c\u{202e}ode", "https://app.example/", "https://app.example/?x=y", "code="]
    {
        assert_eq!(request.pasted(text), Err(Refused::NoCode), "{text}");
    }
}

#[test]
fn r135_what_stands_beside_a_pasted_code_is_checked() {
    let (request, other) = (request(issuer(true)), request(None));
    let (ours, others) = (state(&request), state(&other));
    let pasted = |text: &str| request.pasted(text);
    assert_eq!(
        pasted(&format!("https://a.example/?code=c&state={others}&iss={ISSUER}")),
        Err(Refused::WrongState)
    );
    assert_eq!(pasted("code=c&state="), Err(Refused::WrongState));
    assert_eq!(pasted(&format!("state={others}&iss=https://a.example/?code=c")), Err(Refused::WrongState));
    // The state is the first parameter: it must not get lost with what precedes it.
    for address in ["https://a.example/;p=1?", "a.example/;p=1?", "?", ""] {
        assert_eq!(pasted(&format!("{address}state={others}&code=c")), Err(Refused::WrongState), "{address}");
    }
    for text in [format!("code=c&state={ours}"), "code=c&iss=https://evil.example".to_owned()] {
        assert!(matches!(pasted(&text), Err(Refused::WrongIssuer(_))), "{text}");
    }
    assert!(matches!(pasted("https://a.example/?error=access_denied"), Err(Refused::Error(_))));
    assert!(matches!(pasted("code=c&code=d"), Err(Refused::Error(_))));
}

#[test]
fn r146_a_login_under_way_shows_neither_verifier_nor_code() {
    let request = request(None);
    let shown = format!("{request:?} {:?}", request.judge(&format!("code=canary&state={}", state(&request))));
    let (verifier, _) = request.into_proof();
    assert!(!shown.contains("canary") && !shown.contains(verifier.expose()), "{shown}");
}

proptest! {
    #[test]
    fn nothing_that_comes_back_makes_it_panic(text in ".*", iss in any::<bool>()) {
        let request = request(issuer(iss));
        // No text guesses 256 bits.
        prop_assert!(request.judge(&text).is_err());
        if let Err(refused) = request.pasted(&text) {
            prop_assert!(!refused.to_string().chars().any(char::is_control));
        }
        let query = format!("{text}&state={}", state(&request));
        if let Err(refused) = request.judge(&query) {
            prop_assert!(!refused.to_string().chars().any(char::is_control));
        }
    }

    #[test]
    fn r135_another_logins_state_never_gets_a_code(
        before in prop::collection::vec(("(code|state|iss|error|x|%73tate)", "[ -~]{0,20}"), 0..4),
        after in prop::collection::vec(("(code|state|iss|error|x|%63ode)", "[ -~]{0,20}"), 0..4),
        address in prop_oneof![
            Just(""), Just("?"), Just("https://app.example/cb?"), Just("127.0.0.1:1/?"), Just("a.example/;p=1?"),
        ],
    ) {
        let (ours, other) = (request(None), request(None));
        let pairs = |pairs: Vec<(String, String)>| -> String {
            pairs.iter().map(|(name, value)| format!("{name}={}&", value.replace(['&', '#', '?'], ""))).collect()
        };
        let query = format!("{}code=c&state={}&{}", pairs(before), state(&other), pairs(after));
        prop_assert!(ours.judge(&query).is_err());
        let pasted = format!("{address}{query}");
        prop_assert!(ours.pasted(&pasted).is_err());
    }
}
