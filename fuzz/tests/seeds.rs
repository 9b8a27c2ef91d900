//! Feeds every seed to its target, without libFuzzer: what was found once is not found again.

use std::{
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

use claviger_fuzz::targets::{TARGETS, Target};

/// Lists the files of a folder in the folder of seeds; none if there is no such folder.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(folder);
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
    files.sort_unstable();
    files
}

#[test]
fn every_seed_is_survived() {
    let mut fallen = Vec::new();
    let mut fed = 0;
    for Target { name, feed } in TARGETS {
        for path in files(name) {
            let input = fs::read(&path).expect("a seed can be read");
            if catch_unwind(|| feed(&input)).is_err() {
                fallen.push(path);
            }
            fed += 1;
        }
    }
    assert!(fallen.is_empty(), "these seeds broke their targets: {fallen:#?}");
    println!("{fed} seeds of {} targets", TARGETS.len());
}

#[test]
fn every_target_has_seeds_and_every_folder_a_target() {
    let folders = files("").into_iter().map(|folder| {
        folder.file_name().expect("a folder has a name").to_str().expect("names are ASCII").to_owned()
    });
    let targets: Vec<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(folders.collect::<Vec<_>>(), targets);
    for Target { name, .. } in TARGETS {
        assert!(!files(name).is_empty(), "{name} has no seeds");
    }
}

#[test]
fn every_target_survives_octets_without_a_form() {
    for Target { feed, .. } in TARGETS {
        for input in [&[][..], &[0], &[0xff; 64], &[0; 2048]] {
            feed(input);
        }
    }
}
