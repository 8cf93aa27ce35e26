//! curl, as an application that knows nothing but its proxy variables.

use std::process::Command;

use serde_json::Value;

use super::world::{TOKEN, World, fields};

/// What curl prints; where it fails, what it says.
async fn curl(world: &World, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new("curl");
    let proxy = format!("http://{}", world.proxy);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("http_proxy", &proxy)
        .env("https_proxy", &proxy)
        .args(["-q", "-sS", "--max-time", "30", "--cacert"])
        .arg(world.folder.path().join("ca.pem"))
        .args(args);
    let output = tokio::task::spawn_blocking(move || command.output().expect("curl is there")).await.unwrap();
    let said = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}

#[tokio::test]
async fn curl_keeps_its_urls() {
    let world = World::with("").await;
    for url in [format!("http://{}/orders", world.plain()), format!("https://{}/orders", world.api())] {
        let said = curl(&world, &[&url]).await.unwrap();
        let echo: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(echo["target"], "/orders", "{url}");
        assert_eq!(fields(&echo, "authorization"), [format!("Bearer {TOKEN}")], "{url}");
    }
    // Also where it tunnels plain HTTP, and in several requests on one connection.
    let url = format!("http://{}/orders", world.plain());
    let said = curl(&world, &["-p", &url, &url]).await.unwrap();
    assert_eq!(said.matches(TOKEN).count(), 2, "{said}");
}

#[tokio::test]
async fn curl_is_told_why_a_host_is_refused() {
    let world = World::with("").await;
    let refused = curl(&world, &["https://other.localhost/"]).await.unwrap_err();
    assert!(refused.contains("403"), "{refused}");
    let said = curl(&world, &["http://other.localhost/"]).await.unwrap();
    assert!(said.contains("no upstream is configured for http://other.localhost"), "{said}");
}

#[tokio::test]
async fn curl_asks_a_forward_proxy_on_a_unix_socket_as_the_page_tells_it_to() {
    let world = World::with("").await;
    let socket = world.folder.path().join("proxy.sock").display().to_string();
    let text = std::fs::read_to_string(&world.file).unwrap();
    let file = world.folder.path().join("second.toml");
    std::fs::write(&file, text.replacen("127.0.0.1:0", &format!("unix:{socket}"), 1)).unwrap();
    let loaded = bearward::config::Config::load(Some(&file)).unwrap_or_else(|why| panic!("{why}"));
    let _second = bearward::app::App::start(loaded).unwrap_or_else(|error| panic!("{error}"));
    for url in [format!("http://{}/orders", world.plain()), format!("https://{}/orders", world.api())] {
        let asked = ["--unix-socket", &socket, "--request-target", &url, "http://localhost/"];
        let said = curl(&world, &asked).await.unwrap();
        let echo: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
        assert_eq!(echo["target"], "/orders", "{url}");
        assert_eq!(fields(&echo, "authorization"), [format!("Bearer {TOKEN}")], "{url}");
    }
}
