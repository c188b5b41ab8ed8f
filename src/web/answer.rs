//! From a question to an answer: find the file, evaluate the conditions, write the head, read the first
//! bytes.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::fs::{File, Metadata};
use std::hash::{BuildHasher, Hasher};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::body::{Body, Part};
use super::kept::State;
use super::tree::{Entry, Folder, Missing};
use super::{Question, Response, ResponseOptions, Site, listing};
use crate::http::conditional::{Validators, Verdict, date};
use crate::http::encoding::Coding;
use crate::http::mime;
use crate::http::novnc;
use crate::http::range::{self, Selection, Span};
use crate::http::refusal::Refusal;
use crate::http::resource::Resource;
use crate::http::response::{Head, SERVER, Status};

impl Site {
    /// The answer to a question; every error is an answer, too. `None` if it needs a directory listing that
    /// may not be made now.
    pub(super) fn answer(&self, question: &Question, lists: Lists) -> Option<Response> {
        match self.find_in_one_root(question, lists) {
            Ok(response) => response,
            Err(refusal) => Some(self.refuse(&refusal, question.options)),
        }
    }

    /// The result from the directory that the root's path leads to at the end, even if the path was switched
    /// to another one meanwhile and the old one is being removed.
    fn find_in_one_root(&self, question: &Question, lists: Lists) -> Result<Option<Response>, Refusal> {
        let mut turns = 0;
        loop {
            let root = self.tree.root()?;
            let found = self.find(question, &root, lists);
            if turns == TURNS_MAX || !self.tree.has_turned(&root) {
                return found;
            }
            turns += 1;
        }
    }

    /// An answer that says what is wrong in a line of text. This does not block.
    pub fn refuse(&self, refusal: &Refusal, options: ResponseOptions) -> Response {
        let mut head = self.head(refusal.status, options);
        for (name, value) in &refusal.headers {
            head.field(name, value);
        }
        if !refusal.status.has_body() {
            let bytes = head.finish();
            return Response {
                status: refusal.status,
                reason: "".into(),
                head_len: bytes.len(),
                bytes,
                body: None,
            };
        }
        let text = format!("{}\n", refusal.reason);
        self.nosniff(&mut head);
        head.field("Content-Type", "text/plain; charset=utf-8");
        response(refusal.status, refusal.log_words().to_owned(), head, &[text.as_bytes()], options)
    }

    fn find(&self, question: &Question, root: &Folder, lists: Lists) -> Result<Option<Response>, Refusal> {
        let resource =
            Resource::parse(&question.target).map_err(|_| Refusal::new(400, "Path contains NUL"))?;
        if resource.is_hidden() && !self.settings.dot_files {
            let note = "File not found (a name begins with a dot: --web-dot-files)";
            return Err(Refusal::from(Missing::Absent).noted(note));
        }
        if self.settings.novnc && question.target.split(['?', '#']).next() == Some("/") {
            let location = novnc::location(resource.query.as_deref());
            return Ok(Some(self.redirect(Status(302), &location, question.options)));
        }
        match self.tree.descend(root, &resource.names)? {
            Entry::Folder(_) if !resource.slash => {
                Ok(Some(self.redirect(Status(301), &resource.location(), question.options)))
            }
            Entry::Folder(folder) => self.folder(question, &resource, &folder, lists),
            Entry::File(_) if resource.slash => Err(Missing::Absent.into()),
            Entry::File(file) => {
                let (name, way) = resource.names.split_last().ok_or(Missing::Absent)?;
                let sibling = |suffix: &str| {
                    let mut names = way.to_vec();
                    names.push([name, suffix.as_bytes()].concat());
                    self.tree.descend(root, &names)
                };
                self.file(question, name, file, sibling).map(Some)
            }
        }
    }

    /// The directory's index page, or its listing.
    fn folder(
        &self,
        question: &Question,
        resource: &Resource,
        folder: &Folder,
        lists: Lists,
    ) -> Result<Option<Response>, Refusal> {
        for name in INDEX_NAMES {
            match self.tree.find(folder, name.as_bytes()) {
                Ok(Entry::File(file)) => {
                    let sibling = |suffix: &str| self.tree.find(folder, format!("{name}{suffix}").as_bytes());
                    return self.file(question, name.as_bytes(), file, sibling).map(Some);
                }
                Ok(Entry::Folder(_)) | Err(Missing::Absent) => {}
                // There may be an index page, so a listing would be wrong.
                Err(missing @ (Missing::Denied | Missing::Outside | Missing::Busy | Missing::Own)) => {
                    return Err(missing.into());
                }
            }
        }
        if !self.settings.listings {
            return Err(Refusal::new(404, "Not Found"));
        }
        let Some(list) = self.list(question, folder, lists)? else { return Ok(None) };
        let mut head = self.head(Status(200), question.options);
        self.nosniff(&mut head);
        head.field("Content-Type", "text/html; charset=utf-8");
        let beginning = listing::beginning(&resource.shown());
        let parts = [beginning.as_bytes(), list.as_bytes()];
        Ok(Some(response(Status(200), "", head, &parts, question.options)))
    }

    /// A directory's listing; a recent one if nothing has changed.
    fn list(&self, question: &Question, folder: &Folder, lists: Lists) -> Result<Option<Arc<str>>, Refusal> {
        let state = State::of(folder.top())?;
        if let Some(list) = self.kept.get(&state, question.asked) {
            return Ok(Some(list));
        }
        match lists {
            Lists::Kept => Ok(None),
            Lists::Made => {
                let began = Instant::now();
                let list = listing::list(&self.tree, folder, self.settings.dot_files)?.into();
                self.kept.put(state, began, &list);
                Ok(Some(list))
            }
        }
    }

    /// The file, or the form of it that the client prefers.
    fn file(
        &self,
        question: &Question,
        name: &[u8],
        plain: File,
        sibling: impl Fn(&str) -> Result<Entry, Missing>,
    ) -> Result<Response, Refusal> {
        let described = |file: File| file.metadata().map(|metadata| (file, metadata));
        let (plain, metadata) = described(plain).map_err(|_| Missing::Busy)?;
        let compressed = question.codings.iter().find_map(|&coding| {
            let Ok(Entry::File(form)) = sibling(coding.suffix()) else { return None };
            let (form, of_form) = described(form).ok()?;
            // A compressed form that is older than its file was made from another version.
            (written(&of_form) >= written(&metadata)).then_some((form, of_form, Some(coding)))
        });
        let (file, metadata, coding) = compressed.unwrap_or((plain, metadata, None));
        let state = validators(&metadata, SystemTime::now());
        match question.conditions.verdict(&state) {
            Verdict::Failed => return Err(Refusal::new(412, "Precondition Failed")),
            Verdict::NotModified => return Ok(self.not_modified(&state, question.options)),
            Verdict::Go => {}
        }
        let wanted = question.conditions.range(&state).filter(|_| !question.options.head_only);
        let selection = wanted.map_or(Selection::Whole, |value| range::select(value, metadata.len()));
        let page = Page { name, state, length: metadata.len(), coding };
        match selection {
            Selection::Unsatisfiable => {
                let all = format!("bytes */{}", page.length);
                let refusal = Refusal::new(416, "Range Not Satisfiable").with("Content-Range", all);
                Ok(self.refuse(&refusal, question.options))
            }
            Selection::Whole => {
                let mut head = self.page_head(Status(200), &page, question.options);
                head.field("Content-Type", mime::of(name));
                let span = (page.length > 0).then_some(Span { from: 0, len: page.length });
                let body = Body::new(file, span.map(Part::Span).into_iter().collect(), &self.closing);
                streamed(Status(200), head, body, question.options)
            }
            Selection::Spans(spans) => {
                let mut head = self.page_head(Status(206), &page, question.options);
                let parts = match &spans[..] {
                    [span] => {
                        head.field("Content-Type", mime::of(name));
                        head.field("Content-Range", content_range(*span, page.length));
                        vec![Part::Span(*span)]
                    }
                    _ => {
                        let kind = format_args!("multipart/byteranges; boundary={}", self.boundary);
                        head.field("Content-Type", kind);
                        self.multipart(&spans, &page)
                    }
                };
                streamed(Status(206), head, Body::new(file, parts, &self.closing), question.options)
            }
        }
    }

    /// The spans with a small head before each (RFC 9110, 14.6).
    fn multipart(&self, spans: &[Span], page: &Page<'_>) -> Vec<Part> {
        let mut parts = Vec::with_capacity(2 * spans.len() + 1);
        for (at, span) in spans.iter().enumerate() {
            let text = format!(
                "{}--{}\r\nContent-Type: {}\r\nContent-Range: {}\r\n\r\n",
                if at == 0 { "" } else { "\r\n" },
                self.boundary,
                mime::of(page.name),
                content_range(*span, page.length),
            );
            parts.push(Part::Text(text.into_bytes()));
            parts.push(Part::Span(*span));
        }
        parts.push(Part::Text(format!("\r\n--{}--\r\n", self.boundary).into_bytes()));
        parts
    }

    fn redirect(&self, status: Status, location: &str, options: ResponseOptions) -> Response {
        let mut head = self.head(status, options);
        head.field("Location", location);
        response(status, "", head, &[], options)
    }

    fn not_modified(&self, state: &Validators, options: ResponseOptions) -> Response {
        let mut head = self.head(Status(304), options);
        validate(&mut head, state);
        head.field("Vary", "Accept-Encoding");
        let bytes = head.finish();
        Response { status: Status(304), reason: "".into(), head_len: bytes.len(), bytes, body: None }
    }

    /// What answers with a file's bytes have in common.
    fn page_head(&self, status: Status, page: &Page<'_>, options: ResponseOptions) -> Head {
        let mut head = self.head(status, options);
        validate(&mut head, &page.state);
        head.field("Accept-Ranges", "bytes");
        // Other forms are only looked for if the client accepts them, so every answer has this.
        head.field("Vary", "Accept-Encoding");
        if let Some(coding) = page.coding {
            head.field("Content-Encoding", coding.name());
        }
        if !mime::is_recording(page.name) {
            self.nosniff(&mut head);
        }
        head
    }

    /// What all answers have in common.
    fn head(&self, status: Status, options: ResponseOptions) -> Head {
        let mut head = Head::new(status);
        if !self.is_replaced("Server") {
            head.field("Server", SERVER);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        head.field("Date", date(now));
        match (options.minor_version, options.keep) {
            (0, true) => head.field("Connection", "keep-alive"),
            (_, true) => {}
            (_, false) => head.field("Connection", "close"),
        }
        if !self.is_replaced("Cache-Control") {
            head.field("Cache-Control", &self.settings.cache_control);
        }
        for (name, value) in &self.settings.headers {
            head.field(name, value);
        }
        head
    }

    fn nosniff(&self, head: &mut Head) {
        if !self.is_replaced("X-Content-Type-Options") {
            head.field("X-Content-Type-Options", "nosniff");
        }
    }

    /// Whether the operator has set a header of this name.
    fn is_replaced(&self, name: &str) -> bool {
        self.settings.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
    }
}

/// Which listings may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lists {
    /// Only a cached one.
    Kept,
    /// It may be made, which takes a long time.
    Made,
}

/// A file that is about to be sent.
struct Page<'a> {
    /// Its plain name, which decides about its type.
    name: &'a [u8],
    state: Validators,
    length: u64,
    coding: Option<Coding>,
}

/// An answer whose body is in memory.
fn response(
    status: Status,
    reason: impl Into<Cow<'static, str>>,
    mut head: Head,
    body: &[&[u8]],
    options: ResponseOptions,
) -> Response {
    head.field("Content-Length", body.iter().map(|part| part.len()).sum::<usize>());
    let mut bytes = head.finish();
    let head_len = bytes.len();
    if !options.head_only {
        body.iter().for_each(|part| bytes.extend_from_slice(part));
    }
    Response { status, reason: reason.into(), bytes, head_len, body: None }
}

/// An answer whose body is in a file, with its first bytes.
fn streamed(
    status: Status,
    mut head: Head,
    body: Body,
    options: ResponseOptions,
) -> Result<Response, Refusal> {
    head.field("Content-Length", body.length());
    let mut bytes = head.finish();
    let head_len = bytes.len();
    if options.head_only {
        return Ok(Response { status, reason: "".into(), bytes, head_len, body: None });
    }
    // Nothing has been announced yet, so an error is still better than a truncated body.
    body.read(0, FIRST_BYTES, &mut bytes).map_err(|_| Refusal::new(503, "File changed while it was read"))?;
    Ok(Response { status, reason: "".into(), bytes, head_len, body: Some(body) })
}

/// What distinguishes this state of a file from all others: a strong tag, and a date if it is meaningful.
fn validators(metadata: &Metadata, now: SystemTime) -> Validators {
    let changed = time(metadata.ctime(), metadata.ctime_nsec());
    let age = |moment: Duration| now.duration_since(UNIX_EPOCH).unwrap_or_default().checked_sub(moment);
    let is_coarse = metadata.mtime_nsec() == 0 && metadata.ctime_nsec() == 0;
    let tick = if is_coarse { COARSE_TICK } else { TICK };
    // The ctime can't be set by anybody, so it distinguishes states, except within one tick, or on an image
    // that was built with its own times.
    let tells = changed > MEANINGLESS && age(changed).is_some_and(|age| age > tick);
    let tag = if tells {
        let numbers = [metadata.dev(), metadata.ino(), metadata.len()].map(|number| format!("{number:x}"));
        let times = [written(metadata), changed].map(|time| format!("{:x}", time.as_nanos()));
        format!("\"{}-{}\"", numbers.join("-"), times.join("-"))
    } else {
        format!("\"{}\"", new_boundary())
    };
    let modified = written(metadata);
    let means = modified > MEANINGLESS && age(modified).is_some_and(|age| age > COARSE_TICK);
    Validators { tag, modified: means.then_some(modified.as_secs()), changed: changed.as_secs() }
}

/// The date of a file; dates before 1970 become 1970.
fn written(metadata: &Metadata) -> Duration {
    time(metadata.mtime(), metadata.mtime_nsec())
}

fn time(seconds: i64, nanos: i64) -> Duration {
    let nanos = u32::try_from(nanos).unwrap_or(0);
    u64::try_from(seconds).map_or(Duration::ZERO, |seconds| Duration::new(seconds, nanos))
}

/// Adds the validators of a file's state.
fn validate(head: &mut Head, state: &Validators) {
    head.field("ETag", &state.tag);
    if let Some(modified) = state.modified {
        head.field("Last-Modified", date(modified));
    }
}

fn content_range(span: Span, length: u64) -> String {
    format!("bytes {}-{}/{length}", span.from, span.from + span.len - 1)
}

/// A boundary that can't be guessed: the seeds of the standard library's hash maps are random.
pub(super) fn new_boundary() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

impl From<Missing> for Refusal {
    /// The client gets the same answer for everything that it may not see; the log has the reason.
    fn from(missing: Missing) -> Refusal {
        let absent = Refusal::new(404, "File not found");
        match missing {
            Missing::Absent => absent,
            Missing::Denied => absent.noted("File not found (Permission denied)"),
            Missing::Outside => {
                absent.noted("File not found (a link leads out of the web root: --web-outside-links)")
            }
            Missing::Own => absent.noted("File is one of this program's own"),
            Missing::Busy => Refusal::new(503, "File can't be opened now"),
        }
    }
}

/// The index pages of a directory, in this order.
const INDEX_NAMES: [&str; 2] = ["index.html", "index.htm"];

/// If the root is switched more often than this during one answer, the last result is used.
const TURNS_MAX: usize = 3;

/// The resolution of timestamps with fractions of a second: twice the longest tick of Linux.
const TICK: Duration = Duration::from_millis(20);

/// The same for timestamps in steps of one or two seconds.
const COARSE_TICK: Duration = Duration::from_secs(2);

/// The 1st of January 2000 is over everywhere. Files of packages and images that can be built again with the same
/// result have dates up to then, whatever is in them: 1970, 1980 (zip), 1985 (npm).
const MEANINGLESS: Duration = Duration::from_secs(946_814_400);

/// How much of a body comes with its head: most files of a web page completely.
const FIRST_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests;
