//! Type, length, contents (RFC 7401 section 5.2.1).

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::ParameterType;

use super::PacketError;

/// The octets of Type and Length.
pub const PARAMETER_HEADER_LEN: usize = 4;

/// Every parameter, with its padding, is a multiple of this many octets.
pub const PARAMETER_ALIGNMENT: usize = 8;

/// The contents of a parameter of one type, without Type, Length and Padding.
pub trait Parameter: for<'a> Decode<'a> + Encode {
    /// The type.
    const TYPE: ParameterType;
}

/// A parameter as it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawParameter<'a> {
    parameter_type: ParameterType,
    octets: &'a [u8],
    contents_len: usize,
    offset: usize,
}

impl<'a> RawParameter<'a> {
    /// Returns the type.
    pub fn parameter_type(&self) -> ParameterType {
        self.parameter_type
    }

    /// Shows the contents.
    pub fn contents(&self) -> &'a [u8] {
        &self.octets[PARAMETER_HEADER_LEN..PARAMETER_HEADER_LEN + self.contents_len]
    }

    /// Shows the whole parameter: Type, Length, contents and Padding.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// Says how many octets stand before the parameter in what was parsed: the packet, header included, or the
    /// decrypted contents of ENCRYPTED.
    pub fn offset(&self) -> usize {
        self.offset
    }

    fn decode<P: Parameter>(&self) -> Result<P, DecodeError> {
        P::from_octets(self.contents())
    }
}

/// A sequence of parameters in ascending order of type.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |             Type            |C|             Length            |
/// |                          Contents                             /
/// /                                               |    Padding    |
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters<'a> {
    raw: Vec<RawParameter<'a>>,
}

impl<'a> Parameters<'a> {
    /// Splits octets into parameters without interpreting their contents.
    ///
    /// # Errors
    ///
    /// [`PacketError::UnknownCriticalParameter`], [`PacketError::Order`], or [`PacketError::Decode`] where a
    /// parameter is cut.
    pub fn parse(octets: &'a [u8]) -> Result<Self, PacketError> {
        Self::parse_at(octets, 0)
    }

    pub(super) fn parse_at(octets: &'a [u8], offset: usize) -> Result<Self, PacketError> {
        let mut r = Reader::new(octets);
        let mut raw: Vec<RawParameter<'a>> = Vec::new();
        while !r.is_empty() {
            let start = r.position();
            let parameter_type = ParameterType(r.u16("parameter type")?);
            let contents_len = usize::from(r.u16("parameter length")?);
            let length = (PARAMETER_HEADER_LEN + contents_len).next_multiple_of(PARAMETER_ALIGNMENT);
            // RFC 7401 section 5.2.1: the padding's value is not checked.
            r.slice(length - PARAMETER_HEADER_LEN, "parameter contents")?;
            if raw.last().is_some_and(|last| last.parameter_type > parameter_type) {
                return Err(PacketError::Order(parameter_type));
            }
            if parameter_type.is_critical() && !parameter_type.is_known() {
                return Err(PacketError::UnknownCriticalParameter(parameter_type));
            }
            let octets = &octets[start..start + length];
            raw.push(RawParameter { parameter_type, octets, contents_len, offset: offset + start });
        }
        Ok(Self { raw })
    }

    /// Shows every parameter, also of unknown types.
    pub fn iter(&self) -> impl Iterator<Item = &RawParameter<'a>> + Clone {
        self.raw.iter()
    }

    /// Finds the first parameter of a type.
    pub fn raw(&self, parameter_type: ParameterType) -> Option<&RawParameter<'a>> {
        self.raw.iter().find(|raw| raw.parameter_type == parameter_type)
    }

    /// Counts the parameters of a type.
    pub fn count(&self, parameter_type: ParameterType) -> usize {
        self.raw.iter().filter(|raw| raw.parameter_type == parameter_type).count()
    }

    /// Decodes the parameter of type `P`, if there is one.
    ///
    /// # Errors
    ///
    /// What `P`'s decoder says, and [`DecodeError::Unexpected`] if there are several.
    pub fn find<P: Parameter>(&self) -> Result<Option<P>, DecodeError> {
        if self.count(P::TYPE) > 1 {
            return Err(DecodeError::Unexpected { what: name::<P>() });
        }
        self.raw(P::TYPE).map(RawParameter::decode).transpose()
    }

    /// Decodes the parameter of type `P`, which must be there.
    ///
    /// # Errors
    ///
    /// What [`Parameters::find`] says, and [`DecodeError::Missing`].
    pub fn one<P: Parameter>(&self) -> Result<P, DecodeError> {
        self.find()?.ok_or(DecodeError::Missing { what: name::<P>() })
    }

    /// Decodes every parameter of type `P`.
    ///
    /// # Errors
    ///
    /// What `P`'s decoder says.
    pub fn all<P: Parameter>(&self) -> Result<Vec<P>, DecodeError> {
        self.raw.iter().filter(|raw| raw.parameter_type == P::TYPE).map(RawParameter::decode).collect()
    }
}

fn name<P: Parameter>() -> &'static str {
    P::TYPE.name().unwrap_or("parameter")
}

/// Writes a parameter around contents that are already encoded.
///
/// # Panics
///
/// If the contents exceed 65,535 octets; both callers refuse far shorter ones.
pub(super) fn write(w: &mut Writer, parameter_type: ParameterType, contents: &[u8]) {
    let start = w.len();
    w.u16(parameter_type.0);
    w.nested_u16(|w| w.slice(contents));
    w.pad_to(start, PARAMETER_ALIGNMENT);
}

/// Says how many octets a parameter with contents of a given length fills.
pub(crate) fn padded_len(contents_len: usize) -> usize {
    (PARAMETER_HEADER_LEN + contents_len).next_multiple_of(PARAMETER_ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Cert, Seq};

    fn octets(parameters: &[(u16, &[u8])]) -> Vec<u8> {
        let mut w = Writer::new();
        parameters.iter().for_each(|(t, contents)| write(&mut w, ParameterType(*t), contents));
        w.into_octets()
    }

    #[test]
    fn total_length_is_the_formula_of_rfc_7401() {
        for length in 0..100 {
            assert_eq!(padded_len(length), 11 + length - (length + 3) % 8);
            assert_eq!(octets(&[(2, &vec![0; length])]).len(), padded_len(length));
        }
    }

    #[test]
    fn keeps_unknown_types_unless_they_are_critical() {
        let octets_even = octets(&[(4096, b"kept"), (4098, b"")]);
        let parameters = Parameters::parse(&octets_even).unwrap();
        assert_eq!(parameters.raw(ParameterType(4096)).unwrap().contents(), b"kept");
        assert_eq!(parameters.raw(ParameterType(4098)).unwrap().offset(), 8);
        assert_eq!(
            Parameters::parse(&octets(&[(4097, b"")])),
            Err(PacketError::UnknownCriticalParameter(ParameterType(4097)))
        );
    }

    #[test]
    fn refuses_descending_types() {
        assert_eq!(
            Parameters::parse(&octets(&[(4096, b""), (385, &[0; 4])])),
            Err(PacketError::Order(ParameterType::SEQ))
        );
        assert!(Parameters::parse(&octets(&[(4096, b""), (4096, b"")])).is_ok(), "repeated is in order");
    }

    #[test]
    fn finds_one_none_or_all() {
        let one = octets(&[(385, &[0, 0, 0, 7])]);
        let one = Parameters::parse(&one).unwrap();
        assert_eq!(one.one::<Seq>(), Ok(Seq(7)));
        assert_eq!(one.find::<Cert>(), Ok(None));
        assert_eq!(one.one::<Cert>(), Err(DecodeError::Missing { what: "CERT" }));
        let two = octets(&[(385, &[0, 0, 0, 7]), (385, &[0, 0, 0, 8])]);
        let two = Parameters::parse(&two).unwrap();
        assert_eq!(two.find::<Seq>(), Err(DecodeError::Unexpected { what: "SEQ" }));
        assert_eq!(two.all::<Seq>(), Ok(vec![Seq(7), Seq(8)]));
        let long = octets(&[(385, &[0; 5])]);
        assert_eq!(Parameters::parse(&long).unwrap().one::<Seq>(), Err(DecodeError::Trailing { octets: 1 }));
    }
}
