//! An association as octets, so that a host that is killed at any instant goes on with it.
//!
//! There is no Diffie-Hellman key in it: an exchange that was running is begun again. PRK stands last, and behind it that of
//! the other set while keys are renewed, so that no buffer that grew on the way has held them.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use claviger_crypto::SecretBytes;
use claviger_identity::{Hit, HitSuite, HostId};
use claviger_sansio::{Retransmit, Socket, Time};
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::{
    association::{Agreed, Association, Closed, EspAgreement, Phase},
    config::HostConfig,
    exchange::{
        rekeying::Rekeying,
        task::{Candidate, Outgoing, Processed, Task, Updates, Verification},
    },
    iana::{CipherId, DhGroup, EspSuite, RegType},
    item::Item,
    keys::{Hosts, Keymat, Prk},
    path::Path,
    registration::{self, RegistrationRequest, Side},
    security::Security,
    wire::{Lifetime, RegInfo},
};

/// The version of the format. Three others are still read: the first, which ends before the peer's locator, the second, which
/// ends before the age of the keys, and the third, which ends before whether the peer is anonymous.
const VERSION: u8 = 4;

/// Own UPDATEs that a snapshot may hold: as many as may wait, and those that go before them.
const TASKS_MAX: u8 = 68;

/// Writes an association; `None` if it is ending and there is nothing to go on with, or if it is a stranger's.
pub(crate) fn write<I: Item>(config: &HostConfig, association: &Association<I>) -> Option<SecretBytes> {
    if association.is_stranger || matches!(association.phase, Phase::Closing(_)) {
        return None;
    }
    let mut w = Writer::new();
    w.u8(VERSION);
    w.slice(config.identity.hit().octets());
    w.slice(association.peer.octets());
    w.u8(association.initiator.into());
    w.nested_u16(|w| association.host_id.encode(w));
    write_path(&mut w, &association.path);
    w.u16(association.security.cipher.0);
    w.u8(association.security.dh_group.0);
    w.u8(association.security.hit_suite.id());
    w.u8(association.security.peer_hit_suite.id());
    w.nested_u16(|w| w.slice(&association.nonces.0));
    w.nested_u16(|w| w.slice(&association.nonces.1));
    w.u64(association.established_at.as_micros());
    w.u64(association.used_at.as_micros());
    write_option(&mut w, association.esp.as_ref(), |w, esp| {
        w.u16(esp.suite.0);
        w.u32(esp.inbound_spi);
        w.u32(esp.outbound_spi);
        w.u16(esp.keymat_index);
    });
    w.u16(association.grants.len() as u16);
    for ((side, reg_type), until) in &association.grants {
        w.u8((*side == Side::Requester).into());
        w.u8(reg_type.0);
        w.u64(until.as_micros());
    }
    write_option(&mut w, association.services.as_ref(), |w, services| {
        w.nested_u16(|w| services.encode(w));
    });
    let closed = match &association.phase {
        Phase::Closed(closed) => Some(closed),
        Phase::R2Sent { .. } | Phase::Established | Phase::Closing(_) => None,
    };
    write_option(&mut w, closed, |w, closed| {
        w.u64(closed.until.as_micros());
        w.nested_u16(|w| w.slice(&closed.echo));
        w.nested_u16(|w| w.slice(&closed.ack));
    });
    write_updates(&mut w, &association.updates);
    write_option(&mut w, association.locator_until.as_ref(), |w, until| w.u64(until.as_micros()));
    w.u8(association.is_deprecated.into());
    w.u64(association.keyed_at.as_micros());
    write_rekeying(&mut w, &association.rekeying);
    w.u8(association.anonymous.into());

    let prk = association.keymat.prk().expose();
    let other = association.rekeying.other().map_or(&[][..], |other| other.prk().expose());
    let head = w.octets();
    Some(SecretBytes::with(head.len() + prk.len() + other.len(), |octets| {
        let (head_octets, prks) = octets.split_at_mut(head.len());
        head_octets.copy_from_slice(head);
        prks[..prk.len()].copy_from_slice(prk);
        prks[prk.len()..].copy_from_slice(other);
    }))
}

/// Reads an association of this host's identity. What was outstanding is sent again, from `now` on.
pub(crate) fn read<I: Item>(
    config: &HostConfig,
    now: Time,
    octets: &[u8],
) -> Result<Association<I>, DecodeError> {
    let mut r = Reader::new(octets);
    let version = octets.first().copied().unwrap_or_default();
    let own = read_owner(&mut r)?;
    if own != config.identity.hit() {
        return Err(DecodeError::Unexpected { what: "snapshot of another identity" });
    }
    let peer = Hit::new(r.array("peer's HIT")?);
    let initiator = read_bool(&mut r, "initiator")?;
    let host_id = HostId::from_octets(nested(&mut r, "HOST_ID")?)?;
    let path = read_path(&mut r)?;
    let security = read_security(&mut r)?;
    let nonces = (nested(&mut r, "#I")?.to_vec(), nested(&mut r, "#J")?.to_vec());
    let established_at = read_time(&mut r)?;
    let used_at = read_time(&mut r)?;
    let esp = read_option(&mut r, read_esp)?;
    let grants = read_grants(&mut r)?;
    let services = read_option(&mut r, |r| RegInfo::from_octets(nested(r, "REG_INFO")?))?;
    let closed = read_option(&mut r, read_closed)?;
    let updates = read_updates(config, now, &mut r)?;
    let (locator_until, is_deprecated) = match version {
        1 => (None, false),
        _ => (read_option(&mut r, read_time)?, read_bool(&mut r, "deprecated")?),
    };
    let (keyed_at, renewal) = match version {
        1 | 2 => (established_at, Renewal::None),
        _ => (read_time(&mut r)?, read_renewal(&mut r)?),
    };
    let anonymous = match version {
        1..=3 => false,
        _ => read_bool(&mut r, "anonymous")?,
    };
    let mut prks = r.take_rest();
    let mut keymat = || read_keymat(config, &mut prks, &security, Hosts { local: own, peer });
    let (keymat, rekeying) = (keymat()?, renewal.with(keymat)?);
    if !prks.is_empty() {
        return Err(DecodeError::Length { field: "PRK" });
    }
    let agreed = Agreed { peer, host_id, initiator, anonymous, path, security, keymat, nonces, esp };
    Ok(Association {
        established_at,
        used_at,
        grants,
        services,
        updates,
        locator_until,
        is_deprecated,
        keyed_at,
        rekeying,
        ..Association::new(agreed, now, closed.map_or(Phase::Established, Phase::Closed))
    })
}

/// How far a renewal of keys is, without the other set of keys.
enum Renewal {
    None,
    Answered(Time),
    Confirming,
    Retiring,
}

impl Renewal {
    /// Goes on with the other set of keys, if there is one.
    fn with(self, other: impl FnOnce() -> Result<Keymat, DecodeError>) -> Result<Rekeying, DecodeError> {
        Ok(match self {
            Self::None => Rekeying::Idle,
            Self::Answered(at) => Rekeying::Answered { next: Box::new(other()?), at },
            Self::Confirming => Rekeying::Confirming { old: Box::new(other()?) },
            Self::Retiring => Rekeying::Retiring { old: Box::new(other()?) },
        })
    }
}

fn write_rekeying(w: &mut Writer, rekeying: &Rekeying) {
    match rekeying {
        Rekeying::Begun(_) | Rekeying::Idle => w.u8(0),
        Rekeying::Answered { at, .. } => {
            w.u8(1);
            w.u64(at.as_micros());
        }
        Rekeying::Confirming { .. } => w.u8(2),
        Rekeying::Retiring { .. } => w.u8(3),
    }
}

fn read_renewal(r: &mut Reader<'_>) -> Result<Renewal, DecodeError> {
    Ok(match r.u8("renewal")? {
        0 => Renewal::None,
        1 => Renewal::Answered(read_time(r)?),
        2 => Renewal::Confirming,
        3 => Renewal::Retiring,
        value => return Err(DecodeError::Value { field: "renewal", value: value.into() }),
    })
}

fn read_security(r: &mut Reader<'_>) -> Result<Security, DecodeError> {
    Ok(Security {
        cipher: CipherId(r.u16("cipher")?),
        dh_group: DhGroup(r.u8("group")?),
        hit_suite: read_suite(r)?,
        peer_hit_suite: read_suite(r)?,
    })
}

fn read_esp(r: &mut Reader<'_>) -> Result<EspAgreement, DecodeError> {
    Ok(EspAgreement {
        suite: EspSuite(r.u16("esp suite")?),
        inbound_spi: r.u32("inbound SPI")?,
        outbound_spi: r.u32("outbound SPI")?,
        keymat_index: r.u16("KEYMAT index")?,
    })
}

fn read_grants(r: &mut Reader<'_>) -> Result<BTreeMap<(Side, RegType), Time>, DecodeError> {
    let mut grants = BTreeMap::new();
    for _ in 0..r.u16("grants")? {
        let side = if read_bool(r, "side")? { Side::Requester } else { Side::Registrar };
        let reg_type = RegType(r.u8("reg type")?);
        grants.insert((side, reg_type), read_time(r)?);
    }
    Ok(grants)
}

fn read_closed(r: &mut Reader<'_>) -> Result<Closed, DecodeError> {
    let until = read_time(r)?;
    let (echo, ack) = (nested(r, "echo")?.to_vec(), nested(r, "CLOSE_ACK")?.to_vec());
    Ok(Closed { until, echo, ack, own_echo: None })
}

/// Takes the next PRK, and derives the keys from it.
fn read_keymat(
    config: &HostConfig,
    prks: &mut &[u8],
    security: &Security,
    hosts: Hosts,
) -> Result<Keymat, DecodeError> {
    let prk = prks.split_off(..security.hit_suite.rhash_len()).ok_or(DecodeError::Length { field: "PRK" })?;
    let rhash = security.hit_suite.rhash();
    Keymat::derive(config.provider, rhash, security.cipher, Prk::new(prk), hosts)
        .map_err(|_| DecodeError::Value { field: "cipher", value: security.cipher.0.into() })
}

/// Reads version and owner, with which every snapshot begins.
pub(crate) fn read_owner(r: &mut Reader<'_>) -> Result<Hit, DecodeError> {
    let version = r.u8("snapshot version")?;
    if !(1..=VERSION).contains(&version) {
        return Err(DecodeError::Value { field: "snapshot version", value: version.into() });
    }
    Ok(Hit::new(r.array("own HIT")?))
}

/// Moves back every instant that a snapshot holds. What is being repeated is not among them: it begins anew with the
/// host.
pub(crate) fn move_back<I: Item>(association: &mut Association<I>, by: Duration) {
    let earlier = |time: &mut Time| *time = *time - by;
    earlier(&mut association.established_at);
    earlier(&mut association.used_at);
    earlier(&mut association.keyed_at);
    earlier(&mut association.rekey_not_before);
    if let Rekeying::Answered { at, .. } = &mut association.rekeying {
        earlier(at);
    }
    association.grants.values_mut().for_each(earlier);
    association.locator_until.iter_mut().for_each(earlier);
    match &mut association.phase {
        Phase::Closed(closed) => earlier(&mut closed.until),
        Phase::R2Sent { until } => earlier(until),
        Phase::Closing(_) | Phase::Established => {}
    }
    let outgoing = association.updates.outgoing.iter_mut().map(|outgoing| &mut outgoing.task);
    for task in outgoing.chain(&mut association.updates.queue) {
        if let Task::Verify(Verification { candidate, .. }) = task {
            candidate.until.iter_mut().for_each(earlier);
        }
    }
}

/// Writes the UPDATEs. A request of the peer that is undecided is not among them: it will be repeated and asked anew.
fn write_updates<I: Item>(w: &mut Writer, updates: &Updates<I>) {
    w.u32(updates.next_id);
    w.u32(updates.expected_id);
    write_option(w, updates.processed.as_ref(), |w, processed| {
        w.u32(processed.id);
        w.slice(&processed.digest);
        w.nested_u16(|w| w.slice(&processed.answer));
    });
    // A renewal that is asked for is begun again: what it offers is not stored.
    let asked = |outgoing: &&Outgoing<I>| !matches!(outgoing.task, Task::Rekey);
    write_option(w, updates.outgoing.as_ref().filter(asked), |w, outgoing| {
        w.u32(outgoing.id);
        write_path(w, &outgoing.path);
        write_task(w, &outgoing.task);
        w.nested_u16(|w| w.slice(&outgoing.octets));
    });
    let lasting = || updates.queue.iter().filter(|task| !matches!(task, Task::Answer { .. } | Task::Rekey));
    w.u8(lasting().count() as u8);
    lasting().for_each(|task| write_task(w, task));
}

fn read_updates<I: Item>(
    config: &HostConfig,
    now: Time,
    r: &mut Reader<'_>,
) -> Result<Updates<I>, DecodeError> {
    let mut updates = Updates {
        next_id: r.u32("next update id")?,
        expected_id: r.u32("expected update id")?,
        ..Updates::default()
    };
    updates.processed = read_option(r, |r| {
        Ok(Processed {
            id: r.u32("update id")?,
            digest: r.array("digest")?,
            answer: nested(r, "answer")?.to_vec(),
        })
    })?;
    updates.outgoing = read_option(r, |r| {
        Ok(Outgoing {
            id: r.u32("update id")?,
            path: read_path(r)?,
            task: read_task(r)?,
            octets: nested(r, "UPDATE")?.to_vec(),
            retransmit: Retransmit::new(config.retransmit, now),
        })
    })?;
    let count = r.u8("waiting updates")?;
    if count > TASKS_MAX {
        return Err(DecodeError::TooMany { what: "waiting updates", limit: TASKS_MAX.into() });
    }
    updates.queue = (0..count).map(|_| read_task(r)).collect::<Result<VecDeque<_>, _>>()?;
    Ok(updates)
}

fn write_task<I: Item>(w: &mut Writer, task: &Task<I>) {
    match task {
        Task::Announce => w.u8(0),
        Task::Answer { to, .. } => {
            w.u8(1);
            w.u32(*to);
        }
        Task::Request(request) => {
            w.u8(2);
            w.u8(request.reg_type.0);
            w.u8(registration::lifetime(request.lifetime).0);
            write_items(w, &request.items);
        }
        Task::Revoke { reg_type, items } => {
            w.u8(3);
            w.u8(reg_type.0);
            write_items(w, items);
        }
        Task::Locate { address } => {
            w.u8(4);
            write_address(w, SocketAddr::new(*address, 0));
        }
        Task::Verify(Verification { nonce, candidate, .. }) => {
            w.u8(5);
            w.slice(nonce);
            write_path(w, &candidate.path);
            w.u8(candidate.is_listed.into());
            write_option(w, candidate.until.as_ref(), |w, until| w.u64(until.as_micros()));
        }
        Task::Confirm => w.u8(6),
        // It is left out where tasks are listed.
        Task::Rekey => {}
    }
}

fn read_task<I: Item>(r: &mut Reader<'_>) -> Result<Task<I>, DecodeError> {
    Ok(match r.u8("task")? {
        0 => Task::Announce,
        1 => Task::Answer { to: r.u32("update id")?, answers: Vec::new() },
        2 => Task::Request(RegistrationRequest {
            reg_type: RegType(r.u8("reg type")?),
            lifetime: Lifetime(r.u8("lifetime")?).duration(),
            items: read_items(r)?,
        }),
        3 => Task::Revoke { reg_type: RegType(r.u8("reg type")?), items: read_items(r)? },
        4 => Task::Locate { address: read_address(r)?.ip() },
        5 => Task::Verify(Verification {
            nonce: r.array("nonce")?,
            candidate: Candidate {
                path: read_path(r)?,
                is_listed: read_bool(r, "listed")?,
                until: read_option(r, read_time)?,
            },
            announcement: None,
        }),
        6 => Task::Confirm,
        value => return Err(DecodeError::Value { field: "task", value: value.into() }),
    })
}

fn write_items<I: Item>(w: &mut Writer, items: &[I]) {
    w.u8(items.len() as u8);
    for item in items {
        w.nested_u16(|w| item.encode(w));
    }
}

fn read_items<I: Item>(r: &mut Reader<'_>) -> Result<Vec<I>, DecodeError> {
    let count = r.u8("items")?;
    if usize::from(count) > I::COUNT_MAX {
        return Err(DecodeError::TooMany { what: "items", limit: I::COUNT_MAX });
    }
    (0..count).map(|_| I::from_octets(nested(r, "item")?)).collect()
}

fn write_path(w: &mut Writer, path: &Path) {
    w.u8(path.is_raw().into());
    write_option(w, path.local.as_ref(), |w, local| write_address(w, *local));
    write_address(w, path.remote);
}

fn read_path(r: &mut Reader<'_>) -> Result<Path, DecodeError> {
    let raw = read_bool(r, "carriage")?;
    let socket = if raw { Socket::HipRaw } else { Socket::HipUdp };
    Ok(Path { socket, local: read_option(r, read_address)?, remote: read_address(r)? })
}

fn write_address(w: &mut Writer, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            w.u8(4);
            w.slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            w.u8(6);
            w.slice(&ip.octets());
        }
    }
    w.u16(address.port());
}

fn read_address(r: &mut Reader<'_>) -> Result<SocketAddr, DecodeError> {
    let ip = match r.u8("address family")? {
        4 => IpAddr::from(r.array::<4>("address")?),
        6 => IpAddr::from(r.array::<16>("address")?),
        value => return Err(DecodeError::Value { field: "address family", value: value.into() }),
    };
    Ok(SocketAddr::new(ip, r.u16("port")?))
}

fn write_option<T>(w: &mut Writer, option: Option<&T>, write: impl FnOnce(&mut Writer, &T)) {
    w.u8(option.is_some().into());
    if let Some(value) = option {
        write(w, value);
    }
}

fn read_option<'a, T>(
    r: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    if read_bool(r, "option")? { read(r).map(Some) } else { Ok(None) }
}

fn read_bool(r: &mut Reader<'_>, field: &'static str) -> Result<bool, DecodeError> {
    match r.u8(field)? {
        0 => Ok(false),
        1 => Ok(true),
        value => Err(DecodeError::Value { field, value: value.into() }),
    }
}

fn read_suite(r: &mut Reader<'_>) -> Result<HitSuite, DecodeError> {
    let id = r.u8("HIT suite")?;
    HitSuite::from_id(id).ok_or(DecodeError::Value { field: "HIT suite", value: id.into() })
}

fn read_time(r: &mut Reader<'_>) -> Result<Time, DecodeError> {
    Ok(Time::from_micros(r.u64("time")?))
}

fn nested<'a>(r: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8], DecodeError> {
    let length = r.u16(field)?;
    r.slice(length.into(), field)
}
