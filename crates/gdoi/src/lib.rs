//! Speaks the Group Domain of Interpretation (RFC 6407).
