//! What the observer and the members write down: one record a datagram.
//!
//! ```text
//! time 8 (microseconds since 1970) | destination port 2 | length 4 | octets
//! ```
//!
//! The file is flushed with each record, so that a process that is killed leaves whole records, and at most one
//! that is cut.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use claviger_sansio::Time;
use claviger_wire::{DecodeError, Reader};

/// One datagram, or one payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) at: Time,
    /// The port that it went to; at a member, zero.
    pub(crate) port: u16,
    pub(crate) octets: Vec<u8>,
}

/// A file that records.
pub(crate) struct Recorder(BufWriter<File>);

impl Recorder {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self(BufWriter::new(file)))
    }

    pub(crate) fn record(&mut self, at: Time, port: u16, octets: &[u8]) -> io::Result<()> {
        self.0.write_all(&at.as_micros().to_be_bytes())?;
        self.0.write_all(&port.to_be_bytes())?;
        self.0.write_all(&(octets.len() as u32).to_be_bytes())?;
        self.0.write_all(octets)?;
        self.0.flush()
    }

    /// Records how many datagrams the kernel dropped.
    pub(crate) fn drops(&mut self, count: u32) -> io::Result<()> {
        self.record(Time::EPOCH, DROPS, &count.to_be_bytes())
    }
}

/// The port of an entry that holds no datagram but how many the kernel dropped, in four octets.
const DROPS: u16 = 0xffff;

/// A recording that was read.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    pub(crate) entries: Vec<Entry>,
    /// Datagrams that the kernel dropped because the receive buffer was full (SO_RXQ_OVFL).
    pub(crate) kernel_drops: u32,
}

/// Reads a recording.
pub(crate) fn read(path: &Path) -> io::Result<Recording> {
    let octets = std::fs::read(path)?;
    let mut recording = Recording::default();
    let mut r = Reader::new(&octets);
    while !r.is_empty() {
        match entry(&mut r) {
            Ok(Entry { port: DROPS, octets, .. }) => {
                let count = octets.first_chunk().map_or(0, |octets| u32::from_be_bytes(*octets));
                recording.kernel_drops += count;
            }
            Ok(entry) => recording.entries.push(entry),
            Err(_) => break,
        }
    }
    Ok(recording)
}

fn entry(r: &mut Reader<'_>) -> Result<Entry, DecodeError> {
    let at = Time::from_micros(r.u64("time")?);
    let port = r.u16("port")?;
    let length = r.u32("length")?;
    Ok(Entry { at, port, octets: r.slice(length as usize, "octets")?.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_recorded_and_stops_at_a_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recording");
        let mut recorder = Recorder::create(&path).unwrap();
        recorder.record(Time::from_micros(5), 848, b"one").unwrap();
        recorder.record(Time::from_micros(6), 4500, b"").unwrap();
        recorder.drops(7).unwrap();
        let recording = read(&path).unwrap();
        assert_eq!(recording.kernel_drops, 7);
        let entries = recording.entries;
        assert_eq!(entries[0], Entry { at: Time::from_micros(5), port: 848, octets: b"one".to_vec() });
        assert_eq!(entries.len(), 2);
        let octets = std::fs::read(&path).unwrap();
        std::fs::write(&path, &octets[..octets.len() - 1]).unwrap();
        let cut = read(&path).unwrap();
        assert_eq!((cut.entries, cut.kernel_drops), (entries, 0));
    }
}
