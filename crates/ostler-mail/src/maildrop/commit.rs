//! QUIT with deletions: opens the folder for writing, marks the named messages as deleted, and removes exactly these.
//!
//! With UIDPLUS (RFC 4315) the server removes the named messages and no other. Without it EXPUNGE removes every marked message,
//! whichever program marked it. So ostler first asks which are marked, and says EXPUNGE only if all of them are the client's, at
//! the moment in which the answer comes. ostler cannot see what another program marks while EXPUNGE is on its way: IMAP has no
//! command for that. Marks that an earlier session of ostler's left are taken off first: this client has not deleted those
//! messages.

use memchr::memmem;

use crate::failure::NotDeleted;
use crate::imap::folder;
use crate::imap::login::Status;
use crate::maildrop::answer::{Items, Value, code_argument, code_number, has_code, said};
use crate::maildrop::list::Messages;

/// The most octets of a set of messages in one command. RFC 2683, section 3.2.1.5, asks clients for lines of at most about
/// 1,000 octets.
const MAX_SET_OCTETS: usize = 900;

/// The most messages in one command: a server that removes them one by one is at work for some seconds, and has the time limit for
/// each command.
const MAX_SET_MESSAGES: usize = 1000;

/// What the server owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Opening,
    Marking,
    /// Removing the named messages.
    Removing,
    /// Taking off the marks that an earlier session has left.
    Unmarking,
    /// Telling which messages are marked.
    Searching,
    /// Removing all that are marked.
    RemovingAll,
}

/// What follows the answer to a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This command.
    Ask(String),
    /// The messages are gone.
    Done,
    /// Some or all of them are not.
    Failed(NotDeleted),
}

/// The deletions of a session on their way.
#[derive(Debug)]
pub(super) struct Commit {
    step: Step,
    /// The place in the list behind the messages that were named last.
    behind: usize,
    validity: Option<u64>,
    /// The server keeps marks here, but none of deletion: the user lacks the right, and it would ignore the mark (RFC 4314).
    keeps_no_deletions: bool,
    /// The server has told which messages are marked.
    has_told: bool,
    /// A message is marked that is not the client's.
    has_others: bool,
    /// A message is marked by an earlier session of ostler's.
    has_left: bool,
    /// The messages with marks of earlier sessions, each of them deleted in this list. Empty once the marks were taken off.
    left: Messages,
    /// A message was marked, or the server was asked to.
    has_marked: bool,
}

impl Commit {
    /// Deletions in this folder, with the first command. `left`: the messages that sessions have marked which broke off.
    pub(super) fn begin(folder: &str, messages: &Messages, left: &[u32]) -> (Self, String) {
        let others = left.iter().copied().filter(|uid| !messages.is_deleted_uid(*uid));
        let commit = Self {
            step: Step::Opening,
            behind: 0,
            validity: None,
            keeps_no_deletions: false,
            has_told: false,
            has_others: false,
            has_left: false,
            left: Messages::all_deleted(messages.validity(), others),
            has_marked: false,
        };
        (commit, format!("SELECT {}", folder::quoted(folder)))
    }

    /// Whether messages may be marked now.
    pub(super) fn has_marked(&self) -> bool {
        self.has_marked
    }

    /// Whether the numbers of a SEARCH are awaited.
    pub(super) fn is_searching(&self) -> bool {
        self.step == Step::Searching
    }

    /// The server has said this in a status line without a tag.
    pub(super) fn on_status(&mut self, text: &[u8]) {
        self.validity = code_number(text, b"UIDVALIDITY").or(self.validity);
        if let Some(flags) = code_argument(text, b"PERMANENTFLAGS") {
            let flags = flags.to_ascii_lowercase();
            // An empty list is of a server that keeps marks for the session, which is enough.
            self.keeps_no_deletions = flags.contains(&b'\\') && memmem::find(&flags, b"\\deleted").is_none();
        }
    }

    /// The message with this UID is marked.
    pub(super) fn on_found(&mut self, uid: u64, messages: &Messages) {
        let is_among = |list: &Messages| u32::try_from(uid).is_ok_and(|uid| list.is_deleted_uid(uid));
        let is_left = is_among(&self.left);
        self.has_left |= is_left;
        self.has_others |= !is_left && !is_among(messages);
    }

    /// The answer of a SEARCH has ended.
    pub(super) fn on_found_all(&mut self) {
        self.has_told = true;
    }

    /// Data about a message. After the list of marked ones it may be of one that another program has just marked.
    pub(super) fn on_data(&mut self, items: Items<'_>) {
        let is_mark = |(name, value): (&[u8], Value<'_>)| {
            let Value::Other(flags) = value else { return false };
            let mut words = flags.split(|b| matches!(b, b' ' | b'(' | b')'));
            name.eq_ignore_ascii_case(b"FLAGS") && words.any(|word| word.eq_ignore_ascii_case(b"\\Deleted"))
        };
        self.has_others |= self.step == Step::Searching && self.has_told && items.into_iter().any(is_mark);
    }

    /// The command under way is answered.
    pub(super) fn on_answer(&mut self, status: Status, text: &[u8], messages: &Messages, has_uidplus: bool) -> Next {
        if status != Status::Ok {
            return Next::Failed(NotDeleted::Refused(said(text)));
        }
        // Told at each opening, and in between if the folder is replaced.
        if self.validity != Some(messages.validity().into()) {
            return Next::Failed(NotDeleted::FolderReplaced);
        }
        match self.step {
            Step::Opening if has_code(text, b"READ-ONLY") || self.keeps_no_deletions => {
                Next::Failed(NotDeleted::ReadOnly)
            }
            Step::Opening => self.name(Step::Marking, messages).unwrap_or(Next::Done),
            Step::Marking => self.name(Step::Marking, messages).unwrap_or_else(|| {
                self.behind = 0;
                self.remove(messages, has_uidplus)
            }),
            Step::Removing => self.name(Step::Removing, messages).unwrap_or(Next::Done),
            Step::Searching if self.has_others => Next::Failed(NotDeleted::OthersMarked),
            Step::Searching if !self.has_told => Next::Failed(NotDeleted::Refused(said(text))),
            Step::Searching if self.has_left => self.unmark(),
            Step::Unmarking => self.unmark(),
            Step::Searching => {
                self.step = Step::RemovingAll;
                Next::Ask("EXPUNGE".into())
            }
            Step::RemovingAll => Next::Done,
        }
    }

    fn remove(&mut self, messages: &Messages, has_uidplus: bool) -> Next {
        if has_uidplus {
            return self.name(Step::Removing, messages).unwrap_or(Next::Done);
        }
        self.search()
    }

    fn search(&mut self) -> Next {
        (self.step, self.has_told) = (Step::Searching, false);
        Next::Ask("UID SEARCH DELETED".into())
    }

    /// Takes the marks of earlier sessions off, and looks again. What is marked then is of another program.
    fn unmark(&mut self) -> Next {
        let from = if self.step == Step::Unmarking { self.behind } else { 0 };
        match self.left.deleted_set(from, MAX_SET_OCTETS, MAX_SET_MESSAGES) {
            Some((set, behind)) => {
                (self.step, self.behind) = (Step::Unmarking, behind);
                Next::Ask(format!("UID STORE {set} -FLAGS.SILENT (\\Deleted)"))
            }
            None => {
                (self.left, self.has_left) = (Messages::default(), false);
                self.search()
            }
        }
    }

    /// The command of a step for the next messages; `None` if there are no more.
    fn name(&mut self, step: Step, messages: &Messages) -> Option<Next> {
        let (set, behind) = messages.deleted_set(self.behind, MAX_SET_OCTETS, MAX_SET_MESSAGES)?;
        (self.step, self.behind) = (step, behind);
        self.has_marked = true;
        Some(Next::Ask(match step {
            Step::Removing => format!("UID EXPUNGE {set}"),
            _ => format!("UID STORE {set} +FLAGS.SILENT (\\Deleted)"),
        }))
    }
}
