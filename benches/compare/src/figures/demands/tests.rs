use super::*;
use crate::figures::compare::tests::row;

fn found<'v>(verdicts: &'v [Verdict], demand: &str) -> &'v Verdict {
    verdicts.iter().find(|verdict| verdict.demand.starts_with(demand)).expect("it is judged")
}

#[test]
fn a_demand_is_judged_by_its_interval_round_by_round() {
    let judge = |ours: &[f64]| {
        let rows = [
            row("ws/down-64k", OURS, Role::Ours, "CPU s/GiB", ours),
            row("ws/down-64k", PLAIN, Role::Yardstick, "CPU s/GiB", &[1.0, 2.0, 1.0, 2.0, 1.0]),
        ];
        let verdicts = verdicts(&rows);
        assert_eq!(verdicts.len(), 1, "only what was run is judged");
        (verdicts[0].word, verdicts[0].reached.expect("both ran").median)
    };
    assert_eq!(judge(&[1.0, 2.0, 1.0, 2.0, 1.0]), ("reached", 1.0));
    assert_eq!(judge(&[1.0, 2.0, 1.0, 2.4, 1.2]), ("reached, not surely", 1.0));
    assert_eq!(judge(&[1.0, 2.0, 1.2, 2.4, 1.2]), ("missed, not surely", 1.2));
    assert_eq!(judge(&[1.2, 2.4, 1.2, 2.4, 1.2]), ("missed", 1.2));
}

#[test]
fn a_figure_that_is_missing_is_said_to_be() {
    let rows = [row("ws/churn", OURS, Role::Ours, "CPU us/opening", &[1.0])];
    assert_eq!(verdicts(&rows)[0].word, "not measured");
}

#[test]
fn a_failure_of_either_is_no_success_and_a_peers_own_affair() {
    let figure = "CPU s/GiB";
    for failing in [OURS, PLAIN] {
        let mut rows = [
            row("ws/down-64k", OURS, Role::Ours, figure, &[1.0, 1.0]),
            row("ws/down-64k", PLAIN, Role::Yardstick, figure, &[2.0, 2.0]),
        ];
        let failed = rows.iter_mut().find(|row| row.peer == failing).expect("it is there");
        failed.failure = Some("the proxy hung up".into());
        assert_eq!(verdicts(&rows)[0].word, "failed");
    }
    let mut rows = [
        row("ws/down-64k", OURS, Role::Ours, figure, &[1.0, 1.0]),
        row("ws/down-64k", "node", Role::Peer, figure, &[0.5, 0.5]),
    ];
    rows[1].failure = Some("the proxy hung up".into());
    assert!(verdicts(&rows).iter().all(|verdict| !verdict.demand.starts_with("no peer ahead")));
}

#[test]
fn python_has_to_be_surely_behind_and_other_peers_not_surely_ahead() {
    let rows = |peer, theirs: &[f64]| {
        let ours = row("ws/echo-32b", OURS, Role::Ours, "CPU us/trip", &[1.0, 1.0, 1.0]);
        [ours, row("ws/echo-32b", peer, Role::Peer, "CPU us/trip", theirs)]
    };
    let level = [0.9, 1.1, 0.9];
    assert_eq!(found(&verdicts(&rows(PYTHON, &level)), "less CPU").word, "missed, not surely");
    assert_eq!(found(&verdicts(&rows(PYTHON, &[2.0, 2.0, 2.0])), "less CPU").word, "reached");
    assert_eq!(found(&verdicts(&rows("node", &level)), "no peer ahead").word, "reached");
}

#[test]
fn an_own_ratio_and_a_value_are_judged_by_themselves() {
    let mut active = row("ws/idle-9000", OURS, Role::Ours, ACTIVE, &[50.0]);
    active.figures[0].ratio = Some(Ratio { median: 1.1, low: 1.0, high: 1.15 });
    active.figures.extend(row("", OURS, Role::Ours, "private B/session", &[500.0, 500.0]).figures);
    let verdicts = verdicts(&[active]);
    assert_eq!(found(&verdicts, "p99 of an active").word, "reached");
    assert_eq!(found(&verdicts, "private bytes").word, "missed");
}

#[test]
fn each_peer_that_is_ahead_is_named_and_else_the_nearest() {
    let figure = "CPU us/trip";
    let mut rows = vec![
        row("ws/echo-32b", OURS, Role::Ours, figure, &[2.0, 2.0]),
        row("ws/echo-32b", PYTHON, Role::Peer, figure, &[4.0, 4.0]),
        row("ws/echo-32b", "node", Role::Peer, figure, &[3.0, 3.0]),
        row("ws/echo-32b", PLAIN, Role::Yardstick, figure, &[1.0, 1.0]),
    ];
    let judged = verdicts(&rows);
    let nearest = found(&judged, "no peer ahead");
    assert_eq!((nearest.trial.as_str(), nearest.word), ("ws/echo-32b node", "reached"));
    assert_eq!(found(&judged, "less CPU").trial, "ws/echo-32b python");
    rows.push(row("ws/echo-32b", "websocat", Role::Peer, figure, &[1.0, 1.0]));
    rows.push(row("ws/echo-32b", "other", Role::Peer, figure, &[1.5, 1.5]));
    let judged = verdicts(&rows);
    let ahead: Vec<&str> = judged
        .iter()
        .filter(|verdict| verdict.demand.starts_with("no peer ahead"))
        .map(|verdict| verdict.trial.as_str())
        .collect();
    assert_eq!(ahead, ["ws/echo-32b websocat", "ws/echo-32b other"]);
}
