//! `claviger demo`: shows the whole of it on one host.

use std::path::PathBuf;

use clap::Args;

/// Shows the whole of it on the loopback interface: a key server that is killed and restarted, members that join, leave
/// and are evicted, and what each of them could decrypt. Needs no privilege and no configuration.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct DemoArgs {
    /// Write the result as one JSON object on standard output; progress goes to standard error
    #[arg(long)]
    pub(crate) json: bool,
    /// File to stream, at most its first 8 MiB [default: this program's executable]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Hands the evicted member a later TEK before its keys are tried, so that the claims fail
    #[arg(long, hide = true)]
    pub(crate) betray: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Demo {
        #[command(flatten)]
        args: DemoArgs,
    }

    #[test]
    fn every_option_is_read() {
        let demo = Demo::try_parse_from(["demo", "--json", "film"]).unwrap();
        assert_eq!(demo.args, DemoArgs { json: true, file: Some("film".into()), betray: false });
    }
}
