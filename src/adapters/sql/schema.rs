//! The tables as diesel knows them: portable column types only, one description for every engine.
//!
//! Not here: the tables themselves with their indexes (`migrations/`). Both change together.

// The benchmark has this file, too, under another path.
#[path = "schema/quarantine.rs"]
pub mod quarantine;

diesel::table! {
    blobs (id) {
        id -> BigInt,
        key -> Binary,
        sha256 -> Binary,
        size -> BigInt,
        state -> Text,
        verdict -> Text,
        engine -> Text,
        signatures -> Text,
        scanned_at -> BigInt,
        signature -> Nullable<Text>,
        created_at -> BigInt,
        quarantined_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    hits (id) {
        id -> BigInt,
        sha256 -> Binary,
        signature -> Text,
        engine -> Text,
        signatures -> Text,
        made -> Nullable<BigInt>,
        at -> BigInt,
    }
}

diesel::table! {
    files (number) {
        number -> BigInt,
        id -> Binary,
        code_hash -> Binary,
        blob_id -> BigInt,
        state -> Text,
        display_name -> Text,
        extension -> Text,
        media_type -> Text,
        uploader_kind -> Text,
        uploader_id -> Text,
        home_chat_id -> Nullable<Text>,
        persistent -> Bool,
        width -> Nullable<BigInt>,
        height -> Nullable<BigInt>,
        sha256 -> Binary,
        size -> BigInt,
        uploaded_sha256 -> Binary,
        revision -> BigInt,
        created_at -> BigInt,
        deleted_at -> Nullable<BigInt>,
        restored_at -> Nullable<BigInt>,
        visitor_id -> Nullable<Text>,
        origin -> Nullable<Text>,
        ages_as -> Nullable<Text>,
    }
}

diesel::table! {
    chats (id) {
        id -> Text,
        status -> Text,
        owner -> Nullable<Text>,
        closed_at -> Nullable<BigInt>,
        upload_override -> Nullable<Bool>,
        version -> BigInt,
        deleted -> Bool,
        updated_at -> BigInt,
    }
}

diesel::table! {
    attachments (file_number, chat_id) {
        chat_id -> Text,
        file_number -> BigInt,
        message_id -> Nullable<Text>,
        by_kind -> Text,
        by_id -> Text,
        at -> BigInt,
        file_created_at -> BigInt,
        file_size -> BigInt,
    }
}

diesel::table! {
    uploads (id) {
        id -> BigInt,
        key -> Binary,
        node -> Text,
        person_kind -> Text,
        person_id -> Text,
        request_id -> Nullable<Text>,
        target_chat_id -> Nullable<Text>,
        state -> Text,
        lease_until -> BigInt,
        uploaded_sha256 -> Nullable<Binary>,
        file_id -> Nullable<Binary>,
        created_at -> BigInt,
        ended_at -> Nullable<BigInt>,
        multipart -> Nullable<Text>,
        target_visitor_id -> Nullable<Text>,
    }
}

diesel::table! {
    store (id) {
        id -> BigInt,
        store_id -> Binary,
        place -> Text,
        confirmed -> Bool,
    }
}

diesel::table! {
    settings (key) {
        key -> Text,
        value -> Text,
    }
}

diesel::table! {
    settings_version (id) {
        id -> BigInt,
        version -> BigInt,
        updated_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    settings_history (version, key) {
        version -> BigInt,
        key -> Text,
        old_value -> Nullable<Text>,
        new_value -> Text,
        at -> BigInt,
        person_kind -> Nullable<Text>,
        person_id -> Nullable<Text>,
        acting_service -> Nullable<Text>,
    }
}

diesel::table! {
    access_keys (number) {
        number -> BigInt,
        id -> Binary,
        hash -> Binary,
        person_kind -> Text,
        person_id -> Text,
        permissions -> Text,
        chats -> Text,
        vid -> Nullable<Text>,
        ceiling_service -> Nullable<Text>,
        ceiling_chats -> Nullable<Text>,
        label -> Text,
        created_kind -> Text,
        created_id -> Text,
        created_service -> Nullable<Text>,
        created_at -> BigInt,
        expires_at -> BigInt,
        retired_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    access_keys_version (id) {
        id -> BigInt,
        version -> BigInt,
    }
}

diesel::table! {
    events (seq) {
        seq -> BigInt,
        at -> BigInt,
        kind -> Text,
        person_kind -> Nullable<Text>,
        person_id -> Nullable<Text>,
        acting_service -> Nullable<Text>,
        file_id -> Nullable<Binary>,
        chat_id -> Nullable<Text>,
        reason -> Nullable<Text>,
        detail -> Nullable<Text>,
    }
}

diesel::table! {
    holds (number) {
        number -> BigInt,
        what -> Text,
        target -> Text,
        file_number -> Nullable<BigInt>,
        matter -> Text,
        by_kind -> Text,
        by_id -> Text,
        by_service -> Nullable<Text>,
        at -> BigInt,
    }
}

diesel::table! {
    runs (number) {
        number -> BigInt,
        id -> Binary,
        state -> Text,
        tick -> Nullable<BigInt>,
        by_kind -> Nullable<Text>,
        by_id -> Nullable<Text>,
        by_service -> Nullable<Text>,
        request_id -> Nullable<Text>,
        plan_id -> Nullable<Binary>,
        rule -> Text,
        proposed -> Bool,
        node -> Text,
        fence -> BigInt,
        lease_until -> BigInt,
        cancel_requested -> Bool,
        after_created -> BigInt,
        after_number -> BigInt,
        begun_at -> BigInt,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    run_tasks (run_number, place) {
        run_number -> BigInt,
        place -> BigInt,
        task -> Text,
        outcome -> Text,
        done -> BigInt,
        bytes -> BigInt,
        kept -> BigInt,
        failed -> BigInt,
        guard -> Nullable<BigInt>,
    }
}

diesel::table! {
    plans (number) {
        number -> BigInt,
        id -> Binary,
        rule -> Text,
        proposed -> Bool,
        token -> Text,
        guard -> BigInt,
        by_kind -> Nullable<Text>,
        by_id -> Nullable<Text>,
        by_service -> Nullable<Text>,
        created_at -> BigInt,
        expires_at -> BigInt,
        complete -> Bool,
        after_created -> BigInt,
        after_number -> BigInt,
    }
}

diesel::table! {
    plan_files (plan_number, created_at, file_number) {
        plan_number -> BigInt,
        created_at -> BigInt,
        file_number -> BigInt,
        file_id -> Binary,
        owner -> Text,
        attached -> Bool,
        size -> BigInt,
    }
}

diesel::table! {
    plan_groups (plan_number, owner, attached) {
        plan_number -> BigInt,
        owner -> Text,
        attached -> Bool,
        files -> BigInt,
        bytes -> BigInt,
    }
}

diesel::table! {
    clock (id) {
        id -> BigInt,
        seen -> BigInt,
    }
}

diesel::table! {
    stubs (number) {
        number -> BigInt,
        id -> Binary,
        created_at -> BigInt,
        deleted_at -> BigInt,
        purged_at -> BigInt,
    }
}

diesel::table! {
    erasures (number) {
        number -> BigInt,
        pseudonym -> Text,
        visitor_id -> Nullable<Text>,
        reason -> Text,
        by_kind -> Text,
        by_id -> Text,
        by_service -> Nullable<Text>,
        begun_at -> BigInt,
        ended_at -> Nullable<BigInt>,
        files -> BigInt,
        bytes -> BigInt,
        uploads -> BigInt,
        events -> BigInt,
        keys -> BigInt,
        held -> BigInt,
        shared_blobs -> BigInt,
    }
}

diesel::table! {
    erasure_blobs (erasure_number, blob_id) {
        erasure_number -> BigInt,
        blob_id -> BigInt,
    }
}

diesel::table! {
    checks (number) {
        number -> BigInt,
        id -> Binary,
        store_id -> Binary,
        by_kind -> Nullable<Text>,
        by_id -> Nullable<Text>,
        by_service -> Nullable<Text>,
        stored -> BigInt,
        created_at -> BigInt,
        expires_at -> BigInt,
    }
}

diesel::table! {
    findings (check_number, number) {
        check_number -> BigInt,
        number -> BigInt,
        kind -> Text,
        subject -> Text,
        node -> Text,
        blob_id -> Nullable<BigInt>,
        key -> Nullable<Binary>,
        sha256 -> Nullable<Binary>,
        size -> BigInt,
        found -> BigInt,
        files -> BigInt,
        multipart -> Nullable<Text>,
        place -> Nullable<Text>,
        name -> Nullable<Binary>,
        plain -> Bool,
        at -> Nullable<BigInt>,
        rule -> Nullable<Text>,
        file_number -> Nullable<BigInt>,
        file_id -> Nullable<Binary>,
        chat_id -> Nullable<Text>,
        repaired_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    check_place (id) {
        id -> BigInt,
        sized -> BigInt,
        hashed -> BigInt,
    }
}

diesel::joinable!(files -> blobs (blob_id));
diesel::joinable!(attachments -> files (file_number));
diesel::joinable!(attachments -> chats (chat_id));
diesel::joinable!(run_tasks -> runs (run_number));
diesel::allow_tables_to_appear_in_same_query!(blobs, files, chats, attachments);
diesel::allow_tables_to_appear_in_same_query!(runs, run_tasks);
