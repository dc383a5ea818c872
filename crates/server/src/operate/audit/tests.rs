use std::{fs, path::Path, sync::Arc};

use icefield_protocol::{LinearHash, Timestamp};
use icefield_store::ManualClock;
use tempfile::tempdir;

use super::{AuditLog, BEGIN, Change, HASH_KEY, Outcome};

fn open(path: &Path) -> AuditLog {
    let clock = ManualClock::new(Timestamp::from_unix_millis(0));
    AuditLog::open(path, Arc::new(clock)).unwrap()
}

fn change(operation: &str) -> Change {
    Change { operation: operation.to_owned(), ..Change::default() }
}

fn ok() -> Outcome {
    Outcome { code: "OK".to_owned(), ..Outcome::default() }
}

async fn write(audit: &AuditLog, operation: &str) {
    audit.begin(change(operation)).await.unwrap().record(ok()).await.unwrap();
}

/// The number of lines, or of the first one that does not follow from those before it.
fn verify(text: &str, mut hash: String) -> Result<usize, usize> {
    for (number, line) in text.lines().enumerate() {
        let (body, _) = line.rsplit_once(HASH_KEY).ok_or(number)?;
        hash = LinearHash::of(format!("{hash}{body}").as_bytes()).to_string();
        if line != format!("{body}{HASH_KEY}{hash}\"}}") {
            return Err(number);
        }
    }
    Ok(text.lines().count())
}

#[tokio::test]
async fn lines_are_on_disk_when_recorded_and_go_on_after_a_restart() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("audit.log");
    let audit = open(&path);
    write(&audit, "One").await;
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    drop(audit);
    write(&open(&path), "Two").await;
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(verify(&text, BEGIN.to_owned()), Ok(2));
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&line["time"], &line["code"]),
            (&"1970-01-01T00:00:00.000Z".into(), &"OK".into())
        );
    }
}

#[tokio::test]
async fn a_line_that_was_changed_removed_or_put_in_shows() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("audit.log");
    let audit = open(&path);
    for operation in ["One", "Two", "Three", "Four"] {
        write(&audit, operation).await;
    }
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(verify(&text, BEGIN.to_owned()), Ok(4));
    assert_eq!(verify(&text.replace("Four", "Five"), BEGIN.to_owned()), Err(3));
    let removed = [lines[0], lines[2], lines[3]].join("\n");
    assert_eq!(verify(&removed, BEGIN.to_owned()), Err(1));
    let put_in = [lines[0], lines[1], lines[1], lines[2]].join("\n");
    assert_eq!(verify(&put_in, BEGIN.to_owned()), Err(2));
}

#[tokio::test]
async fn a_change_that_nobody_waits_for_is_told_all_the_same() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("audit.log");
    let audit = open(&path);
    drop(audit.begin(change("Left")).await.unwrap());
    drop(audit);
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains(r#""operation":"Left""#) && text.contains(r#""code":"Unknown""#),
        "{text}"
    );
}

#[tokio::test]
async fn a_line_cut_off_by_a_crash_is_removed_and_foreign_files_are_left_alone() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("audit.log");
    write(&open(&path), "One").await;
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{whole}{{\"time\":\"19")).unwrap();
    write(&open(&path), "Two").await;
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(&whole));
    assert_eq!(verify(&text, BEGIN.to_owned()), Ok(2));

    for foreign in ["root:x:0:0\n", "no line's end", &format!("{whole}root:x:0:0")] {
        fs::write(&path, foreign).unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_millis(0)));
        assert!(AuditLog::open(&path, clock).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
    }
}

#[tokio::test]
async fn a_log_that_is_moved_away_goes_on_in_a_new_file() {
    let dir = tempdir().unwrap();
    let (path, old) = (dir.path().join("audit.log"), dir.path().join("audit.log.1"));
    let audit = open(&path);
    write(&audit, "One").await;
    fs::hard_link(&path, &old).unwrap();
    fs::remove_file(&path).unwrap();
    write(&audit, "Two").await;
    let both = fs::read_to_string(&old).unwrap() + &fs::read_to_string(&path).unwrap();
    assert_eq!(verify(&both, BEGIN.to_owned()), Ok(2));
}

#[tokio::test]
async fn changes_are_refused_while_no_line_can_be_written() {
    let dir = tempdir().unwrap();
    let (folder, path) = (dir.path().join("logs"), dir.path().join("logs/audit.log"));
    fs::create_dir(&folder).unwrap();
    let audit = open(&path);
    write(&audit, "One").await;
    fs::remove_file(&path).unwrap();
    fs::remove_dir(&folder).unwrap();
    let ticket = audit.begin(change("Two")).await.unwrap();
    assert!(ticket.record(ok()).await.is_err(), "no success without its line");
    assert!(audit.is_failed());
    assert!(audit.begin(change("Three")).await.is_err());
    fs::create_dir(&folder).unwrap();
    write(&audit, "Four").await;
    assert!(!audit.is_failed());
    let text = fs::read_to_string(&path).unwrap();
    let told: Vec<_> = ["AuditLogResumed", "Two", "Three", "Four"]
        .map(|operation| text.contains(operation))
        .into();
    assert_eq!(told, [true, false, false, true], "{text}");
}

#[tokio::test]
async fn two_processes_do_not_write_one_log() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("audit.log");
    let audit = open(&path);
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_millis(0)));
    assert!(AuditLog::open(&path, clock).is_err());
    drop(audit);
}
