//! How the two machines behave.

use std::time::Duration;

use crate::{Error, limits::BLOCK_DATAGRAMS_MAX};

/// How a batch is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderConfig {
    /// About how many datagrams a source block has. Small blocks make repair local, large ones average loss
    /// better.
    pub block_datagrams: u16,
    /// The most octets of a repair, an announcement or a directory, before [`Seal`](crate::seal::Seal): what the path
    /// carries less what that adds.
    pub control_len_max: usize,
    /// Rounds of multicast, the first one included. Zhang and others find that two are enough.
    pub rounds: u8,
    /// The time between two datagrams: the rate.
    pub pace: Duration,
    /// The time over which receivers spread their reports after each round, a few round trips; up to 65 s.
    pub window: Duration,
    /// How long a datagram and its answer travel at most: so much longer reports are waited for.
    pub round_trip: Duration,
    /// How many of a block's audience, in permille, are repaired by multicast: 1000 is all. The worst receivers beyond are
    /// left to unicast, and at least two are: what fewer than [`REPORTERS_MIN`](crate::limits::REPORTERS_MIN) miss is not
    /// sent to all.
    pub quantile_permille: u16,
    /// How often one receiver is served by unicast.
    pub unicast_attempts: u8,
    /// How long the sender stays after the last receiver was served: longer than the patience of receivers, which
    /// is [`PATIENCE_MAX`](crate::receiver::PATIENCE_MAX) windows.
    pub linger: Duration,
    /// How long the whole may take, whatever happens. Who has not got the keys by then registers again.
    pub deadline: Duration,
}

impl Default for SenderConfig {
    /// Blocks of 64 datagrams, controls of 1,024 octets, two rounds, 10,000 datagrams a second, half a second for reports, one minute in all.
    fn default() -> Self {
        Self {
            block_datagrams: 64,
            control_len_max: 1_024,
            rounds: 2,
            pace: Duration::from_micros(100),
            window: Duration::from_millis(500),
            round_trip: Duration::from_millis(200),
            quantile_permille: 1_000,
            unicast_attempts: 8,
            linger: Duration::from_secs(8),
            deadline: Duration::from_secs(60),
        }
    }
}

impl SenderConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let sound = (1..=BLOCK_DATAGRAMS_MAX).contains(&usize::from(self.block_datagrams))
            && self.rounds > 0
            && !self.window.is_zero()
            && self.window.as_millis() <= u16::MAX.into()
            && (1..=1_000).contains(&self.quantile_permille)
            && self.unicast_attempts > 0;
        if sound { Ok(()) } else { Err(Error::Config) }
    }
}

/// How a receiver behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiverConfig {
    /// The most octets of datagrams and symbols that it keeps. With 4,000 datagrams of 1,200 octets: 5 MB, far
    /// less for a receiver that knows its labels.
    pub buffer_octets_max: usize,
    /// How long nothing must arrive before it reports without having been asked to.
    pub quiet: Duration,
    /// The window for reports until the sender announces one.
    pub window: Duration,
    /// The number of receivers until the sender announces one.
    pub receivers: u32,
    /// How many reports it makes without anything new arriving before it gives up.
    pub attempts: u8,
}

impl Default for ReceiverConfig {
    /// 16 MiB, one second of quiet, windows of half a second, 100,000 receivers, eight reports.
    fn default() -> Self {
        Self {
            buffer_octets_max: 16 << 20,
            quiet: Duration::from_secs(1),
            window: Duration::from_millis(500),
            receivers: 100_000,
            attempts: 8,
        }
    }
}
