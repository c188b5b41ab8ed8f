//! The page that lists a directory without an index page.
//!
//! It is plain HTML with the text of the Python program, and declares both colour schemes, which is all that a
//! browser needs to make it readable in both.

use std::fmt::Write as _;

use rustix::fs::FileType;

use super::own::Hidden;
use super::tree::{Entry, Folder, Missing, Tree};
use crate::http::resource;
use crate::printable::Printable;

/// One line of the list.
struct Line {
    name: Vec<u8>,
    is_folder: bool,
    is_link: bool,
}

/// The list of the names in `folder`.
pub(super) fn list(tree: &Tree, folder: &Folder, dot_files: bool) -> Result<String, Missing> {
    let mut lines = lines(tree, folder, dot_files)?;
    lines.sort_by_cached_key(|line| (String::from_utf8_lossy(&line.name).to_lowercase(), line.name.clone()));
    Ok(html(&lines))
}

/// The page up to the list; `path` is the directory's name for people.
pub(super) fn beginning(path: &str) -> String {
    let title = format!("Directory listing for {}", escaped(path));
    format!(
        "<!DOCTYPE HTML>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n</head>\n<body>\n<h1>{title}</h1>\n<hr>\n<ul>\n"
    )
}

fn lines(tree: &Tree, folder: &Folder, dot_files: bool) -> Result<Vec<Line>, Missing> {
    let mut lines = Vec::new();
    let mut walked = 0;
    let hidden = Hidden::in_folder(&tree.own, folder.top());
    for entry in folder.reader()?.by_ref() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." || (!dot_files && resource::is_hidden(name)) {
            continue;
        }
        let is_folder = match entry.file_type() {
            FileType::Directory => true,
            // Without a slash, a link to a directory costs one more redirect.
            FileType::Symlink | FileType::Unknown if walked == WALKED_MAX => false,
            FileType::Symlink | FileType::Unknown => {
                walked += 1;
                match tree.find(folder, name) {
                    Err(Missing::Own) => continue,
                    found => matches!(found, Ok(Entry::Folder(_))),
                }
            }
            _ => false,
        };
        if !is_folder && hidden.has(name, entry.ino()) {
            continue;
        }
        let is_link = entry.file_type() == FileType::Symlink;
        lines.push(Line { name: name.to_vec(), is_folder, is_link });
        if lines.len() == NAMES_MAX {
            break;
        }
    }
    Ok(lines)
}

fn html(lines: &[Line]) -> String {
    let mut out = String::new();
    let mut written = 0;
    for line in lines {
        out.push_str("<li><a href=\"");
        resource::encode(&mut out, &line.name);
        out.push_str(if line.is_folder { "/\">" } else { "\">" });
        out.push_str(&escaped(&String::from_utf8_lossy(&line.name)));
        // A link to a directory is marked as a link, and leads to a directory.
        out.push_str(match line {
            Line { is_link: true, .. } => "@",
            Line { is_folder: true, .. } => "/",
            _ => "",
        });
        out.push_str("</a></li>\n");
        written += 1;
        if out.len() > PAGE_BYTES_MAX {
            break;
        }
    }
    out.push_str("</ul>\n");
    if written < lines.len() || lines.len() == NAMES_MAX {
        out.push_str("<p>There are more names than listed here.</p>\n");
    }
    out.push_str("<hr>\n</body>\n</html>\n");
    out
}

/// Text escaped for HTML, and for terminals, too.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    // Writing to a String can't fail.
    let _ = Printable(&mut shown).write_str(text);
    let mut out = String::with_capacity(shown.len());
    for c in shown.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Names that are read of one directory. They are sorted in memory.
const NAMES_MAX: usize = 10_000;

/// Links that are resolved: each costs several system calls.
const WALKED_MAX: usize = 100;

/// A page is held in memory until the client has read it. No lines are added beyond this.
const PAGE_BYTES_MAX: usize = 192 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &[u8], is_folder: bool, is_link: bool) -> Line {
        Line { name: name.to_vec(), is_folder, is_link }
    }

    #[test]
    fn names_are_shown_as_text_and_linked_as_paths() {
        let page = beginning("/<b>&/")
            + &html(&[
                line(b"\"><script>alert(1)</script>", false, false),
                line(b"javascript:alert(1)", false, false),
                line(b"a b?c#d", true, false),
                line(b"link", true, true),
                line(b"\xff", false, true),
                line("\u{1b}]0;x\u{7}\r\u{202e}\u{2066}w\u{e4}".as_bytes(), false, false),
            ]);
        for expected in [
            "<title>Directory listing for /&lt;b&gt;&amp;/</title>",
            "<a href=\"%22%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E\">&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;</a>",
            "<a href=\"javascript%3Aalert%281%29\">javascript:alert(1)</a>",
            "<a href=\"a%20b%3Fc%23d/\">a b?c#d/</a>",
            "<a href=\"link/\">link@</a>",
            "<a href=\"%FF\">\u{fffd}@</a>",
            ">\\x1b]0;x\\x07\\x0d\\u{202e}\\u{2066}w\u{e4}</a>",
            "<meta name=\"color-scheme\" content=\"light dark\">",
        ] {
            assert!(page.contains(expected), "{expected} in {page}");
        }
        assert!(!page.contains("more names"));
    }

    #[test]
    fn a_page_is_bounded_and_says_so() {
        let lines: Vec<Line> = (0..9000).map(|_| line(&[b'"'; 255], false, false)).collect();
        let page = html(&lines);
        assert!(page.len() < PAGE_BYTES_MAX + 4096 && page.contains("more names"));
    }
}
