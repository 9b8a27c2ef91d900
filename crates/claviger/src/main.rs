//! One binary: key server, member, sender, receiver, control and demonstration.
fn main() {}
