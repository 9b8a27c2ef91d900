//! How payloads are framed in a stream.
//!
//! ```text
//! | length (4, big-endian) | kind (1) | octets (length - 1) |
//! ```
//!
//! Kind 0 is data: one datagram's payload. Kind 1 says, in 8 big-endian octets, how many datagrams are missing by now,
//! in all: the last such record holds, and the number falls when a datagram comes late. A stream of datagrams is not
//! made reliable by this; a reader learns what it did not get.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The most octets of one payload: more fit no UDP datagram.
pub const PAYLOAD_LEN_MAX: usize = 65_535;

const LENGTH_LEN: usize = 4;
const DATA: u8 = 0;
const MISSING: u8 = 1;

/// One record of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The payload of one datagram.
    Data(Bytes),
    /// So many datagrams, in all, were sent to the group since the stream began and have not come.
    Missing(u64),
}

/// The octets are no stream of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordError {
    /// A record claims no kind, or more than [`PAYLOAD_LEN_MAX`] octets.
    Length(u32),
    /// A record is of an unknown kind, or has a length that its kind cannot have.
    Kind(u8),
    /// The stream ends within a record.
    Truncated,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => {
                write!(f, "a record of {length} octets exceeds {PAYLOAD_LEN_MAX} octets or is empty")
            }
            Self::Kind(kind) => write!(f, "a record of kind {kind} is unknown or of the wrong length"),
            Self::Truncated => f.write_str("the stream ends within a record"),
        }
    }
}

impl std::error::Error for RecordError {}

impl Record {
    /// Writes the record as it stands in a stream.
    ///
    /// # Errors
    ///
    /// [`RecordError::Length`] if the payload is longer than [`PAYLOAD_LEN_MAX`].
    pub fn encode(&self) -> Result<Bytes, RecordError> {
        let (kind, octets) = match self {
            Self::Data(payload) => (DATA, payload.clone()),
            Self::Missing(count) => (MISSING, Bytes::copy_from_slice(&count.to_be_bytes())),
        };
        let length = u32::try_from(octets.len() + 1).unwrap_or(u32::MAX);
        if octets.len() > PAYLOAD_LEN_MAX {
            return Err(RecordError::Length(length));
        }
        let mut stream = BytesMut::with_capacity(LENGTH_LEN + 1 + octets.len());
        stream.put_u32(length);
        stream.put_u8(kind);
        stream.put(octets);
        Ok(stream.freeze())
    }
}

/// Cuts a stream that arrives in arbitrary pieces into records.
#[derive(Debug, Default)]
pub struct RecordDecoder {
    buffer: BytesMut,
}

impl RecordDecoder {
    /// Takes the next piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// Returns the next complete record, or `None` until more has arrived.
    ///
    /// # Errors
    ///
    /// [`RecordError::Length`] and [`RecordError::Kind`]; the stream has then lost its framing for good.
    pub fn poll(&mut self) -> Result<Option<Record>, RecordError> {
        let Some(prefix) = self.buffer.first_chunk::<LENGTH_LEN>() else {
            return Ok(None);
        };
        let claimed = u32::from_be_bytes(*prefix);
        let length = usize::try_from(claimed).unwrap_or(usize::MAX);
        if length == 0 || length > PAYLOAD_LEN_MAX + 1 {
            return Err(RecordError::Length(claimed));
        }
        if self.buffer.len() < LENGTH_LEN + length {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_LEN);
        let mut record = self.buffer.split_to(length).freeze();
        match (record.get_u8(), <[u8; 8]>::try_from(&record[..])) {
            (DATA, _) => Ok(Some(Record::Data(record))),
            (MISSING, Ok(count)) => Ok(Some(Record::Missing(u64::from_be_bytes(count)))),
            (kind, _) => Err(RecordError::Kind(kind)),
        }
    }

    /// Says whether the stream may end here.
    ///
    /// # Errors
    ///
    /// [`RecordError::Truncated`] if a record is incomplete.
    pub fn finish(&self) -> Result<(), RecordError> {
        if self.buffer.is_empty() { Ok(()) } else { Err(RecordError::Truncated) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> [Record; 4] {
        [
            Record::Data(Bytes::from_static(b"first")),
            Record::Data(Bytes::new()),
            Record::Missing(7),
            Record::Data(Bytes::from(vec![0x5a; PAYLOAD_LEN_MAX])),
        ]
    }

    #[test]
    fn survives_being_cut_into_single_octets() {
        let mut decoder = RecordDecoder::default();
        let mut decoded = Vec::new();
        for record in samples() {
            for octet in record.encode().unwrap() {
                decoder.push(&[octet]);
                decoded.extend(decoder.poll().unwrap());
            }
        }
        assert_eq!(decoded, samples());
        assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn a_stream_cut_within_a_record_is_truncated() {
        let whole = samples()[0].encode().unwrap();
        for cut in 1..whole.len() {
            let mut decoder = RecordDecoder::default();
            decoder.push(&whole[..cut]);
            assert_eq!(decoder.poll(), Ok(None), "{cut}");
            assert_eq!(decoder.finish(), Err(RecordError::Truncated), "{cut}");
        }
    }

    #[test]
    fn refuses_lengths_and_kinds_that_no_record_has() {
        for (octets, error) in [
            (&[0, 0, 0, 0][..], RecordError::Length(0)),
            (&[0, 1, 0, 1], RecordError::Length(65_537)),
            (&[0xff; 4], RecordError::Length(u32::MAX)),
            (&[0, 0, 0, 1, 9], RecordError::Kind(9)),
            (&[0, 0, 0, 2, 1, 0], RecordError::Kind(1)),
        ] {
            let mut decoder = RecordDecoder::default();
            decoder.push(octets);
            assert_eq!(decoder.poll(), Err(error));
        }
        let long = Record::Data(Bytes::from(vec![0; PAYLOAD_LEN_MAX + 1]));
        assert_eq!(long.encode(), Err(RecordError::Length(65_537)));
    }
}
