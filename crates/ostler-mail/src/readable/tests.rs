use super::*;
use proptest::prelude::*;

/// What the client gets of a message that arrives in pieces of this size.
fn pieces(message: &[u8], name: &str, extent: Extent, size: usize) -> (Vec<u8>, Changes) {
    let mut converter = Converter::new(Readable::find(name).unwrap(), extent);
    let mut out = Vec::new();
    message.chunks(size.max(1)).for_each(|piece| converter.push(piece, &mut out));
    converter.finish(&mut out);
    assert!(converter.is_passing() && converter.held.is_empty());
    (out, converter.changes())
}

fn whole(message: &str, name: &str) -> String {
    String::from_utf8_lossy(&pieces(message.as_bytes(), name, Extent::Whole, usize::MAX).0).into_owned()
}

const MESSAGE: &str = "DKIM-Signature: v=1; b=x\r\nFrom: J\u{f6}rg <j@x.net>\r\nSubject: =?utf-8?Q?don=E2=80=99t?=\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\npreamble \u{e9}\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: 8bit\r\n\r\nGr\u{fc}\u{df}e \u{2192}\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\
    Content-Transfer-Encoding: base64\r\n\r\n4oaS\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Disposition: attachment; filename*=utf-8''%C3%A9.txt\r\n\r\n\u{e9}\r\n--b--\r\nepilogue \u{e9}\r\n";

#[test]
fn what_has_to_change_is_changed_and_nothing_else() {
    assert_eq!(
        whole(MESSAGE, "windows-1252"),
        "X-Original-DKIM-Signature: v=1; b=x\r\nFrom: =?windows-1252?Q?J=F6rg?= <j@x.net>\r\nSubject: =?windows-1252?Q?don=92t?=\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"b\"\r\nX-Ostler-Readable: utf-8 to windows-1252; 1 character approximated\r\n\r\n\
         preamble \u{e9}\r\n--b\r\nContent-Type: text/plain; charset=windows-1252\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe ->\r\n\r\n--b\r\nContent-Type: text/html; charset=windows-1252\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n&#8594;\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Disposition: attachment; filename=\"=?windows-1252?Q?=E9=2Etxt?=\"\r\n\r\n\u{e9}\r\n--b--\r\nepilogue \u{e9}\r\n"
    );
}

#[test]
fn a_message_that_is_fine_or_broken_passes_to_the_octet() {
    for message in [
        "",
        "\r\n",
        "no header\r\n",
        "Subject: a\r\n\r\nplain\r\n",
        "DKIM-Signature: a\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\n\u{e9}\r\n",
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!\r\n",
        "Content-Type: text/plain; charset=utf-7\r\n\r\n+AOk-\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\u{e9}\r\n",
        "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\u{e9}\r\n--b--\r\n",
        "Content-Type: text/plain; charset=utf-8\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n\u{e9}\r\n",
        "Content-Type: message/rfc822\r\n\r\nSubject: =?utf-8?Q?=C3=A9?=\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\u{e9}\r\n",
        "Content-Type: text/plain; charset=utf-8\r\n\r\n\u{4e2d}\u{6587}\r\n",
    ] {
        for name in ["windows-1252", "eudora-windows", "eudora-mac", "outlook-express"] {
            assert_eq!(
                pieces(message.as_bytes(), name, Extent::Whole, 5),
                (message.as_bytes().to_vec(), Changes::default()),
                "{name}"
            );
        }
    }
}

#[test]
fn the_beginning_of_a_message_is_the_beginning_of_the_whole() {
    let plain = "Subject: =?utf-8?Q?=E2=86=92?=\r\nContent-Type: text/plain; charset=utf-8\r\n\r\none \u{2192}\r\ntwo \u{e9}\r\n";
    // What becomes of these headers is known from the texts alone.
    let by_text =
        "DKIM-Signature: v=1\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n\u{e9}\r\n--b--\r\n";
    let unlabelled = "Subject: a\r\n\r\none\r\ntwo \u{2019}\r\n";
    let chinese = "Content-Type: text/plain; charset=utf-8\r\n\r\na\r\n\u{4e2d}\u{6587}\r\n";
    let base64 = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\neMOp\r\neHg=\r\n";
    for message in [plain, by_text, unlabelled, chinese, base64, MESSAGE] {
        for name in ["windows-1252", "eudora-windows"] {
            let full = whole(message, name);
            let body = message.split_once("\r\n\r\n").unwrap().1;
            for lines in 0..=body.lines().count() {
                let top = pieces(message.as_bytes(), name, Extent::Lines(lines as u64), 9).0;
                let top = String::from_utf8_lossy(&top).into_owned();
                assert!(full.starts_with(&top) && top.contains("\r\n\r\n"), "{lines}: {top}\n{full}");
                assert!(lines < body.lines().count() || top == full, "{lines}: {top}");
            }
            assert_eq!(pieces(message.as_bytes(), name, Extent::Lines(u64::MAX), 9).0, full.as_bytes());
        }
    }
}

#[test]
fn a_beginning_may_end_in_the_middle_of_a_letter() {
    let head = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    // The server gives so many lines, and the last of them has a letter's first octet.
    let lines = LINES_LOOKED_AT as usize;
    let beginning = format!("{head}{}w6nD\r\n", "eHh4\r\n".repeat(lines - 1));
    let top = pieces(beginning.as_bytes(), "windows-1252", Extent::Lines(lines as u64), 900).0;
    assert!(top.ends_with(b"x=E9\r\n"), "{}", String::from_utf8_lossy(&top));
}

#[test]
fn memory_is_bounded_whatever_comes() {
    for message in [
        "Content-Type: text/plain; charset=utf-8\r\n\r\n\u{e9}\r\n".to_owned() + &"\u{e9}\r\n".repeat(400_000),
        "Content-Type: text/plain; charset=utf-8\r\n\r\n".to_owned() + &"\u{e9}".repeat(800_000),
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_owned() + &"--b\r\n\r\n\u{e9}\r\n".repeat(150_000),
        "Subject: x\r\n".repeat(130_000),
        "x".repeat(1_600_000),
    ] {
        let mut converter = Converter::new(Readable::find("windows-1252").unwrap(), Extent::Whole);
        let mut out = Vec::new();
        for piece in message.as_bytes().chunks(4096) {
            converter.push(piece, &mut out);
            assert!(converter.held.len() <= (64 + 256 + 64 + 4) * 1024, "{}", converter.held.len());
        }
        assert!(converter.is_passing());
        converter.finish(&mut out);
        assert!(out.len() + 200_000 > message.len());
    }
}

#[test]
fn a_message_in_html_alone_becomes_plain_for_programs_that_show_its_source() {
    let html = "MIME-Version: 1.0\r\nContent-Type: text/html; charset=iso-8859-1\r\n\r\n<p>a &rarr; b</p>\r\n";
    let flat = whole(html, "eudora-3");
    assert!(
        flat.contains("Content-Type: text/plain; charset=iso-8859-1\r\n") && flat.ends_with("\r\n\r\na &rarr; b\r\n"),
        "{flat}"
    );
    assert!(flat.contains("X-Ostler-Readable: for eudora-3; 0 characters approximated\r\n"), "{flat}");
    assert_eq!(whole(html, "eudora-windows"), html);
}

/// Lines that make the most of a message.
fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![
            "",
            "--b",
            "--b--",
            "--c",
            "Content-Type: multipart/mixed; boundary=b",
            "Content-Type: multipart/alternative; boundary=\"c\"",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Type: text/html; charset=koi8-r",
            "Content-Type: text/plain; charset=us-ascii",
            "Content-Transfer-Encoding: quoted-printable",
            "Content-Transfer-Encoding: base64",
            "w6nigJk=",
            "=E2=80=99=",
            "begin  644 x",
            ".",
            "..x",
            "Subject: =?utf-8?Q?=E2=80=99?= =?utf-8?B?w6k=?=",
            "From: \"J\u{f6}rg\" (\u{e9}) <a@b>",
            "To: a, =?utf-8?Q?a=2Cb?= <c@d>",
            "Content-Disposition: attachment; filename*0*=utf-8''%C3%A9; filename*1=x",
            "\u{2018}\u{fb01}\u{4e2d}\u{e9}",
            "<meta charset=utf-8>",
            "DKIM-Signature: x",
            " folded",
            "\t=?utf-8?Q?a?=",
            "MIME-Version: 1.0",
            "-----BEGIN PGP MESSAGE-----",
        ])
        .prop_map(|line| line.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..30),
    ]
}

proptest! {
    #[test]
    fn any_octets_in_any_pieces_are_converted_alike_and_only_once(
        lines in prop::collection::vec(line(), 0..24),
        size in 1..50_usize,
        wanted in 0..30_u64,
        name in prop::sample::select(vec!["windows-1252", "iso-8859-1", "us-ascii", "utf-8", "iso-2022-jp", "windows-1251", "eudora-windows", "eudora-3", "outlook-express"]),
    ) {
        let message = lines.concat_with(b"\r\n");
        let (once, changes) = pieces(&message, name, Extent::Whole, usize::MAX);
        prop_assert_eq!(&pieces(&message, name, Extent::Whole, size), &(once.clone(), changes));
        let top = pieces(&message, name, Extent::Lines(wanted), size).0;
        prop_assert!(once.starts_with(&top), "{}", String::from_utf8_lossy(&top));
        prop_assert!(wanted < 25 || top == once, "{}", String::from_utf8_lossy(&top));
        if changes == Changes::default() {
            prop_assert_eq!(&once, &message);
        }
        let (twice, again) = pieces(&once, name, Extent::Whole, size);
        prop_assert_eq!(again, Changes::default(), "{}", String::from_utf8_lossy(&once));
        prop_assert_eq!(twice, once);
    }
}

trait ConcatWith {
    fn concat_with(&self, end: &[u8]) -> Vec<u8>;
}

impl ConcatWith for Vec<Vec<u8>> {
    fn concat_with(&self, end: &[u8]) -> Vec<u8> {
        self.iter().flat_map(|line| [line.as_slice(), end].concat()).collect()
    }
}

#[test]
fn a_document_that_would_be_lost_in_plain_text_stays_one() {
    // Found by fuzzing: one of two documents became plain text, and so the other was no longer the only kind.
    let documents = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>\u{2192}</p>\r\n\
        --b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>\u{4e2d}</p>\r\n--b--\r\n";
    for name in ["eudora-3", "pegasus", "claris-emailer", "windows-1252"] {
        let once = whole(documents, name);
        assert!(once.contains("<p>&#20013;</p>"), "{once}");
        assert_eq!(whole(&once, name), once);
    }
}
