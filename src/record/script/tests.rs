//! The form against a strict parser, at every moment at which a kill could end the process.

use super::*;
use std::cell::{Cell, RefCell};

/// A file in memory. Every write is taken apart as a kill could do it, and what is there after each part must
/// be whole.
struct Torn {
    bytes: RefCell<Vec<u8>>,
    /// Bytes that fit before the disk is full.
    room: Cell<usize>,
    /// The number of entries that were valid at the last look.
    entries: Cell<usize>,
    looks: Cell<usize>,
}

impl Torn {
    fn new(room: usize) -> Torn {
        Torn {
            bytes: RefCell::new(EMPTY.to_vec()),
            room: Cell::new(room),
            entries: Cell::new(0),
            looks: Cell::new(0),
        }
    }

    fn look(&self) {
        let entries = parse(&self.bytes.borrow()).expect("whole");
        assert_eq!(entries.last().map(Vec::as_slice), Some(&b"EOF"[..]));
        assert!(entries.len() > self.entries.get(), "what was valid once stays so");
        self.entries.set(entries.len() - 1);
        self.looks.set(self.looks.get() + 1);
    }
}

impl Store for &Torn {
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut at = usize::try_from(at).expect("small");
        assert!(at <= self.bytes.borrow().len(), "no holes");
        // A long write may end anywhere, a short one at the border of a page.
        let mut rest = bytes;
        while !rest.is_empty() {
            let to_border = PAGE_BYTES as usize - at % PAGE_BYTES as usize;
            let step = if bytes.len() > 9 { to_border.min(1 + rest.len() / 3) } else { to_border };
            let part = &rest[..step.min(rest.len())];
            let mut file = self.bytes.borrow_mut();
            let grown = (at + part.len()).saturating_sub(file.len());
            if grown > self.room.get() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room.set(self.room.get() - grown);
            let length = file.len() + grown;
            file.resize(length, 0);
            file[at..at + part.len()].copy_from_slice(part);
            drop(file);
            (at, rest) = (at + part.len(), &rest[part.len()..]);
            self.look();
        }
        Ok(())
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.bytes.borrow_mut().truncate(usize::try_from(length).expect("small"));
        self.look();
        Ok(())
    }
}

/// The strings of a script of this form, or where it goes wrong. Nothing but what the form needs is taken.
fn parse(script: &[u8]) -> Result<Vec<Vec<u8>>, usize> {
    let mut rest = script.strip_prefix(b"var VNC_frame_data = [").ok_or(0_usize)?;
    let at = |rest: &[u8]| script.len() - rest.len();
    let mut strings = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(b"'").ok_or(at(rest))?;
        let mut string = Vec::new();
        loop {
            match rest {
                [b'\'', ..] => break,
                [b'\\', b'x', high, low, ..] => {
                    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(at(rest));
                    string.push((digit(*high)? * 16 + digit(*low)?) as u8);
                    rest = &rest[4..];
                }
                [b'\\', escaped @ (b'\\' | b'\'' | b't' | b'n' | b'r'), ..] => {
                    string.push(match escaped {
                        b't' => b'\t',
                        b'n' => b'\n',
                        b'r' => b'\r',
                        &other => other,
                    });
                    rest = &rest[2..];
                }
                [b'\\', ..] | [] => return Err(at(rest)),
                [byte @ b' '..=b'~', ..] => {
                    string.push(*byte);
                    rest = &rest[1..];
                }
                _ => return Err(at(rest)),
            }
        }
        strings.push(string);
        rest = rest[1..].trim_ascii_start();
        match rest {
            [b',', ..] => rest = &rest[1..],
            [b']', b'/', b'/', comment @ ..] => {
                return if comment.contains(&b'\n') { Err(at(rest)) } else { Ok(strings) };
            }
            b"];\n" => return Ok(strings),
            _ => return Err(at(rest)),
        }
    }
}

/// An entry as upstream writes it, with as many zeros before its time as the file has.
fn line(mark: Mark, ms: u64, payload: &[u8]) -> Vec<u8> {
    let mut text = vec![0; payload.len() * escape::LONGEST + escape::BEHIND];
    let count = escape::write(payload, &mut text);
    let sign = char::from(mark as u8);
    [format!("'{sign}{ms}{sign}").as_bytes(), &text[..count], b"',\n"].concat()
}

/// The file without zeros before times.
fn without_zeros(file: &[u8]) -> (Vec<u8>, usize) {
    let mut plain = Vec::new();
    let mut zeros = 0;
    for line in file.split_inclusive(|&byte| byte == b'\n') {
        let mut from = 0;
        if line.starts_with(b"'{") || line.starts_with(b"'}") {
            from = 2;
            plain.extend_from_slice(&line[..2]);
            while line[from] == b'0' && line[from + 1].is_ascii_digit() {
                (from, zeros) = (from + 1, zeros + 1);
            }
        }
        plain.extend_from_slice(&line[from..]);
    }
    (plain, zeros)
}

/// Writes entries, of which `commits` ends a batch behind those it says so for; returns the file at its end.
fn record(entries: &[(Mark, u64, Vec<u8>)], store: &Torn, commits: impl Fn(usize) -> bool) -> io::Result<()> {
    let mut text = Text::new();
    let mut script = Script::new(store);
    let mut failed = Ok(());
    let mut batch = script.batch(&mut text);
    for (number, (mark, ms, payload)) in entries.iter().enumerate() {
        let added = batch.add(*mark, *ms, payload);
        failed = added.and_then(|()| if commits(number) { batch.commit() } else { Ok(()) });
        if failed.is_err() {
            break;
        }
    }
    if failed.is_ok() {
        failed = batch.commit();
    }
    script.finish(failed.is_err()).expect("needs no room");
    failed
}

/// A small generator of numbers, so that a failure can be repeated (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn entries(&mut self, count: usize, longest: usize) -> Vec<(Mark, u64, Vec<u8>)> {
        let mut ms = 0;
        (0..count)
            .map(|_| {
                ms += self.below(300) as u64;
                let length = if self.below(3) == 0 { self.below(4) } else { self.below(longest) };
                // What ends comments, strings and lines comes often.
                let byte = |random: &mut Random| match random.below(4) {
                    0 => b"*/'\\`\n,]"[random.below(8)],
                    _ => random.below(256) as u8,
                };
                let mark = if self.below(2) == 0 { Mark::Up } else { Mark::Down };
                (mark, ms, (0..length).map(|_| byte(self)).collect())
            })
            .collect()
    }
}

fn expected(entries: &[(Mark, u64, Vec<u8>)]) -> Vec<u8> {
    let lines: Vec<u8> = entries.iter().flat_map(|(mark, ms, payload)| line(*mark, *ms, payload)).collect();
    [b"var VNC_frame_data = [\n", lines.as_slice(), b"'EOF'];\n"].concat()
}

#[test]
fn a_kill_at_any_moment_leaves_a_whole_script_and_the_end_is_upstream_s() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut looks = 0;
    for round in 0..16 {
        let longest = [20, 300, 3000, 70_000][round % 4];
        let count = [200, 60, 20, 3][round % 4];
        let entries = random.entries(count, longest);
        let store = Torn::new(usize::MAX);
        let every = 1 + random.below(12);
        record(&entries, &store, |number| number % every == 0).expect("room");
        let file = store.bytes.borrow();
        assert!(without_zeros(&file).0 == expected(&entries), "round {round}");
        looks += store.looks.get();
    }
    assert!(looks > 1000, "{looks}");
}

#[test]
fn no_place_of_an_ending_is_a_wrong_one() {
    // The first entry ends at each place around the border of a page, and the next ones are as short as can be.
    let mut padded = 0;
    for length in 4040..4100 {
        for short in 0..3 {
            let mut entries = vec![(Mark::Down, 5, vec![b'a'; length])];
            entries.extend((0..4).map(|_| (Mark::Up, 7, vec![b'*'; short])));
            let store = Torn::new(usize::MAX);
            record(&entries, &store, |_| true).expect("room");
            let (plain, zeros) = without_zeros(&store.bytes.borrow());
            assert!(plain == expected(&entries), "{length}");
            assert!(zeros <= 8, "{zeros}");
            padded += zeros;
        }
    }
    assert!(padded > 0, "no ending came to a border");
}

#[test]
fn a_full_disk_leaves_what_was_valid_and_the_last_line() {
    let mut random = Random(0x0123_4567_89ab_cdef);
    for round in 0..50 {
        let entries = random.entries(30, 1500);
        let whole = expected(&entries);
        let store = Torn::new(random.below(whole.len()));
        assert!(record(&entries, &store, |number| number % 3 == 0).is_err(), "round {round}");
        let (plain, _) = without_zeros(&store.bytes.borrow());
        let lines = plain.strip_suffix(b"'EOF'];\n").expect("the last line");
        assert!(whole.starts_with(lines), "round {round}");
    }
}

#[test]
fn the_parser_of_these_tests_can_say_no() {
    let good = b"var VNC_frame_data = [\n'{1{\\x00\\n', 'EOF']//'} x";
    assert_eq!(parse(good).expect("good").len(), 2);
    for bad in [
        &b"var VNC_frame_data = [\n'{1{',\n"[..],
        b"var VNC_frame_data = [\n'{1{',\n'EOF",
        b"var VNC_frame_data = [\n'{1{\n',\n'EOF'];\n",
        b"var VNC_frame_data = [\n'EOF']//\n'EOF'];\n",
        b"var VNC_frame_data = [\n'EOF'];\n/",
        b"var VNC_frame_data = [\n'EOF'];\n\0",
        b"var VNC_frame_data = [\n'EOF' 'EOF'];\n",
        b"var VNC_frame_data = [\n'\\x0', 'EOF'];\n",
    ] {
        assert!(parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
    }
}
