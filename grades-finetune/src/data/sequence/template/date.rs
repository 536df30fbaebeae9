//! A fixed date for templates that write today's.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// A day and a time of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    year: i64,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
}

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl FromStr for Date {
    type Err = String;

    /// Reads `2026-01-31` or `2026-01-31T12:30:00`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected a date such as 2026-01-31 or 2026-01-31T12:30:00, found {text}");
        let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
        let parts = |text: &str, separator: char| -> Option<Vec<u32>> {
            let digits =
                |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok());
            text.split(separator).map(|part| digits(part).flatten()).collect()
        };
        let (Some(date), Some(time)) = (parts(date, '-'), parts(time, ':')) else { return Err(wrong()) };
        let [year, month, day] = date[..] else { return Err(wrong()) };
        let (hour, minute, second) = match time[..] {
            [hour, minute] => (hour, minute, 0),
            [hour, minute, second] => (hour, minute, second),
            _ => return Err(wrong()),
        };
        let date = Self { year: year.into(), month, day, hour, minute, second };
        let sound = (1..=9999).contains(&date.year)
            && (1..=12).contains(&month)
            && (1..=date.days_in_month()).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if sound { Ok(date) } else { Err(wrong()) }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02}")?;
        if (*hour, *minute, *second) == (0, 0, 0) {
            return Ok(());
        }
        write!(f, "T{hour:02}:{minute:02}:{second:02}")
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    /// Reads a text or a date of TOML.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        text.parse().map_err(D::Error::custom)
    }
}

impl Date {
    fn is_leap(self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    fn days_in_month(self) -> u32 {
        match self.month {
            2 => 28 + u32::from(self.is_leap()),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// Returns the day of the year, from 1.
    fn day_of_year(self) -> u32 {
        (1..self.month).map(|month| Self { month, ..self }.days_in_month()).sum::<u32>() + self.day
    }

    /// Returns the day of the week, 0 for Sunday.
    fn weekday(self) -> usize {
        let before = self.year - 1;
        let days = before * 365 + before / 4 - before / 100 + before / 400 + i64::from(self.day_of_year());
        usize::try_from(days.rem_euclid(7)).unwrap_or(0)
    }

    /// Writes the date as Python's `strftime` does in the C locale.
    ///
    /// # Errors
    ///
    /// The directive that is unknown.
    pub(super) fn format(self, format: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                out.push(letter);
                continue;
            }
            let (plain, directive) = match letters.next() {
                Some('-') => (true, letters.next()),
                other => (false, other),
            };
            let Some(directive) = directive else { return Err("a % at the end".to_owned()) };
            let text = self.directive(directive).ok_or_else(|| format!("%{directive}"))?;
            let shown = if plain { text.trim_start_matches(['0', ' ']) } else { &text };
            out.push_str(if shown.is_empty() { "0" } else { shown });
        }
        Ok(out)
    }

    fn directive(self, directive: char) -> Option<String> {
        let name = |list: &[&'static str], at: usize| list.get(at).copied().unwrap_or_default();
        let (day, month) =
            (name(&DAYS, self.weekday()), name(&MONTHS, self.month.saturating_sub(1) as usize));
        let short = |name: &str| name.get(..3).unwrap_or(name).to_owned();
        let Self { year, hour, minute, second, .. } = self;
        let half = if hour < 12 { "AM" } else { "PM" };
        let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
        let (date, weekday) = (self.day, self.weekday());
        // Weeks that begin on Sundays and on Mondays.
        let week = |first: usize| (self.day_of_year() as usize + 6 - (weekday + 7 - first) % 7) / 7;
        Some(match directive {
            'a' => short(day),
            'A' => day.to_owned(),
            'b' | 'h' => short(month),
            'B' => month.to_owned(),
            'c' => {
                format!("{} {} {date:>2} {hour:02}:{minute:02}:{second:02} {year}", short(day), short(month))
            }
            'C' => format!("{:02}", year / 100),
            'd' => format!("{date:02}"),
            'D' | 'x' => format!("{:02}/{date:02}/{:02}", self.month, year % 100),
            'e' => format!("{date:>2}"),
            'F' => format!("{year}-{:02}-{date:02}", self.month),
            'H' => format!("{hour:02}"),
            'I' => format!("{twelve:02}"),
            'j' => format!("{:03}", self.day_of_year()),
            'm' => format!("{:02}", self.month),
            'M' => format!("{minute:02}"),
            'n' => "\n".to_owned(),
            'p' => half.to_owned(),
            'r' => format!("{twelve:02}:{minute:02}:{second:02} {half}"),
            'R' => format!("{hour:02}:{minute:02}"),
            'S' => format!("{second:02}"),
            't' => "\t".to_owned(),
            'T' | 'X' => format!("{hour:02}:{minute:02}:{second:02}"),
            'u' => (if weekday == 0 { 7 } else { weekday }).to_string(),
            'U' => format!("{:02}", week(0)),
            'w' => weekday.to_string(),
            'W' => format!("{:02}", week(1)),
            'y' => format!("{:02}", year % 100),
            'Y' => year.to_string(),
            'f' => "000000".to_owned(),
            'z' | 'Z' => String::new(),
            '%' => "%".to_owned(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Date;

    #[test]
    fn dates_are_read_and_written() {
        let date: Date = "2024-03-05".parse().unwrap();
        assert_eq!(date.to_string(), "2024-03-05");
        let all = "%a %A %b %B %d %e %-d %m %-m %y %Y %j %H:%M:%S %I %p %u %w %U %W %F %D %% %c";
        // As Python's datetime(2024, 3, 5).strftime writes it.
        let written = "Tue Tuesday Mar March 05  5 5 03 3 24 2024 065 00:00:00 12 AM 2 2 09 10 2024-03-05 03/05/24 % \
                       Tue Mar  5 00:00:00 2024";
        assert_eq!(date.format(all).unwrap(), written);
        let time: Date = "2026-11-01 13:05".parse().unwrap();
        assert_eq!(time.format("%H %I %p %A %U %W").unwrap(), "13 01 PM Sunday 44 43");
        assert_eq!(time.to_string(), "2026-11-01T13:05:00");
        assert_eq!(date.format("%Q").unwrap_err(), "%Q");
        for wrong in ["", "today", "2026-13-01", "2023-02-29", "2026-01-01T25:00", "26-1-1-1", "2026-01"] {
            assert!(wrong.parse::<Date>().is_err(), "{wrong}");
        }
    }
}
