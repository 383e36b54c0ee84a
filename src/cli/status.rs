//! `ostler status`, `pause` and `resume`: ask the running ostler of the same settings file.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::{fail, print, print_json};
use crate::os::control::{Request, ask};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// One JSON document
    #[arg(long)]
    json: bool,
    /// Print nothing, and succeed only if mail programs are served: a door is open and ostler is not paused. For health checks
    #[arg(long, conflicts_with = "json")]
    health: bool,
}

/// Exit code 1 if no ostler runs.
pub(crate) fn main(file: &Path, options: &Options) -> ExitCode {
    match ask_running(file, &Request::Status) {
        Ok(status) if options.health => {
            if status.as_ref().is_some_and(is_serving) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Ok(Some(status)) => {
            if options.json {
                print_json(&status)
            } else {
                print(&status_text(&status))
            }
            ExitCode::SUCCESS
        }
        Ok(None) => {
            if options.json {
                print_json(&json!({"running": false}));
            } else {
                print(&format!("ostler is not running{}\n", service_hint()));
            }
            ExitCode::FAILURE
        }
        Err(code) => code,
    }
}

pub(crate) fn set_paused(file: &Path, pause: bool) -> ExitCode {
    let (request, done) = if pause { (Request::Pause, "paused\n") } else { (Request::Resume, "resumed\n") };
    match ask_running(file, &request) {
        Ok(Some(_)) => {
            print(done);
            ExitCode::SUCCESS
        }
        Ok(None) => fail(1, "ostler is not running"),
        Err(code) => code,
    }
}

/// As `/health` of the page's port judges.
fn is_serving(status: &Value) -> bool {
    let is_open = |door: &Value| door["state"] == "open";
    status["paused"] != true && status["doors"].as_array().is_some_and(|doors| doors.iter().any(is_open))
}

/// Who asks as a person for what runs as a service is led there.
fn service_hint() -> &'static str {
    #[cfg(target_os = "linux")]
    if !crate::os::service::is_administrator() && crate::os::service::Service::find().is_some() {
        return "; this computer has an ostler service, which answers `sudo ostler status`";
    }
    ""
}

/// The status that the running ostler answers with; `None` if none runs.
fn ask_running(file: &Path, request: &Request) -> Result<Option<Value>, ExitCode> {
    match ask(file, request) {
        Ok(Some(answer)) if answer.get("running").is_none() => {
            let why = answer["error"].as_str().unwrap_or("something this version cannot read");
            Err(fail(1, &format!("the running ostler says: {why}")))
        }
        Ok(answer) => Ok(answer),
        Err(error) => Err(fail(1, &format!("the running ostler does not answer: {error}"))),
    }
}

fn status_text(status: &Value) -> String {
    let word = |value: &Value| value.as_str().map_or_else(|| "-".to_owned(), str::to_owned);
    let each = |key: &str| status[key].as_array().cloned().unwrap_or_default();
    let mut text = format!(
        "ostler {} is running (process {}){}\n\ndoors\n",
        word(&status["version"]),
        status["pid"],
        if status["paused"] == true { ", paused" } else { "" }
    );
    for door in each("doors") {
        let whose = door["account"].as_str().map_or_else(String::new, |a| format!("  only account {a}"));
        text +=
            &format!("  {:5} {:22} {}{whose}\n", word(&door["protocol"]), word(&door["address"]), word(&door["state"]));
    }
    text += "\naccounts\n";
    if each("accounts").is_empty() {
        text += "  none yet\n";
    }
    for account in each("accounts") {
        let gate = account["gate_age_s"].as_u64().map_or_else(String::new, |age| format!("  gate: login {age} s ago"));
        let kept = match account["kept_sessions"].as_u64() {
            Some(1..) => "  connected for the next send",
            _ => "",
        };
        text += &format!(
            "  {:15} {:10} last fetch {}  last send {}{gate}{kept}\n",
            word(&account["name"]),
            word(&account["state"]),
            word(&account["last_fetch"]),
            word(&account["last_send"])
        );
        if let Some(failure) = account["last_failure"].as_str() {
            text += &format!("    {}: {failure}\n", word(&account["last_failure_at"]));
        }
    }
    text += "\nsessions\n";
    if each("sessions").is_empty() {
        text += "  none\n";
    }
    for session in each("sessions") {
        text += &format!(
            "  {:5} {:15} from {:22} since {}  {}{}\n",
            word(&session["protocol"]),
            word(&session["account"]),
            word(&session["client"]),
            word(&session["since"]),
            word(&session["state"]),
            session["progress"].as_str().map_or_else(String::new, |how_far| format!(", {how_far}"))
        );
    }
    text
}
