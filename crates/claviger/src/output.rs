//! How results are shown: tables for people, JSON for programs.

use std::{
    fmt::Display,
    io::{self, Write},
    time::Duration,
};

use claviger_api::{ClientError, ErrorCode};
use claviger_sansio::Time;
use comfy_table::{Cell, Table, presets};
use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};

/// Writes a result to standard output: as one JSON document, or as `human` makes it.
pub(crate) fn print<T: Serialize>(json: bool, value: &T, human: impl FnOnce(&T) -> String) -> Outcome {
    let text = if json {
        serde_json::to_string_pretty(value).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?
    } else {
        human(value)
    };
    print_text(&text)
}

/// Takes an answer that comes when rekey messages have left. That they have not is no result, but programs that asked for
/// JSON find it where they look, with its code.
pub(crate) fn or_not_sent<T>(json: bool, answer: Result<T, ClientError>) -> Outcome<T> {
    if let Err(ClientError::Api(error)) = &answer
        && error.code == ErrorCode::RekeyNotSent
        && json
    {
        print(json, error, ToString::to_string)?;
    }
    Ok(answer?)
}

/// Writes lines to standard output. A reader that has gone away, as `head` does, is no failure.
pub(crate) fn print_text(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, format!("cannot write the result: {error}")))
        }
        _ => Ok(()),
    }
}

/// Lays out rows below a header, columns two spaces apart. Without rows it says `nothing`.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>, nothing: &str) -> String {
    table_of(header.into(), rows.into_iter().map(Into::into).collect(), nothing)
}

/// Does what [`table`] does, with columns of which it is not known before how many there are.
pub(crate) fn table_of(header: Vec<&str>, rows: Vec<Vec<String>>, nothing: &str) -> String {
    if rows.is_empty() {
        return nothing.to_owned();
    }
    let mut table = plain();
    table.set_header(header);
    table.add_rows(rows);
    finished(table)
}

/// Lays out names and values, one pair a line.
pub(crate) fn pairs(rows: Vec<(&str, String)>) -> String {
    let mut table = plain();
    table.add_rows(rows.into_iter().map(|(name, value)| [Cell::new(format!("{name}:")), Cell::new(value)]));
    finished(table)
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

fn finished(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Writes a duration in its two largest units: `1 h 30 min`.
pub(crate) fn duration(duration: Duration) -> String {
    const UNITS: [(&str, u128); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)];
    let mut rest = duration.as_millis();
    let Some(first) = UNITS.iter().position(|(_, length)| rest >= *length) else {
        return "0 s".to_owned();
    };
    let mut parts = Vec::new();
    for (unit, length) in UNITS.iter().skip(first).take(2) {
        if rest >= *length {
            parts.push(format!("{} {unit}", rest / length));
            rest %= length;
        }
    }
    parts.join(" ")
}

/// Writes whole seconds as a duration.
pub(crate) fn seconds(seconds: u64) -> String {
    duration(Duration::from_secs(seconds))
}

/// Writes an instant as RFC 3339 does, in UTC, to the microsecond.
pub(crate) fn instant(time: Time) -> String {
    let (days, second) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        time.as_micros() % 1_000_000
    )
}

/// Writes an instant that is counted in microseconds since 1970.
pub(crate) fn instant_at(micros: u64) -> String {
    instant(Time::from_micros(micros))
}

/// Writes an instant that is counted in microseconds since 1970, and how far it is from another.
pub(crate) fn instant_at_seen_from(now_micros: u64, micros: u64) -> String {
    instant_seen_from(Time::from_micros(now_micros), Time::from_micros(micros))
}

/// Writes an instant, and how far it is from another.
pub(crate) fn instant_seen_from(now: Time, time: Time) -> String {
    if time > now {
        format!("{} (in {})", instant(time), duration(time.since(now)))
    } else {
        format!("{} ({} ago)", instant(time), duration(now.since(time)))
    }
}

/// Counts days since 1970-01-01 as year, month and day, by 400-year eras that begin on 1 March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// Writes a value that may be absent; a dash stands for none.
pub(crate) fn or_dash<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_their_two_largest_units() {
        for (millis, text) in [
            (0, "0 s"),
            (1, "1 ms"),
            (1000, "1 s"),
            (1500, "1 s 500 ms"),
            (90_000, "1 min 30 s"),
            (3_600_000, "1 h"),
            (3_605_000, "1 h"),
            (90_061_001, "1 d 1 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn instants_are_utc() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000000Z"),
            (4_102_444_800, "2100-01-01T00:00:00.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(instant(Time::from_secs(seconds)), text);
        }
        assert_eq!(instant(Time::from_micros(1_000_042)), "1970-01-01T00:00:01.000042Z");
    }

    #[test]
    fn tables_align_and_leave_no_trailing_blanks() {
        let rows = vec![["a".to_owned(), "long value".to_owned()], ["longer".to_owned(), "b".to_owned()]];
        let text = table(["NAME", "VALUE"], rows, "nothing");
        assert_eq!(text, "NAME    VALUE\na       long value\nlonger  b");
        assert_eq!(table::<1>(["NAME"], vec![], "no groups"), "no groups");
        assert_eq!(pairs(vec![("a", "1".to_owned()), ("bcd", "2".to_owned())]), "a:    1\nbcd:  2");
    }
}
