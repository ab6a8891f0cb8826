//! The id that a database shares with its store of bytes.
//!
//! Not here: which pairs fit (`server/blobs.rs`).

use super::*;
use crate::{domain::StoreId, ports::StoreClaim};

pub async fn of_many_claims_the_first_counts_and_is_confirmed_once(w: World) {
    assert_eq!(w.store.find_store_claim().await.expect("finds"), None);
    let places: Vec<_> = (1..=8_u8).map(|n| (n, format!("s3://bucket-{n}"))).collect();
    let claims = places.iter().map(|(n, place)| w.store.claim_store_id(StoreId([*n; 16]), place));
    let claims: Vec<_> =
        futures_util::future::join_all(claims).await.into_iter().map(|claim| claim.expect("claims")).collect();
    let first = claims[0].clone();
    assert_eq!(first.place, format!("s3://bucket-{}", first.id.0[0]));
    assert!(!first.confirmed && claims.iter().all(|claim| *claim == first), "{claims:?}");
    assert_eq!(w.store.find_store_claim().await.expect("finds"), Some(first.clone()));
    w.store.confirm_store_id().await.expect("confirms");
    let confirmed = StoreClaim { confirmed: true, ..first };
    assert_eq!(w.store.find_store_claim().await.expect("finds"), Some(confirmed.clone()));
    assert_eq!(w.store.claim_store_id(StoreId([9; 16]), "s3://late").await.expect("claims"), confirmed);
}

pub async fn keys_that_rows_name_are_told_newest_first_and_few(w: World) {
    assert_eq!(w.store.list_newest_keys().await.expect("lists"), []);
    let mut keys = Vec::new();
    for tag in 0..10 {
        keys.insert(
            0,
            w.upload(&operator("17", &[], &[]), &Upload { tag, ..Upload::to(Target::Library) }).await.blob.key,
        );
    }
    assert_eq!(w.store.list_newest_keys().await.expect("lists"), keys[..8]);
}
