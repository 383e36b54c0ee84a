//! The messages of the demo, which contain everything that proxies tend to damage, and the comparison of what was sent
//! with what came back.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::mailroom::{ADDRESS, FOREIGN};

/// SMTP allows lines of 998 octets (RFC 5321, 4.5.3.1.6); Eudora cuts them at 995.
const LONG_LINE_OCTETS: usize = 990;

/// The message that Eudora sends.
pub(super) fn from_eudora() -> Vec<u8> {
    let program = "ostler demo, in the manner of QUALCOMM Windows Eudora 7";
    let mut message = headers(program, "Everything that likes to get damaged").into_bytes();
    message.extend_from_slice(b"Every octet from 128 to 255, as Latin-1 has them:\r\n");
    for first in (0x80..=0xff_u8).step_by(32) {
        message.extend(first..=first + 31);
        message.extend_from_slice(b"\r\n");
    }
    for awkward in [
        "Dots at the front of a line, one of them alone:",
        ".",
        "..",
        "...and ",
        ". .",
        ".QUIT",
        "From here, a word some programs put a > before",
        "Blanks and a tab at the end   \t",
        "   ",
        "",
        "",
        "+OK and 250 OK are words of a message here",
        "A line of 990 octets:",
    ] {
        message.extend_from_slice(awkward.as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    message.extend(b"0123456789".iter().cycle().take(LONG_LINE_OCTETS));
    message.extend_from_slice(b"\r\n");
    for number in 1..=20 {
        message.extend_from_slice(format!("{number} green bottles hanging on the wall\r\n").as_bytes());
    }
    message
}

/// The message that Outlook Express sends.
pub(super) fn from_outlook_express() -> Vec<u8> {
    let program = "ostler demo, in the manner of Microsoft Outlook Express 6";
    let mut message = headers(program, "Greetings and dots").into_bytes();
    message.extend_from_slice(b"Sch\xf6ne Gr\xfc\xdfe aus M\xfcnchen \r\n.\r\n..\r\n\r\n-- \r\nann\r\n.");
    message.extend_from_slice(b"the last line begins with a dot\r\n");
    message
}

/// The message that waits in the mailbox with `--stay`.
pub(super) fn welcome() -> Vec<u8> {
    format!(
        "From: ostler's demo provider <{ADDRESS}>\r\nTo: {ADDRESS}\r\nSubject: It works\r\nDate: {}\r\n\r\n\
         If you read this in your mail program, it fetches through ostler.\r\n\
         Now send something to {FOREIGN}: that needs a POP login first,\r\nand ostler sees to it.\r\n",
        date_header()
    )
    .into_bytes()
}

fn headers(program: &str, subject: &str) -> String {
    format!(
        "From: Ann <{ADDRESS}>\r\nTo: Bob <{FOREIGN}>\r\nCc: {ADDRESS}\r\nSubject: {subject}\r\nDate: {}\r\n\
         X-Mailer: {program}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=\"iso-8859-1\"\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n",
        date_header()
    )
}

fn date_header() -> String {
    OffsetDateTime::now_utc().format(&Rfc2822).unwrap_or_default()
}

/// Checks that `got` is one `Received:` header, which the provider adds, and after it `sent`, octet for octet.
pub(super) fn compare(sent: &[u8], got: &[u8]) -> Result<(), String> {
    let behind = strip_trace(got).ok_or("it has no Received header on top")?;
    if behind == sent {
        return Ok(());
    }
    let at = sent.iter().zip(behind).take_while(|(a, b)| a == b).count();
    Err(format!(
        "{} bytes were sent, {} came back, and byte {} is the first that differs",
        sent.len(),
        behind.len(),
        at + 1
    ))
}

fn strip_trace(message: &[u8]) -> Option<&[u8]> {
    let mut lines = super::text::lines(message);
    let mut length = lines.next().filter(|line| line.starts_with(b"Received: "))?.len();
    length += lines.take_while(|line| matches!(line.first(), Some(b' ' | b'\t'))).map(<[u8]>::len).sum::<usize>();
    Some(&message[length..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_octet_more_or_less_is_noticed() {
        let sent = from_eudora();
        let got = [b"Received: from a\r\n\tby b\r\n", sent.as_slice()].concat();
        assert_eq!(compare(&sent, &got), Ok(()));
        assert_eq!(compare(&sent, &sent), Err("it has no Received header on top".into()));
        let mut other = got.clone();
        *other.last_mut().unwrap() = 0;
        assert!(
            compare(&sent, &other).unwrap_err().ends_with(&format!("byte {} is the first that differs", sent.len()))
        );
        assert!(compare(&sent, &[&got[..], b"\r\n"].concat()).unwrap_err().contains("came back"));
        assert!(compare(&sent, &got[..got.len() - 2]).is_err());
    }

    #[test]
    fn the_letters_are_lawful_and_awkward() {
        for message in [from_eudora(), from_outlook_express()] {
            assert!(super::super::text::lines(&message).all(|line| line.len() <= 995 && line.ends_with(b"\r\n")));
            assert!(!message.windows(2).any(|pair| (pair[0] == b'\r') != (pair[1] == b'\n')));
            assert!(message.iter().any(|octet| *octet > 127));
        }
    }
}
