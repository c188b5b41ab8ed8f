//! A strict reader of recordings: it takes what a recording may look like, at any moment, and nothing else.
//! `node`, where it is there, says whether the same is a script.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::has;

/// An entry of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `{` for what was sent to the client, `}` for what came from it.
    pub(crate) mark: u8,
    /// Milliseconds since the start.
    pub(crate) ms: u64,
    pub(crate) payload: Vec<u8>,
}

/// Reads a recording from a file. Panics where it is not one.
pub(crate) fn read(path: &Path) -> Vec<Entry> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let entries = parse(&bytes);
    entries.unwrap_or_else(|at| {
        let from = at.saturating_sub(60);
        let near = String::from_utf8_lossy(&bytes[from..bytes.len().min(at + 60)]);
        panic!("{} of {} bytes is no recording at byte {at}: …{near}…", path.display(), bytes.len())
    })
}

/// The entries of a recording, or where it goes wrong.
pub(crate) fn parse(script: &[u8]) -> Result<Vec<Entry>, usize> {
    let mut rest = script.strip_prefix(b"var VNC_frame_data = [\n").ok_or(0_usize)?;
    let mut entries = Vec::new();
    loop {
        match rest {
            b"'EOF'];\n" => return Ok(entries),
            [b'\'', b'E', b'O', b'F', b'\'', b']', b'/', b'/', comment @ ..] => {
                let is_one_line = comment.iter().all(|byte| (b' '..=b'~').contains(byte));
                return if is_one_line { Ok(entries) } else { Err(script.len() - comment.len()) };
            }
            _ => {}
        }
        let (entry, behind) = one_entry(rest).ok_or(script.len() - rest.len())?;
        entries.push(entry);
        rest = behind;
    }
}

fn one_entry(text: &[u8]) -> Option<(Entry, &[u8])> {
    let [b'\'', mark @ (b'{' | b'}'), rest @ ..] = text else { return None };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let ms = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let mut rest = rest[digits..].strip_prefix(&[*mark])?;
    let mut payload = Vec::new();
    loop {
        let taken = match rest {
            [b'\'', b',', b'\n' | b' ', behind @ ..] => {
                return Some((Entry { mark: *mark, ms, payload }, behind));
            }
            [b'\\', b'x', high, low, ..] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                payload.push((digit(*high)? * 16 + digit(*low)?) as u8);
                4
            }
            [b'\\', b't', ..] => payload_of(&mut payload, b'\t', 2),
            [b'\\', b'n', ..] => payload_of(&mut payload, b'\n', 2),
            [b'\\', b'r', ..] => payload_of(&mut payload, b'\r', 2),
            [b'\\', sign @ (b'\\' | b'\''), ..] => payload_of(&mut payload, *sign, 2),
            [b'\'' | b'\\', ..] => return None,
            [sign @ b' '..=b'~', ..] => payload_of(&mut payload, *sign, 1),
            _ => return None,
        };
        rest = &rest[taken..];
    }
}

fn payload_of(payload: &mut Vec<u8>, byte: u8, taken: usize) -> usize {
    payload.push(byte);
    taken
}

/// What went one way, put together.
pub(crate) fn stream(entries: &[Entry], mark: u8) -> Vec<u8> {
    entries.iter().filter(|entry| entry.mark == mark).flat_map(|entry| entry.payload.clone()).collect()
}

/// A recording with 0 in place of all times.
pub(crate) fn without_times(text: &[u8]) -> String {
    let text = String::from_utf8(text.to_vec()).expect("a recording is ASCII");
    text.split_inclusive('\n')
        .map(|line| match line.as_bytes() {
            [b'\'', mark @ (b'{' | b'}'), ..] => {
                let rest = line[2..].trim_start_matches(|sign: char| sign.is_ascii_digit());
                format!("'{}0{rest}", char::from(*mark))
            }
            _ => line.to_owned(),
        })
        .collect()
}

/// Has node run every file as a script, and look for the array and its end. Skips itself without node.
pub(crate) fn run_by_node(files: &[String]) {
    if !has("node") {
        return;
    }
    let output = Command::new("node")
        .args(["-e", NODE, "--"])
        .args(files)
        .stdin(Stdio::null())
        .output()
        .expect("node is started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), format!("{} scripts", files.len()));
}

/// As a browser runs a classic script: Latin-1 or UTF-8 are the same to ASCII.
const NODE: &str = "
const vm = require('node:vm'), fs = require('node:fs');
let count = 0;
for (const file of process.argv.slice(1)) {
    const context = vm.createContext({});
    vm.runInContext(fs.readFileSync(file, 'utf8'), context, { filename: file });
    const data = context.VNC_frame_data;
    if (!data || data[data.length - 1] !== 'EOF') throw new Error(file + ' does not end with EOF');
    for (const line of data.slice(0, -1))
        if (!/^([{}])[0-9]+\\1/.test(line)) throw new Error(file + ' has a line ' + line.slice(0, 40));
    count++;
}
console.log(count + ' scripts');
";
