//! The gateway: which upstream a request reaches.

use std::rc::Rc;

use super::support::*;
use crate::proxy::{Entry, RouteTable, Row};

async fn gateway() -> (Proxy, Seen, Seen, Seen) {
    let (shop, at_shop) = Origin::answering(|_, _| ok()).await;
    let (deep, at_deep) = Origin::answering(|_, _| ok()).await;
    let (host, at_host) = Origin::answering(|_, _| ok()).await;
    let row = |origin: &Origin, host: Option<&str>, path: Option<&str>| Row {
        host: host.map(str::to_owned),
        path: path.map(str::to_owned),
        route: route_to(origin.port, settings(), None),
    };
    let table = RouteTable::new(vec![
        row(&shop, None, Some("/shop")),
        row(&deep, None, Some("/shop/deep")),
        row(&host, Some("pos.local"), None),
    ]);
    (Proxy::at(Entry::Table(Rc::new(table))).await, at_shop, at_deep, at_host)
}

#[test]
fn the_longest_prefix_of_whole_segments_wins_and_is_stripped() {
    run(async {
        let (proxy, shop, deep, _) = gateway().await;
        for (path, seen, target) in [
            ("/shop", &shop, "/"),
            ("/shop/", &shop, "/"),
            ("/shop?a=b", &shop, "/?a=b"),
            ("/shop/x%20y//z?q=%2e;..", &shop, "/x%20y//z?q=%2e;.."),
            ("/shop/deep/x", &deep, "/x"),
            ("/shop/deeper", &shop, "/deeper"),
        ] {
            let before = seen.count();
            assert_eq!(status_of(&proxy.get(path).await), 200, "{path}");
            assert!(seen.head(before).starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{path}");
        }
        for path in ["/shopping", "/", "/sh%6fp/x", "//shop/x", "/x/../shop"] {
            let got = proxy.get(path).await;
            assert_eq!(status_of(&got), 404, "{path}: {got}");
        }
    });
}

#[test]
fn r013_an_ambiguous_path_is_refused_on_a_prefix() {
    run(async {
        let (proxy, shop, deep, _) = gateway().await;
        for rest in ["../x", "..", "./x", "%2e%2E/x", "a%2Fb", "a%5cb", "a\\b", "..;/x", "a;b", "deep/../x"] {
            let got = proxy.get(&format!("/shop/{rest}")).await;
            assert_eq!(status_of(&got), 400, "{rest}: {got}");
        }
        assert_eq!(shop.count() + deep.count(), 0);
    });
}

#[test]
fn a_host_picks_its_upstream_whatever_its_case_and_port_and_the_path_stays() {
    run(async {
        let (proxy, _, _, host) = gateway().await;
        for name in ["pos.local", "POS.local:8080"] {
            let request = format!("GET /a/../b;c%2f HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
            assert_eq!(status_of(&proxy.ask(request).await), 200);
        }
        assert!(host.head(0).starts_with("GET /a/../b;c%2f HTTP/1.1\r\n"), "r013: elsewhere octet for octet");
        assert_eq!(host.count(), 2);
    });
}
