//! Figures as text; goals, met or missed.

use std::time::Duration;

/// Writes a number with commas between thousands.
pub(crate) fn number(value: impl Into<u64>) -> String {
    let digits = value.into().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a mean: whole numbers without a fraction.
pub(crate) fn mean(value: f64) -> String {
    if value.fract() == 0.0 || value >= 1000.0 { number(value.round() as u64) } else { format!("{value:.1}") }
}

/// Writes a duration in the unit that suits it.
pub(crate) fn time(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos() as f64;
    match nanoseconds {
        ..1e3 => format!("{nanoseconds:.0} ns"),
        ..1e6 => format!("{:.1} us", nanoseconds / 1e3),
        ..1e9 => format!("{:.2} ms", nanoseconds / 1e6),
        _ => format!("{:.2} s", nanoseconds / 1e9),
    }
}

/// Writes a number of octets in the unit that suits it.
pub(crate) fn octets(octets: f64) -> String {
    match octets {
        ..1e4 => format!("{octets:.0} B"),
        ..1e6 => format!("{:.1} kB", octets / 1e3),
        ..1e9 => format!("{:.2} MB", octets / 1e6),
        _ => format!("{:.3} GB", octets / 1e9),
    }
}

/// Which side of its limit a ratio is to be on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
    /// There is no goal, or none on this CPU. Of several figures the least is printed.
    ShownLeast,
    /// There is no goal. Of several figures the greatest is printed.
    ShownMost,
}

/// The goals, in the order in which they were measured.
#[derive(Debug, Default)]
pub(crate) struct Goals(Vec<Goal>);

#[derive(Debug)]
struct Goal {
    what: &'static str,
    place: String,
    aim: Aim,
    ratio: f64,
}

impl Goals {
    /// Notes a measurement. Of several for one goal, the one furthest from it is kept.
    pub(crate) fn note(&mut self, what: &'static str, place: String, aim: Aim, ratio: f64) {
        let goal = Goal { what, place, aim, ratio };
        match self.0.iter_mut().find(|known| known.what == what) {
            Some(known) if goal.is_worse_than(known) => *known = goal,
            Some(_) => {}
            None => self.0.push(goal),
        }
    }

    /// Prints each goal with the measurement furthest from it.
    pub(crate) fn print(&self) {
        if self.0.is_empty() {
            return;
        }
        println!("\ngoals (of several measurements, the worst is shown)");
        for Goal { what, place, aim, ratio } in &self.0 {
            let (verdict, limit) = match aim {
                Aim::AtLeast(limit) => (verdict(ratio >= limit), format!("at least {limit}")),
                Aim::AtMost(limit) => (verdict(ratio <= limit), format!("at most {limit}")),
                Aim::ShownLeast | Aim::ShownMost => ("    ", "no goal".to_owned()),
            };
            println!("  {verdict}  {ratio:>8.2}  {limit:<14} {what} ({place})");
        }
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "PASS" } else { "MISS" }
}

impl Goal {
    fn is_worse_than(&self, other: &Self) -> bool {
        match self.aim {
            Aim::AtLeast(_) | Aim::ShownLeast => self.ratio < other.ratio,
            Aim::AtMost(_) | Aim::ShownMost => self.ratio > other.ratio,
        }
    }
}
