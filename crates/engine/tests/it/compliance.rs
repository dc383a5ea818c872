//! Retention by a clock that nobody can set: what a final lock denies does not happen, whoever tries, whenever, after
//! whatever happened to the process and to the system's clock.

use std::time::Duration;

use icefield_engine::{Caller, EngineError};
use icefield_protocol::{
    ArchiveId, Clock as _, LockId, LockState, Operation, PartSize, Timestamp, UploadId,
};
use icefield_store::ledger::{ArchiveQuery, ArchiveRow};

use crate::{
    acting::{ALLOW_ALL, Acting, DAY, Home, Then, allow, archive, retention, tags, user},
    world::{HOUR, MIB, START, bytes, tree_hash},
};

const ANY: &str = r#"{"Null":{"aws:PrincipalArn":"false"}}"#;
const MINUTE: Duration = Duration::from_mins(1);
const DAY_MILLIS: i64 = 86_400_000;
const YEAR_MILLIS: i64 = 365 * DAY_MILLIS;

async fn archives(home: &Home) -> Vec<ArchiveRow> {
    let ledger = home.engine.store().ledger();
    let vaults = ledger.vaults(home.engine.account(), None, 10).await.unwrap();
    let vault = vaults.first().unwrap();
    let query = ArchiveQuery {
        vault: vault.number,
        writes: vault.writes,
        after: None,
        start: None,
        end: None,
        limit: 100,
    };
    ledger.archives(query).await.unwrap()
}

/// Completes an upload of one part.
async fn upload(home: &Home) -> (UploadId, ArchiveId) {
    let (engine, root) = (&home.engine, Acting::root(&home.engine));
    let whole = bytes(3, MIB);
    let access = root.access(Operation::InitiateMultipartUpload).await.unwrap();
    let size = PartSize::new(MIB).unwrap();
    let id = engine.initiate_upload(&access, size, None, None).await.unwrap();
    let access = root.access(Operation::UploadMultipartPart).await.unwrap();
    let range = icefield_protocol::ByteRange::new(0, MIB - 1).unwrap();
    let mut part = engine.receive_part(&access, &id, range, false).await.unwrap();
    part.write(whole.clone()).await.unwrap();
    part.commit(None).await.unwrap();
    let access = root.access(Operation::CompleteMultipartUpload).await.unwrap();
    let archive = engine.complete_upload(&access, &id, MIB, tree_hash(&whole)).await.unwrap();
    (id, archive)
}

/// What is locked, and how.
struct Locked {
    archives: [ArchiveId; 2],
    upload: UploadId,
    lock: LockId,
    arn: String,
    callers: Vec<Caller>,
}

/// Two archives under a final lock, and everybody who may do what nobody denies.
async fn locked(home: &Home) -> Locked {
    let (engine, root) = (&home.engine, Acting::root(&home.engine));
    let own = engine.account().clone();
    let other = engine.create_account().await.unwrap().account;
    for account in [&own, &other] {
        engine.create_user(account, &user("ann")).await.unwrap();
        engine.set_user_policy(account, &user("ann"), "all", ALLOW_ALL).await.unwrap();
    }
    let single = archive(engine).await;
    let (upload, parts) = upload(home).await;
    root.set_policy(&allow(&root.arn(), "glacier:*", ANY)).await.unwrap();
    let lock = root.lock_for_good(&retention(&root.arn())).await;
    Locked {
        archives: [single, parts],
        upload,
        lock,
        arn: root.arn(),
        callers: vec![
            Caller::root(own.clone()),
            Caller::user(own, user("ann")),
            Caller::root(other.clone()),
            Caller::user(other, user("ann")),
        ],
    }
}

impl Locked {
    /// Tries everything that could remove an archive or the lock, and returns how many things that were.
    async fn attack(&self, home: &Home, caller: &Caller) -> usize {
        let by = Acting::by(&home.engine, caller.clone());
        let mut tried = 0;
        for archive in &self.archives {
            let deleted = by.delete(archive).await;
            assert!(matches!(deleted, Err(EngineError::AccessDenied { .. })), "{deleted:?}");
            tried += 1;
        }
        let everything = allow(&self.arn, "glacier:*", ANY);
        let refused = [
            by.delete_vault().await,
            by.abort_lock().await,
            by.initiate_lock(&everything).await.map(drop),
            by.complete_lock(&"0123456789abcdefghijklmn".parse().unwrap()).await,
            self.abort_upload(&by).await,
        ];
        for answer in &refused {
            assert!(answer.is_err());
        }
        // These may be allowed; they must not help.
        let harmless = [
            by.complete_lock(&self.lock).await,
            by.create().await,
            by.set_policy(&everything).await,
            by.add_tags(tags(&[("a", "b")])).await,
            by.remove_tags(&["a"]).await,
            by.delete_notifications().await,
        ];
        for archive in &self.archives {
            assert!(by.delete(archive).await.is_err());
            tried += 1;
        }
        tried + refused.len() + harmless.len()
    }

    async fn abort_upload(&self, by: &Acting<'_>) -> Result<(), EngineError> {
        let access = by.access(Operation::AbortMultipartUpload).await?;
        by.engine.abort_upload(&access, &self.upload).await
    }

    async fn everything_is_there(&self, home: &Home) {
        let lock = Acting::root(&home.engine).lock().await.unwrap();
        assert_eq!((lock.state, lock.policy), (LockState::Locked, retention(&self.arn)));
        let rows = archives(home).await;
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| row.deleted_write.is_none()));
    }
}

#[tokio::test]
async fn a_final_lock_holds_against_everybody_at_any_time_after_anything() {
    let jumps = [1, 7, 30, 180, 364, 365, 366, 730, 3650].map(|days| days * DAY_MILLIS);
    let jumps = jumps.into_iter().flat_map(|jump| [jump, -jump]);
    let mut home = Home::new().await;
    let locked = locked(&home).await;
    let start = home.engine.compliance_time();
    let mut cells = 0;
    for (round, jump) in jumps.enumerate() {
        for then in [Then::Running, Then::Reopened, Then::Killed, Then::Rebuilt] {
            home.clock.advance(3 * DAY);
            home.engine.tick().await.unwrap();
            home.clock.jump(jump);
            home.go_on(then).await;
            for caller in &locked.callers {
                cells += locked.attack(&home, caller).await;
            }
            home.engine.housekeeping().await.unwrap();
            locked.everything_is_there(&home).await;
            home.clock.jump(-jump);
            assert!(round < 50 && home.engine.compliance_time() > start);
        }
    }
    assert!(cells >= 4_000, "{cells}");

    // By the clock that counts the year is over only now.
    let missing = YEAR_MILLIS - (home.engine.compliance_time().unix_millis() - start.unix_millis());
    assert!(missing > 100 * DAY_MILLIS, "{missing}");
    home.clock.set(home.engine.compliance_time());
    home.clock.advance(Duration::from_millis(missing.unsigned_abs()) - MINUTE);
    home.go_on(Then::Rebuilt).await;
    let root = Acting::root(&home.engine);
    for archive in &locked.archives {
        assert!(root.delete(archive).await.is_err());
    }
    home.clock.advance(HOUR);
    for archive in &locked.archives {
        root.delete(archive).await.unwrap();
    }
    assert_eq!(archives(&home).await, []);
}

#[tokio::test]
async fn archives_keep_the_time_of_the_compliance_clock() {
    let mut home = Home::new().await;
    home.clock.jump(-YEAR_MILLIS);
    home.clock.advance(HOUR);
    archive(&home.engine).await;
    upload(&home).await;
    let expected = START.saturating_add(HOUR);
    for then in [Then::Running, Then::Reopened, Then::Rebuilt] {
        home.go_on(then).await;
        let rows = archives(&home).await;
        assert_eq!(rows.len(), 2);
        for row in rows {
            assert_eq!(row.aged, Some(expected), "{then:?}");
            assert!(row.created < START);
        }
    }
}

/// How far the clock has come since the start.
fn gone(home: &Home) -> i64 {
    home.engine.compliance_time().unix_millis() - START.unix_millis()
}

#[tokio::test]
async fn the_clock_goes_on_from_what_was_recorded() {
    for (then, kept) in
        [(Then::Reopened, 25 * MINUTE), (Then::Rebuilt, 25 * MINUTE), (Then::Killed, 20 * MINUTE)]
    {
        let mut home = Home::new().await;
        for _ in 0..25 {
            home.clock.advance(MINUTE);
            home.engine.tick().await.unwrap();
        }
        home.go_on(then).await;
        assert_eq!(Duration::from_millis(gone(&home).unsigned_abs()), kept, "{then:?}");
    }
}

#[tokio::test]
async fn time_while_the_store_was_closed_counts_only_as_it_is_caught_up() {
    let mut home = Home::new().await;
    home.go_on(Then::Reopened).await;
    home.clock.jump(YEAR_MILLIS);
    assert_eq!(gone(&home), 0);
    home.go_on(Then::Reopened).await;
    assert_eq!(gone(&home), 0);
    home.clock.advance(73 * DAY);
    // A fifth of a year, and a fifth of a week.
    let expected = 73 * DAY_MILLIS + 7 * DAY_MILLIS / 5;
    assert_eq!(gone(&home), expected);
    // It does not begin anew with every start.
    home.go_on(Then::Reopened).await;
    assert_eq!(gone(&home), expected);
}

#[tokio::test]
async fn an_archive_is_never_older_than_it_is_after_a_kill() {
    let mut home = Home::new().await;
    home.clock.advance(9 * MINUTE);
    home.engine.tick().await.unwrap();
    let archive = archive(&home.engine).await;
    let root = Acting::root(&home.engine);
    let young = r#"{"NumericLessThan":{"glacier:ArchiveAgeInDays":"1"}}"#;
    let policy = crate::acting::deny(&root.arn(), "glacier:DeleteArchive", young);
    root.lock_for_good(&policy).await;
    home.go_on(Then::Killed).await;
    assert_eq!(gone(&home), 0, "nothing was recorded");
    home.clock.advance(DAY - MINUTE);
    assert!(Acting::root(&home.engine).delete(&archive).await.is_err());
    home.clock.advance(MINUTE);
    Acting::root(&home.engine).delete(&archive).await.unwrap();
}

async fn documents(home: &Home) -> u64 {
    home.engine.store().ledger().stat().await.unwrap().documents
}

#[tokio::test]
async fn short_runs_leave_no_record_of_the_clock() {
    let mut home = Home::new().await;
    home.clock.advance(MINUTE - Duration::from_secs(1));
    home.go_on(Then::Reopened).await;
    assert_eq!(documents(&home).await, 0);
    home.clock.advance(MINUTE);
    home.go_on(Then::Reopened).await;
    assert_eq!(documents(&home).await, 1);
}

#[tokio::test]
async fn housekeeping_removes_what_was_deleted_and_nothing_of_a_locked_vault() {
    let mut home = Home::new().await;
    let deleted = archive(&home.engine).await;
    Acting::root(&home.engine).delete(&deleted).await.unwrap();
    let locked = locked(&home).await;
    let far: Timestamp = START.saturating_add(20 * 365 * DAY);
    for then in [Then::Running, Then::Reopened, Then::Rebuilt] {
        home.go_on(then).await;
        home.clock.set(far);
        for _ in 0..2 {
            home.engine.housekeeping().await.unwrap();
            home.engine.store().sweep().await.unwrap();
        }
        locked.everything_is_there(&home).await;
        let check = icefield_store::check(home.engine.store(), &mut |_| {}).await.unwrap();
        assert!(check.problems.is_empty(), "{:?}", check.problems);
        assert_eq!(home.wall(), home.clock.now());
    }
}
