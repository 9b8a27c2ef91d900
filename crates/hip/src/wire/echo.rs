//! ECHO_REQUEST and ECHO_RESPONSE, signed and unsigned (RFC 7401 sections 5.2.20 to 5.2.23).

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::ParameterType;

use super::Parameter;

/// Data that the receiver echoes in an [`EchoResponseSigned`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoRequestSigned(pub Vec<u8>);

/// Data that the receiver echoes in an [`EchoResponseUnsigned`]; middleboxes may add it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoRequestUnsigned(pub Vec<u8>);

/// The data of an [`EchoRequestSigned`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoResponseSigned(pub Vec<u8>);

/// The data of an [`EchoRequestUnsigned`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoResponseUnsigned(pub Vec<u8>);

/// The four differ in type and in nothing else.
macro_rules! opaque {
    ($($name:ident: $type:ident,)*) => {
        $(
            impl Parameter for $name {
                const TYPE: ParameterType = ParameterType::$type;
            }

            impl Encode for $name {
                fn encode(&self, w: &mut Writer) {
                    w.slice(&self.0);
                }
            }

            impl<'a> Decode<'a> for $name {
                fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
                    Ok(Self(r.take_rest().to_vec()))
                }
            }
        )*
    };
}

opaque! {
    EchoRequestSigned: ECHO_REQUEST_SIGNED,
    EchoRequestUnsigned: ECHO_REQUEST_UNSIGNED,
    EchoResponseSigned: ECHO_RESPONSE_SIGNED,
    EchoResponseUnsigned: ECHO_RESPONSE_UNSIGNED,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn reads_what_it_writes() {
        survives(&EchoRequestSigned(b"one".to_vec()));
        survives(&EchoRequestUnsigned(b"two".to_vec()));
        survives(&EchoResponseSigned(b"three".to_vec()));
        survives(&EchoResponseUnsigned(vec![]));
    }
}
