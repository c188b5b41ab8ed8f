//! A second decoder that is slow and plain: the whole stream at once, one byte after the other. Tests and
//! fuzzing hold the real one against it.

use super::{CloseFrame, Finish, Violation};

/// Everything a stream of frames holds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Yield {
    /// All data payload.
    pub(crate) payload: Vec<u8>,
    /// Pings and pongs in order: the opcode, the payload, and how much data had come before.
    pub(crate) controls: Vec<(u8, Vec<u8>, usize)>,
    /// How it ended, if it did.
    pub(crate) finish: Option<Finish>,
}

/// Decodes a stream, as far as it goes.
pub(crate) fn decode(stream: &[u8]) -> Yield {
    let mut out = Yield::default();
    let mut rest = stream.iter().copied();
    let mut in_message = false;
    loop {
        match frame(&mut rest, &mut in_message, &mut out) {
            Some(Ok(None)) => {}
            Some(Ok(Some(close))) => {
                out.finish = Some(Finish::Close(close));
                return out;
            }
            Some(Err(violation)) => {
                out.finish = Some(Finish::Violation(violation));
                return out;
            }
            None => return out,
        }
    }
}

/// Takes one frame; `None` when the stream ends within it.
fn frame(
    rest: &mut dyn Iterator<Item = u8>,
    in_message: &mut bool,
    out: &mut Yield,
) -> Option<Result<Option<CloseFrame>, Violation>> {
    let first = rest.next()?;
    let (fin, opcode) = (first >= 128, first % 16);
    if first & 0b0111_0000 != 0 {
        return Some(Err(Violation::ReservedBits));
    }
    let violation = match (opcode, fin, *in_message) {
        (0, _, false) => Some(Violation::UnexpectedContinuation),
        (1 | 2, _, true) => Some(Violation::ExpectedContinuation),
        (1, _, false) => Some(Violation::Text),
        (3..=7 | 11..=15, ..) => Some(Violation::ReservedOpcode(opcode)),
        (8..=10, false, _) => Some(Violation::FragmentedControl),
        _ => None,
    };
    if let Some(violation) = violation {
        return Some(Err(violation));
    }
    let second = rest.next()?;
    if second < 128 {
        return Some(Err(Violation::Unmasked));
    }
    if opcode >= 8 && second > 128 + 125 {
        return Some(Err(Violation::OversizedControl));
    }
    if opcode == 8 && second == 128 + 1 {
        return Some(Err(Violation::BadCloseBody));
    }
    let (bytes, least) = match second - 128 {
        126 => (2, 126),
        127 => (8, 65536),
        _ => (0, 0),
    };
    let mut len = u64::from(second - 128);
    for at in 0..bytes {
        let byte = rest.next()?;
        if at == 0 {
            if bytes == 8 && byte >= 128 {
                return Some(Err(Violation::OversizedLength));
            }
            len = 0;
        }
        len = len * 256 + u64::from(byte);
    }
    if len < least {
        return Some(Err(Violation::NonMinimalLength));
    }
    let key = [rest.next()?, rest.next()?, rest.next()?, rest.next()?];
    if opcode < 8 {
        *in_message = !fin;
        for at in 0..len {
            out.payload.push(rest.next()? ^ key[(at % 4) as usize]);
        }
        return Some(Ok(None));
    }
    let mut body = Vec::new();
    for at in 0..len {
        body.push(rest.next()? ^ key[(at % 4) as usize]);
    }
    if opcode == 8 {
        return Some(close(&body).map(Some));
    }
    out.controls.push((opcode, body, out.payload.len()));
    Some(Ok(None))
}

fn close(body: &[u8]) -> Result<CloseFrame, Violation> {
    if body.is_empty() {
        return Ok(CloseFrame { code: None, reason: "".into() });
    }
    let code = u16::from(body[0]) * 256 + u16::from(body[1]);
    let sendable = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
    if !sendable.contains(&code) && !(3000..5000).contains(&code) {
        return Err(Violation::BadCloseCode(code));
    }
    match String::from_utf8(body[2..].to_vec()) {
        Ok(reason) => Ok(CloseFrame { code: Some(code), reason: reason.into() }),
        Err(_) => Err(Violation::BadCloseReason),
    }
}
