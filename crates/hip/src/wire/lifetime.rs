//! The lifetime of a registration in one octet (RFC 8003 section 4.1).

use std::time::Duration;

/// A lifetime of 2^((value - 64) / 8) seconds; zero cancels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lifetime(pub u8);

impl Lifetime {
    /// Cancels a registration.
    pub const CANCEL: Self = Self(0);
    /// The longest: some 178 days.
    pub const MAX: Self = Self(255);

    /// Returns the longest lifetime that does not exceed `duration`, but never [`Lifetime::CANCEL`].
    pub fn at_most(duration: Duration) -> Self {
        (1..=255).rev().map(Self).find(|lifetime| lifetime.duration() <= duration).unwrap_or(Self(1))
    }

    /// Returns the lifetime; zero for [`Lifetime::CANCEL`].
    pub fn duration(self) -> Duration {
        match self.0 {
            0 => Duration::ZERO,
            code => Duration::from_secs_f64(((f64::from(code) - 64.0) / 8.0).exp2()),
        }
    }

    /// Says whether the registration is to end.
    pub const fn is_cancel(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_eighths_of_a_power_of_two() {
        assert_eq!(Lifetime(64).duration(), Duration::from_secs(1));
        assert_eq!(Lifetime(72).duration(), Duration::from_secs(2));
        assert_eq!(Lifetime::CANCEL.duration(), Duration::ZERO);
        let days = Lifetime::MAX.duration().as_secs() / 86_400;
        assert_eq!(days, 178);
        assert!(Lifetime(1).duration() < Duration::from_millis(5));
    }

    #[test]
    fn rounds_down_and_never_to_a_cancellation() {
        for code in 1..=255 {
            assert_eq!(Lifetime::at_most(Lifetime(code).duration()), Lifetime(code));
        }
        assert_eq!(Lifetime::at_most(Duration::ZERO), Lifetime(1));
        assert_eq!(Lifetime::at_most(Duration::MAX), Lifetime::MAX);
        assert!(Lifetime::at_most(Duration::from_secs(3600)).duration() <= Duration::from_secs(3600));
    }
}
