//! HOST_ID (RFC 7401 section 5.2.9); its contents are [`claviger_identity::HostId`].

use claviger_identity::HostId;

use crate::iana::ParameterType;

use super::Parameter;

impl Parameter for HostId {
    const TYPE: ParameterType = ParameterType::HOST_ID;
}

#[cfg(test)]
mod tests {
    use claviger_crypto::sign::PublicKey;
    use claviger_identity::DomainIdentifier;

    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn reads_what_it_writes() {
        let name = DomainIdentifier::Nai(b"host@example".to_vec());
        survives(&HostId::new(&PublicKey::EcdsaP384(vec![7; 96]), name).unwrap());
    }
}
