//! The keys of the settings file, table by table: the one definition that the parser, the search for misspelt keys, the page's
//! forms and the manual read.

use super::{Choice, Key, Kind, Table, Unset};
use Unset::{Required, Value, Words};

use ostler_mail::account::mend::Repair;
use ostler_mail::readable::{PROFILES, Readable};

const FIRST_VERSION: &str = "0.1.0";

/// The top of the file.
pub(in crate::config) const ROOT: Table = Table {
    header: "",
    title: "The file",
    help: "The tables of the file. Each of them may be left out.",
    keys: &[
        Key {
            name: "local",
            kind: Kind::Table(&LOCAL),
            unset: Words("the defaults below"),
            since: FIRST_VERSION,
            example: "{ pop3 = 2110 }",
            label: "This computer",
            help: "Where mail programs connect, and who may connect.",
        },
        Key {
            name: "account",
            kind: Kind::Tables(&ACCOUNT),
            unset: Words("no account"),
            since: FIRST_VERSION,
            example: "[{ address = \"ann@example.net\", provider = \"optonline\" }]",
            label: "Accounts",
            help: "One for each mail address.",
        },
        Key {
            name: "oauth2",
            kind: Kind::Named(&OAUTH2),
            unset: Words("what ostler knows of the large companies"),
            since: FIRST_VERSION,
            example: "{ microsoft = { client_id = \"00000000-0000-0000-0000-000000000000\" } }",
            label: "Registrations for the sign-in in the web browser (OAuth2)",
            help: "A table for each company at which ostler is registered.",
        },
        Key {
            name: "timeouts",
            kind: Kind::Table(&TIMEOUTS),
            unset: Words("the defaults below"),
            since: FIRST_VERSION,
            example: "{ connect = \"10s\" }",
            label: "Time limits",
            help: "How long ostler waits.",
        },
    ],
};

/// `[local]`.
pub(in crate::config) const LOCAL: Table = Table {
    header: "[local]",
    title: "This computer",
    help: "The doors are where your mail programs connect: a port is a number that you also type into the mail program.",
    keys: &[
        Key {
            name: "pop3",
            kind: Kind::Door,
            unset: Value("2110"),
            since: FIRST_VERSION,
            example: "[110, \"192.168.56.1:110\"]",
            label: "Door for fetching mail (POP3)",
            help: "A port such as 2110, which only this computer can reach. For others, an address and a port such as \
                   192.168.56.1:2110. Several are separated by commas; \"none\" closes the door.",
        },
        Key {
            name: "smtp",
            kind: Kind::Door,
            unset: Value("2025"),
            since: FIRST_VERSION,
            example: "\"127.0.0.2:25\"",
            label: "Door for sending mail (SMTP)",
            help: "A port, or an address and a port, as above.",
        },
        Key {
            name: "imap",
            kind: Kind::Door,
            unset: Value("2143"),
            since: FIRST_VERSION,
            example: "false",
            label: "Door for reading mail (IMAP)",
            help: "A port, or an address and a port, as above. It serves accounts that have a server for IMAP.",
        },
        Key {
            name: "page",
            kind: Kind::Page,
            unset: Value("2080"),
            since: FIRST_VERSION,
            example: "\"127.0.0.1:8080\"",
            label: "Port of this page",
            help: "Only this computer can reach it. \"none\" switches the page off: then only the settings file brings it back.",
        },
        Key {
            name: "access",
            kind: Kind::Choice(&[
                Choice { word: "same-user", label: "My own programs" },
                Choice { word: "password", label: "Programs that give the account's password for mail programs" },
                Choice { word: "anyone", label: "Any program of anyone on this computer" },
            ]),
            unset: Value("\"same-user\""),
            since: FIRST_VERSION,
            example: "\"password\"",
            label: "Who may fetch and send",
            help: "Mail programs on other computers need the password for mail programs; each account's page shows it.",
        },
        Key {
            name: "allow",
            kind: Kind::Networks,
            unset: Value("[]"),
            since: FIRST_VERSION,
            example: "[\"192.168.56.0/24\", \"10.0.0.7\"]",
            label: "Other computers that may connect",
            help: "Their addresses, or their network such as 192.168.56.0/24, separated by commas. They also need a door with an \
                   address that they can reach.",
        },
        Key {
            name: "proxies",
            kind: Kind::Networks,
            unset: Value("[]"),
            since: FIRST_VERSION,
            example: "[\"10.0.0.5\"]",
            label: "Load balancers in front of ostler",
            help: "Their addresses, separated by commas. At doors that other computers reach, ostler believes what they say about \
                   where a mail program comes from (PROXY protocol), and takes nothing from them without it.",
        },
        Key {
            name: "metrics",
            kind: Kind::YesNo,
            unset: Value("false"),
            since: FIRST_VERSION,
            example: "true",
            label: "Figures for monitoring",
            help: "/metrics on the page's port tells a monitoring program on this computer, and the load balancers, how many \
                   sessions, messages and failures there are. No names and no addresses of people.",
        },
        Key {
            name: "notices",
            kind: Kind::YesNo,
            unset: Value("true"),
            since: FIRST_VERSION,
            example: "false",
            label: "Tell me when I have to do something",
            help: "A short notice on the desktop, once, when a password is refused, a certificate is not valid, or another \
                   program has a door's port.",
        },
    ],
};

/// `doors` of an account.
pub(in crate::config) const DOORS: Table = Table {
    header: "[account.doors]",
    title: "Doors of its own",
    help: "Doors that lead to this account only, whatever user name the mail program gives.",
    keys: &[OWN_POP3_DOOR, OWN_SMTP_DOOR, OWN_IMAP_DOOR],
};

const OWN_POP3_DOOR: Key = Key {
    name: "pop3",
    kind: Kind::Door,
    unset: Words("none"),
    since: FIRST_VERSION,
    example: "\"127.0.0.2:2110\"",
    label: "Own door for fetching (POP3)",
    help: "A port, or an address and a port, as for the doors that all accounts share.",
};

const OWN_SMTP_DOOR: Key = Key {
    name: "smtp",
    example: "\"127.0.0.2:2025\"",
    label: "Own door for sending (SMTP)",
    help: "As above. A program that connects here sends through this account, whoever the sender is.",
    ..OWN_POP3_DOOR
};

const OWN_IMAP_DOOR: Key =
    Key { name: "imap", example: "false", label: "Own door for IMAP", help: "As above.", ..OWN_POP3_DOOR };

/// `[[account]]`.
pub(in crate::config) const ACCOUNT: Table = Table {
    header: "[[account]]",
    title: "Account",
    help: "One for each mail address. It may only fetch mail, or only send it.",
    keys: &[
        Key {
            name: "name",
            kind: Kind::Text,
            unset: Words("the mail address"),
            since: FIRST_VERSION,
            example: "\"home\"",
            label: "Name of the account",
            help: "Your mail program may give this name as its user name.",
        },
        Key {
            name: "address",
            kind: Kind::Address,
            unset: Required,
            since: FIRST_VERSION,
            example: "\"ann@example.net\"",
            label: "Mail address",
            help: "",
        },
        Key {
            name: "aliases",
            kind: Kind::Addresses,
            unset: Value("[]"),
            since: FIRST_VERSION,
            example: "[\"ann.lee@example.net\", \"*@lee.example\"]",
            label: "Also sends for these addresses",
            help: "Separated by commas; *@example.net means every address there.",
        },
        Key {
            name: "provider",
            kind: Kind::Text,
            unset: Words("none"),
            since: FIRST_VERSION,
            example: "\"optonline\"",
            label: "Provider",
            help: "The name of a provider that ostler knows. Its servers are used where the account has none of its own.",
        },
        USERNAME,
        Key {
            name: "password",
            kind: Kind::Password,
            unset: Value("\"keyring\""),
            since: FIRST_VERSION,
            example: "{ file = \"password-of-ann\" }",
            label: "Where the password is",
            help: "The same for all servers of the account, unless a server has a password of its own.",
        },
        CHARSET,
        Key {
            name: "oauth2",
            kind: Kind::Text,
            unset: Words("the provider's, if the account names one"),
            since: FIRST_VERSION,
            example: "\"microsoft\"",
            label: "Company for the sign-in in the web browser (OAuth2)",
            help: "Such as microsoft or google; only for servers at which ostler signs in that way.",
        },
        Key {
            name: "local_password",
            kind: Kind::LocalPassword,
            unset: Words("ostler makes one and keeps it"),
            since: FIRST_VERSION,
            example: "{ file = \"local-password\" }",
            label: "Where the password for mail programs is",
            help: "Used only if mail programs have to give a password to ostler.",
        },
        Key {
            name: "default",
            kind: Kind::YesNo,
            unset: Value("false"),
            since: FIRST_VERSION,
            example: "true",
            label: "Also sends for addresses that belong to no account",
            help: "Only one account can do so.",
        },
        Key {
            name: "offer_auth",
            kind: Kind::YesNo,
            unset: Value("true"),
            since: FIRST_VERSION,
            example: "false",
            label: "Its own door for sending offers a sign-in (AUTH)",
            help: "Netscape asks for a password whenever a sign-in is offered. The account needs a door of its own for sending.",
        },
        Key {
            name: "read_ahead",
            kind: Kind::YesNo,
            unset: Value("true"),
            since: FIRST_VERSION,
            example: "false",
            label: "Fetch the next messages before the mail program asks for them",
            help: "It makes fetching faster. ostler does so only at providers where it changes nothing else.",
        },
        Key {
            name: "readable",
            kind: Kind::Choice(&READABLE),
            unset: Value("\"off\""),
            since: FIRST_VERSION,
            example: "\"eudora-windows\"",
            label: "Which mail program",
            help: "Old programs show today's letters as rubbish: don\u{e2}\u{20ac}\u{2122}t. For the program that you choose here, ostler \
                   rewrites mail while it is fetched, so that it shows: don't. The original stays at the provider.",
        },
        Key {
            name: "mend",
            kind: Kind::Words(&MEND),
            unset: Value("[\"message-id\", \"date\"]"),
            since: FIRST_VERSION,
            example: "[\"message-id\", \"date\", \"charset\"]",
            label: "What ostler adds to mail that you send",
            help: "Spam filters hold it against a message if it lacks what old programs forget: message-id, date, from-domain \
                   (the account's domain in a sender without one), charset (which letters are meant). \"none\" adds nothing.",
        },
        Key {
            name: "doors",
            kind: Kind::Table(&DOORS),
            unset: Words("none"),
            since: FIRST_VERSION,
            example: "{ pop3 = \"127.0.0.2:2110\", smtp = \"127.0.0.2:2025\" }",
            label: "Doors of its own",
            help: "Doors that lead to this account only.",
        },
        Key {
            name: "pop3",
            kind: Kind::Table(&POP3),
            unset: Words("the provider's, if the account names one"),
            since: FIRST_VERSION,
            example: "{ host = \"pop.example.net\" }",
            label: "Server for fetching (POP3)",
            help: "",
        },
        Key {
            name: "smtp",
            kind: Kind::Tables(&SMTP),
            unset: Words("the provider's, if the account names one"),
            since: FIRST_VERSION,
            example: "{ host = \"smtp.example.net\" }",
            label: "Servers for sending (SMTP)",
            help: "ostler uses the first one that it can reach.",
        },
        Key {
            name: "imap",
            kind: Kind::Table(&IMAP),
            unset: Words("none"),
            since: FIRST_VERSION,
            example: "{ host = \"imap.example.net\" }",
            label: "Server for IMAP",
            help: "Where mail programs read that use IMAP.",
        },
    ],
};

/// The word for mail that is passed on as it is.
pub(in crate::config) const OFF: &str = "off";

/// What `readable` may be: mail programs by name, then charsets.
pub(in crate::config) const READABLE: [Choice; 1 + PROFILES.len() + Readable::CHARSETS.len()] = {
    let mut choices = [Choice { word: OFF, label: "one that reads today's mail: pass it on as it is" };
        1 + PROFILES.len() + Readable::CHARSETS.len()];
    let mut at = 0;
    while at < PROFILES.len() {
        choices[1 + at] = Choice { word: PROFILES[at].name, label: PROFILES[at].program };
        at += 1;
    }
    let mut at = 0;
    while at < Readable::CHARSETS.len() {
        let (word, label) = Readable::CHARSETS[at];
        choices[1 + PROFILES.len() + at] = Choice { word, label };
        at += 1;
    }
    choices
};

/// What `mend` may list.
const MEND: [Choice; Repair::ALL.len()] = [
    Choice { word: "message-id", label: "a Message-ID" },
    Choice { word: "date", label: "the date" },
    Choice { word: "from-domain", label: "the domain of the sender" },
    Choice { word: "charset", label: "the charset" },
];

const HOST: Key = Key {
    name: "host",
    kind: Kind::Host,
    unset: Words("the provider's, if the account names one"),
    since: FIRST_VERSION,
    example: "\"mail.example.net\"",
    label: "Server",
    help: "Its name, such as mail.example.net, or its address.",
};

const SECURITY: Key = Key {
    name: "security",
    kind: Kind::Choice(&[
        Choice { word: "tls", label: "TLS from the start" },
        Choice { word: "starttls", label: "STARTTLS" },
        Choice { word: "none", label: "none (not safe)" },
    ]),
    unset: Value("\"tls\""),
    since: FIRST_VERSION,
    example: "\"starttls\"",
    label: "Encryption",
    help: "",
};

const PORT: Key = Key {
    name: "port",
    kind: Kind::Port,
    unset: Words("995 for POP3, 465 for SMTP and 993 for IMAP with TLS; else 110, 587 and 143"),
    since: FIRST_VERSION,
    example: "995",
    label: "Port",
    help: "A number from 1 to 65535.",
};

const BY_PASSWORD: Choice = Choice { word: "password", label: "with user name and password" };
const BY_OAUTH2: Choice = Choice { word: "oauth2", label: "in the web browser (OAuth2)" };
const WITHOUT: Choice = Choice { word: "none", label: "not at all" };

const AUTH: Key = Key {
    name: "auth",
    kind: Kind::Choice(&[BY_PASSWORD, BY_OAUTH2, WITHOUT]),
    unset: Value("\"password\""),
    since: FIRST_VERSION,
    example: "\"none\"",
    label: "ostler signs in",
    help: "",
};

const SMTP_AUTH: Key = Key {
    kind: Kind::Choice(&[
        BY_PASSWORD,
        Choice { word: "pop-before-smtp", label: "by fetching mail first (POP before SMTP)" },
        BY_OAUTH2,
        WITHOUT,
    ]),
    example: "\"pop-before-smtp\"",
    ..AUTH
};

const USERNAME: Key = Key {
    name: "username",
    kind: Kind::Text,
    unset: Words("the provider's form, if the account names one; else the mail address"),
    since: FIRST_VERSION,
    example: "\"ann@example.net\"",
    label: "User name at the provider",
    help: "The whole mail address with most providers, the part before the @ with some.",
};

const SERVER_USERNAME: Key = Key {
    unset: Words("the account's"),
    label: "User name at this server",
    help: "Only if it is another one than the account's.",
    ..USERNAME
};

const SERVER_PASSWORD: Key = Key {
    name: "password",
    kind: Kind::Password,
    unset: Words("the account's"),
    since: FIRST_VERSION,
    example: "{ env = \"ANN_POP3_PASSWORD\" }",
    label: "Where the password for this server is",
    help: "Only if it is another one than the account's.",
};

const CHARSET: Key = Key {
    name: "password_charset",
    kind: Kind::Choice(&[
        Choice { word: "utf-8", label: "as most providers have them (UTF-8)" },
        Choice { word: "windows-1252", label: "as old mail programs on Windows sent them (Windows-1252)" },
    ]),
    unset: Value("\"utf-8\""),
    since: FIRST_VERSION,
    example: "\"windows-1252\"",
    label: "Letters such as \u{e4} and \u{e9} in the password",
    help: "ostler finds this out by itself while it adds an account.",
};

const SERVER_CHARSET: Key = Key { unset: Words("the account's"), ..CHARSET };

const CA: Key = Key {
    name: "ca",
    kind: Kind::Certificates,
    unset: Words("what the system trusts"),
    since: FIRST_VERSION,
    example: "\"company-ca.pem\"",
    label: "File with more certificates to trust (PEM)",
    help: "Only for a server of your own or of your company, or a helper on this computer. The certificates are those of \
           authorities or the server's own.",
};

const PIN: Key = Key {
    name: "pin",
    kind: Kind::Fingerprint,
    unset: Words("none"),
    since: FIRST_VERSION,
    example: "\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"",
    label: "Fingerprint of the only certificate to trust",
    help: "Its name and dates are then not checked.",
};

/// `[account.pop3]`.
pub(in crate::config) const POP3: Table = Table {
    header: "[account.pop3]",
    title: "Server for fetching (POP3)",
    help: "Where ostler fetches mail.",
    keys: &[
        HOST,
        PORT,
        SECURITY,
        AUTH,
        SERVER_USERNAME,
        SERVER_PASSWORD,
        SERVER_CHARSET,
        CA,
        PIN,
        Key {
            name: "via",
            kind: Kind::Choice(&[
                Choice { word: "pop3", label: "this server (POP3)" },
                Choice { word: "imap", label: "the server for IMAP" },
            ]),
            unset: Words("the server for POP3 if there is one, else the one for IMAP"),
            since: FIRST_VERSION,
            example: "\"imap\"",
            label: "Mail programs that use POP3 get the mail from",
            help: "For providers without POP3. The server for IMAP has a table of its own.",
        },
        Key {
            name: "folder",
            kind: Kind::Text,
            unset: Value("\"INBOX\""),
            since: FIRST_VERSION,
            example: "\"Entw\u{fc}rfe\"",
            label: "Folder at the server for IMAP",
            help: "The folder that mail programs get that use POP3. New mail is in INBOX.",
        },
        Key {
            name: "mark_read",
            kind: Kind::YesNo,
            unset: Value("false"),
            since: FIRST_VERSION,
            example: "true",
            label: "Mark fetched mail as read at the server for IMAP",
            help: "Other mail programs, and the web mail, then show it as read.",
        },
    ],
};

/// `[account.imap]`.
pub(in crate::config) const IMAP: Table = Table {
    header: "[account.imap]",
    title: "Server for IMAP",
    help: "For mail programs that speak IMAP. Programs that speak POP3 get their mail from it too, if the provider has no POP3.",
    keys: &[
        HOST,
        PORT,
        SECURITY,
        AUTH,
        Key {
            name: "connections",
            kind: Kind::Connections,
            unset: Value("8"),
            since: FIRST_VERSION,
            example: "4",
            label: "Most connections at once",
            help: "Mail programs open several, and providers refuse more than 10 to 20 of one person. The next one waits until \
                   another is closed.",
        },
        SERVER_USERNAME,
        SERVER_PASSWORD,
        SERVER_CHARSET,
        CA,
        PIN,
    ],
};

/// `[account.smtp]`.
pub(in crate::config) const SMTP: Table = Table {
    header: "[account.smtp]",
    title: "Server for sending (SMTP)",
    help: "For several servers write [[account.smtp]] for each; ostler uses the first one that can be reached.",
    keys: &[
        HOST,
        PORT,
        SECURITY,
        SMTP_AUTH,
        Key {
            name: "fresh",
            kind: Kind::Duration,
            unset: Value("\"60s\""),
            since: FIRST_VERSION,
            example: "\"0s\"",
            label: "A login counts for",
            help: "For POP before SMTP: how old a login may be before ostler makes a new one, such as 60s or 3m. 0s means a \
                   login before every message.",
        },
        Key {
            name: "login",
            kind: Kind::Table(&LOGIN),
            unset: Words("the account's server for fetching"),
            since: FIRST_VERSION,
            example: "{ host = \"pop.example.net\" }",
            label: "Another server for the login",
            help: "For POP before SMTP, if the login is not made at the account's server for fetching.",
        },
        Key {
            name: "chunking",
            kind: Kind::YesNo,
            unset: Value("true"),
            since: FIRST_VERSION,
            example: "false",
            label: "Send messages the faster way where the server offers it (BDAT)",
            help: "Switch it off if the server does not take messages that way. ostler notices most such servers by itself.",
        },
        SERVER_USERNAME,
        SERVER_PASSWORD,
        SERVER_CHARSET,
        CA,
        PIN,
    ],
};

/// `[account.smtp.login]`.
pub(in crate::config) const LOGIN: Table = Table {
    header: "[account.smtp.login]",
    title: "Another server for the login before a send",
    help: "For POP before SMTP, if the login is not made at the account's server for fetching.",
    keys: &[
        Key { unset: Required, ..HOST },
        Key { unset: Words("995 with TLS, else 110"), ..PORT },
        SECURITY,
        SERVER_USERNAME,
        SERVER_PASSWORD,
        SERVER_CHARSET,
        CA,
        PIN,
    ],
};

/// A table that says where a password is.
pub(in crate::config) const SECRET: Table = Table {
    header: "",
    title: "Where a password is",
    help: "Exactly one of these. A password itself does not belong in the file.",
    keys: &[
        Key {
            name: "command",
            kind: Kind::Command,
            unset: Words("none"),
            since: FIRST_VERSION,
            example: "[\"pass\", \"show\", \"mail/ann\"]",
            label: "Command",
            help: "ostler runs this command, as you, whenever it needs the password, and takes the first line that it prints. A \
                   text is run by the shell, a list without a shell.",
        },
        Key {
            name: "file",
            kind: Kind::File,
            unset: Words("none"),
            since: FIRST_VERSION,
            example: "\"~/.secrets/ann\"",
            label: "File",
            help: "ostler takes the first line of this file. No one else may be able to read it. A relative path starts at the \
                   folder of the settings file.",
        },
        Key {
            name: "env",
            kind: Kind::Variable,
            unset: Words("none"),
            since: FIRST_VERSION,
            example: "\"ANN_PASSWORD\"",
            label: "Variable",
            help: "The name of a variable in the environment in which ostler was started.",
        },
    ],
};

const AUTHORIZE: Key = Key {
    name: "authorize",
    kind: Kind::Https,
    unset: Words("the company's, if ostler knows it"),
    since: FIRST_VERSION,
    example: "\"https://login.example.net/authorize\"",
    label: "Address of the page to sign in on",
    help: "",
};

/// `[oauth2.NAME]`.
pub(in crate::config) const OAUTH2: Table = Table {
    header: "[oauth2.NAME]",
    title: "Registration for OAuth2",
    help: "What ostler needs in order to sign in at a company in the web browser. NAME is microsoft, google, yahoo, aol, fastmail, \
           comcast, yandex or mailru, of which ostler knows everything but your registration; or a name of your own, with all \
           addresses.",
    keys: &[
        Key {
            name: "client_id",
            kind: Kind::Text,
            unset: Words("the one that came with ostler, if there is one"),
            example: "\"00000000-0000-0000-0000-000000000000\"",
            label: "Id of your registration (client id)",
            help: "The company gives it to whoever registers a program there.",
            ..AUTHORIZE
        },
        Key {
            name: "client_secret",
            kind: Kind::LocalPassword,
            unset: Words("none"),
            example: "{ file = \"google-client-secret\" }",
            label: "Where its secret is",
            help: "Only if the company gave you one, as Google does.",
            ..AUTHORIZE
        },
        AUTHORIZE,
        Key {
            name: "token",
            example: "\"https://login.example.net/token\"",
            label: "Address where tokens are given out",
            ..AUTHORIZE
        },
        Key {
            name: "device",
            example: "\"https://login.example.net/device\"",
            label: "Address where codes for other devices are given out",
            ..AUTHORIZE
        },
        Key {
            name: "revoke",
            example: "\"https://login.example.net/revoke\"",
            label: "Address where a sign-in is taken back",
            ..AUTHORIZE
        },
        Key {
            name: "scopes",
            kind: Kind::Texts,
            unset: Words("what the account's servers need, if ostler knows the company"),
            example: "[\"mail\", \"offline_access\"]",
            label: "What ostler asks for (scopes)",
            help: "Asked for as it stands.",
            ..AUTHORIZE
        },
        Key {
            name: "redirect",
            kind: Kind::Choice(&[
                Choice { word: "127.0.0.1", label: "http://127.0.0.1" },
                Choice { word: "localhost", label: "http://localhost" },
            ]),
            unset: Words("the company's, if ostler knows it; else 127.0.0.1"),
            example: "\"localhost\"",
            label: "Address to which the browser returns",
            help: "As it stands in the registration, there without a port.",
            ..AUTHORIZE
        },
        Key { label: "File with more certificates to trust (PEM)", ..CA },
    ],
};

const CONNECT: Key = Key {
    name: "connect",
    kind: Kind::TimeLimit,
    unset: Value("\"10s\""),
    since: FIRST_VERSION,
    example: "\"10s\"",
    label: "To connect to a server",
    help: "For each address of the server.",
};

/// `[timeouts]`.
pub(in crate::config) const TIMEOUTS: Table = Table {
    header: "[timeouts]",
    title: "Time limits",
    help: "How long ostler waits: a number and its unit, such as 500ms, 10s, 3m or 1h. Rarely needed.",
    keys: &[
        CONNECT,
        Key { name: "tls", unset: Value("\"15s\""), label: "To agree on encryption", help: "", ..CONNECT },
        Key { name: "greeting", unset: Value("\"30s\""), label: "For a server's first words", help: "", ..CONNECT },
        Key {
            name: "reply",
            unset: Value("\"60s\""),
            label: "For a server's answer",
            help: "The whole answer; signing in included.",
            ..CONNECT
        },
        Key {
            name: "data",
            unset: Value("\"3m\""),
            label: "Between two pieces of a message",
            help: "In either direction.",
            ..CONNECT
        },
        Key {
            name: "final",
            unset: Value("\"10m\""),
            label: "For a server to confirm a message",
            help: "After all of the message has been sent.",
            ..CONNECT
        },
        Key {
            name: "idle",
            unset: Value("\"10m\""),
            label: "For a mail program that is silent",
            help: "After it has signed in.",
            ..CONNECT
        },
        Key { name: "login", unset: Value("\"60s\""), label: "For a mail program to sign in", help: "", ..CONNECT },
    ],
};
