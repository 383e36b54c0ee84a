//! How fast mail is made readable, and how much memory it takes: `cargo bench -p ostler-mail --bench readable`.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)]

use std::sync::LazyLock;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ostler_mail::readable::{Converter, Extent, Readable};

/// As much is converted for each figure.
const OCTETS: usize = 200_000_000;
/// What the relay reads at once.
const PIECE: usize = 64 * 1024;

const ENGLISH: &str = "I don\u{2019}t think \u{201c}so\u{201d} \u{2013} we\u{2019}ll see\u{2026} A line of ordinary words follows here.\r\n";
const GERMAN: &str =
    "Gr\u{fc}\u{df}e aus M\u{fc}nchen! Das \u{dc}bliche: K\u{e4}se, \u{d6}l, So\u{df}e und vieles andere mehr.\r\n";
const RUSSIAN: &str = "\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}, \u{43a}\u{430}\u{43a} \u{434}\u{435}\u{43b}\u{430}? \u{41f}\u{438}\u{448}\u{438}.\r\n";

fn message(kind: &str, encoding: &str, body: &str) -> Vec<u8> {
    let header = format!(
        "Subject: =?utf-8?Q?don=E2=80=99t?=\r\nMIME-Version: 1.0\r\nContent-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    );
    let body = match encoding {
        "base64" => STANDARD.encode(body).into_bytes().chunks(76).collect::<Vec<_>>().join(&b"\r\n"[..]),
        "quoted-printable" => body
            .bytes()
            .flat_map(|o| if o.is_ascii() && o != b'=' { vec![o] } else { format!("={o:02X}").into_bytes() })
            .collect(),
        _ => body.as_bytes().to_vec(),
    };
    [header.as_bytes(), &body, b"\r\n"].concat()
}

fn convert(message: &[u8], readable: Readable) -> usize {
    let mut converter = Converter::new(readable, Extent::Whole);
    let mut out = Vec::new();
    for piece in message.chunks(PIECE) {
        // As the relay does: what passes as it is, is not copied.
        if !converter.is_passing() {
            converter.push(piece, &mut out);
        }
    }
    converter.finish(&mut out);
    out.len()
}

fn measure(name: &str, message: &[u8], program: &str) {
    let readable = Readable::find(program).unwrap();
    let times = OCTETS.div_ceil(message.len());
    let began = processor_seconds();
    let made: usize = (0..times).map(|_| convert(message, readable)).sum();
    let seconds = processor_seconds() - began;
    let (read, made) = ((times * message.len()) as f64 / 1e6, made as f64 / 1e6);
    println!("{name:55} {:8.0} MB/s   {read:.0} MB became {made:.0}", read / seconds);
}

/// The processor time of this process, which a busy machine does not stretch; elsewhere than on Linux the time by the clock.
fn processor_seconds() -> f64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let spent = std::fs::read_to_string("/proc/self/schedstat").ok();
    let nanoseconds = spent.and_then(|text| text.split_ascii_whitespace().next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| BEGAN.elapsed().as_secs_f64(), |nanoseconds| nanoseconds / 1e9)
}

/// The most memory that this process has had, in KB; Linux only.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn main() {
    let html = |text: &str| {
        format!(
            "<html><head><meta charset=utf-8></head><body>{}</body></html>\r\n",
            format!("<p style=\"color:red\">{text}</p>").repeat(300)
        )
    };
    let plain = |text: &str| text.repeat(600);
    for (name, message, program) in [
        ("English, 8bit, to windows-1252", message("plain", "8bit", &plain(ENGLISH)), "windows-1252"),
        ("English, base64, to windows-1252", message("plain", "base64", &plain(ENGLISH)), "windows-1252"),
        (
            "English, quoted-printable, to windows-1252",
            message("plain", "quoted-printable", &plain(ENGLISH)),
            "windows-1252",
        ),
        ("German, 8bit, to iso-8859-1", message("plain", "8bit", &plain(GERMAN)), "eudora-mac"),
        (
            "German, HTML, quoted-printable, for Eudora",
            message("html", "quoted-printable", &html(GERMAN)),
            "eudora-windows",
        ),
        ("Russian, 8bit, to windows-1251", message("plain", "8bit", &plain(RUSSIAN)), "windows-1251"),
        ("Russian, 8bit, to windows-1252 in likeness", message("plain", "8bit", &plain(RUSSIAN)), "windows-1252"),
        ("Russian, base64, to iso-8859-1 in likeness", message("plain", "base64", &plain(RUSSIAN)), "eudora-mac"),
        (
            "Russian, HTML, quoted-printable, for Eudora",
            message("html", "quoted-printable", &html(RUSSIAN)),
            "eudora-windows",
        ),
    ] {
        measure(name, &message, program);
    }
    let before = peak();
    let file = "x".repeat(76) + "\r\n";
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\u{2019}\r\n--b\r\nContent-Type: application/pdf\r\n\r\n";
    let mut converter = Converter::new(Readable::find("windows-1252").unwrap(), Extent::Whole);
    let (mut out, piece) = (Vec::new(), file.repeat(800));
    converter.push(head.as_bytes(), &mut out);
    let began = Instant::now();
    for _ in 0..OCTETS / piece.len() {
        out.clear();
        if !converter.is_passing() {
            converter.push(piece.as_bytes(), &mut out);
        }
    }
    println!(
        "a message of {} MB: {} KB more memory, {:.3} s",
        OCTETS / 1_000_000,
        peak() - before,
        began.elapsed().as_secs_f64()
    );
}
