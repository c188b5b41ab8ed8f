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
        while cpu_s(process::id()).expect("/proc is readable") - before < 0.005 {
            sum = block.iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)));
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
