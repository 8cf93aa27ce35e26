//! The pictures of the page in `docs/`, made anew from a live page with the simulators behind it:
//! `BEARWARD_PICTURES=1 cargo test --test e2e pictures`. Without it, this test only looks whether they are there and small.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bearward::{
    app::Running,
    demo::simulator::{
        Answer, Apicbase, Cybrid, Cymbio, Inventorum, Shopware, Simulator, apicbase, apicbase::Kitchen,
        cybrid, cymbio, inventorum, shopware,
    },
};
use bytes::Bytes;
use http::{Request, StatusCode};

use crate::support::{
    Application,
    browser::{Browser, Look},
    start, until,
};

/// The largest picture, in octets.
const LARGEST: u64 = 200 << 10;

struct World {
    apicbase: Kitchen,
    inventorum: Simulator,
    shopware: Simulator,
    cybrid: Simulator,
    cymbio: Simulator,
}

impl World {
    async fn new() -> Self {
        let seconds = Duration::from_secs;
        Self {
            apicbase: Apicbase::new().start().await.unwrap(),
            inventorum: Inventorum::new().lifetime(seconds(36_000)).start().await.unwrap(),
            shopware: Shopware::new().lifetime(seconds(600)).start().await.unwrap(),
            cybrid: Cybrid::new()
                .lifetime(seconds(1800))
                .customer_lifetime(seconds(600))
                .start()
                .await
                .unwrap(),
            cymbio: Cymbio::new().lifetime(seconds(300)).start().await.unwrap(),
        }
    }

    fn configuration(&self) -> String {
        format!(
            r#"
            store = {{ kind = "memory" }}
            admin = {{ listen = "127.0.0.1:0" }}
            gateway = {{ listen = "127.0.0.1:0" }}

            [tokens.apicbase]
            preset = "apicbase"
            base_url = "{apicbase}"
            authorization_endpoint = "{}"
            client_id = "{}"
            client_secret = "{}"
            scope = ["library", "stock"]

            [upstreams.apicbase]
            preset = "apicbase"
            url = "{apicbase}"
            token = "apicbase"
            listen = "127.0.0.1:0"

            [tokens.inventorum]
            preset = "inventorum"
            base_url = "{inventorum}"
            client_id = "{}"
            client_secret = "{}"
            refresh_token = "{}"

            [upstreams.inventorum]
            preset = "inventorum"
            url = "{inventorum}"
            token = "inventorum"
            listen = "127.0.0.1:0"

            [tokens.shopware]
            preset = "shopware"
            base_url = "{shopware}"
            client_id = "{}"
            client_secret = "{}"

            [upstreams.shopware]
            preset = "shopware"
            url = "{shopware}"
            token = "shopware"
            listen = "127.0.0.1:0"

            [tokens.bank]
            preset = "cybrid"
            base_url = "{cybrid}"
            client_id = "{}"
            client_secret = "{}"
            scope = ["customers:read", "customers:write"]

            [tokens.customer]
            preset = "cybrid"
            base_url = "{cybrid}"
            grant_type = "request"
            authorize_with = "bank"
            body = {{ customer_guid = "{{subject}}", scopes = ["trades:read"] }}
            subject_header = "x-bearward-subject"

            [upstreams.cybrid]
            preset = "cybrid"
            url = "{cybrid}"
            token = "customer"
            listen = "127.0.0.1:0"

            [tokens.cymbio]
            preset = "cymbio"
            base_url = "{cymbio}"
            client_id = "{}"
            client_secret = "{}"
            username = "{}"
            password = "{}"
            scope = ["read:orders", "write:inventory"]

            [upstreams.cymbio]
            preset = "cymbio"
            url = "{cymbio}"
            token = "cymbio"
            path = "/cymbio"
            "#,
            self.apicbase.authorization_endpoint(),
            apicbase::CLIENT_ID,
            apicbase::CLIENT_SECRET,
            inventorum::CLIENT_ID,
            inventorum::CLIENT_SECRET,
            inventorum::FIRST_REFRESH_TOKEN,
            shopware::CLIENT_ID,
            shopware::CLIENT_SECRET,
            cybrid::CLIENT_ID,
            cybrid::CLIENT_SECRET,
            cymbio::CLIENT_ID,
            cymbio::CLIENT_SECRET,
            cymbio::USERNAME,
            cymbio::PASSWORD,
            apicbase = self.apicbase.simulator.url(),
            inventorum = self.inventorum.url(),
            shopware = self.shopware.url(),
            cybrid = self.cybrid.url(),
            cymbio = self.cymbio.url(),
        )
    }

    /// An ordinary day: many requests, a slow answer, a broken one, a revoked token.
    async fn day(&self, bearward: &Running) {
        let of = |name: &str| Application::new(bearward.address(name).expect("it listens"));
        let (mut inventorum, mut shopware, mut cybrid, mut gateway) =
            (of("inventorum"), of("shopware"), of("cybrid"), of("gateway"));
        self.shopware.answer_next("/api/product/0", Answer::status(StatusCode::BAD_GATEWAY));
        for round in 0..40 {
            for (api, path, slow) in
                [(&self.inventorum, "/api/products", 3), (&self.shopware, "/api/product", 7)]
            {
                // As far away as an API is, more or less: most answers come soon, few late.
                let away = Duration::from_millis(slow + slow * (round * round * 7 % 61) / 12);
                let answer = Answer::json(StatusCode::OK, &serde_json::json!([])).after(away);
                if round % 4 != 0 {
                    api.answer_next(path, answer);
                }
            }
            if round == 36 {
                self.shopware.revoke_all();
            }
            for (application, path) in [
                (&mut inventorum, "/api/products/".to_owned()),
                (&mut shopware, format!("/api/product/{round}?limit=10")),
                (&mut cybrid, "/api/trades".to_owned()),
                (&mut gateway, "/cymbio/v3/orders".to_owned()),
            ] {
                let subject = cybrid::CUSTOMERS[usize::from(round % 2 == 0)];
                let request = Request::get(path).header("x-bearward-subject", subject);
                application.send(request.body(Bytes::new()).unwrap()).await.expect("an answer");
            }
        }
    }
}

fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

#[tokio::test]
async fn the_pictures_of_the_page_are_there_and_small() {
    if std::env::var_os("BEARWARD_PICTURES").is_some() {
        make().await;
    }
    for name in ["page-light.png", "page-dark.png"] {
        let size = std::fs::metadata(picture(name)).unwrap_or_else(|error| panic!("{name}: {error}")).len();
        assert!(size <= LARGEST, "{name} has {size} octets");
    }
}

async fn make() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new().await;
    let bearward = start(&world.configuration());
    let admin = bearward.address("admin").expect("it has an admin listener");
    until("every token is there", || world.cymbio.counts().token_requests > 0).await;
    let wide = |dark| Look { dark, width: 1280, height: 1130, ..Look::default() };
    let light = browser.open(wide(false)).await;
    let dark = browser.open(wide(true)).await;
    for page in [&light, &dark] {
        assert_eq!(page.goto(&format!("http://{admin}/")).await, Ok(200));
        page.sees("Valid").await;
    }
    world.day(&bearward).await;
    world.cymbio.fail_token_endpoint(Answer::status(StatusCode::SERVICE_UNAVAILABLE));
    world.cymbio.revoke_all();
    world.inventorum.end_logins();
    world.day(&bearward).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    light.screenshot(&picture("page-light.png"), false).await;
    dark.screenshot(&picture("page-dark.png"), false).await;
    bearward.stop().await;
}
