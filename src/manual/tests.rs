use super::*;

#[test]
fn chapters_have_names_of_their_own_and_a_heading() {
    let mut names: Vec<String> = chapters().map(|chapter| chapter.file()).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
    for each in chapters() {
        assert!(each.markdown().starts_with("# "), "{}", each.file());
        assert_eq!(chapter(&each.file()).map(|found| found.title()), Some(each.title()));
    }
}

#[test]
fn links_and_pictures_are_those_of_the_place() {
    let text = "[a](files.md#what-leaves) [b](guide-eudora-mac.md) [c](https://x.example/) [d](README.md) [e](#f)\n\n\
                ![A \"desktop\"\n& more](../pictures/desktop.png)\n";
    let page = render::html(text, Place::Page);
    for link in
        ["\"/manual/files#what-leaves\"", "\"/guide/eudora-mac\"", "\"https://x.example/\"", "\"/manual\"", "\"#f\""]
    {
        assert!(page.contains(&format!("href={link}")), "{link} in {page}");
    }
    assert!(page.contains("srcset=\"/manual/pictures/desktop-dark.png\""), "{page}");
    assert!(page.contains("alt=\"A 'desktop' &amp; more\""), "{page}");
    let files = render::html(text, Place::Files);
    for link in ["files.html#what-leaves", "guide-eudora-mac.html", "index.html"] {
        assert!(files.contains(&format!("href=\"{link}\"")), "{link} in {files}");
    }
    assert!(files.contains("src=\"pictures/desktop.png\""), "{files}");
}

#[test]
fn headings_can_be_linked_to_and_html_is_left_out() {
    let html = render::html(
        "# What's new, `x`?\n\n## Ports 25 and 110\n\n## Ports 25 and 110\n<b>a</b><!-- b -->\n",
        Place::Page,
    );
    for id in ["whats-new-x", "ports-25-and-110", "ports-25-and-110-1"] {
        assert!(html.contains(&format!("id=\"{id}\"")), "{id} in {html}");
    }
    let table = render::html("## A & b\n\n| a |\n|---|\n| b |\n", Place::Page);
    assert!(
        table.contains("aria-label=\"A &amp; b\" tabindex=\"0\">\n<table>") && table.contains("</table>\n</div>"),
        "{table}"
    );
    assert!(!html.contains("<b>") && !html.contains("<!--"), "{html}");
}

#[test]
fn the_guides_of_the_manual_have_values() {
    for client in guide::clients() {
        let text = guides::chapter(client);
        assert!(text.contains("`127.0.0.1`") && text.contains("ann@example.net"), "{text}");
        assert!(!text.contains("{{") && !text.contains("source:"), "{text}");
    }
}

#[test]
fn messages_are_found_by_number_and_by_words() {
    let text = messages::chapter();
    assert!(text.contains("| 0x800CCC79 | ["), "{text}");
    assert!(text.contains("`the certificate of .. expired on`"), "{text}");
    let words = text.lines().filter(|line| line.starts_with("- Words"));
    assert!(words.clone().count() > 50);
    for line in words {
        assert!(!line.contains(['*', '{', '|', '#', '~']), "{line}");
    }
}
