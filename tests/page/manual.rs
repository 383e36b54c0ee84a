//! The manual on the settings page: every chapter is there, its links lead somewhere, its pictures are seen, and everybody
//! can use it.

use serde_json::json;

use crate::chromium::Chromium;
use crate::http::Browser;
use crate::support::ca::TestCa;
use crate::support::{require, wait_for};
use crate::{home, link};

#[test]
fn every_link_of_every_chapter_leads_somewhere() {
    let ostler = home(&TestCa::new(), &[]).run();
    let mut browser = Browser::new(&ostler.home);
    let (mut open, mut seen) = (vec!["/manual".to_owned()], Vec::new());
    while let Some(path) = open.pop() {
        let page = browser.get(&path);
        assert_eq!(page.status, 200, "{path}");
        seen.push(path.clone());
        for mark in ["href=\"", "src=\"", "srcset=\""] {
            for to in page.body.split(mark).skip(1).filter_map(|rest| rest.split('"').next()) {
                let (to, part) = to.split_once('#').unwrap_or((to, ""));
                let is_chapter = to.starts_with("/manual");
                if is_chapter && !to.ends_with(".png") && !seen.iter().chain(&open).any(|known| known == to) {
                    open.push(to.to_owned());
                }
                if to.is_empty() && !part.is_empty() {
                    assert!(page.body.contains(&format!("id=\"{part}\"")), "{path}: #{part}");
                }
                if let Some(file) = to.strip_prefix("/manual/pictures/") {
                    assert!(ostler::manual::picture(file).is_some(), "{to}");
                }
            }
        }
    }
    let chapters = ostler::manual::chapters().filter(|chapter| !chapter.is_guide()).count();
    assert_eq!(seen.len(), chapters, "{seen:?}");
    assert_eq!(browser.get("/manual/nothing").status, 404);
    assert_eq!(browser.get("/manual/pictures/nothing.png").status, 404);
}

#[test]
fn the_manual_can_be_read_by_everybody() {
    require!("chromium", "chromedriver");
    let ostler = home(&TestCa::new(), &[]).run();
    let chromium = Chromium::start();
    let link = link(&ostler.home);
    let page = link.split("/?").next().unwrap();
    chromium.go(&link);
    chromium.click("a", "Manual");
    chromium.wait_for_text("Getting started");
    for (chapter, number) in
        [("", 60), ("/getting-started", 61), ("/settings", 62), ("/providers", 63), ("/commands", 64)]
    {
        chromium.go(&format!("{page}/manual{chapter}"));
        chromium.look(&format!("{number}-manual{}", chapter.replace('/', "-")));
        // A look changes between light and dark. The browser then fetches the other pictures, and has none until they come.
        let unseen = "return Array.from(document.images).filter(function (i) { return !i.naturalWidth; }).length";
        wait_for(&format!("every picture of /manual{chapter}"), || (chromium.run(unseen) == json!(0)).then_some(()));
    }
    chromium.was_content();
}
