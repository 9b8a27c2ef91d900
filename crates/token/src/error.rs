//! Why a key in a token cannot be used.

use std::{fmt, path::PathBuf};

use claviger_crypto::{CryptoError, sign::SignatureAlgorithm};
use claviger_files::FileError;

/// What is wrong with a token or a key in it. It never carries a PIN.
#[derive(Debug)]
pub enum TokenError {
    /// The key asks for the PIN at each signature (CKA_ALWAYS_AUTHENTICATE).
    AlwaysAuthenticate,
    /// A function of the library failed.
    Call {
        /// Which, as `C_OpenSession`.
        function: String,
        /// What it returned, as `DeviceError`.
        value: String,
    },
    /// The provider lacks an algorithm.
    Crypto(CryptoError),
    /// The private key is of another kind than those that sign here, or of another size.
    Kind,
    /// The token has no such private key that this PIN shows.
    KeyMissing,
    /// The token has several such private keys: the URI says too little.
    KeysAmbiguous,
    /// The library cannot be used.
    Library {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        fault: LibraryFault,
    },
    /// The token cannot make signatures that are asked of keys of this kind.
    Mechanism(SignatureAlgorithm),
    /// What the private key signs, the public key does not verify: the two objects are no pair.
    Mismatch,
    /// The PIN, or its file, is refused.
    Pin(PinFault),
    /// The token has no public key beside the private one, with the same id.
    PublicKeyMissing,
    /// The token has several public keys with the private one's id.
    PublicKeysAmbiguous,
    /// There is another key by this name than there was when the key was first opened.
    Replaced,
    /// No token that the library knows fits the URI.
    TokenMissing,
    /// Several tokens fit the URI: it says too little.
    TokensAmbiguous,
}

/// What is wrong with a library.
#[derive(Debug)]
pub enum LibraryFault {
    /// Others could have put it there, or it is missing.
    File(FileError),
    /// It cannot be loaded, in the words of the system.
    Load(String),
}

/// What is wrong with a PIN.
#[derive(Debug)]
pub enum PinFault {
    /// The file is empty.
    Empty,
    /// The token refuses it, and says no more.
    Expired,
    /// The file cannot be read.
    File(PathBuf, FileError),
    /// One wrong PIN more would lock the token.
    FinalTry,
    /// It is wrong. It is not tried again, for a token is locked after some wrong ones.
    Incorrect,
    /// There were too many wrong ones.
    Locked,
    /// The file has more octets than a PIN can have.
    Long,
    /// The token asks for a PIN, and the URI names no file.
    Missing,
    /// Nobody has set one.
    NotSet,
    /// Others than the owner can read or write the file.
    Open(PathBuf, u32),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlwaysAuthenticate => {
                f.write_str("the key asks for the PIN at each signature: a program that runs by itself cannot use it")
            }
            Self::Call { function, value } => write!(f, "{function} failed: {value}"),
            Self::Crypto(error) => error.fmt(f),
            Self::Kind => f.write_str(
                "the key is none that signs here: ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits",
            ),
            Self::KeyMissing => f.write_str("the token has no private key by this name"),
            Self::KeysAmbiguous => {
                f.write_str("the token has several private keys by this name: add object=LABEL or id=%XX")
            }
            Self::Library { path, fault } => {
                write!(f, "the library {} cannot be used: {fault}", path.display())
            }
            Self::Mechanism(algorithm) => write!(f, "the token cannot sign by {}", name(*algorithm)),
            Self::Mismatch => f.write_str("the private key and the public key beside it are no pair"),
            Self::Pin(fault) => fault.fmt(f),
            Self::PublicKeyMissing => {
                f.write_str("the token has no public key with the id of the private one: write it to the token too")
            }
            Self::PublicKeysAmbiguous => f.write_str("the token has several public keys with the id of the private one"),
            Self::Replaced => f.write_str("the token has another key by this name than before"),
            Self::TokenMissing => f.write_str("there is no such token"),
            Self::TokensAmbiguous => {
                f.write_str("there are several such tokens: add token=LABEL or serial=NUMBER")
            }
        }
    }
}

impl fmt::Display for LibraryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Load(what) => f.write_str(what),
        }
    }
}

impl fmt::Display for PinFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the file of the PIN is empty"),
            Self::Expired => f.write_str("the PIN has expired"),
            Self::File(path, error) => {
                write!(f, "the file {} of the PIN cannot be read: {error}", path.display())
            }
            Self::FinalTry => f.write_str(
                "the token takes one wrong PIN more before it is locked, and none is tried: log in by other means first",
            ),
            Self::Incorrect => f.write_str("the PIN is wrong; it is not tried again before the next start"),
            Self::Locked => f.write_str("the PIN is locked, after too many wrong ones"),
            Self::Long => f.write_str("the file of the PIN has more octets than a PIN"),
            Self::Missing => f.write_str("the token asks for a PIN: add pin-source=file:/PATH"),
            Self::NotSet => f.write_str("the token has no PIN yet"),
            Self::Open(path, mode) => {
                write!(f, "the file {} of the PIN is open to other users (mode {mode:04o})", path.display())
            }
        }
    }
}

impl std::error::Error for TokenError {}

impl From<CryptoError> for TokenError {
    fn from(error: CryptoError) -> Self {
        Self::Crypto(error)
    }
}

impl From<PinFault> for TokenError {
    fn from(fault: PinFault) -> Self {
        Self::Pin(fault)
    }
}

impl From<cryptoki::error::Error> for TokenError {
    fn from(error: cryptoki::error::Error) -> Self {
        if let cryptoki::error::Error::Pkcs11(value, function) = error {
            Self::Call { function: format!("C_{function:?}"), value: format!("{value:?}") }
        } else {
            // What the library answered is not what the standard lets it answer.
            Self::Call { function: "PKCS #11".into(), value: error.to_string() }
        }
    }
}

fn name(algorithm: SignatureAlgorithm) -> &'static str {
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => "ECDSA on P-256 (CKM_ECDSA or CKM_ECDSA_SHA256)",
        SignatureAlgorithm::EcdsaP384Sha384 => "ECDSA on P-384 (CKM_ECDSA or CKM_ECDSA_SHA384)",
        SignatureAlgorithm::Ed25519 => "Ed25519 (CKM_EDDSA)",
        SignatureAlgorithm::RsaPkcs1Sha256 => "RSASSA-PKCS1-v1_5 (CKM_RSA_PKCS or CKM_SHA256_RSA_PKCS)",
        SignatureAlgorithm::RsaPssSha256 => "RSASSA-PSS (CKM_RSA_PKCS_PSS or CKM_SHA256_RSA_PKCS_PSS)",
    }
}
