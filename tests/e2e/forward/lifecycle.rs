//! Tunnels through reloads and shutdown.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use super::world::{World, ask, fields, get};
use crate::support::PATIENCE;

const TUNNEL: &str = "unmatched = \"tunnel\"\nallow_addresses = [\"127.0.0.0/8\"]";

#[tokio::test]
async fn r148_tunnels_survive_a_reload_and_what_is_inside_sees_the_new_configuration() {
    let world = World::with(TUNNEL).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut opaque = world.tunnel(&listener.local_addr().unwrap().to_string()).await;
    let (mut there, _) = listener.accept().await.unwrap();
    let mut inside = world.opened("api.localhost").await.unwrap();
    assert_eq!(ask(&mut inside, &get("/", &world.api(), "")).await.0, 200);

    // Its upstream is gone, and everything else is refused now.
    world.write_with("[upstreams.plain]\nurl = \"http://plain.localhost:PLAIN\"\n", "", "");
    world.bearward.reload();
    let refused = async {
        while ask(&mut inside, &get("/", &world.api(), "")).await.0 != 403 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, refused).await.expect("the reload shows inside");
    assert_eq!(world.bearward.address("proxy"), Some(world.proxy), "the listener is the same");
    let (head, _) = world.connect(&world.api()).await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");

    opaque.write_all(b"still").await.unwrap();
    let mut heard = [0; 5];
    timeout(PATIENCE, there.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(&heard, b"still");

    // And back again, on the same connection.
    world.write("", "");
    world.bearward.reload();
    let served = async {
        loop {
            let (status, _, echo) = ask(&mut inside, &get("/", &world.api(), "")).await;
            if status == 200 {
                return fields(&echo, "authorization").join(" ");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert_eq!(timeout(PATIENCE, served).await.unwrap(), "Bearer the-token");
}

#[tokio::test]
async fn r149_at_shutdown_a_silent_tunnel_ends_and_what_still_passes_is_waited_for() {
    let world = World::made(TUNNEL, "[limits]\ndrain_timeout = \"1h\"\n").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut opaque = world.tunnel(&listener.local_addr().unwrap().to_string()).await;
    let (mut there, _) = listener.accept().await.unwrap();
    let mut inside = world.opened("api.localhost").await.unwrap();
    assert_eq!(ask(&mut inside, &get("/", &world.api(), "")).await.0, 200);
    // One that has not said what it is, and one in which nobody has said anything.
    let (_silent, _opaque) =
        (world.tunnel(&world.api()).await, world.tunnel(&world.other.address.to_string()).await);
    let stopping = world.bearward.stop();
    let talking = async {
        // An idle connection inside ends like any other that is idle.
        assert_eq!(inside.read(&mut [0]).await.unwrap_or(0), 0);
        there.write_all(b"late").await.unwrap();
        let mut heard = [0; 4];
        opaque.read_exact(&mut heard).await.expect("what passes is not cut");
        assert_eq!(opaque.read(&mut [0]).await.unwrap_or(0), 0, "then it is silent, and ended");
    };
    timeout(PATIENCE, async { tokio::join!(stopping, talking) }).await.expect("it ends");
}
