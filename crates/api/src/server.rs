//! The daemon's end: HTTP requests become calls, answers become responses.

use std::{io, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::Response,
    routing::{delete, get, post, put},
};
use claviger_group::{GroupId, MemberId};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::{mpsc, oneshot};

use crate::{
    ApiError, Call, ControlSocket, ErrorCode, EvictWait, ReceiveStream, Record, Reply, SendStream,
    call::{Arriving, STREAM_RECORDS_MAX},
    record::{RecordDecoder, RecordError},
    view::Answer,
};

/// The most octets of a JSON request: a group's options are a tenth of it.
pub const REQUEST_LEN_MAX: usize = 64 * 1024;

/// The media type of a stream of [`crate::record`]s.
pub const RECORDS: &str = "application/vnd.claviger.records";

const JSON: &str = "application/json";

/// How long a stream that is refused is listened to for its end.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Serves a daemon's socket until the future is dropped. Each request goes to `calls`; answers come back by the
/// call's [`Reply`].
///
/// # Errors
///
/// If the socket cannot be handed to the runtime. Failures of single connections end those connections only.
pub async fn serve(socket: ControlSocket, calls: mpsc::Sender<Call>) -> io::Result<()> {
    let (listener, _file) = socket.into_parts();
    let listener = tokio::net::UnixListener::from_std(listener)?;
    axum::serve(listener, router(calls)).await
}

type Calls = State<mpsc::Sender<Call>>;

fn router(calls: mpsc::Sender<Call>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/refused", get(refused_list))
        .route("/v1/groups", get(group_list).post(group_add))
        .route("/v1/groups/{name}", get(group_show).delete(group_remove))
        .route("/v1/groups/{name}/members", get(member_list))
        .route("/v1/groups/{name}/members/{host}", put(member_allow))
        .route("/v1/groups/{name}/members/{host}/evict", post(member_evict).get(eviction_show))
        .route("/v1/groups/{name}/rekey", post(rekey))
        .route("/v1/groups/{name}/send", post(send))
        .route("/v1/groups/{name}/receive", get(receive))
        .route("/v1/groups/{name}/membership", delete(leave))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_path)
        .layer(DefaultBodyLimit::max(REQUEST_LEN_MAX))
        .with_state(calls)
}

async fn unknown_path() -> Response {
    refusal(&ApiError::new(ErrorCode::BadRequest, "this daemon has no such path or method"))
}

async fn status(State(calls): Calls) -> Response {
    ask(&calls, Ok(()), |(), reply| Call::Status(reply)).await
}

async fn group_list(State(calls): Calls) -> Response {
    ask(&calls, Ok(()), |(), reply| Call::GroupList(reply)).await
}

async fn group_add(State(calls): Calls, body: Body) -> Response {
    ask(&calls, json(body).await, Call::GroupAdd).await
}

async fn group_show(State(calls): Calls, Path(name): Path<String>) -> Response {
    ask(&calls, group(&name), Call::GroupShow).await
}

async fn group_remove(State(calls): Calls, Path(name): Path<String>) -> Response {
    ask(&calls, group(&name), Call::GroupRemove).await
}

async fn leave(State(calls): Calls, Path(name): Path<String>) -> Response {
    ask(&calls, group(&name), Call::Leave).await
}

async fn member_list(State(calls): Calls, Path(name): Path<String>) -> Response {
    ask(&calls, group(&name), Call::MemberList).await
}

async fn member_allow(State(calls): Calls, Path(member): Path<(String, String)>, body: Body) -> Response {
    let request = async { Ok((group_and_host(&member)?, json(body).await?)) }.await;
    ask(&calls, request, |((group, host), allow), reply| Call::MemberAllow(group, host, allow, reply)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EvictQuery {
    #[serde(default)]
    wait: EvictWait,
}

async fn member_evict(
    State(calls): Calls,
    Path(member): Path<(String, String)>,
    query: Result<Query<EvictQuery>, QueryRejection>,
) -> Response {
    let query = query.map(|Query(query)| query.wait).map_err(bad_request);
    let request = query.and_then(|wait| Ok((group_and_host(&member)?, wait)));
    ask(&calls, request, |((group, host), wait), reply| Call::MemberEvict(group, host, wait, reply)).await
}

async fn eviction_show(State(calls): Calls, Path(member): Path<(String, String)>) -> Response {
    ask(&calls, group_and_host(&member), |(group, host), reply| Call::EvictionShow(group, host, reply)).await
}

async fn rekey(State(calls): Calls, Path(name): Path<String>, body: Body) -> Response {
    let request = async { Ok((group(&name)?, json(body).await?)) }.await;
    ask(&calls, request, |(group, order), reply| Call::Rekey(group, order, reply)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefusedQuery {
    group: Option<String>,
}

async fn refused_list(State(calls): Calls, query: Result<Query<RefusedQuery>, QueryRejection>) -> Response {
    let request = match query {
        Ok(Query(query)) => query.group.as_deref().map(group).transpose(),
        Err(rejection) => Err(bad_request(rejection)),
    };
    ask(&calls, request, Call::RefusedList).await
}

type QueryRejection = axum::extract::rejection::QueryRejection;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendQuery {
    application_port: Option<u16>,
}

async fn send(
    State(calls): Calls,
    Path(name): Path<String>,
    query: Result<Query<SendQuery>, QueryRejection>,
    body: Body,
) -> Response {
    let (group, application_port) = match (group(&name), query) {
        (Ok(group), Ok(Query(query))) => (group, query.application_port),
        (Err(error), _) => return refusal(&error),
        (_, Err(rejection)) => return refusal(&bad_request(rejection)),
    };
    let (feed, payloads) = mpsc::channel(STREAM_RECORDS_MAX);
    let (done, mut summary) = Reply::new();
    let call = Call::Send(SendStream { group, application_port, payloads, done });
    if calls.send(call).await.is_err() {
        return refusal(&stopping());
    }
    let feeding = feed_payloads(body, feed);
    tokio::pin!(feeding);
    let fed = tokio::select! {
        biased;
        answer = &mut summary => {
            // A caller that was about to end its stream would meet a connection that is closed, and not the answer.
            let _ended = tokio::time::timeout(LAST_WORDS, feeding).await;
            return respond(settle(answer));
        }
        fed = &mut feeding => fed,
    };
    match fed {
        Ok(()) => respond(settle(summary.await)),
        Err(error) => refusal(&error),
    }
}

/// Hands over the payloads of a request until they end or the daemon takes no more, which it explains itself.
async fn feed_payloads(body: Body, feed: mpsc::Sender<Bytes>) -> Answer<()> {
    let mut pieces = body.into_data_stream();
    let mut decoder = RecordDecoder::default();
    while let Some(piece) = pieces.next().await {
        decoder.push(&piece.map_err(bad_request)?);
        while let Some(record) = decoder.poll().map_err(bad_request)? {
            let Record::Data(payload) = record else {
                return Err(bad_request("payloads to send are records of data"));
            };
            if feed.send(payload).await.is_err() {
                return Ok(());
            }
        }
    }
    decoder.finish().map_err(bad_request)
}

async fn receive(State(calls): Calls, Path(name): Path<String>) -> Response {
    let group = match group(&name) {
        Ok(group) => group,
        Err(error) => return refusal(&error),
    };
    let (stream, arriving, answer) = ReceiveStream::new(group);
    if calls.send(Call::Receive(stream)).await.is_err() {
        return refusal(&stopping());
    }
    match settle(answer.await) {
        Ok(()) => response(StatusCode::OK, RECORDS, Body::from_stream(encoded(arriving))),
        Err(error) => refusal(&error),
    }
}

/// Frames what arrives. A payload that no record can hold came from no datagram: the stream breaks off there.
fn encoded(arriving: Arriving) -> impl Stream<Item = Result<Bytes, RecordError>> {
    stream::unfold(arriving, |mut arriving| async {
        let record = arriving.next().await?;
        Some((record.encode(), arriving))
    })
}

async fn ask<R, T: Serialize>(
    calls: &mpsc::Sender<Call>,
    request: Answer<R>,
    call: impl FnOnce(R, Reply<T>) -> Call,
) -> Response {
    let request = match request {
        Ok(request) => request,
        Err(error) => return refusal(&error),
    };
    let (reply, answer) = Reply::new();
    if calls.send(call(request, reply)).await.is_err() {
        return refusal(&stopping());
    }
    respond(settle(answer.await))
}

fn settle<T>(answer: Result<Answer<T>, oneshot::error::RecvError>) -> Answer<T> {
    answer.unwrap_or_else(|_| Err(stopping()))
}

fn respond<T: Serialize>(answer: Answer<T>) -> Response {
    match answer.and_then(|value| serde_json::to_vec(&value).map_err(internal)) {
        Ok(octets) => response(StatusCode::OK, JSON, octets.into()),
        Err(error) => refusal(&error),
    }
}

fn refusal(error: &ApiError) -> Response {
    let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let octets = serde_json::to_vec(error).unwrap_or_default();
    response(status, JSON, octets.into())
}

fn response(status: StatusCode, media_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, axum::http::HeaderValue::from_static(media_type));
    response
}

async fn json<T: DeserializeOwned>(body: Body) -> Answer<T> {
    let octets = axum::body::to_bytes(body, REQUEST_LEN_MAX).await.map_err(bad_request)?;
    serde_json::from_slice(&octets).map_err(bad_request)
}

fn group(name: &str) -> Answer<GroupId> {
    name.parse().map_err(bad_request)
}

fn group_and_host((name, host): &(String, String)) -> Answer<(GroupId, MemberId)> {
    Ok((group(name)?, host.parse().map_err(bad_request)?))
}

fn bad_request(error: impl ToString) -> ApiError {
    ApiError::new(ErrorCode::BadRequest, error.to_string())
}

fn internal(error: impl ToString) -> ApiError {
    ApiError::new(ErrorCode::Internal, error.to_string())
}

fn stopping() -> ApiError {
    ApiError::new(ErrorCode::Stopping, "the daemon is stopping")
}
