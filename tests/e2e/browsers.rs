//! The browser that other tests look through shows what there is, hides nothing that a page complains of, and a machine
//! without one is no failure.

use http::Response;

use crate::support::{
    browser::{Browser, Look, css, label, role},
    site::{Site, html},
};

const STRICT: &str =
    "default-src 'none'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'";

const PAGE: &str = "<!doctype html><html lang=en><title>Here</title><main><h1>Here</h1>
    <form action=/written method=post><label>Name <input name=name></label> <button>Write</button></form>
    <a href=/second target=_blank>Another tab</a><p id=later></p></main><script src=/script.js></script>";

async fn site() -> Site {
    Site::start(|request| {
        let mut page = match request.uri().path() {
            "/" => html(PAGE),
            "/script.js" => {
                let script = "setTimeout(() => { document.querySelector('#later').textContent = 'It came.' }, 50)";
                let page = Response::builder().header("content-type", "text/javascript");
                page.body(script.into()).unwrap()
            }
            "/written" => html(format!("<!doctype html><p>{}", String::from_utf8_lossy(request.body()))),
            "/second" => html("<!doctype html><title>Second</title><p>The second tab"),
            "/bad" => html(
                "<!doctype html><html lang=en><title>Bad</title><main><h1>Bad</h1><img src=/missing.png><input>
                 <script>document.title = 'inline'</script></main>",
            ),
            _ => Response::builder().status(404).body("".into()).unwrap(),
        };
        page.headers_mut().insert("content-security-policy", STRICT.parse().unwrap());
        page
    })
    .await
}

#[tokio::test]
async fn a_strict_policy_keeps_no_test_from_looking() {
    let Some(browser) = Browser::start().await else { return };
    let site = site().await;
    let page = browser.open(Look { dark: true, ..Look::default() }).await;
    assert_eq!(page.goto(&format!("http://{}/", site.address())).await, Ok(200));
    page.sees("It came.").await;
    assert_eq!(page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches").await, true);
    assert_eq!(
        page.evaluate("new Promise((done) => setTimeout(() => done({ a: [1] }), 1))").await["a"][0],
        1
    );
    let wrong = page.axe().await;
    assert!(wrong.iter().all(|violation| !violation.is_serious()), "{wrong:?}");
    page.click(role("link", "Another tab")).await;
    let tab = page.tab().await;
    tab.sees("The second tab").await;
    assert_eq!(tab.address().await, format!("http://{}/second", site.address()));
    tab.close().await;
    let picture = tempfile::NamedTempFile::with_suffix(".png").unwrap();
    page.screenshot(picture.path(), true).await;
    assert!(std::fs::read(picture.path()).unwrap().starts_with(b"\x89PNG"));
    page.fill(label("Name"), "Ada").await;
    page.click(role("button", "Write")).await;
    page.sees("name=Ada").await;
    page.sees_no("Write").await;
    assert_eq!(page.complaints().await, Vec::<String>::new());
    assert!(site.asked().iter().any(|request| request.method() == "POST"));
}

#[tokio::test]
async fn what_a_page_does_wrong_is_collected() {
    let Some(browser) = Browser::start().await else { return };
    let site = site().await;
    let page = browser.open(Look::default()).await;
    assert_eq!(page.goto(&format!("http://{}/bad", site.address())).await, Ok(200));
    let complaints = page.complaints().await;
    for part in ["csp: script-src-elem forbids inline", "csp: img-src forbids"] {
        assert!(complaints.iter().any(|complaint| complaint.starts_with(part)), "{part}: {complaints:#?}");
    }
    assert_eq!(page.text_of(css("h1")).await, "Bad");
    assert_eq!(page.evaluate("document.title").await, "Bad");
    let wrong = page.axe().await;
    let serious: Vec<_> =
        wrong.iter().filter(|violation| violation.is_serious()).map(|v| v.id.as_str()).collect();
    assert_eq!(serious, ["image-alt", "label"], "{wrong:?}");
    let nobody = page.goto("http://127.0.0.1:1/").await.unwrap_err();
    assert!(nobody.contains("ERR_"), "{nobody}");
}
