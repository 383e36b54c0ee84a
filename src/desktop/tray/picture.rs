//! The pictures of the icon, which `packaging/icons/build` makes.

use std::io::Cursor;

use tray_icon::Icon;

use super::Sign;

/// Windows wants 32 pixels; panels elsewhere are 16 to 48 high and scale down by themselves.
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

/// The picture of a sign; `None` would be a defect of the file.
pub(super) fn picture(sign: Sign) -> Option<Icon> {
    let file: &[u8] = match sign {
        Sign::Working => picture!("working"),
        Sign::Busy => picture!("busy"),
        Sign::NeedsYou => picture!("needs-you"),
        Sign::Paused => picture!("paused"),
        Sign::Offline => picture!("offline"),
    };
    let mut decoder = png::Decoder::new(Cursor::new(file));
    // Whatever the tool that made it thought best.
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
        for sign in [Sign::Working, Sign::Busy, Sign::NeedsYou, Sign::Paused, Sign::Offline] {
            assert!(picture(sign).is_some(), "{sign:?}");
        }
    }
}
