//! Reads which file of a crate uses which, for the rules that `./test --only tidy` holds the repository to.
//!
//! A use is an import or a path in the code, followed through re-exports to the file that defines what it names. Code
//! under `#[cfg(test)]` is passed over, and so is a bare `mod`: that a folder has a file is no use of it.
//!
//! | module | what |
//! |---|---|
//! | [`token`] | source text, cut into tokens |
//! | [`module`] | tokens, read as modules: what each defines, imports and names |
//! | [`uses`] | the names, resolved: which file uses which |
//! | [`circle`] | files that use each other in a circle |
//!
//! ```
//! use claviger_tidy::{circle, uses::Uses};
//!
//! let uses = Uses::of_crate(concat!(env!("CARGO_MANIFEST_DIR"), "/src").as_ref())?;
//! assert!(circle::circles(&uses).is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod circle;
pub mod module;
pub mod token;
pub mod uses;
