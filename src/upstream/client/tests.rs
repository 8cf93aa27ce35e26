//! Which connection a request goes out on, and what is sent again where one proves to have ended.

use http_body_util::{BodyExt, Full};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    upstream::{Origin, Protocol, tls},
    wire::Request,
};

async fn listening() -> (TcpListener, Client<Full<Bytes>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let connect_timeout = Duration::from_secs(5);
    let endpoint =
        Endpoint::new(Origin::of(&url).unwrap(), &tls::Settings::default(), Protocol::Http1, connect_timeout);
    let limits = Limits {
        idle_connections: 4,
        idle_timeout: Duration::from_secs(60),
        greatest_age: Duration::from_secs(60),
    };
    (listener, Client::new(endpoint.unwrap(), limits))
}

fn post() -> Request<Full<Bytes>> {
    http::Request::post("/").header("host", "h").body(Full::from("abc")).unwrap().into()
}

async fn send(client: &Client<Full<Bytes>>) -> Result<Answer<AnswerBody<Full<Bytes>>>, SendError> {
    let Request { head, content } = post();
    client.send(&*head, content, &|_| ()).await
}

async fn answer_one(listener: &TcpListener) -> TcpStream {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\nabc") {
        assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0);
    }
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    socket
}

fn run(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), test).await.expect("it hangs") });
}

#[test]
fn r093_r118_a_post_of_which_nothing_was_written_goes_out_on_a_fresh_connection() {
    run(async {
        let (listener, client) = listening().await;
        for last_words in ["", "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"] {
            let (response, mut socket) = tokio::join!(send(&client), answer_one(&listener));
            assert_eq!(response.unwrap().content.collect().await.unwrap().to_bytes(), "ok");
            assert_eq!(socket.try_write(last_words.as_bytes()).unwrap_or(0), last_words.len());
            socket.flush().await.unwrap();
            drop(socket);
            // The reactor learns of it; the connection's task has no turn yet, so that the pool cannot know.
            tokio::task::yield_now().await;
            let (response, _socket) = tokio::join!(send(&client), answer_one(&listener));
            let mut response = response.unwrap();
            assert_eq!(response.head.status, StatusCode::OK, "r090: last words are nobody's answer");
            while response.content.frame().await.is_some() {}
            client.pool.take(false);
        }
    });
}
