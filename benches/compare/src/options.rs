//! The bench's own command line.

use crate::figures::record::Place;
use lexopt::{Arg, ValueExt};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What was asked for.
pub(crate) enum Task {
    Compare(Options),
    /// Write the files of a record again from its raw values.
    Convert(PathBuf, Place),
    /// Be the plain relay between two addresses, with buffers of this many bytes.
    PlainRelay(SocketAddr, SocketAddr, usize),
    Help,
    Version,
}

/// How to compare.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) filters: Vec<String>,
    pub(crate) form: Form,
    pub(crate) pairs: Option<usize>,
    pub(crate) record: Option<Place>,
    pub(crate) only: Vec<String>,
    /// Payload bytes of one bulk run, in place of the table's.
    pub(crate) bytes: Option<u64>,
    pub(crate) syscalls: bool,
    /// Let the scheduler place the proxy and the load generator as it likes.
    pub(crate) unpinned: bool,
}

/// How thorough a run is.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Form {
    Quick,
    #[default]
    Usual,
    Full,
}

impl Options {
    /// Rounds in which every proxy has its turn.
    pub(crate) fn rounds(&self) -> usize {
        self.pairs.unwrap_or(match self.form {
            Form::Quick => 1,
            Form::Usual | Form::Full => 15,
        })
    }

    /// Time that the whole may take, if nobody asked for this many rounds: the usual form does fewer then, and says so.
    pub(crate) fn limit(&self) -> Option<Duration> {
        (self.form == Form::Usual && self.pairs.is_none()).then_some(USUAL_LIMIT)
    }
}

/// Reads the arguments behind the program's name.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Task, lexopt::Error> {
    let mut options = Options { form: Form::Quick, ..Options::default() };
    let mut parser = lexopt::Parser::from_args(args);
    let (mut asked_form, mut raw) = (None, None);
    while let Some(arg) = parser.next()? {
        match arg {
            // Cargo says so to every bench; without it (`cargo test --benches`) a smoke run is meant.
            Arg::Long("bench") => options.form = Form::Usual,
            Arg::Long("quick") => asked_form = Some(Form::Quick),
            Arg::Long("full") => asked_form = Some(Form::Full),
            Arg::Long("pairs") => options.pairs = Some(parser.value()?.parse()?),
            Arg::Long("record") => options.record = Some(parser.value()?.parse_with(Place::machine)?),
            Arg::Long("convert") => raw = Some(PathBuf::from(parser.value()?)),
            Arg::Long("only") => {
                options.only.extend(parser.value()?.string()?.split(',').map(str::to_owned));
            }
            Arg::Long("bytes") => options.bytes = Some(parser.value()?.parse_with(size)?),
            Arg::Long("syscalls") => options.syscalls = true,
            Arg::Long("unpinned") => options.unpinned = true,
            Arg::Long("plain-relay") => {
                let (listen, target) = (parser.value()?.parse()?, parser.value()?.parse()?);
                return Ok(Task::PlainRelay(listen, target, parser.value()?.parse()?));
            }
            Arg::Long("version") => return Ok(Task::Version),
            Arg::Short('h') | Arg::Long("help") => return Ok(Task::Help),
            Arg::Value(filter) => options.filters.push(filter.string()?),
            other => return Err(other.unexpected()),
        }
    }
    options.form = asked_form.unwrap_or(options.form);
    if options.form != Form::Quick && options.record.is_none() {
        options.record = Some(Place::Last);
    }
    if let Some(raw) = raw {
        return Ok(Task::Convert(raw, options.record.unwrap_or(Place::Last)));
    }
    Ok(Task::Compare(options))
}

/// The usual form's trials share this much time; the last of them may end a little later.
const USUAL_LIMIT: Duration = Duration::from_secs(9 * 60);

/// `512K`, `64M`, `1G`, or plain bytes.
fn size(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.trim_end_matches(['K', 'M', 'G']) {
        digits if digits.len() + 1 >= text.len() => (digits, &text[digits.len()..]),
        _ => return Err("a size is a number with K, M, G or nothing".into()),
    };
    let shift = match unit {
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => 0,
    };
    digits.parse::<u64>().map(|number| number << shift).map_err(|error| error.to_string())
}

pub(crate) const HELP: &str = "\
cargo bench --bench end_to_end -- [FILTER]... [options]

Runs this crate's release binary and the proxies found on this machine through the same work on the
loopback, in turns, and compares the CPU time of each with that of a yardstick: over ws a plain recv/send
relay, over wss HAProxy. benches/peers/install brings the proxies that package registries have.

  FILTER            only trials whose name contains it (any of several): echo, ws/, wss/down-64k, ...
  --quick           a smoke run: everything once, little work, every byte verified; only our own
                    binary and the plain relay unless --only names others; system calls per
                    message and private memory of our own binary have fixed limits
  --full            also many sessions, and at the end what was demanded beside what was reached
  --pairs N         rounds in which every proxy has its turn (1 in the quick form, 15 in the full one;
                    without it the usual form has as many as fit into ten minutes, 15 at most)
  --only A,B        only these proxies (the yardsticks of the ratios always run along)
  --bytes SIZE      payload of one bulk run: a number with K, M, G or nothing
  --syscalls        count system calls per message (with strace) instead of time
  --unpinned        let the scheduler place the proxy and the load generator
  --record MACHINE  store the figures as benches/record/MACHINE/DATE.csv, what they were made with as
                    DATE.txt, and plots of them as DATE-*.svg, and the value of each round as
                    target/record/MACHINE-DATE.json (without it, all of it as target/record/last*;
                    the quick form stores nothing unless told to)
  --convert FILE    measure nothing: store again what such a .json file holds, as --record says

WEBSOCKIFY_BIN names another binary to measure, WEBSOCKIFY_PYTHON a python that has websockify.";

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(args: &[&str]) -> Result<Task, lexopt::Error> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn a_comparison_is_recorded_below_target_unless_a_machine_is_named() {
        let place = |args: &[&str]| match asked(args) {
            Ok(Task::Compare(options)) => options.record,
            _ => panic!("{args:?} compares"),
        };
        assert_eq!(place(&["--bench"]), Some(Place::Last));
        assert_eq!(place(&["--bench", "--quick"]), None);
        assert_eq!(place(&["--full"]), Some(Place::Last));
        assert_eq!(place(&["--quick", "--record", "lab"]), Some(Place::Machine("lab".into())));
        assert!(asked(&["--record", "../lab"]).is_err());
    }

    #[test]
    fn a_conversion_names_its_file_and_goes_where_a_record_would() {
        let place = |args: &[&str]| match asked(args) {
            Ok(Task::Convert(raw, place)) => (raw, place),
            _ => panic!("{args:?} converts"),
        };
        let raw = PathBuf::from("a.json");
        assert_eq!(place(&["--convert", "a.json"]), (raw.clone(), Place::Last));
        assert_eq!(place(&["--convert", "a.json", "--record", "lab"]), (raw, Place::Machine("lab".into())));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(
            (size("512K"), size("64M"), size("1G"), size("77")),
            (Ok(512 << 10), Ok(64 << 20), Ok(1 << 30), Ok(77))
        );
        assert!(size("1KK").is_err() && size("K").is_err() && size("-1").is_err());
    }
}
