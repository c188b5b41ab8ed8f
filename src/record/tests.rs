//! Recordings on a real disk, without connections.

use super::*;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

const PATIENCE: Duration = Duration::from_secs(20);

/// A directory of the test's own.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("websockify-record-{name}-{}", std::process::id()));
        fs::create_dir(&path).expect("a directory");
        Scratch(path)
    }

    fn recorder(&self, files_max: usize) -> (Recorder, Arc<Log>) {
        let log = Arc::new(Log::in_memory(false));
        (Recorder::new(self.0.join("np"), files_max, Arc::clone(&log)), log)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn begin(recorder: &Recorder, number: u64) -> (Recording, Receiver<()>) {
    let (sender, wakes) = channel();
    let recording = recorder.begin(number, Some("127.0.0.1".into()), Box::new(move || _ = sender.send(())));
    (recording, wakes)
}

fn content(path: &Path) -> String {
    fs::read_to_string(path).expect("a recording")
}

/// The milliseconds of each line made 0.
fn timeless(text: &str) -> String {
    let of_line = |line: &str| match line.as_bytes() {
        [b'\'', mark @ (b'{' | b'}'), ..] => {
            let rest = line[2..].trim_start_matches(|sign: char| sign.is_ascii_digit());
            format!("'{}0{rest}", char::from(*mark))
        }
        _ => line.to_owned(),
    };
    text.split_inclusive('\n').map(of_line).collect()
}

#[test]
fn a_recording_is_what_the_player_of_novnc_loads() {
    let scratch = Scratch::new("player");
    let (recorder, log) = scratch.recorder(8);
    let (recording, wakes) = begin(&recorder, 7);
    wakes.recv_timeout(PATIENCE).expect("the file is opened");
    assert!(recording.is_opened());
    recording.write(Mark::Down, [&b"RFB 003.008\n"[..]]);
    recording.write(Mark::Up, [&b"RFB 003.008\n"[..], b"", b"a'b\"c\\d{e}f</script>"]);
    recording.write(Mark::Down, [&[1, 1][..]]);
    let path = scratch.0.join("np.7");
    drop(recording);
    recorder.flush(PATIENCE);
    let expected = "var VNC_frame_data = [\n'{0{RFB 003.008\\n',\n'}0}RFB 003.008\\n',\n'}0}',\n\
                    '}0}a\\'b\"c\\\\d{e}f</script>',\n'{0{\\x01\\x01',\n'EOF'];\n";
    assert_eq!(timeless(&content(&path)), expected);
    assert!(log.take_lines().contains(&format!("opening record file: {}\n", path.display())));
    assert_eq!(recorder.counts(), (1, 0));
}

#[test]
fn a_long_queue_is_full_and_a_wake_says_when_it_no_longer_is() {
    let scratch = Scratch::new("full");
    let (recorder, _log) = scratch.recorder(8);
    let (recording, wakes) = begin(&recorder, 1);
    wakes.recv_timeout(PATIENCE).expect("the file is opened");
    let payload: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
    let mut written = 0;
    for _ in 0..200 {
        while !recording.is_full() {
            recording.write(Mark::Down, [payload.as_slice()]);
            written += 1;
        }
        // A wake may have been for an earlier state.
        while recording.held_bytes() >= QUEUE_BYTES {
            wakes.recv_timeout(PATIENCE).expect("room");
        }
    }
    drop(recording);
    recorder.flush(PATIENCE);
    let text = content(&scratch.0.join("np.1"));
    assert_eq!(text.lines().count(), written + 2);
    assert!(text.ends_with("\n'EOF'];\n"));
}

#[test]
fn a_session_that_found_the_queue_full_is_told_when_there_is_room() {
    let scratch = Scratch::new("found-full");
    let (recorder, _log) = scratch.recorder(8);
    let (recording, wakes) = begin(&recorder, 1);
    wakes.recv_timeout(PATIENCE).expect("the file is opened");
    let release = recorder.hang();
    // Each thread of the lane has to take its gate before there is work for the session.
    let deadline = Instant::now() + PATIENCE;
    while recorder.0.lane.has_waiting() {
        assert!(Instant::now() < deadline, "all threads hang");
        std::thread::yield_now();
    }
    for _ in 0..2 {
        recording.write(Mark::Down, [&[b'a'; QUEUE_BYTES / 2][..]]);
    }
    assert!(recording.is_full(), "so the session is not read");
    // The disk takes all of it before the session looks how much is held, which is the next that it does.
    drop(release);
    while recording.0.queued.load(Ordering::SeqCst) > 0 {
        assert!(Instant::now() < deadline, "it is written");
        std::thread::yield_now();
    }
    assert_eq!(recording.held_bytes(), 0);
    wakes.recv_timeout(Duration::from_secs(2)).expect("nothing else would ever say that there is room");
}

#[test]
fn what_is_written_while_a_recording_fails_does_not_count_for_ever() {
    let scratch = Scratch::new("fail-race");
    let (recorder, _log) = scratch.recorder(1000);
    let payload = vec![0; QUEUE_BYTES];
    for number in 0..300 {
        let (recording, wakes) = begin(&recorder, number);
        wakes.recv_timeout(PATIENCE).expect("the file is opened");
        let session = Arc::clone(&recording.0);
        std::thread::scope(|scope| {
            let held = lock(&session.queue);
            // The writer has seen that nothing has failed, and waits for the queue when something does.
            scope.spawn(|| recording.write(Mark::Up, [payload.as_slice()]));
            std::thread::sleep(Duration::from_millis(1));
            scope.spawn(|| session.fail(&"test"));
            while !session.is_over() {
                std::thread::yield_now();
            }
            drop(held);
        });
        assert!(!recording.is_full(), "round {number}: it is over, and would stop the reading for ever");
    }
}

#[test]
fn what_cannot_be_opened_is_said_once_and_counted() {
    let scratch = Scratch::new("missing");
    let log = Arc::new(Log::in_memory(false));
    let recorder = Recorder::new(scratch.0.join("missing/np"), 8, Arc::clone(&log));
    let (recording, wakes) = begin(&recorder, 3);
    wakes.recv_timeout(PATIENCE).expect("it was tried");
    assert!(recording.is_over());
    recording.write(Mark::Up, [&b"text"[..]]);
    assert_eq!(recording.held_bytes(), 0);
    drop(recording);
    recorder.flush(PATIENCE);
    let lines = log.take_lines();
    assert_eq!(lines.matches("np.3 ended: [Errno 2] No such file or directory").count(), 1, "{lines}");
    assert_eq!((lines.lines().count(), recorder.counts()), (1, (1, 1)));
}

#[test]
fn there_are_never_more_files_than_allowed() {
    let scratch = Scratch::new("files");
    let (recorder, log) = scratch.recorder(2);
    let (first, _wakes) = begin(&recorder, 1);
    let (_second, _wakes) = begin(&recorder, 2);
    let (third, _wakes) = begin(&recorder, 3);
    assert!(!first.is_over() && third.is_over() && third.is_opened());
    assert!(log.take_lines().contains("np.3 ended: as many recordings as there may be are open"));
    drop((first, third));
    let deadline = Instant::now() + PATIENCE;
    while begin(&recorder, 4).0.is_over() {
        assert!(Instant::now() < deadline, "the first one's place is free at some time");
        std::thread::yield_now();
    }
}

#[test]
fn a_recording_that_is_given_up_keeps_what_was_written_and_its_last_line() {
    let scratch = Scratch::new("given-up");
    let (recorder, log) = scratch.recorder(2);
    let (recording, wakes) = begin(&recorder, 1);
    wakes.recv_timeout(PATIENCE).expect("the file is opened");
    recording.write(Mark::Down, [&b"text"[..]]);
    let path = scratch.0.join("np.1");
    let deadline = Instant::now() + PATIENCE;
    while !content(&path).contains("text") {
        assert!(Instant::now() < deadline, "the lane writes by itself");
        std::thread::yield_now();
    }
    recording.give_up();
    recording.give_up();
    recording.write(Mark::Down, [&b"more"[..]]);
    drop(recording);
    recorder.flush(PATIENCE);
    assert_eq!(timeless(&content(&path)), "var VNC_frame_data = [\n'{0{text',\n'EOF'];\n");
    let lines = log.take_lines();
    assert_eq!(lines.matches("np.1 ended: the disk has taken nothing for too long").count(), 1, "{lines}");
}

#[test]
fn many_sessions_are_recorded_each_in_its_own_order() {
    let scratch = Scratch::new("many");
    let (recorder, _log) = scratch.recorder(64);
    let recordings: Vec<_> = (1..=40).map(|number| begin(&recorder, number).0).collect();
    for round in 0..50 {
        for (number, recording) in recordings.iter().enumerate() {
            recording.write(Mark::Up, [format!("{number} {round}").as_bytes()]);
        }
    }
    drop(recordings);
    recorder.flush(PATIENCE);
    for number in 0..40 {
        let lines: String = (0..50).map(|round| format!("'}}0}}{number} {round}',\n")).collect();
        let text = content(&scratch.0.join(format!("np.{}", number + 1)));
        assert_eq!(timeless(&text), format!("var VNC_frame_data = [\n{lines}'EOF'];\n"));
    }
}

#[test]
fn a_queue_gives_back_what_was_put_into_it() {
    for length in [0, 1, 127, 128, 16_383, 16_384, 1 << 21, usize::from(u16::MAX)] {
        let mut bytes = Vec::new();
        encode_length(length, &mut bytes);
        bytes.resize(bytes.len() + length, 7);
        bytes.push(9);
        let (payload, rest) = decode_payload(&bytes).expect("whole");
        assert_eq!((payload.len(), rest), (length, &[9][..]));
        assert_eq!(decode_payload(&bytes[..length]), None, "cut");
    }
    let moment = Moment { mark: Mark::Up, ms: 1 << 40, gap: 3, length: 77 };
    let bytes = [&moment.encode()[..], b"???", b"payload"].concat();
    assert_eq!(Moment::decode(&bytes), Some((moment, &b"payload"[..])));
    assert_eq!(Moment::decode(&bytes[..MOMENT_BYTES + 2]), None, "cut");
}
