//! The site as a service: questions are answered and files read on a lane of helper threads, so that a
//! hanging file system blocks a thread and no reactor.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::answer::Lists;
use super::{Body, Cut, OwnFile, Question, Response, ResponseOptions, Settings, Site, tree};
use crate::flight::{Asked, ReplyTo};
use crate::helpers::{self, Job, Lane};
use crate::http::refusal::Refusal;

/// The files of one root, and the threads that read them.
#[derive(Debug)]
pub struct Pages {
    site: Arc<Site>,
    lane: Lane,
    /// Makes directory listings, which can take many times as long as anything else.
    lists: Lane,
}

/// The next bytes of a body, or that they can't be read.
pub type Chunk = Result<Vec<u8>, Cut>;

impl Pages {
    /// Serves the site of these settings.
    ///
    /// # Errors
    /// The root is not a directory, or is out of reach.
    pub fn open(settings: Settings) -> io::Result<Pages> {
        let site = Arc::new(Site::open(settings)?);
        let lane = Lane::new("files", THREADS_MAX, JOBS_MAX);
        Ok(Pages { site, lane, lists: Lane::new("lists", LIST_THREADS_MAX, JOBS_MAX) })
    }

    /// The program's own files that lie below the root now. Blocks; for start-up only.
    pub fn own_below_root(&self) -> Vec<OwnFile> {
        self.site.tree.own_below_root()
    }

    /// Asks for the answer to a plain request.
    pub fn ask(&self, question: Question, to: ReplyTo<Box<Response>>) -> Asked<Box<Response>> {
        let (site, lists) = (Arc::clone(&self.site), self.lists.clone());
        self.submit(Box::new(move || match site.answer(&question, Lists::Kept) {
            Some(response) => to(Box::new(response)),
            None => make_list(site, &lists, question, to),
        }))
    }

    /// Asks for at most `most` bytes of `body` from `at` on. They come in `space`, whose content is
    /// discarded.
    pub fn read(
        &self,
        body: Arc<Body>,
        at: u64,
        most: usize,
        mut space: Vec<u8>,
        to: ReplyTo<Chunk>,
    ) -> Asked<Chunk> {
        space.clear();
        self.submit(Box::new(move || {
            let result = body.read(at, most, &mut space);
            to(result.map(|()| space));
        }))
    }

    /// The answer that says what is wrong. This does not block.
    pub fn refuse(&self, refusal: &Refusal, options: ResponseOptions) -> Response {
        self.site.refuse(refusal, options)
    }

    fn submit<T>(&self, job: Job) -> Asked<T> {
        match self.lane.submit(job) {
            Ok(()) => Asked::Later,
            Err(_) => Asked::Busy,
        }
    }
}

/// Has a listing made for an answer. Those who ask for the same one meanwhile wait for the thread, and find
/// it cached.
fn make_list(site: Arc<Site>, lists: &Lane, question: Question, to: ReplyTo<Box<Response>>) {
    let waiting = Arc::new(Mutex::new(Some(to)));
    let (options, of_job, of_site) = (question.options, Arc::clone(&waiting), Arc::clone(&site));
    let job = move || {
        helpers::give_way();
        if let (Some(response), Some(to)) = (of_site.answer(&question, Lists::Made), taken(&of_job)) {
            to(Box::new(response));
        }
    };
    if lists.submit(Box::new(job)).is_err()
        && let Some(to) = taken(&waiting)
    {
        to(Box::new(site.refuse(&Refusal::new(503, "Too many directory listings are being made"), options)));
    }
}

fn taken<T>(from: &Mutex<Option<T>>) -> Option<T> {
    from.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// A single thread makes listings, so that they take at most one processor, at a low priority.
const LIST_THREADS_MAX: usize = 1;

/// Threads for files. A file system that hangs holds one for each request.
const THREADS_MAX: usize = 7;

/// Descriptors that the threads can have open at a time.
pub const DESCRIPTORS_MAX: usize = (THREADS_MAX + LIST_THREADS_MAX) * tree::DESCRIPTORS_MAX;

/// Requests that wait for a thread. More are answered with 503.
const JOBS_MAX: usize = 1024;
