//! The tour's parties: which providers run, with which lifetimes, and the configuration that a user would write for them.
//!
//! Knows addresses and credentials of the simulators. Does not know what is done to them in the course of the tour.

use std::{io, net::SocketAddr, time::Duration};

use super::{
    Bearward, Problem,
    simulator::{
        Apicbase, Cybrid, Cymbio, Inventorum, Shopware, Simulator, apicbase, apicbase::Kitchen, cybrid,
        cymbio, inventorum, shopware,
    },
};

/// Who acts for whom in the Cybrid part: names for its first two customers.
const ADA: &str = cybrid::CUSTOMERS[0];
const BEN: &str = cybrid::CUSTOMERS[1];

/// What is registered at Apicbase; bearward takes any port of it (RFC 8252 section 7.3).
const REDIRECT_URI: &str = "http://127.0.0.1/callback";

/// The simulated providers and the folder for bearward's store.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) inventorum: Simulator,
    pub(super) shopware: Simulator,
    pub(super) cybrid: Simulator,
    pub(super) cymbio: Simulator,
    pub(super) apicbase: Kitchen,
    store: tempfile::TempDir,
}

/// One line of the tour: an API, or a customer of it, that the application sends requests to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// What people read.
    pub(super) label: &'static str,
    /// Its upstream, and the name of its listener.
    pub(super) upstream: &'static str,
    /// Its token recipe.
    pub(super) token: &'static str,
    /// The customer, where there are any.
    pub(super) subject: Option<&'static str>,
    /// What the application asks for.
    pub(super) path: &'static str,
    /// The listener it is asked at.
    listener: &'static str,
}

/// The parts, in the order of the table. The bank's token is got by bearward alone: no request is made with it.
pub(super) const PARTS: [Part; 6] = [
    Part::own_port("Inventorum", "inventorum", "inventorum", "/api/products/"),
    Part::own_port("Shopware", "shopware", "shopware", "/api/product"),
    Part { subject: Some(ADA), ..Part::own_port("Cybrid for Ada", "cybrid", "customer", "/api/trades") },
    Part { subject: Some(BEN), ..Part::own_port("Cybrid for Ben", "cybrid", "customer", "/api/trades") },
    Part { listener: "gateway", ..Part::own_port("Cymbio", "cymbio", "cymbio", "/cymbio/v3/orders") },
    Part::own_port("Apicbase", "apicbase", "apicbase", "/api/products/"),
];

impl Part {
    const fn own_port(
        label: &'static str,
        upstream: &'static str,
        token: &'static str,
        path: &'static str,
    ) -> Self {
        Self { label, upstream, token, subject: None, path, listener: upstream }
    }
}

/// Where the application finds a part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Door {
    pub(super) part: Part,
    pub(super) address: SocketAddr,
}

impl Stage {
    /// Starts the providers.
    pub(super) async fn set() -> io::Result<Self> {
        let seconds = Duration::from_secs;
        Ok(Self {
            inventorum: Inventorum::new().lifetime(seconds(7)).start().await?,
            shopware: Shopware::new().lifetime(seconds(6)).start().await?,
            cybrid: Cybrid::new().lifetime(seconds(10)).customer_lifetime(seconds(6)).start().await?,
            cymbio: Cymbio::new().lifetime(seconds(5)).start().await?,
            apicbase: Apicbase::new().lifetime(seconds(8)).redirect_uri(REDIRECT_URI).start().await?,
            store: tempfile::tempdir()?,
        })
    }

    /// The simulator behind an upstream.
    pub(super) fn simulator(&self, upstream: &str) -> &Simulator {
        match upstream {
            "inventorum" => &self.inventorum,
            "shopware" => &self.shopware,
            "cybrid" => &self.cybrid,
            "cymbio" => &self.cymbio,
            _ => &self.apicbase.simulator,
        }
    }

    /// Every simulator.
    pub(super) fn simulators(&self) -> [&Simulator; 5] {
        [&self.inventorum, &self.shopware, &self.cybrid, &self.cymbio, &self.apicbase.simulator]
    }

    /// Where the application finds each part.
    pub(super) fn doors(&self, bearward: &impl Bearward) -> Result<Vec<Door>, Problem> {
        let door = |part: &Part| {
            let address = bearward.address(part.listener).ok_or(Problem::Listener(part.listener))?;
            Ok(Door { part: *part, address })
        };
        PARTS.iter().map(door).collect()
    }

    /// What a user would write for these providers: presets, credentials, and addresses because they are no real ones.
    pub(super) fn configuration(&self) -> String {
        let store = toml::Value::String(self.store.path().join("store").display().to_string());
        let (inventorum, shopware) = (self.inventorum.url(), self.shopware.url());
        let (cybrid, cymbio, apicbase) =
            (self.cybrid.url(), self.cymbio.url(), self.apicbase.simulator.url());
        format!(
            r#"
log     = {{ level = "error" }}
admin   = {{ listen = "127.0.0.1:0" }}
gateway = {{ listen = "127.0.0.1:0" }}
store   = {{ path = {store} }}

[tokens.inventorum]
preset        = "inventorum"
base_url      = "{inventorum}"
client_id     = "{}"
client_secret = "{}"
refresh_token = "{}"

[upstreams.inventorum]
preset = "inventorum"
url    = "{inventorum}"
token  = "inventorum"
listen = "127.0.0.1:0"

[tokens.shopware]
preset        = "shopware"
base_url      = "{shopware}"
client_id     = "{}"
client_secret = "{}"

[upstreams.shopware]
preset = "shopware"
url    = "{shopware}"
token  = "shopware"
listen = "127.0.0.1:0"

[tokens.bank]
preset        = "cybrid"
base_url      = "{cybrid}"
client_id     = "{}"
client_secret = "{}"
scope         = ["customers:read", "customers:write"]
refresh_at    = 0.5

[tokens.customer]
preset         = "cybrid"
base_url       = "{cybrid}"
grant_type     = "request"
authorize_with = "bank"
body           = {{ customer_guid = "{{subject}}", scopes = ["trades:read"] }}
subject_header = "x-bearward-subject"

[upstreams.cybrid]
preset = "cybrid"
url    = "{cybrid}"
token  = "customer"
listen = "127.0.0.1:0"

[tokens.cymbio]
preset        = "cymbio"
base_url      = "{cymbio}"
client_id     = "{}"
client_secret = "{}"
username      = "{}"
password      = "{}"
scope         = "read:orders"

[upstreams.cymbio]
preset = "cymbio"
url    = "{cymbio}"
token  = "cymbio"
path   = "/cymbio"

[tokens.apicbase]
preset        = "apicbase"
base_url      = "{apicbase}"
authorization_endpoint = "{}"
redirect_uri  = "http://127.0.0.1:0/callback"
client_id     = "{}"
client_secret = "{}"
scope         = ["library", "stock"]

[upstreams.apicbase]
preset = "apicbase"
url    = "{apicbase}"
token  = "apicbase"
listen = "127.0.0.1:0"
"#,
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
            self.apicbase.authorization_endpoint(),
            apicbase::CLIENT_ID,
            apicbase::CLIENT_SECRET,
        )
    }
}
