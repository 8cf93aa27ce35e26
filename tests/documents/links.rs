//! Links between the files of the repository.

use crate::{documents, read, root};

#[test]
fn every_link_leads_to_a_file() {
    let mut documents = documents();
    documents.extend(["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root().join(name)));
    for document in documents {
        let text = read(&document);
        for target in text.split("](").skip(1).filter_map(|it| it.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let leads_to = document.parent().expect("a folder").join(path);
            assert!(leads_to.exists(), "{}: {target}", document.display());
        }
    }
}
