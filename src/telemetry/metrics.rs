//! The metrics: counters that a request touches are plain atomics, made once per upstream; the text is made when asked.
//!
//! Labels hold names from the configuration and status codes only: never a path, a subject or a token.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::StatusCode;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};

/// How the metrics are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4, which everything reads.
    Prometheus,
    /// OpenMetrics 1.0, for who asks for it.
    OpenMetrics,
}

impl Format {
    /// What `Accept` asks for (RFC 9110 section 12.5.1).
    pub fn accepted(accept: Option<&str>) -> Self {
        if accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// Its content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Upper bounds of the duration's buckets, in seconds.
pub const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

const LOWEST_STATUS: usize = 100;
const STATUSES: usize = 500;

/// Every metric of this process. Cloning shares them; they outlive a reload.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Families>);

#[derive(Debug, Default)]
struct Families {
    upstreams: Mutex<BTreeMap<String, Arc<UpstreamMetrics>>>,
    tokens: Mutex<BTreeMap<String, Arc<TokenMetrics>>>,
}

impl Metrics {
    /// The counters of one upstream; the same ones for the same name.
    pub fn upstream(&self, name: &str) -> Arc<UpstreamMetrics> {
        entry(&self.0.upstreams, name)
    }

    /// The counters of one token recipe; the same ones for the same name.
    pub fn token(&self, name: &str) -> Arc<TokenMetrics> {
        entry(&self.0.tokens, name)
    }

    /// The text that a Prometheus server scrapes.
    ///
    /// # Errors
    /// A metric could not be encoded.
    pub fn encode(&self, format: Format) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.0.clone()));
        let mut out = String::new();
        text::encode(&mut out, &registry)?;
        Ok(if format == Format::Prometheus { to_prometheus(&out) } else { out })
    }
}

/// OpenMetrics names a counter's family without the `_total` of its samples and ends with a mark; the older format names
/// it with, and has no mark.
fn to_prometheus(open_metrics: &str) -> String {
    let lines: Vec<&str> = open_metrics.lines().filter(|line| *line != "# EOF").collect();
    let counters: Vec<&str> =
        lines.iter().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut out = String::with_capacity(open_metrics.len());
    for line in lines {
        let family = line.strip_prefix("# ").and_then(|line| line.split(' ').nth(1));
        match family.filter(|family| counters.contains(family)) {
            Some(family) => out.push_str(&line.replacen(family, &format!("{family}_total"), 1)),
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

fn entry<T: Default>(map: &Mutex<BTreeMap<String, Arc<T>>>, name: &str) -> Arc<T> {
    map.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default().clone()
}

/// Counters of one upstream.
#[derive(Debug)]
pub struct UpstreamMetrics {
    by_status: [AtomicU64; STATUSES],
    buckets: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
    replays: AtomicU64,
    tunnels: AtomicU64,
}

/// A tunnel, counted as long as this is there.
#[derive(Debug)]
pub struct OpenTunnel<'a>(&'a AtomicU64);

impl Drop for OpenTunnel<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Default for UpstreamMetrics {
    fn default() -> Self {
        Self {
            by_status: [const { AtomicU64::new(0) }; STATUSES],
            buckets: [const { AtomicU64::new(0) }; BUCKETS.len() + 1],
            nanoseconds: AtomicU64::new(0),
            replays: AtomicU64::new(0),
            tunnels: AtomicU64::new(0),
        }
    }
}

impl UpstreamMetrics {
    /// One exchange ended with `status`, `took` after its head was read.
    pub fn answered(&self, status: StatusCode, took: Duration) {
        let index = usize::from(status.as_u16()).saturating_sub(LOWEST_STATUS).min(STATUSES - 1);
        self.by_status[index].fetch_add(1, Relaxed);
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// One request was sent a second time with a newer token.
    pub fn replayed(&self) {
        self.replays.fetch_add(1, Relaxed);
    }

    /// A tunnel (a WebSocket, another upgrade, one to what is no upstream) is open from now on.
    pub fn tunnel(&self) -> OpenTunnel<'_> {
        self.tunnels.fetch_add(1, Relaxed);
        OpenTunnel(&self.tunnels)
    }

    /// Tunnels that are open.
    pub fn tunnels(&self) -> u64 {
        self.tunnels.load(Relaxed)
    }

    /// Answers so far.
    pub fn requests(&self) -> u64 {
        self.counts().map(|(_, count)| count).sum()
    }

    /// Answers so far with a status of 500 and above.
    pub fn errors(&self) -> u64 {
        self.counts().filter(|(status, _)| *status >= 500).map(|(_, count)| count).sum()
    }

    /// Answers so far by how long they took: one count for each of [`BUCKETS`] and one for what took longer.
    pub fn durations(&self) -> [u64; BUCKETS.len() + 1] {
        std::array::from_fn(|bucket| self.buckets[bucket].load(Relaxed))
    }

    /// Requests so far that were sent a second time.
    pub fn replays(&self) -> u64 {
        self.replays.load(Relaxed)
    }

    fn counts(&self) -> impl Iterator<Item = (usize, u64)> {
        let counts = self.by_status.iter().enumerate();
        counts.map(|(at, count)| (at + LOWEST_STATUS, count.load(Relaxed))).filter(|(_, count)| *count > 0)
    }
}

/// How a token request ended, as the metric's label says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A token.
    Granted,
    /// 403 or 429.
    Limited,
    /// A final OAuth error.
    Refused,
    /// Anything else.
    Failed,
}

impl Outcome {
    const ALL: [(Self, &str); 4] = [
        (Self::Granted, "granted"),
        (Self::Limited, "limited"),
        (Self::Refused, "refused"),
        (Self::Failed, "failed"),
    ];
}

/// Counters of one token recipe.
#[derive(Debug, Default)]
pub struct TokenMetrics {
    requests: [AtomicU64; 4],
    /// Milliseconds since 1970; 0: none held.
    expires_at: AtomicU64,
    /// Sources of this name that need a person now. For a moment of a reload there may be two.
    logins_required: AtomicU64,
    /// How often one came to need one.
    times_login_required: AtomicU64,
}

impl TokenMetrics {
    /// One token request ended.
    pub fn requested(&self, outcome: Outcome) {
        self.requests[outcome as usize].fetch_add(1, Relaxed);
    }

    /// Token requests that ended so far with `outcome`.
    pub fn requests(&self, outcome: Outcome) -> u64 {
        self.requests[outcome as usize].load(Relaxed)
    }

    /// The held token's expiry; `None` where none is held.
    pub fn expires_at(&self, at: Option<SystemTime>) {
        let since = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        self.expires_at.store(u64::try_from(since.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// A source has come to need a person (`true`), or one that did does no more.
    pub fn login_required(&self, required: bool) {
        if required {
            self.logins_required.fetch_add(1, Relaxed);
            self.times_login_required.fetch_add(1, Relaxed);
        } else {
            self.logins_required.fetch_sub(1, Relaxed);
        }
    }
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clone();
        requests(&mut encoder, &upstreams)?;
        let mut family = describe(
            &mut encoder,
            "bearward_token_requests",
            "Requests to token endpoints, by the token and how they ended.",
            MetricType::Counter,
        )?;
        for (name, metrics) in &tokens {
            for (outcome, label) in Outcome::ALL {
                counter(&mut family, &[("token", name), ("outcome", label)], metrics.requests(outcome))?;
            }
        }
        let mut family = describe(
            &mut encoder,
            "bearward_token_expires_at_seconds",
            "When the held token stops being sent, in seconds since 1970; absent while none is held.",
            MetricType::Gauge,
        )?;
        for (name, metrics) in &tokens {
            let at = metrics.expires_at.load(Relaxed);
            if at > 0 {
                let seconds = Duration::from_millis(at).as_secs_f64();
                family.encode_family(&[("token", name.as_str())])?.encode_gauge(&seconds)?;
            }
        }
        logins(&mut encoder, &tokens)?;
        let mut family =
            describe(&mut encoder, "bearward_build_info", "The version that runs.", MetricType::Gauge)?;
        family.encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?.encode_gauge(&1u32)
    }
}

/// What each upstream has.
fn requests(
    encoder: &mut DescriptorEncoder<'_>,
    upstreams: &BTreeMap<String, Arc<UpstreamMetrics>>,
) -> fmt::Result {
    let mut family = describe(
        encoder,
        "bearward_requests",
        "Answers given to applications, by the upstream and the status.",
        MetricType::Counter,
    )?;
    for (name, metrics) in upstreams {
        for (status, count) in metrics.counts() {
            counter(&mut family, &[("upstream", name), ("code", &status.to_string())], count)?;
        }
    }
    let mut family = describe(
        encoder,
        "bearward_request_duration_seconds",
        "From a request's head to the head of its answer.",
        MetricType::Histogram,
    )?;
    for (name, metrics) in upstreams {
        histogram(&mut family, name, metrics)?;
    }
    let mut family = describe(
        encoder,
        "bearward_retries",
        "Requests sent a second time with a newer token.",
        MetricType::Counter,
    )?;
    for (name, metrics) in upstreams {
        counter(&mut family, &[("upstream", name)], metrics.replays())?;
    }
    let mut family = describe(
        encoder,
        "bearward_tunnels",
        "WebSockets, other upgrades and tunnels to what is no upstream that are open now.",
        MetricType::Gauge,
    )?;
    for (name, metrics) in upstreams {
        family.encode_family(&[("upstream", name.as_str())])?.encode_gauge(&metrics.tunnels())?;
    }
    Ok(())
}

/// A gauge called `bearward_login_required` would clash: OpenMetrics names a counter's family without its `_total`.
fn logins(encoder: &mut DescriptorEncoder<'_>, tokens: &BTreeMap<String, Arc<TokenMetrics>>) -> fmt::Result {
    let mut family = describe(
        encoder,
        "bearward_login_required",
        "How often a token came to need a person: a login, or a new refresh token.",
        MetricType::Counter,
    )?;
    for (name, metrics) in tokens {
        counter(&mut family, &[("token", name)], metrics.times_login_required.load(Relaxed))?;
    }
    let mut family = describe(
        encoder,
        "bearward_token_login_required",
        "1 while a token needs a person; the one that is held may still serve until it expires.",
        MetricType::Gauge,
    )?;
    for (name, metrics) in tokens {
        let required = metrics.logins_required.load(Relaxed).min(1);
        family.encode_family(&[("token", name.as_str())])?.encode_gauge(&required)?;
    }
    Ok(())
}

fn describe<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
    kind: MetricType,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, kind)
}

fn counter(family: &mut MetricEncoder<'_>, labels: &[(&str, &str)], count: u64) -> fmt::Result {
    family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&count, None)
}

fn histogram(family: &mut MetricEncoder<'_>, name: &str, metrics: &UpstreamMetrics) -> fmt::Result {
    let bounds = BUCKETS.iter().copied().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> =
        bounds.zip(&metrics.buckets).map(|(bound, count)| (bound, count.load(Relaxed))).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    let sum = Duration::from_nanos(metrics.nanoseconds.load(Relaxed)).as_secs_f64();
    family.encode_family(&[("upstream", name)])?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_and_labels_are_those_of_the_specification() {
        let metrics = Metrics::default();
        let shop = metrics.upstream("shop");
        shop.answered(StatusCode::OK, Duration::from_millis(3));
        shop.answered(StatusCode::BAD_GATEWAY, Duration::from_secs(90));
        shop.replayed();
        let _open = shop.tunnel();
        drop(shop.tunnel());
        metrics.token("shop").requested(Outcome::Limited);
        metrics.token("shop").expires_at(Some(UNIX_EPOCH + Duration::from_secs(5)));
        for required in [true, false, true] {
            metrics.token("shop").login_required(required);
        }
        let text = metrics.encode(Format::OpenMetrics).unwrap();
        for line in [
            "bearward_requests_total{upstream=\"shop\",code=\"200\"} 1",
            "bearward_requests_total{upstream=\"shop\",code=\"502\"} 1",
            "bearward_request_duration_seconds_count{upstream=\"shop\"} 2",
            "bearward_request_duration_seconds_bucket{le=\"0.005\",upstream=\"shop\"} 1",
            "bearward_request_duration_seconds_bucket{le=\"+Inf\",upstream=\"shop\"} 2",
            "bearward_retries_total{upstream=\"shop\"} 1",
            "bearward_tunnels{upstream=\"shop\"} 1",
            "bearward_token_requests_total{token=\"shop\",outcome=\"limited\"} 1",
            "bearward_token_requests_total{token=\"shop\",outcome=\"granted\"} 0",
            "bearward_token_expires_at_seconds{token=\"shop\"} 5.0",
            "bearward_login_required_total{token=\"shop\"} 2",
            "bearward_token_login_required{token=\"shop\"} 1",
            concat!("bearward_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert_eq!((shop.requests(), shop.errors(), shop.replays()), (2, 1, 1));
    }

    #[test]
    fn the_older_format_names_counters_as_their_samples_are_named() {
        let metrics = Metrics::default();
        metrics.upstream("shop").replayed();
        let text = metrics.encode(Format::accepted(Some("text/plain"))).unwrap();
        for line in [
            "# HELP bearward_retries_total Requests sent a second time with a newer token.\n",
            "# TYPE bearward_retries_total counter\nbearward_retries_total{upstream=\"shop\"} 1\n",
            "# TYPE bearward_request_duration_seconds histogram\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("# EOF"));
        let asked = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5";
        assert_eq!(Format::accepted(Some(asked)), Format::OpenMetrics);
        assert_eq!(Format::accepted(None), Format::Prometheus);
    }

    #[test]
    fn a_name_cannot_break_out_of_its_label() {
        let metrics = Metrics::default();
        metrics.upstream("a\"b\\c\nd").replayed();
        assert!(metrics.encode(Format::Prometheus).unwrap().contains(r#"{upstream="a\"b\\c\nd"} 1"#));
    }
}
