//! Every configuration that a reader may copy passes `bearward check`.

use std::path::Path;

use crate::{
    documents, files,
    markdown::{Block, blocks},
    read, root,
    stage::{Ended, Stage},
};

async fn check(text: &str) -> Ended {
    let mut stage = Stage::new();
    let path = stage.write("bearward.toml", text);
    stage.end(&format!("bearward check -c {}", path.display())).await
}

async fn assert_valid(wherefrom: &Path, text: &str) {
    let ended = check(text).await;
    assert_eq!(ended.status, Some(0), "{}:\n{text}\n{}{}", wherefrom.display(), ended.stdout, ended.stderr);
}

#[tokio::test]
async fn every_configuration_in_the_documents_is_valid() {
    let mut seen = 0;
    for document in documents() {
        for block in blocks(&read(&document)) {
            if let Block::Configuration { text, .. } = block {
                assert_valid(&document, &text).await;
                seen += 1;
            }
        }
    }
    assert!(seen > 0, "no configuration was found");
}

#[tokio::test]
async fn every_configuration_in_deploy_is_valid() {
    let shipped = files("deploy", "toml");
    assert!(shipped.len() >= 3, "found {shipped:?}");
    for path in shipped {
        assert_valid(&path, &read(&path)).await;
    }
}

#[tokio::test]
async fn a_configuration_with_a_mistake_is_told_apart() {
    let text = read(&root().join("deploy/systemd/bearward.toml"));
    let mistaken = text.replace("token  = \"shop\"", "token  = \"shpo\"");
    assert_ne!(text, mistaken);
    assert_eq!(check(&mistaken).await.status, Some(78));
}

#[test]
fn a_shipped_store_is_a_folder_below_what_is_mounted() {
    for path in files("deploy", "toml") {
        let text = read(&path);
        assert!(text.contains("path = \"/var/lib/bearward/store\""), "{}", path.display());
    }
}
