//! Keeps the logical key hierarchy of a group (RFC 2627).
