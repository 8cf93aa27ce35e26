//! TLS towards the API and the token endpoint: private roots, HTTP/2 where it is offered, and nothing for who is not trusted.

#[path = "../../src/upstream/testing.rs"]
#[allow(dead_code, reason = "the unit tests that it is shared with use more of it")]
pub mod server;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};

use self::server::{Ca, TlsServer, server_config};
use crate::support::{PATIENCE, application, ask, start};

/// What reached the server: version, path, Authorization, content.
type Seen = Arc<Mutex<Vec<(Version, String, String, Bytes)>>>;

/// An authorization server and an API behind one certificate. The first token is rejected wherever it is shown.
async fn provider(ca: &Ca, offered: &[&str], seen: &Seen) -> TlsServer {
    let seen = seen.clone();
    served(ca, "localhost", offered, move |request| answer(request, seen.clone())).await
}

/// A server of that name that answers so.
pub(crate) async fn served<A>(
    ca: &Ca,
    name: &str,
    offered: &[&str],
    answer: impl Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
) -> TlsServer
where
    A: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    TlsServer::new(server_config(ca.identity(name), offered, None), move |stream| {
        let answer = answer.clone();
        async move {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let service = service_fn(answer);
            let io = TokioIo::new(stream);
            // How a connection ends is bearward's to decide.
            let _ = if http2 {
                http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
            } else {
                http1::Builder::new().serve_connection(io, service).await
            };
        }
    })
    .await
}

async fn answer(request: Request<Incoming>, seen: Seen) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let content = body.collect().await.unwrap().to_bytes();
    let authorization =
        head.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let path = head.uri.path().to_owned();
    let mut seen = seen.lock().unwrap();
    seen.push((head.version, path.clone(), authorization.clone().unwrap_or_default(), content.clone()));
    let tokens = seen.iter().filter(|(_, path, ..)| path == "/token").count();
    let (status, content) = match (path.as_str(), authorization.as_deref()) {
        ("/token", _) => (
            StatusCode::OK,
            format!(r#"{{"access_token":"t{tokens}","token_type":"Bearer","expires_in":300}}"#).into(),
        ),
        (_, Some("Bearer t1")) => (StatusCode::UNAUTHORIZED, r#"{"error":{"key":"token.invalid"}}"#.into()),
        (_, Some("Bearer t2")) => (StatusCode::OK, content),
        _ => (StatusCode::FORBIDDEN, Bytes::new()),
    };
    let answer = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    Ok(answer.body(Full::new(content)).unwrap())
}

fn configuration(port: u16, tls: &str) -> String {
    format!(
        r#"
        store = {{ kind = "memory" }}

        [tokens.api]
        grant_type = "client_credentials"
        token_endpoint = "https://localhost:{port}/token"
        client_id = "app"
        client_secret = "secret"
        {tls}

        [upstreams.api]
        url = "https://localhost:{port}"
        token = "api"
        listen = "127.0.0.1:0"
        {tls}
        "#
    )
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered_and_a_rejection_is_replayed_over_it() {
    for (offered, version) in [(&["h2", "http/1.1"][..], Version::HTTP_2), (&["http/1.1"], Version::HTTP_11)]
    {
        let (ca, seen) = (Ca::new(), Seen::default());
        let provider = provider(&ca, offered, &seen).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, pem(&ca)).unwrap();
        let tls = format!("tls = {{ ca = \"{}\" }}", file.display());
        let bearward = start(&configuration(provider.address.port(), &tls));
        let mut application = application(&bearward, "api");
        // The first token has to have been accepted once before its rejection brings the next one at once; here it never
        // is, and the request waits out one short step of the backoff.
        let request = Request::post("/orders").body(Bytes::from_static(b"an order")).unwrap();
        let answer = tokio::time::timeout(PATIENCE, application.send(request)).await.unwrap().unwrap();
        assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::OK, &b"an order"[..]), "{offered:?}");
        let seen = seen.lock().unwrap().clone();
        let orders: Vec<_> = seen.iter().filter(|(_, path, ..)| path == "/orders").collect();
        assert_eq!(orders.len(), 2, "sent, rejected, sent once more");
        assert!(seen.iter().all(|(spoken, ..)| *spoken == version), "{seen:?}");
        assert!(orders.iter().all(|(.., content)| content.as_ref() == b"an order"));
        bearward.stop().await;
    }
}

/// The settings reach what the metadata names; the server name is said of the issuer's host alone.
#[tokio::test]
async fn an_issuer_and_the_endpoint_it_names_elsewhere_are_reached_with_the_same_roots() {
    let (ca, seen) = (Ca::new(), Seen::default());
    let recorded = seen.clone();
    let elsewhere =
        served(&ca, "127.0.0.1", &["http/1.1"], move |request| answer(request, recorded.clone())).await;
    let token_endpoint = format!("https://127.0.0.1:{}/token", elsewhere.address.port());
    let issuer = served(&ca, "id.internal", &["http/1.1"], move |request| {
        let host = request.headers()[header::HOST].to_str().unwrap().to_owned();
        let metadata =
            serde_json::json!({ "issuer": format!("https://{host}"), "token_endpoint": token_endpoint });
        async move { Ok(Response::new(Full::new(Bytes::from(metadata.to_string())))) }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, pem(&ca)).unwrap();
    let api = elsewhere.address.port();
    let bearward = start(&format!(
        r#"
        store = {{ kind = "memory" }}

        [tokens.api]
        grant_type = "client_credentials"
        issuer = "https://localhost:{}"
        client_id = "app"
        client_secret = "secret"
        tls = {{ ca = "{ca}", server_name = "id.internal" }}

        [upstreams.api]
        url = "https://127.0.0.1:{api}"
        token = "api"
        listen = "127.0.0.1:0"
        tls = {{ ca = "{ca}" }}
        "#,
        issuer.address.port(),
        ca = file.display(),
    ));
    let answer = ask(&mut application(&bearward, "api"), "/orders").await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    let paths: Vec<_> = seen.lock().unwrap().iter().map(|(_, path, ..)| path.clone()).collect();
    assert_eq!(paths[0], "/token", "{paths:?}");
    bearward.stop().await;
}

#[tokio::test]
async fn r011_who_shows_a_certificate_that_is_not_trusted_gets_no_secret_and_no_token() {
    let (ca, seen) = (Ca::new(), Seen::default());
    let provider = provider(&ca, &["http/1.1"], &seen).await;
    let mut configuration = configuration(provider.address.port(), "");
    let bearward = start(&configuration);
    let answer = ask(&mut application(&bearward, "api"), "/orders").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    bearward.stop().await;

    let token = configuration.find("[tokens.api]").unwrap()..configuration.find("[upstreams.api]").unwrap();
    configuration.replace_range(token, "[tokens.api]\ngrant_type = \"static\"\naccess_token = \"t2\"\n");
    let bearward = start(&configuration);
    let answer = ask(&mut application(&bearward, "api"), "/orders").await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY, "{answer:?}");
    assert_eq!(answer.headers()["proxy-status"], "bearward; error=tls_certificate_error");
    assert!(String::from_utf8_lossy(answer.body()).contains("tls.ca"), "it says what to set: {answer:?}");
    assert_eq!(seen.lock().unwrap().len(), 0, "not one request came through");
}

pub(crate) fn pem(ca: &Ca) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let octets = BASE64_STANDARD.encode(ca.root());
    format!("-----BEGIN CERTIFICATE-----\n{octets}\n-----END CERTIFICATE-----\n")
}
