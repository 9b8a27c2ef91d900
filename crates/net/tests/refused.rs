//! What somebody without privilege reads, word by word.
//!
//! Started by root, the test runs itself again as the user nobody.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::{env, os::unix::process::CommandExt, process::Command};

use claviger_net::{Protocol, RawOptions, RawSocket, TunDevice, TunOptions, UdpOptions, UdpSocket};
use nix::unistd::Uid;

/// The user and the group nobody, which have no privilege anywhere.
const NOBODY: u32 = 65_534;

#[test]
fn names_what_was_refused_the_privilege_and_the_option() {
    if !Uid::effective().is_root() {
        return refusals();
    }
    let again = Command::new(env::current_exe().unwrap())
        .args(["--exact", "names_what_was_refused_the_privilege_and_the_option"])
        .uid(NOBODY)
        .gid(NOBODY)
        .output();
    match again {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => println!("NOT RUN: refusals: the user nobody cannot start the test: {error}"),
    }
}

fn refusals() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();

    let port = UdpSocket::bind("0.0.0.0:848".parse().unwrap(), &UdpOptions::new("--gdoi-port"));
    assert_eq!(
        port.unwrap_err().to_string(),
        "cannot listen on UDP port 848: permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE; \
         choose another with --gdoi-port"
    );

    let raw = RawSocket::bind(Protocol::Hip, "0.0.0.0".parse().unwrap(), &RawOptions::new("--raw"));
    assert_eq!(
        raw.unwrap_err().to_string(),
        "cannot open a raw socket for IP protocol 139 (HIP): permission denied; raw sockets need root or \
         CAP_NET_RAW; the option that decides this is --raw"
    );

    let error = TunDevice::create(&TunOptions::new(1_400, "--plane")).unwrap_err();
    if error.is_privilege() {
        assert_eq!(
            error.to_string(),
            "cannot make a TUN device: permission denied; TUN devices need root or CAP_NET_ADMIN, and read and \
             write access to /dev/net/tun; the option that decides this is --plane"
        );
    } else {
        println!("NOT RUN: the refusal of a TUN device: {error}");
    }
}
