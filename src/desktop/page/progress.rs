//! The page of a job: its steps so far, its questions, how it ended.

use std::sync::Arc;

use axum::Form;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::add::{self, AddForm, Mistakes, Round};
use super::jobs::{CannotStart, Job, JobCommand, Line, Phase, Snapshot, Stage, Trouble};
use super::layout::{NavItem, View, button, form_token};
use super::words::{above_form, on_page, stopped};
use super::{App, Shared, link_to};
use crate::diagnose::StepKind;
use crate::guide::Client;
use crate::setup::Question;

/// How often the page refreshes itself while the job works.
const REFRESH_SECONDS: u32 = 1;

pub(super) async fn show(shared: App, Path(id): Path<String>) -> Response {
    match shared.jobs.find(&id) {
        Some(job) => render_page(&shared, &job, &Vec::new()).into_response(),
        None => job_gone(),
    }
}

fn job_gone() -> Response {
    let body = html! {
        p { "This page was left for too long, or ostler was restarted. What was not saved by then is lost." }
        p { a.button href="/add" { "Add an account" } " " a href="/" { "Overview" } }
    };
    (StatusCode::NOT_FOUND, View::new("This is over", NavItem::Add, body)).into_response()
}

/// The answer to a form that starts a job: its page.
pub(super) fn open_job(started: Result<Arc<Job>, CannotStart>) -> Response {
    match started {
        Ok(job) => Redirect::to(&format!("/job/{}", job.id)).into_response(),
        Err(CannotStart) => refuse_job(),
    }
}

fn refuse_job() -> Response {
    let body = html! {
        p { "Several tests or new accounts are under way already. Finish or stop one of them, then try again." }
        p { a href="/" { "Overview" } }
    };
    (StatusCode::SERVICE_UNAVAILABLE, View::new("Too much at once", NavItem::Add, body)).into_response()
}

fn render_page(shared: &Shared, job: &Job, mistakes: &Mistakes) -> View {
    let now = job.view();
    let (about, phase) = (&job.subject, &now.phase);
    let title = match phase {
        Phase::Working => format!("Trying {about}"),
        Phase::Asks(_, question) => question.heading(),
        Phase::Failed(trouble) if trouble.is_offline => "This computer is not connected".into(),
        Phase::Failed(_) => format!("{about} does not work yet"),
        Phase::Kept { works: true, .. } => format!("{about} works"),
        Phase::Kept { .. } => format!("{about} is saved"),
        Phase::Tested { ok: true } => format!("{about} works"),
        Phase::Tested { ok: false } => format!("{about} needs you"),
        Phase::Ended(_) => "Stopped".into(),
    };
    let body = html! {
        div #steps data-live aria-live="polite" { (render_stages(job, &now)) }
        div #next data-live { (render_next(shared, job, &now, mistakes)) }
        details {
            summary { "Every step" }
            div #lines data-live { (render_lines(&now.lines, wording(job, &now))) }
        }
    };
    let nav = if job.adds_account() { NavItem::Add } else { NavItem::Overview };
    let view = View::new(title, nav, body);
    // Only while it works: a refresh would empty a form that the user is filling in.
    if *phase == Phase::Working { view.refreshed(REFRESH_SECONDS) } else { view }
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Done,
    UnderWay,
    /// Waits for the answer to a question.
    Asks,
    Failed,
    /// Its turn has not come.
    Ahead,
}

impl Progress {
    fn of(stage: Stage, now: &Snapshot) -> Self {
        let lines = || now.lines.iter().filter(|(of, _)| *of == stage).map(|(_, line)| line);
        let has_failed = || lines().any(|line| matches!(line, Line::Bad { .. }));
        match &now.phase {
            Phase::Kept { works, .. } if *works || stage == Stage::Find || stage == Stage::Keep => Self::Done,
            Phase::Tested { .. } | Phase::Kept { .. } if has_failed() => Self::Failed,
            Phase::Tested { .. } if lines().next().is_some() => Self::Done,
            Phase::Tested { .. } | Phase::Kept { .. } => Self::Ahead,
            _ if stage < now.stage => Self::Done,
            _ if stage > now.stage => Self::Ahead,
            Phase::Working => Self::UnderWay,
            Phase::Asks(..) => Self::Asks,
            Phase::Failed(_) => Self::Failed,
            Phase::Ended(_) => Self::Ahead,
        }
    }

    /// The class, the sign and the word.
    fn look(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Done => ("ok", "\u{2713}", "done"),
            Self::UnderWay => ("now", "\u{2026}", "under way"),
            Self::Asks => ("now", "?", "waits for your answer"),
            Self::Failed => ("no", "!", "did not work"),
            Self::Ahead => ("ahead", "\u{2013}", "not yet"),
        }
    }
}

/// How advice is worded: an account that is not saved yet has no page.
fn wording(job: &Job, now: &Snapshot) -> fn(&str) -> String {
    let is_saved = matches!(now.phase, Phase::Kept { .. });
    if job.adds_account() && !is_saved { above_form } else { on_page }
}

/// The stages with their ticks, and under each what a person has to know of it.
fn render_stages(job: &Job, now: &Snapshot) -> Markup {
    let words = wording(job, now);
    html! {
        ol.steps.stages {
            @for stage in job.stages.iter().filter(|stage| belongs(**stage, now)) {
                @let progress = Progress::of(*stage, now);
                @let (class, sign, word) = progress.look();
                li class=(class) {
                    span.sign aria-hidden="true" { (sign) }
                    div {
                        p { b { (name_stage(*stage)) } " " span.hint { (word) } }
                        @for line in choose_lines(*stage, progress, now) { (render_line(line, words)) }
                    }
                }
            }
        }
    }
}

/// Whether this job has the stage. Only a job that comes to the sign-in at a company shows it: most providers take a password.
fn belongs(stage: Stage, now: &Snapshot) -> bool {
    stage != Stage::SignIn || now.stage == stage || now.lines.iter().any(|(of, _)| *of == stage)
}

fn name_stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Find => "Find the mail servers",
        Stage::SignIn => "Sign in at the company",
        Stage::Fetch => "Fetch mail",
        Stage::Send => "Send mail",
        Stage::Keep => "Save the account",
    }
}

/// The lines that belong beside the tick: what the user should know, and why a stage failed. Of several failures on the way
/// to a new account the last one counts, because the others were guesses.
fn choose_lines(stage: Stage, progress: Progress, now: &Snapshot) -> Vec<&Line> {
    let lines = || now.lines.iter().filter(|(of, _)| *of == stage).map(|(_, line)| line);
    let mut chosen: Vec<&Line> = lines().filter(|line| matches!(line, Line::Note(_))).collect();
    // Once the user has signed in, its address is of no use.
    chosen.extend(lines().filter(|line| matches!(line, Line::Link { .. }) && progress == Progress::UnderWay));
    let mut failures: Vec<&Line> = lines().filter(|line| matches!(line, Line::Bad { .. })).collect();
    if progress != Progress::Failed {
        failures.clear();
    } else if matches!(now.phase, Phase::Failed(_)) {
        failures.drain(..failures.len().saturating_sub(1));
    }
    chosen.extend(failures);
    chosen
}

fn render_line(line: &Line, words: fn(&str) -> String) -> Markup {
    html! {
        @match line {
            Line::Good { server, step, detail } => {
                p { b { (name_step(*step)) } " " (detail) }
                p.hint { (server) }
            }
            Line::Bad { server, step, detail, cause, advice } => {
                p { b { (name_step(*step)) } " did not work: " (stopped(detail)) }
                @if let Some(cause) = cause { p { "Likely cause: " (stopped(&words(cause))) } }
                @if let Some(advice) = advice { p { "What to do: " (stopped(&words(advice))) } }
                p.hint { (server) }
            }
            Line::Note(text) | Line::Said(text) => { p { (text) } }
            Line::Link { words, address } => { p { a.button href=(address) target="_blank" rel="noopener noreferrer" { (words) } } }
        }
    }
}

fn render_lines(lines: &[(Stage, Line)], words: fn(&str) -> String) -> Markup {
    html! {
        @if lines.is_empty() { p { "Nothing yet." } }
        ol.steps {
            @for (_, line) in lines {
                @let (class, sign) = match line {
                    Line::Good { .. } => (Some("ok"), "\u{2713}"),
                    Line::Bad { .. } => (Some("no"), "!"),
                    Line::Note(_) | Line::Said(_) | Line::Link { .. } => (None, "\u{2013}"),
                };
                li class=[class] { span.sign aria-hidden="true" { (sign) } div { (render_line(line, words)) } }
            }
        }
    }
}

/// A step of the doctor, in words for the user.
fn name_step(step: StepKind) -> &'static str {
    match step {
        StepKind::Settings => "Settings",
        StepKind::Secret => "Password",
        StepKind::Token => "Sign-in at the company",
        StepKind::Name => "Looking up the server",
        StepKind::Tcp => "Connecting",
        StepKind::Tls => "Encryption",
        StepKind::Capabilities => "Greeting",
        StepKind::SignIn => "Signing in",
        StepKind::MessageIds => "Message ids",
        StepKind::Gate => "Sending after a login",
        StepKind::Send => "Sending",
    }
}

fn render_next(shared: &Shared, job: &Job, now: &Snapshot, mistakes: &Mistakes) -> Markup {
    let stop = || button(shared, &format!("/job/{}/stop", job.id), "Stop");
    match &now.phase {
        Phase::Working if now.stage == Stage::SignIn => {
            html! { p role="status" { "Once you have signed in, this page goes on by itself." } (stop()) }
        }
        Phase::Working => html! { p role="status" { "One moment, please ..." } (stop()) },
        Phase::Asks(number, question) => html! { (render_question(shared, job, *number, question)) (stop()) },
        Phase::Failed(trouble) => render_failure(shared, job, trouble, mistakes),
        Phase::Kept { account, works, served, client } => render_kept(account, *works, *served, *client),
        Phase::Tested { ok: true } => html! {
            div.notice.good role="status" { p { "Everything works." } }
            p { a.button href="/" { "Overview" } }
        },
        Phase::Tested { ok: false } => html! {
            div.notice.bad role="status" { p { "Something needs your attention; see above." } }
            p { a.button href=(link_to("/account", &job.subject)) { "Change this account" } " " a href="/" { "Overview" } }
        },
        Phase::Ended(why) => html! {
            div.notice role="status" { p { (why) } }
            p {
                @if job.adds_account() { a.button href="/add" { "Add an account" } }
                @else { a.button href=(link_to("/account", &job.subject)) { "Back to " (job.subject) } }
                " " a href="/" { "Overview" }
            }
        },
    }
}

fn render_question(shared: &Shared, job: &Job, number: usize, question: &Question) -> Markup {
    let yes = question.is_yes_by_default();
    html! {
        form.panel method="post" action={"/job/" (job.id) "/answer"} {
            (form_token(shared))
            input type="hidden" name="number" value=(number);
            p { (question.text()) }
            button.second[!yes] type="submit" name="answer" value="yes" { "Yes" }
            button.second[yes] type="submit" name="answer" value="no" { "No" }
        }
    }
}

fn render_failure(shared: &Shared, job: &Job, trouble: &Trouble, mistakes: &Mistakes) -> Markup {
    let round = if trouble.password.is_some() || trouble.is_offline { Round::SameServers } else { Round::Retry };
    html! {
        div.notice.bad role="status" {
            @if let Some(why) = &trouble.why { p { (why) } }
            @else if let Some(password) = trouble.password { p { (password) } }
            @else { p { "This does not work yet; see above for what to do. Nothing has been saved." } }
            @for hint in &trouble.hints { p { (hint) } }
        }
        h2 { (if trouble.is_offline { "When the internet is back" } else { "Change something and try again" }) }
        (add::render_form(shared, &format!("/job/{}/again", job.id), &trouble.form, mistakes, round))
        @if trouble.can_keep {
            h2 { "Or" }
            p { "Save the account as it is, if you know that it will work later." }
            (button(shared, &format!("/job/{}/keep", job.id), "Save it anyway"))
        }
        (button(shared, &format!("/job/{}/stop", job.id), "Stop and save nothing"))
    }
}

fn render_kept(account: &str, works: bool, served: bool, client: Option<&Client>) -> Markup {
    html! {
        div.notice.good[works] role="status" {
            @if works { p { b { (account) } " works and is saved." } }
            @else { p { b { (account) } " is saved, but has not been seen to work." } }
            @if !served {
                p { "The running ostler does not have it yet. The overview should show it in a moment; if it does not, restart ostler." }
            }
        }
        @if let Some(client) = client {
            p {
                a.button href=(link_to(&format!("/guide/{}", client.name), account)) { "Set up " (client.title()) }
                " " a href=(link_to("/program", account)) { "Another mail program" }
            }
        } @else {
            p { "One thing is left, in your mail program:" }
            p { a.button href=(link_to("/program", account)) { "Which mail program do you use?" } }
        }
    }
}

#[derive(Deserialize)]
pub(super) struct AnswerForm {
    number: usize,
    answer: String,
}

pub(super) async fn answer(shared: App, Path(id): Path<String>, Form(sent): Form<AnswerForm>) -> Response {
    change_job(&shared, &id, |job| job.send(JobCommand::Answer(sent.number, sent.answer == "yes")))
}

pub(super) async fn stop(shared: App, Path(id): Path<String>) -> Response {
    change_job(&shared, &id, |job| job.stop())
}

pub(super) async fn keep(shared: App, Path(id): Path<String>) -> Response {
    change_job(&shared, &id, |job| {
        if job.resume(false) {
            job.send(JobCommand::Keep);
        }
    })
}

pub(super) async fn again(shared: App, Path(id): Path<String>, Form(sent): Form<AddForm>) -> Response {
    let Some(job) = shared.jobs.find(&id) else { return job_gone() };
    match add::parse_form(&sent, &shared.engine.settings(), Round::Retry) {
        Ok(wanted) => {
            if job.resume(true) {
                job.send(JobCommand::Again(Box::new(wanted)));
            }
            Redirect::to(&format!("/job/{id}")).into_response()
        }
        Err(mistakes) => {
            job.refill(sent.fields());
            render_page(&shared, &job, &mistakes).into_response()
        }
    }
}

fn change_job(shared: &Shared, id: &str, change: impl FnOnce(&Arc<Job>)) -> Response {
    let Some(job) = shared.jobs.find(id) else { return job_gone() };
    change(&job);
    Redirect::to(&format!("/job/{id}")).into_response()
}
