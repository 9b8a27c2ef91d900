//! Speaks the Host Identity Protocol (RFC 7401) and its registration extension (RFC 8003).
