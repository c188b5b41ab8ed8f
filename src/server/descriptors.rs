//! How the limit of open files is shared out: how many connections and recordings there may be, so that one
//! too many gets a 503 instead of hanging in a backlog that is never accepted from.

use std::num::NonZero;

use crate::admin;
use crate::cli::{Config, Sessions};
use crate::gate;
use crate::limit::Places;
use crate::log::{Log, describe};
use crate::net::pipe::KEPT_MAX;
use crate::plugin;
use crate::sys::{self, process};
use crate::token::Asks;
use crate::web;

/// What the limit of open files leaves for what comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptors {
    /// Connections at a time.
    pub(super) places: Places,
    /// Connections beyond those that get a 503.
    pub(super) overflow_max: usize,
    /// Pipes that sessions may keep, over all reactors.
    pub(super) pipes_max: usize,
    /// Recordings that are written at a time.
    pub(super) recordings_max: usize,
}

impl Descriptors {
    /// Raises the limit as far as it goes and shares it out. Says in the log how many connections there may be if
    /// that is less than was asked for, and else to whoever asked for `--verbose`.
    ///
    /// # Errors
    /// The limit is too low to serve anybody.
    pub(super) fn share(config: &Config, log: &Log) -> Result<Descriptors, String> {
        let open_files = match sys::raise_open_files() {
            Ok(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
            Err(error) => {
                let error = describe(&error);
                log.warn(format_args!("the limit of open files is unknown, assuming 1024: {error}"));
                1024
            }
        };
        // Without /proc: the listener and the log.
        let taken = process::open_descriptors().map_or(2, |all| {
            all.iter()
                .filter(|number| usize::try_from(**number).is_ok_and(|number| number < open_files))
                .count()
        });
        let shared = Descriptors::of(config, open_files, taken)?;
        let connections_max = shared.places.connections_max as usize;
        match config.max_connections {
            Some(asked) if asked > connections_max => log.warn(format_args!(
                "--max-connections {asked} needs more than the {open_files} open files allowed (ulimit -n): \
                 {connections_max} connections at a time"
            )),
            Some(_) | None => log.debug(format_args!(
                "up to {connections_max} connections at a time (--max-connections; ulimit -n is {open_files})"
            )),
        }
        Ok(shared)
    }

    /// Shares out `open_files`, of which `taken` are open besides the three that every process has.
    fn of(config: &Config, open_files: usize, taken: usize) -> Result<Descriptors, String> {
        let own = STANDARD + taken + config.workers * DESCRIPTORS_OF_REACTOR;
        let room = open_files.saturating_sub(own);
        if room < ROOM_MIN {
            let needed = own + ROOM_MIN;
            return Err(format!(
                "the limit of open files (ulimit -n) is {open_files}, and at least {needed} are needed"
            ));
        }
        let reserve = DESCRIPTORS_RESERVED.min(room / 2);
        // Each connection may need a descriptor for each end, and one for its recording.
        let (each, ending) = match config.record {
            Some(_) => (3, RECORDINGS_ENDING_MAX.min(room / 10)),
            None => (2, 0),
        };
        let services = [tokens_at_most(config), auth_at_most(config), admin_at_most(config)]
            .map(|most| most.min(room / 10));
        // Two descriptors each.
        let pipes_max = KEPT_MAX.min(open_files / 64);
        let others = reserve + ending + services.iter().sum::<usize>() + 2 * pipes_max;
        let most = (room.saturating_sub(others) / each).max(1);
        let (connections_max, open_files) = match config.max_connections {
            Some(asked) if asked <= most => (asked, 0),
            Some(_) | None => (most, open_files),
        };
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let places =
            Places { connections_max: narrow(connections_max), open_files: NonZero::new(narrow(open_files)) };
        Ok(Descriptors {
            places,
            overflow_max: reserve / 4,
            pipes_max,
            recordings_max: connections_max + ending,
        })
    }
}

/// Descriptors that a token plugin can have open.
fn tokens_at_most(config: &Config) -> usize {
    match &config.sessions {
        Sessions::Tokens { plugin, .. } => match plugin.class.asks {
            Asks::Files => 0,
            Asks::Service => gate::DESCRIPTORS_MAX,
            Asks::Program => plugin::DESCRIPTORS_MAX,
        },
        Sessions::Fixed(_) | Sessions::Wrapped { .. } | Sessions::PerSession { .. } => 0,
    }
}

/// Descriptors that an auth plugin can have open.
fn auth_at_most(config: &Config) -> usize {
    match &config.auth {
        Some(auth) if auth.class.is_program => plugin::DESCRIPTORS_MAX,
        Some(_) | None => 0,
    }
}

/// Descriptors that the admin listener can have open.
fn admin_at_most(config: &Config) -> usize {
    if config.admin.is_some() { admin::DESCRIPTORS_MAX } else { 0 }
}

/// Descriptors of every process: standard input, output and error.
const STANDARD: usize = 3;

/// Descriptors of a reactor: its poll, its waker and the two ends of its pipe.
const DESCRIPTORS_OF_REACTOR: usize = 4;

/// With less than that for what comes and goes there is no service: some four connections, of which one looks up a
/// name.
const ROOM_MIN: usize = 16;

/// Descriptors that are not for connections: name lookups, files, clients that get a 503. Half
/// of what there is where that is less.
const DESCRIPTORS_RESERVED: usize = 256;

// What the file lane can open, and clients that get a 503.
const _: () = assert!(web::DESCRIPTORS_MAX + DESCRIPTORS_RESERVED / 4 <= DESCRIPTORS_RESERVED);

/// Recordings whose sessions have ended and whose last bytes are being written, beside those of as many sessions
/// as there may be. A tenth of what there is where that is less.
const RECORDINGS_ENDING_MAX: usize = 64;
