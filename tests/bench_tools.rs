//! The parts of the end-to-end bench that can be wrong in silence: what its verification sees, how it counts
//! CPU time, and its statistics. They are tested here because a bench without the harness runs no tests.

#[path = "../benches/e2e/mod.rs"]
#[allow(dead_code, reason = "the tests use a part of the bench; the bench itself uses all of it")]
mod e2e;

mod block {
    use crate::e2e::block::*;
    use crate::e2e::wire::{KEY, Stripper};

    fn stream(block: &mut Block, blocks: u64) -> Vec<u8> {
        (0..blocks).flat_map(|number| block.next(Cursor { number, at: 0 }, usize::MAX).to_vec()).collect()
    }

    #[test]
    fn every_wrapping_carries_the_same_payload() {
        for message in [64, 1024, 64 * 1024, 1024 * 1024] {
            let bare = stream(&mut Block::new(message, Wrapping::Bare), 3);
            let framed = stream(&mut Block::new(message, Wrapping::ServerFrames), 3);
            let mut payload = Vec::new();
            let fed = Stripper::default().feed(&framed, |piece| {
                payload.extend_from_slice(piece);
                Ok(())
            });
            assert!(fed.is_ok() && payload == bare);

            let masked = stream(&mut Block::new(message, Wrapping::ClientFrames), 3);
            let header = framed.len() / (bare.len() / message) - message;
            let unmasked: Vec<u8> = masked
                .chunks(message + header + 4)
                .flat_map(|frame| frame[header + 4..].iter().enumerate().map(|(at, byte)| byte ^ KEY[at % 4]))
                .collect();
            assert!(unmasked == bare);
        }
    }

    #[test]
    fn a_lost_block_and_a_swapped_byte_are_seen() {
        let mut block = Block::new(1024, Wrapping::Bare);
        let good = stream(&mut block, 3);
        let length = block.len();
        for piece in [1, 7, 1000, length] {
            let mut cursor = Cursor::default();
            assert!(good.chunks(piece).all(|data| block.check(&mut cursor, data)));
            assert_eq!((cursor.number, cursor.at), (3, 0));
        }
        let lost = [&good[..length], &good[2 * length..]].concat();
        assert!(!block.check(&mut Cursor::default(), &lost));
        let mut bent = good.clone();
        bent[2 * length + 99] ^= 1;
        assert!(!block.check(&mut Cursor::default(), &bent));
    }
}

mod wire {
    use crate::e2e::wire::*;

    #[test]
    fn a_stream_of_frames_is_stripped_at_every_split() {
        let payloads: [&[u8]; 4] = [&[1; 3], &[], &[2; 126], &[3; 70_000]];
        let mut wire = Vec::new();
        for payload in payloads {
            put_frame(&mut wire, payload, None);
        }
        for split in (0..wire.len()).filter(|at| *at < 200 || *at % 997 == 0) {
            let (mut stripper, mut out) = (Stripper::default(), Vec::new());
            for piece in [&wire[..split], &wire[split..]] {
                let fed = stripper.feed(piece, |bytes| {
                    out.extend_from_slice(bytes);
                    Ok(())
                });
                assert!(fed.is_ok());
            }
            assert!(out == payloads.concat(), "split at {split}");
            assert_eq!(stripper.frames, 4);
        }
    }

    #[test]
    fn a_close_where_data_is_due_is_an_error() {
        assert!(Stripper::default().feed(&SERVER_CLOSE, |_| Ok(())).is_err());
    }
}

mod stats {
    use crate::e2e::stats::*;

    #[test]
    fn medians_and_quantiles_are_taken_from_the_sorted_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan() && quantile(&[], 0.5).is_nan());
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(
            (quantile(&hundred, 0.5), quantile(&hundred, 0.99), quantile(&hundred, 1.0)),
            (50.0, 99.0, 100.0)
        );
        assert_eq!(quantile(&hundred, 0.0), 1.0);
    }

    #[test]
    fn the_interval_encloses_the_median_and_repeats() {
        let theirs = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        let ours = [1.1, 2.0, 3.6, 4.0, 5.0, 6.3, 7.7];
        let ratio = Ratio::of_pairs(&ours, &theirs).expect("seven pairs");
        assert!((ratio.median - 1.05).abs() < 1e-9, "{ratio:?}");
        assert!(
            ratio.low >= 1.0 && ratio.low <= ratio.median && ratio.high >= ratio.median && ratio.high <= 1.2
        );
        assert_eq!(Ratio::of_pairs(&ours, &theirs), Some(ratio));
        assert_eq!(Ratio::of_pairs(&[], &[]), None);
        assert_eq!(Ratio::of_pairs(&[1.0], &[0.0]), None);
    }
}

mod procfs {
    use crate::e2e::procfs::*;
    use std::process::{self, Command};

    #[test]
    fn a_tree_holds_its_root_and_its_children() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep is everywhere");
        let found = tree(process::id()).expect("/proc is readable");
        let killed = child.kill().and_then(|()| child.wait());
        assert!(found[0] == process::id() && found.contains(&child.id()));
        assert!(killed.is_ok());
    }

    #[test]
    fn work_shows_as_cpu_time_and_memory_as_private_bytes() {
        let held_before = private_bytes(process::id()).expect("/proc is readable");
        // Far more than the tests beside this one hold and give back meanwhile.
        let block = vec![1u8; 512 << 20];
        assert!(private_bytes(process::id()).expect("/proc is readable") >= held_before + (256 << 20));
        let before = cpu_s(process::id()).expect("/proc is readable");
        let mut sum = 0u64;
        loop {
            sum = block.iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)));
            if cpu_s(process::id()).expect("/proc is readable") - before >= 0.005 {
                break;
            }
        }
        assert!(sum > 0);
    }
}

mod syscalls {
    use crate::e2e::syscalls::*;

    #[test]
    fn a_summary_is_read_with_and_without_errors() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
            50.00    0.000200           1       200           sendto\n \
            50.00    0.000200           1       100        10 recvfrom\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.000400           1       300        10 total\n";
        let calls = parse(table);
        assert_eq!(calls.len(), 2);
        assert_eq!((calls["sendto"], calls["recvfrom"]), (200, 100));
    }
}

mod line {
    use crate::e2e::kit::Kit;
    use crate::e2e::line::Dialer;
    use crate::e2e::wire::put_frame;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::thread;

    /// Reads a message, and sends it back with the end right behind it.
    fn serve(listener: &TcpListener, config: ServerConfig, bytes: usize) {
        let (stream, _) = listener.accept().expect("a client comes");
        let session = ServerConnection::new(Arc::new(config)).expect("a usable configuration");
        let mut stream = StreamOwned::new(session, stream);
        let mut message = vec![0; bytes];
        stream.read_exact(&mut message).expect("the message is whole");
        stream.conn.set_buffer_limit(None);
        stream.conn.writer().write_all(&message).expect("there is room");
        stream.conn.send_close_notify();
        stream.flush().expect("the client reads");
        // The socket stays open: the end is the session's.
        let _ = stream.sock.read(&mut [0; 64]);
    }

    #[test]
    fn a_tls_line_carries_what_is_written_before_the_handshake_and_sees_the_end_behind_the_data() {
        let kit = Kit::make().expect("a directory");
        let Ok(tls) = &kit.tls else {
            eprintln!("not tested: openssl is not here");
            return;
        };
        let read = |name: &str| kit.path(name);
        let cert = CertificateDer::from_pem_file(read("cert.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(read("key.pem")).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert], key);
        let config = config.expect("a matching pair");
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let addr = listener.local_addr().expect("an address");
        let mut message = Vec::new();
        put_frame(&mut message, &[7; 100_000], None);
        let bytes = message.len();
        let server = thread::spawn(move || serve(&listener, config, bytes));

        let dialer = Dialer { addr, tls: Some(Arc::clone(tls)) };
        let mut line = dialer.line(TcpStream::connect(addr).expect("a server")).expect("a line");
        line.set_ready(true);
        assert_eq!(line.write(&message).expect("no fault"), bytes);
        let (mut back, mut buffer) = (Vec::new(), vec![0; 1000]);
        loop {
            // The stream blocks, so there is always something to wait for.
            line.set_ready(back.len() < bytes);
            match line.read(&mut buffer).expect("no fault") {
                Some(0) => break,
                Some(count) => back.extend_from_slice(&buffer[..count]),
                None => assert!(back.len() < bytes, "the end came with the data and is not seen"),
            }
        }
        assert!(back == message);
        drop(line);
        server.join().expect("the server is content");
    }
}

mod compared {
    use crate::e2e::compare::{ACTIVE, Column, Row};
    use crate::e2e::demands::{Verdict, verdicts};
    use crate::e2e::peers::{OURS, PLAIN, PYTHON, Role};
    use crate::e2e::plots::draw;
    use crate::e2e::stats::Ratio;

    fn row(trial: &str, peer: &'static str, role: Role, figure: &'static str, values: &[f64]) -> Row {
        let column = Column {
            name: figure,
            values: values.to_vec(),
            median: values[0],
            comparable: true,
            ratio: None,
        };
        Row {
            trial: trial.into(),
            sessions: 1,
            is_scaled_down: false,
            peer,
            role,
            command: Vec::new(),
            figures: vec![column],
            failure: None,
        }
    }

    fn found<'v>(verdicts: &'v [Verdict], demand: &str) -> &'v Verdict {
        verdicts.iter().find(|verdict| verdict.demand.starts_with(demand)).expect("it is judged")
    }

    #[test]
    fn a_demand_is_judged_by_its_interval_round_by_round() {
        let judge = |ours: &[f64]| {
            let rows = [
                row("ws/down-64k", OURS, Role::Ours, "CPU s/GiB", ours),
                row("ws/down-64k", PLAIN, Role::Yardstick, "CPU s/GiB", &[1.0, 2.0, 1.0, 2.0, 1.0]),
            ];
            let verdicts = verdicts(&rows);
            assert_eq!(verdicts.len(), 1, "only what was run is judged");
            (verdicts[0].word, verdicts[0].reached.expect("both ran").median)
        };
        assert_eq!(judge(&[1.0, 2.0, 1.0, 2.0, 1.0]), ("reached", 1.0));
        assert_eq!(judge(&[1.0, 2.0, 1.0, 2.4, 1.2]), ("reached, not surely", 1.0));
        assert_eq!(judge(&[1.0, 2.0, 1.2, 2.4, 1.2]), ("missed, not surely", 1.2));
        assert_eq!(judge(&[1.2, 2.4, 1.2, 2.4, 1.2]), ("missed", 1.2));
    }

    #[test]
    fn a_figure_that_is_missing_is_said_to_be() {
        let rows = [row("ws/churn", OURS, Role::Ours, "CPU us/opening", &[1.0])];
        assert_eq!(verdicts(&rows)[0].word, "not measured");
    }

    #[test]
    fn a_failure_of_either_is_no_success_and_a_peers_own_affair() {
        let figure = "CPU s/GiB";
        for failing in [OURS, PLAIN] {
            let mut rows = [
                row("ws/down-64k", OURS, Role::Ours, figure, &[1.0, 1.0]),
                row("ws/down-64k", PLAIN, Role::Yardstick, figure, &[2.0, 2.0]),
            ];
            let failed = rows.iter_mut().find(|row| row.peer == failing).expect("it is there");
            failed.failure = Some("the proxy hung up".into());
            assert_eq!(verdicts(&rows)[0].word, "failed");
        }
        let mut rows = [
            row("ws/down-64k", OURS, Role::Ours, figure, &[1.0, 1.0]),
            row("ws/down-64k", "node", Role::Peer, figure, &[0.5, 0.5]),
        ];
        rows[1].failure = Some("the proxy hung up".into());
        assert!(verdicts(&rows).iter().all(|verdict| !verdict.demand.starts_with("no peer ahead")));
    }

    #[test]
    fn python_has_to_be_surely_behind_and_other_peers_not_surely_ahead() {
        let rows = |peer, theirs: &[f64]| {
            let ours = row("ws/echo-32b", OURS, Role::Ours, "CPU us/trip", &[1.0, 1.0, 1.0]);
            [ours, row("ws/echo-32b", peer, Role::Peer, "CPU us/trip", theirs)]
        };
        let level = [0.9, 1.1, 0.9];
        assert_eq!(found(&verdicts(&rows(PYTHON, &level)), "less CPU").word, "missed, not surely");
        assert_eq!(found(&verdicts(&rows(PYTHON, &[2.0, 2.0, 2.0])), "less CPU").word, "reached");
        assert_eq!(found(&verdicts(&rows("node", &level)), "no peer ahead").word, "reached");
    }

    #[test]
    fn an_own_ratio_and_a_value_are_judged_by_themselves() {
        let mut active = row("ws/idle-9000", OURS, Role::Ours, ACTIVE, &[50.0]);
        active.figures[0].ratio = Some(Ratio { median: 1.1, low: 1.0, high: 1.15 });
        active.figures.extend(row("", OURS, Role::Ours, "private B/session", &[500.0, 500.0]).figures);
        let verdicts = verdicts(&[active]);
        assert_eq!(found(&verdicts, "p99 of an active").word, "reached");
        assert_eq!(found(&verdicts, "private bytes").word, "missed");
    }

    #[test]
    fn each_peer_that_is_ahead_is_named_and_else_the_nearest() {
        let figure = "CPU us/trip";
        let mut rows = vec![
            row("ws/echo-32b", OURS, Role::Ours, figure, &[2.0, 2.0]),
            row("ws/echo-32b", PYTHON, Role::Peer, figure, &[4.0, 4.0]),
            row("ws/echo-32b", "node", Role::Peer, figure, &[3.0, 3.0]),
            row("ws/echo-32b", PLAIN, Role::Yardstick, figure, &[1.0, 1.0]),
        ];
        let judged = verdicts(&rows);
        let nearest = found(&judged, "no peer ahead");
        assert_eq!((nearest.trial.as_str(), nearest.word), ("ws/echo-32b node", "reached"));
        assert_eq!(found(&judged, "less CPU").trial, "ws/echo-32b python");
        rows.push(row("ws/echo-32b", "websocat", Role::Peer, figure, &[1.0, 1.0]));
        rows.push(row("ws/echo-32b", "other", Role::Peer, figure, &[1.5, 1.5]));
        let judged = verdicts(&rows);
        let ahead: Vec<&str> = judged
            .iter()
            .filter(|verdict| verdict.demand.starts_with("no peer ahead"))
            .map(|verdict| verdict.trial.as_str())
            .collect();
        assert_eq!(ahead, ["ws/echo-32b websocat", "ws/echo-32b other"]);
    }

    #[test]
    fn a_plot_has_a_curve_for_each_proxy_and_a_page_for_light_and_dark() {
        let rows = [
            row("ws/down-4k", OURS, Role::Ours, "CPU s/GiB", &[0.5]),
            row("ws/down-64k", OURS, Role::Ours, "CPU s/GiB", &[0.25]),
            row("ws/down-4k", PLAIN, Role::Yardstick, "CPU s/GiB", &[0.6]),
            row("ws/down-64k", PLAIN, Role::Yardstick, "CPU s/GiB", &[0.3]),
            row("ws/churn", OURS, Role::Ours, "CPU us/opening", &[60.0]),
            Row { is_scaled_down: true, ..row("ws/down-64k", PYTHON, Role::Peer, "CPU s/GiB", &[0.7]) },
            Row { failure: Some("!".into()), ..row("ws/down-64k", "node", Role::Peer, "CPU s/GiB", &[0.7]) },
        ];
        let plots = draw(&rows);
        assert_eq!(plots.iter().map(|plot| plot.0).collect::<Vec<_>>(), ["down-cpu"]);
        let picture = &plots[0].1;
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        assert!(picture.contains("prefers-color-scheme: dark") && !picture.contains("NaN"));
        // Two curves and their two samples in the legend.
        assert_eq!(picture.matches("<polyline").count(), 4);
        assert_eq!(picture.matches(">plain<").count(), 1);
    }
}

mod found {
    use crate::e2e::found::version;
    use std::process::Command;

    #[test]
    fn a_version_is_the_first_line_with_a_number_in_it() {
        let say = |script: &str| version(Command::new("sh").args(["-c", script]));
        assert_eq!(say("echo a tool; echo; echo of version 1.2"), Ok("of version 1.2".into()));
        assert_eq!(say("echo 1.2; false"), Err("1.2".into()));
        assert_eq!(say("echo no number; echo at all >&2"), Err("at all".into()));
    }
}
