//! Holds host identities: keys, HITs and the files that keep them.
