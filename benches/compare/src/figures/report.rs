//! The table on the terminal.

use crate::figures::compare::{Column, Row};
use crate::figures::demands::Verdict;
use crate::figures::stats::Ratio;
use crate::figures::syscalls::Calls;
use crate::proxies::peers::Role;
use std::fmt::Write;

/// The line above the rows.
pub(crate) fn heading() -> String {
    format!("{:<18} {:<15} {:>25}  {:<23}  beside", "trial", "proxy", "median", "ratio [95 %]")
}

/// One row, on one line. Yardsticks are in brackets.
pub(crate) fn line(row: &Row) -> String {
    let mut line = format!("{:<18} {:<15}", row.trial, name(row.peer, row.role));
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

/// A proxy's name as it is shown.
pub(crate) fn name(peer: &str, role: Role) -> String {
    match role {
        Role::Yardstick => format!("[{peer}]"),
        Role::Ours | Role::Peer => peer.to_owned(),
    }
}

/// One row of the table of system calls.
pub(crate) fn calls_line(trial: &str, peer: &str, calls: &Calls) -> String {
    let mut line = format!("{trial:<18} {peer:<15} {:>8} calls/message ", digits(calls.per_message));
    for (name, count) in &calls.by_name {
        let _ = write!(line, " {name} {}", digits(*count));
    }
    line
}

/// What was demanded and what was reached.
pub(crate) fn verdicts(verdicts: &[Verdict]) -> String {
    let mut out = format!(
        "{:<62} {:<22} {:<18} {:>7}  {:<24} verdict\n",
        "demand", "trial", "figure", "most", "reached [95 %]"
    );
    for verdict in verdicts {
        let Verdict { demand, trial, figure, most, reached, word } = verdict;
        let reached = reached.map(interval).unwrap_or_default();
        let most = digits(*most);
        let _ = writeln!(out, "{demand:<62} {trial:<22} {figure:<18} {most:>7}  {reached:<24} {word}");
    }
    out
}

fn beside(column: &Column) -> String {
    let ratio = column.ratio.map(|ratio| format!(" ({:.2}x)", ratio.median)).unwrap_or_default();
    format!(" {} {}{ratio}", digits(column.median), column.name)
}

fn interval(ratio: Ratio) -> String {
    let Ratio { median, low, high } = ratio;
    match median {
        large if large >= 100.0 => format!("{median:>6.0} [{low:.0}, {high:.0}]"),
        _ => format!("{median:>6.3} [{low:.3}, {high:.3}]"),
    }
}

/// Three significant digits, never in exponent form.
pub(crate) fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        size if size >= 0.1 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}
