//! Keeps the key server's state in an encrypted, crash-safe file.
