//! How long a token of ours counts, and how large it may be.
//!
//! Not here: what it says and who signs it (`credential/own.rs`), and whether it may be made (`domain/lending.rs`).

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::credential::KeySet;
use crate::{
    domain::{Caller, Reason, Refusal, Time},
    ports::Clock,
};

/// How long a token counts unless it is said.
const DEFAULT_TTL_SECS: i64 = 15 * 60;
/// Longest token: it has to fit into the headers of a call beside all others.
const LONGEST_BYTES: usize = 8 * 1_024;

/// Makes tokens.
#[derive(Clone)]
pub struct Minting {
    /// The keys; the newest count.
    pub keys: watch::Receiver<Arc<KeySet>>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl Minting {
    /// A token of this caller and its end: after `ttl`, but not after the credential that it was asked with.
    ///
    /// # Errors
    /// `BAD_ARGUMENT`: a life out of bounds, or so many chats that the token is too long. `BAD_CREDENTIAL`: the credential
    /// has ended, and only the leeway of clocks has let it in.
    pub fn token(&self, caller: &Caller, ttl: Option<Duration>, own: Option<Time>) -> Result<(String, Time), Refusal> {
        let (keys, now) = (self.keys.borrow().clone(), self.clock.now());
        let most = keys.max_ttl_secs();
        let ttl = match ttl {
            None => DEFAULT_TTL_SECS.min(most),
            Some(ttl) => i64::try_from(ttl.as_secs()).ok().filter(|ttl| *ttl <= most).ok_or_else(|| {
                Refusal::argument("ttl", format!("ttl must be 1 to {most} seconds")).with("limit_seconds", most)
            })?,
        };
        // Tokens count in whole seconds.
        let now = Time::from_secs(now.secs());
        let end = own.map_or(now.plus_secs(ttl), |own| Time::from_secs(own.secs()).min(now.plus_secs(ttl)));
        if end <= now {
            return Err(Reason::BadCredential.into());
        }
        let token = keys.mint(caller, end).ok_or_else(|| Refusal::argument("person", "no key signs tokens here"))?;
        if token.len() > LONGEST_BYTES {
            let why =
                "a token that names so many chats does not fit into a header: name less, of a service of less or all";
            return Err(Refusal::argument("person", why).with("limit_bytes", LONGEST_BYTES));
        }
        Ok((token, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::token_keys,
        domain::{ChatSet, Permissions},
    };

    const NOW: Time = Time(1_800_000_000_500_000);

    struct Now;
    impl Clock for Now {
        fn now(&self) -> Time {
            NOW
        }
    }

    fn minting(max_ttl_secs: u64) -> Minting {
        let keys = KeySet::of_secrets(&[vec![1; 32]], Duration::from_secs(max_ttl_secs)).expect("a good secret");
        let (_, keys) = watch::channel(Arc::new(keys.minting(token_keys(&[vec![1; 32]]))));
        Minting { keys, clock: Arc::new(Now) }
    }

    fn operator(chats: usize) -> Caller {
        Caller {
            person: "operator:17".parse().expect("valid"),
            permissions: Permissions::NONE,
            chats: ChatSet::Only((0..chats).map(|i| format!("chat-{i}").parse().expect("valid")).collect()),
            vid: None,
            ceiling: None,
        }
    }

    /// Seconds that a token counts.
    fn life(max: u64, ttl: Option<u64>, own: Option<i64>) -> Result<i64, Reason> {
        let own = own.map(|secs| NOW.plus_secs(secs));
        let minted = minting(max).token(&operator(1), ttl.map(Duration::from_secs), own);
        minted.map(|(_, end)| end.secs() - NOW.secs()).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn token_counts_as_long_as_asked_and_never_longer_than_its_credential() {
        assert_eq!((life(86_400, None, None), life(60, None, None)), (Ok(900), Ok(60)));
        assert_eq!((life(86_400, Some(86_400), None), life(86_400, Some(1), None)), (Ok(86_400), Ok(1)));
        assert_eq!((life(86_400, Some(3_600), Some(60)), life(86_400, None, Some(7_200))), (Ok(60), Ok(900)));
        assert_eq!(life(86_400, Some(86_401), None), Err(Reason::BadArgument));
        assert_eq!(life(86_400, Some(u64::MAX), None), Err(Reason::BadArgument));
        assert_eq!(life(86_400, None, Some(0)), Err(Reason::BadCredential), "ended, within the leeway of clocks");
    }

    #[test]
    fn token_that_would_not_fit_into_a_header_is_refused() {
        let minting = minting(60);
        assert!(minting.token(&operator(300), None, None).expect("fits").0.len() <= LONGEST_BYTES);
        let refusal = minting.token(&operator(3_000), None, None).expect_err("too long");
        assert_eq!((refusal.reason, refusal.get("field")), (Reason::BadArgument, Some("person")));
    }
}
