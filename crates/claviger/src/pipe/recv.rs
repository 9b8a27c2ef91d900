//! `claviger recv`: a group to standard output.

use std::{path::Path, time::Duration};

use claviger_api::{Call, Client, ReceiveStream, Record};
use tokio::{io::AsyncWriteExt, sync::mpsc, time::Instant};

use crate::{
    exit::{Exit, Failure, Outcome},
    logging,
    settings::stream::{ReceiveSettings, Through},
    signal::Stop,
    start::{self, OwnMember},
};

/// `claviger recv`.
pub(crate) fn run(settings: &ReceiveSettings) -> Outcome {
    logging::init(&settings.log)?;
    let mut output = Output::new(settings);
    let outcome = match &settings.through {
        Through::OwnMember(member) => start::block_on(async {
            let OwnMember { lock: _lock, mut daemon, calls, mut queue } =
                OwnMember::start(member, "claviger recv")?;
            tokio::select! {
                // The loop ends by itself when a signal made it leave.
                ended = daemon.run(&mut queue) => ended,
                done = through_calls(settings, calls, &mut output) => {
                    daemon.leave_now().await;
                    done
                }
            }
        }),
        Through::Daemon(socket) => start::block_on(through_daemon(settings, socket, &mut output)),
    };
    eprintln!(
        "received {} octets in {} datagrams, {} missing",
        output.octets, output.datagrams, output.missing
    );
    outcome
}

async fn through_daemon(settings: &ReceiveSettings, socket: &Path, output: &mut Output) -> Outcome {
    let mut stream = Client::new(socket).receive(&settings.group).await?;
    let mut stop = Stop::listen()?;
    loop {
        let next = tokio::select! {
            () = stop.wait() => return Ok(()),
            next = idle(settings.idle, stream.next()) => next,
        };
        match next {
            None => return Ok(()),
            Some(record) => match record? {
                Some(record) => {
                    if !output.take(record).await? {
                        return Ok(());
                    }
                }
                None => return Err(Failure::new(Exit::Unreachable, "the member daemon has stopped")),
            },
        }
    }
}

async fn through_calls(
    settings: &ReceiveSettings,
    calls: mpsc::Sender<Call>,
    output: &mut Output,
) -> Outcome {
    let stopped = || Failure::new(Exit::Failed, "the member stopped");
    let (stream, mut arriving, answer) = ReceiveStream::new(settings.group.clone());
    calls.send(Call::Receive(stream)).await.map_err(|_| stopped())?;
    answer.await.map_err(|_| stopped())??;
    while let Some(record) = idle(settings.idle, arriving.next()).await {
        let record = record.ok_or_else(stopped)?;
        if !output.take(record).await? {
            break;
        }
    }
    Ok(())
}

/// Waits for something, but not longer than the user wants to; `None` is silence.
async fn idle<T>(limit: Option<Duration>, something: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, something).await.ok(),
        None => Some(something.await),
    }
}

/// What is missing is told on the way only when it has been missing for so long: datagrams overtake each other.
const MISSING_PAUSE: Duration = Duration::from_secs(1);

/// Standard output, and the count.
struct Output {
    stdout: tokio::io::Stdout,
    count: Option<u64>,
    datagrams: u64,
    octets: u64,
    missing: u64,
    /// How many were told to be missing, and since when there are more.
    told: u64,
    untold_since: Option<Instant>,
}

impl Output {
    fn new(settings: &ReceiveSettings) -> Self {
        Self {
            stdout: tokio::io::stdout(),
            count: settings.count.map(Into::into),
            datagrams: 0,
            octets: 0,
            missing: 0,
            told: 0,
            untold_since: None,
        }
    }

    /// Writes a payload; says whether more are wanted.
    async fn take(&mut self, record: Record) -> Outcome<bool> {
        match record {
            Record::Missing(missing) => {
                self.missing = missing;
                self.untold_since = match missing > self.told {
                    true => self.untold_since.or_else(|| Some(Instant::now())),
                    false => None,
                };
            }
            Record::Data(payload) => {
                self.stdout.write_all(&payload).await?;
                self.stdout.flush().await?;
                self.datagrams += 1;
                self.octets += payload.len() as u64;
            }
        }
        if self.untold_since.is_some_and(|since| since.elapsed() >= MISSING_PAUSE) {
            self.untold_since = None;
            self.told = self.missing;
            eprintln!("{} datagrams missing so far", self.missing);
        }
        Ok(self.count.is_none_or(|count| self.datagrams < count))
    }
}
