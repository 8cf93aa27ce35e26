//! How a connection ends, and who is given up when.

use super::*;

#[test]
fn a_reset_gives_the_exchange_up_and_a_half_close_does_not() {
    local(async {
        let (begun, dropped, go) = <(Rc<Notify>, Rc<Notify>, Rc<Notify>)>::default();
        let told = (begun.clone(), dropped.clone(), go.clone());
        let service = move |_| {
            let (begun, dropped, go) = told.clone();
            async move {
                let _dropped = TellsItsEnd(dropped);
                begun.notify_one();
                go.notified().await;
                Answer::new(Any::whole("late"))
            }
        };
        let mut stream = tcp(service.clone()).await;
        stream.write_all(GET.as_bytes()).await.unwrap();
        begun.notified().await;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
        dropped.notified().await;
        let mut stream = tcp(service).await;
        stream.write_all(GET.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        begun.notified().await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        assert!(rest(&mut stream).await.ends_with("late"));
    });
}

#[test]
fn a_stream_of_events_ends_with_a_reset_although_nothing_is_written() {
    local(async {
        let dropped = Rc::new(Notify::new());
        let told = dropped.clone();
        let mut stream = tcp(move |_| {
            let told = told.clone();
            async move {
                let guard = TellsItsEnd(told);
                let events = stream::iter([data("event")]).chain(stream::once(async move {
                    let _guard = guard;
                    std::future::pending().await
                }));
                Answer::new(Any::new(StreamBody::new(events)))
            }
        })
        .await;
        stream.write_all(GET.as_bytes()).await.unwrap();
        until(&mut stream, "event\r\n").await;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
        dropped.notified().await;
    });
}

#[test]
fn r111_a_reset_is_noticed_also_where_nobody_reads_the_content() {
    local(async {
        let (begun, dropped) = <(Rc<Notify>, Rc<Notify>)>::default();
        let told = (begun.clone(), dropped.clone());
        // Looks are half as far apart as the shortest limit.
        let limits = Limits { body_timeout: Duration::from_millis(100), ..LIMITS };
        let mut stream = tcp_within(limits, move |unread| {
            let (begun, dropped) = told.clone();
            async move {
                let _dropped = TellsItsEnd(dropped);
                let _unread = unread;
                begun.notify_one();
                std::future::pending().await
            }
        })
        .await;
        let half = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nnot all of it";
        stream.write_all(half.as_bytes()).await.unwrap();
        begun.notified().await;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
        dropped.notified().await;
    });
}

#[test]
fn r078_the_last_answer_is_not_lost_to_what_the_application_still_sends() {
    local(async {
        let mut stream = tcp(echo).await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\na b\r\n\r\n").await.unwrap();
        // It goes on writing, and would be reset by a connection that was closed with these unread.
        for _ in 0..20 {
            stream.write_all(&[b'.'; 4096]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("no reset");
        assert!(answer.starts_with(b"HTTP/1.1 400 "));
    });
}

const LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[test]
fn r077_who_has_said_close_and_sends_nothing_more_is_not_lingered_for() {
    local(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (theirs, _) = listener.accept().await.unwrap();
        let served = spawn_local(async move {
            serve(Stream::Tcp(theirs), &LIMITS, echo, Drain::new()).await;
        });
        stream.write_all(LAST).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.contains("connection: close\r\n") && answer.ends_with("</ >"), "{answer}");
        // Its end is still open.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert!(served.is_finished());
    });
}

#[test]
fn r078_who_has_said_close_and_sends_on_all_the_same_gets_its_answer() {
    local(async {
        let (begun, go) = <(Rc<Notify>, Rc<Notify>)>::default();
        let told = (begun.clone(), go.clone());
        let mut stream = tcp(move |_| {
            let (begun, go) = told.clone();
            async move {
                begun.notify_one();
                go.notified().await;
                Answer::new(Any::whole("last"))
            }
        })
        .await;
        stream.write_all(LAST).await.unwrap();
        begun.notified().await;
        // More than is read ahead.
        for _ in 0..20 {
            stream.write_all(&[b'.'; 4096]).await.unwrap();
            tokio::task::yield_now().await;
        }
        go.notify_one();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("no reset");
        assert!(answer.ends_with(b"last"), "{}", String::from_utf8_lossy(&answer));
    });
}

#[test]
fn r106_r111_an_application_that_does_not_read_its_answer_is_given_up() {
    paused(async {
        let (mut ours, theirs) = tokio::io::duplex(1 << 10);
        let start = Instant::now();
        let done = spawn_local(async move {
            let service =
                |_| async { Answer::new(Any::new(StreamBody::new(stream::repeat_with(|| data("....."))))) };
            serve(Stream::Memory(theirs), &LIMITS, service, Drain::new()).await;
        });
        ours.write_all(GET.as_bytes()).await.unwrap();
        // For a while it reads, slowly.
        for _ in 0..10 {
            tokio::time::sleep(LIMITS.body_timeout / 2).await;
            ours.read_exact(&mut [0; 500]).await.unwrap();
        }
        assert!(!done.is_finished());
        done.await.unwrap();
        assert!(start.elapsed() < LIMITS.body_timeout * 8, "{:?}", start.elapsed());
    });
}

#[test]
fn r111_an_answer_that_stands_still_is_given_up_half_a_minute_after_the_application_ended() {
    paused(async {
        for ends in [true, false] {
            let (mut ours, theirs) = tokio::io::duplex(1 << 10);
            let done = spawn_local(async move {
                let service = |_| async {
                    let events = stream::iter([data("event")]).chain(stream::pending());
                    Answer::new(Any::new(StreamBody::new(events)))
                };
                serve(Stream::Memory(theirs), &LIMITS, service, Drain::new()).await;
            });
            ours.write_all(GET.as_bytes()).await.unwrap();
            until(&mut ours, "event\r\n").await;
            if ends {
                ours.shutdown().await.unwrap();
            }
            tokio::time::sleep(Duration::from_secs(29)).await;
            assert!(!done.is_finished());
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(done.is_finished(), ends, "a stream may be silent for as long as it likes");
        }
    });
}
