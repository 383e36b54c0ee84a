//! The command `ostler demo`: starts ostler's engine and doors on the demo's settings, plays the demo, and stays if
//! asked to.

use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use super::{Doors, Scene};
use crate::events::Events;
use crate::proxy::Engine;
use crate::proxy::listeners::Listeners;
use crate::proxy::net::listen::is_free;
use crate::vault::Vault;
use ostler_mail::account::SecretSource;

/// ostler's default ports, for `--stay`: the user's mail program may be set to them already.
const DEFAULT_PORTS: [u16; 3] = [2110, 2025, 2143];

/// Options of `ostler demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Go on when the play is over, to try a real mail program on it; ctrl-C ends it, in the background too
    #[arg(long)]
    stay: bool,
}

/// Plays the demo; the exit code is 0 if the message came back identical.
pub(crate) fn main(options: &Options) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let played = match runtime {
        Ok(runtime) => runtime.block_on(perform(options)),
        Err(error) => Err(format!("ostler cannot start: {error}")),
    };
    ExitCode::from(u8::from(played.is_err()))
}

async fn perform(options: &Options) -> Result<(), String> {
    let mut out = crate::os::console::stdout();
    let has_colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (mut scene, doors, _listeners) = match set_up(options.stay).await {
        Ok(ready) => ready,
        Err(why) => {
            super::Page::new(&mut out, false).print(&format!("demo: FAILED: {why}")).map_err(super::print_failure)?;
            return Err(why);
        }
    };
    scene.play(doors, has_colour, &mut out).await?;
    if options.stay {
        tokio::select! {
            ended = scene.stay(doors, has_colour, &mut out) => ended?,
            // If no handler can be set, ctrl-C ends the program anyway.
            Ok(()) = tokio::signal::ctrl_c() => {}
        }
    }
    Ok(())
}

/// Starts the provider, and ostler's doors in front of it.
async fn set_up(stays: bool) -> Result<(Scene, Doors, Listeners), String> {
    let scene = Scene::start().await?;
    let [pop3, smtp, imap] = if stays { DEFAULT_PORTS } else { [0; 3] };
    let wanted = Doors { pop3: port_or_any(pop3), smtp: port_or_any(smtp), imap: port_or_any(imap) };
    let settings = scene.settings(wanted, SecretSource::Keyring, Scene::trust());
    let vault = Vault::of_one(&scene.password());
    let engine = Arc::new(Engine::new(settings, vault, Events::default()));
    let trusted = engine.dialer.tls.trust_in_memory(&Scene::trust(), scene.ca_pem());
    trusted.map_err(|failure| failure.sentence())?;
    let mut listeners = Listeners::new(engine, Vec::new());
    let [pop3, smtp, imap] = listeners.apply().await[..] else { return Err("ostler cannot open its doors".into()) };
    Ok((scene, Doors { pop3, smtp, imap }, listeners))
}

/// This port on 127.0.0.1 if it is free, or else any port.
fn port_or_any(port: u16) -> SocketAddr {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if is_free(wanted) { wanted } else { (Ipv4Addr::LOCALHOST, 0).into() }
}
