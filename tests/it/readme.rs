//! What README says about the program as it is today, held against the program.

use std::collections::BTreeSet;
use std::process::Command;

use crate::common::server::program;

/// The options that are named in a text, without their dashes.
fn options(text: &str) -> BTreeSet<&str> {
    let is_of_a_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.split("--").skip(1).map(|rest| rest.split(|c| !is_of_a_name(c)).next().unwrap_or_default()).collect()
}

#[test]
fn what_is_not_available_yet_is_listed_under_what_works_today_and_nothing_else_is() {
    let readme = include_str!("../../README.md");
    let section = readme.split("### What works today\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let items = section.expect("the section").lines().filter(|line| line.starts_with("- "));
    let listed: BTreeSet<&str> = items.flat_map(options).filter(|name| !name.is_empty()).collect();

    let output = Command::new(program()).arg("--help").output().expect("the program runs");
    let help = String::from_utf8(output.stdout).expect("the help is text");
    // An option's entry begins with its name, and its text may be broken anywhere.
    let entries = help.replace("\n  -", "\n\n  -").replace("\n\n\n", "\n\n");
    let entries = entries.split("\n\n").map(|entry| entry.split_whitespace().collect::<Vec<_>>().join(" "));
    let missing: Vec<String> = entries.filter(|entry| entry.contains("(not available yet)")).collect();
    let mut expected: BTreeSet<&str> =
        missing.iter().filter_map(|entry| entry.split("--").nth(1)?.split([' ', '=']).next()).collect();
    // Its words are taken, and have no effect as long as nothing can be wrapped.
    let output = Command::new(program()).args(["0", "--", "true"]).output().expect("the program runs");
    if String::from_utf8_lossy(&output.stderr).contains("is not available yet") {
        expected.insert("wrap-mode");
    }
    assert_eq!(listed, expected);
}
