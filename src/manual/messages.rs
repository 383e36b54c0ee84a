//! The chapter with the messages of mail programs, providers and ostler itself, made from the explanations that
//! `ostler check` uses.

use std::fmt::Write;

use super::MADE;
use super::render::anchor;
use crate::diagnose::explain::{Cause, causes};

const HEAD: &str = "\
What a message means, why it probably appeared, and what to do. `ostler check --explain` finds the right part of this page \
for you: give it the number, or the text in quotes.

```sh
ostler check --explain 0x800CCC79
ostler check --explain \"Relaying denied\"
```

NAME stands for the account's name, as `ostler list` shows it.
";

pub(super) fn chapter() -> String {
    let mut out =
        format!("# What messages mean\n\n{MADE}\n\n{HEAD}\n## By number\n\n| it shows | it means |\n|---|---|\n");
    // Numbers in a row with one meaning share a line; each is written out, because people search the page for theirs.
    for row in codes().chunk_by(|(_, one), (_, next)| std::ptr::eq(*one, *next)) {
        let numbers: Vec<_> = row.iter().map(|(code, _)| *code).collect();
        let cause = row[0].1;
        let _ = writeln!(out, "| {} | [{}](#{}) |", numbers.join(", "), cause.means, anchor(&heading(cause)));
    }
    for cause in causes() {
        out.push_str(&entry(cause));
    }
    out
}

/// Every number that programs show, with the cause that is told first.
fn codes() -> Vec<(&'static str, &'static Cause)> {
    let each = causes().iter().flat_map(|cause| cause.codes().iter().map(move |code| (code.as_str(), cause)));
    let mut all: Vec<_> = each.collect();
    all.sort_by_key(|(code, _)| code.to_ascii_lowercase());
    all.dedup_by_key(|(code, _)| *code);
    all
}

fn heading(cause: &Cause) -> String {
    let mut letters = cause.means.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn entry(cause: &'static Cause) -> String {
    let mut out = format!("\n## {}\n\n- Why: {}.\n", heading(cause), cause.likely);
    if !cause.next.is_empty() {
        let _ = writeln!(out, "- Do: {}.", cause.next.trim_end_matches('.'));
    }
    let words: Vec<String> = cause.shown_words().map(|words| format!("`{words}`")).collect();
    if !words.is_empty() {
        let _ = writeln!(out, "- Words: {}", words.join(", "));
    }
    if !cause.codes().is_empty() {
        let _ = writeln!(out, "- Numbers: {}", cause.codes().join(", "));
    }
    out
}
