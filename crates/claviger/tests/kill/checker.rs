//! The process that judges: it hears the group's sockets and what the hosts tell, and nothing else.

use std::{collections::BTreeSet, fs, time::Duration};

use claviger_net::{Interface, UdpOptions, UdpSocket, udp::MAX_DATAGRAM};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{judgement::Judgement, stage, testimony::Line};

/// How long after the last word the sockets are still heard.
const AFTER: Duration = Duration::from_millis(300);

/// The checker's process: it ends when its input does, and leaves its verdict in a file.
pub(crate) fn check() {
    let stage = stage::given();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let judgement = runtime.block_on(listen(&stage));
    fs::write(stage.verdict(), serde_json::to_vec(&judgement.verdict()).unwrap()).unwrap();
}

async fn listen(stage: &stage::Stage) -> Judgement {
    let loopback = Interface::by_name("lo", "").unwrap();
    let bind =
        |port| UdpSocket::bind_group(stage.data.ip(), port, &loopback, None, &UdpOptions::new("")).unwrap();
    let (pushes, data) = (bind(stage.gdoi_port), bind(stage.data.port()));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut judgement = Judgement::default();
    let mut seen: BTreeSet<Vec<u8>> = BTreeSet::new();
    let (mut a, mut b) = (vec![0; MAX_DATAGRAM], vec![0; MAX_DATAGRAM]);
    fs::write(stage.directory.join("checker.ready"), "").unwrap();
    let mut ended = false;
    loop {
        tokio::select! {
            line = lines.next_line(), if !ended => match line.unwrap() {
                Some(line) => judgement.hear(serde_json::from_str::<Line>(&line).unwrap()),
                None => ended = true,
            },
            Ok(received) = pushes.recv(&mut a) => {
                if seen.insert(a[..received.length].to_vec()) {
                    judgement.push(a[..received.length].to_vec());
                }
            }
            Ok(received) = data.recv(&mut b) => judgement.data(received.source.port(), &b[..received.length]),
            () = tokio::time::sleep(AFTER), if ended => return judgement,
        }
    }
}
