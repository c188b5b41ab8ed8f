//! What README says about the program as it is today, held against the program.

use std::process::Command;

use crate::common::server::program;

#[test]
fn nothing_is_promised_for_later() {
    let readme = include_str!("../../README.md");
    let output = Command::new(program()).arg("--help").output().expect("the program runs");
    let help = String::from_utf8(output.stdout).expect("the help is text");
    for text in [readme, &help, include_str!("../../man/websockify.1")] {
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        assert!(!words.contains("not available yet") && !words.contains("not yet (it ends"), "{text}");
    }
}
