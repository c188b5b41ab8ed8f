//! What this proxy has to reach, and whether it does: a table of limits, each checked against a run's rows.
//!
//! Nothing fails by it: times depend on the machine and on what else it does. It is printed and recorded.

use crate::figures::compare::{ACTIVE, Column, Row};
use crate::figures::stats::{Ratio, median_interval};
use crate::proxies::peers::{BARE, HAPROXY, OURS, PLAIN, PYTHON, Role, TWO_WORKERS};

/// One limit for one figure in some trials.
struct Demand {
    text: &'static str,
    trials: &'static [&'static str],
    figure: &'static str,
    of: Of,
    most: f64,
}

/// What the limit is a limit of.
enum Of {
    /// The ratio to this proxy's figure.
    RatioTo(&'static str),
    /// The ratio that the figure has by itself: to one session alone.
    OwnRatio,
    Value,
}

/// What became of a demand in one trial.
pub(crate) struct Verdict {
    pub(crate) demand: String,
    pub(crate) trial: String,
    pub(crate) figure: String,
    pub(crate) most: f64,
    /// Median and interval of what is limited.
    pub(crate) reached: Option<Ratio>,
    pub(crate) word: &'static str,
}

/// Checks every demand; those whose trials were not run are left out.
pub(crate) fn verdicts(rows: &[Row]) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = DEMANDS
        .iter()
        .flat_map(|demand| demand.trials.iter().map(move |trial| (demand, *trial)))
        .filter(|(_, trial)| rows.iter().any(|row| row.trial == **trial))
        .map(|(demand, trial)| demand.check(rows, trial))
        .collect();
    let is_python = |row: &Row| row.peer == PYTHON;
    verdicts.extend(worst(
        rows,
        "less CPU, time and memory than Python websockify everywhere",
        is_python,
        judge,
    ));
    let is_peer = |row: &Row| row.role == Role::Peer && row.peer != TWO_WORKERS;
    let beyond = |ratio: Ratio, most| if ratio.low > most { "missed" } else { "reached" };
    verdicts.extend(worst(rows, "no peer ahead anywhere beyond its interval", is_peer, beyond));
    verdicts
}

/// How sure it is that `ratio` is at most `most`.
fn judge(ratio: Ratio, most: f64) -> &'static str {
    match ratio {
        Ratio { high, .. } if high <= most => "reached",
        Ratio { median, .. } if median <= most => "reached, not surely",
        Ratio { low, .. } if low <= most => "missed, not surely",
        _ => "missed",
    }
}

impl Demand {
    fn check(&self, rows: &[Row], trial: &str) -> Verdict {
        let column = |peer: &str| column(rows, trial, peer, self.figure);
        let other_failed = matches!(self.of, Of::RatioTo(other) if has_failed(rows, trial, other));
        let failed = other_failed || has_failed(rows, trial, OURS);
        let reached = match self.of {
            Of::RatioTo(other) => column(OURS).zip(column(other)).and_then(|(our, their)| ratio(our, their)),
            Of::OwnRatio => column(OURS).and_then(|column| column.ratio),
            Of::Value => column(OURS).and_then(|column| median_interval(&column.values)),
        };
        let word = match reached {
            _ if failed => "failed",
            None => "not measured",
            Some(ratio) => judge(ratio, self.most),
        };
        Verdict {
            demand: self.text.into(),
            trial: trial.into(),
            figure: self.figure.into(),
            most: self.most,
            reached,
            word,
        }
    }
}

/// Of all comparable figures in all trials: those in which we are not surely ahead of one of `others`, as `judge`
/// sees it; if there is none, the one in which we are least ahead.
fn worst(
    rows: &[Row],
    demand: &str,
    others: impl Fn(&Row) -> bool,
    judge: impl Fn(Ratio, f64) -> &'static str,
) -> Vec<Verdict> {
    let mut all: Vec<Verdict> = Vec::new();
    for row in rows.iter().filter(|row| others(row) && row.failure.is_none()) {
        // Of a slower proxy's fewer messages a thousandth is less than one.
        let figures = row.figures.iter().filter(|theirs| theirs.comparable && !theirs.name.contains("p99.9"));
        for theirs in figures {
            let ours = column(rows, &row.trial, OURS, &theirs.name);
            let reached = ours.and_then(|ours| ratio(ours, theirs));
            let word = match reached {
                _ if has_failed(rows, &row.trial, OURS) => "failed",
                Some(reached) => judge(reached, 1.0),
                None => "not measured",
            };
            all.push(Verdict {
                demand: demand.into(),
                trial: format!("{} {}", row.trial, row.peer),
                figure: theirs.name.clone(),
                most: 1.0,
                reached,
                word,
            });
        }
    }
    all.sort_by(|a, b| low(b).total_cmp(&low(a)));
    let (good, mut bad): (Vec<_>, Vec<_>) = all.into_iter().partition(|verdict| verdict.word == "reached");
    if bad.is_empty() {
        bad.extend(good.into_iter().next());
    }
    bad
}

fn has_failed(rows: &[Row], trial: &str, peer: &str) -> bool {
    row(rows, trial, peer).is_some_and(|row| row.failure.is_some())
}

fn low(verdict: &Verdict) -> f64 {
    verdict.reached.map_or(0.0, |ratio| ratio.low)
}

fn column<'r>(rows: &'r [Row], trial: &str, peer: &str, figure: &str) -> Option<&'r Column> {
    row(rows, trial, peer)?.column(figure)
}

fn row<'r>(rows: &'r [Row], trial: &str, peer: &str) -> Option<&'r Row> {
    rows.iter().find(|row| row.trial == trial && row.peer == peer)
}

/// Round by round: the rounds that both have.
fn ratio(ours: &Column, theirs: &Column) -> Option<Ratio> {
    let rounds = ours.values.len().min(theirs.values.len());
    Ratio::of_pairs(&ours.values[..rounds], &theirs.values[..rounds])
}

const CHURNS: &[&str] = &["ws/churn", "ws/churn-x64", "ws/churn-unpinned", "ws/churn-unpinned-x64"];

const DEMANDS: &[Demand] = &[
    Demand {
        text: "bulk down at 64 KiB: CPU to the plain relay's",
        trials: &["ws/down-64k"],
        figure: "CPU s/GiB",
        of: Of::RatioTo(PLAIN),
        most: 1.05,
    },
    Demand {
        text: "bulk down at 1 MiB: CPU to the plain relay's",
        trials: &["ws/down-1m"],
        figure: "CPU s/GiB",
        of: Of::RatioTo(PLAIN),
        most: 0.7,
    },
    Demand {
        text: "bulk down to many: CPU to the plain relay's",
        trials: &["ws/down-64k-x8", "ws/down-64k-x64", "ws/down-1m-x8", "ws/down-1m-x64"],
        figure: "CPU s/GiB",
        of: Of::RatioTo(PLAIN),
        most: 0.5,
    },
    Demand {
        text: "bulk up at 16 KiB and more: CPU to the plain relay's",
        trials: &["ws/up-16k", "ws/up-64k", "ws/up-1m", "ws/up-64k-x8", "ws/up-64k-x64"],
        figure: "CPU s/GiB",
        of: Of::RatioTo(PLAIN),
        most: 1.15,
    },
    Demand {
        text: "bulk up at 1 KiB: CPU to the plain relay's",
        trials: &["ws/up-1k"],
        figure: "CPU s/GiB",
        of: Of::RatioTo(PLAIN),
        most: 1.3,
    },
    Demand {
        text: "bulk up at 64 B: CPU to the plain relay's",
        trials: &["ws/up-64b"],
        figure: "CPU s/GiB",
        of: Of::RatioTo(PLAIN),
        most: 2.0,
    },
    Demand {
        text: "bulk down over TLS: CPU to HAProxy's",
        trials: &[
            "wss/down-128b",
            "wss/down-4k",
            "wss/down-64k",
            "wss/down-1m",
            "wss/down-64k-x8",
            "wss/down-64k-x64",
            "wss/down-1m-x8",
            "wss/down-1m-x64",
            "wss/down-128b-x8",
            "wss/down-128b-x64",
            "wss/down-4k-x8",
            "wss/down-4k-x64",
        ],
        figure: "CPU s/GiB",
        of: Of::RatioTo(HAPROXY),
        most: 0.8,
    },
    Demand {
        text: "bulk up over TLS at 16 KiB and more: CPU to HAProxy's",
        trials: &["wss/up-16k", "wss/up-64k", "wss/up-1m", "wss/up-64k-x8", "wss/up-64k-x64"],
        figure: "CPU s/GiB",
        of: Of::RatioTo(HAPROXY),
        most: 0.8,
    },
    Demand {
        text: "bulk up over TLS at 64 B: CPU to HAProxy's",
        trials: &["wss/up-64b"],
        figure: "CPU s/GiB",
        of: Of::RatioTo(HAPROXY),
        most: 1.1,
    },
    Demand {
        text: "echo: CPU to the plain relay's",
        trials: &["ws/echo-32b", "ws/echo-32b-x256"],
        figure: "CPU us/trip",
        of: Of::RatioTo(PLAIN),
        most: 1.1,
    },
    Demand {
        text: "echo: p99 to the plain relay's",
        trials: &["ws/echo-32b", "ws/echo-32b-x256"],
        figure: "p99 us",
        of: Of::RatioTo(PLAIN),
        most: 1.2,
    },
    Demand {
        text: "echo over TLS: CPU to HAProxy's",
        trials: &["wss/echo-32b", "wss/echo-32b-x256"],
        figure: "CPU us/trip",
        of: Of::RatioTo(HAPROXY),
        most: 0.75,
    },
    Demand {
        text: "opening and closing: CPU to the plain relay's",
        trials: CHURNS,
        figure: "CPU us/opening",
        of: Of::RatioTo(PLAIN),
        most: 1.2,
    },
    Demand {
        text: "opening and closing: CPU to the plain relay's without a handshake",
        trials: CHURNS,
        figure: "CPU us/opening",
        of: Of::RatioTo(BARE),
        most: 1.25,
    },
    Demand {
        text: "opening and closing with a full handshake: CPU to HAProxy's",
        trials: &["wss/churn", "wss/churn-x64", "wss/churn-unpinned", "wss/churn-unpinned-x64"],
        figure: "CPU us/opening",
        of: Of::RatioTo(HAPROXY),
        most: 0.45,
    },
    Demand {
        text: "bulk up: a seventh of Python websockify's CPU",
        trials: &[
            "ws/up-64b",
            "ws/up-1k",
            "ws/up-16k",
            "ws/up-64k",
            "ws/up-1m",
            "wss/up-64b",
            "wss/up-1k",
            "wss/up-16k",
            "wss/up-64k",
            "wss/up-1m",
        ],
        figure: "CPU s/GiB",
        of: Of::RatioTo(PYTHON),
        most: 1.0 / 7.0,
    },
    Demand {
        text: "private bytes of an idle session",
        trials: &["ws/idle-9000"],
        figure: "private B/session",
        of: Of::Value,
        most: 400.0,
    },
    Demand {
        text: "private bytes of an idle session over TLS",
        trials: &["wss/idle-9000"],
        figure: "private B/session",
        of: Of::Value,
        most: 4500.0,
    },
    Demand {
        text: "p99 of an active session among idle ones to one alone",
        trials: &[
            "ws/idle-1000",
            "ws/idle-5000",
            "ws/idle-9000",
            "wss/idle-1000",
            "wss/idle-5000",
            "wss/idle-9000",
        ],
        figure: ACTIVE,
        of: Of::OwnRatio,
        most: 1.2,
    },
    Demand {
        text: "desktops: CPU to the plain relay's",
        trials: &["ws/vnc-x50", "ws/vnc-x200", "ws/vnc-x500"],
        figure: "CPU us/message",
        of: Of::RatioTo(PLAIN),
        most: 1.15,
    },
    Demand {
        text: "desktops: an event's p99 to the plain relay's",
        trials: &["ws/vnc-x50", "ws/vnc-x200", "ws/vnc-x500"],
        figure: "event p99 us",
        of: Of::RatioTo(PLAIN),
        most: 1.3,
    },
];

#[cfg(test)]
mod tests;
