//! The floors of the house, held by reading the sources: a module imports only from its own floor or
//! from below, `unsafe` has one address, and floor 1 touches no socket, file, clock or thread.
//!
//! The scanner works on text: comments and string literals are blanked first, and `use` trees are taken
//! apart by their braces. It is tried on snippets below, so that it is known to be able to fail.

use std::fs;
use std::path::{Path, PathBuf};

/// The floor of each top-level module of the library, from the ground up.
const FLOORS: &[(&str, u8)] = &[
    ("sys", 0),
    ("id", 0),
    ("ring", 0),
    ("secret", 0),
    ("health", 0),
    ("helpers", 0),
    ("child", 0),
    ("flight", 0),
    ("timers", 0),
    ("log", 0),
    ("metrics", 0),
    ("printable", 0),
    ("parts", 0),
    ("limit", 0),
    ("networks", 0),
    ("ws", 1),
    ("http", 1),
    ("sniff", 1),
    ("target", 1),
    ("rules", 1),
    ("proxy", 1),
    ("source", 2),
    ("plugin", 2),
    ("token", 2),
    ("gate", 2),
    ("auth", 2),
    ("web", 2),
    ("record", 2),
    ("resolve", 2),
    ("certs", 2),
    ("net", 3),
    ("conn", 4),
    ("reactor", 5),
    ("admin", 6),
    ("cli", 6),
    ("server", 6),
    ("os", 6),
    ("main", 6),
];

/// Inside `conn`: a module imports only from those with a lower rank. States have the same one, so none names
/// another.
const CONN: &[(&str, u8)] = &[
    ("end", 0),
    ("shared", 0),
    ("frontend", 0),
    ("row", 1),
    ("wanted", 0),
    ("facts", 0),
    ("who", 1),
    ("cx", 1),
    ("delivery", 2),
    ("client", 2),
    ("tape", 3),
    ("early", 3),
    ("party", 3),
    ("report", 4),
    ("proxy", 5),
    ("sniff", 5),
    ("tls", 5),
    ("handshake", 5),
    ("lookup", 5),
    ("serve", 5),
    ("connect", 5),
    ("relay", 5),
    ("reply", 5),
    ("close", 5),
    ("ended", 6),
    ("state", 7),
    ("drive", 8),
    ("view", 8),
    ("rig", 9),
];

/// The same inside `net`.
const NET: &[(&str, u8)] = &[
    ("fault", 0),
    ("tuning", 0),
    ("narrow", 1),
    ("socket", 2),
    ("listen", 3),
    ("pipe", 3),
    ("scripted", 3),
    ("tls", 3),
    ("transport", 4),
];

/// Where `unsafe` may stand: `sys`, and the library that is loaded into other programs.
const UNSAFE: &[&str] = &["src/sys.rs", "src/sys/", "rebind/lib.rs"];

/// What floor 1 must not know.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os::unix::net",
    "std::thread",
    "std::process",
    "std::env",
    "mio",
    "socket2",
    "libc",
];

#[test]
fn imports_go_only_downwards() {
    let faults: Vec<String> = sources().iter().flat_map(|(path, text)| upward_imports(path, text)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn nobody_but_the_server_imports_the_admin_listener() {
    let importers: Vec<String> = sources()
        .iter()
        .filter(|(path, text)| !path.starts_with("src/admin/") && text.contains("crate::admin"))
        .map(|(path, _)| path.clone())
        .collect();
    assert!(!importers.is_empty(), "the scan sees the server's");
    assert!(importers.iter().all(|path| path.starts_with("src/server/")), "{importers:?}");
}

#[test]
fn inside_conn_and_net_imports_go_only_downwards_and_no_state_names_another() {
    let faults: Vec<String> = sources()
        .iter()
        .flat_map(|(path, text)| {
            [inner_faults("conn", CONN, path, text), inner_faults("net", NET, path, text)]
        })
        .flatten()
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_module_inside_conn_and_net_has_a_rank() {
    let unknown: Vec<String> = sources()
        .iter()
        .flat_map(|(path, _)| [("conn", CONN), ("net", NET)].map(|(room, ranks)| (path, room, ranks)))
        .filter_map(|(path, room, ranks)| {
            let inner = inner_module(room, path)?;
            (inner != "mod" && inner != "tests" && rank_of(ranks, &inner).is_none()).then(|| path.clone())
        })
        .collect();
    assert!(unknown.is_empty(), "without a row in CONN or NET: {unknown:?}");
}

#[test]
fn the_scanner_sees_imports_between_rooms() {
    let seen = |path: &str, snippet: &str| inner_faults("conn", CONN, path, snippet).len();
    assert_eq!(seen("src/conn/sniff.rs", "use super::relay::Relay;"), 1);
    assert_eq!(seen("src/conn/sniff.rs", "use super::{end::End, relay::Relay};"), 1);
    assert_eq!(seen("src/conn/sniff.rs", "use crate::conn::relay::Relay;"), 1);
    assert_eq!(seen("src/conn/relay/up.rs", "use super::super::close::Close;"), 1);
    assert_eq!(seen("src/conn/relay/up.rs", "use crate::conn::close::Close;"), 1);
    assert_eq!(seen("src/conn/cx.rs", "use super::client::Client;"), 1);
    assert_eq!(seen("src/conn/relay/up.rs", "use super::close;"), 0, "a module of its own");
    assert_eq!(seen("src/conn/relay/up.rs", "use super::super::client::Client;"), 0);
    assert_eq!(seen("src/conn/sniff.rs", "use super::client::Client;"), 0);
    assert_eq!(seen("src/conn/drive.rs", "use super::relay::Relay;"), 0);
    assert_eq!(
        seen("src/conn/sniff.rs", "#[cfg(test)]\nmod tests {\n    use super::super::relay::Relay;\n}"),
        0
    );
}

#[test]
fn every_test_that_the_architecture_names_exists() {
    let architecture = fs::read_to_string("ARCHITECTURE.md").expect("tests start at the top level");
    // Names of tests are long; a shorter word in backticks is something else.
    let names = architecture.split('`').skip(1).step_by(2).filter(|name| {
        name.len() > 17
            && name.chars().all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_')
    });
    let code: String = ["src", "tests"].into_iter().flat_map(files).map(|(_, text)| text).collect();
    let missing: Vec<&str> = names.filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names tests that are not there: {missing:?}");
}

#[test]
fn every_module_has_a_floor() {
    let modules = sources().into_iter().map(|(path, _)| module_of(&path)).filter(|module| module != "lib");
    let unknown: Vec<String> = modules.filter(|module| floor_of(module).is_none()).collect();
    assert!(unknown.is_empty(), "without a row in FLOORS: {unknown:?}");
}

#[test]
fn unsafe_has_two_addresses() {
    let elsewhere = |path: &str| !UNSAFE.iter().any(|home| path.starts_with(home));
    let code = sources().into_iter().chain(["build.rs", "rebind/lib.rs"].map(named));
    let guilty: Vec<String> = code
        .filter(|(path, text)| elsewhere(path) && has_word(&code_of(text), "unsafe"))
        .map(|(path, _)| path)
        .collect();
    assert!(guilty.is_empty(), "unsafe code in {guilty:?}");
}

#[test]
fn nothing_is_told_in_a_form_for_programmers() {
    // The one place makes words of it.
    let allowed =
        |path: &str| ["src/net/fault.rs", "src/conn/rig.rs"].contains(&path) || path.contains("tests");
    let told: Vec<String> = sources()
        .iter()
        .filter(|(path, _)| !allowed(path))
        .flat_map(|(path, text)| {
            let lines = before_inline_tests(text)
                .lines()
                .filter(|line| line.contains(":?}") || line.contains(":#?}"));
            lines.map(|line| format!("{path}: {}", line.trim())).collect::<Vec<_>>()
        })
        .collect();
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn floor_1_has_no_socket_file_clock_or_thread() {
    let faults: Vec<String> = sources().iter().flat_map(|(path, text)| impurities(path, text)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_scanner_sees_imports_in_every_form() {
    let snippets = [
        "use crate::reactor::Reactor;",
        "pub(crate) use crate::reactor;",
        "use crate::{id::Id, reactor::Reactor};",
        "use crate::{\n    id::Id,\n    reactor::{self, Reactor},\n};",
        "use crate :: reactor :: Reactor;",
        "fn f() -> crate::reactor::Reactor { todo!() }",
        "let x = crate::reactor::start();",
        "use crate::{net::{self, tls}, server};",
        "use crate::*;",
        "use super::super::reactor::Reactor;",
        "#[cfg(test)]\nmod tests;\nuse super::super::reactor::Reactor;",
        "#[cfg(test)]\nmod tests {\n    use crate::reactor::Reactor;\n}",
    ];
    for snippet in snippets {
        assert_eq!(upward_imports("src/ws/decode.rs", snippet).len().min(1), 1, "not seen: {snippet}");
    }
}

#[test]
fn the_scanner_lets_pass_what_is_allowed() {
    let snippets = [
        "use crate::ring::Ring;",
        "use crate::http::{request, response};",
        "use super::mask;",
        "// use crate::reactor::Reactor;",
        "/* crate::reactor /* nested */ crate::server */",
        "const TEXT: &str = \"crate::reactor\";",
        "const TEXT: &str = r#\"say \"crate::reactor\" twice\"#;",
        "let quote = '\"'; let id = crate::id::Id::new(); let quote = '\"';",
        "fn longest<'a>(a: &'a str) -> &'a str { a } // crate::server",
        "use supercrate::reactor;",
        "#[cfg(test)]\nmod tests {\n    use super::*;\n}",
    ];
    for snippet in snippets {
        assert_eq!(upward_imports("src/ws/decode.rs", snippet), Vec::<String>::new(), "{snippet}");
    }
    assert_eq!(upward_imports("src/conn/relay/up.rs", "use super::super::reply;"), Vec::<String>::new());
    assert_eq!(upward_imports("src/conn/relay/up.rs", "use super::super::super::reactor;").len(), 1);
    assert_eq!(upward_imports("src/conn/relay/mod.rs", "use super::super::reactor;").len(), 1);
}

#[test]
fn the_scanner_sees_unsafe_only_as_a_word_of_code() {
    assert!(has_word(&code_of("let x = unsafe { f() };"), "unsafe"));
    assert!(has_word(&code_of("unsafe impl Send for X {}"), "unsafe"));
    assert!(!has_word(&code_of("// unsafe\n/* unsafe */ \"unsafe\" unsafe_op not_unsafe"), "unsafe"));
}

#[test]
fn the_scanner_sees_impurity_only_on_floor_1() {
    for snippet in
        ["use std::fs;", "use std::{fs, io};", "Instant::now()", "mio::Poll::new()", "std::thread::spawn(f)"]
    {
        assert_eq!(impurities("src/http/request.rs", snippet).len().min(1), 1, "not seen: {snippet}");
        assert_eq!(impurities("src/net/socket.rs", snippet), Vec::<String>::new());
    }
    assert_eq!(impurities("src/sniff.rs", "#[cfg(test)]\nmod tests;\nuse std::fs;").len(), 1);
    assert_eq!(impurities("src/sniff.rs", "#[cfg(test)]\nmod tests { use std::fs; }"), Vec::<String>::new());
    for snippet in ["use std::net::IpAddr;", "let amio = 1;", "use std::time::Duration;", "// std::fs"] {
        assert_eq!(impurities("src/http/request.rs", snippet), Vec::<String>::new(), "{snippet}");
    }
}

/// What `path` imports from floors above its own.
fn upward_imports(path: &str, text: &str) -> Vec<String> {
    let Some(own) = floor_of(&module_of(path)) else { return Vec::new() };
    let code = code_of(text);
    let mut faults = Vec::new();
    for import in imports(path, &code) {
        match floor_of(&import) {
            _ if import == "*" => faults.push(format!("{path}: imports everything")),
            Some(floor) if floor > own => {
                faults.push(format!("{path} (floor {own}) imports {import} (floor {floor})"));
            }
            _ => {}
        }
    }
    faults
}

/// The module inside `room` that a file belongs to; `None` for a file elsewhere.
fn inner_module(room: &str, path: &str) -> Option<String> {
    let rest = path.strip_prefix("src/")?.strip_prefix(room)?.strip_prefix('/')?;
    Some(first_word(rest))
}

fn rank_of(ranks: &[(&str, u8)], module: &str) -> Option<u8> {
    ranks.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank)
}

/// What a file inside `room` imports from rooms beside it whose rank is not lower. Tests may.
fn inner_faults(room: &str, ranks: &[(&str, u8)], path: &str, text: &str) -> Vec<String> {
    let Some(own) = inner_module(room, path) else { return Vec::new() };
    let Some(rank) = rank_of(ranks, &own) else { return Vec::new() };
    if path.ends_with("tests.rs") || path.contains("/tests/") {
        return Vec::new();
    }
    let code = without_space_around_colons(&code_of(text));
    let code = before_inline_tests(&code);
    // One `super::` per level between this file's module and the room.
    let depth = path.trim_start_matches("src/").trim_end_matches("/mod.rs").split('/').count() - 1;
    let roots = [format!("crate::{room}::"), "super::".repeat(depth)];
    let mut faults = Vec::new();
    for root in &roots {
        for (at, _) in code.match_indices(root.as_str()) {
            if code[..at].ends_with(|last: char| is_word(last) || last == ':') {
                continue;
            }
            for import in heads(&code[at + root.len()..]) {
                let is_higher = rank_of(ranks, &import).is_some_and(|other| other >= rank);
                if is_higher && import != own {
                    faults.push(format!("{path} imports {room}::{import}"));
                }
            }
        }
    }
    faults
}

/// The top-level modules that `code` names, through `crate::` or enough of `super::`.
fn imports(path: &str, code: &str) -> Vec<String> {
    // One `super::` per level between this file's module and the root.
    let depth = path.trim_start_matches("src/").trim_end_matches("/mod.rs").split('/').count();
    let to_root = "super::".repeat(depth);
    let whole = without_space_around_colons(code);
    let mut found = Vec::new();
    for (root, tight) in [("crate::", whole.as_str()), (to_root.as_str(), before_inline_tests(&whole))] {
        for (at, _) in tight.match_indices(root) {
            let starts_a_path = !tight[..at].ends_with(|last: char| is_word(last) || last == ':');
            if starts_a_path {
                found.extend(heads(&tight[at + root.len()..]));
            }
        }
    }
    found
}

/// The first names of a path, or of each branch of a `{…}` tree.
fn heads(rest: &str) -> Vec<String> {
    let Some(tree) = rest.strip_prefix('{') else {
        return vec![first_word(rest)];
    };
    let mut heads = Vec::new();
    let (mut depth, mut at_head) = (0_u32, true);
    for (at, sign) in tree.char_indices() {
        match sign {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_head = true,
            _ if at_head && depth == 0 && !sign.is_whitespace() => {
                heads.push(first_word(&tree[at..]));
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}

fn first_word(text: &str) -> String {
    if text.starts_with('*') {
        return "*".to_owned();
    }
    text.chars().take_while(|&sign| is_word(sign)).collect()
}

/// What a file of floor 1 touches that it must not know. Tests beside the code may.
fn impurities(path: &str, text: &str) -> Vec<String> {
    if floor_of(&module_of(path)) != Some(1) || path.ends_with("tests.rs") {
        return Vec::new();
    }
    let code = without_space_around_colons(&code_of(text));
    let code = before_inline_tests(&code);
    let mut found: Vec<&str> = IMPURE.iter().copied().filter(|name| starts_a_word(code, name)).collect();
    for (at, root) in code.match_indices("std::{") {
        let inner = heads(&code[at + root.len() - 1..]);
        found.extend(
            ["fs", "thread", "process", "env"].iter().filter(|name| inner.iter().any(|head| head == *name)),
        );
    }
    found.into_iter().map(|name| format!("{path} uses {name}")).collect()
}

/// Whether `name` occurs in `code` as a word or as the beginning of a path of words.
fn starts_a_word(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let ends =
            name.contains("::Tcp") || name.contains("::Udp") || !code[at + name.len()..].starts_with(is_word);
        ends && !code[..at].ends_with(is_word)
    })
}

fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(is_word) && !code[at + word.len()..].starts_with(is_word))
}

fn is_word(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}

/// The code in front of a test module in the same file: inside of that, `super` is the file itself, and
/// clocks and threads are as welcome as in any test.
fn before_inline_tests(code: &str) -> &str {
    let is_inline = |at: &usize| {
        let behind = code[*at..].trim_start_matches("#[cfg(test)]").trim_start();
        behind.starts_with("mod ")
            && behind.find('{').unwrap_or(usize::MAX) < behind.find(';').unwrap_or(usize::MAX)
    };
    let cut = code.match_indices("#[cfg(test)]").map(|(at, _)| at).find(is_inline);
    &code[..cut.unwrap_or(code.len())]
}

fn without_space_around_colons(code: &str) -> String {
    let parts: Vec<&str> = code.split("::").map(str::trim).collect();
    parts.join("::")
}

/// `text` with comments and the insides of literals blanked.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(sign) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| literal(rest, code.chars().last()));
        match skipped {
            Some(length) => {
                code.push(' ');
                code.extend(rest[..length].matches('\n'));
                rest = &rest[length..];
            }
            None => {
                code.push(sign);
                rest = &rest[sign.len_utf8()..];
            }
        }
    }
    code
}

/// The length of the comment that `rest` begins with.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.starts_with("/*").then_some(())?;
    let (mut depth, mut at) = (0_u32, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(rest.len())
}

/// The length of the string or character literal that `rest` begins with; `before` is the sign before it.
fn literal(rest: &str, before: Option<char>) -> Option<usize> {
    let in_word = before.is_some_and(is_word);
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r')).filter(|_| !in_word);
    if let Some(raw) = raw {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if let Some(inside) = raw[hashes..].strip_prefix('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let length = inside.find(&close).map_or(inside.len(), |at| at + close.len());
            return Some(rest.len() - inside.len() + length);
        }
    }
    if let Some(inside) = rest.strip_prefix('"') {
        return Some(1 + quoted(inside, '"'));
    }
    let inside = rest.strip_prefix('\'')?;
    // A character, not a lifetime: one sign (or an escape) and the closing quote.
    let one = inside.chars().next()?;
    let is_character = one == '\\' || inside[one.len_utf8()..].starts_with('\'');
    is_character.then(|| 1 + quoted(inside, '\''))
}

/// The length up to and with the closing quote, escapes minded.
fn quoted(inside: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, sign) in inside.char_indices() {
        match sign {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if sign == quote => return at + 1,
            _ => {}
        }
    }
    inside.len()
}

fn floor_of(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|&(_, floor)| floor)
}

/// The top-level module that a file belongs to.
fn module_of(path: &str) -> String {
    let inside = path.trim_start_matches("src/");
    inside.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned()
}

/// All sources of the library and the program: path from the root, and text.
fn sources() -> Vec<(String, String)> {
    files("src")
}

/// One file of the top level, in the same form.
fn named(name: &str) -> (String, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    (name.to_owned(), fs::read_to_string(path).expect("a source is UTF-8"))
}

/// Names and texts of all Rust files below a directory of the top level.
fn files(top: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.join(top)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src is readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).expect("a source is UTF-8")));
            }
        }
    }
    assert!(found.len() > 5, "the sources were not found below {}", root.display());
    found.sort();
    found
}
