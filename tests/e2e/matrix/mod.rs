//! Every way in × every protocol of an upstream × every kind of content × everything that may happen: what has to come of it is
//! computed from the axes, and each cell is held to that.
//!
//! r060: what an upstream receives over HTTP/1.1 goes through the strict checker, every octet of it.

mod application;
mod upstream;

use std::{collections::BTreeMap, fmt::Write, panic::AssertUnwindSafe};

use base64::{Engine, engine::general_purpose::STANDARD};
use bearward::{
    app::Running,
    ca::{Authority, Files, Hosts, Overwrite},
    clock::Clock,
    demo::simulator::{AuthorizationServer, Simulator},
};
use futures_util::{FutureExt, future::join_all};
use http::Method;

use self::{
    application::{Doors, Outcome, ask},
    upstream::{PATIENCE, REJECTION, SCOPE, Upstream},
};
use crate::{support::start, tls::server::Ca};

macro_rules! axis {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $value:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$each])* $value),+ }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$value),+];

            pub fn name(self) -> &'static str {
                match self { $(Self::$value => $text),+ }
            }

            #[allow(dead_code, reason = "not every axis is read back")]
            pub fn named(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == text)
            }
        }
    };
}

axis! {
    /// How a request reaches bearward.
    Way {
        OwnPort = "own port",
        GatewayPath = "gateway by path",
        GatewayHost = "gateway by Host",
        Unix = "Unix socket",
        Tls = "TLS listener",
        Http2Known = "own port, HTTP/2 with prior knowledge",
        Http2GatewayPath = "gateway by path, HTTP/2",
        Http2GatewayHost = "gateway by Host, HTTP/2",
        Http2Unix = "Unix socket, HTTP/2",
        Http2Tls = "TLS listener, HTTP/2",
        Absolute = "forward proxy, absolute form",
        Http2Absolute = "forward proxy, HTTP/2",
        /// With TLS inside where the upstream has it; these are opened.
        Tunnel = "tunnel",
        Http2Tunnel = "tunnel, HTTP/2 inside",
        TunnelInHttp2 = "tunnel that is a stream of HTTP/2",
    }
}

axis! {
    /// What the upstream speaks.
    Spoken {
        Http1 = "HTTP/1.1",
        Http1Tls = "HTTP/1.1 over TLS",
        /// It offers both; an upgrade takes HTTP/1.1.
        Http2Tls = "HTTP/2 over TLS",
        Http2Known = "HTTP/2 with prior knowledge",
    }
}

axis! {
    /// What is sent.
    Body {
        Nothing = "nothing",
        Small = "small",
        Chunked = "of unknown length",
        /// Longer than replay_limit.
        Long = "long",
        Trailers = "with trailers",
        Expect = "with Expect",
        WebSocket = "WebSocket",
        Events = "event stream",
        Bidi = "stream both ways",
    }
}

axis! {
    /// What happens to it.
    Fate {
        Accepted = "accepted",
        Rejected = "rejected once",
        Scope = "insufficient scope",
        /// Before an answer.
        Cut = "cut",
        AnswerCut = "cut in the answer",
    }
}

impl Way {
    pub fn is_http2(self) -> bool {
        matches!(
            self,
            Self::Http2Known
                | Self::Http2GatewayPath
                | Self::Http2GatewayHost
                | Self::Http2Unix
                | Self::Http2Tls
                | Self::Http2Absolute
                | Self::Http2Tunnel
        )
    }

    /// Whether it leads through the forward proxy.
    pub fn is_forward(self) -> bool {
        matches!(
            self,
            Self::Absolute | Self::Http2Absolute | Self::Tunnel | Self::Http2Tunnel | Self::TunnelInHttp2
        )
    }
}

impl Spoken {
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Http1Tls | Self::Http2Tls)
    }

    fn configured(self) -> &'static str {
        match self {
            Self::Http1 | Self::Http1Tls => "1",
            Self::Http2Tls => "auto",
            Self::Http2Known => "2",
        }
    }
}

const REPLAY_LIMIT: usize = 8 << 10;

impl Body {
    pub fn method(self) -> Method {
        match self {
            Self::Nothing | Self::Events | Self::WebSocket => Method::GET,
            Self::Chunked | Self::Long => Method::PUT,
            Self::Small | Self::Trailers | Self::Expect | Self::Bidi => Method::POST,
        }
    }

    pub fn content(self) -> Vec<u8> {
        match self {
            Self::Nothing | Self::Events | Self::WebSocket => Vec::new(),
            Self::Long => (0..20 * REPLAY_LIMIT).map(|at| (at % 251) as u8).collect(),
            Self::Bidi => b"m1m2".to_vec(),
            Self::Small | Self::Chunked | Self::Trailers | Self::Expect => b"hello small".to_vec(),
        }
    }

    /// Whether all of it can be sent again.
    fn is_held(self) -> bool {
        self.content().len() <= REPLAY_LIMIT
    }
}

/// What has to come of a cell.
#[derive(Debug)]
struct Expected {
    status: u16,
    sendings: usize,
    content: Option<String>,
    trailers: &'static [(&'static str, &'static str)],
    whole: bool,
    /// The answer is bearward's own.
    own: bool,
}

/// The rules, once. None where a cell makes no sense: what was cut in a tunnel its ends must find out themselves.
fn expected(way: Way, body: Body, fate: Fate) -> Option<Expected> {
    let accepted = Expected {
        status: if body == Body::WebSocket && !way.is_http2() { 101 } else { 200 },
        sendings: 1,
        content: Some(match body {
            Body::WebSocket => "heard hello".to_owned(),
            Body::Events => "data: 1\n\ndata: 2\n\ndata: 3\n\n".to_owned(),
            Body::Bidi => "m1m2".to_owned(),
            _ => digest(&body.content()),
        }),
        trailers: match body {
            Body::Trailers => &[("x-answer", "1"), ("x-sum", "7")],
            Body::Bidi => &[("grpc-status", "0")],
            _ => &[],
        },
        whole: true,
        own: false,
    };
    let refused = |text: &str| Expected {
        status: 401,
        sendings: 1,
        content: Some(text.to_owned()),
        trailers: &[],
        whole: true,
        own: false,
    };
    Some(match fate {
        Fate::Accepted => accepted,
        // r117: once more, if the whole body is held; else the rejection is delivered.
        Fate::Rejected if body.is_held() => Expected { sendings: 2, ..accepted },
        Fate::Rejected => refused(REJECTION),
        // r120: a new token would not have more.
        Fate::Scope => refused(SCOPE),
        // r118: only what may take effect twice.
        Fate::Cut => Expected {
            status: 502,
            sendings: if body.method().is_idempotent() && body.is_held() { 2 } else { 1 },
            content: None,
            trailers: &[],
            whole: true,
            own: true,
        },
        Fate::AnswerCut if body == Body::WebSocket => return None,
        // r088
        Fate::AnswerCut => {
            Expected { content: Some("half".to_owned()), trailers: &[], whole: false, ..accepted }
        }
    })
}

/// What is wrong with what came of a cell.
fn judge(expected: &Expected, outcome: &Outcome, tokens: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |right: bool, what: String| {
        if !right {
            wrong.push(what);
        }
    };
    check(outcome.status == expected.status, format!("status {}, not {}", outcome.status, expected.status));
    check(tokens.len() == expected.sendings, format!("{} sendings, not {}", tokens.len(), expected.sendings));
    let renewed = tokens.len() < 2 || (tokens[0] != tokens[1]) == (expected.status != 502);
    check(renewed, "a rejection brings another token, and nothing else does".to_owned());
    check(outcome.whole == expected.whole, format!("whole: {}", outcome.whole));
    if let Some(content) = &expected.content {
        check(outcome.content == *content, format!("content {:?}, not {content:?}", outcome.content));
    }
    let own = outcome.fields.contains_key("proxy-status");
    check(own == expected.own, format!("bearward's own: {own}"));
    let trailers: BTreeMap<_, _> =
        outcome.trailers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let wanted: BTreeMap<_, _> = expected.trailers.iter().copied().collect();
    check(trailers == wanted, format!("trailers {trailers:?}, not {wanted:?}"));
    for gone in ["keep-alive", "x-own", "transfer-encoding", "proxy-connection"] {
        let framing = gone == "transfer-encoding";
        check(framing || !outcome.fields.contains_key(gone), format!("{gone} came"));
    }
    wrong
}

fn pem(what: &str, octets: &[u8]) -> String {
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", STANDARD.encode(octets))
}

pub fn digest(content: &[u8]) -> String {
    let sum = content.iter().fold(7u64, |sum, octet| sum.wrapping_mul(31).wrapping_add(u64::from(*octet)));
    format!("{} octets, {sum:x}", content.len())
}

pub fn accept_of(key: &str) -> String {
    let salted = [key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    let algorithm = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
    STANDARD.encode(aws_lc_rs::digest::digest(algorithm, salted.as_bytes()))
}

/// One bearward in front of one upstream, with every way in.
struct Stage {
    _authorization_server: Simulator,
    upstream: Upstream,
    bearward: Running,
    doors: Doors,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn new(spoken: Spoken) -> Self {
        let (ca, folder) = (Ca::new(), tempfile::tempdir().unwrap());
        let authorization_server = AuthorizationServer::new().start().await.unwrap();
        let upstream = Upstream::start(spoken, &ca).await;
        let (root, unix) = (folder.path().join("ca.pem"), folder.path().join("api.sock"));
        std::fs::write(&root, pem("CERTIFICATE", &ca.root())).unwrap();
        let (chain, key) = ca.identity("localhost");
        std::fs::write(folder.path().join("c.pem"), pem("CERTIFICATE", &chain[0])).unwrap();
        std::fs::write(folder.path().join("k.pem"), pem("PRIVATE KEY", key.secret_der())).unwrap();
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let files = Files::in_folder(&folder.path().join("authority"));
        std::fs::create_dir(folder.path().join("authority")).unwrap();
        let authority = Authority::make(&files, &Hosts::any(), Overwrite::Never, &Clock::system()).unwrap();
        let keys = format!(
            "url = \"{}\"\ntoken = \"api\"\nhttp = \"{}\"\nreplay_limit = \"{REPLAY_LIMIT}B\"\n{}",
            upstream.url,
            spoken.configured(),
            if spoken.is_tls() {
                format!("tls = {{ ca = \"{}\" }}\n", root.display())
            } else {
                String::new()
            },
        );
        let bearward = start(&format!(
            "store = {{ kind = \"memory\" }}\n[tokens.api]\ngrant_type = \"client_credentials\"\n\
             token_endpoint = \"{}/token\"\nclient_id = \"app\"\nclient_secret = \"secret\"\n\
             [limits]\nextended_connect = true\n[gateway]\nlisten = \"127.0.0.1:0\"\n\
             [proxy]\nlisten = \"127.0.0.1:0\"\nca = {{ certificate = \"{}\", key = \"{}\" }}\n\
             [upstreams.tls]\nlisten = \"127.0.0.1:0\"\n{keys}\
             listen_tls = {{ certificate = \"{}\", key = \"{}\" }}\n\
             [upstreams.own]\nlisten = \"127.0.0.1:0\"\npath = \"/matrix\"\nhost = \"matrix.local\"\n{keys}\
             [upstreams.unix]\nlisten = \"unix:{}\"\n{keys}",
            authorization_server.url(),
            files.certificate.display(),
            files.key.display(),
            certificate.display(),
            key.display(),
            unix.display(),
        ));
        let doors = Doors {
            own: bearward.address("own").unwrap(),
            gateway: bearward.address("gateway").unwrap(),
            tls: bearward.address("tls").unwrap(),
            root: ca.root(),
            unix,
            proxy: bearward.address("proxy").unwrap(),
            authority: authority.certificate().clone(),
            url: upstream.url.clone(),
        };
        // A token that was never accepted is not replaced at once.
        let cell = upstream.seen.cell("warm");
        ask(Way::OwnPort, &doors, Body::Nothing, Fate::Accepted, "warm", &cell).await;
        Self { _authorization_server: authorization_server, upstream, bearward, doors, _folder: folder }
    }

    /// What its upstream has received and should not have.
    async fn end(self) -> String {
        self.bearward.stop().await;
        let violations = self.upstream.seen.tally.violations();
        violations.iter().fold(String::new(), |all, violation| format!("{all}r060: {violation:?}\n"))
    }

    /// One cell; what is wrong with it.
    async fn cell(&self, way: Way, body: Body, fate: Fate, expected: &Expected) -> Vec<String> {
        let name = format!("{}, {}, {}", way.name(), body.name(), fate.name());
        let cell = self.upstream.seen.cell(&name);
        let asked = AssertUnwindSafe(ask(way, &self.doors, body, fate, &name, &cell)).catch_unwind();
        let outcome = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => return vec!["the application panicked, see above".to_owned()],
            Err(_) => return vec![format!("it hangs after {} sendings", cell.tokens().len())],
        };
        let mut wrong = judge(expected, &outcome, &cell.tokens());
        wrong.extend(cell.problems());
        wrong
    }
}

/// Every cell with this upstream. Those of one fate take turns on one bearward; the fates go on side by side.
#[expect(clippy::print_stdout, reason = "what ran is for people to read, with --nocapture")]
async fn every_cell_with(spoken: Spoken) {
    let (mut ran, mut wrong) = (0, String::new());
    for (cells, problems) in join_all(Fate::ALL.iter().map(|fate| column(spoken, *fate))).await {
        ran += cells;
        wrong.push_str(&problems);
    }
    let skipped = Way::ALL.len() * Body::ALL.len() * Fate::ALL.len() - ran;
    println!("{}: {ran} cells ran, {skipped} make no sense; ways in: {:?}", spoken.name(), Way::ALL);
    assert_eq!(skipped, Way::ALL.len());
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// How many cells ran, and what is wrong with them.
async fn column(spoken: Spoken, fate: Fate) -> (usize, String) {
    let (mut ran, mut wrong) = (0, String::new());
    let mut stage = Stage::new(spoken).await;
    for body in Body::ALL {
        for way in Way::ALL {
            let Some(expected) = expected(*way, *body, fate) else { continue };
            if fate == Fate::Rejected && ran > 0 {
                // An upstream that rejects one good token after the other is not believed for long.
                wrong.push_str(&stage.end().await);
                stage = Stage::new(spoken).await;
            }
            ran += 1;
            let problems = stage.cell(*way, *body, fate, &expected).await;
            if !problems.is_empty() {
                let cell = [way.name(), spoken.name(), body.name(), fate.name()].join(" × ");
                let _ = writeln!(wrong, "{cell}:\n    {}", problems.join("\n    "));
            }
        }
    }
    wrong.push_str(&stage.end().await);
    (ran, wrong)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r018_r060_r066_r088_r117_r118_r120_every_way_in_to_http_1() {
    every_cell_with(Spoken::Http1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r018_r060_r066_r088_r117_r118_r120_every_way_in_to_http_1_over_tls() {
    every_cell_with(Spoken::Http1Tls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r066_r088_r108_r109_r117_r118_r120_every_way_in_to_http_2_over_tls() {
    every_cell_with(Spoken::Http2Tls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r066_r088_r108_r109_r110_r117_r118_r120_every_way_in_to_http_2_with_prior_knowledge() {
    every_cell_with(Spoken::Http2Known).await;
}
