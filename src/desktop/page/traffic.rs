//! The small picture of an account's last days on the overview: how many messages came and went on each. An SVG without
//! script; the caption and the text alternative say the same in words.

use maud::{Markup, html};
use time::Date;

use crate::events::event::count;
use crate::events::history::Traffic;

/// The width of a day in the picture's own units.
const DAY_WIDTH: u64 = 10;
/// The width of a bar; the rest of the day is the gap.
const BAR_WIDTH: u64 = 7;
/// The height of the picture.
const HEIGHT: u64 = 56;
/// The least height of a bar, so that one message is seen beside a hundred.
const MIN_BAR: u64 = 2;

/// The picture: fetched messages above the line, sent ones below it, in one scale.
pub(super) fn render(days: &[Traffic]) -> Markup {
    let (fetched, sent) = days.iter().fold((0, 0), |(fetched, sent), day| (fetched + day.fetched, sent + day.sent));
    let span = format!("the last {}", count(days.len() as u64, "day"));
    if fetched + sent == 0 {
        return html! { p.hint { "No mail in " (span) "." } };
    }
    let most = |of: fn(&Traffic) -> u64| days.iter().map(of).max().unwrap_or(0);
    let (most_fetched, most_sent) = (most(|day| day.fetched), most(|day| day.sent));
    let line = HEIGHT * most_fetched / (most_fetched + most_sent);
    let bar = |messages: u64, room: u64, most: u64| match messages {
        0 => 0,
        _ => (room * messages / most).max(MIN_BAR),
    };
    let width = days.len() as u64 * DAY_WIDTH;
    // Room for the least bars at both edges.
    let (top, height) = (-(MIN_BAR as i64), HEIGHT + 2 * MIN_BAR);
    html! {
        figure.traffic {
            svg role="img" aria-label=(describe(days)) viewBox={ "0 " (top) " " (width) " " (height) } {
                @for (x, day) in (0..).step_by(DAY_WIDTH as usize).zip(days) {
                    @let up = bar(day.fetched, line, most_fetched);
                    @let down = bar(day.sent, HEIGHT - line, most_sent);
                    @if up > 0 { rect.fetched x=(x) y=(line as i64 - up as i64) width=(BAR_WIDTH) height=(up) {} }
                    @if down > 0 { rect.sent x=(x) y=(line) width=(BAR_WIDTH) height=(down) {} }
                }
                line x1="0" y1=(line) x2=(width) y2=(line) {}
            }
            figcaption {
                "In " (span) ": " (number(fetched)) " fetched" (sign("\u{25b2}")) ", " (number(sent)) " sent" (sign("\u{25bc}"))
            }
        }
    }
}

fn number(messages: u64) -> String {
    if messages == 0 { "none".into() } else { messages.to_string() }
}

/// Says which bars are meant; a screen reader has the words.
fn sign(arrow: &str) -> Markup {
    html! { span.sign aria-hidden="true" { (arrow) } }
}

/// The picture in words: the days that stand out.
fn describe(days: &[Traffic]) -> String {
    let busiest = |of: fn(&Traffic) -> u64, what: &str| {
        let day = days.iter().rev().max_by_key(|day| of(day))?;
        (of(day) > 0).then(|| format!(" Most were {what} on {}: {}.", spoken(day.date), of(day)))
    };
    let text = format!("Messages on each of the last {} days.", days.len());
    text + &busiest(|day| day.fetched, "fetched").unwrap_or_default()
        + &busiest(|day| day.sent, "sent").unwrap_or_default()
}

fn spoken(date: Date) -> String {
    format!("{} {}", date.day(), date.month())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(counts: &[(u64, u64)]) -> Vec<Traffic> {
        let first = Date::from_ordinal_date(2026, 32).unwrap();
        let dates = std::iter::successors(Some(first), |date| date.next_day());
        dates.zip(counts).map(|(date, (fetched, sent))| Traffic { date, fetched: *fetched, sent: *sent }).collect()
    }

    #[test]
    fn each_day_has_its_bars_and_the_words_say_the_same() {
        let shown = render(&days(&[(0, 0), (90, 1), (45, 0), (0, 30)])).into_string();
        assert!(shown.contains("viewBox=\"0 -2 40 60\""), "{shown}");
        assert_eq!((shown.matches("class=\"fetched\"").count(), shown.matches("class=\"sent\"").count()), (2, 2));
        // 90 and 30 messages share the height; a single message is still seen.
        assert!(shown.contains("x=\"10\" y=\"0\" width=\"7\" height=\"42\""), "{shown}");
        assert!(shown.contains("x=\"10\" y=\"42\" width=\"7\" height=\"2\""), "{shown}");
        assert!(shown.contains("x=\"30\" y=\"42\" width=\"7\" height=\"14\""), "{shown}");
        assert!(shown.contains("Most were fetched on 2 February: 90. Most were sent on 4 February: 30."), "{shown}");
        assert!(shown.contains("In the last 4 days: 135 fetched"), "{shown}");
    }

    #[test]
    fn without_mail_there_are_words_alone() {
        let shown = render(&days(&[(0, 0), (0, 0)])).into_string();
        assert_eq!(shown, "<p class=\"hint\">No mail in the last 2 days.</p>");
        let shown = render(&days(&[(0, 0), (3, 0)])).into_string();
        assert!(!shown.contains("Most were sent") && shown.contains("height=\"56\""), "{shown}");
    }
}
