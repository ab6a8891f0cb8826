//! Tokens that were believed before: their signature need not be checked again, their time always is.
//!
//! Not here: what makes a token believed (`credential.rs`). It belongs to one set of keys and goes with it. Holds
//! digests, never tokens, and nothing of tokens that were refused, so that no stranger can fill it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use sha2::{Digest as _, Sha256};

use super::Lifetime;
use crate::domain::Caller;

/// Most tokens remembered; then all are forgotten and believed anew.
const MOST: usize = 4_096;
/// Longer ones, which name many chats, are not remembered: 4,096 of these take 16 MiB at most.
const LONGEST_BYTES: usize = 2_048;

/// The tokens believed so far.
#[derive(Default)]
pub(super) struct Believed(Mutex<HashMap<[u8; 32], (Lifetime, Caller)>>);

/// What a token is known by here.
#[derive(Clone, Copy)]
pub(super) struct Mark([u8; 32]);

impl Mark {
    /// Of a token that is short enough to be remembered.
    pub(super) fn of(token: &str) -> Option<Self> {
        (token.len() <= LONGEST_BYTES).then(|| Self(Sha256::digest(token).into()))
    }
}

impl Believed {
    /// Who a token said that the caller is, and for how long.
    pub(super) fn find(&self, Mark(digest): Mark) -> Option<(Lifetime, Caller)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned()
    }

    /// Remembers what a token said whose signature holds.
    pub(super) fn remember(&self, Mark(digest): Mark, lifetime: Lifetime, caller: &Caller) {
        let mut believed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if believed.len() >= MOST {
            believed.clear();
        }
        believed.insert(digest, (lifetime, caller.clone()));
    }
}
