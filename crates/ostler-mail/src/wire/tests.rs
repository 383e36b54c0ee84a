//! Lines, ends of texts and bodies, however they are cut.

use proptest::prelude::*;

use super::*;

#[test]
fn a_block_is_looked_at_in_every_place() {
    for at in 1..BLOCK - 3 {
        let with = |odd: &[u8]| {
            let mut block = [b'x'; BLOCK];
            block[at..at + odd.len()].copy_from_slice(odd);
            is_plain(&block)
        };
        assert!(with(b"\r\n") && with(b"x."), "{at}");
        for odd in [&b"\0"[..], b"\r", b"\n", b"\r\r\n", b"\n\r", b"\r\n."] {
            assert!(!with(odd), "{odd:?} at {at}");
        }
    }
}

#[test]
fn a_body_of_dots_is_no_more_work_than_any_other() {
    // Each octet is looked at once in its block, and once more behind it by lines where that is not plain.
    const TIMES: usize = 2;
    let plain = [&[b'x'; 70][..], b"\r\n"].concat();
    // At the end of a block, so that all of it was looked at before it is known not to be plain.
    let late = [plain.repeat(14), b"..\r\n".to_vec(), b"x\n".to_vec()].concat();
    let nul = [plain.repeat(14), b"\0\r\n".to_vec()].concat();
    let kinds: [&[u8]; 12] =
        [b"..\r\n", b"x\n", b"\r", b"\n", b".\n", b"\r\n", b"x\r.\r\n..\n", b"\0", b"x\0", &plain, &late, &nul];
    for kind in kinds {
        for size in [50_000, 100_000, 200_000] {
            let text = kind.repeat(size / kind.len());
            // As the octets come: in one piece, as the relay reads them, and a few at a time.
            for chunk in [text.len(), 16 * 1024, 1500, 7] {
                LOOKED_AT.set(0);
                let (_, _, taken) = body(&text.chunks(chunk).collect::<Vec<_>>());
                assert_eq!(taken, text.len());
                let looked_at = LOOKED_AT.get();
                assert!(looked_at <= TIMES * text.len() + BLOCK, "{looked_at} of {size}: {kind:?} by {chunk}");
            }
        }
    }
    assert!(LOOKED_AT.get() > 0, "nobody counts");
}

fn lines(chunks: &[&[u8]], limit: usize) -> Result<Vec<Line>, TooLong> {
    let (mut buffer, mut found) = (Vec::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        while let Some(line) = take_line(&mut buffer, limit)? {
            found.push(line);
        }
    }
    Ok(found)
}

fn body(chunks: &[&[u8]]) -> (Vec<u8>, bool, usize) {
    let (mut machine, mut out, mut taken) = (Body::default(), Vec::new(), 0);
    for chunk in chunks {
        let mut rest = *chunk;
        while !rest.is_empty() && !machine.is_complete() {
            let same = machine.take_unchanged(rest);
            out.extend_from_slice(&rest[..same]);
            let changed = machine.take_changed(&rest[same..], &mut out);
            assert!(same + changed > 0, "no progress");
            taken += same + changed;
            rest = &rest[same + changed..];
        }
    }
    (out, machine.is_complete(), taken)
}

/// Counts ends of data under every reading any server is known to have: a dot between two line ends, where CR, LF
/// and CR LF are all line ends.
fn ends(bytes: &[u8]) -> usize {
    let is_end = |b: u8| b == b'\r' || b == b'\n';
    bytes.windows(3).filter(|w| is_end(w[0]) && w[1] == b'.' && is_end(w[2])).count()
}

#[test]
fn a_bare_lf_ends_a_line_and_a_bare_cr_does_not() {
    let found = lines(&[b"QUIT\nNO", b"OP\r\na\rb\r\n"], 10).unwrap();
    assert_eq!(found, [Line::new(b"QUIT"), Line::new(b"NOOP"), Line::new(b"a\rb")]);
    assert!(!found[2].is_clean());
}

#[test]
fn a_line_over_its_limit_is_an_error_before_its_end_arrives() {
    assert_eq!(lines(&[b"123456789012"], 10), Err(TooLong(10)));
    assert_eq!(lines(&[b"12345678901\r\n"], 10), Err(TooLong(10)));
    assert_eq!(lines(&[b"1234567890\r\n"], 10).unwrap().len(), 1);
}

#[test]
fn a_line_at_its_limit_may_wait_for_its_lf() {
    assert_eq!(lines(&[b"1234567890\r", b"\n"], 10).unwrap().len(), 1);
    assert_eq!(take_line(&mut b"1234567890\r".to_vec(), 10), Ok(None));
    assert_eq!(take_line(&mut b"1234567890\rx".to_vec(), 10), Err(TooLong(10)));
}

#[test]
fn a_buffer_that_is_used_up_is_given_back() {
    let mut buffer = b"NOOP\r\nQUIT\r\n".to_vec();
    assert_eq!(take_line(&mut buffer, 10), Ok(Some(Line::new(b"NOOP"))));
    assert_eq!(buffer, b"QUIT\r\n");
    assert_eq!(take_line(&mut buffer, 10), Ok(Some(Line::new(b"QUIT"))));
    assert_eq!(buffer.capacity(), 0);
}

#[test]
fn a_line_is_shown_without_what_could_steer_a_terminal() {
    let line = Line::new(b"a\tb \x1b[2J \xe4~\n\r");
    assert_eq!(line.bytes(), b"a\tb \x1b[2J \xe4~\r");
    assert_eq!(line.printable(), "a b ?[2J ?~?");
    assert_eq!(format!("{line:?}"), "\"a b ?[2J ?~?\"");
    assert!(!line.is_clean() && !Line::new(b"a\0").is_clean() && Line::new(b"a\t\xe4").is_clean());
}

#[test]
fn only_crlf_dot_crlf_ends_a_text() {
    assert_eq!(DotScanner::default().scan(b".\r\n"), Some(3));
    assert_eq!(DotScanner::default().scan(b"a\n.\nb\r\n..\r\n.\r\n+OK"), Some(14));
    assert_eq!(DotScanner::default().scan(b"a\n.\r\nb\r.\r\n"), None);
}

#[test]
fn the_end_of_a_text_is_found_wherever_it_is_cut() {
    for text in [&b"a\r\n.\r\nmore"[..], b".\r\nmore", b"\r\n\r\n.\r\nmore", b"\r\n.\r\r\n.\r\nmore"] {
        let end = text.len() - "more".len();
        for cut in 0..end {
            let mut scanner = DotScanner::default();
            assert_eq!(scanner.scan(&text[..cut]), None);
            assert_eq!(scanner.scan(b""), None, "nothing is no octet");
            assert_eq!(scanner.scan(&text[cut..]), Some(end - cut), "{} at {cut}", printable(text));
        }
    }
}

#[test]
fn a_tidy_body_passes_in_one_go() {
    let block = [&b"x".repeat(BLOCK - 3)[..], b"y\r\n"].concat();
    let cut = [&b"x".repeat(BLOCK - 1)[..], b"\r\ny\r\n"].concat();
    for tidy in [&b"a line\r\nand another\r\n"[..], b"..\r\n...\r\n", b"no end yet", &block.repeat(3), &cut.repeat(3)] {
        assert_eq!(Body::default().take_unchanged(tidy), tidy.len(), "{}", printable(tidy));
        let end = if tidy.ends_with(b"\n") { &b".\r\n"[..] } else { b"\r\n.\r\n" };
        let whole = [tidy, end].concat();
        let mut body = Body::default();
        // More than a block, so that it is looked at in blocks to the last.
        let more = b"QUIT\r\n".repeat(BLOCK);
        assert_eq!(body.take_unchanged(&[&whole[..], &more].concat()), whole.len(), "{}", printable(tidy));
        assert!(body.is_complete());
    }
}

#[test]
fn a_tidy_body_passes_unchanged() {
    for tidy in [&b".\r\n"[..], b"a\r\n.\r\n", b"..\r\n...x\r\nFrom me \r\n\r\n\r\n.\r\n", b"\xe4\xff\r\n.\r\n"] {
        let (out, complete, taken) = body(&[tidy]);
        assert_eq!((out.as_slice(), complete, taken), (tidy, true, tidy.len()));
    }
}

#[test]
fn what_need_not_be_changed_is_left_to_pass_as_it_is() {
    let mut machine = Body::default();
    assert_eq!(machine.take_unchanged(b"a\n.b and more\r\n"), 1);
    let mut out = Vec::new();
    assert_eq!(machine.take_changed(b"\n.b and more\r\n", &mut out), 2);
    assert_eq!(out, b"\r\n..");
    assert_eq!(machine.take_unchanged(b"b and more\r\n"), 12);
}

#[test]
fn what_follows_the_end_is_not_taken() {
    assert_eq!(body(&[b"a\r\n.\r\nQUIT\r\n"]), (b"a\r\n.\r\n".to_vec(), true, 6));
}

#[test]
fn smuggled_ends_become_content() {
    for (sent, wanted) in [
        (&b"a\n.\nb\r\n.\r\n"[..], &b"a\r\n..\r\nb\r\n.\r\n"[..]),
        (b"a\n.\r\nb\r\n.\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\r\nb\r\n.\r\n"),
        (b"a\r\n.\rb\r\n.\r\n", b"a\r\n\r\nb\r\n.\r\n"),
        (b"a\r.\rb\r\n.\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r\r\n.\r\n", b"a\r\n\r\n.\r\n"),
        (b"a\r\n.\r\r\n.\r\n", b"a\r\n\r\n\r\n.\r\n"),
        (b".x\r\n.\r\n", b"x\r\n.\r\n"),
    ] {
        assert_eq!(body(&[sent]).0, wanted, "{}", printable(sent));
    }
}

#[test]
fn a_nul_is_taken_out_and_what_is_left_ends_nothing() {
    for (sent, wanted, nuls) in [
        (&b"a\r\n\0.\r\nb\r\n.\r\n"[..], &b"a\r\n..\r\nb\r\n.\r\n"[..], 1),
        (b"a\r\n.\0\r\nb\r\n.\r\n", b"a\r\n\r\nb\r\n.\r\n", 1),
        (b"a\r\n.\r\0\nb\r\n.\r\n", b"a\r\n\r\n\r\nb\r\n.\r\n", 1),
        (b"a\r\0\n.\r\nb\r\n.\r\n", b"a\r\n\r\n..\r\nb\r\n.\r\n", 1),
        (b"\0\0.\r\n\0\r\n.\r\n", b"..\r\n\r\n.\r\n", 3),
        (b"a\0b\0\r\n..\0c\r\n.\r\n", b"ab\r\n..c\r\n.\r\n", 3),
        (b"a\r\n.\0.\r\n.\r\n", b"a\r\n..\r\n.\r\n", 1),
        (b"a\n\0.\0\n\0\r\n.\r\n", b"a\r\n..\r\n\r\n.\r\n", 3),
        (b"a\r\n\0\0\0\r\n.\r\n", b"a\r\n\r\n.\r\n", 3),
    ] {
        for cut in [sent.len(), 1, 2, 3, 5] {
            let chunks: Vec<&[u8]> = sent.chunks(cut).collect();
            assert_eq!(printable(&body(&chunks).0), printable(wanted), "{} by {cut}", sent.escape_ascii());
            assert_eq!(body(&chunks).0, wanted);
        }
        let (mut machine, mut rest) = (Body::default(), sent);
        while !machine.is_complete() {
            rest = &rest[machine.take_unchanged(rest)..];
            rest = &rest[machine.take_changed(rest, &mut Vec::new())..];
        }
        assert_eq!(machine.nuls(), nuls, "{}", sent.escape_ascii());
    }
    // In a block, at each place of it.
    for at in [1, BLOCK - 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK] {
        let mut sent = b"x".repeat(3 * BLOCK);
        sent[at] = 0;
        sent.extend_from_slice(b"\r\n.\r\n");
        assert_eq!(body(&[&sent]).0, [&b"x".repeat(3 * BLOCK - 1)[..], b"\r\n.\r\n"].concat(), "{at}");
    }
}

/// Octets in which line ends and dots are common, and whole ends of a text not rare.
fn dotty() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![&b"\r\n.\r\n"[..], b"\r\n", b"\r", b"\n", b".", b"a", b"\0", b"\xff"]);
    prop::collection::vec(piece, 0..50).prop_map(|pieces| pieces.concat())
}

/// Octets in which there is much between line ends and dots.
fn long() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec!["\r\n", "\r\n.", "\r\n..", "\r", "\n", ".", "\0"]);
    prop::collection::vec((0usize..BLOCK, piece), 0..12)
        .prop_map(|pieces| pieces.into_iter().map(|(n, piece)| "x".repeat(n) + piece).collect::<String>().into_bytes())
}

fn cut(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut chunks = Vec::new();
    for cut in cuts {
        let (chunk, after) = rest.split_at((*cut).min(rest.len()));
        chunks.push(chunk.to_vec());
        rest = after;
    }
    chunks.push(rest.to_vec());
    chunks
}

proptest! {
    #[test]
    fn a_plain_block_has_whole_line_ends_only_and_no_dot_behind_one(
        block in prop::collection::vec(prop::sample::select(b"\r\n.a\0".to_vec()), 1..6),
    ) {
        let before = [b"a", &block[..]].concat();
        let nul = block.contains(&0);
        let bare_lf = before.windows(2).any(|w| w[1] == b'\n' && w[0] != b'\r');
        let bare_cr = block.windows(2).any(|w| w[0] == b'\r' && w[1] != b'\n');
        let dot = block.windows(2).any(|w| w == b"\n.");
        prop_assert_eq!(is_plain(&block), !bare_lf && !bare_cr && !dot && !nul);
    }

    #[test]
    fn lines_do_not_depend_on_the_cuts(bytes in dotty(), cuts in prop::collection::vec(0usize..9, 0..20)) {
        let chunks = cut(&bytes, &cuts);
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(lines(&chunks, 200), lines(&[&bytes], 200));
    }

    #[test]
    fn the_end_of_a_text_does_not_depend_on_the_cuts(bytes in dotty(), cuts in prop::collection::vec(0usize..9, 0..20)) {
        let whole = DotScanner::default().scan(&bytes);
        let plain = [b"\r\n".as_slice(), &bytes].concat().windows(END.len()).position(|w| w == END).map(|p| p + 3);
        prop_assert_eq!(whole, plain);
        let (mut scanner, mut before, mut found) = (DotScanner::default(), 0, None);
        for chunk in cut(&bytes, &cuts) {
            if let Some(end) = scanner.scan(&chunk) {
                found = Some(before + end);
                break;
            }
            before += chunk.len();
        }
        prop_assert_eq!(found, whole);
    }

    #[test]
    fn a_body_has_one_end_under_every_reading(bytes in dotty(), cuts in prop::collection::vec(0usize..9, 0..20)) {
        let sent = [&bytes, b"\r\n.\r\n".as_slice()].concat();
        let (out, complete, taken) = body(&[&sent]);
        prop_assert!(complete);
        prop_assert_eq!(ends(&[b"\r\n".as_slice(), &out].concat()), 1);
        // A server that drops NUL sees what all others see.
        prop_assert!(!out.contains(&0));
        prop_assert_eq!(&body(&[&out]).0, &out, "normalising twice changes nothing");
        let chunks = cut(&sent, &cuts);
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(body(&chunks), (out, complete, taken));
    }

    #[test]
    fn a_body_is_the_same_in_blocks_and_in_small_pieces(bytes in long()) {
        let pieces: Vec<&[u8]> = bytes.chunks(7).collect();
        prop_assert_eq!(body(&[&bytes]), body(&pieces));
    }
}
