//! Runs the key server of multicast groups as one machine without sockets or files.
