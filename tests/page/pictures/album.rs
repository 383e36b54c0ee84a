//! The pictures of `docs/pictures`, and whether they still show what there is to see.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use crate::support::process::{command, run_well};

/// Two values of a pixel that differ by no more than this are the same: pictures are kept with few colours.
const MAX_DIFFERENCE: u8 = 48;
/// Of so many pixels one may be another.
const ONE_OF: usize = 250;

/// A picture: width, height and RGB.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) pixels: Vec<[u8; 3]>,
}

impl Picture {
    pub(crate) fn of_png(octets: &[u8]) -> Self {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(octets));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().unwrap();
        let mut octets = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut octets).unwrap();
        let step = info.color_type.samples();
        let pixels = octets[..info.buffer_size()].chunks_exact(step).map(|pixel| match step {
            1 | 2 => [pixel[0]; 3],
            _ => [pixel[0], pixel[1], pixel[2]],
        });
        Self { width: info.width as usize, height: info.height as usize, pixels: pixels.collect() }
    }

    /// What a screen shows, in the form of the program xwd: a head of big-endian numbers, colours, pixels of four octets.
    pub(crate) fn of_screen(octets: &[u8]) -> Self {
        let number = |at: usize| u32::from_be_bytes(octets[at * 4..at * 4 + 4].try_into().unwrap()) as usize;
        let (width, height, line) = (number(4), number(5), number(12));
        assert_eq!((number(1), number(11)), (7, 32), "another form of screen");
        let pixels = &octets[number(0) + number(19) * 12..];
        let rows = (0..height).flat_map(|y| pixels[y * line..y * line + width * 4].chunks_exact(4));
        Self { width, height, pixels: rows.map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect() }
    }

    /// The part that begins at this place.
    pub(crate) fn cut(&self, x: usize, y: usize, width: usize, height: usize) -> Self {
        let rows = (y..y + height).flat_map(|y| self.pixels[y * self.width + x..y * self.width + x + width].iter());
        Self { width, height, pixels: rows.copied().collect() }
    }

    fn write_png(&self, file: &Path) {
        let to = BufWriter::new(File::create(file).unwrap());
        let mut encoder = png::Encoder::new(to, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(&self.pixels.concat()).unwrap();
    }

    /// How many pixels of the other picture are different.
    fn differences(&self, other: &Self) -> usize {
        let is_other = |(a, b): (&[u8; 3], &[u8; 3])| a.iter().zip(b).any(|(a, b)| a.abs_diff(*b) > MAX_DIFFERENCE);
        self.pixels.iter().zip(&other.pixels).filter(|pair| is_other(*pair)).count()
    }
}

/// What the tree has, and what was found to be different from it.
pub(crate) struct Album {
    folder: PathBuf,
    /// Whether the pictures are made anew.
    writes: bool,
    /// Whether letters look here as on the system on which the pictures were made.
    has_same_letters: bool,
    texts: String,
    wrong: Vec<String>,
}

impl Album {
    pub(crate) fn open() -> Self {
        let writes = std::env::var_os("OSTLER_PICTURES").is_some_and(|what| what == "write");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures");
        // Letters and signs differ with the fonts and themes that a machine has; whoever makes the pictures compares there.
        let has_same_letters = std::env::var_os("OSTLER_PICTURES").is_some_and(|what| what == "compare");
        Self { folder, writes, has_same_letters, texts: String::new(), wrong: Vec::new() }
    }

    /// Keeps the picture, or compares it with the one that is kept.
    pub(crate) fn picture(&mut self, name: &str, seen: &Picture) {
        let file = self.folder.join(format!("{name}.png"));
        if self.writes {
            seen.write_png(&file);
            let name = file.to_str().unwrap();
            run_well(
                &mut command("pngquant", ["--force", "--strip", "--speed=1", "--nofs", "--output", name, "64", name]),
                "",
            );
            return;
        }
        let Ok(octets) = fs::read(&file) else {
            return self.wrong.push(format!("{name}: there is no such picture"));
        };
        if !self.has_same_letters {
            return;
        }
        let kept = Picture::of_png(&octets);
        let (here, there) = ((seen.width, seen.height), (kept.width, kept.height));
        let different = if here == there { seen.differences(&kept) } else { usize::MAX };
        if different > seen.pixels.len() / ONE_OF {
            let shown = std::env::temp_dir().join(format!("ostler-picture-{name}.png"));
            seen.write_png(&shown);
            let what =
                if here == there { format!("{different} pixels") } else { format!("the size: {here:?} for {there:?}") };
            self.wrong.push(format!("{name}: {what}; it is {} now", shown.display()));
        }
    }

    /// Keeps what can be read in a picture, which is the same whatever the letters look like.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let text: Vec<String> = lines.map(lasting).collect();
        self.texts.push_str(&format!("== {name}\n{}\n\n", text.join("\n")));
    }

    /// Whether the desktop is to be played too, whose looks are those of its machine.
    pub(crate) fn has_desktop(&self) -> bool {
        self.writes || self.has_same_letters
    }

    pub(crate) fn close(self) {
        let file = self.folder.join("texts.txt");
        if self.writes {
            fs::write(file, self.texts).unwrap();
            return;
        }
        let mut wrong = self.wrong;
        let kept = fs::read_to_string(file).unwrap_or_default();
        for (kept, seen) in kept.split("== ").zip(self.texts.split("== ")).filter(|(kept, seen)| kept != seen) {
            wrong.push(format!("words that can be read:\n-- in docs/pictures\n{kept}\n-- here\n{seen}"));
        }
        if !self.has_same_letters {
            let line = "SKIPPED the_pictures_show_what_there_is, in part: pixels, tray and mail program are looked at with \
                OSTLER_PICTURES=compare, on the machine that made the pictures\n";
            let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
        }
        assert!(
            wrong.is_empty(),
            "the pictures are stale; run docs/pictures/make and look at them\n{}",
            wrong.join("\n")
        );
    }
}

/// The line without what differs in each version and each run of the tests.
fn lasting(line: &str) -> String {
    /// How much of the name of a test's folder is made up.
    const RANDOM_CHARS: usize = 6;
    let mut parts = line.split("ostler-test-");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest: String = parts.map(|part| part.chars().skip(RANDOM_CHARS).collect::<String>()).collect();
    (first + &rest)
        .replace(&*std::env::temp_dir().to_string_lossy(), "TMP")
        .replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

#[test]
fn another_picture_is_seen() {
    let white = Picture { width: 2, height: 1, pixels: vec![[255; 3]; 2] };
    let nearly = Picture { pixels: vec![[255; 3], [230; 3]], ..white.clone() };
    let other = Picture { pixels: vec![[255; 3], [0; 3]], ..white.clone() };
    assert_eq!((white.differences(&nearly), white.differences(&other)), (0, 1));
    assert!(white.cut(1, 0, 1, 1) == Picture { width: 1, height: 1, pixels: vec![[255; 3]] });
}
