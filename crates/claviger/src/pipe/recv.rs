//! `claviger recv`: a group to standard output.

use std::time::Duration;

use claviger_api::{Call, Client, ReceiveStream, Record};
use claviger_group::Role;
use tokio::{io::AsyncWriteExt, sync::mpsc, time::Instant};

use crate::{
    cli::{Globals, recv::RecvArgs},
    exit::{Exit, Failure, Outcome},
    logging::{self, LogFilter},
    start,
};

/// `claviger recv`.
pub(crate) fn run(globals: &Globals, args: &RecvArgs) -> Outcome {
    logging::init(&globals.log.clone().unwrap_or_else(LogFilter::of_commands))?;
    let mut output = Output::new(args);
    let outcome = match &args.server {
        Some(server) => start::block_on(async {
            let (_lock, mut member, calls, mut queue) = start::member_inside(
                globals,
                "claviger recv",
                server,
                &args.group,
                Role::Receiver,
                &args.registration,
            )?;
            tokio::select! {
                // The loop ends by itself when a signal made it leave.
                ended = member.run(&mut queue) => ended,
                done = through_calls(args, calls, &mut output) => {
                    member.leave_now().await;
                    done
                }
            }
        }),
        None => start::block_on(through_daemon(globals, args, &mut output)),
    };
    eprintln!(
        "received {} octets in {} datagrams, {} missing",
        output.octets, output.datagrams, output.missing
    );
    outcome
}

async fn through_daemon(globals: &Globals, args: &RecvArgs, output: &mut Output) -> Outcome {
    let socket = match &globals.socket {
        Some(socket) => socket.clone(),
        None => globals.paths()?.member_socket(&args.group),
    };
    let mut stream = Client::new(socket).receive(&args.group).await?;
    let mut stop = crate::signal::Stop::listen()?;
    loop {
        let next = tokio::select! {
            () = stop.wait() => return Ok(()),
            next = idle(args.idle, stream.next()) => next,
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

async fn through_calls(args: &RecvArgs, calls: mpsc::Sender<Call>, output: &mut Output) -> Outcome {
    let stopped = || Failure::new(Exit::Failed, "the member stopped");
    let (stream, mut arriving, answer) = ReceiveStream::new(args.group.clone());
    calls.send(Call::Receive(stream)).await.map_err(|_| stopped())?;
    answer.await.map_err(|_| stopped())??;
    while let Some(record) = idle(args.idle, arriving.next()).await {
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
    fn new(args: &RecvArgs) -> Self {
        Self {
            stdout: tokio::io::stdout(),
            count: args.count.map(Into::into),
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
