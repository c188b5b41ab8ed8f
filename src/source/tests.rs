use super::scratch::Scratch;
use super::*;
use std::cell::Cell;
use std::io::Write;

#[test]
fn a_file_that_has_not_changed_is_not_parsed_again() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "one\n");
    let (file, parsed) = (CachedFile::default(), Cell::new(0));
    let get = || {
        let parse = |bytes: &[u8]| {
            parsed.set(parsed.get() + 1);
            bytes.to_vec()
        };
        file.get(&path, parse).expect("a file")
    };
    for _ in 0..3 {
        assert_eq!(*get(), b"one\n");
    }
    assert_eq!(parsed.get(), 1);
    scratch.file("f", "two\n");
    assert_eq!(*get(), b"two\n");
    assert_eq!(parsed.get(), 2);
    // Replaced by another file of the same size and time.
    let times = fs::FileTimes::new().set_modified(fs::metadata(&path).unwrap().modified().unwrap());
    let other = scratch.file("g", "six\n");
    File::options().write(true).open(&other).unwrap().set_times(times).unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(*get(), b"six\n");
}

/// Two changes of the same size within one step of the kernel's clock leave the same time stamps.
#[test]
fn a_file_that_was_changed_just_now_is_looked_at_again() {
    let scratch = Scratch::new();
    let path = scratch.path("f");
    let file = CachedFile::default();
    for round in 0..200 {
        let text = format!("{:03}\n", round);
        // In place, so that the inode stays.
        fs::write(&path, &text).unwrap();
        let found = file.get(&path, <[u8]>::to_vec).expect("a file");
        assert_eq!(*found, text.as_bytes(), "round {round}");
    }
}

/// Newer kernels give a file that was looked at a finer time stamp for its next change, so that the test above
/// can't fail there; older ones and network file systems don't.
#[test]
fn what_may_change_without_a_trace_is_not_kept() {
    let scratch = Scratch::new();
    let path = scratch.path("f");
    fs::write(&path, "one\n").unwrap();
    let file = CachedFile::default();
    file.get(&path, <[u8]>::to_vec).expect("a file");
    assert!(lock(&file.kept).as_ref().is_some_and(|kept| kept.identity.is_none()));
    thread::sleep(GRANULE);
    file.get(&path, <[u8]>::to_vec).expect("a file");
    assert!(lock(&file.kept).as_ref().is_some_and(|kept| kept.identity.is_some()));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let changed = |seconds: u64, nanoseconds: i64| Identity {
        changed: (i64::try_from(now.as_secs() - seconds).unwrap(), nanoseconds),
        ..Identity::of(&fs::metadata(&path).unwrap())
    };
    assert!(changed(0, 0).is_young() && changed(1, 0).is_young(), "a file system without nanoseconds");
    assert!(!changed(4, 0).is_young() && !changed(1, 1).is_young());
    let ahead = Identity { changed: (i64::MAX, 1), ..changed(0, 0) };
    assert!(!ahead.is_young(), "a clock that is ahead");
}

#[test]
fn half_a_line_is_never_taken_for_a_whole_one() {
    let scratch = Scratch::new();
    let path = scratch.path("f");
    let mut writer = File::create(&path).unwrap();
    writer.write_all(b"a: host:5900\nb: host:59").unwrap();
    let reader = {
        let path = path.clone();
        thread::spawn(move || read(&path).expect("a file").0)
    };
    thread::sleep(Duration::from_millis(30));
    writer.write_all(b"00\n").unwrap();
    assert_eq!(reader.join().unwrap(), b"a: host:5900\nb: host:5900\n");
}

#[test]
fn a_last_line_without_an_end_counts_once_the_file_is_left_alone() {
    let scratch = Scratch::new();
    let path = scratch.path("f");
    fs::write(&path, "a: host:5900").unwrap();
    assert_eq!(read(&path).expect("a file").0, b"a: host:5900");
    fs::write(&path, "").unwrap();
    assert_eq!(read(&path).expect("a file").0, b"");
}

#[test]
fn a_file_that_never_rests_loses_only_its_last_line() {
    let scratch = Scratch::new();
    let path = scratch.path("f");
    fs::write(&path, "a: host:5900\nb: host:59").unwrap();
    let (done, rests) = std::sync::mpsc::channel::<()>();
    let writer = {
        let path = path.clone();
        thread::spawn(move || {
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            while rests
                .recv_timeout(Duration::from_millis(5))
                .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                file.write_all(b"x").unwrap();
            }
        })
    };
    let (bytes, identity) = read(&path).expect("a file");
    drop(done);
    writer.join().unwrap();
    assert_eq!((bytes.as_slice(), identity), (&b"a: host:5900\n"[..], None));
}

#[test]
fn what_is_no_regular_file_is_not_opened() {
    let scratch = Scratch::new();
    let fifo = scratch.fifo("fifo");
    let file = CachedFile::default();
    for path in [fifo.as_path(), scratch.dir(), Path::new("/dev/null"), Path::new("/dev/tty")] {
        let fault = file.get(path, <[u8]>::to_vec).expect_err("no regular file");
        assert_eq!(fault.to_string(), "not a regular file", "{}", path.display());
    }
    let fault = file.get(&scratch.path("absent"), <[u8]>::to_vec).expect_err("no file");
    assert!(fault.is_missing() && fault.to_string() == "not found");
    std::os::unix::fs::symlink("absent", scratch.path("dangling")).unwrap();
    assert!(file.get(&scratch.path("dangling"), <[u8]>::to_vec).expect_err("no file").is_missing());
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "");
    File::options().write(true).open(&path).unwrap().set_len(BYTES_MAX + 1).unwrap();
    let fault = CachedFile::default().get(&path, <[u8]>::to_vec).expect_err("too large");
    assert_eq!(fault.to_string(), "larger than 64 MiB");
}

#[test]
fn an_argument_in_a_file_loses_its_line_end_and_its_mark() {
    let scratch = Scratch::new();
    for (text, expected) in [
        (&b"secret\n"[..], &b"secret"[..]),
        (b"secret", b"secret"),
        (b"secret\r\n", b"secret"),
        (b"\xef\xbb\xbfsecret\n", b"secret"),
        (b" secret \n\n", b" secret \n"),
        (b"\xff\n", b"\xff"),
        (b"", b""),
    ] {
        assert_eq!(read_argument(&scratch.file("f", text)).expect("a file"), expected);
    }
    assert!(read_argument(scratch.dir()).is_err());
    assert!(read_argument(&scratch.path("absent")).expect_err("no file").is_missing());
}

#[test]
fn an_argument_may_come_through_a_pipe() {
    let scratch = Scratch::new();
    let path = scratch.fifo("fifo");
    let writer = {
        let path = path.clone();
        // Opened for both, so that the writer does not wait for the reader.
        let mut pipe = OpenOptions::new().read(true).write(true).open(path).unwrap();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            pipe.write_all(b"secret\n").unwrap();
            thread::sleep(Duration::from_millis(50));
        })
    };
    assert_eq!(read_argument(&path).expect("a pipe"), b"secret");
    writer.join().unwrap();
}

#[test]
fn a_relative_path_is_looked_for_at_the_start_and_in_the_web_root() {
    let scratch = Scratch::new();
    let (start, web) = (scratch.path("start"), scratch.path("web"));
    fs::create_dir_all(&start).unwrap();
    fs::create_dir_all(&web).unwrap();
    let place = Place::new(Path::new("tokens"), &start, Some(&web));
    assert_eq!(place.find(), start.join("tokens"));
    fs::write(web.join("tokens"), "").unwrap();
    assert_eq!(place.find(), web.join("tokens"));
    fs::write(start.join("tokens"), "").unwrap();
    assert_eq!(place.find(), start.join("tokens"));
    assert_eq!(Place::new(Path::new("/x"), &start, Some(&web)).find(), Path::new("/x"));
}
