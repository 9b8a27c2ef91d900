//! The store, off the event loop: one commit at a time is under way while the loop takes packets and calls.
//!
//! What a step has to say goes along with it: datagrams and events in [`Staged`], the answers to callers beside it. All
//! of it comes back when the step is durable, and not otherwise.

use std::panic;

use claviger_gcks::{Durable, Staged};
use claviger_store::{Store, StoreError};
use tokio::task::{JoinHandle, spawn_blocking};

use super::waiting::Waiting;

/// Gives an answer, or has its caller wait until rekey messages have left.
type Answer = Box<dyn FnOnce(&mut Waiting) + Send>;

/// The answers that rest on a step.
#[derive(Default)]
pub(super) struct Answers(Vec<Answer>);

/// A step of the server that is to be committed.
pub(super) struct Step {
    pub(super) staged: Staged,
    pub(super) answers: Answers,
}

/// A step of the server that is durable.
pub(super) struct DurableStep {
    pub(super) durable: Durable,
    pub(super) answers: Answers,
}

/// The store and the commit that is under way.
pub(super) enum Disk<S> {
    /// No commit is under way. The box moves between threads, and the store's keys stay where they are.
    Idle(Box<S>),
    /// A thread has the store.
    Busy(JoinHandle<(Box<S>, Result<DurableStep, StoreError>)>),
    /// A commit failed: what is stored is not known, and nothing is stored any more.
    Failed,
}

impl Answers {
    /// Adds one behind the others.
    pub(super) fn push(&mut self, answer: impl FnOnce(&mut Waiting) + Send + 'static) {
        self.0.push(Box::new(answer));
    }

    /// Gives them, in their order.
    pub(super) fn give(self, waiting: &mut Waiting) {
        self.0.into_iter().for_each(|answer| answer(waiting));
    }
}

impl Step {
    /// Goes on without a commit if nothing changed.
    pub(super) fn without_changes(self) -> Result<DurableStep, Self> {
        let Self { staged, answers } = self;
        match staged.without_changes() {
            Ok(durable) => Ok(DurableStep { durable, answers }),
            Err(staged) => Err(Self { staged, answers }),
        }
    }

    fn commit(self, store: &mut impl Store) -> Result<DurableStep, StoreError> {
        let Self { staged, answers } = self;
        let durable = staged.commit(|changes| store.commit(changes))?;
        Ok(DurableStep { durable, answers })
    }
}

impl<S: Store + 'static> Disk<S> {
    pub(super) fn new(store: S) -> Self {
        Self::Idle(Box::new(store))
    }

    /// Says whether no commit is under way.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Self::Idle(_))
    }

    /// Begins to commit a step. The core gives no step out while another is, so that none comes while one is under way.
    pub(super) fn begin(&mut self, step: Step) {
        *self = match std::mem::replace(self, Self::Failed) {
            Self::Idle(mut store) => Self::Busy(spawn_blocking(move || {
                let result = step.commit(&mut *store);
                (store, result)
            })),
            Self::Busy(_) | Self::Failed => unreachable!("the core gives out one step at a time"),
        };
    }

    /// Waits until the commit that is under way is durable; for ever if there is none. It may be cancelled and called
    /// again.
    ///
    /// # Errors
    ///
    /// Why the commit failed.
    pub(super) async fn finished(&mut self) -> Result<DurableStep, StoreError> {
        let Self::Busy(commit) = self else { return std::future::pending().await };
        let (store, result) = match commit.await {
            Ok(committed) => committed,
            Err(error) => {
                *self = Self::Failed;
                match error.try_into_panic() {
                    Ok(panic) => panic::resume_unwind(panic),
                    // The runtime ends, and this loop with it.
                    Err(_) => return std::future::pending().await,
                }
            }
        };
        *self = if result.is_ok() { Self::Idle(store) } else { Self::Failed };
        result
    }
}
