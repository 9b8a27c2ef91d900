//! The caller's end of the control socket.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use claviger_group::{GroupId, MemberId};
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response,
    body::{Frame, Incoming},
    client::conn::http1,
    header::HOST,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, sync::mpsc, task::JoinHandle};

use crate::{
    ApiError, Record, StatusView,
    record::{RecordDecoder, RecordError},
    view::{
        EvictWait, EvictedView, GroupAdd, GroupAdded, GroupRemoved, GroupView, LeftView, MemberAllow,
        MemberView, RefusedView, RekeyOrder, RekeyView, SendSummary,
    },
};

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// Payloads that wait on their way to the daemon.
const PAYLOADS_QUEUED_MAX: usize = 64;

/// A call failed.
#[derive(Debug)]
pub enum ClientError {
    /// The daemon refused it.
    Api(ApiError),
    /// No daemon answers on the socket.
    Connect(PathBuf, io::Error),
    /// The connection broke: the daemon died, or was stopped.
    Lost,
    /// The daemon answered something that cannot be read.
    Protocol(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(error) => error.fmt(f),
            Self::Connect(path, error) if error.kind() == io::ErrorKind::PermissionDenied => {
                write!(f, "{} may be opened only by the user that the daemon runs as", path.display())
            }
            Self::Connect(path, error) => write!(f, "no daemon answers on {}: {error}", path.display()),
            Self::Lost => f.write_str("the daemon closed the connection before it answered"),
            Self::Protocol(error) => write!(f, "the daemon's answer cannot be read: {error}"),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Api(error) => Some(error),
            Self::Connect(_, error) => Some(error),
            Self::Lost | Self::Protocol(_) => None,
        }
    }
}

/// Calls a daemon; each call is a connection of its own. No call has a time limit: an eviction takes as long as its
/// group's activation delay.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// Makes a client for the daemon at `path`; nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Shows which socket is called.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Asks a daemon of either kind for its state.
    pub async fn status(&self) -> Result<StatusView, ClientError> {
        self.ask(Method::GET, "/v1/status").await
    }

    /// Makes a group.
    pub async fn group_add(&self, request: &GroupAdd) -> Result<GroupAdded, ClientError> {
        self.ask_with(Method::POST, "/v1/groups", request).await
    }

    /// Lists the groups.
    pub async fn group_list(&self) -> Result<Vec<GroupView>, ClientError> {
        self.ask(Method::GET, "/v1/groups").await
    }

    /// Shows a group.
    pub async fn group_show(&self, group: &GroupId) -> Result<GroupView, ClientError> {
        self.ask(Method::GET, &group_path(group, "")).await
    }

    /// Removes a group.
    pub async fn group_remove(&self, group: &GroupId) -> Result<GroupRemoved, ClientError> {
        self.ask(Method::DELETE, &group_path(group, "")).await
    }

    /// Lists who may be a member, and who is.
    pub async fn member_list(&self, group: &GroupId) -> Result<Vec<MemberView>, ClientError> {
        self.ask(Method::GET, &group_path(group, "/members")).await
    }

    /// Lists the hosts that were refused lately, for one group or all.
    pub async fn refused_list(&self, group: Option<&GroupId>) -> Result<Vec<RefusedView>, ClientError> {
        let query = group.map(|group| format!("?group={}", percent(&group.to_string()))).unwrap_or_default();
        self.ask(Method::GET, &format!("/v1/refused{query}")).await
    }

    /// Lets a host in.
    pub async fn member_allow(
        &self,
        group: &GroupId,
        host: &MemberId,
        request: &MemberAllow,
    ) -> Result<MemberView, ClientError> {
        self.ask_with(Method::PUT, &member_path(group, host, ""), request).await
    }

    /// Puts a host out; returns when that is what is waited for.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::RekeyNotSent`](crate::ErrorCode::RekeyNotSent) if the host is out, but the messages of the rekey have
    /// not left after some seconds.
    pub async fn member_evict(
        &self,
        group: &GroupId,
        host: &MemberId,
        wait: EvictWait,
    ) -> Result<EvictedView, ClientError> {
        let query = match wait {
            EvictWait::No => "/evict?wait=no",
            EvictWait::Deaf => "/evict",
        };
        self.ask(Method::POST, &member_path(group, host, query)).await
    }

    /// Says how far the eviction of a host has come.
    pub async fn eviction(&self, group: &GroupId, host: &MemberId) -> Result<EvictedView, ClientError> {
        self.ask(Method::GET, &member_path(group, host, "/evict")).await
    }

    /// Replaces keys now; returns when a copy of each message has left.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::RekeyNotSent`](crate::ErrorCode::RekeyNotSent) if they are replaced, but the messages have not left
    /// after some seconds.
    pub async fn rekey(&self, group: &GroupId, request: &RekeyOrder) -> Result<RekeyView, ClientError> {
        self.ask_with(Method::POST, &group_path(group, "/rekey"), request).await
    }

    /// Tells a member daemon to leave its group.
    pub async fn leave(&self, group: &GroupId) -> Result<LeftView, ClientError> {
        self.ask(Method::DELETE, &group_path(group, "/membership")).await
    }

    /// Opens a stream of payloads to a member daemon.
    pub async fn send(
        &self,
        group: &GroupId,
        application_port: Option<u16>,
    ) -> Result<SendHandle, ClientError> {
        let query = application_port.map(|port| format!("?application_port={port}")).unwrap_or_default();
        let path = group_path(group, &format!("/send{query}"));
        let (payloads, queue) = mpsc::channel(PAYLOADS_QUEUED_MAX);
        let frames = stream::unfold(queue, |mut queue: mpsc::Receiver<Bytes>| async {
            let record = queue.recv().await?;
            Some((Ok(Frame::data(record)), queue))
        });
        let body = BodyExt::boxed_unsync(StreamBody::new(frames));
        let connection = self.connect().await?;
        let response = tokio::spawn(async move {
            let response = exchange(connection, Method::POST, &path, body).await?;
            let octets = read_all(response).await?;
            serde_json::from_slice(&octets).map_err(|error| ClientError::Protocol(error.to_string()))
        });
        Ok(SendHandle { payloads, response })
    }

    /// Opens a stream of what a member daemon receives.
    pub async fn receive(&self, group: &GroupId) -> Result<ReceiveHandle, ClientError> {
        let connection = self.connect().await?;
        let response = exchange(connection, Method::GET, &group_path(group, "/receive"), empty()).await?;
        Ok(ReceiveHandle { body: accepted(response).await?, decoder: RecordDecoder::default() })
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, ClientError> {
        self.call(method, path, empty()).await
    }

    async fn ask_with<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        request: &impl Serialize,
    ) -> Result<T, ClientError> {
        let octets = serde_json::to_vec(request).map_err(|error| ClientError::Protocol(error.to_string()))?;
        self.call(method, path, BodyExt::boxed_unsync(Full::new(octets.into()))).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<T, ClientError> {
        let connection = self.connect().await?;
        let octets = read_all(exchange(connection, method, path, body).await?).await?;
        serde_json::from_slice(&octets).map_err(|error| ClientError::Protocol(error.to_string()))
    }

    async fn connect(&self) -> Result<http1::SendRequest<Body>, ClientError> {
        let stream = UnixStream::connect(&self.path).await;
        let stream = stream.map_err(|error| ClientError::Connect(self.path.clone(), error))?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|_| ClientError::Lost)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// A stream of payloads on its way to a member daemon. Dropped without [`SendHandle::finish`], it ends after what was
/// handed over, and nobody learns how many left.
#[derive(Debug)]
pub struct SendHandle {
    payloads: mpsc::Sender<Bytes>,
    response: JoinHandle<Result<SendSummary, ClientError>>,
}

impl SendHandle {
    /// Hands over one datagram's payload; waits while the daemon is busy.
    ///
    /// # Errors
    ///
    /// [`ClientError::Protocol`] if the payload is too long; otherwise why the daemon ended the stream.
    pub async fn push(&mut self, payload: Bytes) -> Result<(), ClientError> {
        let record = Record::Data(payload).encode().map_err(unreadable)?;
        if self.payloads.send(record).await.is_ok() {
            return Ok(());
        }
        Err(self.ended().await)
    }

    /// Waits until the daemon ends the stream before its time, and says why. For a caller whose own input may be
    /// silent for long, beside reading it.
    pub async fn ended(&mut self) -> ClientError {
        match (&mut self.response).await {
            Ok(Err(error)) => error,
            Ok(Ok(_)) | Err(_) => ClientError::Lost,
        }
    }

    /// Ends the stream and waits until everything has left.
    pub async fn finish(self) -> Result<SendSummary, ClientError> {
        drop(self.payloads);
        self.response.await.unwrap_or(Err(ClientError::Lost))
    }
}

/// A stream of what a member daemon receives.
#[derive(Debug)]
pub struct ReceiveHandle {
    body: Incoming,
    decoder: RecordDecoder,
}

impl ReceiveHandle {
    /// Returns the next record; `None` when the daemon has ended the stream in good order. May be cancelled and called
    /// again without loss.
    pub async fn next(&mut self) -> Result<Option<Record>, ClientError> {
        loop {
            if let Some(record) = self.decoder.poll().map_err(unreadable)? {
                return Ok(Some(record));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(piece) = frame.data_ref() {
                        self.decoder.push(piece);
                    }
                }
                Some(Err(_)) => return Err(ClientError::Lost),
                None => return self.decoder.finish().map(|()| None).map_err(unreadable),
            }
        }
    }
}

async fn exchange(
    mut connection: http1::SendRequest<Body>,
    method: Method,
    path: &str,
    body: Body,
) -> Result<Response<Incoming>, ClientError> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "claviger")
        .body(body)
        .map_err(|error| ClientError::Protocol(error.to_string()))?;
    connection.send_request(request).await.map_err(|_| ClientError::Lost)
}

async fn accepted(response: Response<Incoming>) -> Result<Incoming, ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response.into_body());
    }
    let octets = response.into_body().collect().await.map_err(|_| ClientError::Lost)?.to_bytes();
    match serde_json::from_slice(&octets) {
        Ok(error) => Err(ClientError::Api(error)),
        Err(_) => Err(ClientError::Protocol(format!("HTTP status {status}"))),
    }
}

async fn read_all(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let body = accepted(response).await?;
    Ok(body.collect().await.map_err(|_| ClientError::Lost)?.to_bytes())
}

fn empty() -> Body {
    BodyExt::boxed_unsync(Full::new(Bytes::new()))
}

fn unreadable(error: RecordError) -> ClientError {
    ClientError::Protocol(error.to_string())
}

fn group_path(group: &GroupId, rest: &str) -> String {
    format!("/v1/groups/{}{rest}", percent(&group.to_string()))
}

fn member_path(group: &GroupId, host: &MemberId, rest: &str) -> String {
    group_path(group, &format!("/members/{}{rest}", percent(&host.to_string())))
}

/// Encodes everything but RFC 3986's unreserved characters.
fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => encoded.push(octet.into()),
            // A segment of dots alone would be a relative path.
            _ => encoded.push_str(&format!("%{octet:02X}")),
        }
    }
    encoded
}
