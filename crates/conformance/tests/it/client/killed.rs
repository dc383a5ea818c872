//! `kill -9` of each command at any moment: run again, it is done, and nothing is sent, stored or paid twice.
//!
//! Moments are those of the exchanges with the server, because between two of them a command is quick: the proxy stops
//! one exchange of the command at one point (before the server hears of it, midway, when the server has done it and
//! nobody knows, when the answer has just arrived), and there the process ends. Then the same command runs to its end.

use std::collections::{BTreeMap, BTreeSet};

use icefield_conformance::{
    Random,
    proxy::{Exchange, Log, Moment},
};
use icefield_protocol::Operation;

use super::{
    files::{Files, Sizes},
    line::{Line, TARGET, at},
};
use crate::seed;

/// What costs money or time on the line, so that none of it is done more often than is needed.
const PAID: [Operation; 5] = [
    Operation::UploadArchive,
    Operation::InitiateMultipartUpload,
    Operation::UploadMultipartPart,
    Operation::CompleteMultipartUpload,
    Operation::InitiateJob,
];

const UPLOAD_ID: &str = "x-amz-multipart-upload-id";

/// A policy for access and for locks.
const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"keep","Principal":"*","Effect":"Deny","Action":"glacier:DeleteArchive","Resource":"VAULT"}]}"#;
const TOPIC: &str = "arn:aws:sns:us-east-1:012345678901:ready";

/// A command that changes or moves something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    UploadSmall,
    UploadParts,
    UploadFolder,
    Retrieve,
    Migrate,
    Watch,
    Delete,
    Purge,
    Refresh,
    Abort,
    Create,
    Tag,
    Untag,
    SetPolicy,
    SetNotifications,
    StartLock,
    CompleteLock,
}

/// Makes the two tests of each command.
macro_rules! killed {
    ($($command:ident as $name:ident,)*) => {
        $(mod $name {
            use super::{Command, kill};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn killed_3_times_it_is_done_once() {
                kill(Command::$command, 3).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "long"]
            async fn killed_30_times_it_is_done_once() {
                kill(Command::$command, 30).await;
            }
        })*
    };
}

killed! {
    UploadSmall as upload_of_a_small_file,
    UploadParts as upload_in_parts,
    UploadFolder as upload_of_a_folder,
    Retrieve as retrieve,
    Migrate as migrate,
    Watch as watch,
    Delete as delete,
    Purge as vault_purge,
    Refresh as inventory_refresh,
    Abort as uploads_abort,
    Create as vault_create,
    Tag as vault_tag,
    Untag as vault_untag,
    SetPolicy as vault_policy_set,
    SetNotifications as vault_notify_set,
    StartLock as vault_lock_start,
    CompleteLock as vault_lock_complete,
}

/// Small files in hand, which are sent again after a kill: those on their way, and those that wait to be noted.
const IN_HAND: usize = 64;

/// Archives are noted many at a time, so that small files are quick; a kill must not lose the note of more than are in hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_small_files_few_are_sent_again_after_a_kill_and_none_is_stored_twice() {
    const FILES: u64 = 400;
    let (seed, mut random) = seed::random();
    let line = Line::new().await;
    let files =
        Files::write(&line.home.path("many"), Sizes { small: FILES, large: 0, most_mib: 0 }, seed);
    line.view.create("v").await;
    let upload = words(&["upload", &at("v"), "many"]);
    let exchange = usize::try_from(random.within(FILES / 2..FILES)).unwrap();
    assert!(line.killed(&upload, exchange, Moment::AnswerCame).await);
    line.home.ok(&upload).await;
    line.proxy.quiet().await;
    let sent = line.proxy.log().of(Operation::UploadArchive).filter(|one| one.is_done()).count();
    files.assert_each_once(&line.view.copies("v").await);
    let again = sent - files.len() - 1;
    eprintln!("{again} of {FILES} archives were sent again after a kill at exchange {exchange}");
    assert!(again <= IN_HAND, "{again} archives were sent again");
}

/// Runs a command once undisturbed, then `kills` times killed and again, each time with a vault and files of its own.
async fn kill(command: Command, kills: u64) {
    let (seed, mut random) = seed::random();
    let line = Line::new().await;
    // Who asks for the first time has more to ask.
    line.home.ok(&["vault", "list", &format!("{TARGET}:")]).await;
    // What is gone on with needs as much in all as what is not interrupted.
    let whole = if command == Command::Watch { Command::UploadFolder } else { command };
    let undisturbed = Trial::new(&line, whole, seed, 0).await;
    line.home.ok(&undisturbed.words()).await;
    line.proxy.quiet().await;
    let log = line.proxy.log();
    let exchanges = log.exchanges().len() - undisturbed.begins;
    let needed = paid(&log, undisturbed.first, |_| true);
    undisturbed.check(&line, 1).await;

    let mut reached = 0;
    for number in 1..=kills {
        let trial = Trial::new(&line, command, seed, number).await;
        let (nth, moment) = (random.index(exchanges), moment(&mut random));
        let was_killed = line.killed(&trial.words(), trial.begins + nth, moment).await;
        reached += u64::from(was_killed);
        let killed = line.proxy.log().exchanges().len();

        trial.run_again(&line).await;
        line.proxy.quiet().await;
        // An inventory that was read to its end is not asked for in vain: who asks again wants a newer one.
        let was_last = nth + 1 == exchanges && moment == Moment::AnswerPassed;
        let runs = if was_last && command == Command::Refresh { 2 } else { 1 };
        let at = format!("kill {number} of {command:?} in exchange {nth}, {moment:?}");
        trial.check_paid(&line.proxy.log(), killed, &needed, runs, &at);
        trial.check(&line, runs).await;
    }
    assert!(reached * 2 >= kills, "only {reached} of {kills} came to their moment");
    eprintln!("{command:?}: {reached} kills in up to {exchanges} exchanges, needed: {needed:?}");
}

impl Command {
    /// What is in the folder that it is about.
    const fn sizes(self) -> Option<Sizes> {
        match self {
            Self::UploadSmall => Some(Sizes { small: 1, large: 0, most_mib: 0 }),
            Self::UploadParts => Some(Sizes { small: 0, large: 1, most_mib: 4 }),
            Self::UploadFolder
            | Self::Retrieve
            | Self::Migrate
            | Self::Watch
            | Self::Delete
            | Self::Purge
            | Self::Refresh => Some(Sizes { small: 3, large: 1, most_mib: 3 }),
            _ => None,
        }
    }

    /// Whether it is what brings the files to the vault.
    const fn is_upload(self) -> bool {
        matches!(self, Self::UploadSmall | Self::UploadParts | Self::UploadFolder | Self::Watch)
    }
}

/// One vault, and what a command is to do with it.
struct Trial {
    command: Command,
    vault: String,
    files: Option<Files>,
    /// The lock that is to be completed.
    lock: String,
    /// The number of the first exchange that counts.
    first: usize,
    /// The number of the command's own first exchange.
    begins: usize,
}

impl Trial {
    /// Prepares what the command needs.
    async fn new(line: &Line, command: Command, seed: u64, number: u64) -> Self {
        let vault = format!("v{number}");
        let folder = line.home.path(&vault);
        let write = |sizes| Files::write(&folder, sizes, Random::of(seed, number).next());
        let files = command.sizes().map(write);
        let mut trial = Self { command, vault, files, lock: String::new(), first: 0, begins: 0 };
        let vault = &trial.vault;
        if command != Command::Create {
            line.view.create(vault).await;
        }
        if trial.files.is_some() && !command.is_upload() {
            line.home.ok(&trial.upload()).await;
        }
        let arn =
            format!("arn:aws:glacier:{}:{}:vaults/{vault}", line.serve.region, line.serve.account);
        let policy = POLICY.replace("VAULT", &arn);
        match command {
            Command::Abort => {
                for _ in 0..3 {
                    line.view.begin_upload(vault).await;
                }
            }
            Command::Untag => line.view.tag(vault, "colour", "blue").await,
            Command::CompleteLock => trial.lock = line.view.start_lock(vault, &policy).await,
            Command::SetPolicy | Command::StartLock => {
                line.home.write(&trial.document(), policy);
            }
            _ => {}
        }
        line.proxy.quiet().await;
        trial.first = line.proxy.log().exchanges().len();
        if command == Command::Watch {
            // What is gone on with is an upload that somebody has killed.
            line.killed(&trial.upload(), trial.first + 4, Moment::AnswerCame).await;
        }
        trial.begins = line.proxy.log().exchanges().len();
        trial
    }

    fn upload(&self) -> Vec<String> {
        words(&["upload", &at(&self.vault), &self.vault, "--part-size", "1MiB"])
    }

    fn document(&self) -> String {
        format!("{}.json", self.vault)
    }

    /// A folder, or a vault.
    fn back(&self) -> String {
        format!("{}-back", self.vault)
    }

    /// Returns the command line.
    fn words(&self) -> Vec<String> {
        let vault = &at(&self.vault);
        match self.command {
            Command::UploadSmall | Command::UploadParts | Command::UploadFolder => self.upload(),
            Command::Retrieve => words(&["retrieve", vault, "--to", &self.back()]),
            Command::Migrate => {
                words(&["migrate", vault, &at(&self.back()), "--part-size", "1MiB"])
            }
            Command::Watch => words(&["watch"]),
            Command::Delete => words(&["delete", vault, "**", "--yes"]),
            Command::Purge => words(&["vault", "purge", vault, "--yes"]),
            Command::Refresh => words(&["inventory", "refresh", vault]),
            Command::Abort => words(&["uploads", "abort", vault, "--all", "--yes"]),
            Command::Create => words(&["vault", "create", vault]),
            Command::Tag => words(&["vault", "tag", vault, "colour=blue"]),
            Command::Untag => words(&["vault", "untag", vault, "colour"]),
            Command::SetPolicy => words(&["vault", "policy", "set", vault, &self.document()]),
            Command::SetNotifications => {
                words(&["vault", "notify", "set", vault, "--topic", TOPIC])
            }
            Command::StartLock => words(&["vault", "lock", "start", vault, &self.document()]),
            Command::CompleteLock => {
                words(&["vault", "lock", "complete", vault, &self.lock, "--yes"])
            }
        }
    }

    /// Runs the command that was killed once more.
    async fn run_again(&self, line: &Line) {
        let run = line.home.run(&self.words()).await;
        if self.command == Command::StartLock && run.code == Some(1) {
            // The ID is known only to whom it was told: this lock is taken back for one whose ID is known.
            run.hints(&["lock abort"]);
            line.home.ok(&["vault", "lock", "abort", &at(&self.vault)]).await;
            line.home.ok(&self.words()).await;
        } else if self.command == Command::Purge && run.code == Some(1) {
            // It was done.
            run.says(&["there is no vault", &self.vault]);
        } else {
            run.ended(0);
        }
    }

    /// Checks that what costs something was done no more often than it is needed; the killed run ended before `killed`.
    ///
    /// What was answered when the process ended may not have been read by it. That alone may be asked for again; and small
    /// archives, which are noted many at a time: their tokens see to it that they are stored once.
    #[track_caller]
    fn check_paid(
        &self,
        log: &Log,
        killed: usize,
        needed: &BTreeMap<Operation, usize>,
        runs: usize,
        at: &str,
    ) {
        let done = paid(log, self.first, |_| true);
        let in_doubt = paid(log, self.first, |exchange| {
            let is_archive = exchange.asked.operation == Some(Operation::UploadArchive);
            exchange.number < killed as u64 && (is_archive || !exchange.read)
        });
        for operation in PAID {
            let count = |of: &BTreeMap<_, usize>| of.get(&operation).copied().unwrap_or(0);
            assert!(
                count(&done) <= count(needed) * runs + count(&in_doubt),
                "{at}: {operation} {} times, {} are needed, {} are in doubt",
                count(&done),
                count(needed),
                count(&in_doubt)
            );
        }
    }

    /// Checks that the server has what the command is to come to, once; `runs` may have asked for an inventory.
    async fn check(&self, line: &Line, runs: usize) {
        let (view, vault) = (&line.view, self.vault.as_str());
        match self.command {
            Command::UploadSmall
            | Command::UploadParts
            | Command::UploadFolder
            | Command::Watch => {
                assert_eq!(view.uploads(vault).await, Vec::<String>::new(), "uploads are left");
                self.files().assert_each_once(&view.copies(vault).await);
            }
            Command::Retrieve => {
                self.files().assert_in(&line.home.path(self.back()).join(vault));
                let retrievals = view.retrievals(vault).await;
                assert!(retrievals.len() >= self.files().len(), "{retrievals:?}");
                assert!(retrievals.values().all(|count| *count == 1), "{retrievals:?}");
            }
            Command::Migrate => {
                let back = self.back();
                assert_eq!(view.uploads(&back).await, Vec::<String>::new(), "uploads are left");
                self.files().assert_each_once(&view.copies(&back).await);
                let retrievals = view.retrievals(vault).await;
                assert!(retrievals.values().all(|count| *count == 1), "{retrievals:?}");
            }
            Command::Delete => {
                self.files().assert_none(&view.copies(vault).await);
                let listed = line.home.json(&["list", &at(vault)]).await;
                assert_eq!(listed, serde_json::json!([]));
            }
            Command::Purge => assert!(!view.has_vault(vault).await),
            Command::Refresh => assert!(view.inventories(vault).await <= runs),
            Command::Abort => assert_eq!(view.uploads(vault).await, Vec::<String>::new()),
            Command::Create => assert!(view.has_vault(vault).await),
            Command::Tag => {
                assert_eq!(view.document(vault, "tags").await["Tags"]["colour"], "blue");
            }
            Command::Untag => {
                assert_eq!(view.document(vault, "tags").await["Tags"], serde_json::json!({}));
            }
            Command::SetPolicy => {
                let policy = view.document(vault, "access-policy").await;
                assert!(policy["Policy"].as_str().unwrap().contains("keep"), "{policy}");
            }
            Command::SetNotifications => {
                let told = view.document(vault, "notification-configuration").await;
                assert_eq!(told["SNSTopic"], TOPIC);
            }
            Command::StartLock => {
                assert_eq!(view.document(vault, "lock-policy").await["State"], "InProgress");
            }
            Command::CompleteLock => {
                assert_eq!(view.document(vault, "lock-policy").await["State"], "Locked");
            }
        }
    }

    fn files(&self) -> &Files {
        self.files.as_ref().expect("the command is about files")
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Counts what has been acknowledged of what costs something, from an exchange on. Who asks for an upload twice by the same
/// token has begun one.
fn paid(log: &Log, first: usize, counts: impl Fn(&Exchange) -> bool) -> BTreeMap<Operation, usize> {
    let mut paid: BTreeMap<Operation, usize> = BTreeMap::new();
    let mut uploads = BTreeSet::new();
    for exchange in &log.exchanges()[first..] {
        let Some(operation) = exchange.asked.operation.filter(|known| PAID.contains(known)) else {
            continue;
        };
        let upload = exchange.answered.as_ref().and_then(|answer| answer.header(UPLOAD_ID));
        let is_new = upload.is_none_or(|upload| uploads.insert(upload.to_owned()));
        if exchange.is_acknowledged() && is_new && counts(exchange) {
            *paid.entry(operation).or_default() += 1;
        }
    }
    paid
}

/// Returns any moment of an exchange.
fn moment(random: &mut Random) -> Moment {
    let share = u16::try_from(random.within(0..1 << 16)).unwrap();
    *random.choice(&[
        Moment::HeadCame,
        Moment::InRequest(share),
        Moment::LastByteOfRequest,
        Moment::RequestPassed,
        Moment::AnswerCame,
        Moment::InAnswer(share),
        Moment::LastByteOfAnswer,
        Moment::AnswerPassed,
    ])
}
