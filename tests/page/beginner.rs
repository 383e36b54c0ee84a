//! A beginner's first minutes on the page, with a clock, as `tests/add/newcomer.rs` has them in a terminal: from what README
//! says to the first message in Outlook Express.

use std::time::Instant;

use serde_json::json;

use crate::chromium::{Chromium, TAB};
use crate::support::beginner::{ANN, Beginner, LIMIT, provider, readme};
use crate::support::keyring::Keyring;
use crate::support::world::World;
use crate::support::{client, mail, require, unique, wait_for};
use crate::{home, link};

/// A window of a small old screen, less what the browser has around the page.
const WINDOW: (u32, u32) = (1024, 620);

/// What is told in the open parts of the page. Of a list to choose from one line is seen; steps that are ticked are watched as
/// they pass; nobody reads what stands on each of many equal buttons.
const READ: &str = "
    var walker = document.createTreeWalker(document.getElementById('main'), NodeFilter.SHOW_TEXT), words = [];
    while (walker.nextNode()) {
        var node = walker.currentNode.parentNode;
        var isFolded = node.closest('details:not([open])') && !node.closest('summary');
        if (!isFolded && !node.closest('option:not(:checked), .stages, button.small')) { words.push(walker.currentNode.nodeValue); }
    }
    return words.join(' ');";

fn reads(person: &mut Beginner, chromium: &Chromium) {
    person.reads(chromium.run(READ).as_str().unwrap());
}

#[test]
fn the_first_run_on_the_page_takes_a_beginner_less_than_three_minutes() {
    require!("dovecot", "postfix", "keyring", "world", "chromium", "chromedriver");
    let world = World::builder().host("posteo.de", "127.0.0.2").start();
    let word = unique("pw");
    let _servers = provider(&world, &word, &mail::tricky("hello"));
    let keyring = Keyring::start();
    let ostler = home(world.ca(), &[]).with_keyring(&keyring).inside(&world).run();
    let link = link(&ostler.home);
    let port = link.split([':', '/']).nth(4).unwrap().parse().unwrap();
    let chromium = Chromium::with_detour(port, world.reach(port));
    let metrics = json!({"width": WINDOW.0, "height": WINDOW.1, "deviceScaleFactor": 1, "mobile": false});
    chromium.cdp("Emulation.setDeviceMetricsOverride", &metrics);

    let began = Instant::now();
    let mut person = Beginner::default();
    // What follows is for a terminal.
    let about_the_page = readme().split(" The same in a terminal").next().unwrap().to_owned();
    person.reads(&about_the_page);
    chromium.go(&link);
    reads(&mut person, &chromium);
    let below =
        chromium.run("return document.querySelector('main button').getBoundingClientRect().bottom - innerHeight");
    assert!(below.as_f64().unwrap() <= 0.0, "the button is {below} below the screen");
    // The keyboard is in the first field.
    chromium.keys(&(person.types(ANN) + TAB));
    chromium.keys(&(person.types(&word) + TAB));
    // The first letters of the program choose it.
    chromium.keys(&(person.types("outl") + TAB));
    chromium.click("button", "Add this account");
    chromium.wait_for_text("works and is saved");
    reads(&mut person, &chromium);
    chromium.click("a", "Set up Outlook Express");
    chromium.wait_for_text("Waiting for your mail program");
    reads(&mut person, &chromium);
    // Both servers and ports, and the user name, each by the button beside it in the steps.
    let values = chromium.run("return document.querySelectorAll('.guide h2 + ol .value').length").as_u64().unwrap();
    assert_eq!(values, 5);
    (0..values).for_each(|_| person.copies());
    person.types("x");
    assert_eq!(client::fetch(world.reach(ostler.pop3), ANN, "x").len(), 1);
    chromium.wait_for_text("has fetched its mail");
    let report = person.report(began.elapsed()).replace(&word, "(the password)");
    println!("on the page: {report}");
    assert!(person.time() < LIMIT, "{report}");
    // What is folded up is there for those who look for it.
    chromium.click("summary", "How to go back");
    wait_for("the open part", || chromium.text().contains("Put back the old values").then_some(()));
    chromium.was_content();
}
