//! Which file uses which, in small crates that the tests write.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{fs, path::PathBuf};

use claviger_tidy::{
    circle::circles,
    uses::{Target, Uses},
};

/// A crate in a folder of its own, removed at the end.
struct Source(PathBuf);

impl Source {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&folder);
        for (file, text) in files {
            let file = folder.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        Self(folder)
    }

    /// Shows each use as `a.rs > b.rs`.
    fn uses(&self) -> Vec<String> {
        let uses = Uses::of_crate(&self.0).unwrap();
        let short = |file: &PathBuf| file.strip_prefix(&self.0).unwrap().display().to_string();
        let target = |target: &Target| match target {
            Target::File(file) => short(file),
            Target::Crate(name) => name.clone(),
        };
        uses.0.keys().map(|(file, used)| format!("{} > {}", short(file), target(used))).collect()
    }

    fn circles(&self) -> Vec<usize> {
        circles(&Uses::of_crate(&self.0).unwrap()).iter().map(|circle| circle.len()).collect()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn imports_and_paths_are_uses_and_a_bare_mod_is_none() {
    let source = Source::new(
        "imports",
        &[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::{self, B}; fn f() -> B { b::g() }"),
            ("b.rs", "pub struct B; pub fn g() { let _ = \"crate::a::f\"; /* crate::a::f() */ }"),
            ("c.rs", "fn h() { crate::a::f(); super::b::g(); std::mem::drop(1) }"),
        ],
    );
    assert_eq!(source.uses(), ["a.rs > b.rs", "c.rs > a.rs", "c.rs > b.rs"]);
    assert!(source.circles().is_empty());
}

#[test]
fn a_name_is_followed_through_re_exports_to_its_file() {
    let source = Source::new(
        "re_exports",
        &[
            ("lib.rs", "pub mod folder; mod user; pub use folder::Inner as Renamed;"),
            ("folder/mod.rs", "mod inner; mod beside; pub use inner::*; fn parent() {}"),
            ("folder/inner.rs", "pub struct Inner;"),
            ("folder/beside.rs", "use super::Inner; use super::parent;"),
            ("user.rs", "use crate::folder::Inner; fn f(_: crate::Renamed) {}"),
        ],
    );
    let expected = [
        "folder/beside.rs > folder/inner.rs",
        "folder/beside.rs > folder/mod.rs",
        "folder/mod.rs > folder/inner.rs",
        "lib.rs > folder/inner.rs",
        "user.rs > folder/inner.rs",
    ];
    assert_eq!(source.uses(), expected);
}

#[test]
fn what_macros_define_stands_where_they_are_called() {
    let source = Source::new(
        "macros",
        &[
            ("lib.rs", "mod counter; mod make; mod user;"),
            ("make.rs", "macro_rules! counters { () => {} }"),
            ("counter.rs", "crate::counters! { pub enum Counter { A } }"),
            ("user.rs", "use crate::counter::Counter;"),
        ],
    );
    assert_eq!(source.uses(), ["counter.rs > make.rs", "user.rs > counter.rs"]);
}

#[test]
fn tests_beside_the_code_are_passed_over() {
    let source = Source::new(
        "tests",
        &[
            ("lib.rs", "mod a; mod b; #[cfg(test)] mod only_tests;"),
            (
                "a.rs",
                "use super::b::B; #[cfg(test)] use crate::b::C; #[cfg(test)] mod tests { use crate::b; }",
            ),
            ("b.rs", "pub struct B; #[cfg(test)] fn f() { crate::a::g() }"),
        ],
    );
    assert_eq!(source.uses(), ["a.rs > b.rs"]);
}

#[test]
fn a_module_inside_a_file_is_of_that_file() {
    let source = Source::new(
        "inline",
        &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub mod inner { use super::super::b::B; pub struct I; } pub struct A;"),
            ("b.rs", "pub struct B; use crate::a::inner::I; use claviger_wire::Reader;"),
        ],
    );
    assert_eq!(source.uses(), ["a.rs > b.rs", "b.rs > a.rs", "b.rs > claviger_wire"]);
    assert_eq!(source.circles(), [2]);
}

#[test]
fn circles_are_as_long_as_they_are() {
    let source = Source::new(
        "circles",
        &[
            ("lib.rs", "mod a; mod b; mod c; mod d; mod e; use a::A;"),
            ("a.rs", "pub struct A; fn f() { crate::b::f() }"),
            ("b.rs", "pub fn f() { crate::c::f() }"),
            ("c.rs", "pub fn f() { crate::d::f() }"),
            ("d.rs", "pub fn f() { crate::a::f(); crate::e::f() }"),
            ("e.rs", "pub fn f() {}"),
        ],
    );
    assert_eq!(source.circles(), [4]);
}
