//! The contract of [`Ledger`](super::Ledger) as tests: every rule runs on every backend.
//!
//! A rule is a function over any ledger, filed under its noun; [`rules!`] makes a test of it for each backend. In
//! [`random`], sequences of calls run on all backends side by side, and the log is replayed.

mod archives;
mod documents;
pub(crate) mod fixtures;
mod inventories;
mod jobs;
mod log;
mod outbox;
mod purging;
mod random;
mod staging;
mod uploads;
mod vaults;

macro_rules! rules {
    ($($noun:ident { $($rule:ident)* })*) => {
        mod in_memory {
            use crate::ledger::MemoryLedger;

            $($(
                #[tokio::test]
                async fn $rule() {
                    super::$noun::$rule(&MemoryLedger::new()).await;
                }
            )*)*
        }

        mod in_sqlite {
            use crate::ledger::SqliteLedger;

            $($(
                #[tokio::test]
                async fn $rule() {
                    let folder = tempfile::tempdir().unwrap();
                    let ledger = SqliteLedger::open(&folder.path().join("ledger.db"), true, None).unwrap();
                    super::$noun::$rule(&ledger).await;
                    assert_eq!(ledger.integrity_check().await.unwrap(), Vec::<String>::new());
                    ledger.close().await.unwrap();
                }
            )*)*
        }
    };
}

rules! {
    log {
        the_mark_moves_with_the_entries_and_also_without_any
        entries_of_one_call_are_applied_in_order
        numbers_of_every_kind_count_for_the_highest
    }
    vaults {
        a_vault_needs_a_free_name_in_its_account
        a_vault_is_deleted_only_when_it_is_empty_and_not_written_to_since
        the_name_of_a_deleted_vault_is_free_again
        deleting_a_vault_discards_what_is_left_of_it
        vaults_are_listed_by_bytes_of_their_names
    }
    archives {
        an_archive_counts_in_its_vault_until_it_is_deleted
        an_archive_keeps_everything_that_was_recorded
        a_refused_archive_leaves_its_files_as_they_are
        a_token_makes_one_archive_in_a_vault
        a_token_is_remembered_after_its_archive_was_purged
        a_repeat_leaves_its_files_as_they_are
        an_archive_is_deleted_once_and_only_from_its_vault
        a_list_shows_the_vault_as_of_a_write
        a_list_takes_dates_from_the_start_and_before_the_end
        ten_thousand_archives_are_listed_page_by_page
        several_files_without_an_upload_are_kept
    }
    uploads {
        an_upload_is_created_once_for_a_token
        uploads_in_progress_are_listed_by_number
        a_part_replaces_the_one_of_its_index
        a_part_of_an_ended_upload_is_refused_and_stays_staged
        parts_are_listed_by_index
        an_abort_stages_the_parts_and_happens_once
        completing_takes_over_the_parts_and_stages_the_others
        ten_thousand_parts_become_an_archive
        an_upload_becomes_one_archive
        an_upload_of_one_part_gives_its_file_to_the_archive
        a_repeat_by_token_ends_its_upload_too
        a_replayed_archive_gets_its_upload_and_parts_again
        the_log_completes_even_an_aborted_upload
        uploads_expire_by_their_last_touch
        uploads_in_progress_are_counted_up_to_a_limit
        an_upload_is_found_by_its_token
        a_forgotten_upload_still_becomes_one_archive
    }
    jobs {
        jobs_keep_everything_that_was_recorded
        jobs_are_listed_by_number_and_filtered
        jobs_are_counted_up_to_a_limit
        due_jobs_come_oldest_first
        a_job_ends_once
        an_output_is_a_jobs_own_until_the_job_expires
        a_load_counts_standard_retrievals_of_the_accounts_archives
    }
    documents {
        a_document_keeps_everything_that_was_recorded
        a_change_of_another_version_than_the_one_found_is_refused
        a_change_after_a_version_whose_record_is_lost_is_taken
        a_removal_takes_one_document_and_may_find_none
        a_vault_takes_its_documents_with_it
        a_document_changes_nothing_of_its_vault
        documents_are_listed_by_bytes_of_their_names
    }
    outbox {
        a_message_keeps_everything_that_was_recorded
        due_messages_come_oldest_first
        a_message_given_up_is_kept_but_never_due
        messages_given_up_are_forgotten_by_the_time_they_were
        messages_are_recorded_only_when_their_job_ends
    }
    inventories {
        the_first_inventory_needs_a_write
        an_inventory_waits_for_its_interval_and_a_write
    }
    purging {
        an_archive_that_exists_is_never_purged
        a_job_keeps_its_archive
        an_inventory_keeps_what_it_shows
        an_inventory_job_keeps_what_it_shows
        purged_bodies_are_dead_and_refused_ones_are_not
        dead_bodies_are_listed_by_pack_until_they_are_forgotten
        purged_archives_give_back_their_files
        a_purge_stops_at_its_limit
    }
    staging {
        staged_ids_are_listed_in_byte_order_until_they_are_forgotten
        garbage_is_staged_and_nobodys
        counts_tell_what_there_is
    }
}
