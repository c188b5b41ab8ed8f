//! Media types by the ending of a file's name: a fixed table, so that pages look the same on every machine.
//!
//! Text is declared as UTF-8, except for types that declare their own charset and would be overruled: HTML,
//! whose pages may have a `<meta charset>`, and XML. JSON and what is built on it is UTF-8 anyway.

/// The type of a file of this name.
pub fn of(name: &[u8]) -> &'static str {
    let Some(at) = memchr::memrchr(b'.', name) else { return UNKNOWN };
    let ending = name[at + 1..].to_ascii_lowercase();
    match TABLE.binary_search_by(|(known, _)| known.as_bytes().cmp(&ending)) {
        Ok(at) => TABLE[at].1,
        Err(_) => UNKNOWN,
    }
}

/// Whether a file of this name is a recording of a session, such as `session.7`. noVNC plays one by loading
/// it as a script, and a browser runs a script of unknown type only if it may guess.
pub fn is_recording(name: &[u8]) -> bool {
    memchr::memrchr(b'.', name).is_some_and(|at| {
        let number = &name[at + 1..];
        at > 0 && !number.is_empty() && number.iter().all(u8::is_ascii_digit)
    })
}

/// The type of everything that is not in the table: bytes.
pub const UNKNOWN: &str = "application/octet-stream";

/// Endings and types, sorted by ending.
#[rustfmt::skip]
const TABLE: &[(&str, &str)] = &[
    ("aac", "audio/aac"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("cjs", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("eot", "application/vnd.ms-fontobject"),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ico", "image/vnd.microsoft.icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("log", "text/plain; charset=utf-8"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xml", "text/xml"),
    ("xz", "application/x-xz"),
    ("zip", "application/zip"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_text_that_can_not_say_so_itself_has_a_charset() {
        assert!(TABLE.is_sorted_by(|one, next| one.0 < next.0));
        for (ending, kind) in TABLE {
            let says_itself = ["text/html", "text/xml"].contains(kind) || !kind.starts_with("text/");
            assert_eq!(!says_itself, kind.ends_with("; charset=utf-8"), "{ending}");
            assert_eq!(of(format!("a.{ending}").as_bytes()), *kind);
        }
    }

    #[test]
    fn the_last_ending_counts_in_any_case() {
        let table = [
            ("a.b.JS", "text/javascript; charset=utf-8"),
            ("a.tar.gz", "application/gzip"),
            ("html", UNKNOWN),
            ("a.html.", UNKNOWN),
            ("a.", UNKNOWN),
            ("", UNKNOWN),
            ("a.unknown", UNKNOWN),
            ("session.7", UNKNOWN),
        ];
        for (name, kind) in table {
            assert_eq!(of(name.as_bytes()), kind, "{name}");
        }
    }

    #[test]
    fn a_recording_ends_with_its_number() {
        for (name, recording) in [
            ("session.7", true),
            ("a.b.120", true),
            (".7", false),
            ("7", false),
            ("a.7z", false),
            ("a.", false),
        ] {
            assert_eq!(is_recording(name.as_bytes()), recording, "{name}");
        }
    }
}
