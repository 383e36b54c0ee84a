//! The icon on Windows and macOS. The thread that creates it has to run the system's message loop, and on macOS that must be
//! the main thread. So the main thread belongs to the icon, and ostler serves in a second one.

use std::process::ExitCode;

use tokio::sync::mpsc;
use winit::application::ApplicationHandler;
use winit::event::WindowEvent;
use winit::event_loop::{ActiveEventLoop, EventLoop, EventLoopProxy};
use winit::window::WindowId;

use super::menu::{ShownIcon, forward_clicks};
use super::{TrayLink, TrayView};

/// The stack of the serving thread: as large as that of a main thread usually is.
const STACK_OCTETS: usize = 8 * 1024 * 1024;

/// What the serving thread sends to the loop.
enum LoopEvent {
    Show(Box<TrayView>),
    End,
}

/// Runs `serve` in a second thread, with the icon on this one, which must be the main thread.
pub(crate) fn run_with_icon(serve: impl FnOnce(TrayLink) -> ExitCode + Send + 'static) -> ExitCode {
    let (sender, actions) = mpsc::unbounded_channel();
    let mut builder = EventLoop::with_user_event();
    // No entry in the Dock and no menu bar, only the icon.
    #[cfg(target_os = "macos")]
    {
        use winit::platform::macos::{ActivationPolicy, EventLoopBuilderExtMacOS};
        builder.with_activation_policy(ActivationPolicy::Accessory).with_default_menu(false);
    }
    let messages = match builder.build() {
        Ok(messages) => messages,
        Err(error) => {
            tracing::warn!("there is no icon, but ostler works without it: {error}");
            return serve(TrayLink { show: Box::new(|_| ()), actions });
        }
    };
    forward_clicks(&sender);
    let proxy = messages.create_proxy();
    let end = EndsTheLoop(messages.create_proxy());
    let link =
        TrayLink { show: Box::new(move |view| drop(proxy.send_event(LoopEvent::Show(Box::new(view))))), actions };
    let serving = std::thread::Builder::new().name("ostler".into()).stack_size(STACK_OCTETS).spawn(move || {
        let _end = end;
        serve(link)
    });
    let serving = match serving {
        Ok(serving) => serving,
        Err(error) => {
            crate::events::log::print_error(&format!("ostler cannot start: {error}; end some programs and try again"));
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = messages.run_app(&mut Panel::default()) {
        tracing::warn!("the icon is gone, but ostler works without it: {error}");
    }
    serving.join().unwrap_or(ExitCode::FAILURE)
}

/// Ends the message loop when dropped, so that it ends with the serving thread even if that panics.
struct EndsTheLoop(EventLoopProxy<LoopEvent>);

impl Drop for EndsTheLoop {
    fn drop(&mut self) {
        let _ = self.0.send_event(LoopEvent::End);
    }
}

#[derive(Default)]
struct Panel {
    shown: Option<ShownIcon>,
}

impl ApplicationHandler<LoopEvent> for Panel {
    fn resumed(&mut self, _messages: &ActiveEventLoop) {}

    fn window_event(&mut self, _messages: &ActiveEventLoop, _window: WindowId, _event: WindowEvent) {}

    fn user_event(&mut self, messages: &ActiveEventLoop, event: LoopEvent) {
        match event {
            LoopEvent::End => messages.exit(),
            LoopEvent::Show(view) => match &mut self.shown {
                Some(shown) => shown.change(*view),
                None => match ShownIcon::new(*view) {
                    Ok(shown) => self.shown = Some(shown),
                    // The taskbar may not be there yet; the next view tries again.
                    Err(error) => tracing::warn!("there is no icon for now, but ostler works without it: {error}"),
                },
            },
        }
    }
}
