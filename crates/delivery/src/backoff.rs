//! When a receiver reports, so that few speak for many.

use std::time::Duration;

use claviger_crypto::{Random, random};

/// Draws a delay below `window` that grows denser towards its end, so that of `receivers` who all have to say the
/// same about one speaks first and the others hear of it before their turn: the truncated exponential distribution
/// of RFC 5401 section 3.2.2.
pub fn suppressed(window: Duration, receivers: u32, random: &mut dyn Random) -> Duration {
    let lambda = f64::from(receivers.max(1)).ln() + 1.0;
    window.mul_f64((1.0 + fraction(random) * lambda.exp_m1()).ln() / lambda)
}

/// Draws a delay below `window`, all alike: where everybody has to be heard.
pub fn spread(window: Duration, random: &mut dyn Random) -> Duration {
    window.mul_f64(fraction(random))
}

/// Draws a number from 0 to below 1.
fn fraction(random: &mut dyn Random) -> f64 {
    // 53 bits are what a double tells apart.
    (u64::from_be_bytes(random::array(random)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use claviger_crypto::SeededRandom;

    use super::*;

    #[test]
    fn of_many_receivers_few_speak_before_the_first_is_heard() {
        let (window, receivers) = (Duration::from_secs(1), 100_000);
        let random = &mut SeededRandom::new(1);
        let mut delays: Vec<_> = (0..receivers).map(|_| suppressed(window, receivers, random)).collect();
        delays.sort();
        assert!(delays[receivers as usize - 1] < window);
        let heard = delays[0] + window / 4;
        let speakers = delays.iter().filter(|delay| **delay < heard).count();
        assert!((2..200).contains(&speakers), "{speakers} of {receivers} spoke before the first was heard");
        let uniform: Vec<_> = (0..receivers).map(|_| spread(window, random)).collect();
        let before = uniform.iter().filter(|delay| **delay < window / 4).count();
        assert!(before > 20_000, "without the distribution a quarter would have spoken: {before}");
    }
}
