//! The LEASE payload (private use; docs/hip-gdoi-binding.md section 7.8): what a member asks about its keys and leases, and
//! what it is answered.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !  Version = 1  !     Type      !     Count     !       0       !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ~                       Nonce (16 octets)                       ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !    Verdict    !    ID Type    !   ID Length   !       0       !  for each group
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ~            SPI of the rekey SA (16 octets), or zero           ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                        Sequence number                        !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                     SPI of the TEK, or zero                   !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ~                           Group ID                            ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! An answer has the groups of its request in their order, and so its length.

use claviger_group::{CookiePair, GroupId, Spi, id::IdType};
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::limits::LEASE_GROUPS_MAX;

/// The octets of a nonce.
pub const LEASE_NONCE_LEN: usize = 16;

/// Octets that no other request has: an answer repeats them.
pub type LeaseNonce = [u8; LEASE_NONCE_LEN];

/// The rekey SA and the TEK of a group that one side has in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InForce {
    /// The rekey SA; none where the group's members are told nothing.
    pub rekey_sa: Option<CookiePair>,
    /// The number of the last message under it.
    pub sequence: u32,
    /// The TEK. In a request it is a statement: nothing is protected under an older one, now or later. None states nothing.
    pub tek: Option<Spi>,
}

/// What a member wants to know of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseQuestion {
    /// A lease; with it, whether its keys are in force.
    Lease,
    /// Whether its keys are in force, and no more: it needs no lease.
    Keys,
}

/// What a member asks about some groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Drawn for this request.
    pub nonce: LeaseNonce,
    /// The groups, with what is asked and what the member has in force.
    pub groups: Vec<(GroupId, LeaseQuestion, InForce)>,
}

/// What the key server says of a member's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseVerdict {
    /// The rekey SA and its number are those in force; a lease that was asked for is given, for what is named and nothing
    /// else.
    Granted,
    /// The host is no member, or none that may have the lease that it asks for.
    Refused,
    /// The rekey SA, or its number, is not the one in force: the member has missed keys. No lease is given.
    Behind,
}

/// What a member is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseAnswer {
    /// The nonce of the request.
    pub nonce: LeaseNonce,
    /// The groups of the request, in its order, with what the key server has in force; of a refused one nothing is told.
    pub groups: Vec<(GroupId, LeaseVerdict, InForce)>,
}

const VERSION: u8 = 1;
const REQUEST: u8 = 1;
const ANSWER: u8 = 2;

/// What stands in the field Verdict of a request.
const ASKS_LEASE: u8 = 0;
const ASKS_KEYS: u8 = 1;

/// What stands in the field Verdict of an answer.
const GRANTED: u8 = 1;
const REFUSED: u8 = 2;
const BEHIND: u8 = 3;

impl LeaseRequest {
    /// The octets of the body with these groups.
    pub fn encoded_len<'a>(groups: impl Iterator<Item = &'a GroupId>) -> usize {
        4 + LEASE_NONCE_LEN + groups.map(|group| 28 + group.octets().len()).sum::<usize>()
    }
}

impl Decode<'_> for LeaseRequest {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = read_head(r, REQUEST)?;
        let nonce = r.array("lease nonce")?;
        let group = |r: &mut Reader<'_>| match read_group(r)? {
            (group, ASKS_LEASE, in_force) => Ok((group, LeaseQuestion::Lease, in_force)),
            (group, ASKS_KEYS, in_force) => Ok((group, LeaseQuestion::Keys, in_force)),
            (_, verdict, _) => Err(verdict_error(verdict)),
        };
        Ok(Self { nonce, groups: (0..count).map(|_| group(r)).collect::<Result<_, _>>()? })
    }
}

impl Encode for LeaseRequest {
    fn encode(&self, w: &mut Writer) {
        write_head(w, REQUEST, self.groups.len(), &self.nonce);
        for (group, question, in_force) in &self.groups {
            let code = match question {
                LeaseQuestion::Lease => ASKS_LEASE,
                LeaseQuestion::Keys => ASKS_KEYS,
            };
            write_group(w, group, code, in_force);
        }
    }
}

impl Decode<'_> for LeaseAnswer {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = read_head(r, ANSWER)?;
        let nonce = r.array("lease nonce")?;
        let group = |r: &mut Reader<'_>| match read_group(r)? {
            (group, GRANTED, in_force) => Ok((group, LeaseVerdict::Granted, in_force)),
            (group, REFUSED, in_force) => Ok((group, LeaseVerdict::Refused, in_force)),
            (group, BEHIND, in_force) => Ok((group, LeaseVerdict::Behind, in_force)),
            (_, verdict, _) => Err(verdict_error(verdict)),
        };
        Ok(Self { nonce, groups: (0..count).map(|_| group(r)).collect::<Result<_, _>>()? })
    }
}

impl Encode for LeaseAnswer {
    fn encode(&self, w: &mut Writer) {
        write_head(w, ANSWER, self.groups.len(), &self.nonce);
        for (group, verdict, in_force) in &self.groups {
            let code = match verdict {
                LeaseVerdict::Granted => GRANTED,
                LeaseVerdict::Refused => REFUSED,
                LeaseVerdict::Behind => BEHIND,
            };
            write_group(w, group, code, in_force);
        }
    }
}

fn read_head(r: &mut Reader<'_>, wanted: u8) -> Result<u8, DecodeError> {
    let version = r.u8("lease version")?;
    if version != VERSION {
        return Err(DecodeError::Value { field: "lease version", value: version.into() });
    }
    let kind = r.u8("lease type")?;
    if kind != wanted {
        return Err(DecodeError::Value { field: "lease type", value: kind.into() });
    }
    let count = r.u8("lease count")?;
    if !(1..=LEASE_GROUPS_MAX).contains(&count.into()) {
        return Err(DecodeError::Value { field: "lease count", value: count.into() });
    }
    r.zeros(1, "lease RESERVED")?;
    Ok(count)
}

fn write_head(w: &mut Writer, kind: u8, count: usize, nonce: &LeaseNonce) {
    w.slice(&[VERSION, kind, count as u8, 0]);
    w.slice(nonce);
}

fn read_group(r: &mut Reader<'_>) -> Result<(GroupId, u8, InForce), DecodeError> {
    let verdict = r.u8("lease verdict")?;
    let id_type = IdType(r.u8("group ID type")?);
    let length = r.u8("group ID length")?;
    r.zeros(1, "lease RESERVED")?;
    let rekey_sa = CookiePair(r.array("rekey SA")?);
    let sequence = r.u32("sequence number")?;
    let tek = match r.u32("TEK")? {
        0 => None,
        // Numbers below 256 are reserved and name no SA (RFC 4303 section 2.1).
        number => Some(Spi::new(number).ok_or(DecodeError::Value { field: "TEK", value: number.into() })?),
    };
    let octets = r.slice(length.into(), "group ID")?;
    let group = GroupId::new(id_type, octets).map_err(|_| DecodeError::Length { field: "group ID" })?;
    let rekey_sa = Some(rekey_sa).filter(|spi| *spi != NO_REKEY_SA);
    Ok((group, verdict, InForce { rekey_sa, sequence, tek }))
}

fn write_group(w: &mut Writer, group: &GroupId, verdict: u8, in_force: &InForce) {
    let InForce { rekey_sa, sequence, tek } = in_force;
    w.slice(&[verdict, group.id_type().0, group.octets().len() as u8, 0]);
    w.slice(&rekey_sa.unwrap_or(NO_REKEY_SA).0);
    w.u32(*sequence);
    w.u32(tek.map_or(0, Spi::as_u32));
    w.slice(group.octets());
}

/// Stands where there is no rekey SA.
const NO_REKEY_SA: CookiePair = CookiePair([0; 16]);

fn verdict_error(verdict: u8) -> DecodeError {
    DecodeError::Value { field: "lease verdict", value: verdict.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_force() -> InForce {
        InForce { rekey_sa: Some(CookiePair([0x6b; 16])), sequence: 7, tek: Spi::new(0x1000) }
    }

    fn request() -> LeaseRequest {
        let questions = [
            ("#1234", LeaseQuestion::Lease),
            ("market", LeaseQuestion::Keys),
            ("radio", LeaseQuestion::Keys),
        ];
        let groups = questions.map(|(name, question)| (name.parse().unwrap(), question, in_force()));
        LeaseRequest { nonce: [9; 16], groups: groups.to_vec() }
    }

    fn answer() -> LeaseAnswer {
        let verdicts = [
            (LeaseVerdict::Granted, in_force()),
            (LeaseVerdict::Refused, InForce::default()),
            (LeaseVerdict::Behind, in_force()),
        ];
        let groups = request().groups.into_iter().zip(verdicts);
        let groups = groups.map(|((group, ..), (verdict, in_force))| (group, verdict, in_force));
        LeaseAnswer { nonce: [9; 16], groups: groups.collect() }
    }

    #[test]
    fn reads_what_it_writes_and_refuses_every_cut() {
        let (asked, answered) = (request().to_octets(), answer().to_octets());
        assert_eq!(LeaseRequest::from_octets(&asked), Ok(request()));
        assert_eq!(LeaseAnswer::from_octets(&answered), Ok(answer()));
        for length in 0..asked.len() {
            assert!(LeaseRequest::from_octets(&asked[..length]).is_err(), "cut at {length}");
            assert!(LeaseAnswer::from_octets(&answered[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn an_answer_is_as_long_as_its_request_and_neither_is_read_as_the_other() {
        let (asked, answered) = (request().to_octets(), answer().to_octets());
        assert_eq!(asked.len(), answered.len());
        assert_eq!(asked.len(), LeaseRequest::encoded_len(request().groups.iter().map(|(group, ..)| group)));
        assert!(LeaseRequest::from_octets(&answered).is_err());
        assert!(LeaseAnswer::from_octets(&asked).is_err());
    }

    #[test]
    fn refuses_other_versions_counts_verdicts_reserved_spis_and_empty_names() {
        for (at, value) in [(0, 2), (1, 3), (2, 0), (2, 33), (3, 1), (20, 2), (22, 0), (23, 1)] {
            let mut octets = request().to_octets();
            octets[at] = value;
            assert!(LeaseRequest::from_octets(&octets).is_err(), "octet {at} is {value}");
        }
        let mut octets = request().to_octets();
        octets[44..48].copy_from_slice(&[0, 0, 0, 255]);
        assert!(LeaseRequest::from_octets(&octets).is_err(), "a reserved SPI is none, and not zero");
        let mut octets = answer().to_octets();
        octets[20] = 4;
        assert!(LeaseAnswer::from_octets(&octets).is_err());
    }
}
