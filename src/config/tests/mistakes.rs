//! One mistake (or three) a snapshot: the file, the line, what is wrong, what would be right.

use super::wrong;

/// A token and an upstream without a mistake.
const SHOP: &str = r#"
[tokens.shop]
grant_type     = "client_credentials"
token_endpoint = "https://shop.example/token"
client_id      = "app"
client_secret  = { env = "SECRET" }

[upstreams.shop]
url    = "https://shop.example"
token  = "shop"
listen = "127.0.0.1:8102"
"#;

macro_rules! mistakes {
    ($($name:ident: $text:expr,)*) => {$(
        #[test]
        fn $name() {
            insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
                insta::assert_snapshot!(wrong($text.as_ref()));
            });
        }
    )*};
}

fn and(more: &str) -> String {
    format!("{SHOP}{more}")
}

fn but(what: &str, instead: &str) -> String {
    assert!(SHOP.contains(what), "{what}");
    SHOP.replace(what, instead)
}

mistakes! {
    an_unknown_key_names_the_nearest: but("client_id ", "clent_id "),
    an_unknown_key_like_none_lists_all: and("[log]\nfrobnicate = 1\n"),
    an_unknown_table_names_the_nearest: and("[upstream.other]\nurl = \"https://a.example\"\n"),
    a_wrong_type_says_what_is_there: and("[gateway]\nlisten = 8080\n"),
    a_table_where_a_value_belongs: but("url    = \"https://shop.example\"", "url = { host = \"shop.example\" }"),
    a_value_where_a_table_belongs: "workers = 1\nstore = \"memory\"\n".to_owned() + SHOP,
    a_token_that_is_no_table: "[tokens]\nshop = \"abc\"\n",
    a_missing_key_points_at_its_table: but("client_id      = \"app\"\n", ""),
    a_missing_url: but("url    = \"https://shop.example\"\n", ""),
    a_missing_grant_type: but("grant_type     = \"client_credentials\"\n", ""),
    a_number_out_of_range: "workers = 0\n".to_owned() + SHOP,
    a_share_out_of_range: but("client_id ", "refresh_at = 1.5\nclient_id "),
    a_duration_without_a_unit: but("token  =", "response_timeout = 60\ntoken  ="),
    a_duration_that_is_none: but("token  =", "response_timeout = \"soon\"\ntoken  ="),
    r146_an_outer_proxy_of_another_kind: but("token  =", "proxy = \"socks5://user:canary@proxy:1080\"\ntoken  ="),
    an_outer_proxy_that_is_no_url: but("client_id ", "proxy = \"enw ironment\"\nclient_id "),
    an_outer_proxy_that_is_a_mistyped_none: but("client_id ", "proxy = \"nonne\"\nclient_id "),
    a_size_that_is_none: but("token  =", "replay_limit = \"64 pages\"\ntoken  ="),
    a_size_out_of_range: and("[limits]\nhead_size = \"1KiB\"\n"),
    a_mask_in_front_of_the_mark_moves_no_column: and("tls = { password = \"abc\", serter_name = \"x\" }\n"),
    a_choice_that_is_none: and("[log]\nlevel = \"inof\"\n"),
    a_listen_without_an_address: but("127.0.0.1:8102", ":8102"),
    r021_a_listen_beyond_loopback: but("127.0.0.1:8102", "0.0.0.0:8102"),
    two_listeners_on_one_address: and("[admin]\nlisten = \"localhost:8102\"\n"),
    an_unknown_token: but("token  = \"shop\"", "token  = \"shpo\""),
    an_unknown_parent: and("[tokens.customer]\ngrant_type = \"request\"\nurl = \"https://id.example/c\"\nauthorize_with = \"bank\"\n"),
    parents_in_a_circle: and("[tokens.a]\ngrant_type = \"request\"\nurl = \"https://id.example/a\"\nauthorize_with = \"b\"\n\n[tokens.b]\ngrant_type = \"request\"\nurl = \"https://id.example/b\"\nauthorize_with = \"a\"\n"),
    a_parent_that_has_subjects: and("[tokens.a]\ngrant_type = \"request\"\nurl = \"https://id.example/a\"\nauthorize_with = \"b\"\n\n[tokens.b]\ngrant_type = \"request\"\nurl = \"https://id.example/{subject}\"\n"),
    an_unknown_preset: and("[tokens.x]\npreset = \"shopwear\"\n"),
    a_preset_without_its_base_url: and("[tokens.x]\npreset = \"shopware\"\nclient_id = \"app\"\nclient_secret = \"s\"\n"),
    a_relative_url_without_a_base: but("https://shop.example/token", "/token"),
    no_way_in: but("listen = \"127.0.0.1:8102\"\n", ""),
    a_path_without_a_gateway: but("listen = \"127.0.0.1:8102\"", "path = \"/shop\""),
    one_path_twice: and("path = \"/shop\"\n\n[upstreams.other]\nurl = \"https://other.example\"\npath = \"/shop/\"\n\n[gateway]\nlisten = \"127.0.0.1:8080\"\n"),
    one_host_twice: and("host = \"shop.local\"\n\n[upstreams.other]\nurl = \"https://other.example\"\nhost = \"Shop.local\"\n\n[gateway]\nlisten = \"127.0.0.1:8080\"\n"),
    a_path_that_is_ambiguous: and("path = \"/a/../b\"\n\n[gateway]\nlisten = \"127.0.0.1:8080\"\n"),
    a_gateway_without_listen: and("path = \"/shop\"\n\n[gateway]\n"),
    r011_cleartext_to_an_upstream: but("url    = \"https:", "url    = \"http:"),
    r011_cleartext_to_a_token_endpoint: but("token_endpoint = \"https:", "token_endpoint = \"http:"),
    a_url_without_a_scheme: but("url    = \"https://shop.example\"", "url    = \"shop.example:443\""),
    a_url_with_a_query: but("url    = \"https://shop.example\"", "url    = \"https://shop.example/?a=b\""),
    an_unset_variable: but("env = \"SECRET\"", "env = \"SHOP_SECRET\""),
    an_empty_variable: but("env = \"SECRET\"", "env = \"EMPTY\""),
    a_secret_file_that_is_not_there: but("env = \"SECRET\"", "file = \"/nowhere/secret\""),
    a_secret_from_two_places: but("env = \"SECRET\"", "env = \"SECRET\", file = \"/x\""),
    a_ca_that_is_not_there: and("tls = { ca = \"/nowhere/ca.pem\" }\n"),
    a_certificate_without_its_key: and("tls = { certificate = \"/nowhere/c.pem\" }\n"),
    a_listeners_certificate_without_its_key: and("listen_tls = { certificate = \"/nowhere/c.pem\" }\n"),
    a_listeners_certificate_that_is_not_there: and("listen_tls = { certificate = \"/nowhere/c.pem\", key = \"/nowhere/k.pem\", ca = \"/nowhere/ca.pem\" }\n"),
    tls_on_a_listener_that_is_not_there: but("listen = \"127.0.0.1:8102\"", "path = \"/a\"\nlisten_tls = { certificate = \"/nowhere/c.pem\", key = \"/nowhere/k.pem\" }") + "[gateway]\nlisten = \"127.0.0.1:80\"\n",
    a_grant_type_that_is_none: but("client_credentials", "client_credential"),
    a_grant_type_of_a_later_version: but("client_credentials", "jwt_bearer"),
    a_method_of_a_later_version: but("client_id ", "token_endpoint_auth_method = \"private_key_jwt\"\nclient_id "),
    a_store_of_a_later_version: and("[store]\nkind = \"redis\"\n"),
    r147_a_proxy_that_would_open_tls_without_a_ca: and("[proxy]\nlisten = \"127.0.0.1:3128\"\n"),
    a_proxy_with_half_a_ca: and("[proxy]\nlisten = \"127.0.0.1:3128\"\nca = { certificate = \"/nowhere/ca.pem\" }\n"),
    a_proxy_with_mistakes: and("[proxy]\nunmatched = \"allow\"\nca = { certificate = \"/nowhere/ca.pem\", key = \"/nowhere/ca.key\" }\nallow_origins = [\"app.example\"]\nallow_hosts = [\"a\"]\n"),
    r012_networks_that_are_none: but("https://shop.example\"\ntoken ", "http://127.0.0.1:1\"\ntoken ") + "[proxy]\nlisten = \"127.0.0.1:3128\"\nunmatched = \"tunnel\"\nallow_addresses = [\"10.0.0.0/40\", \"localhost\"]\n",
    r012_networks_where_everything_unmatched_is_refused: but("https://shop.example\"\ntoken ", "http://127.0.0.1:1\"\ntoken ") + "[proxy]\nlisten = \"0.0.0.0:3128\"\nallow_addresses = [\"10.0.0.0/8\"]\n",
    an_issuer_with_a_query: but("client_id ", "issuer = \"https://id.example/?tenant=1\"\nclient_id "),
    an_issuer_that_is_relative: but("client_id ", "base_url = \"https://id.example\"\nissuer = \"/realms/a\"\nclient_id "),
    an_issuer_that_is_misspelt: but("token_endpoint = \"https://shop.example/token\"", "isuer = \"https://shop.example\""),
    neither_a_token_endpoint_nor_an_issuer: but("token_endpoint = \"https://shop.example/token\"\n", ""),
    r011_cleartext_to_an_issuer: but("token_endpoint = \"https://shop.example/token\"", "issuer = \"http://shop.example\""),
    what_several_urls_lead_to_is_said_once: but("token_endpoint = \"https://shop.example/token\"", "token_endpoint = \"/token\"\nrevocation_endpoint = \"/revoke\"\nintrospection_endpoint = \"/introspect\"\nbase_url = \"shop.example:443\"\ntls = { ca = \"/nowhere/ca.pem\" }"),
    a_field_that_bearward_sets: and("headers = { host = \"a\", authorization = \"b\" }\n"),
    a_rule_that_is_none: and("token_invalid = \"any401\"\n"),
    a_rule_without_its_text: and("token_invalid = { status = 401, pointer = \"error\" }\n"),
    a_guard_without_a_listener: but("listen = \"127.0.0.1:8102\"", "path = \"/a\"\nallow_hosts = [\"a\"]") + "[gateway]\nlisten = \"127.0.0.1:80\"\n",
    redirected_to_a_unix_socket: but("https://shop.example\"\ntoken ", "http://127.0.0.1:1\"\ntoken ") + "[transparent]\nlisten = \"unix:/a\"\n",
    users_of_a_port: and("allow_users = [1000]\n"),
    users_by_name: but("listen = \"127.0.0.1:8102\"", "listen = \"unix:/a\"\nallow_users = [\"www-data\"]"),
    a_subject_header_without_a_subject: and("[tokens.c]\ngrant_type = \"request\"\nurl = \"https://id.example/c\"\nsubject_header = \"x-c\"\n"),
    a_name_that_cannot_be_a_label: and("[upstreams.\"a b\"]\nurl = \"https://a.example\"\nlisten = \"127.0.0.1:1\"\n"),
    one_key_twice: but("client_id ", "client_id = \"other\"\nclient_id "),
    a_secret_that_does_not_end: but("client_secret  = { env = \"SECRET\" }", "client_secret  = \"abc"),
    a_text_that_does_not_end: but("client_id      = \"app\"", "client_id      = \"app"),
    two_syntax_errors_and_an_unknown_key: and("http = \nfoo = 1\npath = /shop\n"),
    three_mistakes_are_shown_at_once: "workers = \"two\"\n".to_owned() + &but("client_id ", "clientid ").replace("token  = \"shop\"", "token  = \"store\""),
}

#[test]
fn three_mistakes_are_three_problems_in_the_order_of_the_file() {
    let text = "workers = \"two\"\n[log]\nlevel = \"loud\"\n[admin]\nlisten = 1\n";
    let problems = super::parse(text).unwrap_err();
    let positions: Vec<_> = problems.iter().map(|problem| problem.position().unwrap()).collect();
    assert_eq!(positions, [(1, 11), (3, 9), (5, 10)]);
    assert_eq!(problems.len(), 3);
}

#[test]
fn a_file_that_is_not_there_is_a_problem() {
    let problems =
        crate::config::Config::load_with(Some("/nowhere/bearward.toml".as_ref()), &super::env).unwrap_err();
    insta::assert_snapshot!(problems.to_string(), @r"
    error: cannot read the configuration /nowhere/bearward.toml: it does not exist
     |
     = help: name a file that does with -c FILE or in BEARWARD_CONFIG
    ");
}

#[test]
fn colours_are_there_only_when_asked() {
    let problems = super::parse("workers = 0\n").unwrap_err();
    assert!(!problems.render(false).contains('\u{1b}'));
    assert!(problems.render(true).contains('\u{1b}'));
}
