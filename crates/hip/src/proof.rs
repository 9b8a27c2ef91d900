//! Cookies, by which callers prove their address (binding section 3.1). Nothing is remembered of who was given one.
//!
//! A cookie is the second when it was made, and a MAC under a secret that is replaced each minute, over the caller's
//! nonce and HIT, this host's HIT, and the caller's address and port.

use std::net::SocketAddr;

use claviger_crypto::{Random, SecretBytes, secret::ct_eq};
use claviger_identity::Hit;
use claviger_sansio::Time;

use crate::{
    config::HostConfig,
    path::address_octets,
    wire::cookie::{COOKIE_LEN, Cookie},
};

/// How long a cookie is good, in seconds: as long as a caller repeats its I1.
const LIFETIME: u32 = 32;

/// How long a secret is in use, in seconds. It is kept as long again, so longer than any of its cookies is good.
const PERIOD: u64 = 64;

/// Octets of a cookie that say when it was made.
const TIME_LEN: usize = 4;

/// Makes cookies, and knows them again.
#[derive(Debug, Default)]
pub(crate) struct Proofs {
    current: Option<Secret>,
    previous: Option<Secret>,
}

#[derive(Debug)]
struct Secret {
    /// The number of the period that it is for.
    period: u64,
    octets: SecretBytes,
}

impl Proofs {
    /// Answers a caller that asks for a cookie.
    pub(crate) fn answer(
        &mut self,
        config: &HostConfig,
        random: &mut dyn Random,
        now: Time,
        (initiator, source): (Hit, SocketAddr),
        question: &Cookie,
    ) -> Cookie {
        let made_at = (now.as_secs() as u32).to_be_bytes();
        let secret = self.current(now, random);
        let mac = mac(config, secret, (initiator, source), question, made_at);
        let mut cookie = [0; COOKIE_LEN];
        let (time_field, mac_field) = cookie.split_at_mut(TIME_LEN);
        time_field.copy_from_slice(&made_at);
        mac_field.copy_from_slice(&mac);
        Cookie { cookie, ..*question }
    }

    /// Says whether a cookie is one that this host has given to this caller, at this address, of late.
    pub(crate) fn prove(
        &self,
        config: &HostConfig,
        now: Time,
        (initiator, source): (Hit, SocketAddr),
        cookie: &Cookie,
    ) -> bool {
        let (time_field, mac_field) = cookie.cookie.split_at(TIME_LEN);
        let made_at: [u8; TIME_LEN] = time_field.try_into().expect("the field has this length");
        let age = (now.as_secs() as u32).wrapping_sub(u32::from_be_bytes(made_at));
        if age > LIFETIME {
            return false;
        }
        let period = now.as_secs().saturating_sub(age.into()) / PERIOD;
        let mut secrets = self.current.iter().chain(&self.previous);
        secrets.find(|secret| secret.period == period).is_some_and(|secret| {
            ct_eq(mac_field, &mac(config, &secret.octets, (initiator, source), cookie, made_at))
        })
    }

    fn current(&mut self, now: Time, random: &mut dyn Random) -> &SecretBytes {
        let period = now.as_secs() / PERIOD;
        if self.current.as_ref().is_none_or(|secret| secret.period != period) {
            self.previous = self.current.take();
        }
        let new = || Secret { period, octets: SecretBytes::with(32, |octets| random.fill(octets)) };
        &self.current.get_or_insert_with(new).octets
    }
}

fn mac(
    config: &HostConfig,
    secret: &SecretBytes,
    (initiator, source): (Hit, SocketAddr),
    cookie: &Cookie,
    made_at: [u8; TIME_LEN],
) -> [u8; COOKIE_LEN - TIME_LEN] {
    let prf = config.own_prf();
    let own = config.identity.hit();
    let (address, port) = (address_octets(source.ip()), source.port().to_be_bytes());
    let parts: [&[u8]; 6] = [&cookie.nonce, &made_at, initiator.octets(), own.octets(), &address, &port];
    let digest = prf.prf(secret.expose(), &parts);
    let mut mac = [0; COOKIE_LEN - TIME_LEN];
    mac.copy_from_slice(&digest[..COOKIE_LEN - TIME_LEN]);
    mac
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use claviger_crypto::{SeededRandom, provider, sign::KeyAlgorithm};
    use claviger_identity::HostIdentity;

    use super::*;

    const INITIATOR: Hit = Hit::new([7; 16]);
    const START: Time = Time::from_secs(1_800_000_000);

    fn config() -> HostConfig {
        let identity = HostIdentity::generate(provider(), KeyAlgorithm::Ed25519, &mut SeededRandom::new(1));
        HostConfig::new(Arc::new(identity.unwrap()), provider())
    }

    fn source(last: u8, port: u16) -> SocketAddr {
        ([192, 0, 2, last], port).into()
    }

    #[test]
    fn a_cookie_proves_one_host_at_one_address_and_port() {
        let (config, mut random, mut proofs) = (config(), SeededRandom::new(2), Proofs::default());
        let caller = (INITIATOR, source(1, 10500));
        let question = Cookie::asking([9; 8]);
        let cookie = proofs.answer(&config, &mut random, START, caller, &question);
        assert_eq!(cookie.nonce, question.nonce);
        assert!(proofs.prove(&config, START, caller, &cookie));
        for (caller, cookie) in [
            ((Hit::new([8; 16]), source(1, 10500)), cookie),
            ((INITIATOR, source(2, 10500)), cookie),
            ((INITIATOR, source(1, 10501)), cookie),
            (caller, Cookie { nonce: [8; 8], ..cookie }),
            (caller, question),
        ] {
            assert!(!proofs.prove(&config, START, caller, &cookie));
        }
        assert!(
            !Proofs::default().prove(&config, START, caller, &cookie),
            "another host's, or another life's"
        );
    }

    #[test]
    fn a_cookie_is_good_for_half_a_minute_whenever_it_was_made() {
        let (config, mut random, mut proofs) = (config(), SeededRandom::new(2), Proofs::default());
        let caller = (INITIATOR, source(1, 10500));
        for second in 0..2 * PERIOD {
            let made_at = START + Duration::from_secs(second);
            let cookie = proofs.answer(&config, &mut random, made_at, caller, &Cookie::asking([9; 8]));
            let good_until = made_at + Duration::from_secs(LIFETIME.into());
            // Others ask meanwhile, and the secret is replaced.
            proofs.answer(&config, &mut random, good_until, caller, &Cookie::asking([1; 8]));
            assert!(proofs.prove(&config, good_until, caller, &cookie));
            assert!(!proofs.prove(&config, good_until + Duration::from_secs(1), caller, &cookie));
        }
    }
}
