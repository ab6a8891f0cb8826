//! The contract of a store: what each that there is must do, in memory, on SQLite and on PostgreSQL.
//!
//! A rule is a function over a world (`store/`, a file for each subject); the list below runs every rule on every engine,
//! and the test's name tells which. To add a rule, write the function and name it here. Not here: what is an engine's own,
//! its plans, bounds, group commit, pool (`adapters/sql/tests/`).

use std::sync::{Arc, atomic::Ordering};

pub mod chats;
pub mod consistency;
pub mod differential;

pub mod engines;
pub mod erasing;
pub mod files;
pub mod holds;
pub mod keys;
pub mod lists;
pub mod origins;
pub mod pairing;
pub mod purging;
pub mod quarantine;
pub mod races;
pub mod rescan;
pub mod retention;
pub mod run_races;
pub mod runs;
pub mod settings;
pub mod stats;
pub mod taking;
pub mod uploads;
pub mod vitals;
pub mod world;

pub use world::*;

use crate::{
    domain::{
        Actor, BlobKey, ChatStatus, CodeHash, FileId, FileView, Permission, Settings, Time, Verdict, VerdictKind,
        admission::Target, listing::FileRef,
    },
    ports::{Admit, Begun, BytesAt, Commit, Committed, Dead, Intent},
};

macro_rules! contract {
    ($($subject:ident { $($rule:ident;)+ })+) => {
        contract!(on in_memory, $($subject { $($rule;)+ })+);
        contract!(on on_sqlite, $($subject { $($rule;)+ })+);
        contract!(on on_postgres, $($subject { $($rule;)+ })+);
    };
    (on $engine:ident, $($subject:ident { $($rule:ident;)+ })+) => {
        mod $engine {
            $(mod $subject {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $rule() {
                    super::super::$subject::$rule(super::super::engines::$engine().await).await;
                })+
            })+
        }
    };
}

contract! {
    chats {
        a_higher_version_applies_a_lower_or_equal_one_changes_nothing_and_zero_always_applies;
        closed_without_a_time_means_now_and_not_closed_has_no_time;
        a_deleted_chat_is_revived_only_by_zero_or_a_higher_version;
        deleting_a_chat_deletes_what_is_at_home_there_alone_and_detaches_the_rest;
        chats_are_listed_by_id_with_filters_scope_and_pages_without_tombstones;
    }
    consistency {
        a_key_is_named_by_its_upload_and_then_by_its_blob;
        names_are_not_told_for_another_store_nor_for_removing_in_read_only;
        blobs_are_walked_in_the_order_of_their_rows_and_tell_who_needs_them;
        rows_that_do_not_fit_together_are_found_window_by_window;
        a_blob_that_no_file_needs_is_found_and_leaves_unless_one_needs_it_by_then;
        what_a_check_found_is_kept_once_in_its_order_and_reads_back;
        checks_are_forgotten_a_day_after_their_end_with_what_they_found;
        a_check_that_is_gone_on_with_lives_on_and_one_that_is_left_makes_room;
        the_place_of_the_check_is_kept_with_its_events_and_a_fenced_one_changes_nothing;
    }
    erasing {
        a_visitor_goes_with_all_that_names_it_and_nobody_else_changes;
        what_visitors_brought_into_a_named_chat_goes_and_operators_files_stay;
        what_is_held_stays_and_is_named_and_so_do_bytes_that_another_file_needs;
        an_upload_under_way_is_fenced_and_ends_under_the_pseudonym;
        an_erasure_that_was_broken_off_goes_on_under_the_same_pseudonym_and_tells_the_whole;
        nothing_is_erased_or_forgotten_while_read_only_is_set;
        events_and_stubs_are_forgotten_for_their_age_the_oldest_first;
    }
    stats {
        what_is_counted_page_by_page_is_what_was_drawn_and_due_as_a_plan_finds_it;
    }
    files {
        a_view_names_exactly_the_chats_that_its_caller_may_access;
        a_file_that_is_not_there_is_not_found_by_id_number_or_wrong_code;
        attaching_judges_each_chat_alone_and_twice_is_one_attachment;
        five_hundred_chats_are_attached_in_one_call_and_more_are_told_as_truncated;
        detaching_is_for_the_uploader_or_the_chats_owner_and_twice_is_fine;
        an_update_needs_the_current_etag_and_makes_a_new_one;
        deleting_is_a_tombstone_that_keeps_its_attachments_and_twice_is_fine;
        an_owner_does_not_delete_what_is_attached_to_a_chat_of_another;
        a_deleted_file_comes_back_with_its_attachments_to_living_chats_within_the_grace;
        a_chat_that_is_deleted_again_takes_nothing_that_was_restored_since;
        deleted_files_are_listed_to_the_end_of_their_grace_and_no_others;
    }
    holds {
        a_held_file_is_neither_deleted_nor_detached_by_anybody_until_all_its_holds_are_lifted;
        a_chats_hold_binds_what_is_attached_later_and_an_attached_elsewhere_file_does_not_stop_its_home;
        holds_are_put_and_lifted_within_reach_and_listed_in_pages;
        a_hold_and_a_delete_that_meet_agree_on_who_was_first;
    }
    keys {
        key_reads_back_as_it_was_made_and_counts_until_it_ends_or_is_retired;
        keys_are_listed_in_pages_the_newest_first_and_within_reach_alone;
    }
    lists {
        every_filter_and_order_pages_through_exactly_what_matches;
        deleted_and_quarantined_files_are_in_no_list_and_no_total;
        files_that_come_while_paging_are_neither_repeated_nor_in_the_way;
        files_of_one_instant_and_size_page_by_their_number;
    }
    origins {
        a_file_for_an_online_visitor_is_in_no_chat_and_told_with_its_origin;
        a_repeated_upload_is_compared_by_its_online_visitor_too;
        a_visitor_sees_only_what_was_uploaded_for_its_own_vid;
        files_age_as_their_uploaders_and_those_of_services_by_their_origin;
        a_hold_on_a_visitor_keeps_what_was_uploaded_for_it;
    }
    pairing {
        of_many_claims_the_first_counts_and_is_confirmed_once;
        keys_that_rows_name_are_told_newest_first_and_few;
    }
    purging {
        a_deleted_file_becomes_a_stub_when_its_grace_is_over_and_nobody_is_shown_it;
        files_are_purged_a_batch_at_a_time_those_deleted_first_before_others_and_held_ones_stay;
        bytes_of_two_deleted_files_go_when_both_are_past_their_grace;
        what_is_on_its_way_out_is_neither_found_nor_shared_nor_hit_nor_named;
        a_row_of_bytes_goes_once_they_are_gone_from_the_store_that_counts_and_come_no_more;
        purging_at_once_is_for_who_may_and_reaches_it_and_keeps_what_is_held;
        what_a_file_needs_never_leaves_and_one_that_was_brought_back_is_purged_with_others;
        a_batch_says_that_there_may_be_more_when_it_found_as_many_as_it_was_asked_for;
    }
    quarantine {
        bytes_are_released_from_what_was_found_in_them_and_from_nothing_else;
        a_signature_is_released_in_batches_and_what_it_hits_later_is_let_through;
        a_release_that_has_ended_has_its_blobs_scanned_and_found_again;
        a_release_counts_until_its_time_and_newer_signatures_that_find_nothing_end_its_need;
        a_hit_that_is_ignored_lets_its_blobs_out_as_released;
        what_lies_in_quarantine_is_listed_with_its_files_the_newest_blob_first;
        what_is_released_by_then_is_not_put_into_quarantine_by_the_hit_of_an_upload;
        since_when_it_lies_in_quarantine_stays_while_newer_signatures_find_it_again;
    }
    races {
        streams_with_one_request_id_that_begin_at_once_leave_one_file;
        of_tellings_that_meet_the_highest_version_stays_and_none_is_lost;
        an_upload_and_the_end_of_its_chat_agree_on_who_was_first;
        attaching_elsewhere_and_the_end_of_the_home_chat_agree_on_who_was_first;
        attaching_twice_at_once_is_one_attachment_and_deleting_twice_one_tombstone;
        a_blob_found_infected_is_shared_by_nobody_who_comes_later;
        a_hit_and_a_commit_of_the_same_bytes_under_another_key_leave_none_that_is_served;
        of_changes_of_settings_under_one_etag_one_applies;
        of_a_purge_and_a_restore_that_meet_exactly_one_wins;
        a_purge_and_an_upload_that_shares_its_bytes_agree_on_who_was_first;
        purges_of_all_files_of_one_blob_that_meet_leave_none_that_nobody_needs;
    }
    rescan {
        one_node_goes_on_with_the_rescan_and_newer_signatures_take_it_over;
        a_rescan_begins_anew_under_another_rule_or_when_asked_and_an_old_lease_is_fenced;
        a_scan_anew_stores_its_verdict_and_is_refused_for_what_has_changed_meanwhile;
        a_hit_of_a_rescan_is_that_of_an_upload_and_newer_signatures_alone_clear_it;
        what_cannot_be_scanned_stays_served_and_is_marked_only_where_that_is_accepted;
        a_signature_that_hits_too_much_is_stopped_told_once_and_goes_on_when_it_is_confirmed;
        the_budget_of_an_hour_is_the_same_for_all_nodes_and_its_first_blob_passes;
        each_phase_walks_its_own_blobs_and_tells_what_decides;
        scans_without_a_verdict_are_counted_for_the_same_signatures_until_there_is_one;
        a_node_that_lags_behind_does_not_undo_what_newer_signatures_found;
    }
    run_races {
        a_file_that_is_kept_while_a_run_passes_is_alive_or_was_refused_and_never_both;
    }
    runs {
        a_run_deletes_by_its_rule_the_oldest_first_each_with_its_event_and_tells_how_far_it_is;
        a_run_of_a_plan_deletes_what_it_found_minus_what_changed_since_and_nothing_else;
        a_plan_beyond_the_guard_needs_its_token_and_an_old_one_is_refused;
        one_runs_at_a_time_and_a_request_or_a_tick_has_one_run;
        of_runs_that_begin_at_once_one_begins;
        a_run_whose_node_died_goes_on_at_its_checkpoint_and_the_old_node_is_fenced;
        the_guard_stops_a_run_and_grows_with_what_the_rule_deleted_before;
        a_cancelled_run_deletes_nothing_more;
        a_clock_that_is_far_ahead_of_what_it_was_is_told_until_somebody_confirms_it;
        old_runs_and_ended_plans_are_forgotten_and_running_ones_are_not;
        what_the_rule_asks_of_a_file_is_told_whatever_its_state;
    }
    settings {
        settings_are_stored_under_one_version_and_an_old_etag_changes_nothing;
        nothing_is_changed_after_read_only_was_set_whatever_a_node_believes;
    }
    taking {
        of_sets_of_one_day_that_of_the_node_that_scans_counts_and_two_nodes_do_not_take_turns;
        of_sets_without_a_day_that_of_the_node_that_scans_counts_and_two_nodes_do_not_take_turns;
        another_set_of_the_same_day_clears_a_hit_and_an_older_one_does_not;
        a_brake_and_a_word_on_a_signature_outlast_newer_ones_until_it_hits_nothing_more;
        a_signature_that_is_ignored_or_released_is_told_as_stopped_no_more;
        a_release_that_is_ended_by_hand_stops_the_walk_which_begins_anew;
        an_upload_to_a_node_that_lags_behind_puts_nothing_into_quarantine_that_newer_ones_call_clean;
    }
    uploads {
        a_committed_upload_is_found_with_everything_it_was_made_of;
        the_same_request_id_gets_the_same_file_for_24_hours_and_for_its_person_only;
        a_newer_stream_with_the_same_request_id_fences_the_older;
        an_upload_is_admitted_with_its_chat_as_it_is_and_a_refused_one_writes_and_fences_nothing;
        a_refused_upload_frees_its_request_id;
        a_commit_happens_once;
        the_chat_is_judged_again_inside_the_commit;
        a_shared_blob_must_be_active_and_takes_the_better_verdict;
        a_blob_of_other_bytes_is_not_shared_and_takes_no_verdict_of_them;
        a_verdict_that_knows_nothing_of_a_hit_on_the_same_bytes_is_not_stored;
        a_hit_is_remembered_where_no_blob_has_the_bytes_and_a_later_one_is_another;
        a_dead_nodes_intents_are_listed_when_their_lease_is_over_and_own_ones_at_start;
        a_buried_intent_frees_its_request_id_tells_its_event_once_and_comes_up_again_when_its_time_is_over;
        old_request_ids_are_forgotten_and_running_ones_kept;
        upload_in_parts_is_noted_for_a_running_intent_only;
    }
    vitals {
        the_last_good_run_is_the_newest_with_the_rule_of_whose_tasks_none_failed;
        what_is_in_quarantine_is_counted;
    }
}
