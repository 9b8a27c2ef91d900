//! The Security Association payload (RFC 6407 section 5.2).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! !                           DOI = 2                             !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! !                        Situation = 0                          !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! ! SA Attribute Next Payload     !          RESERVED2            !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! ~               SA KEK, GAP, SA TEK... in this order            ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! ```

use claviger_isakmp::{
    iana::PayloadType,
    rules,
    wire::payload::{ChainWriter, RawPayload, generic},
};
use claviger_wire::{Decode, DecodeError, Reader, Writer};

use crate::{
    error::{ApiMisuse, Error, PeerIncompatible},
    iana::DOI_GDOI,
    limits::SA_TEKS_MAX,
    rules::SA_ATTRIBUTES,
    wire::{Dialect, Exchange, group_associated_policy::Gap, sa_kek::SaKek, sa_tek::SaTek},
};

/// An SA KEK, a GAP and the most SA TEKs: what comes behind them is not gathered.
const ATTRIBUTES_MAX: usize = 2 + SA_TEKS_MAX;

/// What a key server asserts about a group: at least one of a rekey SA and a data security SA.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SaPayload {
    /// The rekey SA.
    pub kek: Option<SaKek>,
    /// Delays.
    pub gap: Option<Gap>,
    /// The data security SAs, 64 at most.
    pub teks: Vec<SaTek>,
}

impl SaPayload {
    /// Reads the body of an SA payload.
    ///
    /// # Errors
    ///
    /// [`Error::PeerIncompatible`] for what is not understood, [`Error::Decode`] for a wrong form.
    pub fn from_octets_in(octets: &[u8], exchange: Exchange, dialect: Dialect) -> Result<Self, Error> {
        let mut r = Reader::new(octets);
        let doi = r.u32("SA DOI")?;
        if doi != DOI_GDOI {
            return Err(PeerIncompatible::SaDoi(doi).into());
        }
        r.zeros(4, "SA situation")?;
        let first = r.u16("SA attribute next payload")?;
        r.zeros(2, "SA RESERVED2")?;
        let mut kind = u8::try_from(first)
            .map(PayloadType)
            .map_err(|_| DecodeError::Value { field: "SA attribute next payload", value: first.into() })?;
        let mut attributes = Vec::new();
        while kind != PayloadType::NONE {
            if SA_ATTRIBUTES.iter().all(|rule| rule.element != kind) {
                return Err(PeerIncompatible::SaAttributePayload(kind.0).into());
            }
            if attributes.len() == ATTRIBUTES_MAX {
                return Err(
                    DecodeError::TooMany { what: "SA attribute payloads", limit: ATTRIBUTES_MAX }.into()
                );
            }
            let start = r.position();
            let (next, body) = generic(&mut r)?;
            attributes.push(RawPayload { kind, body, start });
            kind = next;
        }
        r.finish()?;
        rules::check(SA_ATTRIBUTES, &attributes)?;
        //= rfc6407#section-5.2.1
        //# There may
        //# be zero or one SAK payload, zero or one GAP payload, and zero or more
        //# SAT payloads, where either one SAK or SAT payload MUST be present.
        if attributes.iter().all(|attribute| attribute.kind == PayloadType::GROUP_ASSOCIATED_POLICY) {
            return Err(DecodeError::Missing { what: "SA KEK or SA TEK" }.into());
        }
        let bodies = |kind| attributes.iter().filter(move |a| a.kind == kind).map(|a| a.body);
        let kek = bodies(PayloadType::SA_KEK).next().map(|body| SaKek::from_octets_in(body, exchange));
        let gap = bodies(PayloadType::GROUP_ASSOCIATED_POLICY).next().map(Gap::from_octets);
        let teks = bodies(PayloadType::SA_TEK).map(|body| SaTek::from_octets_in(body, dialect));
        Ok(Self { kek: kek.transpose()?, gap: gap.transpose()?, teks: teks.collect::<Result<_, _>>()? })
    }

    /// Writes the body of an SA payload.
    ///
    /// # Errors
    ///
    /// [`Error::ApiMisuse`] if there is nothing to assert, or more than fits.
    pub fn encode(&self, exchange: Exchange, w: &mut Writer) -> Result<(), Error> {
        if (self.kek.is_none() && self.teks.is_empty()) || self.teks.len() > SA_TEKS_MAX {
            return Err(ApiMisuse::MessageTooLong.into());
        }
        let mut attributes = ChainWriter::new();
        if let Some(kek) = &self.kek {
            attributes.payload(PayloadType::SA_KEK, |w| kek.encode(exchange, w))?;
        }
        if let Some(gap) = &self.gap {
            attributes.value(PayloadType::GROUP_ASSOCIATED_POLICY, gap)?;
        }
        for tek in &self.teks {
            attributes.payload(PayloadType::SA_TEK, |w| tek.encode(w))?;
        }
        w.u32(DOI_GDOI);
        w.u32(0);
        w.u16(attributes.first().0.into());
        w.u16(0);
        w.slice(attributes.octets());
        Ok(())
    }

    /// Says whether the data planes can do what every SA TEK asserts.
    pub fn supported(&self) -> Result<(), Error> {
        self.teks.iter().try_for_each(SaTek::supported)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::{octets_of, refuses_every_cut, sa_kek, sa_tek};

    pub(crate) fn sample() -> SaPayload {
        SaPayload {
            kek: Some(sa_kek::tests::sample()),
            gap: Some(Gap { activation_delay: Some(1), deactivation_delay: Some(5), ..Gap::default() }),
            teks: vec![sa_tek::tests::sample(); 2],
        }
    }

    fn decode(octets: &[u8]) -> Result<SaPayload, Error> {
        SaPayload::from_octets_in(octets, Exchange::Push, Dialect::RFC)
    }

    #[test]
    fn reads_what_it_writes_and_refuses_every_cut() {
        let whole = sample();
        for sa in [
            whole.clone(),
            SaPayload { kek: None, ..whole.clone() },
            SaPayload { gap: None, ..whole.clone() },
            SaPayload { teks: vec![], ..whole.clone() },
        ] {
            assert_eq!(refuses_every_cut(&octets_of(|w| sa.encode(Exchange::Push, w)), decode), sa);
        }
    }

    #[test]
    fn the_order_is_kek_gap_teks_and_something_is_asserted() {
        let payload = |kinds: &[PayloadType]| {
            let mut chain = ChainWriter::new();
            for &kind in kinds {
                chain
                    .payload(kind, |w| match kind {
                        PayloadType::SA_KEK => sa_kek::tests::sample().encode(Exchange::Push, w),
                        PayloadType::SA_TEK => sa_tek::tests::sample().encode(w),
                        _ => Ok(()),
                    })
                    .unwrap();
            }
            let head = [0, 0, 0, 2, 0, 0, 0, 0, 0, chain.first().0, 0, 0];
            decode(&[&head[..], chain.octets()].concat()).map_err(|error| error.reason())
        };
        use PayloadType as P;
        assert!(payload(&[P::SA_KEK, P::GROUP_ASSOCIATED_POLICY, P::SA_TEK, P::SA_TEK]).is_ok());
        assert_eq!(payload(&[P::GROUP_ASSOCIATED_POLICY, P::SA_KEK]), Err("malformed"));
        assert_eq!(payload(&[P::SA_TEK, P::GROUP_ASSOCIATED_POLICY]), Err("malformed"));
        assert_eq!(payload(&[P::SA_TEK, P::SA_KEK]), Err("malformed"));
        assert_eq!(payload(&[P::SA_KEK, P::SA_KEK]), Err("malformed"));
        assert_eq!(payload(&[P::GROUP_ASSOCIATED_POLICY]), Err("malformed"));
        assert_eq!(payload(&[]), Err("malformed"));
        assert_eq!(payload(&[P::SA_TEK, P(19)]), Err("unsupported"));
        assert_eq!(payload(&[P::SA_TEK; SA_TEKS_MAX + 1]), Err("malformed"));
    }
}
