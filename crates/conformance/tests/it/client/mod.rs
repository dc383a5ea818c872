//! The program as a client of the vault API, with a fault proxy between it and the server.
//!
//! ```text
//! icefield upload, retrieve, ... (a process)  <-->  proxy (what was acknowledged)  <-->  icefield serve (a process)
//!         home: catalog, configuration                                                      view: what is there
//! ```
//!
//! Each test has a form that takes seconds, which runs always, and one of the size that is promised, marked
//! `#[ignore = "long"]`. All of them print the seed of what is random about them, and figures; a failing one prints what
//! the proxy has seen.

mod faults;
mod files;
mod home;
mod killed;
mod line;
mod messages;
mod speed;
mod view;
