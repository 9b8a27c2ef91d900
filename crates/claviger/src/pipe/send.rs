//! `claviger send`: standard input to a group.

use std::path::Path;

use bytes::Bytes;
use claviger_api::{Call, Client, Reply, SendStream, SendSummary};
use claviger_net::{Clock, Pacer};
use claviger_sansio::Time;
use tokio::{io::AsyncReadExt, sync::mpsc};

use crate::{
    exit::{Exit, Failure, Outcome},
    logging,
    settings::stream::{SendSettings, Through},
    start::{self, OwnMember},
};

/// `claviger send`.
pub(crate) fn run(settings: &SendSettings) -> Outcome {
    logging::init(&settings.log)?;
    let summary = match &settings.through {
        Through::OwnMember(member) => start::block_on(async {
            let OwnMember { lock: _lock, mut daemon, calls, mut queue } =
                OwnMember::start(member, "claviger send")?;
            let work = through_calls(settings, calls);
            tokio::select! {
                ended = daemon.run(&mut queue) => Err(ended.err().unwrap_or_else(interrupted)),
                summary = work => {
                    daemon.leave_now().await;
                    summary
                }
            }
        })?,
        Through::Daemon(socket) => start::block_on(through_daemon(settings, socket))?,
    };
    eprintln!("sent {} octets in {} datagrams", summary.octets, summary.datagrams);
    if summary.failed > 0 {
        return Err(Failure::new(Exit::Failed, format!("{} datagrams could not be sent", summary.failed)));
    }
    Ok(())
}

fn interrupted() -> Failure {
    Failure::new(Exit::Failed, "stopped before all was sent")
}

async fn through_daemon(settings: &SendSettings, socket: &Path) -> Outcome<SendSummary> {
    let mut stream = Client::new(socket).send(&settings.group, settings.port).await?;
    let mut input = Input::new(settings);
    loop {
        tokio::select! {
            error = stream.ended() => return Err(error.into()),
            payload = input.next() => match payload? {
                Some(payload) => stream.push(payload).await?,
                None => break,
            },
        }
    }
    Ok(stream.finish().await?)
}

async fn through_calls(settings: &SendSettings, calls: mpsc::Sender<Call>) -> Outcome<SendSummary> {
    let (payloads, receiver) = mpsc::channel(claviger_api::call::STREAM_RECORDS_MAX);
    let (done, mut summary) = Reply::new();
    let stream = SendStream {
        group: settings.group.clone(),
        application_port: settings.port,
        payloads: receiver,
        done,
    };
    calls.send(Call::Send(stream)).await.map_err(|_| interrupted())?;
    let mut input = Input::new(settings);
    loop {
        tokio::select! {
            refused = &mut summary => return Ok(refused.map_err(|_| interrupted())??),
            payload = input.next() => match payload? {
                Some(payload) => payloads.send(payload).await.map_err(|_| interrupted())?,
                None => break,
            },
        }
    }
    drop(payloads);
    Ok(summary.await.map_err(|_| interrupted())??)
}

/// Standard input, cut into payloads and paced.
struct Input {
    stdin: tokio::io::Stdin,
    size: usize,
    clock: Clock,
    pacer: Pacer,
}

impl Input {
    fn new(settings: &SendSettings) -> Self {
        let clock = Clock::starting_at(Time::EPOCH);
        Self {
            stdin: tokio::io::stdin(),
            size: settings.size.into(),
            pacer: Pacer::new(settings.rate, clock.now()),
            clock,
        }
    }

    /// Reads one payload's worth, or what is left; waits until the rate allows it.
    async fn next(&mut self) -> Outcome<Option<Bytes>> {
        let mut payload = Vec::with_capacity(self.size);
        while payload.len() < self.size {
            let wanted = (self.size - payload.len()) as u64;
            if (&mut self.stdin).take(wanted).read_buf(&mut payload).await? == 0 {
                break;
            }
        }
        if payload.is_empty() {
            return Ok(None);
        }
        self.pacer.pace(&self.clock, payload.len()).await;
        Ok(Some(payload.into()))
    }
}
