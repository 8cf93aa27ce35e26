//! A machine that is out of descriptors: bearward waits, serves whom it has, and goes on when there are some again.

use std::fs;

use tokio::net::TcpStream;

use crate::support::{Application, Process, ask, origin::Origin, until};

const DESCRIPTORS: u32 = 120;

#[tokio::test]
async fn r112_without_descriptors_connections_wait_and_are_served_when_there_are_some() {
    let origin = Origin::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bearward.toml");
    fs::write(&file, origin.configuration()).unwrap();
    let bearward = Process::run_with_descriptors(&file, DESCRIPTORS);
    let address = bearward.address("api").await;

    let mut served = Application::new(address);
    assert_eq!(ask(&mut served, "/").await.status(), 200);
    let mut flood = Vec::new();
    for _ in 0..2 * DESCRIPTORS {
        flood.push(TcpStream::connect(address).await.unwrap());
    }
    until("it is out of descriptors", || bearward.log().contains("cannot accept a connection for now")).await;
    for _ in 0..20 {
        assert_eq!(ask(&mut served, "/meanwhile").await.status(), 200, "whoever is in is served");
    }
    let said = |what: &str| bearward.log().matches(what).count();
    let workers = std::thread::available_parallelism().unwrap().get();
    assert!(said("cannot accept a connection for now") <= workers, "once a worker: {}", bearward.log());

    drop(flood);
    assert_eq!(ask(&mut Application::new(address), "/after").await.status(), 200);
    assert!(!bearward.is_over());
}
