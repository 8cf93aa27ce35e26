use super::*;

#[test]
fn a_leaf_of_a_ca_is_accepted_by_its_clients() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::in_folder(&folder.path().join("new"));
    let clock = Clock::system();
    let hosts = Hosts::only(["api.example", "127.0.0.1"]).unwrap();
    let authority = Authority::make(&files, &hosts, Overwrite::Never, &clock).unwrap();
    assert_eq!(authority.age(), Age::Good);
    authority.server_config("API.example.").unwrap();
    authority.server_config("127.0.0.1").unwrap();
    let problem = authority.server_config("other.example").unwrap_err();
    assert!(matches!(problem, LeafError::NotPermitted(_)), "{problem}");
    println!("{problem}");
    let problem = authority.server_config("[::1]").unwrap_err();
    assert!(matches!(problem, LeafError::NotPermitted(_)), "{problem}");
}
