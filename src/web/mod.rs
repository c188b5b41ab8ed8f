//! The files below one directory, as answers to requests.
//!
//! It blocks: everything here runs on helper threads and knows no connection. A question contains all that
//! the answer depends on, and the answer is complete: head and first bytes together, so that most requests
//! cost one round trip to a helper and one write, and a [`Body`] to read the rest from.

mod answer;
mod body;
mod kept;
mod listing;
mod own;
mod pages;
mod tree;

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use crate::helpers::Lane;
use crate::http::conditional::Conditions;
use crate::http::encoding::{self, Coding};
use crate::http::request::Request;
use crate::http::response::Status;
pub use body::{Body, Cut};
use kept::Kept;
pub use own::{Extent, OwnFile};
pub use pages::{Chunk, DESCRIPTORS_MAX, Pages};
use tree::Tree;

/// What is served, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The directory whose files are served.
    pub root: PathBuf,
    /// Whether directories without an index page are listed.
    pub listings: bool,
    /// Whether symbolic links may lead out of the root.
    pub outside_links: bool,
    /// Whether names that begin with a dot are served and listed.
    pub dot_files: bool,
    /// The value of `Cache-Control`.
    pub cache_control: String,
    /// Further headers of each answer, names and values. They replace the program's own headers of the same
    /// name.
    pub headers: Vec<(String, String)>,
    /// Whether `/` redirects to noVNC's page, which is in the root.
    pub novnc: bool,
    /// Files of the program's own, which are never published.
    pub own: Vec<OwnFile>,
}

impl Default for Settings {
    /// The current directory, served as without any option but `--web`.
    fn default() -> Settings {
        Settings {
            root: PathBuf::from("."),
            listings: true,
            outside_links: false,
            dot_files: false,
            cache_control: "no-cache".into(),
            headers: Vec::new(),
            novnc: false,
            own: Vec::new(),
        }
    }
}

/// The files of one root.
#[derive(Debug)]
pub struct Site {
    settings: Settings,
    tree: Tree,
    kept: Kept,
    /// The separator of the parts of an answer with several ranges. It can't be predicted, so no file can be
    /// made to contain it.
    boundary: String,
    /// Closes files whose answers are over.
    closing: Lane,
}

/// All that an answer depends on, owned.
#[derive(Debug)]
pub struct Question {
    /// Path and query, as they came.
    pub target: String,
    /// Whether the connection continues after the answer, and which version the client was answered in.
    pub options: ResponseOptions,
    conditions: Conditions,
    codings: Vec<Coding>,
    asked: Instant,
}

/// What an answer depends on besides the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseOptions {
    /// The request was HEAD: no body.
    pub head_only: bool,
    /// The connection stays open after the answer.
    pub keep: bool,
    /// 0 or 1: HTTP/1.0 or HTTP/1.1.
    pub minor_version: u8,
}

/// An answer: its first bytes, and where the others come from.
#[derive(Debug)]
pub struct Response {
    /// The status, for the log.
    pub status: Status,
    /// What is wrong, if the status is an error; for the log.
    pub reason: Cow<'static, str>,
    /// The head, and after it the first bytes of the body.
    pub bytes: Vec<u8>,
    /// How many of them are the head.
    pub head_len: usize,
    /// The whole body, the first bytes included; `None` when they are all.
    pub body: Option<Body>,
}

impl Response {
    /// The length of the whole body in bytes, as it is sent; for HEAD 0.
    pub fn body_length(&self) -> u64 {
        let here = (self.bytes.len() - self.head_len) as u64;
        self.body.as_ref().map_or(here, Body::length)
    }

    /// Adds a field to the complete head.
    pub fn add_field(&mut self, name: &str, value: &str) {
        let field = format!("{name}: {value}\r\n");
        // Before the empty line.
        let at = self.head_len.saturating_sub(2);
        self.bytes.splice(at..at, field.bytes());
        self.head_len += field.len();
    }
}

impl Site {
    /// The site of these settings.
    ///
    /// # Errors The root is not a directory, or is not accessible.
    pub fn open(settings: Settings) -> io::Result<Site> {
        let mut tree = Tree::open(&settings.root, settings.outside_links)?;
        tree.own.clone_from(&settings.own);
        let closing = Lane::new("closing", CLOSERS_MAX, CLOSINGS_MAX);
        Ok(Site { settings, tree, kept: Kept::default(), boundary: answer::new_boundary(), closing })
    }
}

impl Question {
    /// What `request` asks for.
    pub fn new(request: &Request<'_>, options: ResponseOptions) -> Question {
        Question {
            target: request.target.to_owned(),
            options,
            conditions: Conditions::of(request),
            codings: encoding::accepted(request.list("accept-encoding")),
            asked: Instant::now(),
        }
    }
}

/// Threads that close files.
const CLOSERS_MAX: usize = 2;

/// Files that wait to be closed: more than a process can have open, or nearly so.
const CLOSINGS_MAX: usize = 1 << 20;
