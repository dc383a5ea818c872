//! What has happened: each request, what was done to it, and how far its answer got.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use icefield_protocol::Operation;

use super::{Fault, Plan};
use crate::model::operation_of;

/// A request as its head says it is.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `PUT`.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// Which operation that is, if it is one.
    pub operation: Option<Operation>,
    headers: Vec<(String, String)>,
}

impl Asked {
    /// Returns the request with this head.
    #[must_use]
    pub fn new(method: &str, target: &str, headers: Vec<(String, String)>) -> Self {
        let operation = operation_of(method, target);
        Self { method: method.to_owned(), target: target.to_owned(), operation, headers }
    }

    /// Returns a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        field(&self.headers, name)
    }

    /// Returns what tells the parts of one upload apart: the range of bytes that is sent.
    #[must_use]
    pub fn part(&self) -> Option<(&str, &str)> {
        let range = self.header("content-range")?;
        (self.operation == Some(Operation::UploadMultipartPart)).then_some((&self.target, range))
    }
}

/// What the upstream answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The status.
    pub status: u16,
    headers: Vec<(String, String)>,
}

impl Answered {
    pub(super) fn new(status: u16, headers: Vec<(String, String)>) -> Self {
        Self { status, headers }
    }

    /// Returns a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        field(&self.headers, name)
    }
}

fn field<'a>(headers: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.map(|(_, value)| value.as_str())
}

/// How far an exchange got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It goes on.
    UnderWay,
    /// The client has been sent the upstream's answer whole and unchanged.
    Answered,
    /// The client has been sent an answer of the proxy.
    Refused,
    /// The client has been sent all of the answer with a bit of it changed.
    Damaged,
    /// The connection ended before the client had a whole answer.
    Lost,
    /// The client closed its side first.
    ClientLeft,
    /// The upstream closed its side without an answer.
    UpstreamLeft,
}

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Its number, over all connections.
    pub number: u64,
    /// The connection of the client that it came on.
    pub connection: u64,
    /// What was asked.
    pub asked: Asked,
    /// What was done to it.
    pub fault: Option<Fault>,
    /// The upstream's answer, if one came, whether or not the client has got it.
    pub answered: Option<Answered>,
    /// How far it got.
    pub reached: Reached,
    /// Whether the client has certainly read the answer: it has asked for something else on the same connection since.
    pub read: bool,
    /// When it began and ended, as places in the order of all beginnings and ends.
    begun: u64,
    ended: Option<u64>,
}

impl Exchange {
    /// Whether the client has been sent the upstream's word that it is done.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        self.reached == Reached::Answered && self.is_done()
    }

    /// Whether the upstream said that it is done, whoever heard it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.answered.as_ref().is_some_and(|answer| (200..300).contains(&answer.status))
    }

    /// Whether it had ended before the other began.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> bool {
        self.ended.is_some_and(|ended| ended < other.begun)
    }

    /// Whether it had ended before this many events had happened, as [`Log::events`] counts them.
    #[must_use]
    pub fn ended_before(&self, events: u64) -> bool {
        self.ended.is_some_and(|ended| ended < events)
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = self.asked.operation.map_or("no operation", Operation::as_str);
        write!(f, "#{} on {}: {operation} ", self.number, self.connection)?;
        write!(f, "{} {}", self.asked.method, shortened(&self.asked.target))?;
        for name in ["content-range", "range"] {
            if let Some(range) = self.asked.header(name) {
                write!(f, " [{range}]")?;
            }
        }
        match &self.answered {
            Some(answer) => write!(f, " -> {}", answer.status)?,
            None => write!(f, " -> no answer")?,
        }
        write!(f, ", {:?}", self.reached)?;
        if let Some(fault) = &self.fault {
            write!(f, " by {fault:?}")?;
        }
        Ok(())
    }
}

/// IDs are long; their ends tell them apart.
fn shortened(target: &str) -> String {
    let segment = |text: &str| match text.len() {
        0..=40 => text.to_owned(),
        length => format!("..{}", text.get(length - 12..).unwrap_or(text)),
    };
    target.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Everything that has happened until one moment, in the order in which it began.
#[derive(Clone, Debug)]
pub struct Log {
    exchanges: Vec<Exchange>,
    events: u64,
}

impl Log {
    /// Returns the exchanges.
    #[must_use]
    pub fn exchanges(&self) -> &[Exchange] {
        &self.exchanges
    }

    /// Returns those of one operation.
    pub fn of(&self, operation: Operation) -> impl Iterator<Item = &Exchange> {
        self.exchanges.iter().filter(move |exchange| exchange.asked.operation == Some(operation))
    }

    /// Returns how often a client has been sent the word that this operation is done.
    #[must_use]
    pub fn acknowledged(&self, operation: Operation) -> usize {
        self.of(operation).filter(|exchange| exchange.is_acknowledged()).count()
    }

    /// Returns how many exchanges have begun or ended.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Returns how many faults befell requests.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.exchanges.iter().filter(|exchange| exchange.fault.is_some()).count()
    }

    /// Returns each part that was sent once more after the client had been sent the word that it is stored: first the
    /// exchange that stored it, then the later one.
    #[must_use]
    pub fn parts_sent_again(&self) -> Vec<(&Exchange, &Exchange)> {
        let mut stored: BTreeMap<_, &Exchange> = BTreeMap::new();
        let mut again = Vec::new();
        for exchange in self.of(Operation::UploadMultipartPart) {
            let Some(part) = exchange.asked.part() else { continue };
            match stored.get(&part) {
                Some(first) if first.is_before(exchange) => again.push((*first, exchange)),
                Some(_) => {}
                None if exchange.is_acknowledged() => drop(stored.insert(part, exchange)),
                None => {}
            }
        }
        again
    }

    /// Returns figures of each operation, one a line.
    #[must_use]
    pub fn figures(&self) -> String {
        let mut rows: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
        for exchange in &self.exchanges {
            let name = exchange.asked.operation.map_or("no operation", Operation::as_str);
            let row = rows.entry(name).or_default();
            row[0] += 1;
            row[1] += usize::from(exchange.fault.is_some());
            row[2] += usize::from(exchange.is_done());
            row[3] += usize::from(exchange.is_acknowledged());
        }
        let line = |(name, [sent, faults, done, known]): (&str, [usize; 4])| {
            format!("{name:>24}: {sent} sent, {faults} faults, {done} done, {known} acknowledged\n")
        };
        rows.into_iter().map(line).collect()
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.exchanges.iter().try_for_each(|exchange| writeln!(f, "{exchange}"))
    }
}

/// Where the log is written and the plan is asked.
#[derive(Default)]
pub(super) struct Book(Mutex<State>);

#[derive(Default)]
struct State {
    exchanges: Vec<Exchange>,
    events: u64,
    plan: Option<Box<dyn Plan>>,
    faults_left: u64,
}

impl Book {
    pub(super) fn follow(&self, plan: Box<dyn Plan>, at_most: u64) {
        let mut state = self.state();
        state.plan = Some(plan);
        state.faults_left = at_most;
    }

    pub(super) fn faults_left(&self) -> u64 {
        self.state().faults_left
    }

    pub(super) fn log(&self) -> Log {
        let state = self.state();
        Log { exchanges: state.exchanges.clone(), events: state.events }
    }

    /// Enters a request and returns its number and its fault.
    pub(super) fn begin(&self, connection: u64, asked: Asked) -> (usize, Option<Fault>) {
        let mut state = self.state();
        let index = state.exchanges.len();
        let number = index as u64;
        let fault = match &state.plan {
            Some(plan) if state.faults_left > 0 => plan.fault(number, &asked),
            _ => None,
        };
        state.faults_left -= u64::from(fault.is_some());
        let begun = state.tick();
        let before = state.exchanges.iter_mut().rev().find(|known| known.connection == connection);
        if let Some(before) = before {
            before.read = true;
        }
        state.exchanges.push(Exchange {
            number,
            connection,
            asked,
            fault: fault.clone(),
            answered: None,
            reached: Reached::UnderWay,
            read: false,
            begun,
            ended: None,
        });
        (index, fault)
    }

    pub(super) fn answered(&self, index: usize, answered: Answered) {
        self.state().exchanges[index].answered = Some(answered);
    }

    pub(super) fn end(&self, index: usize, reached: Reached) {
        let mut state = self.state();
        let ended = state.tick();
        let exchange = &mut state.exchanges[index];
        exchange.ended = Some(ended);
        exchange.reached = reached;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is whole by the time anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tick(&mut self) -> u64 {
        self.events += 1;
        self.events
    }
}
