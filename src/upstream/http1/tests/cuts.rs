//! However the octets of an answer come, it is the same answer.

use proptest::prelude::*;

use std::cell::RefCell;

use super::*;

const ANSWERS: [&str; 7] = [
    "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 6\r\n\r\n\r\n\r\nab",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n00a\r\n0123456789\r\n0\r\nX-Sum: 7\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n",
    "HTTP/1.0 200 OK\r\nA : b\r\n\r\nto the end",
    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ntoo short",
];

/// The answer, and whether its connection may be used again.
async fn seen(said: &[u8], cuts: &[usize], room: usize) -> String {
    let (ours, mut upstream) = tokio::io::duplex(room);
    let (give, content) = content();
    give.send(data("abc")).unwrap();
    let Request { head, content } = post(content);
    drop(give);
    let mut exchange =
        Exchange::new(Connection::new(Stream::Memory(ours)), Sending::new(&*head, content, Vec::new()));
    let writes = async {
        let mut request = Vec::new();
        while !request.ends_with(b"0\r\n\r\n") {
            assert_ne!(upstream.read_buf(&mut request).await.unwrap(), 0);
        }
        let mut from = 0;
        for to in cuts.iter().copied().chain([said.len()]) {
            upstream.write_all(&said[from..to]).await.unwrap();
            from = to;
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        }
        upstream.shutdown().await.unwrap();
    };
    let reads = async {
        let interim = RefCell::new(Vec::new());
        let shown = |head| interim.borrow_mut().push(format!("{head:?}"));
        let answer = poll_fn(|cx| exchange.poll_answer(&shown, cx)).await;
        let Ok(head) = answer else { panic!("no answer") };
        let interim = interim.take();
        let (content, trailers, error) = read(&mut exchange).await;
        let content = String::from_utf8(content).unwrap();
        format!("{interim:?} {head:?} {content} {trailers:?} {error:?} {}", is_free(exchange.leave()))
    };
    tokio::join!(reads, writes).0
}

fn runs<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
}

#[test]
fn r088_an_answer_is_the_same_wherever_its_octets_are_cut() {
    runs(async {
        for answer in ANSWERS {
            let whole = seen(answer.as_bytes(), &[], 64 << 10).await;
            for cut in 0..answer.len() {
                assert_eq!(seen(answer.as_bytes(), &[cut], 64 << 10).await, whole, "{answer:?} at {cut}");
            }
            let everywhere: Vec<usize> = (0..answer.len()).collect();
            assert_eq!(seen(answer.as_bytes(), &everywhere, 1).await, whole);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn r088_an_answer_is_the_same_however_its_octets_come(
        which in 0..ANSWERS.len(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        room in 1usize..100,
    ) {
        let answer = ANSWERS[which];
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(answer.len())).collect();
        cuts.sort_unstable();
        let (whole, cut) = runs(async {
            (seen(answer.as_bytes(), &[], 64 << 10).await, seen(answer.as_bytes(), &cuts, room).await)
        });
        prop_assert_eq!(cut, whole);
    }
}
