//! Tests of whole command lines: `wild` has those that people use, `grammar` what is right and wrong.

mod grammar;
mod proxies;
mod wild;

use super::*;

/// Started in `/start`, where no file exists but those in `/there`.
fn environment() -> Environment {
    Environment { directory: "/start".into(), exists: |path| path.starts_with("/there"), is_activated: false }
}

/// The words of a line as a shell cuts them, single quotes included.
fn words(line: &str) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut inside = false;
    for c in line.chars() {
        match c {
            '\'' => {
                inside = !inside;
                word.get_or_insert_default();
            }
            ' ' if !inside => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words.into_iter().map(OsString::from).collect()
}

/// The config of a line, whether or not its features are built.
fn config(line: &str) -> Config {
    match parse(words(line), &environment()) {
        Outcome::Run(config) => *config,
        other => panic!("{line}: {other:?}"),
    }
}

/// The complaint about a line, without the usage in front.
fn complaint(line: &str) -> String {
    complaint_of(parse(words(line), &environment()))
}

fn complaint_of(outcome: Outcome) -> String {
    let Outcome::Usage(text) = outcome else { panic!("{outcome:?}") };
    let (usage, text) = text.split_once("\nwebsockify: error: ").expect("every error says so");
    assert!(usage.starts_with("Usage: \n    websockify [options] "), "{usage}");
    text.strip_suffix("\nTry 'websockify --help'.\n").expect("an error is a whole line").to_owned()
}
