//! Where a request's body ends, by another reader: `httparse` reads the head and the sizes of chunks, and the rest is
//! written down as in RFC 9112, for whole bodies only.

/// The length of the body that begins `rest`; `None` if it is not all there, an error if there is any doubt.
pub(super) fn body_len(head: &[u8], rest: &[u8]) -> Result<Option<usize>, &'static str> {
    let mut space = [httparse::EMPTY_HEADER; 1024];
    let mut request = httparse::Request::new(&mut space);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        _ => return Err("no head"),
    }
    let of = |name: &str| -> Vec<&[u8]> {
        let fields = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        fields.map(|field| field.value).collect()
    };
    let (codings, lengths) = (of("transfer-encoding"), of("content-length"));
    match (&codings[..], &lengths[..]) {
        ([], []) => Ok(Some(0)),
        // RFC 9112, 6.3: the same value in several lines is one.
        ([], [first, others @ ..]) if others.iter().all(|other| other == first) => {
            let digits = std::str::from_utf8(first).map_err(|_| "length")?.trim_matches([' ', '\t']);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err("length");
            }
            let length: usize = digits.parse().map_err(|_| "length")?;
            Ok((length <= rest.len()).then_some(length))
        }
        ([coding], []) if coding.trim_ascii().trim_ascii_end().eq_ignore_ascii_case(b"chunked") => {
            if request.version == Some(0) { Err("chunks in HTTP/1.0") } else { chunks(rest) }
        }
        _ => Err("in doubt"),
    }
}

/// RFC 9112, 7.1.
fn chunks(body: &[u8]) -> Result<Option<usize>, &'static str> {
    let mut at = 0;
    loop {
        let (start, size) = match httparse::parse_chunk_size(&body[at..]) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("size"),
        };
        at += start;
        if size == 0 {
            break;
        }
        let Some(end) = usize::try_from(size).ok().and_then(|size| at.checked_add(size)) else {
            return Err("size");
        };
        match body.get(end..end.saturating_add(2)) {
            Some(b"\r\n") => at = end + 2,
            Some(_) => return Err("end of a chunk"),
            None => return Ok(None),
        }
    }
    // Trailers: lines up to an empty one.
    loop {
        let Some(len) = body[at..].windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
        at += len + 2;
        if len == 0 {
            return Ok(Some(at));
        }
    }
}
