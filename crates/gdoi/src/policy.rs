//! Whether a policy asks for nothing that is not accepted, and whether keys fit it.

use claviger_crypto::cipher::CipherAlgorithm;
use claviger_group::{PushAuthentication, tek::TekKeys};

use crate::{
    error::{Error, PeerIncompatible, PeerMisbehaved},
    extensions::Extensions,
    iana::kek,
    wire::{Exchange, KeyDownload, Lkh32, LkhKey, SaKek, SaPayload, lkh_32::PathArray},
};

/// Says whether a policy needs no private extension but these.
///
/// # Errors
///
/// [`Error::PeerIncompatible`] names what is not understood or refused: KEK_MANAGEMENT_ALGORITHM, SIG_ALGORITHM,
/// PLACE_DESTINATION, REKEY_FIRST or LEASE_TIME.
pub fn check_extensions(extensions: Extensions, sa: &SaPayload) -> Result<(), Error> {
    match sa.gap.and_then(|gap| gap.lease_time) {
        Some(time) if !extensions.leases => return Err(PeerIncompatible::LeaseTime(time).into()),
        Some(_) | None => {}
    }
    sa.kek.as_ref().map_or(Ok(()), |policy| check_rekey_extensions(extensions, policy))
}

fn check_rekey_extensions(extensions: Extensions, policy: &SaKek) -> Result<(), Error> {
    match policy.management {
        None | Some(kek::MANAGEMENT_LKH) => {}
        Some(kek::MANAGEMENT_LKH_32) if extensions.lkh_32 => {}
        Some(other) => return Err(PeerIncompatible::KekManagement(other).into()),
    }
    if policy.form == PushAuthentication::Batch && !extensions.batch_signatures {
        return Err(PeerIncompatible::Signature(policy.signature_code()?).into());
    }
    if policy.place.is_some() && !extensions.places {
        return Err(PeerIncompatible::PlaceDestination(kek::PLACE_DESTINATION).into());
    }
    if policy.rekey_first.is_some() && !extensions.places {
        return Err(PeerIncompatible::RekeyFirst(kek::REKEY_FIRST).into());
    }
    Ok(())
}

/// Says whether the keys of a KD are those that an SA asserts, each of its algorithm's length, and whether each
/// stands in an exchange in which it may.
///
/// # Errors
///
/// [`Error::PeerMisbehaved`] names the rule that is broken.
pub fn check_keys(exchange: Exchange, sa: &SaPayload, kd: &KeyDownload) -> Result<(), Error> {
    check_place(exchange, sa, kd)?;
    check_kek(exchange, sa.kek.as_ref(), kd)?;
    check_teks(exchange, sa, kd)
}

fn check_place(exchange: Exchange, sa: &SaPayload, kd: &KeyDownload) -> Result<(), Error> {
    if sa.gap.is_some_and(|gap| gap.sender_id_request.is_some()) {
        return Err(PeerMisbehaved::SenderIdRequestByServer.into());
    }
    //= rfc6407#section-5.4
    //# The former can be distributed in either a GROUPKEY-PULL or
    //# GROUPKEY-PUSH exchange, whereas the latter MUST only be sent in a
    //# GROUPKEY-PULL exchange.
    if exchange == Exchange::Push && sa.gap.is_some_and(|gap| gap.lease_time.is_some()) {
        return Err(PeerMisbehaved::LeaseTimeInPush.into());
    }
    let (lkh, lkh_32) = (kd.lkh.as_ref(), kd.lkh_32.as_ref());
    match exchange {
        Exchange::Pull
            if lkh.is_some_and(|lkh| !lkh.updates.is_empty())
                || lkh_32.is_some_and(|lkh| lkh.update.is_some()) =>
        {
            Err(PeerMisbehaved::UpdateArrayInPull.into())
        }
        //= rfc6407#section-5.6.3.1
        //# It MUST NOT be included in a GROUPKEY-PUSH message KD payload if the
        //# GROUPKEY-PUSH is sent to more than the group member.
        Exchange::Push
            if lkh.is_some_and(|lkh| lkh.download.is_some())
                || lkh_32.is_some_and(|lkh| lkh.path.is_some()) =>
        {
            Err(PeerMisbehaved::DownloadArrayInPush.into())
        }
        //= rfc6407#section-5.6.4.4
        //# The GCKS MUST NOT send the SID Download Type KD payload as part of a
        //# GROUPKEY-PUSH message because distributing the same sender-specific
        //# policy to more than one group member will reduce the security of the
        //# group.
        Exchange::Push if kd.sender_ids.is_some() => Err(PeerMisbehaved::SenderIdsInPush.into()),
        Exchange::Pull | Exchange::Push => Ok(()),
    }
}

fn check_kek(exchange: Exchange, sak: Option<&SaKek>, kd: &KeyDownload) -> Result<(), Error> {
    let Some(sak) = sak else {
        // Without a new rekey SA there is nothing that a KEK could be for.
        return match kd.kek_spi() {
            None => Ok(()),
            Some(_) => Err(PeerMisbehaved::KeyWithoutPolicy.into()),
        };
    };
    //= rfc6407#section-4
    //# If the SA defines the use of a single KEK or an LKH KEK array, KD
    //# MUST contain a corresponding KEK or KEK array for a new Rekey SA,
    //# which has a new cookie pair.
    match (&kd.kek, &kd.lkh, &kd.lkh_32) {
        (None, None, None) => return Err(PeerMisbehaved::KeyMissing.into()),
        (Some(kek), None, None) if kek.spi == sak.spi => {
            if kek.key.len() != sak.cipher.key_len() {
                return Err(PeerMisbehaved::KeyLength.into());
            }
        }
        (None, None, Some(lkh)) if lkh.spi == sak.spi => check_lkh_32(exchange, sak, lkh)?,
        (None, Some(lkh), None) if lkh.spi == sak.spi => {
            let keys = lkh.download.iter().flat_map(|array| &array.keys);
            let updates = lkh.updates.iter().flat_map(|array| &array.keys);
            keys.chain(updates).try_for_each(|key| check_lkh_key(sak.cipher, key))?;
            if exchange == Exchange::Pull && lkh.download.is_none() {
                return Err(PeerMisbehaved::KeyMissing.into());
            }
        }
        _ => return Err(PeerMisbehaved::KeyWithoutPolicy.into()),
    }
    // What tells the one kind of tree from the other is in both exchanges.
    if (sak.management == Some(kek::MANAGEMENT_LKH_32)) != kd.lkh_32.is_some() {
        return Err(PeerMisbehaved::ManagementMismatch.into());
    }
    match kd.signing_key() {
        Some(key) if key.algorithm() != sak.signature => Err(PeerMisbehaved::SigningKeyKind.into()),
        _ => Ok(()),
    }
}

fn check_lkh_32(exchange: Exchange, sak: &SaKek, lkh: &Lkh32) -> Result<(), PeerMisbehaved> {
    let path = lkh.path.as_ref().map(PathArray::key_len);
    let update = lkh.update.as_ref().map(|update| usize::from(update.head().key_len));
    let needed = match exchange {
        Exchange::Pull => path,
        Exchange::Push => update,
    };
    match needed {
        None => Err(PeerMisbehaved::KeyMissing),
        Some(length) if length != sak.cipher.key_len() => Err(PeerMisbehaved::KeyLength),
        Some(_) => Ok(()),
    }
}

/// Says whether an LKH key has the KEK's type and length.
pub(crate) fn check_lkh_key(cipher: CipherAlgorithm, key: &LkhKey) -> Result<(), PeerMisbehaved> {
    if u16::from(key.key_type) != kek::ALGORITHM_AES {
        return Err(PeerMisbehaved::LkhKeyType);
    }
    if key.data.len() != claviger_crypto::cipher::BLOCK_LEN + cipher.key_len() {
        return Err(PeerMisbehaved::KeyLength);
    }
    Ok(())
}

fn check_teks(exchange: Exchange, sa: &SaPayload, kd: &KeyDownload) -> Result<(), Error> {
    // RFC 6407 section 5.6.1: "If no TEK key packets are included in a Registration KD payload, the group member
    // can expect to receive the TEK as part of a Rekey SA."
    if kd.teks.is_empty() && exchange == Exchange::Pull && sa.kek.is_some() {
        return Ok(());
    }
    for tek in &sa.teks {
        let keys = kd.teks.iter().find(|(spi, _)| *spi == tek.spi).ok_or(PeerMisbehaved::KeyMissing)?;
        TekKeys::new(tek.transform, keys.1.encryption.clone(), keys.1.integrity.clone())
            .map_err(|_| PeerMisbehaved::KeyLength)?;
    }
    let asserted = |spi| sa.teks.iter().any(|tek| tek.spi == spi);
    if kd.teks.iter().all(|(spi, _)| asserted(*spi)) {
        Ok(())
    } else {
        Err(PeerMisbehaved::KeyWithoutPolicy.into())
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::SecretBytes;
    use claviger_group::Spi;

    use super::*;
    use crate::wire::{
        key_download::tests::sample as any_download, security_association::tests::sample as sa,
    };

    /// An SA with a KEK and one TEK, and the keys that fit it in a pull.
    fn fitting() -> (SaPayload, KeyDownload) {
        let mut sa = sa();
        sa.teks.truncate(1);
        let kek_spi = sa.kek.as_ref().unwrap().spi;
        let mut kd = any_download();
        kd.kek = None;
        kd.teks.truncate(1);
        kd.teks[0].0 = sa.teks[0].spi;
        let lkh = kd.lkh.as_mut().unwrap();
        lkh.spi = kek_spi;
        lkh.updates.clear();
        lkh.signing_key = None;
        (sa, kd)
    }

    #[test]
    fn keys_that_fit_are_accepted() {
        let (sa, mut kd) = fitting();
        assert_eq!(check_keys(Exchange::Pull, &sa, &kd), Ok(()));
        kd.teks.clear();
        assert_eq!(check_keys(Exchange::Pull, &sa, &kd), Ok(()), "TEKs come by PUSH");
    }

    #[test]
    fn each_broken_rule_is_named() {
        type Breaking = fn(&mut SaPayload, &mut KeyDownload);
        let broken: [(Exchange, Breaking, PeerMisbehaved); 13] = [
            (
                Exchange::Push,
                |sa, _| sa.gap.as_mut().unwrap().lease_time = Some(600),
                PeerMisbehaved::LeaseTimeInPush,
            ),
            (
                Exchange::Pull,
                |sa, _| sa.gap.as_mut().unwrap().sender_id_request = Some(1),
                PeerMisbehaved::SenderIdRequestByServer,
            ),
            (
                Exchange::Pull,
                |_, kd| kd.lkh.as_mut().unwrap().updates = any_download().lkh.unwrap().updates,
                PeerMisbehaved::UpdateArrayInPull,
            ),
            (Exchange::Push, |_, _| (), PeerMisbehaved::DownloadArrayInPush),
            (Exchange::Push, |_, kd| kd.lkh = None, PeerMisbehaved::SenderIdsInPush),
            (Exchange::Pull, |sa, _| sa.kek = None, PeerMisbehaved::KeyWithoutPolicy),
            (Exchange::Pull, |_, kd| kd.lkh = None, PeerMisbehaved::KeyMissing),
            (Exchange::Pull, |_, kd| kd.kek = any_download().kek, PeerMisbehaved::KeyWithoutPolicy),
            (
                Exchange::Pull,
                |sa, _| sa.kek.as_mut().unwrap().cipher = CipherAlgorithm::Aes256Cbc,
                PeerMisbehaved::KeyLength,
            ),
            (
                Exchange::Pull,
                |_, kd| kd.lkh.as_mut().unwrap().download.as_mut().unwrap().keys[0].key_type = 1,
                PeerMisbehaved::LkhKeyType,
            ),
            (
                Exchange::Pull,
                |_, kd| kd.lkh.as_mut().unwrap().signing_key = any_download().lkh.unwrap().signing_key,
                PeerMisbehaved::SigningKeyKind,
            ),
            (Exchange::Pull, |_, kd| kd.teks[0].0 = Spi::new(999).unwrap(), PeerMisbehaved::KeyMissing),
            (
                Exchange::Pull,
                |_, kd| kd.teks[0].1.encryption = SecretBytes::new(vec![0; 16]),
                PeerMisbehaved::KeyLength,
            ),
        ];
        for (exchange, breaking, rule) in broken {
            let (mut sa, mut kd) = fitting();
            breaking(&mut sa, &mut kd);
            assert_eq!(check_keys(exchange, &sa, &kd), Err(rule.into()));
        }
        let (sa, mut kd) = fitting();
        kd.teks.push((Spi::new(999).unwrap(), kd.teks[0].1.clone()));
        assert_eq!(check_keys(Exchange::Pull, &sa, &kd), Err(PeerMisbehaved::KeyWithoutPolicy.into()));
    }
}
