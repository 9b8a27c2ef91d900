//! What a writer leaves in memory.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

use claviger_wire::Writer;

/// How many octets tell a text from everything else in memory.
const LEN: usize = 24;

/// Where in the text those stand that are looked for: the allocator writes over the first of what it is given back.
const AT: usize = 72;

/// How much memory is read at once.
const PART_LEN: usize = 4096;

/// An octet of a text that stands nowhere in one piece but where a writer puts it.
fn octet(index: usize) -> u8 {
    (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]
}

/// Lists where the memory lies that this process can write to.
fn regions() -> Vec<(u64, u64)> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let region = |line: &str| {
        let (range, rights) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        rights.starts_with("rw").then_some((start, end))
    };
    maps.lines().filter_map(region).collect()
}

/// Counts how often the text stands in memory. It allocates nothing, which might come to lie over the text.
fn copies(regions: &[(u64, u64)]) -> usize {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut part = [0; PART_LEN + LEN - 1];
    let mut count = 0;
    for (start, end) in regions {
        for at in (*start..*end).step_by(PART_LEN) {
            let length = usize::try_from(end - at).unwrap().min(part.len());
            if memory.read_exact_at(&mut part[..length], at).is_ok() {
                let is_text = |window: &[u8]| (AT..).zip(window).all(|(index, found)| *found == octet(index));
                count += part[..length].windows(LEN).filter(|window| is_text(window)).count();
            }
            // It lies in this memory too.
            part.fill(0);
        }
    }
    count
}

#[test]
fn nothing_that_was_written_stays_when_the_buffer_grows_and_when_it_ends() {
    let mut w = Writer::new();
    for index in 0..AT + LEN {
        w.u8(octet(index));
    }
    assert_eq!(copies(&regions()), 1, "the search finds what is there");
    // More than there was room for at first.
    w.zeros(5_000);
    let regions = regions();
    assert_eq!(copies(&regions), 1, "the first buffer is gone");
    drop(w);
    assert_eq!(copies(&regions), 0);
}
