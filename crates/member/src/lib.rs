//! Runs the member of multicast groups as one machine without sockets or files.
