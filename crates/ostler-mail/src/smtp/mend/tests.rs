use super::*;
use crate::account::testing::account;
use proptest::prelude::*;

fn mender(mend: &[Repair]) -> Mender {
    let account = Account { mend: mend.to_vec(), ..account("home", "ann@home.example", "ann") };
    Mender::new(&Arc::new(account), "Sun, 29 Nov 2026 20:07:03 +0000".into()).unwrap()
}

/// What the provider gets of a body, and what was mended.
fn pieces(message: &[u8], mend: &[Repair], size: usize) -> (String, Vec<Repair>) {
    let (octets, mended) = octets(message, mend, size);
    (String::from_utf8_lossy(&octets).into_owned(), mended)
}

fn octets(message: &[u8], mend: &[Repair], size: usize) -> (Vec<u8>, Vec<Repair>) {
    let wire = [message, END].concat();
    let mut mender = mender(mend);
    let mut out = Vec::new();
    let count = wire.chunks(size).count();
    for (at, piece) in wire.chunks(size).enumerate() {
        mender.push(piece, at + 1 == count, &mut out);
    }
    assert!(mender.is_passing() && out.ends_with(END));
    out.truncate(out.len() - END.len());
    (out, mender.mended().to_vec())
}

fn sent(message: &str, mend: &[Repair]) -> String {
    pieces(message.as_bytes(), mend, 11).0
}

#[test]
fn what_is_missing_is_added_at_the_top() {
    let (out, mended) = pieces(b"From: ann@x.net\r\nSubject: a\r\n\r\nbody\r\n", &Repair::USUAL, 3);
    let (id, rest) = out.split_once("\r\n").unwrap();
    assert!(id.starts_with("Message-ID: <") && id.ends_with(".ostler@x.net>"), "{id}");
    assert_eq!(rest, "Date: Sun, 29 Nov 2026 20:07:03 +0000\r\nFrom: ann@x.net\r\nSubject: a\r\n\r\nbody\r\n");
    assert_eq!(mended, Repair::USUAL);
}

#[test]
fn what_is_complete_passes_to_the_octet() {
    for message in [
        "message-id: <a@b>\r\nDATE : x\r\n\r\nbody\r\n",
        "Message-ID: <a@b>\r\nDate: x\r\nno field\r\n",
        "Message-ID:\r\n <a@b>\r\nDate: x\r\n",
    ] {
        assert_eq!(pieces(message.as_bytes(), &Repair::USUAL, 5), (message.into(), vec![]));
    }
    let long = format!("X: {}\r\n\r\nbody\r\n", "x\r\n ".repeat(20_000));
    assert_eq!(sent(&long, &Repair::USUAL), long, "no header is that long");
}

#[test]
fn a_message_without_a_header_stays_all_body() {
    for body in ["no header\r\n", "\tSubject: a\r\n", " \r\n", "Subject a\r\nDate: x\r\n"] {
        let out = sent(body, &[Repair::Date]);
        assert_eq!(out, format!("Date: Sun, 29 Nov 2026 20:07:03 +0000\r\n\r\n{body}"));
    }
    assert_eq!(sent("\r\nbody\r\n", &[Repair::Date]), "Date: Sun, 29 Nov 2026 20:07:03 +0000\r\n\r\nbody\r\n");
    for marked in ["From ann Sun Nov 29 10:00:00 2026\r\nSubject: a\r\n\r\nbody\r\n", ">From ann\r\n"] {
        assert_eq!(sent(marked, &Repair::ALL), marked);
    }
}

#[test]
fn a_message_is_held_back_no_longer_than_it_must_be() {
    let mut mender = mender(&Repair::USUAL);
    let mut out = Vec::new();
    mender.push(b"Message-ID: <a@b>\r\nDate: x\r\n", false, &mut out);
    assert!(!mender.is_passing());
    mender.push(b"\r\n", false, &mut out);
    assert!(mender.is_passing() && out.len() == 30);
    let mut mender = self::mender(&Repair::ALL);
    let mut out = Vec::new();
    for _ in 0..100 {
        mender.push(&b"Subject: a\r\n\r\n".repeat(500), false, &mut out);
        assert!(mender.held.len() < 400_000);
    }
    assert!(mender.is_passing());
}

#[test]
fn the_same_message_has_the_same_name_and_another_another() {
    let id = |message: &str| sent(message, &[Repair::MessageId]).lines().next().unwrap_or_default().to_owned();
    let message = "From: a@x.net\r\n\r\nbody\r\n";
    assert_eq!(id(message), id(message));
    assert_ne!(id(message), id("From: a@x.net\r\n\r\nbodY\r\n"));
    assert_ne!(id(message), id("From: a@x.net\r\nTo: b\r\n\r\nbody\r\n"));
    // Only the beginning of the body counts, however it arrives.
    let long = |end: &str| format!("From: a@x.net\r\n\r\n{}{end}", "x\r\n".repeat(10_000));
    assert_eq!(id(&long("a\r\n")), id(&long("b\r\n")));
    assert_eq!(
        pieces(long("a\r\n").as_bytes(), &Repair::USUAL, 1),
        pieces(long("a\r\n").as_bytes(), &Repair::USUAL, 50_000)
    );
}

#[test]
fn a_sender_gets_the_domain_of_the_account() {
    for (from, expected) in [
        ("ann", "ann@home.example"),
        ("ann (Ann Lee)", "ann@home.example (Ann Lee)"),
        ("\"Ann Lee\" <ann>", "\"Ann Lee\" <ann@home.example>"),
        ("<ann.lee>", "<ann.lee@home.example>"),
        ("\"Lee, Ann\" <ann>", "\"Lee, Ann\" <ann@home.example>"),
        ("\"Lee \\\", Ann: (x\" <ann>", "\"Lee \\\", Ann: (x\" <ann@home.example>"),
        ("ann (home, (really): <x>)", "ann@home.example (home, (really): <x>)"),
        ("\"Lee, Ann\" <ann>, bob", "\"Lee, Ann\" <ann>, bob"),
        ("ann@x.net", "ann@x.net"),
        ("Ann Lee", "Ann Lee"),
        ("\"a@b\" <ann>", "\"a@b\" <ann>"),
        ("ann, bob", "ann, bob"),
        ("<>", "<>"),
        ("", ""),
    ] {
        let message = |from: &str| format!("Subject: a\r\nFrom: {from}\r\nTo: bob\r\n\r\nFrom: x\r\n");
        assert_eq!(sent(&message(from), &[Repair::FromDomain]), message(expected));
        assert_eq!(sent(&message(from), &[Repair::Charset]), message(from), "only if it is asked for");
    }
}

fn charset(message: &[u8]) -> (Vec<u8>, bool) {
    let (out, mended) = octets(message, &[Repair::Charset], 9);
    (out, mended == [Repair::Charset])
}

#[test]
fn text_is_labelled_as_what_it_is_and_its_octets_stay() {
    for (header, body, expected) in [
        (
            "Subject: a\r\n",
            &b"\xe9"[..],
            Some(
                "Subject: a\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=windows-1252\r\nContent-Transfer-Encoding: 8bit\r\n",
            ),
        ),
        ("Subject: a\r\n", b"e", None),
        (
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=\"us-ascii\"\r\n",
            b"\xe9",
            Some(
                "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=windows-1252\r\nContent-Transfer-Encoding: 8bit\r\n",
            ),
        ),
        (
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1; format=flowed\r\nContent-Transfer-Encoding: 8bit\r\n",
            b"\x92",
            Some(
                "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=windows-1252; format=flowed\r\nContent-Transfer-Encoding: 8bit\r\n",
            ),
        ),
        (
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n",
            b"=92",
            Some(
                "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=windows-1252\r\nContent-Transfer-Encoding: quoted-printable\r\n",
            ),
        ),
        ("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\n", b"\xe9", None),
        ("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=koi8-r\r\n", b"\x92", None),
        (
            "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\n",
            "\u{e9}".as_bytes(),
            Some("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"),
        ),
        (
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n",
            b"\xe9",
            Some(
                "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=windows-1252\r\nContent-Transfer-Encoding: 8bit\r\n",
            ),
        ),
        ("Content-Type: multipart/signed; boundary=b\r\n", b"--b\r\n\r\n\xe9\r\n--b--", None),
        ("Subject: a\r\n", b"-----BEGIN PGP SIGNED MESSAGE-----\r\n\xe9", None),
    ] {
        let message = [header.as_bytes(), b"\r\n", body, b"\r\n"].concat();
        let expected_octets = [expected.unwrap_or(header).as_bytes(), b"\r\n", body, b"\r\n"].concat();
        assert_eq!(charset(&message), (expected_octets, expected.is_some()), "{header}");
    }
}

#[test]
fn a_label_that_cannot_be_right_is_replaced_and_no_other() {
    use crate::readable::Readable;
    let russian = b"\xcf\xf0\xe8\xe2\xe5\xf2, ann";
    let german = b"Gr\xfc\xdfe aus M\xfcnchen";
    for (label, body, program, expected) in [
        // Eudora calls everything ISO 8859-1.
        ("iso-8859-1", &russian[..], "windows-1251", Some("windows-1251")),
        ("iso-8859-1", german, "windows-1251", None),
        ("iso-8859-1", russian, "windows-1252", None),
        ("unknown-8bit", german, "eudora-mac", Some("iso-8859-1")),
        ("ibm850", german, "windows-1252", None),
        ("iso-2022-jp", german, "windows-1252", Some("windows-1252")),
        ("us-ascii", "Gr\u{fc}\u{df}e".as_bytes(), "windows-1252", Some("utf-8")),
        // It is not in the account's charset either.
        ("us-ascii", german, "utf-8", None),
        ("us-ascii", german, "shift_jis", None),
    ] {
        let account = Account {
            mend: vec![Repair::Charset],
            readable: Readable::find(program),
            ..account("home", "ann@home.example", "ann")
        };
        let message = |label: &str| {
            let head = format!(
                "MIME-Version: 1.0\r\nContent-Type: text/plain; charset={label}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            );
            [head.as_bytes(), body, b"\r\n.\r\n"].concat()
        };
        let mut out = Vec::new();
        Mender::new(&Arc::new(account), String::new()).unwrap().push(&message(label), true, &mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            String::from_utf8_lossy(&message(expected.unwrap_or(label))),
            "{label} {program}"
        );
    }
}

#[test]
fn raw_letters_in_a_header_become_encoded_words_for_the_same_letters() {
    for (header, expected) in [
        (&b"Subject: caf\xe9 \x92"[..], "Subject: =?windows-1252?Q?caf=E9_=92?="),
        (b"From: J\xf6rg <j@x.net>", "From: =?windows-1252?Q?J=F6rg?= <j@x.net>"),
        (b"From: \"J\xf6rg, x\" <j@x.net>", "From: =?windows-1252?Q?J=F6rg=2C_x?= <j@x.net>"),
        ("Subject: \u{2192}\u{e9}".as_bytes(), "Subject: =?utf-8?B?4oaSw6k=?="),
        (b"Subject: =?iso-8859-1?Q?=E9?=", "Subject: =?iso-8859-1?Q?=E9?="),
    ] {
        let (out, _) = charset(&[header, b"\r\n\r\n"].concat());
        assert_eq!(String::from_utf8_lossy(&out), format!("{expected}\r\n\r\n"));
    }
}

proptest! {
    #[test]
    fn any_octets_in_any_pieces_are_mended_alike_and_never_lost(
        lines in prop::collection::vec(prop_oneof![
            prop::sample::select(vec!["", "Subject: \u{e9}", "From: ann", "Date: x", "Message-ID: <a@b>", "Content-Type: multipart/mixed; boundary=b", "--b", "--b--",
                "Content-Type: text/plain; charset=us-ascii", "x", " folded", "Content-Transfer-Encoding: quoted-printable", "=92"]).prop_map(|line| line.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..12),
        ], 0..16),
        size in 1..40_usize,
        mend in prop::sample::subsequence(Repair::ALL.to_vec(), 1..=4),
    ) {
        let message: Vec<u8> = lines.iter().flat_map(|line| [line.as_slice(), b"\r\n"].concat()).collect();
        let whole = octets(&message, &mend, usize::MAX);
        prop_assert_eq!(&octets(&message, &mend, size), &whole);
        let (out, mended) = whole;
        if mended.is_empty() {
            prop_assert_eq!(&out, &message);
        }
        if mended.iter().all(|repair| Repair::USUAL.contains(repair)) {
            prop_assert!(out.ends_with(&message));
        }
        // What was mended is whole now.
        prop_assert_eq!(octets(&out, &mend, size), (out, vec![]));
    }
}
