//! Reads and writes files of test vectors: sections of named octets, for people and for programs.
//!
//! ```text
//! # a comment
//! [section]
//! name = 00112233
//!   44556677
//! ```
//!
//! Octets are hexadecimal; a line that begins with a blank goes on with the one before.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, sync::Once};

/// The octets of one line; the rest goes on in the next.
const OCTETS_PER_LINE: usize = 48;

/// A file of vectors in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vectors {
    sections: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

impl Vectors {
    /// Reads a file of vectors, which `record` makes anew before its first reading if vectors are recorded.
    pub fn published(path: &Path, recorded: &Once, record: fn()) -> Self {
        recorded.call_once(|| {
            if recording() {
                record();
            }
        });
        Self::read(path)
    }

    /// Reads a file.
    ///
    /// # Panics
    ///
    /// If it is missing or is not of this form: a test without its vectors has failed.
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::parse(&text).unwrap_or_else(|line| panic!("{}:{line}: no vector", path.display()))
    }

    fn parse(text: &str) -> Result<Self, usize> {
        let mut vectors = Self::default();
        let mut section = String::new();
        let mut name = String::new();
        for (number, line) in text.lines().enumerate() {
            let trimmed = line.trim();
            if trimmed.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(title) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = title.to_owned();
                name.clear();
                continue;
            }
            let digits = match line.split_once('=') {
                Some((left, right)) if !line.starts_with(char::is_whitespace) => {
                    name = left.trim().to_owned();
                    right.trim()
                }
                _ if name.is_empty() => return Err(number + 1),
                _ => trimmed,
            };
            let octets = octets(digits).ok_or(number + 1)?;
            let places = vectors.sections.entry(section.clone()).or_default();
            places.entry(name.clone()).or_default().extend(octets);
        }
        Ok(vectors)
    }

    /// Names the sections, in alphabetical order.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }

    /// Finds octets.
    ///
    /// # Panics
    ///
    /// If there are none of this name.
    pub fn octets(&self, section: &str, name: &str) -> &[u8] {
        let found = self.sections.get(section).and_then(|section| section.get(name));
        found.unwrap_or_else(|| panic!("no {name} in [{section}]"))
    }

    /// Finds octets of a fixed number.
    ///
    /// # Panics
    ///
    /// If there are none of this name, or not so many.
    pub fn array<const N: usize>(&self, section: &str, name: &str) -> [u8; N] {
        let octets = self.octets(section, name);
        octets.try_into().unwrap_or_else(|_| panic!("{name} in [{section}] has not {N} octets"))
    }

    /// Finds a number of four octets.
    ///
    /// # Panics
    ///
    /// If there is none of this name.
    pub fn number(&self, section: &str, name: &str) -> u32 {
        u32::from_be_bytes(self.array(section, name))
    }
}

/// A file of vectors in the making: it keeps the order of writing, and comments.
#[derive(Debug, Default)]
pub struct VectorWriter {
    text: String,
}

impl VectorWriter {
    /// Adds a comment of one line.
    pub fn comment(&mut self, line: &str) -> &mut Self {
        let _ = writeln!(self.text, "# {line}");
        self
    }

    /// Begins a section.
    pub fn section(&mut self, title: &str) -> &mut Self {
        let _ = writeln!(self.text, "\n[{title}]");
        self
    }

    /// Adds octets.
    pub fn octets(&mut self, name: &str, octets: &[u8]) -> &mut Self {
        let _ = write!(self.text, "{name} =");
        for (position, line) in octets.chunks(OCTETS_PER_LINE).enumerate() {
            self.text.push_str(if position == 0 { " " } else { "\n  " });
            line.iter().for_each(|octet| {
                let _ = write!(self.text, "{octet:02x}");
            });
        }
        self.text.push('\n');
        self
    }

    /// Writes the file.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn write(&self, path: &Path) {
        fs::write(path, &self.text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// Says whether vectors are to be made anew, instead of verified as they are: where ECDSA and curves take part, new
/// ones differ each time.
fn recording() -> bool {
    std::env::var_os("CLAVIGER_RECORD_VECTORS").is_some()
}

fn octets(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let long: Vec<u8> = (0..200).collect();
        let mut writer = VectorWriter::default();
        writer.comment("a file").section("one").octets("long", &long).octets("none", &[]);
        writer.section("two").octets("number", &[0, 0, 1, 0]);
        let vectors = Vectors::parse(&writer.text).expect("own text is read");
        assert_eq!(vectors.octets("one", "long"), long);
        assert_eq!(vectors.octets("one", "none"), [0; 0]);
        assert_eq!(vectors.number("two", "number"), 256);
        assert_eq!(vectors.sections().collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn names_the_line_that_is_no_vector() {
        for (text, line) in [("[a]\nx = 0", 2), ("[a]\n\n00", 3), ("[a]\nx = zz", 2), ("[a]\nx = 00\n y", 3)]
        {
            assert_eq!(Vectors::parse(text), Err(line), "{text}");
        }
    }
}
