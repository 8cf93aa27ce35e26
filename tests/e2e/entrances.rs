//! The ways in: which upstream a request reaches, and which requests reach none.
//!
//! Requests are written by hand, because what is refused here no HTTP library would send.

use std::net::SocketAddr;

use bearward::{
    app::Running,
    config::Config,
    demo::simulator::{AuthorizationServer, Cybrid, ResourceServer, Resources, Simulator, cybrid},
};
use serde_json::Value;

use crate::support::{
    raw::{self, exchange, exchange_unix, status},
    start,
};

/// An API and the authorization server whose tokens it takes.
struct Provider {
    authorization_server: Simulator,
    api: Resources,
}

impl Provider {
    async fn start() -> Self {
        let authorization_server = AuthorizationServer::new().start().await.unwrap();
        let api = ResourceServer::new(&authorization_server).start().await.unwrap();
        Self { authorization_server, api }
    }

    /// A configuration with a token for this API, and these tables besides.
    fn configuration(&self, tables: &str) -> String {
        format!(
            "store = {{ kind = \"memory\" }}\n{}\n[tokens.api]\ngrant_type = \"client_credentials\"\n\
             token_endpoint = \"{}/token\"\nclient_id = \"app\"\nclient_secret = \"secret\"\n",
            tables.replace("API", &self.api.url()),
            self.authorization_server.url()
        )
    }

    fn seen(&self) -> u64 {
        self.api.counts().api_requests
    }
}

const OWN_PORT: &str = "[upstreams.api]\nurl = \"API\"\ntoken = \"api\"\nlisten = \"127.0.0.1:0\"";

/// bearward with one upstream, on a port of its own, with these further keys.
async fn own_port(keys: &str) -> (Provider, Running, SocketAddr) {
    let provider = Provider::start().await;
    let bearward = start(&provider.configuration(&format!("{OWN_PORT}\n{keys}")));
    let address = bearward.address("api").unwrap();
    (provider, bearward, address)
}

/// What the API says it was asked for.
fn echo(answer: &[u8]) -> Value {
    let (head, content) = raw::parts(answer);
    assert_eq!(status(answer), 200, "{head}{}", String::from_utf8_lossy(content));
    serde_json::from_slice(content).unwrap()
}

/// An answer of bearward's own, with no word of cross-origin rules in it.
fn assert_own(answer: &[u8], expected: u16, what: &str) {
    let (head, content) = raw::parts(answer);
    assert_eq!(status(answer), expected, "{what}: {head}{}", String::from_utf8_lossy(content));
    let head = head.to_ascii_lowercase();
    assert!(head.contains("\r\ncontent-type: application/problem+json\r\n"), "{what}: {head}");
    assert!(head.contains("\r\nproxy-status: bearward; error="), "{what}: {head}");
    assert!(!head.contains("access-control-"), "{what}: {head}");
    let problem: Value = serde_json::from_slice(content).unwrap();
    assert_eq!(problem["status"], expected, "{what}");
    for member in ["title", "detail"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{what}: {problem}");
    }
}

#[tokio::test]
async fn r013_on_a_port_of_its_own_path_and_query_arrive_octet_for_octet() {
    let (provider, _bearward, port) = own_port("").await;
    for target in ["/", "/orders?page=1&sort=%20a+b", "/a/../b/%2E%2e/%2f;p=1//c?x=/../y", "/?", "//double"] {
        let answer = exchange(port, raw::get(target, "localhost", "")).await;
        assert_eq!(echo(&answer)["target"], target);
    }
    let answer = exchange(port, raw::get("/orders", "localhost", "X-Order: 7\r\n")).await;
    let fields = echo(&answer)["fields"].to_string();
    assert!(fields.contains(r#"["x-order","7"]"#) && fields.contains(r#"["via","1.1 bearward-"#), "{fields}");
    let host = provider.api.address().to_string();
    assert!(fields.contains(&format!(r#"["host","{host}"]"#)), "the Host is the upstream's: {fields}");
}

#[tokio::test]
async fn the_gateway_tells_upstreams_apart_by_path_and_strips_it() {
    let (one, two) = (Provider::start().await, Provider::start().await);
    let tables = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\n\
         [upstreams.shop]\nurl = \"API/v2\"\ntoken = \"api\"\npath = \"/shop\"\n\
         [upstreams.special]\nurl = \"{}\"\npath = \"/shop/special\"\n",
        two.api.url()
    );
    let bearward = start(&one.configuration(&tables));
    let gateway = bearward.address("gateway").unwrap();
    for (target, arrives) in [
        ("/shop", "/v2"),
        ("/shop/", "/v2/"),
        ("/shop/orders?page=1", "/v2/orders?page=1"),
        ("/shop/shop/a%20b", "/v2/shop/a%20b"),
        ("/shop/specially", "/v2/specially"),
    ] {
        let answer = exchange(gateway, raw::get(target, "localhost", "")).await;
        assert_eq!(echo(&answer)["target"], arrives, "{target}");
    }
    assert_eq!((one.seen(), one.api.counts().bare_requests_seen), (5, 0));
    // The longer prefix wins, and it has no token: the API turns it away by itself.
    let answer = exchange(gateway, raw::get("/shop/special/orders", "localhost", "")).await;
    assert_eq!(status(&answer), 401);
    assert_eq!(two.api.requests()[0].call.target, "/orders");
    assert_eq!(two.api.counts().bare_requests_seen, 1, "another upstream's token does not go there");
    for target in ["/", "/shopping", "/other/shop/orders", "/Shop/orders"] {
        assert_own(&exchange(gateway, raw::get(target, "localhost", "")).await, 404, target);
    }
    assert_eq!((one.seen(), two.seen()), (5, 1));
}

#[tokio::test]
async fn r002_r022_the_gateway_tells_upstreams_apart_by_host_and_serves_no_other() {
    let provider = Provider::start().await;
    let tables = "[gateway]\nlisten = \"127.0.0.1:0\"\n\
                  [upstreams.api]\nurl = \"API\"\ntoken = \"api\"\nhost = \"shop.local\"\n";
    let bearward = start(&provider.configuration(tables));
    let gateway = bearward.address("gateway").unwrap();
    for host in ["shop.local", "SHOP.local:8080"] {
        assert_eq!(echo(&exchange(gateway, raw::get("/shop/x", host, "")).await)["target"], "/shop/x");
    }
    let seen = provider.seen();
    assert_own(
        &exchange(gateway, raw::get("/x", "localhost", "")).await,
        404,
        "a known Host without upstream",
    );
    for host in ["rebound.example", "shop.local.rebound.example", "10.9.8.7", "xshop.local"] {
        assert_own(&exchange(gateway, raw::get("/x", host, "")).await, 421, host);
    }
    assert_eq!(provider.seen(), seen, "nothing of it is sent on");
}

#[tokio::test]
async fn r002_r004_r022_a_port_serves_its_own_hosts_only() {
    let (provider, _bearward, port) = own_port("allow_hosts = [\"till\"]").await;
    for host in [&port.to_string(), "localhost", "[::1]:99", "till", "Till:80"] {
        assert_eq!(status(&exchange(port, raw::get("/", host, "")).await), 200, "{host}");
    }
    let (seen, connections) = (provider.seen(), provider.api.connections());
    for host in ["rebound.example", "tills", "169.254.169.254"] {
        assert_own(&exchange(port, raw::get("/", host, "")).await, 421, host);
    }
    let absolute = "GET http://rebound.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let refused = exchange(port, absolute).await;
    assert_own(&refused, 421, absolute);
    assert!(String::from_utf8_lossy(&refused).contains("no forward proxy"), "what such a target is for");
    for fields in ["", "Host: localhost\r\nHost: localhost\r\n", "Host: a b\r\n", "Host: user@localhost\r\n"]
    {
        let request = format!("GET / HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
        assert_own(&exchange(port, &request).await, 400, &request);
    }
    assert_eq!((provider.seen(), provider.api.connections()), (seen, connections), "nothing is connected");
}

#[tokio::test]
async fn r023_a_page_of_another_site_is_refused_and_one_that_is_allowed_is_not() {
    let (provider, _bearward, port) = own_port("allow_origins = [\"https://tool.example\"]").await;
    for fields in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: http://localhost:1\r\n",
        "Origin: https://tool.example\r\nOrigin: https://evil.example\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
    ] {
        assert_own(&exchange(port, raw::get("/", "localhost", fields)).await, 403, fields);
    }
    assert_eq!(provider.seen(), 0, "nothing of it is sent on");
    for fields in [
        "Origin: https://tool.example\r\nSec-Fetch-Site: cross-site\r\n",
        "Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: none\r\n",
    ] {
        assert_eq!(status(&exchange(port, raw::get("/", "localhost", fields)).await), 200, "{fields}");
    }
}

#[tokio::test]
async fn r024_a_preflight_gets_no_permission_of_ours() {
    let (provider, _bearward, port) = own_port("allow_origins = [\"https://tool.example\"]").await;
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /orders HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: PUT\r\n\
             Access-Control-Request-Headers: x-order\r\nConnection: close\r\n\r\n"
        )
    };
    assert_own(&exchange(port, preflight("https://evil.example")).await, 403, "a foreign preflight");
    assert_eq!(provider.seen(), 0);
    let answer = exchange(port, preflight("https://tool.example")).await;
    assert_eq!(echo(&answer)["method"], "OPTIONS", "the API decides");
    let (head, _) = raw::parts(&answer);
    assert!(!head.to_ascii_lowercase().contains("access-control-"), "{head}");
}

#[tokio::test]
async fn r013_a_path_that_two_readers_could_take_for_two_is_refused_on_a_prefix() {
    let provider = Provider::start().await;
    let tables = "[gateway]\nlisten = \"127.0.0.1:0\"\n\
                  [upstreams.api]\nurl = \"API\"\ntoken = \"api\"\npath = \"/shop\"\n";
    let bearward = start(&provider.configuration(tables));
    let gateway = bearward.address("gateway").unwrap();
    for path in [
        "/shop/..",
        "/shop/../admin",
        "/shop/./orders",
        "/shop/%2e%2e/admin",
        "/shop/%2E./admin",
        "/shop/a%2fb",
        "/shop/a%5Cb",
        "/shop/a\\b",
        "/shop/a;b",
        "/shop/..%3bx/admin",
    ] {
        assert_own(&exchange(gateway, raw::get(path, "localhost", "")).await, 400, path);
    }
    assert_eq!(provider.seen(), 0, "nothing of it is sent on");
    let answer = exchange(gateway, raw::get("/shop/...a/b%20c?x=/../%2e;y", "localhost", "")).await;
    assert_eq!(echo(&answer)["target"], "/...a/b%20c?x=/../%2e;y");
}

#[tokio::test]
async fn r016_connect_and_trace_are_refused_aloud() {
    let (provider, _bearward, port) = own_port("").await;
    for (what, request) in [
        // Whatever its authority: what is asked for is not done, and the words say that.
        ("CONNECT", "CONNECT api.example:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        ("CONNECT", "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\nConnection: close\r\n\r\n"),
        ("TRACE", "TRACE /orders HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    ] {
        let answer = exchange(port, request).await;
        assert_own(&answer, 501, what);
        let (_, problem) = raw::parts(&answer);
        assert!(String::from_utf8_lossy(problem).contains(what), "it says what is not done: {what}");
    }
    assert_eq!(provider.seen(), 0, "no token goes out on any of them");
}

#[tokio::test]
async fn a_request_that_names_no_subject_is_the_applications_mistake() {
    let cybrid = Cybrid::new().start().await.unwrap();
    let url = cybrid.url();
    let bearward = start(&format!(
        r#"
        store = {{ kind = "memory" }}
        [tokens.bank]
        preset = "cybrid"
        base_url = "{url}"
        client_id = "{}"
        client_secret = "{}"
        scope = "customers:read customers:write"
        [tokens.customer]
        preset = "cybrid"
        base_url = "{url}"
        grant_type = "request"
        authorize_with = "bank"
        body = {{ customer_guid = "{{subject}}", scopes = ["trades:read"] }}
        subject_header = "X-Customer"
        [upstreams.api]
        preset = "cybrid"
        url = "{url}"
        token = "customer"
        listen = "127.0.0.1:0"
        "#,
        cybrid::CLIENT_ID,
        cybrid::CLIENT_SECRET
    ));
    let port = bearward.address("api").unwrap();
    let [ada, ben, ..] = cybrid::CUSTOMERS;
    for fields in
        [String::new(), "X-Customer:\r\n".to_owned(), format!("X-Customer: {ada}\r\nX-Customer: {ben}\r\n")]
    {
        let answer = exchange(port, raw::get("/api/trades", "localhost", &fields)).await;
        assert_own(&answer, 400, &fields);
        let (_, content) = raw::parts(&answer);
        assert!(String::from_utf8_lossy(content).contains("x-customer"), "it says which field: {fields}");
    }
    assert_eq!(cybrid.counts().api_requests, 0, "nothing is sent on, and no customer's token is asked for");
    let answer =
        exchange(port, raw::get("/api/trades", "localhost", &format!("x-customer: {ben}\r\n"))).await;
    assert_eq!(echo(&answer)["subject"], ben);
    let sent = cybrid.api_requests().pop().unwrap();
    assert!(!sent.call.fields.contains_key("x-customer"), "the field stays behind");
}

#[tokio::test]
async fn r021_a_unix_socket_serves_its_owner() {
    use std::os::unix::fs::PermissionsExt;

    let provider = Provider::start().await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("api.sock");
    let listen = format!("listen = \"unix:{}\"", socket.display());
    let bearward = start(&provider.configuration(&OWN_PORT.replace("listen = \"127.0.0.1:0\"", &listen)));
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let answer = exchange_unix(&socket, raw::get("/orders?page=1", "localhost", "")).await;
    assert_eq!(echo(&answer)["target"], "/orders?page=1");
    assert_own(&exchange_unix(&socket, raw::get("/", "rebound.example", "")).await, 421, "a foreign Host");
    bearward.stop().await;
    assert_eq!(provider.seen(), 1);
}

#[tokio::test]
async fn r021_a_listener_beyond_loopback_has_to_be_asked_for() {
    let provider = Provider::start().await;
    let wide = OWN_PORT.replace("127.0.0.1:0", "0.0.0.0:0");
    let problems = Config::parse(&provider.configuration(&wide), "test.toml").unwrap_err().to_string();
    assert!(problems.contains("expose = true"), "{problems}");

    let bearward = start(&provider.configuration(&format!("{wide}\nexpose = true")));
    let mut port = bearward.address("api").unwrap();
    port.set_ip([127, 0, 0, 1].into());
    assert_eq!(status(&exchange(port, raw::get("/", &port.to_string(), "")).await), 200);
    assert_own(
        &exchange(port, raw::get("/", "rebound.example", "")).await,
        421,
        "exposed is not open to every Host",
    );
}

#[tokio::test]
async fn r014_r017_the_applications_own_credential_is_replaced_and_passed_only_where_there_is_no_token() {
    let (provider, _bearward, port) = own_port("").await;
    let own = "Authorization: Basic b3duOm93bg==\r\nAuthorization: Bearer own\r\n";
    for named in ["", "Connection: authorization\r\n", "Connection: close, Authorization\r\n"] {
        let answer = exchange(port, raw::get("/", "localhost", &format!("{named}{own}"))).await;
        assert_eq!(status(&answer), 200, "{named}: {}", String::from_utf8_lossy(&answer));
        let call = provider.api.requests().pop().unwrap().call;
        assert_eq!(call.fields.get_all("authorization").iter().count(), 1, "{named}");
        assert_eq!(call.bearer(), provider.authorization_server.active_tokens().pop().as_deref(), "{named}");
    }

    let open = OWN_PORT.replace("token = \"api\"", "keep_authorization = true");
    let bearward = start(provider.configuration(&open).split("[tokens.api]").next().unwrap());
    let port = bearward.address("api").unwrap();
    exchange(port, raw::get("/", "localhost", "Authorization: Basic b3duOm93bg==\r\n")).await;
    let fields = provider.api.requests().pop().unwrap().call.fields;
    assert_eq!(fields["authorization"], "Basic b3duOm93bg==");
}
