//! However the octets of a conversation come, what is said is the same.

use proptest::prelude::*;

use super::*;

const SAID: &str = concat!(
    "GET /first HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nPOST /told HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n\r\n\r\nabc",
    "POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "3;x=\"\\\"\"\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-Sum: 7\r\n\r\n",
    "HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n",
    "PUT /unread HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    "POST /waits HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    "GET /last HTTP/1.0\r\nHost: a\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\n",
);

/// Says what it was asked, in an answer of unknown length to every second request.
async fn retold(request: Request<Incoming>) -> Answer<Any> {
    let said = format!("{} {}", request.head.method, request.head.target);
    let mut said = said;
    if !said.ends_with("unread") {
        let mut content = request.content;
        while let Some(frame) = content.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => said.push_str(std::str::from_utf8(&data).unwrap()),
                Ok(Err(trailers)) => said.push_str(&format!("{:?}", trailers.into_trailers().unwrap())),
                Err(error) => said.push_str(&format!("{error:?}")),
            }
        }
    }
    let in_pieces = said.len() % 2 == 0;
    let said = Bytes::from(said);
    let pieces = said.chunks(5).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
    let mut answer = Answer::new(if in_pieces { Any::pieces(pieces) } else { Any::whole(said) });
    answer
        .head
        .fields
        .insert(&http::HeaderName::from_static("date"), &http::HeaderValue::from_static("today"));
    answer
}

/// What is answered where the pieces of `said` come one after the other, and so much fits into the connection.
async fn answered(said: &[u8], cuts: &[usize], room: usize) -> String {
    let (ours, theirs) = tokio::io::duplex(room);
    let served = serve(Stream::Memory(theirs), &LIMITS, retold, Drain::new());
    let (mut reading, mut writing) = tokio::io::split(ours);
    let writes = async {
        let mut from = 0;
        for to in cuts.iter().copied().chain([said.len()]) {
            // The connection ends behind the last request, at which nobody may wonder.
            let _ = writing.write_all(&said[from..to]).await;
            from = to;
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        }
        let _ = writing.shutdown().await;
    };
    let (answers, (), ()) = tokio::join!(rest(&mut reading), served, writes);
    // Whether a 100 is sent depends on whether the content is there already.
    answers.replace("HTTP/1.1 100 Continue\r\n\r\n", "")
}

#[test]
fn r055_a_conversation_is_the_same_wherever_its_octets_are_cut() {
    local(async {
        let whole = answered(SAID.as_bytes(), &[], 64 << 10).await;
        assert_eq!(whole.matches("HTTP/1.1 200 OK").count(), 7, "{whole}");
        for cut in 0..SAID.len() {
            assert_eq!(answered(SAID.as_bytes(), &[cut], 64 << 10).await, whole, "{cut}");
        }
        let everywhere: Vec<usize> = (0..SAID.len()).collect();
        assert_eq!(answered(SAID.as_bytes(), &everywhere, 1).await, whole);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn r055_a_conversation_is_the_same_however_its_octets_come(
        mut cuts in proptest::collection::vec(0..SAID.len(), 0..20),
        room in 1usize..200,
    ) {
        cuts.sort_unstable();
        let (whole, cut) = local(async {
            (answered(SAID.as_bytes(), &[], 64 << 10).await, answered(SAID.as_bytes(), &cuts, room).await)
        });
        prop_assert_eq!(cut, whole);
    }
}
