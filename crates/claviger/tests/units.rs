//! The units for systemd that are shipped.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{fs, path::Path, process::Command};

const PROGRAM: &str = env!("CARGO_BIN_EXE_claviger");

/// Where the units expect the program.
const INSTALLED: &str = "/usr/local/bin/claviger";

fn units() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/systemd");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.map(|path| (name(&path), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn what_units_run_are_commands_of_the_program() {
    let mut commands = 0;
    for (name, text) in units() {
        for line in text.lines().filter(|line| line.starts_with("Exec")) {
            let (_, command) = line.split_once('=').unwrap();
            let mut words = command.split(' ');
            assert_eq!(words.next(), Some(INSTALLED), "{name}: {line}");
            let shown = Command::new(PROGRAM).args(words).arg("--help").output().unwrap();
            assert!(shown.status.success(), "{name}: {line}: {}", String::from_utf8_lossy(&shown.stderr));
            commands += 1;
        }
    }
    assert!(commands > 0);
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in units() {
        let path = directory.path().join(&name);
        fs::write(&path, text.replace(INSTALLED, PROGRAM)).unwrap();
        let verified = match Command::new("systemd-analyze").arg("verify").arg(&path).output() {
            Ok(verified) => verified,
            Err(error) => return println!("{name} is read by its commands only: systemd-analyze: {error}"),
        };
        let errors = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && !errors.contains(&name), "{name}: {errors}");
    }
}
