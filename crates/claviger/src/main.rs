//! One binary: key server, member, sender, receiver, control and demonstration.

use std::process::ExitCode;

fn main() -> ExitCode {
    claviger::main()
}
