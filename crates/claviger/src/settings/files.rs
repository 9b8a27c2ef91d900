//! One file or several, as settings name them.

use std::{fmt, path::PathBuf};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

/// One file or several: in a configuration file, a string or a list of strings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Files(pub(crate) Vec<PathBuf>);

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FilesVisitor)
    }
}

struct FilesVisitor;

impl<'de> Visitor<'de> for FilesVisitor {
    type Value = Files;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a file or a list of files")
    }

    fn visit_str<E>(self, file: &str) -> Result<Files, E> {
        Ok(Files(vec![file.into()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Files, A::Error> {
        let mut files = Vec::new();
        while let Some(file) = sequence.next_element()? {
            files.push(file);
        }
        Ok(Files(files))
    }
}
