//! A black-box suite for any Glacier endpoint: one case for each statement about the service that shows from outside.
//!
//! ```text
//! cases::* --> context (vaults of the case's own) --> request (signed, or wrong on purpose) --> http --> endpoint
//!     ^                                                                                          |
//!     +---- answer <---- rules (what holds for every answer) <---- model (what SDKs expect) <----+
//! ```
//!
//! Nothing here knows the server of this workspace: its client, its signatures and its model of the answers are its own
//! or the vendor's, so that a mistake has to be made twice before it goes unseen. Cases run in parallel and side by side
//! with other users of the endpoint: each makes vaults of its own and finds only those again.

mod answer;
mod bytes;
mod cases;
mod context;
pub mod discard;
mod endpoint;
pub mod http;
mod model;
mod offers;
mod outcome;
pub mod proxy;
mod random;
mod request;
mod rules;
mod signing;
mod suite;

pub use endpoint::{Bench, Credentials, Endpoint, Laboratory, Setup};
pub use outcome::Failed;
pub use random::Random;
pub use suite::{Case, CaseReport, Ending, Need, Report, Suite};
