//! The registration SAs of an endpoint, and when they end.

use std::collections::{BTreeMap, BTreeSet};

use claviger_crypto::CryptoProvider;
use claviger_group::{CookiePair, RegistrationSa};
use claviger_sansio::Time;

use super::registration::Registration;
use crate::error::ApiMisuse;

/// Registration SAs by their cookies.
#[derive(Default)]
pub struct Registrations {
    in_use: BTreeMap<CookiePair, Registration>,
    removals: BTreeSet<(Time, CookiePair)>,
}

impl Registrations {
    /// Takes one into use.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::Cookies`] if its cookies are in use or one is zero, [`ApiMisuse::UnsupportedAlgorithm`] if the
    /// provider lacks an algorithm.
    pub fn add(&mut self, provider: &CryptoProvider, sa: &RegistrationSa) -> Result<(), ApiMisuse> {
        if sa.cookies.has_zero() || self.contains(&sa.cookies) {
            return Err(ApiMisuse::Cookies);
        }
        let registration = Registration::new(provider, sa).map_err(|_| ApiMisuse::UnsupportedAlgorithm)?;
        self.in_use.insert(sa.cookies, registration);
        Ok(())
    }

    /// Says whether one has these cookies.
    pub fn contains(&self, cookies: &CookiePair) -> bool {
        self.in_use.contains_key(cookies)
    }

    /// Finds one by its cookies.
    pub fn get(&self, cookies: &CookiePair) -> Option<&Registration> {
        self.in_use.get(cookies)
    }

    /// Finds one by its cookies, to open or to write a message under it.
    pub fn get_mut(&mut self, cookies: &CookiePair) -> Option<&mut Registration> {
        self.in_use.get_mut(cookies)
    }

    /// Forgets one.
    pub fn remove(&mut self, cookies: &CookiePair) {
        self.in_use.remove(cookies);
        self.removals.retain(|(_, removed)| removed != cookies);
    }

    /// Notes that one is to be removed at `time`.
    pub fn remove_after(&mut self, cookies: &CookiePair, time: Time) {
        if self.contains(cookies) {
            self.removals.insert((time, *cookies));
        }
    }

    /// Finds one that was to be removed by now.
    pub fn due(&self, now: Time) -> Option<CookiePair> {
        self.removals.first().filter(|(time, _)| *time <= now).map(|(_, cookies)| *cookies)
    }

    /// Says when the next one is to be removed.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.removals.first().map(|(time, _)| *time)
    }
}
