//! Speaks to the kernel by netlink: routes and links, and the rules of nf_tables.
//!
//! A handful of requests does not need a netlink library, nor a program to be installed, and a capability of this
//! process suffices.
//!
//! | module | what |
//! |---|---|
//! | [`attribute`] | what messages consist of |
//! | [`changes`] | hearing of changes to packet filters |
//! | [`route`] | which way a group lies, routes to it, how large a packet an interface takes |
//! | [`tables`] | the rules of packet filters |

pub(crate) mod attribute;
pub(crate) mod changes;
pub(crate) mod route;
pub(crate) mod tables;

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use crate::option;
use attribute::{read_u16, read_u32};

/// Octets of `struct nlmsghdr`: length, type, flags, sequence, port.
const HEADER: usize = 16;
/// Octets kept for what is received at once: a link with all its statistics takes about 2,000, and lists come in parts
/// of at most 32 KiB.
const ANSWER: usize = 64 * 1024;
/// How often a list is asked for again that changed while it was read.
const LISTINGS_MAX: usize = 8;

/// A message: what it asks for, its flags, and what stands behind the header.
#[derive(Debug)]
struct Request {
    kind: u16,
    flags: libc::c_int,
    body: Vec<u8>,
}

/// A message that came.
struct Answer<'a> {
    kind: i32,
    flags: i32,
    body: &'a [u8],
}

impl Answer<'_> {
    /// Returns the error that this message tells of; `None` if it acknowledges.
    fn error(&self) -> Option<io::Error> {
        match read_u32(self.body, 0).map(u32::cast_signed) {
            None => Some(cut_short()),
            Some(0) => None,
            Some(code) => Some(io::Error::from_raw_os_error(code.saturating_neg())),
        }
    }

    fn is_error(&self) -> bool {
        self.kind == libc::NLMSG_ERROR
    }
}

/// Sends one request and gives back the body of its one answer, which is empty if that only acknowledges.
fn ask(protocol: SockProtocol, request: &Request) -> io::Result<Vec<u8>> {
    let socket = open(protocol)?;
    send_all(&socket, std::slice::from_ref(request))?;
    let mut buffer = vec![0; ANSWER];
    let received = receive(&socket, &mut buffer)?;
    let answer = messages(received).next().ok_or_else(cut_short)??;
    match answer.is_error() {
        true => answer.error().map_or(Ok(vec![]), Err),
        false => Ok(answer.body.to_vec()),
    }
}

/// Sends one request for a list and gives back the bodies of its entries.
fn list(protocol: SockProtocol, request: &Request) -> io::Result<Vec<Vec<u8>>> {
    for _ in 0..LISTINGS_MAX {
        if let Some(entries) = list_once(protocol, request)? {
            return Ok(entries);
        }
    }
    Err(io::ErrorKind::Interrupted.into())
}

/// Does what [`list`] does; `None` if the list changed meanwhile.
fn list_once(protocol: SockProtocol, request: &Request) -> io::Result<Option<Vec<Vec<u8>>>> {
    let socket = open(protocol)?;
    // Kernels before 4.20 list more than was asked for, which readers pass over.
    let _ = option::set_netlink_strict(&socket);
    send_all(&socket, std::slice::from_ref(request))?;
    let mut entries = Vec::new();
    let mut buffer = vec![0; ANSWER];
    let mut is_whole = true;
    loop {
        for answer in messages(receive(&socket, &mut buffer)?) {
            let answer = answer?;
            is_whole &= answer.flags & libc::NLM_F_DUMP_INTR == 0;
            if answer.kind == libc::NLMSG_DONE {
                return Ok(is_whole.then_some(entries));
            }
            if answer.is_error() {
                return answer.error().map_or(Ok(Some(entries)), Err);
            }
            entries.push(answer.body.to_vec());
        }
    }
}

/// Sends requests at once, and waits until each is acknowledged or one is refused.
fn ask_all(protocol: SockProtocol, requests: &[Request]) -> io::Result<()> {
    let socket = open(protocol)?;
    send_all(&socket, requests)?;
    let mut pending = requests.iter().filter(|request| request.flags & libc::NLM_F_ACK != 0).count();
    let mut buffer = vec![0; ANSWER];
    while pending > 0 {
        for answer in messages(receive(&socket, &mut buffer)?) {
            let answer = answer?;
            if !answer.is_error() {
                continue;
            }
            if let Some(error) = answer.error() {
                return Err(error);
            }
            pending = pending.saturating_sub(1);
        }
    }
    Ok(())
}

fn open(protocol: SockProtocol) -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?)
}

fn send_all(socket: &OwnedFd, requests: &[Request]) -> io::Result<()> {
    let mut octets = Vec::new();
    for (request, sequence) in requests.iter().zip(0u32..) {
        let length = u32::try_from(HEADER + request.body.len()).expect("requests are short");
        let flags = u16::try_from(libc::NLM_F_REQUEST | request.flags).expect("flags have 16 bits");
        octets.extend(length.to_ne_bytes());
        octets.extend(request.kind.to_ne_bytes());
        octets.extend(flags.to_ne_bytes());
        octets.extend(sequence.to_ne_bytes());
        octets.extend([0; 4]);
        octets.extend(&request.body);
        octets.resize(octets.len().next_multiple_of(4), 0);
    }
    send(socket.as_raw_fd(), &octets, MsgFlags::empty())?;
    Ok(())
}

fn receive<'a>(socket: &OwnedFd, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let length = recv(socket.as_raw_fd(), buffer, MsgFlags::empty())?;
    Ok(&buffer[..length])
}

/// Reads the messages of what was received at once.
fn messages(octets: &[u8]) -> impl Iterator<Item = io::Result<Answer<'_>>> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let answer = first_message(rest).map(|(answer, length)| {
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            answer
        });
        if answer.is_none() {
            rest = &[];
        }
        Some(answer.ok_or_else(cut_short))
    })
}

/// Reads one message, and says how long it is.
fn first_message(octets: &[u8]) -> Option<(Answer<'_>, usize)> {
    let length = read_u32(octets, 0)? as usize;
    let kind = read_u16(octets, 4)?.into();
    let flags = read_u16(octets, 6)?.into();
    let body = octets.get(HEADER..length)?;
    Some((Answer { kind, flags, body }, length))
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the kernel's answer is cut short")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut octets = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.extend([0; 10]);
        octets.extend(body);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    #[test]
    fn reads_messages_side_by_side_and_survives_every_cut() {
        let two = [message(7, b"odd"), message(8, b"even")].concat();
        let read = |octets: &[u8]| messages(octets).map(|m| m.map(|m| (m.kind, m.body.to_vec()))).collect();
        let whole: io::Result<Vec<_>> = read(&two);
        assert_eq!(whole.unwrap(), [(7, b"odd".to_vec()), (8, b"even".to_vec())]);
        for length in 0..two.len() {
            let cut: io::Result<Vec<_>> = read(&two[..length]);
            let is_boundary = length == 0 || (19..=20).contains(&length);
            assert_eq!(cut.is_ok(), is_boundary, "cut at {length}");
        }
        let endless: io::Result<Vec<_>> = read(&[0; 64]);
        assert!(endless.is_err(), "a length of zero does not loop");
    }
}
