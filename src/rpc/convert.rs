//! Domain values and wire messages, both ways. Structs are taken apart without `..`, so that a new field fails here.
//!
//! Not here: decisions (`domain/`). This file reads single fields; [`files`], [`chats`], [`settings`], [`scanner`],
//! [`access`], [`holds`], [`quarantine`], [`runs`], [`deleting`] build and read whole messages.

use std::time::Duration;

use prost_types::Timestamp;

use crate::domain::{
    FileId, Refusal, Time, ids,
    listing::{Order, PAGE_SIZES},
};

use super::pb;

pub mod access;
pub mod chats;
pub mod consistency;
pub mod deleting;
mod disposition;
pub mod files;
pub mod holds;
pub mod quarantine;
pub mod runs;
pub mod scanner;
pub mod settings;
pub mod stats;

pub use files::declared;

/// Most chats of one batch.
pub const MAX_BATCH: usize = 500;
/// Most files of one batch.
pub const MAX_FILES: usize = 1_000;

/// A batch whose elements stand for themselves: the good ones, and for each as sent its name and what was wrong with it.
pub struct Batch<T> {
    /// Those that can be read, in order.
    pub good: Vec<T>,
    /// One per element sent, in order: its name, and the refusal of one that cannot be read.
    pub slots: Vec<(String, Option<Refusal>)>,
}

/// Reads a batch of 1 to [`MAX_BATCH`].
///
/// # Errors
/// `BAD_ARGUMENT` for none or too many.
pub fn batch<S, T>(
    field: &'static str,
    sent: Vec<S>,
    name: impl Fn(&S) -> &String,
    read: impl Fn(S) -> Result<T, Refusal>,
) -> Result<Batch<T>, Refusal> {
    batch_of(field, MAX_BATCH, sent, name, read)
}

fn batch_of<S, T>(
    field: &'static str,
    most: usize,
    sent: Vec<S>,
    name: impl Fn(&S) -> &String,
    read: impl Fn(S) -> Result<T, Refusal>,
) -> Result<Batch<T>, Refusal> {
    if sent.is_empty() || sent.len() > most {
        return Err(Refusal::argument(field, format!("{field} must be 1 to {most}")).with("limit", most));
    }
    let mut batch = Batch { good: Vec::with_capacity(sent.len()), slots: Vec::with_capacity(sent.len()) };
    for element in sent {
        let name = name(&element).clone();
        let refusal = read(element).map(|good| batch.good.push(good)).err();
        batch.slots.push((name, refusal));
    }
    Ok(batch)
}

/// Reads a batch of 1 to [`MAX_FILES`] files by their ids.
///
/// # Errors
/// `BAD_ARGUMENT` for none or too many.
pub fn batch_of_files(sent: Vec<String>) -> Result<Batch<FileId>, Refusal> {
    batch_of("file_ids", MAX_FILES, sent, |id| id, |id| id.parse())
}

/// What became of each element sent: its own refusal, or the next of what became of the good ones.
pub fn join<T>(
    slots: Vec<(String, Option<Refusal>)>,
    became: Vec<Result<T, Refusal>>,
) -> impl Iterator<Item = (String, Result<T, Refusal>)> {
    let mut became = became.into_iter();
    slots.into_iter().map(move |(name, refusal)| match refusal {
        Some(refusal) => (name, Err(refusal)),
        None => (name, became.next().unwrap_or_else(|| Err(Refusal::not_found()))),
    })
}

/// A count of bytes: not negative.
pub fn size(field: &'static str, n: i64) -> Result<u64, Refusal> {
    u64::try_from(n).map_err(|_| Refusal::argument(field, format!("{field} must not be negative")))
}

/// A count for the wire, which has no unsigned ones; nothing of ours comes near its bound.
pub fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// How large a page is: 0 is the default.
pub fn page_size(n: i32) -> Result<u32, Refusal> {
    let (least, most, default) = PAGE_SIZES;
    match u32::try_from(n) {
        Ok(0) => Ok(default),
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        _ => Err(Refusal::argument("page_size", format!("page_size must be 0 or {least} to {most}"))),
    }
}

/// An order of files.
pub fn order(number: i32) -> Result<Order, Refusal> {
    match pb::FileOrder::try_from(number) {
        Ok(pb::FileOrder::Unspecified | pb::FileOrder::Newest) => Ok(Order::Newest),
        Ok(pb::FileOrder::Oldest) => Ok(Order::Oldest),
        Ok(pb::FileOrder::Largest) => Ok(Order::Largest),
        Err(_) => Err(Refusal::argument("order", "order is not one of FileOrder")),
    }
}

/// A message id: nothing, or `[A-Za-z0-9._~-]{1,64}`.
pub fn message_id(text: String) -> Result<Option<String>, Refusal> {
    match text.as_str() {
        "" => Ok(None),
        id if ids::is_foreign_id(id) => Ok(Some(text)),
        _ => Err(Refusal::argument("message_id", "message_id must be at most 64 of A-Z a-z 0-9 . _ ~ -")),
    }
}

/// A time on the wire.
pub fn timestamp(time: Time) -> Timestamp {
    Timestamp { seconds: time.secs(), nanos: time.subsec_nanos() }
}

/// A time from the wire, cut to microseconds: year 1 to 9999.
pub fn time(field: &'static str, sent: Timestamp) -> Result<Time, Refusal> {
    let Timestamp { seconds, nanos } = sent;
    if !(-62_135_596_800..=253_402_300_799).contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return Err(Refusal::argument(field, format!("{field} is not a time of the years 1 to 9999")));
    }
    Ok(Time(seconds * Time::SECOND + i64::from(nanos / 1_000)))
}

/// A duration of whole seconds, at least one.
pub fn seconds(field: &'static str, sent: prost_types::Duration) -> Result<Duration, Refusal> {
    match (u64::try_from(sent.seconds), sent.nanos) {
        (Ok(seconds @ 1..), 0) => Ok(Duration::from_secs(seconds)),
        _ => Err(Refusal::argument(field, format!("{field} must be whole seconds, at least 1"))),
    }
}

/// The paths of a field mask; `*` alone stands for `all`. Refuses an empty mask and paths that are not in `all`.
pub fn mask(sent: Option<prost_types::FieldMask>, all: &[&'static str]) -> Result<Vec<&'static str>, Refusal> {
    let bad = |why: &'static str| Refusal::argument("update_mask", format!("update_mask {why}"));
    let paths = sent.map(|mask| mask.paths).unwrap_or_default();
    match paths.as_slice() {
        [] => Err(bad("must name what to change")),
        [star] if star == "*" => Ok(all.to_vec()),
        paths => {
            let mut known = Vec::with_capacity(all.len());
            for path in paths {
                let key = all.iter().find(|key| *key == path).ok_or_else(|| bad("names what cannot be changed"))?;
                if !known.contains(key) {
                    known.push(*key);
                }
            }
            Ok(known)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_1_to_500_rows_and_50_by_default() {
        assert_eq!((page_size(0), page_size(1), page_size(500)), (Ok(50), Ok(1), Ok(500)));
        for bad in [-1, 501, i32::MIN, i32::MAX] {
            assert_eq!(page_size(bad).expect_err("refused").get("field"), Some("page_size"));
        }
    }

    #[test]
    fn times_read_back_in_microseconds_and_impossible_ones_are_refused() {
        for time in [Time(0), Time(1_234_567), Time(-1)] {
            assert_eq!(super::time("t", timestamp(time)), Ok(time));
        }
        let sent = |seconds, nanos| super::time("t", Timestamp { seconds, nanos });
        assert_eq!(sent(1, 999), Ok(Time(1_000_000)));
        for bad in [sent(i64::MAX, 0), sent(i64::MIN, 0), sent(0, -1), sent(0, 1_000_000_000)] {
            assert!(bad.is_err());
        }
    }

    #[test]
    fn a_mask_names_known_fields_and_at_least_one() {
        let of = |paths: &[&str]| Some(prost_types::FieldMask { paths: paths.iter().map(|p| (*p).into()).collect() });
        assert_eq!(mask(of(&["b", "b"]), &["a", "b"]), Ok(vec!["b"]));
        assert_eq!(mask(of(&["*"]), &["a", "b"]), Ok(vec!["a", "b"]));
        for bad in [None, of(&[]), of(&["c"]), of(&["*", "a"]), of(&[""]), of(&["a.b"])] {
            assert_eq!(mask(bad, &["a", "b"]).expect_err("refused").get("field"), Some("update_mask"));
        }
    }

    #[test]
    fn durations_are_whole_positive_seconds() {
        let of = |seconds, nanos| super::seconds("ttl", prost_types::Duration { seconds, nanos });
        assert_eq!(of(5, 0), Ok(Duration::from_secs(5)));
        for bad in [of(0, 0), of(-1, 0), of(1, 1), of(0, 5), of(1, -1)] {
            assert!(bad.is_err());
        }
    }

    #[test]
    fn a_batch_has_1_to_500_elements_and_each_answer_finds_its_place() {
        let of = |n: usize| batch("x", vec!["1".to_owned(); n], |s| s, Ok);
        assert!(of(0).is_err() && of(501).is_err() && of(500).is_ok());
        let sent = ["1", "bad", "3"].map(str::to_owned).to_vec();
        let read = |s: String| s.parse::<u8>().map_err(|_| Refusal::argument("x", "bad"));
        let Batch { good, slots } = batch("x", sent, |s| s, read).expect("a batch");
        assert_eq!(good, [1, 3]);
        let became: Vec<_> = join(slots, vec![Ok('a'), Err(Refusal::not_found())]).collect();
        let names: Vec<_> = became.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["1", "bad", "3"]);
        assert_eq!(became[0].1, Ok('a'));
        assert_eq!(became[1].1, Err(Refusal::argument("x", "bad")));
        assert_eq!(became[2].1, Err(Refusal::not_found()));
    }

    #[test]
    fn an_order_that_does_not_exist_is_refused() {
        assert_eq!(order(0), Ok(Order::Newest));
        assert!(order(99).is_err() && order(-1).is_err());
    }
}
