//! A person with a browser, scripted: looks at the page of an authorization server, decides, and goes where that sends them.
//!
//! Knows forms and redirects, over real HTTP on loopback, and how a browser's address bar can be tampered with. Knows nothing
//! of what the client keeps to itself (`state`, the PKCE verifier).

use bytes::Bytes;
use http::{Response, header};

use super::browser::{self, Site, resolved, visit};
pub use super::browser::{Page, Stuck};

/// A person who knows their login name.
#[derive(Clone, Debug)]
pub struct Person {
    username: String,
}

/// What a person does with the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Allows it.
    Allow,
    /// Refuses.
    Refuse,
}

/// Where a decision leads.
#[derive(Clone, Debug)]
pub enum Decided {
    /// The browser is sent elsewhere, and has not gone there yet.
    Sent(Redirect),
    /// A page is shown, with a code to copy or with something else.
    Page(Page),
}

/// Where the browser is about to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    url: String,
}

impl Default for Person {
    fn default() -> Self {
        Self::new()
    }
}

impl Person {
    /// The cook of the examples.
    pub fn new() -> Self {
        Self::named(super::apicbase::USERNAME)
    }

    /// A person who logs in as `username`.
    pub fn named(username: &str) -> Self {
        Self { username: username.to_owned() }
    }

    /// Allows what `url` asks for and goes where that leads: the page at the end of it, one that shows a code included.
    ///
    /// # Errors
    /// No form was shown, or nobody listens where the browser is sent.
    pub async fn allow(&self, url: &str) -> Result<Page, Stuck> {
        self.go_on(url, Decision::Allow).await
    }

    /// Refuses what `url` asks for and goes where that leads.
    ///
    /// # Errors
    /// As [`Person::allow`].
    pub async fn refuse(&self, url: &str) -> Result<Page, Stuck> {
        self.go_on(url, Decision::Refuse).await
    }

    /// Allows what `url` asks for and copies the code that is shown.
    ///
    /// # Errors
    /// None is shown.
    pub async fn copy_code(&self, url: &str) -> Result<String, Stuck> {
        let page = self.allow(url).await?;
        page.code().ok_or_else(|| Stuck::NoCode(Box::new(page)))
    }

    /// Decides on what `url` asks for, and stops where that leads.
    ///
    /// # Errors
    /// No form was shown.
    pub async fn decide(&self, url: &str, decision: Decision) -> Result<Decided, Stuck> {
        self.submit(url, decision, &[]).await
    }

    /// Goes to where a device said, enters its code, and decides.
    ///
    /// # Errors
    /// No form was shown.
    pub async fn enter(&self, url: &str, user_code: &str, decision: Decision) -> Result<Page, Stuck> {
        match self.submit(url, decision, &[("user_code", user_code)]).await? {
            Decided::Page(page) => Ok(page),
            Decided::Sent(redirect) => redirect.follow().await,
        }
    }

    /// Goes to the address that has a device's code in it, and decides.
    ///
    /// # Errors
    /// No form was shown.
    pub async fn confirm(&self, url: &str, decision: Decision) -> Result<Page, Stuck> {
        let page = Page::of(visit(url, Site::Typed, None).await?);
        let entered = page.input("user_code").unwrap_or_default();
        self.enter(url, &entered, decision).await
    }

    async fn go_on(&self, url: &str, decision: Decision) -> Result<Page, Stuck> {
        match self.decide(url, decision).await? {
            Decided::Sent(redirect) => redirect.follow().await,
            Decided::Page(page) => Ok(page),
        }
    }

    /// Fills the form in as a browser does: hidden fields as they are, then what the person types and presses.
    async fn submit(&self, url: &str, decision: Decision, typed: &[(&str, &str)]) -> Result<Decided, Stuck> {
        let page = visit(url, Site::Typed, None).await?;
        if page.status().is_redirection() {
            return decided(page);
        }
        let page = Page::of(page);
        let Some(action) = page.action() else { return Err(Stuck::NoForm(Box::new(page))) };
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(page.hidden_inputs());
        form.extend_pairs(typed);
        form.append_pair("username", &self.username);
        form.append_pair("decision", if decision == Decision::Allow { "allow" } else { "refuse" });
        let action = resolved(&action, url)?;
        decided(visit(&action, Site::Same, Some(form.finish())).await?)
    }
}

impl Redirect {
    /// Where to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// With this value in the place of what the query says, or besides.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let (base, mut pairs) = self.without(name).parts();
        pairs.push((name.to_owned(), value.to_owned()));
        Self::of(&base, &pairs)
    }

    /// Without a parameter of the query.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let (base, mut pairs) = self.parts();
        pairs.retain(|(given, _)| given != name);
        Self::of(&base, &pairs)
    }

    /// The value of a parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.parts().1.into_iter().find(|(given, _)| given == name).map(|(_, value)| value)
    }

    /// Goes there, as often as it is called.
    ///
    /// # Errors
    /// Nobody answered.
    pub async fn follow(&self) -> Result<Page, Stuck> {
        Ok(Page::of(visit(&self.url, Site::Other, None).await?))
    }

    /// Goes there and closes the browser before anything can have come back.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn follow_and_close(&self) -> Result<(), Stuck> {
        browser::visit_and_close(&self.url).await
    }

    fn parts(&self) -> (String, Vec<(String, String)>) {
        let (base, query) = self.url.split_once('?').unwrap_or((&self.url, ""));
        (base.to_owned(), form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn of(base: &str, pairs: &[(String, String)]) -> Self {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        Self { url: format!("{base}?{query}") }
    }
}

fn decided(response: Response<Bytes>) -> Result<Decided, Stuck> {
    if let (true, Some(to)) = (response.status().is_redirection(), response.headers().get(header::LOCATION)) {
        let url = to.to_str().map_err(|_| Stuck::Address("a Location that is no text".to_owned()))?;
        return Ok(Decided::Sent(Redirect { url: url.to_owned() }));
    }
    Ok(Decided::Page(Page::of(response)))
}
