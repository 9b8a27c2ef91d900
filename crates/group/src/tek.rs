//! One data security association.

use std::{fmt, num::NonZeroU32, time::Duration};

use claviger_crypto::{CryptoError, Random, SecretBytes};

use crate::{Channel, EspTransform};

/// The SPI of an ESP security association. Zero is reserved (RFC 4303 section 2.1), and so are 1 to 255; in UDP
/// a zero in its place means "not ESP" (RFC 3948 section 2.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spi(NonZeroU32);

impl Spi {
    /// Takes an SPI of 256 or more.
    pub const fn new(spi: u32) -> Option<Self> {
        match NonZeroU32::new(spi) {
            Some(spi) if spi.get() > 255 => Some(Self(spi)),
            _ => None,
        }
    }

    /// Draws an SPI.
    pub fn random(random: &mut dyn Random) -> Self {
        loop {
            let octets = claviger_crypto::random::array(random);
            if let Some(spi) = Self::new(u32::from_be_bytes(octets)) {
                return spi;
            }
        }
    }

    /// Shows the number.
    pub const fn as_u32(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spi({self})")
    }
}

/// How ESP travels; the value is the Encapsulation Mode attribute of an SA TEK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Encapsulation {
    /// Tunnel mode with both addresses preserved, IP protocol 50 (RFC 5374 section 3.1).
    Tunnel = 1,
    /// Transport mode, IP protocol 50.
    Transport = 2,
    /// Tunnel mode in UDP (RFC 3948; RFC 3947 section 5.1).
    UdpTunnel = 3,
    /// Transport mode in UDP (RFC 3948; RFC 3947 section 5.1): needs no privilege.
    #[default]
    UdpTransport = 4,
}

impl Encapsulation {
    /// Reads the value of an Encapsulation Mode attribute.
    pub const fn from_value(value: u16) -> Option<Self> {
        match value {
            1 => Some(Self::Tunnel),
            2 => Some(Self::Transport),
            3 => Some(Self::UdpTunnel),
            4 => Some(Self::UdpTransport),
            _ => None,
        }
    }

    /// Says whether ESP stands behind a UDP header.
    pub const fn is_udp(self) -> bool {
        matches!(self, Self::UdpTunnel | Self::UdpTransport)
    }

    /// Says whether a whole IP packet is inside.
    pub const fn is_tunnel(self) -> bool {
        matches!(self, Self::Tunnel | Self::UdpTunnel)
    }
}

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tunnel => "tunnel",
            Self::Transport => "transport",
            Self::UdpTunnel => "udp-tunnel",
            Self::UdpTransport => "udp-transport",
        })
    }
}

/// The keys of a [`Tek`], each as RFC 6407 section 5.6.1 downloads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TekKeys {
    /// TEK_ALGORITHM_KEY: the cipher's key; for AES-GCM followed by the 4-octet salt (RFC 4106 section 8.1).
    pub encryption: SecretBytes,
    /// TEK_INTEGRITY_KEY: the MAC's key; empty for an AEAD.
    pub integrity: SecretBytes,
}

impl TekKeys {
    /// Draws new keys for a transform.
    pub fn generate(transform: EspTransform, random: &mut dyn Random) -> Self {
        Self {
            encryption: SecretBytes::with(transform.encryption_key_len(), |octets| random.fill(octets)),
            integrity: SecretBytes::with(transform.integrity_key_len(), |octets| random.fill(octets)),
        }
    }

    /// Takes downloaded keys.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Key`] if their lengths are not the transform's.
    pub fn new(
        transform: EspTransform,
        encryption: SecretBytes,
        integrity: SecretBytes,
    ) -> Result<Self, CryptoError> {
        let lengths = (encryption.len(), integrity.len());
        if lengths == (transform.encryption_key_len(), transform.integrity_key_len()) {
            Ok(Self { encryption, integrity })
        } else {
            Err(CryptoError::Key)
        }
    }
}

/// A data security association of a group: policy and keys, as a key server issues and a member installs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tek {
    /// Names the association in every packet.
    pub spi: Spi,
    /// The algorithms.
    pub transform: EspTransform,
    /// The keys.
    pub keys: TekKeys,
    /// The multicast address that packets go to.
    pub channel: Channel,
    /// How ESP travels.
    pub encapsulation: Encapsulation,
    /// The UDP port of ESP where [`Encapsulation::is_udp`].
    pub encapsulation_port: u16,
    /// The UDP destination port inside that the association is for; zero is any port and protocol.
    pub application_port: u16,
    /// How long the association may be used from its installation.
    pub lifetime: Duration,
}
