//! Code points of GDOI. Those of ISAKMP's registries are in [`claviger_isakmp::iana`].

/// The Domain of Interpretation of GDOI (RFC 6407 section 5.2).
pub const DOI_GDOI: u32 = 2;

/// The UDP port of GDOI (RFC 6407 section 2.2).
pub const GDOI_PORT: u16 = 848;

// https://www.iana.org/assignments/gdoi-payloads/gdoi-payloads.xhtml#gdoi-payloads-1
/// The classes of KEK attributes (RFC 6407 section 5.3).
pub mod kek {
    /// KEK_MANAGEMENT_ALGORITHM.
    pub const MANAGEMENT_ALGORITHM: u16 = 1;
    /// KEK_ALGORITHM.
    pub const ALGORITHM: u16 = 2;
    /// KEK_KEY_LENGTH, in bits.
    pub const KEY_LENGTH: u16 = 3;
    /// KEK_KEY_LIFETIME, in seconds.
    pub const KEY_LIFETIME: u16 = 4;
    /// SIG_HASH_ALGORITHM.
    pub const SIG_HASH_ALGORITHM: u16 = 5;
    /// SIG_ALGORITHM.
    pub const SIG_ALGORITHM: u16 = 6;
    /// SIG_KEY_LENGTH, in bits.
    pub const SIG_KEY_LENGTH: u16 = 7;
    /// Private use: a KEK management algorithm of private use, in a GROUPKEY-PULL, where KEK_MANAGEMENT_ALGORITHM
    /// must not stand.
    pub const PULL_MANAGEMENT_ALGORITHM: u16 = 128;
    /// Private use: where messages go that only members at the member's place need, in a GROUPKEY-PULL.
    pub const PLACE_DESTINATION: u16 = 129;
    /// Private use: the number of the first message of the rekey, in a GROUPKEY-PUSH.
    pub const REKEY_FIRST: u16 = 130;

    /// KEK_MANAGEMENT_ALGORITHM: LKH.
    pub const MANAGEMENT_LKH: u16 = 1;
    /// KEK_MANAGEMENT_ALGORITHM, private use: LKH with 32-bit node ids ([`crate::lkh_32`]).
    pub const MANAGEMENT_LKH_32: u16 = 128;
    /// KEK_MANAGEMENT_ALGORITHM: the first and the last of private use.
    pub const MANAGEMENT_PRIVATE: std::ops::RangeInclusive<u16> = 128..=255;
    /// KEK_ALGORITHM: AES in CBC mode; also the Key Type of an LKH key.
    pub const ALGORITHM_AES: u16 = 3;
    /// SIG_HASH_ALGORITHM: SHA-256.
    pub const SIG_HASH_SHA256: u16 = 3;
    /// SIG_HASH_ALGORITHM: SHA-384.
    pub const SIG_HASH_SHA384: u16 = 4;
    /// SIG_ALGORITHM: RSA with EMSA-PKCS1-v1_5.
    pub const SIG_RSA: u16 = 1;
    /// SIG_ALGORITHM: ECDSA on P-256 with SHA-256.
    pub const SIG_ECDSA_256: u16 = 4;
    /// SIG_ALGORITHM: ECDSA on P-384 with SHA-384.
    pub const SIG_ECDSA_384: u16 = 5;
    /// SIG_ALGORITHM, private use: Ed25519, which hashes for itself.
    pub const SIG_ED25519: u16 = 128;
    /// SIG_ALGORITHM, private use: RSA with EMSA-PKCS1-v1_5 over the root of a batch.
    pub const SIG_BATCH_RSA: u16 = 129;
    /// SIG_ALGORITHM, private use: ECDSA on P-256 with SHA-256 over the root of a batch.
    pub const SIG_BATCH_ECDSA_256: u16 = 132;
    /// SIG_ALGORITHM, private use: ECDSA on P-384 with SHA-384 over the root of a batch.
    pub const SIG_BATCH_ECDSA_384: u16 = 133;
    /// SIG_ALGORITHM, private use: Ed25519 over the root of a batch.
    pub const SIG_BATCH_ED25519: u16 = 134;
}

// https://www.iana.org/assignments/gdoi-payloads/gdoi-payloads.xhtml#gap-payload-policy-attributes
/// The classes of Group Associated Policy attributes (RFC 6407 section 5.4).
pub mod gap {
    /// ACTIVATION_TIME_DELAY, in seconds.
    pub const ACTIVATION_TIME_DELAY: u16 = 1;
    /// DEACTIVATION_TIME_DELAY, in seconds.
    pub const DEACTIVATION_TIME_DELAY: u16 = 2;
    /// SENDER_ID_REQUEST, a count.
    pub const SENDER_ID_REQUEST: u16 = 3;
    /// Private use: how many seconds a lease lasts, in a GROUPKEY-PULL, to a member that needs one.
    pub const LEASE_TIME: u16 = 128;
    /// Private use: 1, where the lease is for what the member accepts too.
    pub const LEASE_RECEIVING: u16 = 129;
}

// https://www.iana.org/assignments/gdoi-payloads/gdoi-payloads.xhtml#gdoi-payloads-7
/// The protocols of an SA TEK (RFC 6407 section 5.5).
pub mod tek_protocol {
    /// GDOI_PROTO_IPSEC_ESP.
    pub const IPSEC_ESP: u8 = 1;
}

// https://www.iana.org/assignments/isakmp-registry/isakmp-registry.xhtml#isakmp-registry-9
/// ESP transforms.
pub mod esp {
    /// AES in CBC mode (RFC 3602).
    pub const AES_CBC: u8 = 12;
    /// AES-GCM with a 16-octet ICV (RFC 4106).
    pub const AES_GCM_16: u8 = 20;
}

// https://www.iana.org/assignments/isakmp-registry/isakmp-registry.xhtml#isakmp-registry-10
/// The classes of IPsec SA attributes (RFC 2407 section 4.5).
pub mod ipsec {
    /// SA Life Type.
    pub const LIFE_TYPE: u16 = 1;
    /// SA Life Duration.
    pub const LIFE_DURATION: u16 = 2;
    /// Group Description, which GDOI does not send and ignores.
    pub const GROUP_DESCRIPTION: u16 = 3;
    /// Encapsulation Mode.
    pub const ENCAPSULATION_MODE: u16 = 4;
    /// Authentication Algorithm.
    pub const AUTHENTICATION_ALGORITHM: u16 = 5;
    /// Key Length, in bits.
    pub const KEY_LENGTH: u16 = 6;
    /// Address Preservation (RFC 6407 section 5.5.1.1.1).
    pub const ADDRESS_PRESERVATION: u16 = 14;
    /// SA Direction (RFC 6407 section 5.5.1.1.2).
    pub const SA_DIRECTION: u16 = 15;
    /// Private use: the UDP port of ESP in UDP, sent when it is not 4500.
    pub const UDP_ENCAPSULATION_PORT: u16 = 32_001;

    /// SA Life Type: seconds.
    pub const LIFE_SECONDS: u16 = 1;
    /// Authentication Algorithm: HMAC-SHA2-256 (RFC 4868), truncated to 128 bits.
    pub const AUTH_HMAC_SHA2_256: u16 = 5;
}

// https://www.iana.org/assignments/gdoi-payloads/gdoi-payloads.xhtml#gdoi-payloads-8
/// The types of key packets and the classes of their attributes (RFC 6407 section 5.6).
pub mod kd {
    /// A key packet with a traffic key.
    pub const TEK: u8 = 1;
    /// A key packet with a single KEK.
    pub const KEK: u8 = 2;
    /// A key packet with an array of KEKs.
    pub const LKH: u8 = 3;
    /// A key packet with sender ids.
    pub const SID: u8 = 4;

    /// TEK_ALGORITHM_KEY.
    pub const TEK_ALGORITHM_KEY: u16 = 1;
    /// TEK_INTEGRITY_KEY.
    pub const TEK_INTEGRITY_KEY: u16 = 2;

    /// KEK_ALGORITHM_KEY: IV, then key.
    pub const KEK_ALGORITHM_KEY: u16 = 1;
    /// SIG_ALGORITHM_KEY of a KEK packet.
    pub const KEK_SIG_ALGORITHM_KEY: u16 = 2;

    /// LKH_DOWNLOAD_ARRAY.
    pub const LKH_DOWNLOAD_ARRAY: u16 = 1;
    /// LKH_UPDATE_ARRAY.
    pub const LKH_UPDATE_ARRAY: u16 = 2;
    /// SIG_ALGORITHM_KEY of an LKH packet.
    pub const LKH_SIG_ALGORITHM_KEY: u16 = 3;
    /// Private use: the path of a member in a tree with 32-bit node ids.
    pub const LKH_32_PATH: u16 = 128;
    /// Private use: new keys of a tree with 32-bit node ids.
    pub const LKH_32_UPDATE: u16 = 129;

    /// NUMBER_OF_SID_BITS.
    pub const NUMBER_OF_SID_BITS: u16 = 1;
    /// SID_VALUE.
    pub const SID_VALUE: u16 = 2;
}
