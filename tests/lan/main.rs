//! ostler on a small computer in a network, for old programs on others: what whoever sets it up over ssh meets (`headless`), what
//! the other computers are served (`doors`), and what a hostile one cannot do (`attacks`).

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod doors;
mod headless;
mod house;
