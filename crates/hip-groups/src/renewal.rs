//! How the registration SAs of a host follow one another when the keys of its association are renewed (binding section 4.1).

use claviger_group::{CookiePair, RegistrationSa};

/// What a host's registration SAs are now, against those that were known before.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// The one under the keys in force.
    pub in_force: CookiePair,
    /// The one beside it, while the keys are renewed.
    pub other: Option<CookiePair>,
    /// Those that were known and are followed by others.
    pub ended: Vec<CookiePair>,
    /// Those that were not known.
    pub new: Vec<RegistrationSa>,
}

impl Renewal {
    /// Compares the registration SAs that a host has with the cookies that were known.
    pub(crate) fn of(known: &[CookiePair], in_force: RegistrationSa, other: Option<RegistrationSa>) -> Self {
        let cookies = (in_force.cookies, other.as_ref().map(|sa| sa.cookies));
        let is_held = |cookies_before: &CookiePair| {
            *cookies_before == cookies.0 || cookies.1.is_some_and(|other| other == *cookies_before)
        };
        Self {
            in_force: cookies.0,
            other: cookies.1,
            ended: known.iter().copied().filter(|cookies| !is_held(cookies)).collect(),
            new: [in_force].into_iter().chain(other).filter(|sa| !known.contains(&sa.cookies)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::{SecretBytes, cipher::CipherAlgorithm, hash::HashAlgorithm};
    use claviger_group::MemberId;
    use claviger_identity::Hit;

    use super::*;

    fn cookies(number: u8) -> CookiePair {
        CookiePair([number; 16])
    }

    fn sa(number: u8) -> RegistrationSa {
        let key = || SecretBytes::new(vec![number; 32]);
        RegistrationSa {
            peer: MemberId::Hit(Hit::new([1; 16])),
            cookies: cookies(number),
            skeyid_d: key(),
            skeyid_a: key(),
            skeyid_e: key(),
            phase1_iv: [number; 16],
            hash: HashAlgorithm::Sha256,
            cipher: CipherAlgorithm::Aes128Cbc,
        }
    }

    /// Shows which SAs ended and which are new, by their numbers.
    fn follow(known: &[u8], in_force: u8, other: Option<u8>) -> (Vec<u8>, Vec<u8>) {
        let known: Vec<_> = known.iter().map(|number| cookies(*number)).collect();
        let renewal = Renewal::of(&known, sa(in_force), other.map(sa));
        assert_eq!((renewal.in_force, renewal.other), (cookies(in_force), other.map(cookies)));
        let ended = renewal.ended.iter().map(|cookies| cookies.0[0]).collect();
        (ended, renewal.new.iter().map(|sa| sa.cookies.0[0]).collect())
    }

    #[test]
    fn a_host_whose_keys_are_as_before_has_nothing_new() {
        assert_eq!(follow(&[1], 1, None), (vec![], vec![]));
        assert_eq!(follow(&[1, 2], 1, Some(2)), (vec![], vec![]));
    }

    #[test]
    fn a_renewal_begins_with_a_second_sa_and_ends_with_that_alone() {
        assert_eq!(follow(&[1], 1, Some(2)), (vec![], vec![2]));
        assert_eq!(follow(&[1, 2], 2, Some(1)), (vec![], vec![]));
        assert_eq!(follow(&[2, 1], 2, None), (vec![1], vec![]));
    }

    #[test]
    fn whoever_missed_a_renewal_ends_all_that_it_knew() {
        assert_eq!(follow(&[1, 2], 3, Some(4)), (vec![1, 2], vec![3, 4]));
        assert_eq!(follow(&[], 3, None), (vec![], vec![3]));
    }
}
