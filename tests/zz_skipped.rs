//! The last of the tests, by its name: says once more which of them were skipped.

#[path = "common/skips.rs"]
#[expect(dead_code, reason = "here nothing is skipped")]
mod skips;

fn main() {
    let Some(list) = skips::list() else { return };
    let Ok(lines) = std::fs::read_to_string(&list) else { return };
    let _ = std::fs::remove_file(&list);
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.sort_unstable();
    eprintln!(
        "{} tests were skipped; WEBSOCKIFY_NO_SKIPS=1 makes them fail:\n{}\n",
        lines.len(),
        lines.join("\n")
    );
}
