//! UDP on this host's loopback interface: no privilege, and no packet leaves the host.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use claviger_net::{
    BindError, Buffer, Interface, Membership, MulticastSocket, Received, UdpOptions, UdpSocket,
    udp::MAX_DATAGRAM,
};

/// Longer than any datagram takes on loopback, even on a busy host.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a socket that must hear nothing is listened to.
const SILENCE: Duration = Duration::from_millis(200);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn loopback() -> Interface {
    Interface::by_address(ip("127.0.0.1"), "--interface").expect("every host has 127.0.0.1")
}

fn options() -> UdpOptions {
    UdpOptions::new("--port")
}

fn bind(address: &str) -> UdpSocket {
    UdpSocket::bind(address.parse().unwrap(), &options()).expect("an unprivileged port on loopback")
}

/// A port that nobody else is bound to, and the socket that sees to it.
fn free_port() -> (u16, UdpSocket) {
    let socket = bind("127.0.0.1:0");
    (socket.local_address().port(), socket)
}

/// A socket that sends multicast by loopback, no further.
fn sender(address: &str) -> UdpSocket {
    let socket = bind(address);
    socket.set_multicast_interface(&loopback()).unwrap();
    socket.set_multicast_hops(0).unwrap();
    socket
}

async fn hear(socket: &UdpSocket) -> (Received, Vec<u8>) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    let received = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer))
        .await
        .expect("a datagram arrives")
        .expect("and the socket is sound");
    buffer.truncate(received.length);
    (received, buffer)
}

async fn hears_nothing(socket: &UdpSocket) -> bool {
    let mut buffer = [0; 64];
    tokio::time::timeout(SILENCE, socket.recv(&mut buffer)).await.is_err()
}

#[tokio::test]
async fn tells_where_a_unicast_datagram_came_from_and_went_to() {
    let receiver = bind("0.0.0.0:0");
    let port = receiver.local_address().port();
    let sender = bind("0.0.0.0:0");
    let destination = SocketAddr::new(ip("127.0.0.3"), port);
    sender.send(b"one", destination, Some(ip("127.0.0.2"))).await.unwrap();

    let (received, payload) = hear(&receiver).await;
    assert_eq!(payload, b"one");
    assert_eq!(received.source, SocketAddr::new(ip("127.0.0.2"), sender.local_address().port()));
    assert_eq!(received.destination, destination);
    assert_eq!(received.interface, loopback().index());
    assert_eq!(received.dropped, 0);
    assert!(!received.truncated);
}

#[tokio::test]
async fn answers_from_the_address_that_was_asked() {
    let server = bind("0.0.0.0:0");
    let client = bind("127.0.0.1:0");
    let asked = SocketAddr::new(ip("127.0.0.9"), server.local_address().port());
    client.send(b"question", asked, None).await.unwrap();
    let (question, _) = hear(&server).await;
    server.send(b"answer", question.source, Some(question.destination.ip())).await.unwrap();
    let (answer, payload) = hear(&client).await;
    assert_eq!((answer.source, payload.as_slice()), (asked, b"answer".as_slice()));
}

#[tokio::test]
async fn carries_ipv6_unicast_with_its_addresses() {
    let Ok(receiver) = UdpSocket::bind("[::]:0".parse().unwrap(), &options()) else {
        println!("NOT RUN: this host has no IPv6");
        return;
    };
    let sender = bind("[::]:0");
    let destination = SocketAddr::new(ip("::1"), receiver.local_address().port());
    sender.send(b"six", destination, Some(ip("::1"))).await.unwrap();
    let (received, payload) = hear(&receiver).await;
    assert_eq!(payload, b"six");
    assert_eq!(received.source, SocketAddr::new(ip("::1"), sender.local_address().port()));
    assert_eq!(received.destination, destination);
    assert_eq!(received.interface, loopback().index());
}

#[tokio::test]
async fn carries_datagrams_of_every_length_and_says_when_one_was_cut() {
    let (port, receiver) = free_port();
    let sender = bind("127.0.0.1:0");
    let destination = SocketAddr::new(ip("127.0.0.1"), port);
    for length in [0, 1, 1_400, 65_507] {
        let sent: Vec<u8> = (0..length).map(|at| at as u8).collect();
        sender.send(&sent, destination, None).await.unwrap();
        let (received, payload) = hear(&receiver).await;
        assert_eq!((payload, received.truncated), (sent, false), "{length} octets");
    }
    sender.send(b"too long", destination, None).await.unwrap();
    let mut short = [0; 3];
    let received = receiver.recv(&mut short).await.unwrap();
    assert_eq!((received.length, received.truncated, &short), (3, true, b"too"));
    let error = sender.send(&[0; 65_508], destination, None).await.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
}

#[tokio::test]
async fn says_whether_a_datagram_is_there() {
    let (port, receiver) = free_port();
    let mut buffer = [0; 64];
    assert_eq!(receiver.try_recv(&mut buffer).unwrap(), None);
    let sender = bind("127.0.0.1:0");
    sender.send(b"here", SocketAddr::new(ip("127.0.0.1"), port), None).await.unwrap();
    let received = receiver.try_recv(&mut buffer).unwrap().expect("loopback delivers at once");
    assert_eq!(&buffer[..received.length], b"here");
}

#[tokio::test]
async fn two_sockets_of_one_host_each_get_every_datagram_of_a_group_once() {
    let group = ip("239.192.7.1");
    let (port, _held) = free_port();
    let members = [(); 2].map(|()| {
        UdpSocket::bind_group(group, port, &loopback(), None, &options()).expect("both may bind and join")
    });
    let sender = sender("127.0.0.1:0");
    for number in 0..20u8 {
        sender.send(&[number], SocketAddr::new(group, port), None).await.unwrap();
    }
    for member in &members {
        for number in 0..20u8 {
            let (received, payload) = hear(member).await;
            assert_eq!(payload, [number]);
            assert_eq!(received.source, sender.local_address());
            assert_eq!(received.destination, SocketAddr::new(group, port));
            assert_eq!(received.interface, loopback().index());
        }
        assert!(hears_nothing(member).await, "no datagram comes twice");
    }
}

#[tokio::test]
async fn multicast_on_loopback_leaves_from_the_loopback_address() {
    let group = ip("239.192.7.2");
    let (port, _held) = free_port();
    let member = UdpSocket::bind_group(group, port, &loopback(), None, &options()).unwrap();
    let sender = sender("0.0.0.0:0");
    sender.send(b"x", SocketAddr::new(group, port), None).await.unwrap();
    assert_eq!(hear(&member).await.0.source.ip(), ip("127.0.0.1"));
}

#[tokio::test]
async fn a_group_socket_hears_neither_unicast_nor_another_group_of_its_port() {
    let (group, other) = (ip("239.192.7.3"), ip("239.192.7.4"));
    let (port, held) = free_port();
    let member = UdpSocket::bind_group(group, port, &loopback(), None, &options()).unwrap();
    let _other = UdpSocket::bind_group(other, port, &loopback(), None, &options()).unwrap();
    let sender = sender("127.0.0.1:0");
    sender.send(b"other group", SocketAddr::new(other, port), None).await.unwrap();
    sender.send(b"unicast", SocketAddr::new(ip("127.0.0.1"), port), None).await.unwrap();
    assert!(hears_nothing(&member).await);
    assert_eq!(hear(&held).await.1, b"unicast", "which went where it belongs");
    sender.send(b"own group", SocketAddr::new(group, port), None).await.unwrap();
    assert_eq!(hear(&member).await.1, b"own group");
}

#[tokio::test]
async fn a_socket_hears_no_group_that_only_another_socket_has_joined() {
    let group = ip("239.192.7.5");
    let shared = UdpOptions { reuse_address: true, ..options() };
    let bystander = UdpSocket::bind("0.0.0.0:0".parse().unwrap(), &shared).unwrap();
    let port = bystander.local_address().port();
    let member = UdpSocket::bind_group(group, port, &loopback(), None, &options()).unwrap();
    let sender = sender("127.0.0.1:0");
    sender.send(b"x", SocketAddr::new(group, port), None).await.unwrap();
    assert_eq!(hear(&member).await.1, b"x");
    assert!(hears_nothing(&bystander).await, "IP_MULTICAST_ALL is off");

    let membership = Membership::new(group, None, &loopback());
    bystander.join(&membership).unwrap();
    sender.send(b"y", SocketAddr::new(group, port), None).await.unwrap();
    assert_eq!(hear(&bystander).await.1, b"y", "once it has joined it hears");
    bystander.leave(&membership).unwrap();
    sender.send(b"z", SocketAddr::new(group, port), None).await.unwrap();
    assert!(hears_nothing(&bystander).await, "and no more after it has left");
    assert_eq!(bystander.leave(&membership).unwrap_err().raw_os_error(), Some(libc::EADDRNOTAVAIL));
}

#[tokio::test]
async fn source_specific_multicast_hears_the_named_source_alone() {
    let group = ip("232.192.7.6");
    let (port, _held) = free_port();
    let member = UdpSocket::bind_group(group, port, &loopback(), Some(ip("127.0.0.1")), &options()).unwrap();
    let (wanted, foreign) = (sender("127.0.0.1:0"), sender("127.0.0.2:0"));
    let destination = SocketAddr::new(group, port);
    foreign.send(b"foreign", destination, None).await.unwrap();
    assert!(hears_nothing(&member).await);
    wanted.send(b"wanted", destination, None).await.unwrap();
    let (received, payload) = hear(&member).await;
    assert_eq!((received.source.ip(), payload.as_slice()), (ip("127.0.0.1"), b"wanted".as_slice()));

    let second = Membership::new(group, Some(ip("127.0.0.2")), &loopback());
    member.join(&second).unwrap();
    foreign.send(b"joined too", destination, None).await.unwrap();
    assert_eq!(hear(&member).await.1, b"joined too");
    member.leave(&second).unwrap();
    foreign.send(b"foreign again", destination, None).await.unwrap();
    assert!(hears_nothing(&member).await);
}

#[tokio::test]
async fn a_source_specific_group_without_a_source_is_refused_in_words() {
    let error = UdpSocket::bind_group(ip("232.192.7.7"), 0, &loopback(), None, &options()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(
        error.to_string(),
        "cannot join group 232.192.7.7 on interface lo: the address is source-specific and needs a source; choose \
         another with --interface"
    );
}

#[tokio::test]
async fn counts_every_datagram_that_the_kernel_dropped() {
    let small = UdpOptions { receive_buffer: Buffer::Octets(16 * 1024), ..options() };
    let receiver = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &small).unwrap();
    let sender = bind("127.0.0.1:0");
    for number in 0..500u32 {
        let mut payload = [0; 1_000];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        sender.send(&payload, receiver.local_address(), None).await.unwrap();
    }
    let mut numbers = BTreeSet::new();
    let mut buffer = [0; 1_000];
    while receiver.try_recv(&mut buffer).unwrap().is_some() {
        numbers.insert(u32::from_be_bytes(*buffer.first_chunk().unwrap()));
    }
    let lost = 500 - u32::try_from(numbers.len()).unwrap();
    assert!(lost > 0, "16 KiB cannot hold 500 kB");
    assert_eq!(receiver.dropped().unwrap(), lost, "which is known without another datagram");

    sender.send(b"next", receiver.local_address(), None).await.unwrap();
    let (received, _) = hear(&receiver).await;
    assert_eq!(received.dropped, lost, "and the next datagram tells it");
}

#[tokio::test]
async fn takes_the_largest_receive_buffer_that_the_host_permits() {
    let limit: usize = std::fs::read_to_string("/proc/sys/net/core/rmem_max")
        .map_or(212_992, |text| text.trim().parse().unwrap());
    let (_, socket) = free_port();
    let granted = socket.receive_buffer().unwrap() / 2;
    assert!(
        granted >= limit.min(Buffer::LARGE) && granted <= Buffer::LARGE,
        "{granted} octets were granted where {limit} are permitted"
    );
}

#[tokio::test]
async fn one_task_receives_while_others_send() {
    let (port, receiver) = free_port();
    let sender = std::sync::Arc::new(bind("127.0.0.1:0"));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4u8 {
        let sender = sender.clone();
        tasks.spawn(async move {
            for number in 0..50u8 {
                let destination = SocketAddr::new(ip("127.0.0.1"), port);
                sender.send(&[task, number], destination, None).await.unwrap();
            }
        });
    }
    let mut next = [0u8; 4];
    for _ in 0..200 {
        let (_, payload) = hear(&receiver).await;
        let task = usize::from(payload[0]);
        assert_eq!(payload[1], next[task], "the order of each task is kept");
        next[task] += 1;
    }
    assert!(tasks.join_all().await.len() == 4 && receiver.dropped().unwrap() == 0);
}

#[tokio::test]
async fn refuses_a_source_that_is_not_this_hosts_or_of_another_ip_version() {
    let socket = bind("127.0.0.1:0");
    let destination = "127.0.0.1:9".parse().unwrap();
    let error = socket.send(b"x", destination, Some(ip("192.0.2.254"))).await.unwrap_err();
    assert!(
        matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NetworkUnreachable),
        "{error}"
    );
    let error = socket.send(b"x", destination, Some(ip("::1"))).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused_in_words() {
    let (port, _held) = free_port();
    let error =
        UdpSocket::bind(SocketAddr::new(ip("127.0.0.1"), port), &UdpOptions::new("--hip-port")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on UDP port {port} of 127.0.0.1: another socket of this host holds it; choose another \
             with --hip-port"
        )
    );
    assert!(!error.is_privilege());
    assert_eq!(error.option(), "--hip-port");
}

#[tokio::test]
async fn an_address_of_another_host_is_refused_in_words() {
    let error = UdpSocket::bind("192.0.2.254:0".parse().unwrap(), &options()).unwrap_err();
    assert!(error.to_string().contains("this host has no such address"), "{error}");
}

#[test]
fn errors_can_cross_threads() {
    fn is_error<E: std::error::Error + Send + Sync + 'static>() {}
    is_error::<BindError>();
    is_error::<claviger_net::InterfaceError>();
}
