//! A browser of few means: it opens addresses, sends forms and finds its way about a page.
//!
//! Knows HTTP over loopback with the fields of a navigation, and as much HTML as the pages of a simulator have. Keeps nothing
//! and decides nothing.

use std::{fmt, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, Uri, header, uri};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, lookup_host},
};

use crate::demo::application::{Application, NoAnswer};

/// A page as it is shown.
#[derive(Clone, Debug)]
pub struct Page {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub fields: HeaderMap,
    /// The content.
    pub text: String,
}

/// Why a person got no further.
#[derive(Debug)]
pub enum Stuck {
    /// That is no `http://HOST[:PORT]/…` address.
    Address(String),
    /// Nobody is reached there.
    Connect(std::io::Error),
    /// Nobody answered there.
    NoAnswer(NoAnswer),
    /// The page has no form to decide on; what it says.
    NoForm(Box<Page>),
    /// A shown code was expected; what came instead.
    NoCode(Box<Page>),
}

/// Where a navigation comes from, as `Sec-Fetch-Site` says it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Site {
    /// The address was typed, or opened by another program.
    Typed,
    /// A page of the same origin.
    Same,
    /// Another site: a real provider is never on loopback.
    Other,
}

/// One step: an address that is opened, or a form that is sent.
pub(super) async fn visit(url: &str, from: Site, form: Option<String>) -> Result<Response<Bytes>, Stuck> {
    let place = Place::of(url)?;
    let request = place.request(from, form)?;
    let mut problem = Stuck::Address(url.to_owned());
    // `localhost` is two addresses, and most servers listen on one of them.
    for address in place.addresses().await? {
        match Application::new(address).send(request.clone()).await {
            Ok(response) => return Ok(response),
            Err(NoAnswer::Connect(error)) => problem = Stuck::Connect(error),
            Err(error) => return Err(Stuck::NoAnswer(error)),
        }
    }
    Err(problem)
}

/// Opens an address and closes the browser before anything can have come back.
pub(super) async fn visit_and_close(url: &str) -> Result<(), Stuck> {
    let place = Place::of(url)?;
    let addresses: Vec<_> = place.addresses().await?.collect();
    let mut stream = TcpStream::connect(&addresses[..]).await.map_err(Stuck::Connect)?;
    let head =
        format!("GET {} HTTP/1.1\r\nhost: {}\r\nsec-fetch-mode: navigate\r\n\r\n", place.target, place.host);
    stream.write_all(head.as_bytes()).await.map_err(Stuck::Connect)
}

/// Where a form's `action` on the page at `base` leads.
pub(super) fn resolved(action: &str, base: &str) -> Result<String, Stuck> {
    match action.starts_with("http://") {
        true => Ok(action.to_owned()),
        false => Ok(format!("http://{}{action}", Place::of(base)?.host)),
    }
}

/// What an address says.
struct Place {
    /// Name and port, as in `Host`.
    host: String,
    target: String,
}

impl Place {
    fn of(url: &str) -> Result<Self, Stuck> {
        let unusable = || Stuck::Address(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| unusable())?;
        let host = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(unusable)?;
        let target = uri.path_and_query().map_or("/", uri::PathAndQuery::as_str);
        Ok(Self { host: host.to_string(), target: target.to_owned() })
    }

    async fn addresses(&self) -> Result<impl Iterator<Item = SocketAddr> + use<>, Stuck> {
        let port = self.host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let name = if port { self.host.clone() } else { format!("{}:80", self.host) };
        lookup_host(name).await.map(|found| found.collect::<Vec<_>>().into_iter()).map_err(Stuck::Connect)
    }

    fn request(&self, from: Site, form: Option<String>) -> Result<Request<Bytes>, Stuck> {
        let mut request = match &form {
            None => Request::get(&self.target),
            Some(_) => Request::post(&self.target)
                .header(header::ORIGIN, format!("http://{}", self.host))
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded"),
        };
        let site = match from {
            Site::Typed => "none",
            Site::Same => "same-origin",
            Site::Other => "cross-site",
        };
        for (name, value) in [
            (header::HOST, self.host.as_str()),
            (header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8"),
            (HeaderName::from_static("sec-fetch-dest"), "document"),
            (HeaderName::from_static("sec-fetch-mode"), "navigate"),
            (HeaderName::from_static("sec-fetch-site"), site),
            (HeaderName::from_static("sec-fetch-user"), "?1"),
        ] {
            request = request.header(name, value);
        }
        let request = request.body(Bytes::from(form.unwrap_or_default()));
        request.map_err(|problem| Stuck::Address(problem.to_string()))
    }
}

impl Page {
    pub(super) fn of(response: Response<Bytes>) -> Self {
        let (head, body) = response.into_parts();
        let text = String::from_utf8_lossy(&body).into_owned();
        Self { status: head.status, fields: head.headers, text }
    }

    /// The code that it shows to be copied.
    pub fn code(&self) -> Option<String> {
        between(&self.text, "<code id=\"code\">", "</code>")
    }

    /// Where its form goes.
    pub(super) fn action(&self) -> Option<String> {
        let (_, rest) = self.text.split_once("<form ")?;
        attribute(rest.split('>').next()?, "action")
    }

    /// What its form carries unseen.
    pub(super) fn hidden_inputs(&self) -> Vec<(String, String)> {
        let hidden = self.inputs().filter(|input| attribute(input, "type").as_deref() == Some("hidden"));
        hidden.filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value")?))).collect()
    }

    /// What is already in a field of its form.
    pub(super) fn input(&self, name: &str) -> Option<String> {
        attribute(self.inputs().find(|input| attribute(input, "name").as_deref() == Some(name))?, "value")
    }

    fn inputs(&self) -> impl Iterator<Item = &str> {
        self.text.split("<input ").skip(1).filter_map(|rest| rest.split('>').next())
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    between(tag, &format!("{name}=\""), "\"")
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    let (found, _) = rest.split_once(after)?;
    let found = found.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    Some(found.replace("&amp;", "&"))
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "that is no address to go to: {address}"),
            Self::Connect(source) => write!(f, "nobody is there: {source}"),
            Self::NoAnswer(source) => write!(f, "no page came: {source}"),
            Self::NoForm(page) => write!(f, "there is no form on the page ({}): {}", page.status, page.text),
            Self::NoCode(page) => write!(f, "no code is shown ({}): {}", page.status, page.text),
        }
    }
}

impl std::error::Error for Stuck {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(source) => Some(source),
            Self::NoAnswer(source) => Some(source),
            _ => None,
        }
    }
}
