//! What is done about an I1 (RFC 7401 section 6.7; binding section 3.1).
//!
//! An R1 is ten times an I1, and goes to whatever address the I1 claims to be from. So the octets of R1s have a limit
//! in all, and when more is asked for, chance decides who gets one. Who proves its address, by the cookie that was sent
//! there, has a share of its own, which no forger of addresses takes part in.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use claviger_crypto::Random;
use claviger_identity::Hit;
use claviger_sansio::Time;

use crate::{
    config::HostConfig, error::LimitError, proof::Proofs, rate::RateLimit, share::Share, wire::Cookie,
};

/// R1s a second to one address, or one /64 of IPv6, that is proven: hosts behind one NAT call at once, and who owns an
/// address has no use for more.
const PROVEN_PER_ADDRESS_MAX: u32 = 64;

/// The same I1 again is not answered within this time: nobody repeats itself so soon (RFC 7401 section 5.3.1).
const REPEAT_PAUSE: Duration = Duration::from_millis(100);

/// I1s that are remembered for that; beyond these the memory begins anew. With the default limit, R1s are fewer.
const ANSWERED_MAX: usize = 1 << 12;

/// An I1 as it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) initiator: Hit,
    pub(crate) source: SocketAddr,
    pub(crate) octets: &'a [u8],
    pub(crate) cookie: Option<Cookie>,
}

/// What an I1 is answered with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A puzzle.
    R1,
    /// A cookie, which proves the address when it comes back.
    Cookie(Cookie),
}

/// Decides about I1s.
#[derive(Debug)]
pub(crate) struct Calls {
    unproven: Share,
    proven: Share,
    proven_addresses: RateLimit,
    proofs: Proofs,
    answered: Answered,
}

impl Calls {
    pub(crate) fn new(config: &HostConfig) -> Self {
        Self {
            unproven: Share::new(config.r1_octets_per_second_max),
            proven: Share::new(config.r1_octets_per_second_max),
            proven_addresses: RateLimit::new(PROVEN_PER_ADDRESS_MAX, u32::MAX),
            proofs: Proofs::default(),
            answered: Answered::default(),
        }
    }

    /// Decides about an I1 whose R1 would have `r1_len` octets.
    ///
    /// # Errors
    ///
    /// [`LimitError::I1Repeated`] and [`LimitError::R1Share`]: it is not answered.
    pub(crate) fn decide(
        &mut self,
        config: &HostConfig,
        random: &mut dyn Random,
        now: Time,
        call: &Call<'_>,
        r1_len: usize,
    ) -> Result<Reply, LimitError> {
        if self.answered.has(now, call) {
            return Err(LimitError::I1Repeated);
        }
        let octets = r1_len as u64;
        let caller = (call.initiator, call.source);
        let is_proven = |cookie: &Cookie| self.proofs.prove(config, now, caller, cookie);
        let given = if call.cookie.as_ref().is_some_and(is_proven) {
            self.proven.ask(now, octets);
            self.proven_addresses.allow(now, network(call.source.ip())) && self.proven.draw(octets, random)
        } else {
            self.unproven.ask(now, octets);
            match &call.cookie {
                Some(question) if self.unproven.is_short() => {
                    let cookie = self.proofs.answer(config, random, now, caller, question);
                    return Ok(Reply::Cookie(cookie));
                }
                Some(_) | None => self.unproven.draw(octets, random),
            }
        };
        if !given {
            return Err(LimitError::R1Share);
        }
        self.answered.note(call);
        Ok(Reply::R1)
    }
}

/// The I1s that were answered within a moment.
#[derive(Debug, Default)]
struct Answered {
    moment: u128,
    i1s: BTreeMap<(SocketAddr, Hit), Vec<u8>>,
}

impl Answered {
    /// Says whether the very same I1 was answered just now.
    fn has(&mut self, now: Time, call: &Call<'_>) -> bool {
        let moment = now.since(Time::EPOCH).as_micros() / REPEAT_PAUSE.as_micros();
        if moment != self.moment || self.i1s.len() >= ANSWERED_MAX {
            self.moment = moment;
            self.i1s.clear();
        }
        self.i1s.get(&(call.source, call.initiator)).is_some_and(|octets| octets == call.octets)
    }

    fn note(&mut self, call: &Call<'_>) {
        self.i1s.insert((call.source, call.initiator), call.octets.to_vec());
    }
}

/// What one owner has: an address, of IPv6 a /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => v6
            .to_ipv4_mapped()
            .map_or_else(|| Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(), IpAddr::from),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use claviger_crypto::{SeededRandom, provider, sign::KeyAlgorithm};
    use claviger_identity::HostIdentity;

    use super::*;
    use crate::wire::cookie::NONCE_LEN;

    const START: Time = Time::from_secs(1_800_000_000);
    const R1_LEN: usize = 1_000;
    const PER_SECOND: usize = 100;

    struct Laboratory {
        config: HostConfig,
        random: SeededRandom,
        calls: Calls,
    }

    impl Laboratory {
        fn new() -> Self {
            let mut random = SeededRandom::new(1);
            let identity = HostIdentity::generate(provider(), KeyAlgorithm::Ed25519, &mut random).unwrap();
            let mut config = HostConfig::new(Arc::new(identity), provider());
            config.r1_octets_per_second_max = (PER_SECOND * R1_LEN) as u64;
            let calls = Calls::new(&config);
            Self { config, random, calls }
        }

        fn call(
            &mut self,
            at: Duration,
            source: SocketAddr,
            cookie: Option<Cookie>,
        ) -> Result<Reply, LimitError> {
            let octets = [&source.port().to_be_bytes()[..], &[cookie.is_some().into()]].concat();
            let call = Call { initiator: Hit::new([1; 16]), source, octets: &octets, cookie };
            self.calls.decide(&self.config, &mut self.random, START + at, &call, R1_LEN)
        }

        /// 60,000 I1s a second, each from another port of an address.
        fn flood(&mut self, from: Duration, to: Duration, address: IpAddr) -> usize {
            let gap = Duration::from_secs(1) / 60_000;
            let mut at = from;
            let mut answered = 0;
            let mut port = 0u16;
            while at < to {
                port = port.wrapping_add(1);
                answered += usize::from(self.call(at, (address, port).into(), None).is_ok());
                at += gap;
            }
            answered
        }
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_flood_gets_no_more_octets_than_the_limit() {
        let mut laboratory = Laboratory::new();
        let answered = laboratory.flood(Duration::ZERO, Duration::from_secs(2), address(1));
        assert!((PER_SECOND..=2 * PER_SECOND).contains(&answered), "{answered}");
    }

    #[test]
    fn who_proves_its_address_is_answered_during_a_flood_from_it() {
        let mut laboratory = Laboratory::new();
        let source = (address(1), 10500).into();
        let flooded = Duration::from_millis(950);
        laboratory.flood(Duration::ZERO, flooded, address(1));
        let question = Cookie::asking([5; NONCE_LEN]);
        let Ok(Reply::Cookie(cookie)) = laboratory.call(flooded, source, Some(question)) else {
            panic!("the share is short, and the caller can prove its address");
        };
        assert_eq!(laboratory.call(flooded, source, Some(cookie)), Ok(Reply::R1));
        let moved = (address(1), 10501).into();
        assert!(matches!(laboratory.call(flooded, moved, Some(cookie)), Ok(Reply::Cookie(_))));
    }

    #[test]
    fn nobody_is_asked_to_prove_its_address_while_there_is_enough() {
        let mut laboratory = Laboratory::new();
        let question = Some(Cookie::asking([5; NONCE_LEN]));
        let source = (address(1), 10500).into();
        assert_eq!(laboratory.call(Duration::ZERO, source, question), Ok(Reply::R1));
    }

    #[test]
    fn a_proven_address_cannot_take_the_share_of_all_that_are_proven() {
        let mut laboratory = Laboratory::new();
        laboratory.config.r1_octets_per_second_max = 1_000 * R1_LEN as u64;
        laboratory.calls = Calls::new(&laboratory.config);
        let mut answered = 0;
        for port in 0..2_000u16 {
            let at = Duration::from_micros(u64::from(port) * 500);
            let source: SocketAddr = (address(1), port).into();
            let caller = (Hit::new([1; 16]), source);
            let Laboratory { config, random, calls } = &mut laboratory;
            let cookie = calls.proofs.answer(config, random, START + at, caller, &Cookie::asking([5; 8]));
            answered += u32::from(laboratory.call(at, source, Some(cookie)).is_ok());
        }
        assert_eq!(answered, PROVEN_PER_ADDRESS_MAX);
    }

    #[test]
    fn the_same_i1_at_once_is_answered_once() {
        let mut laboratory = Laboratory::new();
        let source = (address(1), 10500).into();
        assert_eq!(laboratory.call(Duration::ZERO, source, None), Ok(Reply::R1));
        assert_eq!(laboratory.call(Duration::from_millis(50), source, None), Err(LimitError::I1Repeated));
        assert_eq!(laboratory.call(Duration::from_millis(50), (address(2), 1).into(), None), Ok(Reply::R1));
        assert_eq!(laboratory.call(Duration::from_millis(500), source, None), Ok(Reply::R1));
    }

    #[test]
    fn an_owner_of_ipv6_addresses_has_a_network_of_them() {
        let [one, other, elsewhere, mapped] =
            ["2001:db8::1", "2001:db8::2:0:1", "2001:db8:0:1::1", "::ffff:1.2.3.4"]
                .map(|address| network(address.parse().unwrap()));
        assert_eq!(one, other);
        assert_ne!(one, elsewhere);
        assert_eq!(mapped, IpAddr::from([1, 2, 3, 4]));
    }
}
