//! The Public Key Interoperability Test Suite of NIST (tests/pkits/README.md).

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{fs, path::PathBuf};

use claviger_crypto::provider;
use claviger_pki::{Authority, Certificate, Crl, Purpose, Revocation, Rule};

/// A day on which what is meant to be valid is.
const NOW: u64 = 1_577_836_800;

/// So many cases there are in cases.txt: none is lost by accident.
const CASES: usize = 127;

fn certificate(name: &str) -> Certificate {
    let octets = fs::read(folder().join(format!("certs/{name}.crt"))).unwrap();
    Certificate::from_der(&octets).unwrap_or_else(|error| panic!("{name} {error}"))
}

fn crl(name: &str) -> Crl {
    let octets = fs::read(folder().join(format!("crls/{name}.crl"))).unwrap();
    Crl::from_der(&octets).unwrap_or_else(|error| panic!("{name} {error}"))
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pkits")
}

/// How a case ends.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Valid,
    Broken(Rule),
}

/// A row of cases.txt: the certificate that is judged, those that come along, and the lists.
struct Case<'a> {
    number: &'a str,
    expected: &'a str,
    certificates: Vec<&'a str>,
    lists: Vec<&'a str>,
}

impl<'a> Case<'a> {
    fn read(row: &'a str) -> Self {
        let (certificates, lists) = row.split_once('|').expect("a bar stands before the lists");
        let mut words = certificates.split_whitespace();
        let (number, expected) = (words.next().unwrap(), words.next().unwrap());
        Self { number, expected, certificates: words.collect(), lists: lists.split_whitespace().collect() }
    }

    fn run(&self, root: &Certificate) -> Outcome {
        let certificates: Vec<_> = self.certificates.iter().map(|name| certificate(name)).collect();
        let lists = [&"TrustAnchorRootCRL"].into_iter().chain(&self.lists).map(|name| crl(name)).collect();
        let authority = Authority::new(provider(), vec![root.clone()], Revocation::Lists(lists));
        let (shown, others) = certificates.split_first().expect("a case has a certificate");
        match authority.judge(shown, others, &Purpose::default(), NOW) {
            Ok(_) => Outcome::Valid,
            Err(error) => Outcome::Broken(error.rule),
        }
    }
}

#[test]
fn every_case_that_applies_ends_as_nist_says() {
    let cases = fs::read_to_string(folder().join("cases.txt")).unwrap();
    let root = certificate("TrustAnchorRootCertificate");
    let mut count = 0;
    for case in cases.lines().map(Case::read) {
        let outcome = match case.run(&root) {
            Outcome::Valid => "Valid".to_owned(),
            Outcome::Broken(rule) => format!("{rule:?}"),
        };
        assert_eq!(outcome, case.expected, "case {}", case.number);
        count += 1;
    }
    assert_eq!(count, CASES);
}
