//! The chapters about mail programs: the guides of `config/guides/`, with values that serve as an example.

use std::path::Path;
use std::sync::LazyLock;

use super::{GUIDE_PREFIX, MADE};
use crate::config;
use crate::guide::{self, Client, GuideValues, Topic};

/// The settings of the reader whom the guides of the manual are written for: the doors are where they are if nothing is
/// said about them.
const EXAMPLE: &str = "\
[[account]]
address = \"ann@example.net\"
[account.pop3]
host = \"pop.example.net\"
[account.smtp]
host = \"smtp.example.net\"
[account.imap]
host = \"imap.example.net\"
";

/// `None` if the example has a mistake; then a test fails.
static VALUES: LazyLock<Option<GuideValues>> = LazyLock::new(|| {
    let file = Path::new("ostler.toml");
    let settings = config::parse(EXAMPLE, file).ok()?.settings;
    Some(GuideValues::new(&settings, settings.accounts.first()?, file, None))
});

const HEAD: &str = "\
Each guide says, step by step, what to type into one program. On this page the values are an example: the settings page \
(**Mail program**) and the command `ostler guide NAME` show the same steps with your own server, ports and user name.

| program | guide | for `ostler guide` |
|---|---|---|
";

const TAIL: &str = "
## In short, for all of them

- Server for incoming and outgoing mail: `127.0.0.1`, which means \"this computer\".
- Port for incoming mail (POP3): `2110`, or (IMAP) `2143`. Port for outgoing mail (SMTP): `2025`. Or what your own settings say.
- User name: the account's name in ostler, or your mail address.
- Password: anything; ostler puts in the right one.
- SSL or TLS: off, on both sides. \"Secure password authentication\" (SPA): off.

The guides come from documents and published source. A step that nobody has confirmed says \"probably\". The dialogues of
these programs, as far as they are known, are played against ostler by its tests; most of the programs themselves were not
run.
";

/// The list of all guides.
pub(super) fn contents() -> String {
    let rows: String = guide::clients()
        .iter()
        .map(|client| format!("| {0} | [{0}]({GUIDE_PREFIX}{1}.md) | `{1}` |\n", client.title(), client.name))
        .collect();
    format!("# Mail programs\n\n{MADE}\n\n{HEAD}{rows}{TAIL}")
}

/// The guide to something else than a program.
pub(super) fn topic(topic: &Topic) -> String {
    with_mark(&topic.filled())
}

/// The guide for one program.
pub(super) fn chapter(client: &Client) -> String {
    let text = VALUES.as_ref().map(|values| client.filled(values)).unwrap_or_default();
    with_mark(&text)
}

fn with_mark(text: &str) -> String {
    let (heading, rest) = text.split_once('\n').unwrap_or((text, ""));
    format!("{heading}\n\n{MADE}\n{rest}")
}
