//! What hosts and administrator tell the checker, one JSON object a line, in the order in which it happened.

use claviger_crypto::{SecretBytes, cipher::CipherAlgorithm, sign::PublicKey};
use claviger_gdoi::{
    lkh::{self, KeyArray},
    push::KekMaterial,
    wire::LkhDownloadArray,
};
use claviger_group::{Channel, CookiePair, Encapsulation, EspTransform, Spi, Tek, tek::TekKeys};
use claviger_proof::ledger::LedgerRekey;
use claviger_wire::{Decode, Writer};
use serde::{Deserialize, Serialize};

/// Which host.
pub(crate) type HostNumber = usize;

/// Which of its memberships: it begins with a join and ends with a departure.
pub(crate) type Life = u32;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what")]
pub(crate) enum Line {
    /// The server answered that the host may come.
    Allowed { host: HostNumber },
    /// The host begins to ask for the group.
    Asked { host: HostNumber, life: Life },
    /// The server granted the registration.
    Granted { host: HostNumber, life: Life },
    /// The server refused it.
    Refused { host: HostNumber, life: Life, reason: String },
    /// A PULL brought keys.
    Pulled { host: HostNumber, life: Life, sender_ids: Vec<(u32, u32)> },
    /// The host holds a TEK.
    Tek { host: HostNumber, life: Life, spi: u32, key: Vec<u8> },
    /// The host holds a KEK and the path to it.
    Rekey { host: HostNumber, life: Life, rekey: Box<RekeyKeys> },
    /// The server acknowledged the host's CLOSE.
    Left { host: HostNumber, life: Life },
    /// The administrator is about to put the host out.
    Evicting { host: HostNumber },
    /// The server answered that it is out.
    Evicted { host: HostNumber },
    /// The server told the host that it is out.
    PutOut { host: HostNumber, life: Life },
    /// The server is dead.
    Killed { how: String },
    /// Every member holds what the server says is in force.
    Settled { kek: [u8; 16], tek: u32, members: usize, took_ms: u64 },
    /// A member does not come to hold it.
    Lags { host: HostNumber, life: Life, holds: String, in_force: String },
}

/// A rekey SA as it was held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RekeyKeys {
    pub(crate) spi: [u8; 16],
    pub(crate) iv: [u8; 16],
    pub(crate) key: Vec<u8>,
    pub(crate) signing_key: Vec<u8>,
    /// The path as an LKH download array.
    pub(crate) path: Vec<u8>,
}

impl RekeyKeys {
    pub(crate) fn of(rekey: &LedgerRekey) -> Self {
        let PublicKey::EcdsaP256(point) = &rekey.signing_key else { panic!("the group signs with P-256") };
        let mut path = Writer::new();
        let array = rekey.lkh.as_ref().expect("the group has a key tree");
        lkh::download_array(array.keys()).encode(&mut path).unwrap();
        Self {
            spi: rekey.kek.spi.0,
            iv: rekey.kek.iv,
            key: rekey.kek.key.expose().to_vec(),
            signing_key: point.to_vec(),
            path: path.into_octets(),
        }
    }

    pub(crate) fn held(&self) -> LedgerRekey {
        let cipher = CipherAlgorithm::Aes128Cbc;
        let array = LkhDownloadArray::from_octets(&self.path).unwrap();
        LedgerRekey {
            form: claviger_group::PushAuthentication::Message,
            kek: KekMaterial::new(CookiePair(self.spi), cipher, self.iv, &self.key),
            signing_key: PublicKey::EcdsaP256(self.signing_key.clone()),
            lkh: Some(KeyArray::new(&array, cipher).unwrap()),
        }
    }

    /// Goes through the keys of the path: LKH id, handle, IV and key.
    pub(crate) fn path_keys(&self) -> Vec<(u16, u32, Vec<u8>)> {
        let array = LkhDownloadArray::from_octets(&self.path).unwrap();
        array.keys.iter().map(|key| (key.id, key.handle, key.data.expose().to_vec())).collect()
    }
}

/// Makes a TEK of what was told of it.
pub(crate) fn tek(spi: u32, key: &[u8]) -> Tek {
    let transform = EspTransform::Aes128Gcm16;
    let keys = TekKeys::new(transform, SecretBytes::copy_of(key), SecretBytes::new(Vec::new())).unwrap();
    Tek {
        spi: Spi::new(spi).unwrap(),
        transform,
        keys,
        channel: Channel::new([239, 255, 0, 1].into(), None).unwrap(),
        encapsulation: Encapsulation::UdpTransport,
        encapsulation_port: 4500,
        application_port: 0,
        lifetime: std::time::Duration::from_secs(3600),
    }
}
