//! CHECKLIST 146: whatever is wrong with a file, no secret of it is repeated.

use proptest::prelude::*;

use super::parse;

const CANARY: &str = "CaNaRy-4711";

/// Lines with a secret on which something is wrong, for a `[tokens.x]` table.
const LINES: &[&str] = &[
    "client_secret = \"C\" trailing",
    "client_secret = \"C",
    "client_secret = 'C",
    "client_secret = C",
    "client_secret == \"C\"",
    "client_secret = [\"C\"]",
    "client_secret = { env = \"C\" }",
    "client_secret = { file = \"C\" }",
    "client_secret = { evn = \"C\" }",
    "client_secret = { env = \"C\", file = \"C\" }",
    "client_secret = { env = \"C\", }, x",
    "client_secret = { env = [\"C\"] }",
    "client_secrt = \"C\"",
    "clientSecret = \"C\"",
    "client_secret = \"\\q C\"",
    "client_secret = \"\"\"\nC \\q\n\"\"\"",
    "client_secret = \"\"\"\nclient_id = \"C \\q\n\"\"\"",
    "client_secret = \"\"\"C\n\"\"\" x",
    "client_secret = \"\"\"\" C \"\"\" x \"\"\"",
    "client_secret = '''\nC\n''' x",
    "client_secret = \"a\"\nclient_secret = \"C\"",
    "password = [\"C\"]",
    "username = \"u\"\npassword = 'C' x",
    "access_token.value = \"C\"",
    "parameters = { assertion = \"C\", when = 1979-05-27 }",
    "parameters = \"C\"",
    "parameters = { assertion = \"C\"",
    "parameters = [\"C\", 1]",
    "parameters.api_key = \"C\"\nparameters = 1",
    "token_endpoint = \"http://user:C@shop.example/\"",
    "token_endpoint = \"https://user:C@shop.example/",
    "token_endpoint = \"http://shop.example/?key=C\"",
    "base_url = \"https://C@shop.example\"\ntoken_endpoint = \"/x\"",
    "client_id = \"a\" client_secret = \"C\"",
    "client_id = [\"C\"]",
    "tls = { ca = \"/nowhere\", password = \"C\" }",
    "proxy_password = \"C\"",
    "issuer = { secret = \"C\" }",
    "[tokens.y]\nclient_secret = \"C\" x",
    "[tokns.y]\nclient_secret = \"C\"\nclient_secret = \"C\"",
    "[tokens]\ny = \"C\"",
    "[upstreams.u]\nheaders = { authorization = \"C\", host = \"x\" }",
    "[upstreams.u]\nheaders = { x-api-key = \"C\", \"a b\" = \"C\" }",
    "[upstreams.u]\nheaders = { x-api-key = \"C\\u0001\" }",
    "[upstreams.u]\nheaders = \"C\"",
    "[upstreams.u]\ntoken = \"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.C.C\"",
    "[upstreams.u]\ntoken = \"C==\"",
    "[upstreams.u]\ntoken = C",
    "client_id = \"x\" \"C\"",
    "[upstreams.u]\nheaders = { cookie = \"C\"",
    "[upstreams.u]\nclient_secret = \"C\"",
    "[upstreams.u]\nurl = \"http://u:C@a.example\"",
];

#[test]
fn r146_no_secret_is_echoed_from_a_line_with_a_mistake() {
    for line in LINES {
        let text =
            format!("[tokens.x]\ngrant_type = \"client_credentials\"\n{}\n", line.replace('C', CANARY));
        let problems = parse(&text).unwrap_err();
        for shown in [problems.to_string(), problems.render(true), format!("{problems:?}")] {
            assert!(!shown.contains(CANARY), "{text}\n{shown}");
            assert!(shown.contains("***"), "the line itself is to be shown, masked:\n{line}\n{shown}");
        }
    }
}

#[test]
fn r146_a_valid_configuration_shows_no_secret_in_its_debug() {
    let text = format!(
        "[tokens.x]\npreset = \"cymbio\"\nclient_id = \"c\"\nclient_secret = \"{CANARY}\"\nusername = \"u\"\npassword = \"{CANARY}\"\n
         [upstreams.u]\nurl = \"https://a.example\"\nlisten = \"localhost:0\"\nheaders = {{ x-api-key = \"{CANARY}\" }}\n
         [tokens.y]\ngrant_type = \"request\"\nurl = \"https://a.example/?key={CANARY}\"\nbody = {{ key = \"{CANARY}\" }}\n
         [tokens.z]\npreset = \"cymbio\"\nclient_id = \"c\"\nclient_secret = \"s\"\nparameters = {{ key = \"{CANARY}\" }}\n"
    );
    let loaded = parse(&text).unwrap();
    assert!(!format!("{loaded:?}").contains(CANARY));
}

#[test]
fn a_masked_line_keeps_its_key_and_its_column() {
    let shown = parse("[tokens.x]\nclient_secret = [\"abc\"] # note\n").unwrap_err().to_string();
    assert!(
        shown.contains("bearward.toml:2:17") && shown.contains("client_secret = [***] # note"),
        "{shown}"
    );
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "client_secret",
        "password",
        "refresh_token",
        "access_token",
        "parameters",
        "authorization_parameters",
        "body",
        "headers",
        "secret",
        "clientsecret",
    ])
}

fn value() -> impl Strategy<Value = String> {
    let quoted = prop::sample::select(vec![
        "\"C\"",
        "'C'",
        "\"\"\"C\"\"\"",
        "'''\nC'''",
        "\"C",
        "[\"C\"]",
        "{ env = \"C\" }",
        "{ file = \"C\" }",
        "{ a = \"C\" }",
        "{ a = \"C\", b = 2",
        "C",
        "\"x\" \"C\"",
        "{ a = { b = [\"C\"] } }",
        "\"https://u:C@h/\"",
    ]);
    let around = prop::sample::select(vec!["", " x", " = 1", " ]", "\n}", ",", " # c", "\\", "\u{1}"]);
    (quoted, around).prop_map(|(value, after)| format!("{}{after}", value.replace('C', CANARY)))
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        let _ = parse(&text).map_err(|problems| problems.render(true));
    }

    #[test]
    fn arbitrary_toml_like_text_never_panics(text in "(\\[{0,2}(tokens|upstreams|log)?\\.?[a-z\"]{0,3}\\]{0,2}\n?|[a-z_]{1,14} ?=? ?[\"'\\[{]{0,3}[a-z0-9:/.é]{0,9}[\"'\\]}]{0,3}\n?){0,12}") {
        let _ = parse(&text).map_err(|problems| problems.render(true));
    }

    #[test]
    fn r146_tables_with_a_canary_never_echo_it(
        tables in prop::collection::vec((prop::sample::select(vec!["tokens.x", "tokens.y", "upstreams.u", "tokns.z", "log"]), prop::collection::vec((key(), value()), 0..4)), 1..4),
    ) {
        let mut text = String::new();
        for (name, entries) in tables {
            text.push_str(&format!("[{name}]\n"));
            for (key, value) in entries {
                text.push_str(&format!("{key} = {value}\n"));
            }
        }
        if let Err(problems) = parse(&text) {
            let shown = problems.to_string();
            prop_assert!(!shown.contains(CANARY), "{}", shown);
        }
    }
}
