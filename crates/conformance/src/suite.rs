//! The list of cases, and running them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use icefield_protocol::Clock;
use serde::Serialize;
use tokio::sync::{RwLock, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::context::{Context, Exchange, Names};
use crate::endpoint::{Endpoint, Laboratory};
use crate::offers::Offers;
use crate::outcome::{Failed, Outcome};

/// Cases that run at the same time.
const AT_ONCE: usize = 12;

/// Longest time for a case.
const CASE_TIMEOUT: Duration = Duration::from_secs(240);

/// What a case needs beyond an endpoint and a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A key of a user of the account whom no policy allows anything.
    User,
    /// A key of another account.
    Other,
    /// A temporary key.
    Session,
    /// Inventories that show what was uploaded a moment ago.
    Inventory,
    /// Retrievals that are ready within seconds.
    NoDelay,
    /// An account that nobody else uses; no other case runs meanwhile.
    Account,
    /// Servers of its own, with clocks that can be turned.
    Laboratory,
}

/// One statement about the service, and how to see whether it holds.
#[derive(Clone, Copy)]
pub struct Case {
    /// The statement, in words.
    pub name: &'static str,
    /// Where it stands in the specification of behaviour.
    pub section: &'static str,
    /// What it needs.
    pub needs: &'static [Need],
    pub(crate) run: fn(Context) -> Pin<Box<dyn Future<Output = Outcome> + Send>>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.section)
    }
}

/// Makes the list of a module's cases: `"section" name,` or `"section" [Need, ...] name,`.
macro_rules! cases {
    ($($section:literal $([$($need:ident),*])? $name:ident,)*) => {
        pub(super) const CASES: &[$crate::suite::Case] = &[$($crate::suite::Case {
            name: stringify!($name),
            section: $section,
            needs: &[$($($crate::suite::Need::$need,)*)?],
            run: |context| Box::pin(async move { $name(&context).await }),
        },)*];
    };
}
pub(crate) use cases;

/// How a case ended.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum Ending {
    /// The statement holds.
    Passed,
    /// It does not.
    Failed {
        /// What was found.
        what: String,
        /// The last request.
        sent: String,
        /// Its answer.
        came: String,
    },
    /// The endpoint does not offer what it needs.
    Skipped {
        /// What that is.
        why: String,
    },
}

/// A case and how it ended.
#[derive(Clone, Debug, Serialize)]
pub struct CaseReport {
    /// The statement.
    pub name: &'static str,
    /// Where it stands.
    pub section: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub ending: Ending,
}

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How many hold.
    pub passed: usize,
    /// How many do not.
    pub failed: usize,
    /// How many could not be seen.
    pub skipped: usize,
    /// Each of them, in order of the specification's modules.
    pub cases: Vec<CaseReport>,
}

/// The cases to run, and what to run them against.
#[derive(Debug)]
pub struct Suite {
    endpoint: Endpoint,
    clock: Arc<dyn Clock>,
    laboratory: Option<Arc<dyn Laboratory>>,
    cases: Vec<Case>,
}

impl Suite {
    /// Returns all cases, to be run against `endpoint`, whose time `clock` tells.
    #[must_use]
    pub fn new(endpoint: Endpoint, clock: Arc<dyn Clock>) -> Self {
        Self { endpoint, clock, laboratory: None, cases: crate::cases::all() }
    }

    /// Also runs the cases that need servers of their own.
    #[must_use]
    pub fn with_laboratory(self, laboratory: Arc<dyn Laboratory>) -> Self {
        Self { laboratory: Some(laboratory), ..self }
    }

    /// Keeps the cases whose section or name contains `filter`.
    #[must_use]
    pub fn filtered(mut self, filter: &str) -> Self {
        self.cases.retain(|case| case.name.contains(filter) || case.section == filter);
        self
    }

    /// Returns the cases.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// Runs the cases.
    ///
    /// # Errors
    ///
    /// When the endpoint does not answer, or not even create a vault.
    pub async fn run(&self) -> Result<Report, Failed> {
        let names = Names::new(self.clock.now().unix_millis());
        let context = |account: &str| {
            let (clock, laboratory) = (Arc::clone(&self.clock), self.laboratory.clone());
            Context::new(
                self.endpoint.clone(),
                clock,
                account.to_owned(),
                names.clone(),
                laboratory,
            )
        };
        let account = context("").ask_account().await?;
        let offers =
            Offers::of(&context(&account), &self.endpoint, self.laboratory.is_some()).await;
        let (places, account_wide) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(RwLock::new(())));
        let mut running = JoinSet::new();
        let mut reports: Vec<Option<CaseReport>> = vec![None; self.cases.len()];
        for (index, case) in self.cases.iter().copied().enumerate() {
            if let Some(why) = offers.lacking(case.needs) {
                reports[index] = Some(report(case, Ending::Skipped { why: why.to_owned() }));
                continue;
            }
            let (context, places, account_wide) =
                (context(&account), Arc::clone(&places), Arc::clone(&account_wide));
            running.spawn(async move {
                let _place = places.acquire().await;
                (index, report(case, run_one(case, &context, &account_wide).await))
            });
        }
        while let Some(ended) = running.join_next().await {
            let (index, report) =
                ended.map_err(|error| Failed::new(format!("a case broke: {error}")))?;
            reports[index] = Some(report);
        }
        Ok(Report::of(reports.into_iter().flatten().collect()))
    }
}

async fn run_one(case: Case, context: &Context, account_wide: &RwLock<()>) -> Ending {
    let alone = case.needs.contains(&Need::Account);
    let (_alone, _shared) = if alone {
        (Some(account_wide.write().await), None)
    } else {
        (None, Some(account_wide.read().await))
    };
    let outcome = timeout(CASE_TIMEOUT, (case.run)(context.clone())).await;
    let Exchange { sent, came } = context.last();
    context.tidy().await;
    match outcome {
        Ok(Ok(())) => Ending::Passed,
        Ok(Err(failed)) => Ending::Failed { what: failed.to_string(), sent, came },
        Err(_) => Ending::Failed { what: "the case does not end".to_owned(), sent, came },
    }
}

fn report(case: Case, ending: Ending) -> CaseReport {
    CaseReport { name: case.name, section: case.section, ending }
}

impl Report {
    fn of(cases: Vec<CaseReport>) -> Self {
        let count =
            |wanted: fn(&Ending) -> bool| cases.iter().filter(|case| wanted(&case.ending)).count();
        Self {
            passed: count(|ending| matches!(ending, Ending::Passed)),
            failed: count(|ending| matches!(ending, Ending::Failed { .. })),
            skipped: count(|ending| matches!(ending, Ending::Skipped { .. })),
            cases,
        }
    }
}

impl std::fmt::Display for Report {
    /// A line for each case that failed or was skipped, then the totals.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for CaseReport { name, section, ending } in &self.cases {
            match ending {
                Ending::Passed => {}
                Ending::Skipped { why } => writeln!(f, "skipped {name} ({section}): {why}")?,
                Ending::Failed { what, sent, came } => {
                    writeln!(
                        f,
                        "FAILED {name} ({section}): {what} | sent {sent:?} | came {came:?}"
                    )?;
                }
            }
        }
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}
