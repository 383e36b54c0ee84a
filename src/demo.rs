//! placeholder replaced by the demo branch

/// Options.
#[derive(Debug, clap::Args)]
pub struct Options {}

/// Main.
pub fn main(_: &Options) -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
