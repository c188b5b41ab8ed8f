use super::place::{file_name, private};
use super::reach::{Reason, Rights, Us, Verdict, why};
use super::*;
use crate::source::scratch::Scratch;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use socket2::{Domain, Socket, Type};
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// What the preloaded library does: a socket with SO_REUSEADDR that is bound.
fn bound(address: SocketAddr, v6_only: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[test]
fn beside_a_reserved_port_a_program_can_listen_again_and_again() {
    let reserved = Reserved::new().expect("a port");
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    let mut places = vec![(SocketAddr::from((Ipv4Addr::LOCALHOST, reserved.port())), false)];
    if has_ipv6() {
        places.push((SocketAddr::from((mapped, reserved.port())), false));
        places.push((SocketAddr::from((Ipv6Addr::LOCALHOST, reserved.port())), true));
    }
    for (address, v6_only) in places {
        for life in 0..3 {
            let socket = bound(address, v6_only).unwrap_or_else(|error| panic!("{address}, {life}: {error}"));
            socket.listen(5).unwrap_or_else(|error| panic!("{address}, {life}: {error}"));
            let listener = TcpListener::from(socket);
            let ip = address.ip().to_canonical();
            let client = TcpStream::connect((ip, reserved.port())).expect("it listens");
            // With the server's end closed first the port is left in TIME-WAIT.
            drop(listener.accept().expect("a client"));
            drop(client);
        }
    }
}

#[test]
fn both_families_listen_at_a_reserved_port_at_once() {
    let reserved = Reserved::new().expect("a port");
    let v4 = bound((Ipv4Addr::LOCALHOST, reserved.port()).into(), false).expect("bound");
    v4.listen(5).expect("it listens");
    if has_ipv6() {
        let v6 = bound((Ipv6Addr::LOCALHOST, reserved.port()).into(), true).expect("bound");
        v6.listen(5).expect("it listens, too");
    }
}

#[test]
fn a_reserved_port_refuses_connections_until_a_program_listens() {
    let reserved = Reserved::new().expect("a port");
    let error = TcpStream::connect((Ipv4Addr::LOCALHOST, reserved.port())).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_reserved_port_is_free_for_nobody_without_the_option() {
    let reserved = Reserved::new().expect("a port");
    let mut ips: Vec<std::net::IpAddr> = vec![Ipv4Addr::LOCALHOST.into(), Ipv4Addr::UNSPECIFIED.into()];
    if has_ipv6() {
        ips.extend([Ipv6Addr::LOCALHOST.into(), std::net::IpAddr::from(Ipv6Addr::UNSPECIFIED)]);
    }
    for ip in ips {
        let address = SocketAddr::from((ip, reserved.port()));
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        let error = socket.bind(&address.into()).expect_err("it is held");
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{address}");
    }
}

#[test]
fn reserved_ports_are_different_and_end_with_their_value() {
    let many: Vec<Reserved> = (0..32).map(|_| Reserved::new().expect("a port")).collect();
    let mut ports: Vec<u16> = many.iter().map(Reserved::port).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 32);
    drop(many);
    // Tests beside this one may have got some of them meanwhile, but not all.
    assert!(ports.iter().any(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()));
}

#[test]
fn the_library_fits_into_some_pages_and_is_for_this_processor() {
    assert!((2 << 10..6 << 10).contains(&LIBRARY.len()), "{} bytes", LIBRARY.len());
    let our_program = fs::read("/proc/self/exe").expect("this program");
    assert_eq!(
        LIBRARY[..20],
        [&our_program[..16], &[3, 0], &our_program[18..20]].concat(),
        "a shared object"
    );
}

#[test]
fn a_placed_library_is_the_one_we_carry_for_everybody_to_read_and_nobody_to_write() {
    let scratch = Scratch::new();
    let path = private(&[scratch.dir().to_owned()]).expect("a place");
    assert_eq!(path, scratch.path(&file_name()));
    assert_eq!(fs::read(&path).expect("readable"), LIBRARY);
    let found = fs::metadata(&path).expect("it is there");
    assert_eq!(found.mode() & 0o7777, 0o444);
    let again = private(&[scratch.dir().to_owned()]).expect("a place");
    assert_eq!(
        (&again, fs::metadata(&again).expect("it is there").ino()),
        (&path, found.ino()),
        "it is reused"
    );
    assert_eq!(fs::read_dir(scratch.dir()).expect("a directory").count(), 1, "no draft is left");
}

#[test]
fn what_stands_in_the_library_s_place_is_replaced_and_never_followed_or_waited_for() {
    type Obstacle = fn(&Path, &Path);
    let obstacles: [(&str, Obstacle); 6] = [
        ("other content", |path, _| fs::write(path, "no library").expect("written")),
        ("longer content", |path, _| fs::write(path, [LIBRARY, b"\n"].concat()).expect("written")),
        ("a file that others may write", |path, _| {
            fs::write(path, LIBRARY).expect("written");
            fs::set_permissions(path, fs::Permissions::from_mode(0o666)).expect("changed");
        }),
        ("a link", |path, victim| symlink(victim, path).expect("a link")),
        ("a dangling link", |path, _| symlink("/nowhere/at/all", path).expect("a link")),
        ("a pipe", |path, _| {
            mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        }),
    ];
    for (name, make) in obstacles {
        let scratch = Scratch::new();
        let victim = scratch.path("victim");
        fs::write(&victim, "precious").expect("written");
        make(&scratch.path(&file_name()), &victim);
        let path = private(&[scratch.dir().to_owned()]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(fs::symlink_metadata(&path).expect("it is there").is_file(), "{name}");
        assert_eq!(fs::read(&path).expect("readable"), LIBRARY, "{name}");
        assert_eq!(fs::read_to_string(&victim).expect("readable"), "precious", "{name}");
    }
}

#[test]
fn a_name_that_can_t_be_had_is_left_for_the_next_directory_and_then_for_another_name() {
    let (one, two) = (Scratch::new(), Scratch::new());
    // A directory that is not empty can't be replaced.
    for scratch in [&one, &two] {
        fs::create_dir_all(scratch.path(&file_name()).join("inner")).expect("a directory");
    }
    let free = Scratch::new();
    let path = private(&[one.dir().to_owned(), free.dir().to_owned()]).expect("a place");
    assert_eq!(path, free.path(&file_name()));
    let path = private(&[one.dir().to_owned(), two.dir().to_owned()]).expect("a place with another name");
    assert_eq!(path.parent(), Some(one.dir()));
    assert_eq!(fs::read(&path).expect("readable"), LIBRARY);
}

#[test]
fn directories_that_do_not_serve_are_named_with_their_reasons() {
    let scratch = Scratch::new();
    let colon = scratch.path("a:b");
    let open = scratch.path("open");
    for directory in [&colon, &open] {
        fs::create_dir(directory).expect("a directory");
    }
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("changed");
    let missing = scratch.path("missing");
    let error = private(&[colon.clone(), open.clone(), missing]).expect_err("no place").to_string();
    for part in
        [": LD_PRELOAD can't hold this path", "open: others can replace", "missing: [Errno 2] No such"]
    {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).expect("changed");
    private(&[open]).expect("a sticky directory is fine");
}

#[test]
fn what_the_user_preloads_stays_behind_ours() {
    let scratch = Scratch::new();
    let library = Library::at(private(&[scratch.dir().to_owned()]).expect("a place"));
    let ours = library.path().to_str().expect("UTF-8");
    let preload = |user: Option<&str>| {
        let [(name, value), old, new] = environment(&library, 5901, 40000, user.map(OsStr::new));
        assert_eq!(
            (name, old, new),
            ("LD_PRELOAD", ("REBIND_OLD_PORT", "5901".into()), ("REBIND_NEW_PORT", "40000".into()))
        );
        value
    };
    assert_eq!(preload(None), ours);
    assert_eq!(preload(Some("")), ours);
    assert_eq!(preload(Some("/lib/a.so b.so")), format!("{ours}:/lib/a.so b.so").as_str());
}

/// Some other user's file.
const PLAIN: Rights = Rights { mode: 0o755, user: 0, group: 0, has_capabilities: false, are_void: false };
/// An ordinary user.
const US: Us = Us { user: 1000, group: 1000 };

/// The smallest program with these segments: kind and content.
fn program(segments: &[(u32, &[u8])]) -> Vec<u8> {
    let mut file = LIBRARY[..64].to_vec();
    file[32..40].copy_from_slice(&64_u64.to_le_bytes());
    file[54..56].copy_from_slice(&56_u16.to_le_bytes());
    file[56..58].copy_from_slice(&u16::try_from(segments.len()).expect("few").to_le_bytes());
    let mut at = 64 + 56 * segments.len() as u64;
    for (kind, content) in segments {
        let mut header = [0; 56];
        header[..4].copy_from_slice(&kind.to_le_bytes());
        header[8..16].copy_from_slice(&at.to_le_bytes());
        header[32..40].copy_from_slice(&(content.len() as u64).to_le_bytes());
        file.extend(header);
        at += content.len() as u64;
    }
    file.extend(segments.iter().flat_map(|(_, content)| content.iter().copied()));
    file
}

const INTERP: (u32, &[u8]) = (3, b"/lib64/ld-linux-x86-64.so.2\0");
const GNU: &[u8] = b"\x04\0\0\0\x05\0\0\0\x03\0\0\0GNU\0abcde\0\0\0";
const GO: &[u8] = b"\x04\0\0\0\x04\0\0\0\x04\0\0\0Go\0\0wxyz";

#[test]
#[cfg(all(target_pointer_width = "64", target_endian = "little"))]
fn a_program_is_told_by_its_segments() {
    let of = |segments: &[(u32, &[u8])]| why(&program(segments), PLAIN, US);
    assert_eq!(of(&[INTERP]), Verdict::Reached);
    assert_eq!(of(&[(1, b"code"), INTERP, (4, GNU)]), Verdict::Reached);
    assert_eq!(of(&[]), Verdict::Not(Reason::Static));
    assert_eq!(of(&[(1, b"code"), (2, b"dynamic"), (4, GNU)]), Verdict::Not(Reason::Static), "static-pie");
    assert_eq!(of(&[INTERP, (4, &[GNU, GO].concat())]), Verdict::Not(Reason::Go));
    assert_eq!(of(&[(4, GO)]), Verdict::Not(Reason::Go), "it is static, too");
    let mut other = program(&[INTERP]);
    other[18] ^= 0x40;
    assert_eq!(why(&other, PLAIN, US), Verdict::Not(Reason::Foreign));
    assert_eq!(why(b"\x7fELF", PLAIN, US), Verdict::Not(Reason::Foreign));
}

#[test]
fn a_script_is_what_its_interpreter_is() {
    let of = |text: &[u8]| why(text, Rights { mode: 0o6755, user: 7, group: 7, ..PLAIN }, US);
    let ask = |path: &str| Verdict::Ask(path.into());
    assert_eq!(of(b"#!/usr/bin/perl -w\nuse x"), ask("/usr/bin/perl"));
    assert_eq!(of(b"#! \t/bin/sh"), ask("/bin/sh"));
    assert_eq!(of(b"#!\n/bin/sh"), ask("/bin/sh"), "without a word the shell reads it");
    assert_eq!(of(b"echo hello\n"), ask("/bin/sh"));
    assert_eq!(of(b""), ask("/bin/sh"));
    assert_eq!(
        of(format!("#!{}\n", "x".repeat(999)).as_bytes()),
        ask(&"x".repeat(254)),
        "as far as the system reads"
    );
}

#[test]
#[cfg(all(target_pointer_width = "64", target_endian = "little"))]
fn rights_of_a_file_count_only_if_they_change_something() {
    let file = program(&[INTERP]);
    let of = |rights: Rights, us: Us| why(&file, rights, us);
    let root = Us { user: 0, group: 0 };
    let set_user = Rights { mode: 0o4755, ..PLAIN };
    assert_eq!(of(set_user, US), Verdict::Not(Reason::SetUserId));
    assert_eq!(of(set_user, root), Verdict::Reached, "root's own for root");
    assert_eq!(of(Rights { user: 1000, ..set_user }, US), Verdict::Reached, "one's own");
    assert_eq!(of(Rights { user: 1000, ..set_user }, root), Verdict::Not(Reason::SetUserId));
    assert_eq!(of(Rights { are_void: true, ..set_user }, US), Verdict::Reached, "nosuid");
    assert_eq!(of(Rights { mode: 0o2755, ..PLAIN }, US), Verdict::Not(Reason::SetGroupId));
    assert_eq!(of(Rights { mode: 0o2745, ..PLAIN }, US), Verdict::Reached, "mandatory locking");
    let capable = Rights { has_capabilities: true, ..PLAIN };
    assert_eq!(of(capable, US), Verdict::Not(Reason::Capabilities));
    assert_eq!(of(capable, root), Verdict::Reached);
}

#[test]
fn no_content_of_a_file_is_too_odd_to_be_looked_at() {
    let whole = program(&[INTERP, (4, &[GNU, GO].concat())]);
    for end in 0..whole.len() {
        let _ = Head::of(&whole[..end]);
    }
    for at in 0..whole.len() {
        for byte in [0, 1, 2, 3, 4, 0x7f, 0x80, 0xff] {
            let mut odd = whole.clone();
            odd[at] = byte;
            let _ = Head::of(&odd);
            odd[at..].fill(byte);
            let _ = Head::of(&odd);
        }
    }
}

#[test]
fn programs_are_found_as_execvp_finds_them() {
    let scratch = Scratch::new();
    for (name, mode) in [("a/static", 0o644), ("b/static", 0o755)] {
        let path = scratch.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, program(&[])).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
    }
    let of = |word: &str, path: &str| {
        let found = unreachable_by_preload(OsStr::new(word), scratch.dir(), Some(OsStr::new(path)));
        found.map(|found| (found.file, found.reason))
    };
    let expected = Some((scratch.path("b/static"), Reason::Static));
    assert_eq!(of("static", "nowhere:a:b"), expected, "what can't be executed is passed over");
    assert_eq!(of("b/static", ""), expected, "relative to the directory that it will have");
    assert_eq!(of("static", "a"), None);
    assert_eq!(of("", "a:b"), None);
    assert_eq!(of("no/such", "a:b"), None);
    fs::copy(scratch.path("b/static"), scratch.path("here")).expect("copied");
    assert_eq!(
        of("here", ":b"),
        Some((scratch.path("here"), Reason::Static)),
        "an empty folder is the current one"
    );
    assert_eq!(of("sh", "/bin"), None);
}
