//! When maintenance runs by itself: an expression as of a crontab, in UTC, and the moments that it names.
//!
//! A part of what crontabs write, in which nothing means two things: whoever reads it, this or the scheduler that wakes
//! the node, finds the same moments. Not here: who runs then (`server/cron.rs`).

use std::{fmt, str::FromStr};

use super::Time;

/// Longest expression, in bytes.
const MAX_BYTES: usize = 100;
/// A day, in seconds.
const DAY: i64 = 86_400;
/// Days to look back at most: from a 29 February to the one before it there may be eight years.
const MAX_DAYS: i64 = 8 * 366;

/// `minute hour day month weekday`, or six fields with the second first.
///
/// A field is `*`, `N`, `N-M`, `*/S`, `N-M/S`, or several of them with commas between; months and weekdays may be named
/// by their first three letters, and Sunday is 0 and 7. Days of the month or of the week are chosen, never both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    /// The numbers that are chosen, as bits: second, minute, hour, day, month, weekday.
    chosen: [u64; 6],
}

/// What a field may hold.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// Of the numbers from `first` on.
    names: &'static [&'static str],
    first: u32,
}

const fn field(name: &'static str, min: u32, max: u32) -> Field {
    Field { name, min, max, names: &[], first: 0 }
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 6] = [
    field("second", 0, 59),
    field("minute", 0, 59),
    field("hour", 0, 23),
    field("day", 1, 31),
    Field { names: MONTHS, first: 1, ..field("month", 1, 12) },
    Field { names: WEEKDAYS, ..field("weekday", 0, 7) },
];

// Their places.
const DAYS: usize = 3;
const MONTH: usize = 4;
const WEEKDAY: usize = 5;

impl Field {
    fn number(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().zip(self.first..).find(|(name, _)| name.eq_ignore_ascii_case(text));
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let number = named.map(|(_, number)| number).or_else(|| digits.then(|| text.parse().ok()).flatten())?;
        (self.min..=self.max).contains(&number).then_some(number)
    }

    /// The numbers that are chosen, as bits.
    fn read(&self, text: &str) -> Result<u64, String> {
        let wrong =
            || format!("the {} is `*`, `N`, `N-M`, `*/S` or `N-M/S`, from {} to {}", self.name, self.min, self.max);
        let mut bits = 0;
        for part in text.split(',') {
            let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (self.min, self.max),
                Some((from, to)) => self.number(from).zip(self.number(to)).ok_or_else(wrong)?,
                // `5/10` means two things.
                None if step.is_some() => return Err(wrong()),
                None => self.number(range).map(|number| (number, number)).ok_or_else(wrong)?,
            };
            let step = match step {
                None => 1,
                Some(step) if step.bytes().all(|b| b.is_ascii_digit()) => step.parse().map_err(|_| wrong())?,
                Some(_) => return Err(wrong()),
            };
            if from > to || !(1..=self.max).contains(&step) {
                return Err(wrong());
            }
            bits |= (from..=to).step_by(step as usize).fold(0_u64, |bits, number| bits | 1 << number);
        }
        Ok(bits)
    }

    const fn all(&self) -> u64 {
        (2 << self.max) - (1 << self.min)
    }
}

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("has at most {MAX_BYTES} characters"));
        }
        let mut words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        if words.len() == FIELDS.len() - 1 {
            words.insert(0, "0");
        }
        if words.len() != FIELDS.len() {
            return Err("must be `minute hour day month weekday`, or six fields with the second first".to_owned());
        }
        let mut chosen = [0; 6];
        for ((bits, field), word) in chosen.iter_mut().zip(&FIELDS).zip(&words) {
            *bits = field.read(word)?;
        }
        // Sunday has two numbers; both bits are set, or none.
        let sunday = 1 | 1 << 7;
        if chosen[WEEKDAY] & sunday != 0 {
            chosen[WEEKDAY] |= sunday;
        }
        if chosen[DAYS] != FIELDS[DAYS].all() && chosen[WEEKDAY] != FIELDS[WEEKDAY].all() {
            return Err("must choose days of the month or of the week, not both: crontabs disagree on what that means"
                .to_owned());
        }
        let there_is = |month: i64| chosen[MONTH] >> month & 1 != 0 && chosen[DAYS].trailing_zeros() <= longest(month);
        if !(1..=12).any(there_is) {
            return Err("never comes: no month chosen has such a day".to_owned());
        }
        Ok(Self { chosen })
    }
}

/// Six fields, the second first, each `*` or the numbers that are chosen: every reader takes these.
impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.chosen.iter().zip(&FIELDS).map(|(bits, field)| {
            if *bits == field.all() {
                return "*".to_owned();
            }
            // Sunday once.
            let last = if field.names == WEEKDAYS { 6 } else { field.max };
            let numbers = (field.min..=last).filter(|number| bits >> number & 1 != 0);
            numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(",")
        });
        f.write_str(&told.collect::<Vec<_>>().join(" "))
    }
}

impl Cron {
    /// The last moment that it names until then, itself included.
    pub fn last_until(&self, now: Time) -> Option<Time> {
        let (today, second) = (now.secs().div_euclid(DAY), now.secs().rem_euclid(DAY));
        let until = |day| if day == today { second } else { DAY - 1 };
        let days = (today.saturating_sub(MAX_DAYS)..=today).rev().filter(|day| self.has_day(*day));
        let mut moments = days.filter_map(|day| {
            let second = (0..=until(day)).rev().find(|second| self.has_second(*second))?;
            Some(Time::from_secs(day * DAY + second))
        });
        moments.next()
    }

    fn has(&self, field: usize, number: i64) -> bool {
        self.chosen[field] >> number & 1 != 0
    }

    fn has_second(&self, second: i64) -> bool {
        self.has(0, second % 60) && self.has(1, second / 60 % 60) && self.has(2, second / 3_600)
    }

    /// A day since 1970, which began on a Thursday.
    fn has_day(&self, day: i64) -> bool {
        let (month, of_month) = date(day);
        self.has(MONTH, month) && self.has(DAYS, of_month) && self.has(WEEKDAY, (day + 4).rem_euclid(7))
    }
}

/// Days of a month at most.
const fn longest(month: i64) -> u32 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Month and day of the month of a day since 1970, in the calendar of today.
const fn date(day: i64) -> (i64, i64) {
    // Years that begin in March: the day that comes and goes is their last one. 400 of them have 146,097 days.
    let day = (day + 719_468).rem_euclid(146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    (if month < 10 { month + 3 } else { month - 9 }, of_month)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;

    fn time(text: &str) -> Time {
        Time::from_secs(text.parse::<DateTime<Utc>>().expect("a time").timestamp())
    }

    fn last(expression: &str, now: &str) -> String {
        let cron: Cron = expression.parse().expect(expression);
        let told = cron.last_until(time(now)).expect("there is one");
        DateTime::<Utc>::from_timestamp(told.secs(), 0).expect("of our years").format("%FT%TZ").to_string()
    }

    #[test]
    fn last_moment_is_the_newest_that_is_named_and_not_after_now() {
        for (expression, now, moment) in [
            ("0 3 * * *", "2026-11-27T02:59:59Z", "2026-11-26T03:00:00Z"),
            ("0 3 * * *", "2026-11-27T03:00:00Z", "2026-11-27T03:00:00Z"),
            ("* * * * *", "2026-11-27T14:44:47Z", "2026-11-27T14:44:00Z"),
            ("* * * * * *", "2026-11-27T14:44:47Z", "2026-11-27T14:44:47Z"),
            ("*/15 8-18/2 * * 1-5", "2026-11-30T07:00:00Z", "2026-11-27T18:45:00Z"),
            ("30 4 1,15 * *", "2026-01-01T04:29:59Z", "2025-12-15T04:30:00Z"),
            ("0 0 * jan SUN", "2026-11-27T00:00:00Z", "2026-01-25T00:00:00Z"),
            ("0 0 * * 7", "2026-11-27T00:00:00Z", "2026-11-22T00:00:00Z"),
            ("0 0 31 * *", "2026-11-27T00:00:00Z", "2026-10-31T00:00:00Z"),
            ("0 0 29 2 *", "2026-11-27T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("0 0 29 feb *", "2103-11-27T00:00:00Z", "2096-02-29T00:00:00Z"),
            // The clocks of people skip this hour in one night and have it twice in another; UTC does neither.
            ("30 2 * * *", "2026-03-29T03:00:00Z", "2026-03-29T02:30:00Z"),
            ("30 2 * * *", "2026-10-25T02:29:00Z", "2026-10-24T02:30:00Z"),
        ] {
            assert_eq!(last(expression, now), moment, "{expression} at {now}");
        }
    }

    #[test]
    fn every_minute_names_every_minute() {
        let cron: Cron = "* * * * *".parse().expect("a good one");
        let begin = time("2026-02-28T23:00:00Z");
        let moments = (0..7_200).filter(|second| {
            let now = begin.plus_secs(*second);
            cron.last_until(now) == Some(now)
        });
        assert!(moments.eq((0..7_200).step_by(60)));
    }

    #[test]
    fn what_is_no_expression_never_comes_or_means_two_things_is_refused() {
        for bad in [
            "",
            " ",
            "* * * *",
            "* * * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 8",
            "-1 * * * *",
            "5- * * * *",
            "30-10 * * * *",
            "5/10 * * * *",
            "*/0 * * * *",
            "*/60 * * * *",
            "*/+5 * * * *",
            "1,,2 * * * *",
            "007 * * * *",
            "@daily",
            "* * L * *",
            "* * 15W * *",
            "* * * * 5#2",
            "? * * * *",
            "* * * june *",
            "0\t3 * * *",
            "0 3 * * *\n",
            "0 0 30 2 *",
            "0 0 31 feb,apr,jun,sep,nov *",
            "0 0 1 * 1",
            &("0,".repeat(50) + "0 * * * *"),
        ] {
            assert!(bad.parse::<Cron>().is_err(), "{bad}");
        }
        let told = |text: &str| text.parse::<Cron>().expect(text).to_string();
        assert_eq!(told("0  3 * *  * "), "0 0 3 * * *", "blanks are nothing");
        assert_eq!(told("*/20 1-3,*/12 * jan 5-7"), "0 0,20,40 0,1,2,3,12 * 1 0,5,6");
    }

    /// The scheduler's own reader, set as the scheduler sets it.
    fn theirs(text: &str) -> croner::Cron {
        let parser =
            croner::parser::CronParser::builder().seconds(croner::parser::Seconds::Required).dom_and_dow(true).build();
        parser.parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn scheduler_finds_the_moments_that_we_find() {
        // No chance in it: the same expressions every time.
        let mut seed = 7_u64;
        let mut draw = |of: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % of
        };
        let mut judged = 0;
        while judged < 2_000 {
            let words: Vec<String> = FIELDS
                .iter()
                .map(|field| {
                    let width = u64::from(field.max - field.min + 1);
                    let parts = 0..=draw(8) / 6;
                    let mut part = || {
                        let from = field.min + u32::try_from(draw(width)).expect("small");
                        let to = from + u32::try_from(draw(u64::from(field.max - from + 1))).expect("small");
                        let step = 1 + draw(u64::from(field.max));
                        match draw(8) {
                            0 => from.to_string(),
                            1 => format!("{from}-{to}"),
                            2 => format!("*/{step}"),
                            3 => format!("{from}-{to}/{step}"),
                            _ => "*".to_owned(),
                        }
                    };
                    parts.map(|_| part()).collect::<Vec<_>>().join(",")
                })
                .collect();
            let Ok(ours) = words.join(" ").parse::<Cron>() else { continue };
            judged += 1;
            let theirs = theirs(&ours.to_string());
            let now = DateTime::from_timestamp(1_700_000_000 + i64::try_from(draw(400_000_000)).expect("small"), 0)
                .expect("of our years");
            let next = theirs.find_next_occurrence(&now, true).expect("it comes");
            assert_eq!(
                ours.last_until(Time::from_secs(next.timestamp())),
                Some(Time::from_secs(next.timestamp())),
                "{ours}"
            );
            let before = ours.last_until(Time::from_secs(now.timestamp())).expect("there was one");
            let before = DateTime::<Utc>::from_timestamp(before.secs(), 0).expect("of our years");
            assert_eq!(theirs.find_next_occurrence(&before, true).ok(), Some(before), "{ours}");
            let after = theirs.find_next_occurrence(&(before + TimeDelta::seconds(1)), true).expect("it comes");
            assert!(after > now, "{ours}: we missed {after} before {now}");
        }
    }
}
