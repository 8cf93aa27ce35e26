//! A web site on a loopback port, for browsers: pages by their path, and all that was asked for.
//!
//! Knows nothing of bearward.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A running site; it ends when dropped.
pub struct Site {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Request<Bytes>>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Site {
    /// Answers every request with what `answer` makes of it.
    pub async fn start(answer: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, record) = (Arc::new(answer), asked.clone());
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, record) = (answer.clone(), record.clone());
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let (answer, record) = (answer.clone(), record.clone());
                    async move {
                        let (head, body) = request.into_parts();
                        let request = Request::from_parts(head, body.collect().await?.to_bytes());
                        let response = answer(&request).map(Full::new);
                        record.lock().unwrap().push(request);
                        Ok::<_, hyper::Error>(response)
                    }
                });
                // A browser leaves connections as it likes.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, asked, serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Request<Bytes>> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// An HTML page.
pub fn html(content: impl Into<Bytes>) -> Response<Bytes> {
    let page = Response::builder().header("content-type", "text/html; charset=utf-8");
    page.body(content.into()).expect("a valid answer")
}
