//! The corpora, on a machine without a fuzzer.

use std::{collections::BTreeSet, fs, path::Path};

use proptest::prelude::*;

use super::*;

fn fuzz() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz"))
}

fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(fuzz().join(folder)).unwrap();
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn every_reader_has_a_target_and_a_corpus() {
    let ours: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), ours);
    assert_eq!(names("corpus"), ours);
    assert!(ours.len() >= 8);
}

#[test]
fn r031_r060_every_corpus_is_read_without_a_fault() {
    for (name, target) in TARGETS {
        let mut read = 0;
        for entry in fs::read_dir(fuzz().join("corpus").join(name)).unwrap() {
            let octets = fs::read(entry.unwrap().path()).unwrap();
            target(&octets);
            // Cut and changed at each place, as a fuzzer begins.
            for at in 0..octets.len().min(300) {
                target(&octets[..at]);
                for octet in *b"\r\n\0 ,;:0\x80" {
                    let mut changed = octets.clone();
                    changed[at] = octet;
                    target(&changed);
                }
            }
            read += 1;
        }
        assert!(read >= 3, "{name} has {read} seeds");
    }
}

proptest! {
    #[test]
    fn r031_r060_arbitrary_octets_are_read_without_a_fault(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        for (_, target) in TARGETS {
            target(&octets);
        }
    }
}
