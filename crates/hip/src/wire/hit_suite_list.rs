//! HIT_SUITE_LIST (RFC 7401 section 5.2.10).

use claviger_identity::HitSuite;
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::ParameterType;

use super::Parameter;

/// The HIT suites that a Responder supports, in its order of preference. An octet holds the suite's four bits in
/// its high half; unknown ones are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HitSuiteList(pub Vec<u8>);

impl HitSuiteList {
    /// Lists suites.
    pub fn of(suites: &[HitSuite]) -> Self {
        Self(suites.iter().map(|suite| suite.list_octet()).collect())
    }

    /// Returns the suites that this implementation knows, in their order.
    pub fn suites(&self) -> impl Iterator<Item = HitSuite> {
        self.0.iter().filter_map(|&octet| HitSuite::from_list_octet(octet))
    }

    /// Says whether a suite is listed.
    pub fn contains(&self, suite: HitSuite) -> bool {
        self.suites().any(|listed| listed == suite)
    }
}

impl Parameter for HitSuiteList {
    const TYPE: ParameterType = ParameterType::HIT_SUITE_LIST;
}

impl Encode for HitSuiteList {
    fn encode(&self, w: &mut Writer) {
        w.slice(&self.0);
    }
}

impl<'a> Decode<'a> for HitSuiteList {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self(r.take_rest().to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn reads_what_it_writes_and_skips_unknown_suites() {
        let list = HitSuiteList(vec![0x20, 0xf0, 0x11, 0x50]);
        survives(&list);
        let known: Vec<HitSuite> = list.suites().collect();
        assert_eq!(known, [HitSuite::EcdsaSha384, HitSuite::EddsaCshake128]);
        assert!(!list.contains(HitSuite::RsaDsaSha256));
        assert_eq!(HitSuiteList::of(&known).0, [0x20, 0x50]);
    }
}
