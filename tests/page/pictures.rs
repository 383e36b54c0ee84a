//! The pictures of the README and the manual: the settings page in light and dark, a desktop with the icon, a notice, and an
//! old mail program that has fetched a message through ostler. The provider, its mail, the ports and the time of day are
//! the same each time. With `OSTLER_PICTURES=write` (`docs/pictures/make` sets it) they are made anew; without it they are
//! compared with what is kept.

mod album;

use std::path::PathBuf;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use crate::chromium::{Chromium, ENTER};
use crate::link;
use crate::support::ca::TestCa;
use crate::support::desktop::Desktop;
use crate::support::dovecot::Dovecot;
use crate::support::keyring::Keyring;
use crate::support::ostler::{Account, Home, Server};
use crate::support::postfix::Postfix;
use crate::support::process::{Process, run_well};
use crate::support::running::Run;
use crate::support::world::{Site, World};
use crate::support::{client, preloaded_clock, require, skip, unique, wait_for};
use album::{Album, Picture};

const ANN: &str = "ann@example.net";
/// Whose password the provider refuses.
const CLUB: &str = "club@example.net";
const HOST: &str = "mail.example.net";
/// Where ostler's doors and its page are if nothing is said about them.
const POP3: u16 = 2110;
const SMTP: u16 = 2025;
const PAGE: u16 = 2080;
/// The time of day in all pictures.
const NOW: &str = "2026-11-02 09:14:00";
const SCREEN: (usize, usize) = (1280, 760);
/// Where windows are: left, top, width, height.
const BROWSER: [usize; 4] = [14, 10, 700, 660];
const SYLPHEED: [usize; 4] = [546, 150, 716, 540];
/// What the frame around a window adds to its width and height.
const FRAME: [usize; 2] = [3, 26];
/// Where Sylpheed has the last of its messages.
const LAST_MESSAGE: (usize, usize) = (250, 200);
/// Where the icon is in the panel, from the right and from below.
const ICON: (usize, usize) = (80, 16);

/// What a provider says about its servers.
const AUTOCONFIG: &str = "<clientConfig version=\"1.1\"><emailProvider id=\"example.net\"><domain>example.net</domain>\
<incomingServer type=\"pop3\"><hostname>mail.example.net</hostname><port>995</port><socketType>SSL</socketType>\
<username>%EMAILADDRESS%</username><authentication>password-cleartext</authentication></incomingServer>\
<outgoingServer type=\"smtp\"><hostname>mail.example.net</hostname><port>587</port><socketType>STARTTLS</socketType>\
<username>%EMAILADDRESS%</username><authentication>password-cleartext</authentication></outgoingServer>\
</emailProvider></clientConfig>";

const MAIL: [(&str, &str, &str); 3] = [
    (
        "Lee <lee@example.org>",
        "Photographs",
        "Dear Ann,\r\n\r\nthe photographs of the boat are ready. Shall I bring them on Sunday?\r\n\r\nLee",
    ),
    ("Rose <rose@example.com>", "Re: Apple cake", "Half a pound of butter, not a whole one!\r\n\r\nRose"),
    (
        "Walter <walter@example.org>",
        "Your old computer",
        "Hello Ann,\r\n\r\nso it works again? I thought that nobody let such an old program in any more.\r\nTell me how you did it, \
         mine has been silent since spring.\r\n\r\nBest wishes\r\nWalter",
    ),
];

/// A provider, and the mail that it has for Ann.
struct Office {
    // They end before the world they live in.
    dovecot: Dovecot,
    _postfix: Postfix,
    password: String,
    world: World,
}

impl Office {
    fn open() -> Self {
        let site = Site::new("autoconfig.example.net").file("/mail/config-v1.1.xml", AUTOCONFIG);
        let world = World::builder().host(HOST, "127.0.0.2").site(site).start();
        let (cert, password) = (world.ca().named(&[HOST]), unique("pw"));
        let users = Dovecot::builder().user(ANN, &password).user(CLUB, &unique("other"));
        let dovecot = users.cert(cert.clone()).inside(&world, "127.0.0.2", [110, 995]).start();
        let postfix = Postfix::builder().cert(cert).sasl(&dovecot).inside(&world, "127.0.0.2", [25, 587, 465]).start();
        Self { dovecot, _postfix: postfix, password, world }
    }

    fn deliver(&self) {
        for (number, (from, subject, text)) in MAIL.iter().enumerate() {
            let message = format!(
                "Date: Mon, 2 Nov 2026 0{}:0{number}:00 +0000\r\nFrom: {from}\r\nTo: Ann <{ANN}>\r\nSubject: {subject}\r\n\
                 Message-ID: <{number}@example.org>\r\n\r\n{text}\r\n",
                6 + number
            );
            self.dovecot.deliver(ANN, message.as_bytes());
        }
    }
}

/// The command's time of day begins at [`NOW`] and goes on.
fn set_clock(command: &mut Command) {
    command.env("LD_PRELOAD", preloaded_clock().unwrap()).env("FAKETIME", format!("@{NOW}"));
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("TZ", "UTC");
}

/// The command's time of day is [`NOW`] for ever.
fn stop_clock(command: &mut Command) {
    set_clock(command);
    command.env("FAKETIME", NOW);
}

/// What the browser shows, from the top down to this height.
fn shoot(chromium: &Chromium, album: &mut Album, name: &str, height: usize) {
    album.text(name, &chromium.text());
    for (scheme, end) in [("light", ""), ("dark", "-dark")] {
        let metrics = json!({"width": 860, "height": height, "deviceScaleFactor": 1, "mobile": false});
        chromium.cdp("Emulation.setDeviceMetricsOverride", &metrics);
        show_in(chromium, scheme);
        let shot = chromium.cdp("Page.captureScreenshot", &json!({"format": "png"}));
        let picture = Picture::of_png(&BASE64.decode(shot["data"].as_str().unwrap()).unwrap());
        album.picture(&format!("{name}{end}"), &picture);
    }
}

fn show_in(chromium: &Chromium, scheme: &str) {
    let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
    chromium.cdp("Emulation.setEmulatedMedia", &media);
    chromium.cdp("Emulation.setScrollbarsHidden", &json!({"hidden": true}));
    // No cursor blinks in a picture.
    chromium.run("document.activeElement.blur()");
}

/// From the first page to the overview of an account that is used.
fn set_up_on_the_page(office: &Office, album: &mut Album) {
    let keyring = Keyring::start();
    let home = Home::new(office.world.ca(), &[]).with_keyring(&keyring).inside(&office.world);
    home.write_settings("");
    let ostler = home.run_changed(&["run"], |_, command| set_clock(command));
    let chromium = Chromium::with_detour(PAGE, office.world.reach(PAGE));
    chromium.go(&link(&ostler.home));
    shoot(&chromium, album, "first", 690);
    chromium.type_into("address", ANN);
    chromium.type_into("password", &office.password);
    chromium.keys(ENTER);
    chromium.wait_for_text("works and is saved");
    shoot(&chromium, album, "works", 680);
    chromium.click("a", "Which mail program do you use?");
    chromium.wait_for_text("Eudora");
    shoot(&chromium, album, "programs", 620);
    chromium.click("a", "Outlook Express");
    chromium.wait_for_text("Waiting for your mail program");
    shoot(&chromium, album, "guide", 720);
    office.deliver();
    assert_eq!(client::fetch(office.world.reach(POP3), ANN, "x").len(), MAIL.len());
    chromium.wait_for_text("has fetched its mail");
    client::send(office.world.reach(SMTP), ANN, &["lee@example.org"], b"Subject: Sunday\r\n\r\nYes, please!\r\n");
    chromium.wait_for_text("There is nothing more to do");
    chromium.click("a", "Overview");
    chromium.wait_for_text(ANN);
    shoot(&chromium, album, "overview", 640);
    office.dovecot.empty(ANN);
}

/// A message of today.
const LETTERS: &str = "From: =?UTF-8?Q?Zo=C3=AB_M=C3=BCller?= <zoe@example.org>\r\nTo: Ann <ann@example.net>\r\n\
    Subject: =?UTF-8?Q?Don=E2=80=99t_forget_the_caf=C3=A9?=\r\nDate: Mon, 2 Nov 2026 08:00:00 +0000\r\nMIME-Version: 1.0\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nDear Ann,\r\n\r\n\
    don\u{2019}t forget: the caf\u{e9} \u{201c}Gr\u{fc}ne Gans\u{201d} opens at nine \u{2013} see you there\u{2026}\r\n\r\nZo\u{eb}\r\n";

/// The same message in a program that knows the letters of its own system only, fetched as it is and made readable.
fn show_letters(album: &mut Album) {
    let (ca, password) = (TestCa::new(), unique("pw"));
    let dovecot = Dovecot::builder().user(ANN, &password).cert(ca.localhost()).start();
    dovecot.deliver(ANN, LETTERS.as_bytes());
    let chromium = Chromium::start();
    let program = BASE64.encode(include_bytes!("pictures/old_program.html"));
    chromium.go(&format!("data:text/html;base64,{program}"));
    for (title, readable) in [("As it is", "off"), ("Rewritten by ostler", "eudora-windows")] {
        let account = Account::new("home", ANN, &password).line(&format!("readable = \"{readable}\""));
        let ostler = Home::new(&ca, &[account.pop3(Server::new("tls", dovecot.pop3s))]).run();
        let message = BASE64.encode(&client::fetch(ostler.pop3, "home", "x")[0]);
        chromium.run(&format!("show({}, atob(\"{message}\"))", json!(title)));
    }
    assert!(chromium.text().contains("don\u{e2}\u{20ac}\u{2122}t") && chromium.text().contains("don\u{2019}t"));
    album.text("letters", &chromium.text());
    let metrics = json!({"width": 860, "height": 380, "deviceScaleFactor": 1, "mobile": false});
    chromium.cdp("Emulation.setDeviceMetricsOverride", &metrics);
    let shot = chromium.cdp("Page.captureScreenshot", &json!({"format": "png"}));
    album.picture("letters", &Picture::of_png(&BASE64.decode(shot["data"].as_str().unwrap()).unwrap()));
}

/// The panel at the bottom: a menu, the windows, the icons, a clock.
const PANEL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="dark-mode" type="bool" value="false"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=10;x=0;y=0"/>
      <property name="length" type="uint" value="100"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="icon-size" type="uint" value="22"/>
      <property name="size" type="uint" value="32"/>
      <property name="plugin-ids" type="array">
        <value type="int" value="2"/><value type="int" value="3"/><value type="int" value="6"/><value type="int" value="12"/>
      </property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-2" type="string" value="tasklist"/>
    <property name="plugin-3" type="string" value="separator">
      <property name="expand" type="bool" value="true"/>
      <property name="style" type="uint" value="0"/>
    </property>
    <property name="plugin-6" type="string" value="systray"/>
    <property name="plugin-12" type="string" value="clock"/>
  </property>
</channel>
"#;

/// A desktop with a panel, frames around windows, and a part that shows notices.
fn sit_down() -> (Desktop, Vec<Process>) {
    let mut desktop = Desktop::bus_only();
    let panel = desktop.home().join(".config/xfce4/xfconf/xfce-perchannel-xml");
    std::fs::create_dir_all(&panel).unwrap();
    std::fs::write(panel.join("xfce4-panel.xml"), PANEL).unwrap();
    desktop.start_screen(&format!("{}x{}", SCREEN.0, SCREEN.1));
    let frames = Process::start("openbox", &mut desktop.command("openbox", &[]));
    desktop.start_panel_changed(stop_clock);
    let notices = Process::start("xfce4-notifyd", &mut desktop.command(notifyd().unwrap().to_str().unwrap(), &[]));
    run_well(&mut desktop.command("xsetroot", &["-solid", "#4d7386"]), "");
    (desktop, vec![notices, frames])
}

/// The program that shows notices lies where no program is looked for.
fn notifyd() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders.map(|folder| folder.join("xfce4/notifyd/xfce4-notifyd")).find(|file| file.is_file())
}

/// Moves the mouse there and clicks.
fn click(desktop: &Desktop, (x, y): (usize, usize), button: &str) {
    run_well(&mut desktop.command("xdotool", &["mousemove", &x.to_string(), &y.to_string(), "click", button]), "");
}

/// Sylpheed's settings for ostler, as its guide has them.
fn set_up_sylpheed(desktop: &Desktop) {
    let at = desktop.home().join(".sylpheed-2.0");
    std::fs::create_dir_all(&at).unwrap();
    for folder in ["inbox", "sent", "draft", "queue", "trash"] {
        std::fs::create_dir_all(desktop.home().join("Mail").join(folder)).unwrap();
    }
    let item =
        |kind: &str, name: &str| format!("<folderitem type=\"{kind}\" name=\"{name}\" path=\"{name}\" mtime=\"0\"/>\n");
    let items = [("inbox", "inbox"), ("outbox", "sent"), ("draft", "draft"), ("queue", "queue"), ("trash", "trash")];
    let items: String = items.iter().map(|(kind, name)| item(kind, name)).collect();
    let folders = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<folderlist>\n<folder type=\"mh\" name=\"Mailbox\" path=\"Mail\">\n{items}\
         </folder>\n</folderlist>\n"
    );
    std::fs::write(at.join("folderlist.xml"), folders).unwrap();
    let account = format!(
        "[Account: 1]\naccount_name=ostler\nis_default=1\nname=Ann\naddress={ANN}\nprotocol=0\nreceive_server=127.0.0.1\n\
         smtp_server=127.0.0.1\nuser_id={ANN}\npassword=x\ninbox=inbox\nset_popport=1\npop_port={POP3}\nset_smtpport=1\n\
         smtp_port={SMTP}\nreceive_at_get_all=1\n"
    );
    std::fs::write(at.join("accountrc"), account).unwrap();
    let [x, y, width, height] = SYLPHEED;
    let common = format!(
        "[Common]\ncheck_on_startup=1\nopen_inbox_on_startup=1\nopen_inbox_on_inc=1\n\
         always_show_message_when_selected=1\nmainwin_x={x}\nmainwin_y={y}\nmainwin_width={width}\nmainwin_height={height}\n\
         mainview_width={width}\nmainview_height={height}\nfolderview_width=120\nsummaryview_height=120\n\
         summary_col_size_subject=170\nsummary_col_size_from=80\nsummary_col_size_date=120\nshow_trayicon=0\n\
         receive_dialog_mode=2\nautochk_newmail=0\nshow_send_dialog=0\nenable_newmsg_notify_window=0\n"
    );
    std::fs::write(at.join("sylpheedrc"), common).unwrap();
}

/// So many looks at the screen have to be the same.
const LOOKS: usize = 100;

/// Waits until the screen stands still, and what it shows then.
fn still(desktop: &Desktop) -> Picture {
    let look = || std::fs::read(desktop.picture_file()).unwrap();
    let (mut last, mut same) = (look(), 0);
    wait_for("the screen to stand still", || {
        let seen = look();
        same = if seen == last { same + 1 } else { 0 };
        last = seen;
        (same > LOOKS).then_some(())
    });
    Picture::of_screen(&last)
}

/// The home of somebody who uses ostler for a while, and its settings with one account more.
fn used_home(office: &Office, desktop: &Desktop) -> (Home, String) {
    let servers = |name: &str, password: &str| {
        let account = Account::new(name, name, password).pop3(Server::at(HOST, "tls", 995));
        account.smtp(Server::at(HOST, "starttls", 587))
    };
    let home = Home::new(office.world.ca(), &[servers(ANN, &office.password), servers(CLUB, &unique("old"))]);
    // The doors are where they are if nothing is said about them.
    let all =
        home.settings().split("[[account]]").skip(1).map(|table| format!("[[account]]{table}")).collect::<Vec<_>>();
    home.write_settings(&all[0]);
    let home = home.with_desktop(Some(desktop.address()), desktop.display()).inside(&office.world);
    (home, all.concat())
}

/// The page, the icon, and an old mail program that fetches; then the menu, and a notice.
fn use_it_on_a_desktop(office: &Office, album: &mut Album) {
    let (desktop, _programs) = sit_down();
    let (home, with_club) = used_home(office, &desktop);
    let mut command = home.command(&["--silent"]);
    set_clock(&mut command);
    let mut ostler = Run::of(&mut command).ready();
    let chromium = Chromium::in_window(PAGE, office.world.reach(PAGE), |command| {
        command.env("DISPLAY", desktop.display()).env("DBUS_SESSION_BUS_ADDRESS", desktop.address());
    });
    let [x, y, width, height] = BROWSER;
    chromium.post("/window/rect", &json!({"x": x, "y": y, "width": width, "height": height}));
    chromium.go(&link(&home));
    office.deliver();
    set_up_sylpheed(&desktop);
    let mut sylpheed = office.world.wrap(&desktop.command("sylpheed", &[]));
    let sylpheed = Process::start("sylpheed", &mut sylpheed);
    wait_for("the mail", || desktop.home().join(format!("Mail/inbox/{}", MAIL.len())).exists().then_some(()));
    // Its windows come and go before.
    still(&desktop);
    let [x, y, width, height] = SYLPHEED.map(|number| number.to_string());
    let window = ["search", "--onlyvisible", "--name", "ostler - Sylpheed"];
    let moved = ["windowsize", &width, &height, "windowmove", &x, &y];
    run_well(&mut desktop.command("xdotool", &[window.as_slice(), moved.as_slice()].concat()), "");
    still(&desktop);
    let [x, y, width, height] = SYLPHEED;
    click(&desktop, (x + LAST_MESSAGE.0, y + LAST_MESSAGE.1), "1");
    // Out of the picture.
    run_well(&mut desktop.command("xdotool", &["mousemove", &SCREEN.0.to_string(), "0"]), "");
    for (scheme, end) in [("light", ""), ("dark", "-dark")] {
        show_in(&chromium, scheme);
        chromium.go(&format!("http://127.0.0.1:{PAGE}/"));
        let screen = still(&desktop);
        album.picture(&format!("desktop{end}"), &screen);
        if scheme == "light" {
            album.picture("program", &screen.cut(x, y, width + FRAME[0], height + FRAME[1]));
        }
    }
    album.text("desktop", &chromium.text());
    drop((chromium, sylpheed));
    let icon = (SCREEN.0 - ICON.0, SCREEN.1 - ICON.1);
    click(&desktop, icon, "3");
    album.picture("tray", &still(&desktop).cut(SCREEN.0 - 420, SCREEN.1 - 330, 420, 330));
    run_well(&mut desktop.command("xdotool", &["key", "Escape"]), "");
    home.write_settings(&with_club);
    ostler.err.wait(&format!("changed settings are in force: {ANN}, {CLUB}"));
    let mut refused = client::Client::greeted(office.world.reach(POP3), "+OK");
    refused.ask(&format!("USER {CLUB}"), "+OK");
    refused.ask("PASS x", "-ERR");
    ostler.err.wait(&format!("refused the sign-in of {CLUB}"));
    album.picture("notice", &still(&desktop).cut(SCREEN.0 - 480, 0, 480, 210));
    ostler.end_well();
}

#[test]
fn the_pictures_show_what_there_is_to_see() {
    require!("world", "dovecot", "postfix", "keyring", "panel", "faketime", "chromium", "chromedriver");
    require!("sylpheed", "openbox", "xsetroot", "xdotool");
    if notifyd().is_none() {
        return skip("xfce4-notifyd");
    }
    let mut album = Album::open();
    let office = Office::open();
    set_up_on_the_page(&office, &mut album);
    show_letters(&mut album);
    if album.has_desktop() {
        use_it_on_a_desktop(&office, &mut album);
    }
    album.close();
}
