//! The tables of the rescan, of what kills the scanner, and of releases, as diesel knows them.
//!
//! Not here: all other tables (the parent module).

diesel::table! {
    rescan (id) {
        id -> BigInt,
        target -> Text,
        engine -> Text,
        made -> Nullable<BigInt>,
        rule -> Text,
        phase -> Text,
        position -> BigInt,
        top -> BigInt,
        blobs -> BigInt,
        left_blobs -> BigInt,
        left_bytes -> BigInt,
        done_blobs -> BigInt,
        done_bytes -> BigInt,
        hits -> BigInt,
        node -> Text,
        fence -> BigInt,
        lease_until -> BigInt,
        window_since -> BigInt,
        window_bytes -> BigInt,
        window_blobs -> BigInt,
        started_at -> Nullable<BigInt>,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    braked_signatures (signature) {
        signature -> Text,
        target -> Text,
        hits -> BigInt,
        quarantined -> BigInt,
        confirmed -> Bool,
        at -> Nullable<BigInt>,
    }
}

diesel::table! {
    scan_failures (sha256) {
        sha256 -> Binary,
        signatures -> Text,
        times -> BigInt,
        at -> BigInt,
    }
}

diesel::table! {
    releases (number) {
        number -> BigInt,
        sha256 -> Nullable<Binary>,
        signature -> Text,
        reason -> Text,
        by_kind -> Nullable<Text>,
        by_id -> Nullable<Text>,
        by_service -> Nullable<Text>,
        at -> BigInt,
        until -> Nullable<BigInt>,
    }
}
