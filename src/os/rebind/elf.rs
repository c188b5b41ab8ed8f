//! What the beginning of a program's file says about how it is started (elf(5)), and whether a preload reaches it.

use super::LIBRARY;

/// How much of a file is looked at. Linkers put the program headers and the notes into the first page or two.
pub(super) const HEAD: usize = 64 << 10;

/// What the beginning of a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// A program for the processor of ours.
    Elf(Linked),
    /// A program for another processor, or of another word size.
    Foreign,
    /// A script; its interpreter, as it stands there.
    Script(Vec<u8>),
    /// Neither: execvp(3) lets the shell read it.
    Other,
}

/// How a program calls the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linked {
    /// A loader brings libraries to it, and so a preloaded one, too.
    Dynamically,
    /// No loader, so nothing can be preloaded.
    Statically,
    /// A loader, but made by Go, whose programs call the system themselves.
    AsGo,
}

/// How much of a script's first line the system reads (BINPRM_BUF_SIZE).
const LINE: usize = 256;

const PT_INTERP: u32 = 3;
const PT_NOTE: u32 = 4;

impl Head {
    /// Reads the beginning of a file, at best [`HEAD`] bytes of it.
    pub fn of(bytes: &[u8]) -> Head {
        if let Some(rest) = bytes.strip_prefix(b"#!") {
            return script(&rest[..rest.len().min(LINE - 2)]);
        }
        if !bytes.starts_with(b"\x7fELF") {
            return Head::Other;
        }
        match Elf::of(bytes) {
            Some(elf) if Elf::of(LIBRARY).is_none_or(|ours| elf.machine == ours.machine) => {
                Head::Elf(elf.linked())
            }
            Some(_) | None => Head::Foreign,
        }
    }
}

/// The interpreter in a script's first line: the first word.
fn script(line: &[u8]) -> Head {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let words = line.split(|byte| matches!(byte, b' ' | b'\t' | 0));
    match words.into_iter().find(|word| !word.is_empty()) {
        Some(word) => Head::Script(word.to_owned()),
        None => Head::Other,
    }
}

/// The parts of an ELF file's headers that matter here.
struct Elf<'a> {
    bytes: &'a [u8],
    /// Class, byte order and processor: what two files have in common that can be loaded together.
    machine: [u8; 4],
    is_wide: bool,
    is_big_endian: bool,
}

impl<'a> Elf<'a> {
    fn of(bytes: &'a [u8]) -> Option<Elf<'a>> {
        let (class, order) = (*bytes.get(4)?, *bytes.get(5)?);
        if !matches!(class, 1 | 2) || !matches!(order, 1 | 2) {
            return None;
        }
        let machine = [class, order, *bytes.get(18)?, *bytes.get(19)?];
        Some(Elf { bytes, machine, is_wide: class == 2, is_big_endian: order == 2 })
    }

    fn linked(&self) -> Linked {
        let mut linked = Linked::Statically;
        for (kind, content) in self.segments() {
            match kind {
                PT_INTERP => linked = Linked::Dynamically,
                PT_NOTE if self.is_of_go(content) => return Linked::AsGo,
                _ => {}
            }
        }
        linked
    }

    /// The kind of each segment, and as much of its content as there is.
    fn segments(&self) -> impl Iterator<Item = (u32, &'a [u8])> {
        let (table, size, count) = match self.is_wide {
            true => (self.word(32), self.half(54), self.half(56)),
            false => (self.word(28), self.half(42), self.half(44)),
        };
        (0..count.unwrap_or(0)).map_while(move |n| {
            let at = table?.checked_add(usize::from(n) * usize::from(size?))?;
            let kind = self.quarter(at)?;
            let (offset, len) = match self.is_wide {
                true => (self.word(at.checked_add(8)?)?, self.word(at.checked_add(32)?)?),
                false => (self.word(at.checked_add(4)?)?, self.word(at.checked_add(16)?)?),
            };
            let rest = self.bytes.get(offset..).unwrap_or_default();
            Some((kind, &rest[..len.min(rest.len())]))
        })
    }

    /// Whether one of the notes is that in which Go keeps the number of a build.
    fn is_of_go(&self, mut notes: &[u8]) -> bool {
        // Name's length, content's length, kind; then both, each filled up to four bytes.
        while let Some((head, rest)) = notes.split_at_checked(12) {
            let number = |at: usize| self.number(head.get(at..at + 4).unwrap_or_default());
            let (name, content) = (number(0).unwrap_or(0), number(4).unwrap_or(0));
            if rest.starts_with(b"Go\0\0") && name == 4 {
                return true;
            }
            let Some(len) = up(name).zip(up(content)).and_then(|(a, b)| a.checked_add(b)) else {
                return false;
            };
            let Some(rest) = rest.get(len..) else { return false };
            notes = rest;
        }
        false
    }

    fn half(&self, at: usize) -> Option<u16> {
        self.number(self.bytes.get(at..at.checked_add(2)?)?).and_then(|n| u16::try_from(n).ok())
    }

    fn quarter(&self, at: usize) -> Option<u32> {
        self.number(self.bytes.get(at..at.checked_add(4)?)?).and_then(|n| u32::try_from(n).ok())
    }

    /// A number of the file's own word size.
    fn word(&self, at: usize) -> Option<usize> {
        let len = if self.is_wide { 8 } else { 4 };
        self.number(self.bytes.get(at..at.checked_add(len)?)?)
    }

    fn number(&self, bytes: &[u8]) -> Option<usize> {
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        let number = match self.is_big_endian {
            true => bytes.iter().fold(0, join),
            false => bytes.iter().rev().fold(0, join),
        };
        usize::try_from(number).ok()
    }
}

/// Filled up to four bytes.
fn up(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(4)
}
