//! `icefield-conformance`: runs the suite against an endpoint and tells what does not hold.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use icefield_conformance::{Credentials, Endpoint, Suite};
use icefield_protocol::{Clock, Timestamp};

/// Checks whether an endpoint behaves like Glacier, version 2012-06-01.
///
/// Creates and deletes vaults with names of its own. Do not run it against an account whose bill matters.
#[derive(Debug, Parser)]
#[command(name = "icefield-conformance", version)]
struct Args {
    /// The endpoint, without TLS: http://HOST:PORT
    #[arg(long, default_value = "http://127.0.0.1:9440")]
    endpoint: String,
    /// The region to sign for
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// The access key of somebody who may do everything in the account
    #[arg(long, default_value = "AKIAIOSFODNN7EXAMPLE")]
    access_key: String,
    /// The secret of that key
    #[arg(
        long,
        default_value = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        hide_default_value = true
    )]
    secret_key: String,
    /// A key of a user of the account whom no policy allows anything: ID:SECRET
    #[arg(long, value_parser = key)]
    user: Option<Credentials>,
    /// A key of somebody who may do everything in another account: ID:SECRET
    #[arg(long, value_parser = key)]
    other: Option<Credentials>,
    /// A temporary key of the owner: ID:SECRET:TOKEN
    #[arg(long, value_parser = key)]
    session: Option<Credentials>,
    /// Nobody else uses the account: its data retrieval policy may be changed
    #[arg(long)]
    own_account: bool,
    /// Judge each answer by its case alone, and not by what all answers of the service have in common
    #[arg(long)]
    lenient: bool,
    /// Run only the cases of this section, or with this in their names
    #[arg(long)]
    filter: Option<String>,
    /// List the cases and run none
    #[arg(long)]
    list: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

fn key(text: &str) -> Result<Credentials, String> {
    let mut words = text.splitn(3, ':').map(str::to_owned);
    match (words.next(), words.next(), words.next()) {
        (Some(access_key), Some(secret), token) => Ok(Credentials { access_key, secret, token }),
        _ => Err("a key is written ID:SECRET".to_owned()),
    }
}

/// The time of the machine: signatures have to be of now.
#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the suite's program reads the time"
    )]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let millis = since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        Timestamp::from_unix_millis(millis)
    }

    /// The suite asks for the time of day alone; nothing here depends on how long the machine has been up.
    fn boot(&self) -> Duration {
        Duration::from_millis(self.now().unix_millis().unsigned_abs())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let Some(authority) = args.endpoint.strip_prefix("http://") else {
        return told("an endpoint begins with http://", ExitCode::from(2));
    };
    let endpoint = Endpoint {
        authority: authority.trim_end_matches('/').to_owned(),
        region: args.region,
        owner: Credentials::new(args.access_key, args.secret_key),
        user: args.user,
        other: args.other,
        session: args.session,
        own_account: args.own_account,
        strict: !args.lenient,
    };
    let mut suite = Suite::new(endpoint, Arc::new(SystemClock));
    if let Some(filter) = &args.filter {
        suite = suite.filtered(filter);
    }
    if args.list {
        return told(&list(&suite), ExitCode::SUCCESS);
    }
    let report = match suite.run().await {
        Ok(report) => report,
        Err(failed) => return told(&format!("cannot begin: {failed}"), ExitCode::FAILURE),
    };
    let code = if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    let json = || serde_json::to_string_pretty(&report).expect("a report is JSON");
    told(&if args.json { json() } else { report.to_string() }, code)
}

fn list(suite: &Suite) -> String {
    let mut text = String::new();
    for case in suite.cases() {
        let _written = writeln!(text, "{:8} {} {:?}", case.section, case.name, case.needs);
    }
    text + &format!("{} cases", suite.cases().len())
}

/// Prints a text; nobody reading it is no reason to fail differently.
fn told(text: &str, code: ExitCode) -> ExitCode {
    let _written = writeln!(std::io::stdout(), "{text}");
    code
}
