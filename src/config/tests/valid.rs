//! What a valid file means.

use std::{path::PathBuf, time::Duration};

use super::{parse, wrong};
use crate::{
    config::{Config, Listen, Store, load},
    proxy::rejection::Rule,
};

fn config(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{problems}")).config
}

const UPSTREAM: &str = "[upstreams.a]\nurl = \"https://a.example/base/\"\nlisten = \"localhost:0\"\n";

#[test]
fn an_upstream_alone_is_a_configuration() {
    let config = config(UPSTREAM);
    let upstream = &config.upstreams["a"];
    assert_eq!(
        (upstream.origin.to_string().as_str(), upstream.base.as_str()),
        ("https://a.example", "/base")
    );
    assert_eq!(upstream.token, None);
    assert_eq!(upstream.listen.as_ref().unwrap().address, Listen::Tcp("127.0.0.1:0".parse().unwrap()));
    assert_eq!((upstream.replay_limit, upstream.token_timeout), (65_536, Duration::from_secs(10)));
    assert_eq!(upstream.token_invalid, Rule::defaults());
    assert_eq!(config.workers.get(), 1);
    assert_eq!(config.store, Store::File("/home/tester/.local/state/bearward".into()));
}

#[test]
fn listens_are_addresses_names_of_loopback_and_sockets() {
    for (written, meant) in [
        ("[::1]:80", Listen::Tcp("[::1]:80".parse().unwrap())),
        ("localhost:81", Listen::Tcp("127.0.0.1:81".parse().unwrap())),
        ("unix:/run/b.sock", Listen::Unix(PathBuf::from("/run/b.sock"))),
    ] {
        let config = config(&format!("{UPSTREAM}[admin]\nlisten = \"{written}\"\n"));
        assert_eq!(config.admin.unwrap().address, meant);
    }
}

#[test]
fn rules_come_alone_or_in_a_list() {
    let rules = |written: &str| {
        config(&format!("{UPSTREAM}token_invalid = {written}\n")).upstreams["a"].token_invalid.clone()
    };
    assert_eq!(rules("\"never\""), []);
    assert_eq!(rules("\"any-401\""), [Rule::Any401]);
    let [Rule::Body { status, pointer, equals }, Rule::Challenge] =
        &rules("[{ status = 403, pointer = \"/code\", equals = \"dead\" }, \"challenge\"]")[..]
    else {
        panic!("two rules")
    };
    assert_eq!((status.as_u16(), pointer.as_str(), equals.as_str()), (403, "/code", "dead"));
}

#[test]
fn the_upstreams_patience_wins_over_the_tokens() {
    let text = "[tokens.t]\ngrant_type = \"static\"\naccess_token = \"x\"\ntoken_timeout = \"3s\"\n
        [upstreams.a]\nurl = \"https://a.example\"\nlisten = \"localhost:0\"\ntoken = \"t\"\n
        [upstreams.b]\nurl = \"https://a.example\"\nlisten = \"localhost:0\"\ntoken = \"t\"\ntoken_timeout = \"4s\"\n";
    let config = config(text);
    assert_eq!(config.upstreams["a"].token_timeout, Duration::from_secs(3));
    assert_eq!(config.upstreams["b"].token_timeout, Duration::from_secs(4));
}

#[test]
fn cleartext_is_allowed_on_loopback_and_where_it_is_allowed() {
    config("[upstreams.a]\nurl = \"http://127.0.0.1:1\"\nlisten = \"localhost:0\"\n");
    config("[upstreams.a]\nurl = \"http://a.example\"\nlisten = \"localhost:0\"\nallow_cleartext = true\n");
    assert!(
        wrong("[upstreams.a]\nurl = \"http://a.example\"\nlisten = \"localhost:0\"\n")
            .contains("allow_cleartext")
    );
}

#[test]
fn a_subject_is_told_by_its_field_where_the_recipe_mentions_one() {
    let text = "[tokens.bank]\npreset = \"cybrid\"\nclient_id = \"b\"\nclient_secret = \"s\"\nscope = [\"customers:read\", \"customers:write\"]\n
        [tokens.customer]\npreset = \"cybrid\"\ngrant_type = \"request\"\nauthorize_with = \"bank\"\nbody = { customer_guid = \"{subject}\", scopes = [\"trades:read\"] }\n";
    let config = config(text);
    let customer = &config.tokens["customer"];
    let subjects = customer.subjects.as_ref().unwrap();
    assert_eq!((subjects.header.as_str(), subjects.most), ("x-bearward-subject", 10_000));
    assert_eq!(customer.authorize_with.as_deref(), Some("bank"));
    assert_eq!(customer.grant.endpoint(), Some("https://id.sandbox.cybrid.app/api/customer_tokens"));
    assert!(!customer.policy.eager, "nobody is there yet to get a token for");
    assert!(config.tokens["bank"].policy.eager);
}

#[test]
fn presets_know_their_endpoints_and_the_users_keys_win() {
    let text = r#"
        [tokens.till]
        preset = "inventorum"
        client_id = "c"
        client_secret = "s"
        refresh_token = "r"
        [tokens.old_till]
        preset = "inventorum"
        grant_type = "password"
        client_id = "c"
        client_secret = "s"
        username = "u"
        password = "p"
        [tokens.shop]
        preset = "shopware"
        base_url = "https://shop.example/"
        client_id = "c"
        client_secret = "s"
        [tokens.admin]
        preset = "shopware"
        base_url = "https://shop.example"
        grant_type = "password"
        username = "u"
        password = "p"
        [tokens.staging]
        preset = "cymbio"
        base_url = "https://cymbio3-api-staging.cym.bio"
        client_id = "c"
        client_secret = "s"
        username = "u"
        password = "p"
        scope = "read:orders write:inventory"
        [tokens.supplier]
        preset = "apicbase"
        grant_type = "client_credentials"
        client_id = "c"
        client_secret = "s"
        [upstreams.till]
        preset = "inventorum"
        listen = "localhost:0"
        headers = { x-app = "till" }
    "#;
    let config = config(text);
    let endpoint = |name: &str| config.tokens[name].grant.endpoint().unwrap().to_owned();
    assert_eq!(endpoint("till"), "https://app.inventorum.com/api/auth/token/");
    assert_eq!(endpoint("old_till"), "https://app.inventorum.com/api/auth/token/");
    assert_eq!(endpoint("shop"), "https://shop.example/api/oauth/token");
    assert_eq!(endpoint("admin"), "https://shop.example/api/oauth/token");
    assert_eq!(endpoint("staging"), "https://cymbio3-api-staging.cym.bio/oauth/token");
    assert_eq!(endpoint("supplier"), "https://api.apicbase.com/oauth/token/");
    let till = &config.upstreams["till"];
    assert_eq!(till.origin.to_string(), "https://app.inventorum.com");
    assert_eq!(till.token, None, "a preset brings no token");
    let mut names: Vec<_> = till.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "x-app"]);
}

#[test]
fn an_issuer_stands_for_the_endpoints_that_are_not_written() {
    let token = |keys: &str| {
        let text = format!(
            "[tokens.a]\ngrant_type = \"client_credentials\"\nclient_id = \"c\"\nclient_secret = \"s\"\n{keys}"
        );
        let loaded = parse(&format!("{text}{UPSTREAM}")).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        loaded.config.tokens["a"].grant.endpoint().unwrap().to_owned()
    };
    let issuer = "issuer = \"https://id.example/realms/a/\"\n";
    assert_eq!(token(issuer), "https://id.example/realms/a/ (token_endpoint)");
    let written = "token_endpoint = \"https://id.example/t?a=b\"\nrevocation_endpoint = \"/revoke\"\nbase_url = \"https://id.example\"\n";
    assert_eq!(token(&format!("{issuer}{written}")), "https://id.example/t");
    assert_eq!(token("issuer = \"http://127.0.0.1:1\"\n"), "http://127.0.0.1:1 (token_endpoint)");
    let cleartext = "issuer = \"http://id.example\"\nallow_cleartext = true\n";
    assert_eq!(token(cleartext), "http://id.example (token_endpoint)");
}

#[test]
fn a_server_name_is_said_of_the_host_that_the_grant_asks() {
    let problems = |keys: &str| {
        let text = format!(
            "[tokens.a]\npreset = \"cybrid\"\ntls = {{ server_name = \"no name\" }}\n{keys}{UPSTREAM}"
        );
        parse(&text).map_or_else(|problems| problems.len(), |_| 0)
    };
    let client = "client_id = \"c\"\nclient_secret = \"s\"\n";
    let elsewhere = "revocation_endpoint = \"https://elsewhere.example/revoke\"\n";
    assert_eq!(problems(&format!("{client}{elsewhere}")), 1, "once, for the token endpoint's host");
    assert_eq!(problems("grant_type = \"request\"\nurl = \"https://elsewhere.example/c\"\n"), 1);
}

#[test]
fn a_login_that_only_memory_keeps_is_warned_about() {
    let kitchen = "[tokens.kitchen]\npreset = \"apicbase\"\nclient_id = \"c\"\nclient_secret = \"s\"\nscope = \"library\"\n";
    let warnings = |store: &str| parse(&format!("{store}{kitchen}{UPSTREAM}")).unwrap().warnings.to_string();
    assert!(!warnings("").contains("memory"));
    let warned = warnings("store = { kind = \"memory\" }\n");
    assert!(warned.contains("[tokens.kitchen] begins with a login, and the store is memory"), "{warned}");
}

#[test]
fn r141_the_password_grant_and_a_forgetful_store_are_warned_about() {
    let text = "[store]\nkind = \"memory\"\n[tokens.a]\npreset = \"inventorum\"\ngrant_type = \"password\"\nclient_id = \"c\"\nclient_secret = \"s\"\nusername = \"u\"\npassword = \"p\"\n
        [tokens.b]\npreset = \"inventorum\"\nclient_id = \"c\"\nclient_secret = \"s\"\nrefresh_token = \"r\"\n";
    let warnings = parse(&format!("{text}{UPSTREAM}")).unwrap().warnings;
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(warnings.to_string());
    });
}

#[cfg(unix)]
#[test]
fn a_secret_file_that_everybody_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "canary\n").unwrap();
    let text =
        format!("{UPSTREAM}[tokens.a]\ngrant_type = \"static\"\naccess_token = {{ file = \"token\" }}\n");
    let name = folder.path().join("bearward.toml");
    let warnings = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Config::parse_with(&text, name.to_str().unwrap(), &super::env).unwrap().warnings
    };
    assert!(warnings(0o600).is_empty());
    let warnings = warnings(0o644);
    assert_eq!(warnings.len(), 1);
    assert!(warnings.to_string().contains("chmod 600") && !warnings.to_string().contains("canary"));
}

#[test]
fn the_file_is_found_where_it_was_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bearward/bearward.toml");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, UPSTREAM).unwrap();
    let set = |name: &'static str, value: &std::path::Path| {
        let value = value.to_str().unwrap().to_owned();
        move |asked: &str| (asked == name).then(|| value.clone())
    };
    let loaded = Config::load_with(Some(&path), &|_| None).unwrap();
    assert_eq!((loaded.path.as_path(), loaded.digest), (path.as_path(), load::digest(UPSTREAM.as_bytes())));
    let by_variable = set("BEARWARD_CONFIG", &path);
    assert_eq!(Config::load_with(None, &by_variable).unwrap().path, path);
    let by_folder = set("XDG_CONFIG_HOME", folder.path());
    assert_eq!(Config::load_with(None, &by_folder).unwrap().path, path);
    let elsewhere = folder.path().join("other.toml");
    assert!(
        Config::load_with(Some(&elsewhere), &by_folder).unwrap_err().to_string().contains("does not exist")
    );
}

#[test]
fn certificates_are_read_and_must_fit_their_key() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["b.example".to_owned()]).unwrap();
    write("c.pem", &made.cert.pem());
    write("k.pem", &made.signing_key.serialize_pem());
    write("other.pem", &other.signing_key.serialize_pem());
    let name = folder.path().join("bearward.toml");
    let parse = |key: &str| {
        let text = format!(
            "{UPSTREAM}tls = {{ ca = \"c.pem\", certificate = \"c.pem\", key = \"{key}\", server_name = \"a.example\" }}\n"
        );
        Config::parse_with(&text, name.to_str().unwrap(), &super::env)
    };
    let loaded = parse("k.pem").unwrap();
    let tls = &loaded.config.upstreams["a"].tls;
    assert!(tls.roots.as_ref().is_some_and(|roots| roots.len() == 1) && tls.identity.is_some());
    assert_eq!(loaded.files.len(), 3);
    assert!(parse("other.pem").unwrap_err().to_string().contains("cannot be used together"));
    assert!(parse("c.pem").unwrap_err().to_string().contains("holds no private key"));
    let listening = |key: &str, ca: &str| {
        let text =
            format!("{UPSTREAM}listen_tls = {{ certificate = \"c.pem\", key = \"{key}\", ca = \"{ca}\" }}\n");
        Config::parse_with(&text, name.to_str().unwrap(), &super::env)
    };
    let loaded = listening("k.pem", "c.pem").unwrap();
    let listener = loaded.config.upstreams["a"].listen.as_ref().unwrap();
    assert!(listener.tls.as_ref().unwrap().clients_of.as_ref().is_some_and(|roots| roots.len() == 1));
    assert_eq!(loaded.files.len(), 3);
    let problem = listening("other.pem", "c.pem").unwrap_err().to_string();
    assert!(
        problem.contains("cannot be used together") && problem.contains("key = \"other.pem\""),
        "{problem}"
    );
    assert!(listening("k.pem", "k.pem").unwrap_err().to_string().contains("holds no certificate"));
}

#[test]
fn r146_a_key_that_means_nothing_beside_its_grant_or_method_is_a_warning_that_shows_no_secret() {
    let text = "store = { kind = \"memory\" }\n[tokens.shop]\ngrant_type = \"client_credentials\"\n\
                token_endpoint = \"https://shop.example/token\"\ntoken_endpoint_auth_method = \"none\"\n\
                client_id = \"app\"\nclient_secret = \"canary\"\nrefresh_token = \"canary\"\nbody = { a = \"canary\" }\n";
    let warnings = parse(&format!("{text}{UPSTREAM}")).unwrap().warnings;
    let shown = warnings.to_string();
    assert!(!shown.contains("canary"), "{shown}");
    for key in ["client_secret", "refresh_token", "body"] {
        assert!(shown.contains(&format!("`{key}` means nothing with grant_type")), "{shown}");
    }
    assert!(shown.contains("refresh_token = ***"), "{shown}");
}

#[test]
fn origins_are_reached_through_the_proxy_of_the_environment_unless_a_key_says_otherwise() {
    let read = |proxy: &str, variable: &str| {
        let env = |name: &str| (name == "HTTPS_PROXY").then(|| variable.to_owned());
        let text = UPSTREAM.replace("listen", &format!("{proxy}\nlisten"));
        Config::parse_with(&text, "bearward.toml", &env)
    };
    let proxy = |key: &str| {
        let config = read(key, "http://user:canary@outer.example:3128").unwrap().config;
        assert!(!format!("{config:?}").contains("canary"));
        config.upstreams["a"].outer.as_ref().map(|proxy| proxy.origin().to_string())
    };
    assert_eq!(proxy("").as_deref(), Some("http://outer.example:3128"));
    assert_eq!(proxy("proxy = \"env\"").as_deref(), Some("http://outer.example:3128"));
    assert_eq!(proxy("proxy = \"none\""), None);
    assert_eq!(proxy("proxy = \"http://other.example\"").as_deref(), Some("http://other.example"));
    // One that is not spoken to is no reason to go past it.
    let problem = read("", "socks5://user:canary@outer.example:1080").unwrap_err().to_string();
    assert!(problem.contains("SOCKS") && problem.contains("proxy = \"none\""), "{problem}");
    assert!(!problem.contains("canary"), "{problem}");
}
