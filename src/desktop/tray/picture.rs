//! The pictures of the icon, which `packaging/icons/build` makes.

use std::io::Cursor;

use tray_icon::Icon;

use super::IconState;

/// Windows wants 32 pixels. Panels elsewhere are 16 to 48 pixels high and scale down by themselves.
#[cfg(windows)]
macro_rules! picture {
    ($name:literal) => {
        include_bytes!(concat!("../../../packaging/icons/tray/", $name, "-32.png"))
    };
}
#[cfg(not(windows))]
macro_rules! picture {
    ($name:literal) => {
        include_bytes!(concat!("../../../packaging/icons/tray/", $name, "-48.png"))
    };
}

/// The picture for an icon state; `None` would be a defect of the image file.
pub(super) fn load_icon(icon: IconState) -> Option<Icon> {
    let file: &[u8] = match icon {
        IconState::Working => picture!("working"),
        IconState::Busy => picture!("busy"),
        IconState::NeedsYou => picture!("needs-you"),
        IconState::Paused => picture!("paused"),
        IconState::Offline => picture!("offline"),
    };
    let mut decoder = png::Decoder::new(Cursor::new(file));
    // The tool that made the files chooses palette or RGB as it likes.
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::ALPHA);
    let mut reader = decoder.read_info().ok()?;
    let mut rgba = vec![0; reader.output_buffer_size()?];
    let frame = reader.next_frame(&mut rgba).ok()?;
    rgba.truncate(frame.buffer_size());
    Icon::from_rgba(rgba, frame.width, frame.height).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_has_its_picture() {
        for icon in [IconState::Working, IconState::Busy, IconState::NeedsYou, IconState::Paused, IconState::Offline] {
            assert!(load_icon(icon).is_some(), "{icon:?}");
        }
    }
}
