//! Files that use each other in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::uses::{Target, Uses};

/// The files that each file uses.
type Arrows<'a> = BTreeMap<&'a Path, BTreeSet<&'a Path>>;

/// Finds the files that use each other in a circle: each set in which every file leads to every other.
pub fn circles(uses: &Uses) -> Vec<BTreeSet<&Path>> {
    let mut arrows = Arrows::new();
    for (file, target) in uses.0.keys() {
        match target {
            Target::File(used) => drop(arrows.entry(file.as_path()).or_default().insert(used.as_path())),
            Target::Crate(_) => {}
        }
    }
    let reached: Arrows<'_> = arrows.keys().map(|file| (*file, reached_from(file, &arrows))).collect();
    let mut circles = BTreeSet::new();
    for (file, others) in &reached {
        let circle: BTreeSet<&Path> = others
            .iter()
            .copied()
            .filter(|other| reached.get(other).is_some_and(|from_there| from_there.contains(file)))
            .collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

/// Finds the files that one leads to, over any number of others.
fn reached_from<'a>(file: &'a Path, arrows: &Arrows<'a>) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut next = vec![file];
    while let Some(file) = next.pop() {
        let used = arrows.get(file).into_iter().flatten().copied();
        next.extend(used.filter(|used| reached.insert(*used)));
    }
    reached
}
