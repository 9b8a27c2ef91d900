//! DH_GROUP_LIST (RFC 7401 section 5.2.6).

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::{DhGroup, ParameterType};

use super::Parameter;

/// The groups that a host supports, in its order of preference: one octet each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhGroupList(pub Vec<DhGroup>);

impl DhGroupList {
    /// Returns the first group of the Responder's list that is in the Initiator's list too: the only one that a
    /// Responder may choose, so that the Initiator can detect a downgrade.
    //= rfc7401#section-5.2.6
    //# the Responder MUST select the first DH Group ID in its
    //# DH_GROUP_LIST in the R1 packet that is compatible with one of the
    //# Suite IDs in the Initiator's DH_GROUP_LIST in the I1 packet.
    pub fn choose(responder: &[DhGroup], initiator: &[DhGroup]) -> Option<DhGroup> {
        responder.iter().copied().find(|group| initiator.contains(group))
    }
}

impl Parameter for DhGroupList {
    const TYPE: ParameterType = ParameterType::DH_GROUP_LIST;
}

impl Encode for DhGroupList {
    fn encode(&self, w: &mut Writer) {
        self.0.iter().for_each(|group| w.u8(group.0));
    }
}

impl<'a> Decode<'a> for DhGroupList {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self(r.take_rest().iter().copied().map(DhGroup).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn reads_what_it_writes_and_keeps_unknown_groups() {
        survives(&DhGroupList(vec![DhGroup::NIST_P256, DhGroup(200), DhGroup::MODP_3072]));
    }

    #[test]
    fn the_responder_chooses_by_its_own_preference() {
        let responder = [DhGroup::NIST_P384, DhGroup::NIST_P256];
        let initiator = [DhGroup::MODP_3072, DhGroup::NIST_P256, DhGroup::NIST_P384];
        assert_eq!(DhGroupList::choose(&responder, &initiator), Some(DhGroup::NIST_P384));
        assert_eq!(DhGroupList::choose(&responder, &initiator[..1]), None);
    }
}
