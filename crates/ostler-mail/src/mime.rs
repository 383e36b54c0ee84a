//! What a message is made of (RFC 5322, 2045 to 2047, 2231), as far as it has to be known to change a part of it and leave
//! every other octet as it is. Whatever does not parse cleanly is no part and no field here.
//!
//! Not here: what is changed. `readable` does it for mail that comes in, `smtp::mend` for mail that goes out.

pub(crate) mod encoded_word;
pub(crate) mod field;
pub(crate) mod parameters;
pub(crate) mod structure;
pub(crate) mod transfer;

use std::ops::Range;

use memchr::memmem;

/// Octets with others in some places, which are given in order and do not overlap.
pub(crate) fn edited(octets: &[u8], edits: &[(Range<usize>, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + edits.iter().map(|(_, new)| new.len()).sum::<usize>());
    let mut at = 0;
    for (place, new) in edits {
        out.extend_from_slice(&octets[at..place.start]);
        out.extend_from_slice(new);
        at = place.end;
    }
    out.extend_from_slice(&octets[at..]);
    out
}

/// Whether a signature or an encrypted text of PGP stands in a text, of which no octet may be changed.
pub(crate) fn has_pgp_block(text: &[u8]) -> bool {
    memmem::find_iter(text, b"-----BEGIN PGP").any(|at| at == 0 || text[at - 1] == b'\n')
}
