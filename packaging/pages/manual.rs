//! The manual: the chapters that are made, as Markdown, and the whole as a folder of HTML files for packages.

use std::io;
use std::path::{Path, PathBuf};

use ostler::manual::{Chapter, FOLDER, PICTURES, Place, chapters, escaped};

use crate::commands;

/// The style of the settings page, which shows the manual too.
const STYLE: &str = include_str!("../../src/desktop/page/style.css");

/// The files of the chapters that are made, from the top of the repository, and their text.
pub(crate) fn made_chapters() -> Vec<(PathBuf, String)> {
    let file = |name: &str| Path::new(FOLDER).join(format!("{name}.md"));
    let made =
        chapters().filter(Chapter::is_made).map(|chapter| (file(&chapter.file()), chapter.markdown().into_owned()));
    made.chain([(file("commands"), commands::chapter())]).collect()
}

/// Writes them.
pub(crate) fn write_chapters(root: &Path) -> io::Result<()> {
    made_chapters().into_iter().try_for_each(|(file, text)| std::fs::write(root.join(file), text))
}

/// Writes the manual as HTML files, with its pictures and its style.
pub(crate) fn write_html(folder: &Path) -> io::Result<()> {
    let pictures = folder.join("pictures");
    std::fs::create_dir_all(&pictures)?;
    for (name, octets) in PICTURES {
        std::fs::write(pictures.join(name), octets)?;
    }
    std::fs::write(folder.join("style.css"), STYLE)?;
    chapters()
        .try_for_each(|chapter| std::fs::write(folder.join(Place::Files.address(&chapter.file())), page(&chapter)))
}

/// One HTML file: the chapter, and beside it the list of all.
fn page(chapter: &Chapter) -> String {
    let entry = |each: Chapter| {
        let here = if each.file() == chapter.file() { " aria-current=\"page\"" } else { "" };
        format!("<li><a href=\"{}\"{here}>{}</a></li>\n", Place::Files.address(&each.file()), escaped(&each.title()))
    };
    let list: String = chapters().map(entry).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} - ostler</title>\n\
         <link rel=\"stylesheet\" href=\"style.css\">\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">Skip to the content</a>\n\
         <header class=\"top\"><div class=\"wide\"><span class=\"brand\">ostler</span></div></header>\n\
         <main id=\"main\" class=\"wide manual\">\n{body}</main>\n\
         <nav class=\"wide chapters\" aria-label=\"Chapters\">\n<h2>All chapters</h2>\n<ol>\n{list}</ol>\n</nav>\n\
         <footer class=\"wide\"><p>ostler {version}</p></footer>\n</body>\n</html>\n",
        title = escaped(&chapter.title()),
        body = chapter.html(Place::Files),
        version = env!("CARGO_PKG_VERSION"),
    )
}
