//! A session of a token, with the key found in it and tried.

use claviger_crypto::{
    CryptoProvider,
    sign::{PublicKey, SignatureAlgorithm, Verifier},
};
use cryptoki::{
    context::{Function, Pkcs11},
    error::{Error, RvError},
    mechanism::MechanismType,
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::{Slot, TokenInfo},
    types::RawAuthPin,
};

use crate::{
    error::{PinFault, TokenError},
    mechanism::{Operation, asked_of},
    module,
    pin::Pin,
    public_key,
    uri::TokenUri,
};

/// What a key signs when it is opened. It is neither the beginning of a packet nor of a certificate.
const CHALLENGE: &[u8] = b"Claviger asks whether the private key and the public key in this token are a pair";

/// A key in an open session, which has shown that it signs.
pub(crate) struct KeySession {
    session: Session,
    key: ObjectHandle,
    public: PublicKey,
    operations: Vec<(SignatureAlgorithm, Operation)>,
}

impl KeySession {
    /// Finds the token, logs in, finds both halves of the key, and has the private one sign for the public one in every
    /// way that is asked of it.
    pub(crate) fn open(
        provider: &CryptoProvider,
        uri: &TokenUri,
        pin: Option<&Pin>,
    ) -> Result<Self, TokenError> {
        let library = module::load(uri.module_path())?;
        let (slot, info) = find_token(&library, uri)?;
        let session = library.open_ro_session(slot)?;
        log_in(&session, &info, pin)?;
        let key = find_private(&session, uri)?;
        let private = Description::read(&session, key)?;
        if private.always_authenticate {
            return Err(TokenError::AlwaysAuthenticate);
        }
        if private.extractable {
            tracing::warn!(%uri, "the private key is marked as one that may leave its token (CKA_EXTRACTABLE)");
        }
        let public = find_public(&session, &private)?;
        let operations = operations(&library, slot, &public)?;
        let opened = Self { session, key, public, operations };
        opened.prove(provider)?;
        Ok(opened)
    }

    /// Shows the public half.
    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs, if this key does so in this way.
    pub(crate) fn sign(
        &self,
        provider: &CryptoProvider,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, TokenError> {
        let (_, operation) = self
            .operations
            .iter()
            .find(|(made, _)| *made == algorithm)
            .ok_or(TokenError::Mechanism(algorithm))?;
        let input = operation.input(provider, message)?;
        Ok(self.session.sign(&operation.mechanism(), self.key, &input)?)
    }

    fn prove(&self, provider: &CryptoProvider) -> Result<(), TokenError> {
        let verifier = Verifier::new(provider, self.public.clone())?;
        for (algorithm, _) in &self.operations {
            let signature = self.sign(provider, *algorithm, CHALLENGE)?;
            verifier.verify(*algorithm, CHALLENGE, &signature).map_err(|_| TokenError::Mismatch)?;
        }
        Ok(())
    }
}

/// Finds the one token that the URI names, among those that the library sees.
fn find_token(library: &Pkcs11, uri: &TokenUri) -> Result<(Slot, TokenInfo), TokenError> {
    let mut found = None;
    let mut failure = TokenError::TokenMissing;
    for slot in library.get_slots_with_token()? {
        let info = match library.get_token_info(slot) {
            Ok(info) => info,
            // Another token may be broken. If this was the one, that says more than that there is none.
            Err(error) => {
                failure = error.into();
                continue;
            }
        };
        if !is_named(&info, uri) {
            continue;
        }
        if found.is_some() {
            return Err(TokenError::TokensAmbiguous);
        }
        found = Some((slot, info));
    }
    found.ok_or(failure)
}

fn is_named(info: &TokenInfo, uri: &TokenUri) -> bool {
    let is_free_or = |asked: Option<&str>, found: &str| asked.is_none_or(|asked| asked == found);
    info.token_initialized()
        && is_free_or(uri.token(), info.label())
        && is_free_or(uri.manufacturer(), info.manufacturer_id())
        && is_free_or(uri.serial(), info.serial_number())
        && is_free_or(uri.model(), info.model())
}

fn log_in(session: &Session, info: &TokenInfo, pin: Option<&Pin>) -> Result<(), TokenError> {
    let Some(pin) = pin else {
        return if info.login_required() { Err(PinFault::Missing.into()) } else { Ok(()) };
    };
    if info.user_pin_locked() {
        return Err(PinFault::Locked.into());
    }
    // A program that is started again and again with a wrong PIN must not lock the token.
    if info.user_pin_final_try() {
        return Err(PinFault::FinalTry.into());
    }
    let pin = RawAuthPin::new(Box::new(pin.expose().to_vec()));
    let Err(error) = session.login_with_raw(UserType::User, &pin) else { return Ok(()) };
    let Error::Pkcs11(value, Function::Login) = error else { return Err(error.into()) };
    // Login is the state of the whole process: another key of the same token may have logged in.
    if value == RvError::UserAlreadyLoggedIn {
        return Ok(());
    }
    Err(pin_fault(value).map_or_else(|| error.into(), TokenError::Pin))
}

/// Says what a token has against a PIN; `None` if it is not about the PIN that C_Login failed.
fn pin_fault(value: RvError) -> Option<PinFault> {
    let faults: [(RvError, fn() -> PinFault); 6] = [
        (RvError::PinIncorrect, || PinFault::Incorrect),
        (RvError::PinInvalid, || PinFault::Incorrect),
        (RvError::PinLenRange, || PinFault::Incorrect),
        (RvError::PinExpired, || PinFault::Expired),
        (RvError::PinLocked, || PinFault::Locked),
        (RvError::UserPinNotInitialized, || PinFault::NotSet),
    ];
    faults.iter().find(|(fault, _)| *fault == value).map(|(_, fault)| fault())
}

/// What is asked of an object that is a key.
struct Description {
    kind: Option<KeyType>,
    id: Vec<u8>,
    label: Vec<u8>,
    always_authenticate: bool,
    extractable: bool,
    parameters: Vec<u8>,
    point: Vec<u8>,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl Description {
    fn read(session: &Session, object: ObjectHandle) -> Result<Self, TokenError> {
        let attribute = |kind| -> Result<Option<Attribute>, TokenError> {
            // An attribute that the object does not have is left out of the answer.
            Ok(session.get_attributes(object, &[kind])?.pop())
        };
        let octets = |kind| {
            Ok::<_, TokenError>(match attribute(kind)? {
                Some(
                    Attribute::Id(octets)
                    | Attribute::Label(octets)
                    | Attribute::EcParams(octets)
                    | Attribute::EcPoint(octets)
                    | Attribute::Modulus(octets)
                    | Attribute::PublicExponent(octets),
                ) => octets,
                Some(_) | None => Vec::new(),
            })
        };
        Ok(Self {
            kind: match attribute(AttributeType::KeyType)? {
                Some(Attribute::KeyType(kind)) => Some(kind),
                Some(_) | None => None,
            },
            id: octets(AttributeType::Id)?,
            label: octets(AttributeType::Label)?,
            always_authenticate: attribute(AttributeType::AlwaysAuthenticate)?
                .is_some_and(|found| matches!(found, Attribute::AlwaysAuthenticate(true))),
            extractable: attribute(AttributeType::Extractable)?
                .is_some_and(|found| matches!(found, Attribute::Extractable(true))),
            parameters: octets(AttributeType::EcParams)?,
            point: octets(AttributeType::EcPoint)?,
            modulus: octets(AttributeType::Modulus)?,
            exponent: octets(AttributeType::PublicExponent)?,
        })
    }

    /// Takes the description of a public key for a key of ours.
    fn public_key(&self) -> Option<PublicKey> {
        match self.kind? {
            KeyType::EC => public_key::ecdsa(&self.parameters, &self.point),
            KeyType::EC_EDWARDS => public_key::eddsa(&self.parameters, &self.point),
            KeyType::RSA => public_key::rsa(&self.modulus, &self.exponent),
            _ => None,
        }
    }
}

fn find_private(session: &Session, uri: &TokenUri) -> Result<ObjectHandle, TokenError> {
    let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Token(true)];
    template.extend(uri.object().map(|label| Attribute::Label(label.as_bytes().to_vec())));
    template.extend(uri.id().map(|id| Attribute::Id(id.to_vec())));
    match session.find_objects(&template)?[..] {
        [] => Err(TokenError::KeyMissing),
        [key] => Ok(key),
        [_, _, ..] => Err(TokenError::KeysAmbiguous),
    }
}

/// Finds the public half: the object with the id of the private one, or, where that has none, with its label.
fn find_public(session: &Session, private: &Description) -> Result<PublicKey, TokenError> {
    let name = if private.id.is_empty() {
        Attribute::Label(private.label.clone())
    } else {
        Attribute::Id(private.id.clone())
    };
    let template = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Token(true), name];
    let object = match session.find_objects(&template)?[..] {
        [] => return Err(TokenError::PublicKeyMissing),
        [object] => object,
        [_, _, ..] => return Err(TokenError::PublicKeysAmbiguous),
    };
    let public = Description::read(session, object)?;
    if public.kind != private.kind {
        return Err(TokenError::Mismatch);
    }
    public.public_key().ok_or(TokenError::Kind)
}

/// Finds an operation for every signature that is asked of the key.
fn operations(
    library: &Pkcs11,
    slot: Slot,
    key: &PublicKey,
) -> Result<Vec<(SignatureAlgorithm, Operation)>, TokenError> {
    let mut offered = library.get_mechanism_list(slot)?;
    offered.retain(|mechanism| signs(library, slot, *mechanism));
    asked_of(key.algorithm())
        .iter()
        .map(|algorithm| {
            let operation = Operation::choose(*algorithm, &offered);
            Ok((*algorithm, operation.ok_or(TokenError::Mechanism(*algorithm))?))
        })
        .collect()
}

fn signs(library: &Pkcs11, slot: Slot, mechanism: MechanismType) -> bool {
    library.get_mechanism_info(slot, mechanism).is_ok_and(|info| info.sign())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_token_has_against_a_pin_is_told_apart_from_other_failures() {
        for (value, sentence) in [
            (RvError::PinIncorrect, "the PIN is wrong; it is not tried again before the next start"),
            (RvError::PinInvalid, "the PIN is wrong; it is not tried again before the next start"),
            (RvError::PinLenRange, "the PIN is wrong; it is not tried again before the next start"),
            (RvError::PinExpired, "the PIN has expired"),
            (RvError::PinLocked, "the PIN is locked, after too many wrong ones"),
            (RvError::UserPinNotInitialized, "the token has no PIN yet"),
        ] {
            assert_eq!(pin_fault(value).unwrap().to_string(), sentence);
        }
        assert!(pin_fault(RvError::DeviceError).is_none());
    }
}
