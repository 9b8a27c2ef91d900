//! An input cut into pieces: for each a kind, a length of two octets, and so many octets.

/// Reads the pieces; the last one may be cut.
pub fn pieces(mut input: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&[kind, high, low], behind) = input.split_first_chunk::<3>()?;
        let length = usize::from(u16::from_be_bytes([high, low])).min(behind.len());
        let (piece, rest) = behind.split_at(length);
        input = rest;
        Some((kind, piece))
    })
}

/// Writes a piece, for seeds.
///
/// # Panics
///
/// If it exceeds 65,535 octets.
pub fn piece(kind: u8, octets: &[u8]) -> Vec<u8> {
    let length = u16::try_from(octets.len()).expect("a seed is short");
    [&[kind][..], &length.to_be_bytes(), octets].concat()
}
