//! The exchanges, one file each: what is sent, what is awaited, and what an answer changes.
//!
//! | module | what |
//! |---|---|
//! | [`initiate`], [`offer`] | I1 and I2 sent, R1 and R2 awaited; what is taken of an R1 |
//! | [`respond`] | I1 answered and forgotten, I2 verified, R2 sent |
//! | [`update`], [`received`] | UPDATE, sent and received: registrations on a live association |
//! | [`mobility`] | moves: LOCATOR_SET in UPDATE, and the proof that the peer is reached where it says |
//! | [`rekeying`] | the keys of an association are renewed: DIFFIE_HELLMAN in UPDATE |
//! | [`close`] | CLOSE and CLOSE_ACK |
//! | [`task`], [`deciding`] | the UPDATEs that are outstanding or wait; requests that wait for the registrar |
//! | [`dispatch`] | which exchange a packet belongs to, and what its end means for the peer |
//! | [`notify`] | NOTIFY, which reports and changes nothing |

pub(crate) mod close;
mod deciding;
mod dispatch;
pub(crate) mod initiate;
pub(crate) mod mobility;
pub(crate) mod notify;
mod offer;
mod received;
pub(crate) mod rekeying;
pub(crate) mod respond;
pub(crate) mod task;
pub(crate) mod update;

use std::time::Duration;

use claviger_crypto::Random;
use claviger_identity::Hit;

use crate::{
    config::HostConfig, event::Ticket, item::Item, path::Outbox, rate::RateLimit, verification::OfHost,
};

/// What every exchange of a host uses.
pub(crate) struct Shared<I> {
    pub(crate) config: HostConfig,
    pub(crate) random: Box<dyn Random>,
    pub(crate) out: Outbox<I>,
    pub(crate) notifies: RateLimit,
    pub(crate) probes: RateLimit,
    pub(crate) budgets: OfHost,
    pub(crate) tickets: u64,
}

impl<I: Item> Shared<I> {
    /// Names one more request to the program.
    pub(crate) fn ticket(&mut self, peer: Hit) -> Ticket {
        self.tickets += 1;
        Ticket { peer, number: self.tickets }
    }

    /// Draws an SPI that ESP does not reserve (RFC 4303 section 2.1).
    pub(crate) fn spi(&mut self) -> u32 {
        loop {
            let spi = u32::from_be_bytes(claviger_crypto::random::array(&mut *self.random));
            if spi > 255 {
                return spi;
            }
        }
    }

    /// Says how long an Initiator sends I2 again (RFC 7401 section 4.4.1, Exchange Complete).
    pub(crate) fn patience(&self) -> Duration {
        let policy = self.config.retransmit;
        let mut wait = policy.initial;
        let mut sum = wait;
        for _ in 1..policy.attempts {
            wait = (wait * 2).min(policy.maximum);
            sum = sum.saturating_add(wait);
        }
        sum
    }
}
