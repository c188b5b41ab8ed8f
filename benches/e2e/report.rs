//! The table on the terminal.

use crate::e2e::compare::{Column, Row};
use crate::e2e::stats::Ratio;
use crate::e2e::syscalls::Calls;
use std::fmt::Write;

/// The line above the rows.
pub(crate) fn heading() -> String {
    format!("{:<14} {:<15} {:>25}  {:<23}  beside", "scenario", "proxy", "median", "ratio to plain [95 %]")
}

/// One row, on one line.
pub(crate) fn line(row: &Row) -> String {
    let mut line = format!("{:<14} {:<15}", row.scenario, row.peer);
    if let Some((main, others)) = row.figures.split_first() {
        let shown = format!("{} {}", digits(main.median), main.name);
        let _ = write!(line, " {shown:>25}  {:<23} ", main.ratio.map(interval).unwrap_or_default());
        for column in others {
            let _ = write!(line, " {}", beside(column));
        }
    }
    if let Some(failure) = &row.failure {
        let _ = write!(line, " FAILED: {failure}");
    }
    line.trim_end().to_owned()
}

/// One row of the table of system calls.
pub(crate) fn calls_line(scenario: &str, peer: &str, calls: &Calls) -> String {
    let mut line = format!("{scenario:<14} {peer:<15} {:>8} calls/message ", digits(calls.per_message));
    for (name, count) in &calls.by_name {
        let _ = write!(line, " {name} {}", digits(*count));
    }
    line
}

fn beside(column: &Column) -> String {
    let ratio = column.ratio.map(|ratio| format!(" ({:.2}x)", ratio.median)).unwrap_or_default();
    format!(" {} {}{ratio}", digits(column.median), column.name)
}

fn interval(ratio: Ratio) -> String {
    format!("{:>6.3} [{:.3}, {:.3}]", ratio.median, ratio.low, ratio.high)
}

/// Three significant digits, never in exponent form.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        size if size >= 0.1 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}
