//! Messages: made readable on their way in, mended on their way out.

use std::sync::Arc;

use ostler_mail::account::Account;
use ostler_mail::account::mend::Repair;
use ostler_mail::account::testing::account;
use ostler_mail::machine::{Filter, Pass, Replies};
use ostler_mail::readable::{Changes, Converter, Extent, PROFILES, Readable};
use ostler_mail::smtp::data::DataFilter;
use ostler_mail::smtp::mend::Mender;
use ostler_mail::wire::DotScanner;

use super::{cut, octets, parts};

/// A letter and an HTML tag of one octet become this many at most: a numeric reference in quoted-printable, with the marks
/// that a text needs around it.
const MOST_GROWTH: usize = 40;

/// Which program reads and how many lines TOP asks for; cuts; a message. It comes to an end; the cuts do not matter; TOP gives
/// the beginning of the whole; what was not changed is the same to the octet; a second time changes nothing; it does not grow
/// without end.
pub fn readable(data: &[u8]) {
    let [head, lengths, message] = parts(data);
    let [which, lines] = octets(head);
    let programs: Vec<&str> =
        PROFILES.iter().map(|profile| profile.name).chain(Readable::CHARSETS.map(|(label, _)| label)).collect();
    let Some(reader) = Readable::find(programs[usize::from(which) % programs.len()]) else { panic!("{which}") };
    let (once, changes) = converted(reader, Extent::Whole, &[message]);
    assert_eq!(converted(reader, Extent::Whole, &cut(message, lengths)), (once.clone(), changes), "the cuts matter");
    let (top, _) = converted(reader, Extent::Lines(lines.into()), &cut(message, lengths));
    assert!(once.starts_with(&top), "a beginning of something else");
    if changes == Changes::default() {
        assert_eq!(once, message, "changed, and not said");
    }
    assert!(once.len() <= message.len() * MOST_GROWTH + 512, "{} of {}", once.len(), message.len());
    let (twice, again) = converted(reader, Extent::Whole, &[&once]);
    assert_eq!((twice, again), (once, Changes::default()), "a second time changes something");
}

fn converted(reader: Readable, extent: Extent, pieces: &[&[u8]]) -> (Vec<u8>, Changes) {
    let mut converter = Converter::new(reader, extent);
    let mut out = Vec::new();
    pieces.iter().for_each(|piece| converter.push(piece, &mut out));
    converter.finish(&mut out);
    assert!(converter.is_passing());
    (out, converter.changes())
}

/// What is to be mended; cuts; a client's body. It has the end that it has without mending; the cuts do not matter; what is
/// added stands in front unless more was asked for; a second time changes nothing.
pub fn mend(data: &[u8]) {
    let [head, lengths, sent] = parts(data);
    let [which] = octets(head);
    let repairs: Vec<Repair> =
        Repair::ALL.into_iter().enumerate().filter(|(at, _)| which >> at & 1 == 1).map(|(_, repair)| repair).collect();
    let plain = carried(&[], &[sent]);
    let (out, mended) = carried(&repairs, &[sent]);
    assert_eq!(carried(&repairs, &cut(sent, lengths)), (out.clone(), mended.clone()), "the cuts matter");
    let is_whole = DotScanner::default().scan(&plain.0) == Some(plain.0.len());
    if !is_whole {
        return;
    }
    assert_eq!(DotScanner::default().scan(&out), Some(out.len()), "another end");
    if mended.is_empty() {
        assert_eq!(out, plain.0);
    }
    if mended.iter().all(|repair| Repair::USUAL.contains(repair)) {
        assert!(out.ends_with(&plain.0), "more than was added");
    }
    assert_eq!(carried(&repairs, &[&out]), (out, Vec::new()), "a second time changes something");
}

/// What leaves for the provider, and what was mended.
fn carried(repairs: &[Repair], pieces: &[&[u8]]) -> (Vec<u8>, Vec<Repair>) {
    let account = Account { mend: repairs.to_vec(), ..account("home", "ann@home.example", "ann") };
    let mut filter = DataFilter::default().mending(Mender::new(&Arc::new(account), "a date".into()));
    let (mut out, mut input) = (Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        while !input.is_empty() && !filter.is_over() {
            let mut say = Replies::default();
            match filter.client_said(&input, &mut say) {
                Ok(Pass::Forward(n)) => out.extend(input.drain(..n)),
                Ok(Pass::Replaced(n)) => drop(input.drain(..n)),
                Ok(Pass::Announced { .. } | Pass::NeedMore | Pass::Stop) | Err(_) => break,
            }
            out.append(&mut say.server);
        }
    }
    (out, filter.mended().to_vec())
}
