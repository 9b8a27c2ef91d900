//! Protects a group's packets with ESP (RFC 4303) under keys that many senders share.
