//! What old mail programs can read: a table of programs, each with the evidence, and the value of `readable` in the settings.

use super::charset::{CHARSETS, Charset};

/// A mail program, or a family of them, and what has to be changed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// As `readable` has it.
    pub name: &'static str,
    /// As people call it.
    pub program: &'static str,
    /// The charset of its system, as mail calls it.
    pub charset: &'static str,
    /// Whether a text that is ISO 8859-1 is called that.
    pub prefers_latin1: bool,
    /// Whether it reads the charsets of today by itself.
    pub reads_all_charsets: bool,
    /// Whether encoded-words longer than RFC 2047 allows are cut.
    pub shortens_encoded_words: bool,
    /// Whether a line that looks like the beginning of a uuencoded file is moved by a blank.
    pub guards_begin_lines: bool,
    /// Whether a message in HTML alone becomes plain text.
    pub flattens_html: bool,
    /// Why: what it does with today's mail, and where that is known from.
    pub evidence: &'static str,
}

/// What most programs of the table have in common.
const WESTERN: Profile = Profile {
    name: "",
    program: "",
    charset: "windows-1252",
    prefers_latin1: true,
    reads_all_charsets: false,
    shortens_encoded_words: true,
    guards_begin_lines: false,
    flattens_html: false,
    evidence: "",
};

/// The programs whose names `readable` may have.
pub const PROFILES: [Profile; 8] = [
    Profile {
        name: "eudora-windows",
        program: "Eudora for Windows, 4 to 7",
        evidence: "Its source (7.1.0.9: utils.cpp, mime.cpp, lex822.cpp) shows UTF-8 letter by letter from a table that lacks all \
                   accents and has the wrong quotes; a name that begins with windows- is shown as it is, an encoded-word in an \
                   unknown charset stays raw, a charset name or text longer than its buffers overruns them by one octet, \
                   filename*0*= is an unknown attribute, and a file name ends where its line ends.",
        ..WESTERN
    },
    Profile {
        name: "eudora-3",
        program: "Eudora 3 and Eudora Light for Windows",
        flattens_html: true,
        evidence: "It reads Latin-1 alone and shows the source of HTML (Eudora 3 manual; field reports).",
        ..WESTERN
    },
    Profile {
        name: "eudora-mac",
        program: "Eudora for Mac",
        charset: "iso-8859-1",
        evidence: "Mail is ISO 8859-1 for it; its taBL resources map that to Mac Roman, and other charsets need tables of their \
                   own (Eudora Pro 3.1 manual, appendix; org.uib.no/smi).",
        ..WESTERN
    },
    Profile {
        name: "netscape-4",
        program: "Netscape Messenger 4",
        evidence: "It reads UTF-8 where the fonts have the letters, and no names in the form of RFC 2231 (Mozilla Classic source; \
                   field reports). It takes the size in RETR's answer as the size of the message: after a shorter one it waits \
                   for a moment.",
        ..WESTERN
    },
    Profile {
        name: "pegasus",
        program: "Pegasus Mail before 4.3",
        evidence: "Very limited UTF-8 up to 4.21c (its release notes).",
        ..WESTERN
    },
    Profile {
        name: "claris-emailer",
        program: "Claris Emailer",
        charset: "iso-8859-1",
        flattens_html: true,
        evidence: "It knows ISO 8859-1 and shows the source of HTML (inferred from its feature list, not from its source).",
        ..WESTERN
    },
    Profile {
        name: "the-bat-1",
        program: "The Bat! 1",
        evidence: "From 1.45 it reads of UTF-8 what fits the system's code page (its release notes).",
        ..WESTERN
    },
    Profile {
        name: "outlook-express",
        program: "Outlook Express and Windows Mail",
        reads_all_charsets: true,
        guards_begin_lines: true,
        evidence: "It reads UTF-8. A line that begins with begin and two blanks hides the rest of the text (Microsoft KB 265230), \
                   and names in the form of RFC 2231 are lost.",
        ..WESTERN
    },
];

/// What a mail program can read: the value of `readable` in the settings, other than `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readable {
    /// The name in the settings file.
    pub name: &'static str,
    pub(crate) charset: Charset,
    pub(super) profile: Profile,
}

impl Readable {
    /// What this name stands for: a mail program, or a charset, in any letter case and under any name it has. `None`: nothing.
    pub fn find(name: &str) -> Option<Self> {
        if let Some(profile) = PROFILES.iter().find(|profile| profile.name.eq_ignore_ascii_case(name)) {
            let charset = Charset::from_label(profile.charset)?;
            let charset = if profile.prefers_latin1 { charset.preferring_latin1() } else { charset };
            return Some(Self { name: profile.name, charset, profile: *profile });
        }
        let charset = Charset::from_label(name)?;
        let program = CHARSETS.iter().find(|(label, _)| *label == charset.label).map_or("", |(_, name)| *name);
        let profile = Profile {
            program,
            charset: charset.label,
            prefers_latin1: false,
            shortens_encoded_words: false,
            ..WESTERN
        };
        Some(Self { name: charset.label, charset, profile })
    }

    /// The charsets that `readable` may have, each with what people call it.
    pub const CHARSETS: [(&'static str, &'static str); CHARSETS.len()] = CHARSETS;

    /// What people call the mail program, or the charset.
    pub fn program(&self) -> &'static str {
        self.profile.program
    }

    /// Whether texts in other charsets are written anew, and not only what else the program stumbles over.
    pub fn changes_letters(&self) -> bool {
        !self.profile.reads_all_charsets
    }

    /// The charset in which texts are written.
    pub fn charset(&self) -> &'static str {
        self.charset.label
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        for name in PROFILES.iter().map(|profile| profile.name).chain(CHARSETS.map(|(label, _)| label)) {
            assert_eq!(Readable::find(name).unwrap().name, name);
            assert_eq!(Readable::find(&name.to_uppercase()).unwrap().name, name);
        }
        assert_eq!(Readable::find("cp1252").unwrap().name, "windows-1252");
        for name in ["", "off", "eudora", "utf-7", "utf-16"] {
            assert_eq!(Readable::find(name), None, "{name}");
        }
    }

    #[test]
    fn every_program_has_its_evidence() {
        for profile in &PROFILES {
            assert!(profile.evidence.len() > 30 && !profile.program.is_empty(), "{}", profile.name);
        }
    }
}
