//! What is left of a request when its answer has ended.

use std::time::Duration;

use super::*;

/// An exchange whose answer has ended; of its request so much content is still to be written.
async fn answered_early(content: usize) -> (Box<Exchange<Full<Bytes>>>, Watched<DuplexStream>) {
    let (exchange, mut upstream) = begun(post(Full::from(vec![b'.'; content])));
    upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    let Ok((_, mut exchange)) = answer(exchange).await else { panic!() };
    assert_eq!(read(&mut exchange).await.0, b"ok");
    let Left::Writing(exchange) = exchange.leave() else { panic!("the upload is under way") };
    (exchange, upstream)
}

#[tokio::test(start_paused = true)]
async fn r091_r111_an_upstream_that_takes_nothing_more_after_its_answer_is_given_up() {
    let (exchange, _upstream) = answered_early(1 << 20).await;
    let left = tokio::time::timeout(Duration::from_secs(3600), exchange.finish()).await;
    assert!(matches!(left.expect("an hour later it is still being written"), Left::Closed));
}

#[tokio::test(start_paused = true)]
async fn r091_an_upstream_that_takes_the_rest_slowly_is_not() {
    let (exchange, mut upstream) = answered_early(1 << 20).await;
    let reading = async {
        let mut some = vec![0; 16 << 10];
        // The request's end and the connection's are one to this side.
        for _ in 0..1 << 10 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            match tokio::time::timeout(Duration::from_secs(1), upstream.read(&mut some)).await {
                Ok(read) => assert_ne!(read.unwrap(), 0, "it was given up"),
                Err(_) => return,
            }
        }
    };
    assert!(is_free(tokio::join!(exchange.finish(), reading).0));
}
