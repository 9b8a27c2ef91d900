//! A key in a token, as what signs.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use claviger_crypto::{
    CryptoError, CryptoProvider,
    sign::{PublicKey, SignatureAlgorithm, Signer},
};

use crate::{
    error::TokenError,
    mechanism::asked_of,
    pin::{self, Pin},
    session::KeySession,
    uri::TokenUri,
};

/// A private key that stays in its token, and signs there.
///
/// A token that was taken away and is there again, or that lost its login, is opened anew when a signature is asked for,
/// once for each. A key that is then another one does not sign, and a PIN that was refused is not tried again.
pub struct TokenKey {
    provider: &'static CryptoProvider,
    uri: TokenUri,
    pin: Option<Pin>,
    public: PublicKey,
    state: Mutex<State>,
}

enum State {
    /// The key signs.
    Open(KeySession),
    /// It did not sign at last. Whoever asks next tries to open it.
    Lost,
    /// The PIN was refused, and each further try may be the one that locks the token.
    PinRefused,
}

impl TokenKey {
    /// Opens a key: reads the PIN, finds token and key, and has the key show that it signs.
    ///
    /// # Errors
    ///
    /// [`TokenError`], by what is wrong.
    pub fn open(provider: &'static CryptoProvider, uri: &TokenUri) -> Result<Self, TokenError> {
        let pin = uri.pin_source().map(pin::read).transpose()?;
        let session = KeySession::open(provider, uri, pin.as_ref())?;
        Ok(Self {
            provider,
            uri: uri.clone(),
            pin,
            public: session.public().clone(),
            state: Mutex::new(State::Open(session)),
        })
    }

    /// Shows how the key was named.
    pub fn uri(&self) -> &TokenUri {
        &self.uri
    }

    /// Signs as [`Signer::sign`] does, and says what is wrong if that fails.
    ///
    /// # Errors
    ///
    /// [`TokenError`], by what is wrong.
    pub fn try_sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        if !asked_of(self.public.algorithm()).contains(&algorithm) {
            return Err(CryptoError::Unsupported.into());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Open(session) => match session.sign(self.provider, algorithm, message) {
                Ok(signature) => return Ok(signature),
                Err(error) => {
                    tracing::debug!(uri = %self.uri, %error, "a key in a token did not sign, and is opened again");
                }
            },
            State::Lost => {}
            State::PinRefused => return Err(crate::PinFault::Incorrect.into()),
        }
        // The old session is closed before there is a new one: a token may have room for one only.
        let was_open = matches!(*state, State::Open(_));
        *state = State::Lost;
        let result = self.reopen().and_then(|session| {
            let signature = session.sign(self.provider, algorithm, message)?;
            Ok((session, signature))
        });
        match result {
            Ok((session, signature)) => {
                *state = State::Open(session);
                tracing::info!(uri = %self.uri, "a key in a token was opened again");
                Ok(signature)
            }
            Err(error) => {
                // One line for each loss, however many signatures are asked for then.
                if was_open {
                    tracing::error!(uri = %self.uri, %error, "a key in a token does not sign");
                }
                if matches!(error, TokenError::Pin(_)) {
                    *state = State::PinRefused;
                }
                Err(error)
            }
        }
    }

    fn reopen(&self) -> Result<KeySession, TokenError> {
        let session = KeySession::open(self.provider, &self.uri, self.pin.as_ref())?;
        if *session.public() == self.public { Ok(session) } else { Err(TokenError::Replaced) }
    }
}

impl Signer for TokenKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.try_sign(algorithm, message)
            .map_err(|error| if let TokenError::Crypto(error) = error { error } else { CryptoError::Signer })
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", self.uri)
    }
}
