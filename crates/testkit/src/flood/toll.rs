//! What a flood costs those whom it meets.

use std::{fs, io, ops::Sub};

use crate::lab::{Host, INTERFACE};

/// What a host has received and sent since its namespace was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// UDP datagrams that its programs have taken.
    pub datagrams_taken: u64,
    /// UDP datagrams that were dropped because a program's receive buffer was full.
    pub datagrams_dropped: u64,
    /// Octets of frames that came in.
    pub octets_in: u64,
    /// Octets of frames that went out.
    pub octets_out: u64,
}

impl Traffic {
    /// Reads the counts of a host.
    ///
    /// # Panics
    ///
    /// If Linux does not say them.
    pub fn of(host: &Host) -> Self {
        // `/proc/net` is that of the process, not of the thread that stands in the host's namespace.
        let read = |name: &str| fs::read_to_string(format!("/proc/thread-self/net/{name}"));
        let counts = host.enter(|| io::Result::Ok((read("snmp")?, read("dev")?)));
        let (snmp, devices) = counts.expect("Linux counts what passes");
        Self::parse(&snmp, &devices).expect("Linux counts UDP datagrams and octets of interfaces")
    }

    fn parse(snmp: &str, devices: &str) -> Option<Self> {
        let mut udp = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
        let (names, values) = (udp.next()?, udp.next()?);
        let count = |wanted: &str| -> Option<u64> {
            let position = names.split_whitespace().position(|name| name == wanted)?;
            values.split_whitespace().nth(position)?.parse().ok()
        };
        let device = devices.lines().find_map(|line| {
            line.trim_start().strip_prefix(INTERFACE).and_then(|rest| rest.strip_prefix(':'))
        })?;
        // Eight fields of what was received come first, each time beginning with octets.
        let octets = |position: usize| device.split_whitespace().nth(position)?.parse().ok();
        Some(Self {
            datagrams_taken: count("InDatagrams")?,
            datagrams_dropped: count("RcvbufErrors")?,
            octets_in: octets(0)?,
            octets_out: octets(8)?,
        })
    }
}

impl Sub for Traffic {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            datagrams_taken: self.datagrams_taken - earlier.datagrams_taken,
            datagrams_dropped: self.datagrams_dropped - earlier.datagrams_dropped,
            octets_in: self.octets_in - earlier.octets_in,
            octets_out: self.octets_out - earlier.octets_out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_counts() {
        let snmp = "Ip: Forwarding\nIp: 2\nUdp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\n\
                    Udp: 7 1 2 9 3\nUdpLite: InDatagrams\nUdpLite: 0\n";
        let devices = "Inter-| Receive | Transmit\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  \
                       eth0: 500 4 0 0 0 0 0 0 600 5 0 0 0 0 0 0\n";
        let traffic = Traffic { datagrams_taken: 7, datagrams_dropped: 3, octets_in: 500, octets_out: 600 };
        assert_eq!(Traffic::parse(snmp, devices), Some(traffic));
        assert_eq!(Traffic::parse(snmp, "lo: 1"), None);
    }
}
