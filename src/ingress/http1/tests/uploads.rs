//! Content that somebody reads on though its request is answered.

use http::Method;
use tokio::sync::oneshot;

use super::*;

type End = Result<Bytes, BodyError>;

/// Answers at once with `answer`; the content is read meanwhile, and how it ended is told.
fn reading_on(
    answer: impl Into<Bytes>,
) -> (impl Fn(Request<Incoming>) -> std::future::Ready<Answer<Any>>, oneshot::Receiver<End>) {
    let (answer, (tell, told)) = (answer.into(), oneshot::channel());
    let tell = Cell::new(Some(tell));
    let service = move |request: Request<Incoming>| {
        let tell = tell.take();
        spawn_local(async move {
            let content = request.content.collect().await.map(|content| content.to_bytes());
            tell.map(|tell| tell.send(content))
        });
        std::future::ready(Answer::new(Any::whole(answer.clone())))
    };
    (service, told)
}

#[test]
fn r077_r091_an_upload_goes_on_behind_the_last_answer() {
    local(async {
        let (service, told) = reading_on("early");
        let mut stream = serving(service);
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 6\r\n\r\nabc";
        stream.write_all(head).await.unwrap();
        until(&mut stream, "early").await;
        stream.write_all(b"def").await.unwrap();
        assert_eq!(told.await.unwrap().unwrap(), "abcdef");
        assert_eq!(rest(&mut stream).await, "");
    });
}

#[test]
fn r057_r111_who_reads_the_content_of_a_connection_that_is_given_up_learns_of_it() {
    paused(async {
        let (service, told) = reading_on(vec![b'.'; 64 << 10]);
        let (mut ours, theirs) = tokio::io::duplex(1 << 10);
        spawn_local(async move { serve(Stream::Memory(theirs), &LIMITS, service, Drain::new()).await });
        ours.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc").await.unwrap();
        // Nobody reads the answer.
        assert!(matches!(told.await.unwrap(), Err(BodyError::Cut)));
        rest(&mut ours).await;
    });
}

#[test]
fn r009_r055_what_comes_behind_a_refused_connect_is_no_request() {
    local(async {
        let service = |request: Request<Incoming>| async move {
            let mut answer = Answer::new(Any::whole("no"));
            if request.head.method == Method::CONNECT {
                answer.head.status = StatusCode::FORBIDDEN;
            }
            answer
        };
        let mut stream = serving(service);
        let early = format!("CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\n{GET}");
        stream.write_all(early.as_bytes()).await.unwrap();
        let answers = rest(&mut stream).await;
        assert!(
            answers.starts_with("HTTP/1.1 403 ") && answers.contains("connection: close\r\n"),
            "{answers}"
        );
        assert_eq!(answers.matches("HTTP/1.1").count(), 1, "{answers}");
    });
}
