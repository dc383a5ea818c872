//! One module for each thing that is measured.

mod client;
mod embedded;
mod guard;
mod kernels;
mod rest;
mod retrieval;
mod server;

use anyhow::Result;

use crate::{options::Options, report::Report};

/// A suite: measures, and reports as it goes.
type Suite = fn(&Options, &mut Report) -> Result<()>;

/// All, in the order of the page.
pub(crate) const SUITES: [(&str, Suite); 7] = [
    ("kernels", kernels::measure),
    ("server", server::measure),
    ("retrieval", retrieval::measure),
    ("embedded", embedded::measure),
    ("client", client::measure),
    ("rest", rest::measure),
    ("guard", guard::measure),
];
