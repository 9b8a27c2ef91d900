//! Stores that kill their process at a named step, and that forget.

use std::{path::PathBuf, thread, time::Duration};

use claviger_sansio::durable::{Change, Receipt, Table};
use claviger_store::{Store, StoreError, store::Each};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

/// The steps between a decision and its acknowledgement, around one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Step {
    /// The core has decided; the store was not reached.
    Decided,
    /// The commit is under way.
    Writing,
    /// The commit is durable; nothing has been sent.
    Written,
    /// The datagrams and answers that rest on the commit are leaving.
    Sending,
    /// They have left, and their acknowledgements come in.
    Acknowledged,
}

impl Step {
    pub(crate) const ALL: [Self; 5] =
        [Self::Decided, Self::Writing, Self::Written, Self::Sending, Self::Acknowledged];

    /// Says how long after its beginning the step may last, in microseconds: the kill falls somewhere in it.
    pub(crate) fn span_us(self) -> u64 {
        match self {
            Self::Decided | Self::Written => 0,
            Self::Writing => 4_000,
            Self::Sending => 20_000,
            Self::Acknowledged => 60_000,
        }
    }
}

/// When to die. The one who kills writes it into a file, so that nobody dies before the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) step: Step,
    /// Only a commit that changes this table counts; any, if none is named.
    pub(crate) table: Option<String>,
    /// How many such commits pass unharmed.
    pub(crate) passes: u32,
    /// How far into the step.
    pub(crate) delay_us: u64,
}

/// A store that dies with its process by SIGKILL, where an order says.
pub(crate) struct KillingStore<S> {
    pub(crate) inner: S,
    pub(crate) order: PathBuf,
    pub(crate) passed: u32,
    /// What the ordered commit brought is leaving: nothing else may be written before the end.
    pub(crate) sending: bool,
}

impl<S: Store> KillingStore<S> {
    fn due(&mut self, changes: &[Change]) -> Option<Order> {
        let order: Order = serde_json::from_slice(&std::fs::read(&self.order).ok()?).ok()?;
        let counts = |table: &String| changes.iter().any(|change| change.table().name() == table);
        if !order.table.as_ref().is_none_or(counts) {
            return None;
        }
        if self.passed < order.passes {
            self.passed += 1;
            return None;
        }
        Some(order)
    }
}

impl<S: Store> Store for KillingStore<S> {
    fn commit<'c>(&mut self, changes: &'c [Change]) -> Result<Receipt<'c>, StoreError> {
        if self.sending {
            wait_for_death();
        }
        let Some(Order { step, delay_us, .. }) = self.due(changes) else { return self.inner.commit(changes) };
        if matches!(step, Step::Decided) {
            die();
        }
        if matches!(step, Step::Writing) {
            die_after(delay_us);
        }
        let receipt = self.inner.commit(changes)?;
        match step {
            Step::Decided | Step::Written => die(),
            // The disk was quicker than the kill, which comes before anything is said.
            Step::Writing => wait_for_death(),
            Step::Sending | Step::Acknowledged => {
                self.sending = step == Step::Sending;
                die_after(delay_us);
            }
        }
        Ok(receipt)
    }

    fn scan(&self, table: Table, each: &mut Each<'_>) -> Result<(), StoreError> {
        self.inner.scan(table, each)
    }
}

fn die_after(delay_us: u64) {
    thread::spawn(move || {
        thread::sleep(Duration::from_micros(delay_us));
        die();
    });
}

fn die() -> ! {
    kill(Pid::this(), Signal::SIGKILL).unwrap();
    wait_for_death();
}

fn wait_for_death() -> ! {
    loop {
        thread::park();
    }
}

/// A broken store: it answers before it writes, so that whoever kills its process takes the last commit away.
pub(crate) struct ForgetfulStore<S> {
    pub(crate) inner: S,
    pub(crate) answered: Vec<Change>,
}

impl<S: Store> Store for ForgetfulStore<S> {
    fn commit<'c>(&mut self, changes: &'c [Change]) -> Result<Receipt<'c>, StoreError> {
        let earlier = std::mem::replace(&mut self.answered, changes.to_vec());
        let _ = self.inner.commit(&earlier)?;
        Ok(Receipt::attest(changes))
    }

    fn scan(&self, table: Table, each: &mut Each<'_>) -> Result<(), StoreError> {
        self.inner.scan(table, each)
    }
}
