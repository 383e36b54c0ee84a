//! Jobs that the user watches: setting up an account, testing one. Each has a thread of its own, and a page that shows what
//! it has done so far and asks questions. A job whose page is not viewed any more ends by itself and leaves nothing behind:
//! what it knows, passwords included, lives in its thread only.
//!
//! Not here: what jobs do (`setup_job.rs`, `account.rs`) and how they are shown (`progress.rs`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};

use super::guard::random_hex;
use crate::diagnose::{Step, StepKind};
use crate::guide::Client;
use crate::setup::authorize::SignInUi;
use crate::setup::find::capitalised;
use crate::setup::{Question, SetupUi};
use ostler_mail::oauth2::device::DeviceCode;

/// Jobs at once. A user has one, or a second one in another tab.
const MAX_RUNNING_JOBS: usize = 4;
/// A job whose page was not viewed for this long is given up. While a job works, its page refreshes every second.
const ABANDON_TIMEOUT: Duration = Duration::from_secs(600);
/// The longest list on a page. A search that reports more lines has a defect.
const MAX_LINES: usize = 400;

/// The parts of a job that its page ticks off, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Looking for the servers.
    Find,
    /// The user signs in at a company that gives out OAuth2 tokens.
    SignIn,
    /// Trying the server for fetching.
    Fetch,
    /// Trying the servers for sending.
    Send,
    /// Saving the account.
    Keep,
}

impl Stage {
    /// The stages of adding an account.
    pub(super) const OF_SETUP: &'static [Self] = &[Self::Find, Self::SignIn, Self::Fetch, Self::Send, Self::Keep];

    fn of(step: &Step) -> Self {
        if step.is_outgoing() { Self::Send } else { Self::Fetch }
    }
}

/// A line on the page of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// A step that worked.
    Good { server: String, step: StepKind, detail: String },
    /// A step that failed.
    Bad { server: String, step: StepKind, detail: String, cause: Option<String>, advice: Option<String> },
    /// What the user should know afterwards.
    Note(String),
    /// An address that the user has to open.
    Link { words: &'static str, address: String },
    /// Plain text, on the way.
    Said(String),
}

impl From<&Step> for Line {
    fn from(step: &Step) -> Self {
        let (server, detail) = (step.server.clone(), step.detail.clone());
        if step.is_ok() && step.has_news {
            Self::Note(format!("{}.", capitalised(&detail)))
        } else if step.is_ok() {
            Self::Good { server, step: step.kind, detail }
        } else {
            let (cause, advice) = (step.cause.clone(), step.advice.clone());
            Self::Bad { server, step: step.kind, detail, cause, advice }
        }
    }
}

/// What the page shows when an account does not work yet. Holds no password.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Trouble {
    /// What is wrong, if the steps do not say so.
    pub(super) why: Option<String>,
    /// What the provider is known to require.
    pub(super) hints: Vec<String>,
    /// What to say about the password, if it may be wrong.
    pub(super) password: Option<&'static str>,
    /// Nothing is wrong but the network.
    pub(super) is_offline: bool,
    /// The account has servers, so the user may keep it anyway.
    pub(super) can_keep: bool,
    pub(super) form: super::add::Fields,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    Working,
    /// Waits for the answer to this question; the number tells questions apart.
    Asks(usize, Question),
    /// The account does not work yet; waits for a changed form.
    Failed(Box<Trouble>),
    /// The account is saved. `works`: it was tried with success. `served`: the running ostler has it.
    Kept {
        account: String,
        works: bool,
        served: bool,
        /// The mail program that the user has named.
        client: Option<&'static Client>,
    },
    Tested {
        ok: bool,
    },
    /// Over without a result, for this reason.
    Ended(String),
}

impl Phase {
    fn is_over(&self) -> bool {
        matches!(self, Self::Kept { .. } | Self::Tested { .. } | Self::Ended(_))
    }
}

/// What the user does on the page of a job.
pub(super) enum JobCommand {
    /// The answer to a question, by its number.
    Answer(usize, bool),
    /// Try again with this form.
    Again(Box<super::add::AccountRequest>),
    /// Keep the account although it does not work.
    Keep,
}

pub(super) struct Job {
    pub(super) id: String,
    /// The address or account it is about.
    pub(super) subject: String,
    pub(super) stages: Vec<Stage>,
    inner: Mutex<Inner>,
    commands: mpsc::Sender<JobCommand>,
    stop: Notify,
    /// Held while an account is being saved, which must not be interrupted half way.
    pub(super) keeping: tokio::sync::Mutex<()>,
}

struct Inner {
    last_viewed: Instant,
    /// In which stage each was written.
    lines: Vec<(Stage, Line)>,
    stage: Stage,
    phase: Phase,
}

/// What the page of a job shows.
pub(super) struct Snapshot {
    pub(super) lines: Vec<(Stage, Line)>,
    /// The stage it is in.
    pub(super) stage: Stage,
    pub(super) phase: Phase,
}

impl Job {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, line: Line) {
        let mut inner = self.lock();
        if inner.lines.len() < MAX_LINES {
            let stage = inner.stage;
            inner.lines.push((stage, line));
        }
    }

    /// Goes on to a stage. None is gone back to: a look at the other server in between belongs to the stage it serves.
    pub(super) fn reach(&self, stage: Stage) {
        let mut inner = self.lock();
        inner.stage = inner.stage.max(stage);
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.lock().phase = phase;
    }

    /// Goes on after a failure. `false`: the job is not waiting for that, for instance because the user clicked twice.
    pub(super) fn resume(&self, fresh: bool) -> bool {
        let mut inner = self.lock();
        let waits = matches!(inner.phase, Phase::Failed(_));
        // Here and not in the job's thread, so that the second of two quick clicks finds the job at work.
        if waits {
            inner.phase = Phase::Working;
            if fresh {
                inner.lines.clear();
                inner.stage = self.first_stage();
            }
        }
        waits
    }

    /// Makes the page show a form with mistakes as it was sent.
    pub(super) fn refill(&self, form: super::add::Fields) {
        if let Phase::Failed(trouble) = &mut self.lock().phase {
            trouble.form = form;
        }
    }

    /// What the page shows. Counts as a view.
    pub(super) fn view(&self) -> Snapshot {
        let mut inner = self.lock();
        inner.last_viewed = Instant::now();
        Snapshot { lines: inner.lines.clone(), stage: inner.stage, phase: inner.phase.clone() }
    }

    /// Whether it is about an account that is not there yet.
    pub(super) fn adds_account(&self) -> bool {
        self.stages.contains(&Stage::Keep)
    }

    fn first_stage(&self) -> Stage {
        self.stages.first().copied().unwrap_or(Stage::Find)
    }

    /// Passes a command on. One that the job no longer waits for has no effect.
    pub(super) fn send(&self, command: JobCommand) {
        self.lock().last_viewed = Instant::now();
        let _ = self.commands.try_send(command);
    }

    /// Ends the job; nothing is saved.
    pub(super) fn stop(&self) {
        self.stop.notify_one();
    }

    /// Returns why the job must end, once the user has stopped it or has not viewed it for long.
    async fn wait_for_end(&self) -> &'static str {
        let abandoned = async {
            loop {
                let since = self.lock().last_viewed.elapsed();
                let Some(rest) = ABANDON_TIMEOUT.checked_sub(since).filter(|rest| !rest.is_zero()) else { return };
                sleep(rest).await;
            }
        };
        let why = tokio::select! {
            () = self.stop.notified() => "Stopped. Nothing was saved.",
            () = abandoned => "This page was not viewed for ten minutes, so ostler stopped. Nothing was saved.",
        };
        // A save under way ends first.
        let _ = self.keeping.lock().await;
        why
    }
}

#[derive(Default)]
pub(super) struct Jobs(Mutex<Vec<Arc<Job>>>);

/// There are too many jobs, or the system has no room for another thread.
pub(super) struct CannotStart;

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Job>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Job>> {
        self.lock().iter().find(|job| job.id == id).cloned()
    }

    /// Starts a job that goes through these stages. `work` runs in the job's thread and returns how the job ends.
    pub(super) fn start<W, F>(&self, subject: &str, stages: &[Stage], work: W) -> Result<Arc<Job>, CannotStart>
    where
        W: FnOnce(Screen) -> F + Send + 'static,
        F: Future<Output = Phase>,
    {
        self.start_in(subject, stages, work, || Builder::new_current_thread().enable_all().build())
    }

    /// As [`start`](Self::start), with a runtime of the caller's: tests use one whose clock they control.
    fn start_in<W, F>(
        &self,
        subject: &str,
        stages: &[Stage],
        work: W,
        runtime: fn() -> std::io::Result<Runtime>,
    ) -> Result<Arc<Job>, CannotStart>
    where
        W: FnOnce(Screen) -> F + Send + 'static,
        F: Future<Output = Phase>,
    {
        let mut jobs = self.lock();
        jobs.retain(|job| {
            let inner = job.lock();
            !inner.phase.is_over() || inner.last_viewed.elapsed() < ABANDON_TIMEOUT
        });
        let busy = jobs.iter().filter(|job| !job.lock().phase.is_over()).count();
        if busy >= MAX_RUNNING_JOBS {
            return Err(CannotStart);
        }
        // Jobs that are over stay for a while, so that their pages can still be viewed.
        while jobs.len() >= MAX_RUNNING_JOBS * 2 {
            let Some(first) = jobs.iter().position(|job| job.lock().phase.is_over()) else { break };
            jobs.remove(first);
        }
        let (sender, commands) = mpsc::channel(4);
        let job = Arc::new(Job {
            id: random_hex().ok_or(CannotStart)?,
            subject: subject.to_owned(),
            stages: stages.to_vec(),
            inner: Mutex::new(Inner {
                last_viewed: Instant::now(),
                lines: Vec::new(),
                stage: stages.first().copied().unwrap_or(Stage::Find),
                phase: Phase::Working,
            }),
            commands: sender,
            stop: Notify::new(),
            keeping: tokio::sync::Mutex::new(()),
        });
        let screen = Screen { job: Arc::clone(&job), commands, asked: 0 };
        let own = Arc::clone(&job);
        let spawned =
            std::thread::Builder::new().name("page-job".into()).spawn(move || run(&own, runtime, work, screen));
        spawned.map_err(|_| CannotStart)?;
        jobs.push(Arc::clone(&job));
        Ok(job)
    }
}

/// Sets the last phase even if the job panics.
struct EndGuard<'a>(&'a Job);

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        if !self.0.lock().phase.is_over() {
            let why =
                "This ended because of a defect in ostler, and nothing was saved. Please report it, and try again.";
            self.0.set_phase(Phase::Ended(why.into()));
        }
    }
}

fn run<W, F>(job: &Job, runtime: fn() -> std::io::Result<Runtime>, work: W, screen: Screen)
where
    W: FnOnce(Screen) -> F,
    F: Future<Output = Phase>,
{
    let _end = EndGuard(job);
    let Ok(runtime) = runtime() else {
        job.set_phase(Phase::Ended(
            "This computer is short of memory just now. Close some programs and try again.".into(),
        ));
        return;
    };
    let phase = runtime.block_on(async {
        tokio::select! {
            phase = work(screen) => phase,
            why = job.wait_for_end() => Phase::Ended(why.into()),
        }
    });
    job.set_phase(phase);
    // Does not wait for a name look-up that still runs in a thread.
    runtime.shutdown_background();
}

/// The job's side of its page: shows steps, asks questions, receives commands.
pub(super) struct Screen {
    pub(super) job: Arc<Job>,
    commands: mpsc::Receiver<JobCommand>,
    asked: usize,
}

impl Screen {
    /// The next command. Answers to earlier questions are skipped.
    pub(super) async fn next_command(&mut self) -> JobCommand {
        loop {
            match self.commands.recv().await {
                Some(JobCommand::Answer(..)) => {}
                Some(command) => return command,
                // Cannot happen: the job holds the sender.
                None => std::future::pending().await,
            }
        }
    }
}

impl SignInUi for Screen {
    fn open(&mut self, address: &str) {
        self.job.push(Line::Link { words: "Sign in (opens a new page)", address: address.to_owned() });
    }

    fn show_code(&mut self, code: &DeviceCode) {
        self.job.push(Line::Note(format!("Type this code there: {}", code.user_code)));
        self.job.push(Line::Link { words: "Open the page for the code", address: code.page.to_string() });
    }

    fn say(&mut self, text: &str) {
        self.job.push(Line::Note(text.to_owned()));
    }
}

impl SetupUi for Screen {
    fn step(&mut self, step: &Step) {
        self.job.reach(Stage::of(step));
        // These two always succeed here, and would only be in the way.
        if !step.is_routine() {
            self.job.push(Line::from(step));
        }
    }

    fn say(&mut self, text: &str) {
        self.job.push(Line::Said(text.trim().to_owned()));
    }

    fn note(&mut self, text: &str) {
        self.job.push(Line::Note(text.to_owned()));
    }

    async fn confirm(&mut self, question: &Question) -> bool {
        self.asked += 1;
        self.job.set_phase(Phase::Asks(self.asked, question.clone()));
        loop {
            match self.commands.recv().await {
                Some(JobCommand::Answer(number, yes)) if number == self.asked => {
                    self.job.push(Line::Said(format!("{} {}", question.text(), if yes { "Yes." } else { "No." })));
                    self.job.set_phase(Phase::Working);
                    return yes;
                }
                // From a page that shows an earlier question or an earlier failure.
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(job: &Job, is: impl Fn(&Phase) -> bool) -> Phase {
        let start = std::time::Instant::now();
        loop {
            let phase = job.view().phase;
            if is(&phase) {
                return phase;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{phase:?}");
            std::thread::yield_now();
        }
    }

    fn question() -> Question {
        Question::UseUncertain { title: "x".into() }
    }

    #[test]
    fn a_question_is_answered_once_and_by_its_own_answer() {
        let jobs = Jobs::default();
        let work = |mut screen: Screen| async move {
            let first = screen.confirm(&question()).await;
            let second = screen.confirm(&question()).await;
            Phase::Tested { ok: first && !second }
        };
        let Ok(job) = jobs.start("x", &[], work) else { panic!() };
        wait(&job, |phase| matches!(phase, Phase::Asks(1, _)));
        job.send(JobCommand::Answer(1, true));
        wait(&job, |phase| matches!(phase, Phase::Asks(2, _)));
        // Clicked twice.
        job.send(JobCommand::Answer(1, true));
        job.send(JobCommand::Answer(2, false));
        assert_eq!(wait(&job, Phase::is_over), Phase::Tested { ok: true });
    }

    /// A runtime whose clock stands still, and jumps to the next timer when there is nothing else to do.
    fn paused() -> std::io::Result<Runtime> {
        Builder::new_current_thread().enable_all().start_paused(true).build()
    }

    /// Something that a job knows, such as a password.
    struct Known(Arc<std::sync::atomic::AtomicBool>);

    impl Drop for Known {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }

    #[test]
    fn one_that_nobody_looks_at_ends_and_knows_nothing_any_more() {
        let (jobs, forgotten) = (Jobs::default(), Arc::default());
        let known = Known(Arc::clone(&forgotten));
        let work = |mut screen: Screen| async move {
            let _known = known;
            let yes = screen.confirm(&question()).await;
            Phase::Tested { ok: yes }
        };
        let Ok(job) = jobs.start_in("x", &[], work, paused) else { panic!() };
        assert_eq!(
            wait(&job, Phase::is_over),
            Phase::Ended("This page was not viewed for ten minutes, so ostler stopped. Nothing was saved.".into())
        );
        // What the job knew is dropped before it says that it is over.
        assert!(forgotten.load(std::sync::atomic::Ordering::SeqCst));
        // A user who comes back sees why, and an answer that comes too late has no effect.
        job.send(JobCommand::Answer(1, true));
        assert!(matches!(job.view().phase, Phase::Ended(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn each_look_gives_it_another_ten_minutes() {
        let jobs = Jobs::default();
        let Ok(job) = jobs.start("x", &[], |_: Screen| std::future::pending::<Phase>()) else { panic!() };
        job.view();
        let start = Instant::now();
        let nearly = ABANDON_TIMEOUT - Duration::from_secs(1);
        for _ in 0..3 {
            assert!(tokio::time::timeout(nearly, job.wait_for_end()).await.is_err());
            job.view();
        }
        let why = job.wait_for_end().await;
        assert!(
            why.contains("ten minutes") && start.elapsed() == nearly * 3 + ABANDON_TIMEOUT,
            "{:?}",
            start.elapsed()
        );
        job.stop();
        wait(&job, Phase::is_over);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_being_kept_is_not_broken_off() {
        let jobs = Jobs::default();
        let Ok(job) = jobs.start("x", &[], |_: Screen| std::future::pending::<Phase>()) else { panic!() };
        let keeping = job.keeping.lock().await;
        assert!(tokio::time::timeout(ABANDON_TIMEOUT * 2, job.wait_for_end()).await.is_err());
        drop(keeping);
        assert!(job.wait_for_end().await.contains("ten minutes"));
        job.stop();
        wait(&job, Phase::is_over);
    }

    #[test]
    fn it_can_be_stopped_ends_by_a_defect_and_there_are_only_a_few() {
        let jobs = Jobs::default();
        let Ok(broken) = jobs.start("x", &[], |_: Screen| async { panic!("a defect") }) else { panic!() };
        assert!(matches!(wait(&broken, Phase::is_over), Phase::Ended(why) if why.contains("defect")));
        let wait_for_nothing = |_: Screen| std::future::pending::<Phase>();
        let all: Vec<_> = (0..MAX_RUNNING_JOBS).filter_map(|_| jobs.start("x", &[], wait_for_nothing).ok()).collect();
        assert_eq!(all.len(), MAX_RUNNING_JOBS);
        assert!(jobs.start("x", &[], wait_for_nothing).is_err());
        all[0].stop();
        assert!(matches!(wait(&all[0], Phase::is_over), Phase::Ended(why) if why.contains("Nothing was saved")));
        assert!(jobs.start("x", &[], wait_for_nothing).is_ok());
        assert!(jobs.find(&all[1].id).is_some() && jobs.find("x").is_none());
    }
}
