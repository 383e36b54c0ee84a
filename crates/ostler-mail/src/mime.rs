//! What a message is made of (RFC 5322, 2045 to 2047, 2231), as far as it has to be known to change a part of it and leave
//! every other octet as it is. Whatever does not parse cleanly is no part and no field here.
//!
//! Not here: what is changed. `readable` does it for mail that comes in, `smtp::mend` for mail that goes out.

pub(crate) mod encoded_word;
pub(crate) mod field;
pub(crate) mod parameters;
pub(crate) mod structure;
pub(crate) mod transfer;
