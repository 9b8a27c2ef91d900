//! How the errors of the crates below end a command.

use claviger_gcks::RestoreError;
use claviger_net::{BindError, GuardError, InterfaceError};
use claviger_store::StoreError;

use crate::exit::{Exit, Failure};

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        let exit = if error.is_privilege() {
            Exit::Privilege
        } else if error.kind() == std::io::ErrorKind::AddrInUse {
            Exit::InUse
        } else {
            Exit::Failed
        };
        Self::new(exit, error.to_string())
    }
}

impl From<GuardError> for Failure {
    fn from(error: GuardError) -> Self {
        Self::new(if error.is_privilege() { Exit::Privilege } else { Exit::Failed }, error.to_string())
    }
}

impl From<InterfaceError> for Failure {
    fn from(error: InterfaceError) -> Self {
        Self::new(Exit::Usage, error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match &error {
            StoreError::InUse { .. } => Exit::InUse,
            StoreError::Corrupt { .. }
            | StoreError::Crypto(_)
            | StoreError::Damaged { .. }
            | StoreError::DatabaseMissing { .. }
            | StoreError::File { .. }
            | StoreError::KeyLength { .. }
            | StoreError::KeyMissing { .. }
            | StoreError::KeyTooOpen { .. }
            | StoreError::KeyWrong { .. }
            | StoreError::NewerFormat { .. }
            | StoreError::NotOurs(_)
            | StoreError::RolledBack { .. }
            | StoreError::TooLong { .. } => Exit::Configuration,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        let failure = Self::new(Exit::Configuration, error.to_string());
        match error {
            RestoreError::OtherIdentity { stored, .. } => {
                failure.hint(format!("restore the identity.pem of {stored}, or name another --state-dir"))
            }
            RestoreError::Decode { .. }
            | RestoreError::Inconsistent { .. }
            | RestoreError::Crypto(_)
            | RestoreError::Hip(_) => failure,
        }
    }
}

impl From<claviger_member::Error> for Failure {
    fn from(error: claviger_member::Error) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}

impl From<claviger_crypto::CryptoError> for Failure {
    fn from(error: claviger_crypto::CryptoError) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}

impl From<claviger_esp::packet::PacketError> for Failure {
    fn from(error: claviger_esp::packet::PacketError) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::from(anyhow::Error::from(error))
    }
}
