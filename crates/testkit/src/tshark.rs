//! Reads captures with tshark, an opinion on our packets that is not our own.

use std::{path::Path, process::Command};

/// What tshark is told about GDOI: its port is not ISAKMP's.
pub const GDOI_IS_ISAKMP: &str = "udp.port==848,isakmp";

/// A reading of a capture.
#[derive(Debug)]
pub struct Tshark {
    command: Command,
}

/// An entry of tshark's table of ESP associations.
#[derive(Debug, Clone)]
pub struct EspSa {
    /// `IPv4` or `IPv6`.
    pub version: &'static str,
    /// The destination; any source is meant.
    pub destination: String,
    /// The SPI.
    pub spi: u32,
    /// Its name for the cipher, as `AES-GCM with 16 octet ICV [RFC4106]`.
    pub cipher: &'static str,
    /// The cipher's key; of AES-GCM with the salt behind it (RFC 4106 section 8.1).
    pub key: Vec<u8>,
    /// Its name for the authentication, `NULL` where the cipher does it.
    pub authentication: &'static str,
    /// The key of the authentication.
    pub authentication_key: Vec<u8>,
}

impl Tshark {
    /// Reads a capture file, GDOI's port included.
    pub fn new(capture: &Path) -> Self {
        let mut command = Command::new("tshark");
        // No configuration of whoever runs the tests has a say in what they find.
        let nowhere = capture.with_extension("tshark");
        command.env("WIRESHARK_CONFIG_DIR", &nowhere).env("HOME", &nowhere).env_remove("XDG_CONFIG_HOME");
        command.arg("-n").arg("-r").arg(capture).args(["-d", GDOI_IS_ISAKMP]);
        Self { command }
    }

    /// Reads only packets that a display filter lets through.
    pub fn filter(mut self, filter: &str) -> Self {
        self.command.args(["-Y", filter]);
        self
    }

    /// Sets one of its preferences, as `esp.enable_encryption_decode:TRUE`.
    pub fn preference(mut self, preference: &str) -> Self {
        self.command.args(["-o", preference]);
        self
    }

    /// Lets it open and check what an ESP association protects.
    pub fn esp(self, sa: &EspSa) -> Self {
        let hex = |octets: &[u8]| match octets {
            [] => String::new(),
            octets => octets.iter().fold("0x".to_owned(), |text, octet| format!("{text}{octet:02x}")),
        };
        let row = format!(
            r#"uat:esp_sa:"{}","*","{}","{:#010x}","{}","{}","{}","{}""#,
            sa.version,
            sa.destination,
            sa.spi,
            sa.cipher,
            hex(&sa.key),
            sa.authentication,
            hex(&sa.authentication_key),
        );
        self.preference("esp.enable_encryption_decode:TRUE")
            .preference("esp.enable_authentication_check:TRUE")
            .preference(&row)
    }

    /// Extracts fields: a row for each packet, a list of values for each field, which a packet may have many times.
    ///
    /// # Panics
    ///
    /// If tshark fails, as it does for a field or a filter that it does not know.
    pub fn fields(mut self, names: &[&str]) -> Vec<Vec<Vec<String>>> {
        self.command.args(["-T", "fields", "-E", "separator=/t", "-E", "occurrence=a", "-E", "aggregator=|"]);
        for name in names {
            self.command.args(["-e", name]);
        }
        let values =
            |cell: &str| cell.split('|').filter(|value| !value.is_empty()).map(str::to_owned).collect();
        let text = self.output();
        text.lines().map(|line| line.split('\t').map(values).collect()).collect()
    }

    /// Describes the packets in full, for whoever reads a failure.
    ///
    /// # Panics
    ///
    /// If tshark fails.
    pub fn describe(mut self) -> String {
        self.command.arg("-V");
        self.output()
    }

    fn output(&mut self) -> String {
        let done = self.command.output().expect("tshark is installed");
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{:?}: {}\n{errors}", self.command, done.status);
        String::from_utf8_lossy(&done.stdout).into_owned()
    }
}
