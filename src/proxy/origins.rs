//! What the forward proxy leads to: upstreams by their origin and base, and what becomes of everything else.
//!
//! Knows origins, bases and that a token goes to no other place. Does not know how a request came, or who may send one.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use http::Version;

use super::{
    failure::{Failure, Kind},
    routes::{Route, Settings, has_prefix, is_ambiguous},
};
use crate::{
    telemetry::UpstreamMetrics,
    upstream::{Elsewhere, Endpoint, Origin, tls},
    wire::{Stream, fields::Fields},
};

/// How many origins that nobody configured keep their connections.
const MOST_OTHERS: usize = 64;

/// Every upstream, by its origin.
#[derive(Debug)]
pub struct Origins {
    sites: HashMap<Origin, Site>,
    others: Option<Others>,
}

/// One upstream of the forward proxy.
#[derive(Clone, Debug)]
pub struct Place {
    /// The upstream.
    pub route: Rc<Route>,
    /// The same origin without a token, without anything added: for paths that no upstream covers.
    pub bare: Rc<Route>,
    /// Browser origins that may use it, as a browser writes them.
    pub pages: Vec<String>,
}

/// What leads to origins that nobody configured: without a token, and not everywhere ([`Elsewhere`]).
#[derive(Debug)]
pub struct Others {
    settings: Settings,
    connect_timeout: Duration,
    elsewhere: Elsewhere,
    metrics: Arc<UpstreamMetrics>,
    kept: RefCell<VecDeque<Rc<Route>>>,
}

/// The upstreams of one origin, the longest base first.
#[derive(Debug, Default)]
struct Site(Vec<Place>);

/// Where a request goes.
#[derive(Debug)]
pub enum Found<'a> {
    /// To an upstream; its token goes with it.
    Upstream(&'a Place),
    /// On, as from an ordinary proxy.
    Other(Rc<Route>),
}

impl Origins {
    /// These upstreams; everything else is refused where there is no `others`.
    pub fn new(places: impl IntoIterator<Item = Place>, others: Option<Others>) -> Self {
        let mut sites: HashMap<Origin, Site> = HashMap::new();
        for place in places {
            sites.entry(place.route.origin().clone()).or_default().0.push(place);
        }
        for site in sites.values_mut() {
            site.0.sort_by_key(|place| Reverse(place.route.base().len()));
        }
        Self { sites, others }
    }

    /// The origin as it was configured: with or without the dot of the root it is the same host.
    pub fn configured(&self, origin: &Origin) -> Option<&Origin> {
        self.sites
            .get_key_value(origin)
            .or_else(|| self.sites.get_key_value(&origin.without_last_dot()?))
            .map(|(own, _)| own)
    }

    /// What leads elsewhere, where that is not refused.
    pub fn others(&self) -> Option<&Others> {
        self.others.as_ref()
    }

    /// Where a request for `path` at `origin` goes.
    ///
    /// # Errors
    /// It is refused, or its path could mean another upstream than the one it seems to name.
    pub fn find(&self, origin: &Origin, path: &str) -> Result<Found<'_>, Failure> {
        let Some(site) = self.configured(origin).and_then(|own| self.sites.get(own)) else {
            let others = self.others.as_ref().ok_or_else(|| self.unlisted(origin))?;
            return others.route(origin).map(Found::Other);
        };
        let has_bases = site.0.iter().any(|place| !place.route.base().is_empty());
        if has_bases && is_ambiguous(path) {
            let detail = "several paths of this origin are told apart, and this one could be read in two ways: it has dot \
                          segments, backslashes, semicolons or an encoded dot, slash or backslash";
            return Err(Failure::new(Kind::AmbiguousPath, detail));
        }
        let covers = |place: &&Place| place.route.base().is_empty() || has_prefix(path, place.route.base());
        match (site.0.iter().find(covers), site.0.first()) {
            (Some(place), _) => Ok(Found::Upstream(place)),
            (None, Some(any)) if self.others.is_some() => Ok(Found::Other(any.bare.clone())),
            _ => Err(uncovered(origin, site)),
        }
    }

    /// What is said of a destination that is none of the upstreams': `http` in place of `https`, or another port, is seen so.
    pub fn unlisted(&self, origin: &Origin) -> Failure {
        let mut alike: Vec<_> =
            self.sites.keys().filter(|own| own.host() == origin.host()).map(Origin::to_string).collect();
        alike.sort_unstable();
        let instead = match alike.is_empty() {
            true => String::new(),
            false => format!(", but for {}: ask for that", alike.join(" and ")),
        };
        let or = if alike.is_empty() { ":" } else { ", or" };
        Failure::new(
            Kind::Unlisted,
            format!(
                "no upstream is configured for {origin}{instead}{or} add one with this `url`, or set unmatched = \"tunnel\" to \
                 let everything else pass without a token"
            ),
        )
    }
}

fn uncovered(origin: &Origin, site: &Site) -> Failure {
    let urls: Vec<_> = site.0.iter().map(|place| format!("{origin}{}", place.route.base())).collect();
    let detail = format!(
        "what is configured of {origin} is {}: add an upstream with this path in its `url`, or set unmatched = \"tunnel\" to let \
         the others pass without a token",
        urls.join(" and ")
    );
    Failure::new(Kind::Unlisted, detail)
}

impl Others {
    /// Requests are treated as `settings` say; `name` and `keep_authorization` in it are set here.
    pub fn new(
        settings: Settings,
        connect_timeout: Duration,
        elsewhere: Elsewhere,
        metrics: Arc<UpstreamMetrics>,
    ) -> Self {
        Self { settings, connect_timeout, elsewhere, metrics, kept: RefCell::default() }
    }

    /// A connection to host and port of `origin`, for octets that nobody looks at. `app`: the fields of the request for it.
    ///
    /// # Errors
    /// It has come through here before, cannot be reached, or may not be.
    pub async fn dial(&self, origin: &Origin, app: &Fields, version: Version) -> Result<Stream, Failure> {
        let via = &self.settings.via;
        if via.is_in(app) {
            let detail = "this request for a tunnel has come through here before: an outer proxy leads back to this bearward";
            return Err(Failure::new(Kind::Loop, detail));
        }
        let via = via.after(app, version);
        let dialled = self.elsewhere.dial(origin, &via, self.connect_timeout).await;
        dialled.map_err(|error| Failure::unreachable(&error))
    }

    /// Counts a tunnel as long as this is there.
    pub fn metrics(&self) -> &Arc<UpstreamMetrics> {
        &self.metrics
    }

    /// The route to an origin; the last ones used stay, and their connections with them.
    fn route(&self, origin: &Origin) -> Result<Rc<Route>, Failure> {
        let mut kept = self.kept.borrow_mut();
        let route = match kept.iter().position(|route| route.origin() == origin) {
            Some(at) => kept.remove(at),
            None => None,
        };
        let route = match route {
            Some(route) => route,
            None => self.new_route(origin).map_err(|problem| Failure::new(Kind::Malformed, problem))?,
        };
        kept.push_front(route.clone());
        kept.truncate(MOST_OTHERS);
        Ok(route)
    }

    fn new_route(&self, origin: &Origin) -> Result<Rc<Route>, String> {
        let endpoint = Endpoint::elsewhere(
            origin.clone(),
            &tls::Settings::default(),
            self.connect_timeout,
            self.elsewhere.clone(),
            self.settings.via.of(Version::HTTP_11).clone(),
        );
        let endpoint = endpoint.map_err(|error| error.to_string())?;
        let settings = Settings { name: origin.authority().into(), ..self.settings.clone() }.bare();
        Route::new(Arc::new(settings), endpoint, None, self.metrics.clone())
            .map_err(|error| error.to_string())
    }
}

impl Settings {
    /// The same for requests that are only passed on: their own Authorization goes with them, nothing is added.
    #[must_use]
    pub fn bare(self) -> Self {
        Self {
            base: String::new(),
            headers: Vec::new(),
            keep_authorization: true,
            preserve_host: false,
            token_invalid: Vec::new(),
            ..self
        }
    }
}
