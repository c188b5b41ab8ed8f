//! What is kept of a comparison. For the tree, small files of one machine and one day: CSV with every figure,
//! a text with where and how it was measured and what was demanded, and plots. For a closer look, below
//! `target/` only: JSON with the value of each round.

use crate::figures::compare::Row;
use crate::figures::demands::verdicts;
use crate::figures::{plots, raw, report};
use crate::proxies::found::{Found, on_path, version};
use crate::proxies::peers::Role;
use crate::root;
use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// A comparison and where it was made.
pub(crate) struct Record {
    /// The bench's arguments.
    pub(crate) command: Vec<String>,
    pub(crate) commit: Option<String>,
    pub(crate) unix_time_s: u64,
    pub(crate) machine: BTreeMap<String, String>,
    /// Names and versions.
    pub(crate) proxies: Vec<(String, String)>,
    pub(crate) rows: Vec<Row>,
}

/// Where a record goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Below `target/record`, until the next run.
    Last,
    /// In the tree, under this name for the machine.
    Machine(String),
}

impl Place {
    /// The place of a machine: one plain name of a directory.
    pub(crate) fn machine(name: &str) -> Result<Place, String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        match !name.is_empty() && name.bytes().all(is_plain) {
            true => Ok(Place::Machine(name.to_owned())),
            false => Err("a record's machine is a name of letters, digits, - and _".into()),
        }
    }

    /// What the files of a record of this day begin with, and where its raw values go, below `root`.
    fn paths(&self, root: &Path, date: &str) -> (PathBuf, PathBuf) {
        let raw = root.join("target/record");
        match self {
            Place::Last => (raw.join("last"), raw.join("last.json")),
            Place::Machine(name) => {
                (root.join("benches/record").join(name).join(date), raw.join(format!("{name}-{date}.json")))
            }
        }
    }
}

impl Record {
    /// A record of what this process measures now; its rows are still to come.
    pub(crate) fn new(found: &[Found]) -> Record {
        Record {
            command: env::args().skip(1).map(|word| without_places(&word)).collect(),
            commit: commit(),
            unix_time_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            machine: machine(),
            proxies: found.iter().map(|found| (found.peer.name.into(), found.version.clone())).collect(),
            rows: Vec::new(),
        }
    }

    /// Writes everything; returns what the names of the files begin with.
    pub(crate) fn store(&self, place: &Place) -> io::Result<PathBuf> {
        let (stem, raw_file) = place.paths(root(), &self.date());
        self.write(&stem)?;
        create_parent(&raw_file)?;
        fs::write(raw_file, raw::to_json(self))?;
        Ok(stem)
    }

    /// Writes what the tree keeps: `STEM.csv`, `STEM.txt`, `STEM-PLOT.svg`.
    fn write(&self, stem: &Path) -> io::Result<()> {
        create_parent(stem)?;
        let file = |end: &str| PathBuf::from(format!("{}{end}", stem.display()));
        fs::write(file(".csv"), self.csv())?;
        fs::write(file(".txt"), self.text())?;
        for (plot, picture) in plots::draw(&self.rows) {
            fs::write(file(&format!("-{plot}.svg")), picture)?;
        }
        Ok(())
    }

    /// The day, in UTC.
    fn date(&self) -> String {
        let (year, month, day) = civil(self.unix_time_s / 86_400);
        format!("{year}-{month:02}-{day:02}")
    }

    fn csv(&self) -> String {
        let mut out =
            String::from("trial,sessions,proxy,role,figure,median,ratio,ratio_low,ratio_high,runs,failure\n");
        for row in &self.rows {
            let who = format!("{},{},{},{}", row.trial, row.sessions, row.peer, role(row.role));
            // What a proxy said last is in the raw record.
            let failure = row.failure.as_deref().and_then(|failure| failure.split(';').next());
            let failure = failure.unwrap_or_default().replace(['"', ',', '\n'], " ");
            if row.figures.is_empty() {
                let _ = writeln!(out, "{who},,,,,,0,{failure}");
            }
            for column in &row.figures {
                let ratio = column.ratio.map_or_else(
                    || ",,".into(),
                    |ratio| format!("{},{},{}", short(ratio.median), short(ratio.low), short(ratio.high)),
                );
                let (name, median, runs) = (&column.name, short(column.median), column.values.len());
                let _ = writeln!(out, "{who},{name},{median},{ratio},{runs},{failure}");
            }
        }
        out
    }

    fn text(&self) -> String {
        let arguments: Vec<&str> =
            self.command.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
        let command = format!("cargo bench --bench end_to_end -- {}", arguments.join(" "));
        let mut lines = vec![
            ("date", self.date()),
            ("commit", self.commit.clone().unwrap_or_else(|| "unknown".into())),
            ("command", command.trim_end_matches([' ', '-']).to_owned()),
            ("tls", TLS.to_owned()),
        ];
        lines.extend(self.machine.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let mut out = String::new();
        for (name, value) in lines {
            let _ = writeln!(out, "{name:<10} {value}");
        }
        out.push_str("\nproxies\n");
        for (name, version) in &self.proxies {
            let _ = writeln!(out, "  {name:<15} {version}");
        }
        let verdicts = verdicts(&self.rows);
        if !verdicts.is_empty() {
            let _ = write!(out, "\n{}", report::verdicts(&verdicts));
        }
        out
    }
}

fn create_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// A word of a command line without where this tree and the bench's own files lie on this machine.
pub(crate) fn without_places(word: &str) -> String {
    let tree = format!("{}/", root().display());
    let files = env::temp_dir().join("websockify-bench-").to_string_lossy().into_owned();
    word.replace(&tree, "").replace(&files, "bench-")
}

pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Ours => "ours",
        Role::Peer => "peer",
        Role::Yardstick => "yardstick",
    }
}

/// Five significant digits; nothing that was measured here has more.
fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let places = (4 - value.abs().log10().floor().clamp(-12.0, 4.0) as i32).unsigned_abs() as usize;
    let text = format!("{value:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar: years begin in March here, so
/// that a leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The commit of this tree, and whether files differ from it; to be asked before anything is written.
fn commit() -> Option<String> {
    let output =
        Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(root()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn machine() -> BTreeMap<String, String> {
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = fs::read_to_string("/proc/cpuinfo")
        .map(|text| text.lines().filter(|line| line.starts_with("processor")).count().to_string());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease");
    let known = [
        ("cpu", field("/proc/cpuinfo", "model name")),
        ("cores", cores.ok()),
        ("memory", field("/proc/meminfo", "MemTotal")),
        ("openssl", on_path("openssl").and_then(|path| version(Command::new(path).arg("version")).ok())),
        ("rustc", version(Command::new("rustc").arg("--version")).ok()),
        ("kernel", kernel.ok().map(|release| without_build(release.trim()).to_owned())),
    ];
    known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// A kernel's release without what its builder added to the version.
pub(crate) fn without_build(release: &str) -> &str {
    let end = release.find(|sign: char| !sign.is_ascii_digit() && sign != '.');
    release[..end.unwrap_or(release.len())].trim_end_matches('.')
}

/// What every TLS session of a comparison is, by its certificate and the client's offer.
pub(crate) const TLS: &str = "TLS 1.3, TLS_AES_128_GCM_SHA256, X25519, ECDSA P-256, no resumption";

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::figures::compare::tests::row;
    use crate::figures::stats::Ratio;
    use crate::proxies::kit::Kit;
    use crate::proxies::peers::{OURS, PLAIN, PYTHON};

    /// Two proxies in two trials, and one that failed.
    pub(crate) fn record() -> Record {
        let mut rows = vec![
            row("ws/down-4k", OURS, Role::Ours, "CPU s/GiB", &[0.512345678, 0.5, 0.6]),
            row("ws/down-4k", PLAIN, Role::Yardstick, "CPU s/GiB", &[0.6, 0.6, 0.6]),
            row("ws/down-64k", OURS, Role::Ours, "CPU s/GiB", &[0.25, 0.25, 0.25]),
            row("ws/down-64k", PLAIN, Role::Yardstick, "CPU s/GiB", &[0.3, 0.3, 0.3]),
            row("ws/down-64k", PYTHON, Role::Peer, "CPU s/GiB", &[0.3]),
        ];
        rows[0].figures[0].ratio = Some(Ratio { median: 2.0 / 3.0, low: 0.5, high: 1.0 });
        rows[4].figures.clear();
        rows[4].failure = Some("it hung up, twice; its last words: /home/x".into());
        Record {
            command: ["--bench", "--full", "--record", "lab"].map(str::to_owned).into(),
            commit: Some("c676d78".into()),
            unix_time_s: 1_795_583_972,
            machine: [("cores".to_owned(), "2".to_owned())].into(),
            proxies: vec![(OURS.into(), "websockify 0.1.0".into())],
            rows,
        }
    }

    #[test]
    fn a_line_of_the_table_has_its_proxy_its_figure_and_five_digits() {
        let csv = record().csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(
            lines[0],
            "trial,sessions,proxy,role,figure,median,ratio,ratio_low,ratio_high,runs,failure"
        );
        assert_eq!(lines[1], "ws/down-4k,1,ours,ours,CPU s/GiB,0.51235,0.66667,0.5,1,3,");
        assert_eq!(lines[5], "ws/down-64k,1,python,peer,,,,,,0,it hung up  twice");
        assert!(lines.iter().all(|line| line.matches(',').count() == 10), "{csv}");
    }

    #[test]
    fn the_text_says_when_where_with_what_and_what_was_demanded() {
        let text = record().text();
        let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line:?} is not in {text}");
        has("date       2026-11-25");
        has("commit     c676d78");
        has("command    cargo bench --bench end_to_end -- --full --record lab");
        has("cores      2");
        has("  ours            websockify 0.1.0");
        assert!(text.contains("bulk down at 64 KiB: CPU to the plain relay's") && text.contains("reached"));
    }

    #[test]
    fn a_record_is_a_table_a_text_and_plots_in_a_directory_of_its_machine() {
        let kit = Kit::make().expect("a directory");
        let place = Place::machine("lab").expect("a plain name");
        let (stem, raw_file) = place.paths(&kit.path(""), "2026-11-25");
        record().write(&stem).expect("a writable directory");
        let mut names: Vec<_> = fs::read_dir(kit.path("benches/record/lab"))
            .expect("it was made")
            .map(|entry| entry.expect("readable").file_name().into_string().expect("plain"))
            .collect();
        names.sort();
        assert_eq!(names, ["2026-11-25-down-cpu.svg", "2026-11-25.csv", "2026-11-25.txt"]);
        assert_eq!(raw_file, kit.path("target/record/lab-2026-11-25.json"));
    }

    #[test]
    fn without_a_machine_nothing_is_written_but_below_target() {
        let (stem, raw_file) = Place::Last.paths(Path::new("/top"), "2026-11-25");
        assert_eq!(stem, Path::new("/top/target/record/last"));
        assert_eq!(raw_file, Path::new("/top/target/record/last.json"));
    }

    #[test]
    fn a_machine_is_a_name_and_no_path() {
        for name in ["", ".", "..", "a/b", "../a", "a.csv", "a b", "ä"] {
            assert!(Place::machine(name).is_err(), "{name:?}");
        }
        assert_eq!(Place::machine("vm-2_cores"), Ok(Place::Machine("vm-2_cores".into())));
    }

    #[test]
    fn days_have_dates() {
        let dates = [
            (0, (1970, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (19_722, (2023, 12, 31)),
            (19_782, (2024, 2, 29)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ];
        for (days, date) in dates {
            assert_eq!(civil(days), date, "day {days}");
        }
    }

    #[test]
    fn figures_are_short_and_never_in_exponent_form() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (3_440_480.0, "3440480"),
            (100.0, "100"),
            (54.816_757, "54.817"),
            (0.000_123_456, "0.00012346"),
            (-2.5, "-2.5"),
            (99_999.9, "100000"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
        assert_eq!((short(f64::NAN), short(f64::INFINITY)), ("NaN".into(), "inf".into()));
    }

    #[test]
    fn a_kernel_is_its_version_and_not_its_builder_s() {
        assert_eq!(without_build("6.1.0-42-amd64"), "6.1.0");
        assert_eq!(without_build("6.18.44"), "6.18.44");
        assert_eq!(without_build("6.18.rc3"), "6.18");
    }
}
