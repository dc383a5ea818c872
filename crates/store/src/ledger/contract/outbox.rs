//! Messages on their way: recorded with the end of their job, due in order, given up.

use icefield_protocol::Timestamp;

use super::fixtures::{V, apply_one, archive_job, at, delivery, vault_deleted, with_vault};
use crate::{
    entry::{DeliveryNumber, JobNumber},
    ledger::{DeliveryRow, JobEnd, Ledger},
};

fn numbers(rows: &[DeliveryRow]) -> Vec<u64> {
    rows.iter().map(|row| row.number.0).collect()
}

async fn due(ledger: &dyn Ledger, now: Timestamp, limit: usize) -> Vec<u64> {
    numbers(&ledger.due_deliveries(now, limit).await.unwrap())
}

async fn dead(ledger: &dyn Ledger, after: Option<u64>, limit: usize) -> Vec<u64> {
    numbers(&ledger.dead_deliveries(after.map(DeliveryNumber), limit).await.unwrap())
}

pub(super) async fn a_message_keeps_everything_that_was_recorded(ledger: &dyn Ledger) {
    let row = DeliveryRow {
        destination: "queue ä".to_owned(),
        message: "{}\n".repeat(9_000),
        attempts: 17,
        error: Some("connection refused".to_owned()),
        ..delivery(9)
    };
    ledger.enqueue(vec![row.clone()]).await.unwrap();
    assert_eq!(ledger.due_deliveries(at(99), 9).await.unwrap(), std::slice::from_ref(&row));
    ledger.enqueue(vec![DeliveryRow { attempts: 0, ..row.clone() }]).await.unwrap();
    assert_eq!(ledger.due_deliveries(at(99), 9).await.unwrap(), [row], "known already");
}

pub(super) async fn due_messages_come_oldest_first(ledger: &dyn Ledger) {
    assert_eq!(ledger.next_delivery().await.unwrap(), None);
    let rows = [(10, 30), (11, 10), (12, 20), (13, 10), (14, 5)]
        .map(|(number, next)| DeliveryRow { next: at(next), ..delivery(number) });
    ledger.enqueue(rows.into()).await.unwrap();
    assert!(ledger.remove_delivery(DeliveryNumber(14)).await.unwrap());
    assert!(!ledger.remove_delivery(DeliveryNumber(14)).await.unwrap());
    assert_eq!(due(ledger, at(9), 9).await, Vec::<u64>::new());
    assert_eq!(due(ledger, at(10), 9).await, [11, 13]);
    assert_eq!(due(ledger, at(99), 9).await, [11, 13, 12, 10]);
    assert_eq!(due(ledger, at(99), 3).await, [11, 13, 12]);
    assert_eq!(ledger.next_delivery().await.unwrap(), Some(at(10)));
}

pub(super) async fn a_message_given_up_is_kept_but_never_due(ledger: &dyn Ledger) {
    ledger.enqueue((10..15).map(delivery).collect()).await.unwrap();
    let tried = DeliveryRow {
        attempts: 3,
        next: at(50),
        error: Some("timeout".to_owned()),
        ..delivery(10)
    };
    assert!(ledger.update_delivery(tried.clone()).await.unwrap());
    assert_eq!(due(ledger, at(49), 9).await, [11, 12, 13, 14]);
    assert_eq!(ledger.due_deliveries(at(50), 9).await.unwrap().last(), Some(&tried));
    for number in [10, 11, 13] {
        let given_up = DeliveryRow { dead: true, ..delivery(number) };
        assert!(ledger.update_delivery(given_up).await.unwrap());
    }
    assert_eq!(due(ledger, at(99), 9).await, [12, 14]);
    assert_eq!(ledger.next_delivery().await.unwrap(), Some(at(12)));
    assert_eq!(dead(ledger, None, 9).await, [10, 11, 13]);
    assert_eq!(dead(ledger, Some(10), 1).await, [11]);
    assert_eq!(dead(ledger, Some(12), 9).await, [13]);
    assert!(ledger.update_delivery(delivery(11)).await.unwrap(), "tried once more");
    assert_eq!(due(ledger, at(99), 9).await, [11, 12, 14]);
    assert!(ledger.remove_delivery(DeliveryNumber(13)).await.unwrap());
    assert_eq!(dead(ledger, None, 9).await, [10]);
    assert!(!ledger.update_delivery(delivery(13)).await.unwrap());
    assert_eq!(due(ledger, at(99), 9).await, [11, 12, 14], "an update makes no message");
}

pub(super) async fn messages_given_up_are_forgotten_by_the_time_they_were(ledger: &dyn Ledger) {
    let rows = (10..15).map(|number| DeliveryRow { dead: number != 11, ..delivery(number) });
    ledger.enqueue(rows.collect()).await.unwrap();
    assert_eq!(ledger.expire_deliveries(at(10)).await.unwrap(), 0);
    assert_eq!(ledger.expire_deliveries(at(13)).await.unwrap(), 2);
    assert_eq!(dead(ledger, None, 9).await, [13, 14]);
    assert_eq!(due(ledger, at(99), 9).await, [11], "what is on its way stays");
}

pub(super) async fn messages_are_recorded_only_when_their_job_ends(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    ledger.create_job(archive_job(10, 2)).await.unwrap();
    let end = async |job, message| {
        let end = JobEnd::Succeeded(None);
        ledger.end_job(JobNumber(job), end, at(4), vec![delivery(message)]).await.unwrap()
    };
    assert!(!end(99, 50).await);
    assert_eq!(due(ledger, at(99), 9).await, Vec::<u64>::new());
    assert!(end(10, 51).await);
    assert!(!end(10, 52).await);
    assert_eq!(due(ledger, at(99), 9).await, [51]);
    apply_one(ledger, vault_deleted(V, 0)).await;
    ledger.expire_jobs(at(99)).await.unwrap();
    assert_eq!(due(ledger, at(99), 9).await, [51], "a message outlives its job and vault");
}
