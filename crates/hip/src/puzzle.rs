//! Solving and verifying puzzles (RFC 7401 sections 4.1.2 and 6.3).
//!
//! A solution is a #J such that the #K low-order bits of RHASH(#I | HIT-I | HIT-R | #J) are zero.

use claviger_crypto::{CryptoError, Random, hash::Hash};
use claviger_identity::Hit;

use crate::wire::{Puzzle, Solution};

/// The most difficult puzzle that is worth solving: 2^26 hashes take some tens of seconds on one core.
pub const K_MAX: u8 = 26;

/// Says whether a solution solves the puzzle that it claims: its own #K and #I.
///
/// The caller compares #K with what it asked and recognises #I as its own: a solution of difficulty 0 solves itself.
/// #I and #J must have the length of RHASH's output.
pub fn verify(rhash: &dyn Hash, solution: &Solution, initiator: Hit, responder: Hit) -> bool {
    let length = rhash.output_len();
    solution.i.len() == length
        && solution.j.len() == length
        && solves(rhash, solution.k, &solution.i, initiator, responder, &solution.j)
}

/// Finds a solution at once.
///
/// # Errors
///
/// As [`Solver::new`].
pub fn solve(
    rhash: &'static dyn Hash,
    puzzle: &Puzzle,
    initiator: Hit,
    responder: Hit,
    random: &mut dyn Random,
) -> Result<Solution, CryptoError> {
    let mut solver = Solver::new(rhash, puzzle, initiator, responder, random)?;
    loop {
        if let Some(solution) = solver.step(u32::MAX) {
            return Ok(solution);
        }
    }
}

/// A search for a solution that can be done in pieces, so that a machine keeps answering meanwhile.
pub struct Solver {
    rhash: &'static dyn Hash,
    puzzle: Puzzle,
    initiator: Hit,
    responder: Hit,
    j: Vec<u8>,
}

impl Solver {
    /// Starts at a random #J.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Length`] if #I does not have the length of RHASH's output, [`CryptoError::Unsupported`] if the
    /// puzzle is more difficult than [`K_MAX`].
    pub fn new(
        rhash: &'static dyn Hash,
        puzzle: &Puzzle,
        initiator: Hit,
        responder: Hit,
        random: &mut dyn Random,
    ) -> Result<Self, CryptoError> {
        if puzzle.i.len() != rhash.output_len() {
            return Err(CryptoError::Length);
        }
        if puzzle.k > K_MAX {
            return Err(CryptoError::Unsupported);
        }
        let mut j = vec![0; rhash.output_len()];
        random.fill(&mut j);
        Ok(Self { rhash, puzzle: puzzle.clone(), initiator, responder, j })
    }

    /// Tries at most `attempts` values of #J; `None` if none of them was a solution.
    pub fn step(&mut self, attempts: u32) -> Option<Solution> {
        let Self { rhash, puzzle, initiator, responder, j } = self;
        for _ in 0..attempts {
            if solves(*rhash, puzzle.k, &puzzle.i, *initiator, *responder, j) {
                return Some(Solution {
                    k: puzzle.k,
                    opaque: puzzle.opaque,
                    i: puzzle.i.clone(),
                    j: j.clone(),
                });
            }
            increment(j);
        }
        None
    }
}

/// Ltrunc(RHASH(#I | HIT-I | HIT-R | #J), #K) == 0.
fn solves(rhash: &dyn Hash, k: u8, i: &[u8], initiator: Hit, responder: Hit, j: &[u8]) -> bool {
    let digest = rhash.digest(&[i, initiator.octets(), responder.octets(), j]);
    low_order_zero_bits(&digest) >= u32::from(k)
}

fn low_order_zero_bits(digest: &[u8]) -> u32 {
    let zeros = digest.iter().rev().take_while(|&&octet| octet == 0).count();
    let next = digest.iter().rev().nth(zeros).map_or(0, |octet| octet.trailing_zeros());
    zeros as u32 * 8 + next
}

fn increment(j: &mut [u8]) {
    for octet in j.iter_mut().rev() {
        *octet = octet.wrapping_add(1);
        if *octet != 0 {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::{SeededRandom, hash::HashAlgorithm, provider};

    use super::*;

    const INITIATOR: Hit = Hit::new([1; 16]);
    const RESPONDER: Hit = Hit::new([2; 16]);

    fn puzzle(k: u8, length: usize) -> Puzzle {
        Puzzle { k, lifetime: 37, opaque: [8, 9], i: vec![7; length] }
    }

    #[test]
    fn solutions_verify_for_every_hash_and_difficulty() {
        let mut random = SeededRandom::new(1);
        for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::CShake128] {
            let rhash = provider().hash(algorithm).unwrap();
            for k in 0..=10 {
                let puzzle = puzzle(k, rhash.output_len());
                let solution = solve(rhash, &puzzle, INITIATOR, RESPONDER, &mut random).unwrap();
                assert!(verify(rhash, &solution, INITIATOR, RESPONDER));
                assert_eq!((solution.k, solution.opaque, &solution.i), (k, [8, 9], &puzzle.i));
            }
        }
    }

    #[test]
    fn a_solution_serves_one_puzzle_and_one_pair_of_hosts() {
        let rhash = provider().hash(HashAlgorithm::Sha256).unwrap();
        let mut random = SeededRandom::new(2);
        let solution = solve(rhash, &puzzle(16, 32), INITIATOR, RESPONDER, &mut random).unwrap();
        assert!(!verify(rhash, &solution, RESPONDER, INITIATOR));
        let mut other = solution.clone();
        other.i[0] ^= 1;
        assert!(!verify(rhash, &other, INITIATOR, RESPONDER));
        let mut other = solution.clone();
        other.j[0] ^= 1;
        assert!(!verify(rhash, &other, INITIATOR, RESPONDER));
        let mut harder = solution.clone();
        harder.k = 255;
        assert!(!verify(rhash, &harder, INITIATOR, RESPONDER));
        let longer = Solution { k: 0, i: vec![7; 48], j: vec![7; 48], ..solution };
        assert!(!verify(rhash, &longer, INITIATOR, RESPONDER), "lengths of another hash");
    }

    #[test]
    fn a_search_can_be_done_in_pieces() {
        let rhash = provider().hash(HashAlgorithm::Sha256).unwrap();
        let mut random = SeededRandom::new(3);
        let mut solver = Solver::new(rhash, &puzzle(12, 32), INITIATOR, RESPONDER, &mut random).unwrap();
        let mut steps = 0;
        let solution = loop {
            steps += 1;
            if let Some(solution) = solver.step(16) {
                break solution;
            }
        };
        assert!(steps > 1);
        assert!(verify(rhash, &solution, INITIATOR, RESPONDER));
    }

    #[test]
    fn refuses_puzzles_of_another_hash_or_beyond_reason() {
        let rhash = provider().hash(HashAlgorithm::Sha256).unwrap();
        let mut random = SeededRandom::new(4);
        let error = solve(rhash, &puzzle(1, 48), INITIATOR, RESPONDER, &mut random);
        assert_eq!(error, Err(CryptoError::Length));
        let error = solve(rhash, &puzzle(K_MAX + 1, 32), INITIATOR, RESPONDER, &mut random);
        assert_eq!(error, Err(CryptoError::Unsupported));
    }

    #[test]
    fn counts_bits_from_the_low_order_end() {
        assert_eq!(low_order_zero_bits(&[1, 0, 0]), 16);
        assert_eq!(low_order_zero_bits(&[0xff, 0x08]), 3);
        assert_eq!(low_order_zero_bits(&[0, 0]), 16);
        let mut j = [0, 0xff, 0xff];
        increment(&mut j);
        assert_eq!(j, [1, 0, 0]);
    }
}
