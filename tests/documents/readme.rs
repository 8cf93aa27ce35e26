//! The README, typed line by line.

use bearward::demo::simulator::{Apicbase, Shopware, apicbase, shopware};

use crate::{
    markdown::{Block, blocks},
    read, root,
    stage::Stage,
};

/// The line that CI runs, which must not run itself.
const TEST_COMMAND: &str = "cargo test";
/// CI runs this one, too, with `--quick`: it takes a quarter of an hour and every core, which no test may.
const BENCH_COMMAND: &str = "bench/run";

#[tokio::test(flavor = "multi_thread")]
async fn everything_the_readme_tells_to_type_works() {
    let shop = Shopware::new().start().await.unwrap();
    let apicbase = Apicbase::new().start().await.unwrap();
    let url = apicbase.simulator.url();
    let registered = format!("client_id={}", apicbase::CLIENT_ID);
    let simulated = format!(
        "{registered} --set base_url={url} --set upstream.url={url} --set authorization_endpoint={}",
        apicbase.authorization_endpoint()
    );
    let mut stage = Stage::new()
        .replace(&registered, &simulated)
        .replace("the-secret-of-the-app", apicbase::CLIENT_SECRET)
        .replace("https://shop.example", &shop.url())
        .replace("SWIA0123456789", shopware::CLIENT_ID)
        .replace("the-secret-of-the-integration", shopware::CLIENT_SECRET);

    let mut said = String::new();
    for block in blocks(&read(&root().join("README.md"))) {
        match block {
            Block::Configuration { name, text } => drop(stage.write(&name, &text)),
            Block::Console(commands) => {
                for command in
                    commands.iter().filter(|it| ![TEST_COMMAND, BENCH_COMMAND].contains(&&*it.line))
                {
                    said.push_str(&stage.type_in(command).await);
                }
            }
            Block::Other(_) => {}
        }
    }

    assert!(said.contains("/api/_info/version"), "the API's answer reached curl: {said}");
    assert_eq!(shop.token_requests().len(), 1, "token requests");
    assert_eq!(shop.api_requests().len(), 2, "API requests");
    assert_eq!(apicbase.simulator.counts().logins, 1, "logins");
    assert_eq!(apicbase.simulator.token_requests().len(), 1, "codes redeemed");
}

#[test]
fn what_ci_runs_stands_between_its_markers() {
    let readme = read(&root().join("README.md"));
    for (marker, expected) in
        [("<!-- test command -->\n", TEST_COMMAND), ("<!-- bench command -->\n", BENCH_COMMAND)]
    {
        let marked = readme.split_once(marker).expect("a marker").1;
        let marked = marked.split_once("<!-- end -->").expect("an end").0;
        let [Block::Console(commands)] = &blocks(marked)[..] else {
            panic!("not one console block: {marked}")
        };
        let lines: Vec<_> = commands.iter().map(|command| command.line.as_str()).collect();
        assert_eq!(lines, [expected]);
    }
}

#[test]
fn ci_runs_what_no_test_runs() {
    let ci = read(&root().join(".ci/run"));
    for step in ["step \"tests\" documented_tests\n", "step \"bench\" documented_bench\n"] {
        assert!(ci.contains(step), "{step}");
    }
    assert!(root().join(BENCH_COMMAND).is_file());
}
