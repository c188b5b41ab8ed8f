//! `--novnc`: where noVNC is.

use super::Fault;
use super::parse::Given;
use crate::http::novnc::PAGE;
use std::path::{Path, PathBuf};

/// Where packages, people and `git clone` put noVNC, in the order in which it is looked for.
pub(super) const PLACES: [&str; 5] =
    ["/usr/share/novnc", "/usr/share/webapps/novnc", "/usr/local/share/novnc", "/opt/novnc", "./noVNC"];

/// Whether a file exists: the surroundings' answer.
type Exists = fn(&Path) -> bool;

/// Whether noVNC is to be served. As with other options, empty text is as if it were not there.
pub(super) fn is_wanted(given: &Given) -> bool {
    given.flag("novnc") && !given.is_empty_text("novnc")
}

/// noVNC's directory, if it is to be served. It is known by its page.
pub(super) fn find(
    given: &Given,
    absolute: impl Fn(&Path) -> PathBuf,
    exists: Exists,
) -> Result<Option<PathBuf>, Fault> {
    if !is_wanted(given) {
        return Ok(None);
    }
    let named = given.text("novnc").map(Path::new);
    let places = named.map_or_else(|| PLACES.map(Path::new).to_vec(), |place| vec![place]);
    if let Some(found) = places.iter().map(|place| absolute(place)).find(|place| exists(&place.join(PAGE))) {
        return Ok(Some(found));
    }
    let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    let other =
        if named.is_some() { "name another directory" } else { "name its directory with --novnc=DIR" };
    Err(Fault::Missing(format!(
        "--novnc: there is no {PAGE} in {}; get noVNC with \"apt-get install novnc\" or \"git clone \
         https://github.com/novnc/noVNC\", or {other}",
        places.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, Outcome, parse};
    use super::*;
    use std::ffi::OsString;

    /// What comes of a line where noVNC's page is where `exists` says.
    fn outcome(line: &str, exists: Exists) -> Outcome {
        let env = Environment { directory: "/start".into(), exists, is_activated: false };
        parse(line.split(' ').map(OsString::from), &env)
    }

    /// The web root and whether `/` leads to noVNC's page.
    fn root(line: &str, exists: Exists) -> Option<(PathBuf, bool)> {
        match outcome(line, exists) {
            Outcome::Run(config) => config.web.map(|web| (web.root, web.novnc)),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn it_is_looked_for_where_packages_and_people_put_it() {
        let found: [(Exists, &str); 4] = [
            (|_| true, "/usr/share/novnc"),
            (|path| !path.starts_with("/usr/share"), "/usr/local/share/novnc"),
            (|path| path == "/opt/novnc/vnc.html", "/opt/novnc"),
            (|path| path == "/start/noVNC/vnc.html", "/start/noVNC"),
        ];
        for (exists, place) in found {
            for line in ["--novnc 6080 a:1", "6080 --nov a:1", "6080 a:1 --novnc"] {
                assert_eq!(root(line, exists), Some((place.into(), true)), "{line}");
            }
        }
    }

    #[test]
    fn a_directory_that_is_named_is_the_only_one() {
        let line = "--novnc=dir/../mine 6080 a:1";
        assert_eq!(root(line, |_| true), Some(("/start/mine".into(), true)));
        let text = "websockify: --novnc: there is no vnc.html in dir/../mine; get noVNC with \"apt-get install \
                    novnc\" or \"git clone https://github.com/novnc/noVNC\", or name another directory\n";
        let exists: Exists = |path| !path.starts_with("/start");
        assert_eq!(outcome(line, exists), Outcome::Missing(text.into()));
    }

    #[test]
    fn where_it_is_not_found_the_places_and_the_remedy_are_told() {
        let text = "websockify: --novnc: there is no vnc.html in /usr/share/novnc, /usr/share/webapps/novnc, \
                    /usr/local/share/novnc, /opt/novnc, ./noVNC; get noVNC with \"apt-get install novnc\" or \
                    \"git clone https://github.com/novnc/noVNC\", or name its directory with --novnc=DIR\n";
        assert_eq!(outcome("--novnc 6080 a:1", |_| false), Outcome::Missing(text.into()));
        // What is wrong with the line itself comes first.
        assert!(matches!(outcome("--novnc 6080", |_| false), Outcome::Usage(_)));
    }

    #[test]
    fn it_takes_the_place_of_web() {
        assert_eq!(root("--novnc= 6080 a:1", |_| true), None);
        assert_eq!(root("--novnc= --web w 6080 a:1", |_| true), Some(("/start/w".into(), false)));
        for line in
            ["--file-only --web-header a:b", "--web-auth --auth-plugin BasicHTTPAuth --auth-source a:b"]
        {
            assert!(root(&format!("--novnc {line} 6080 a:1"), |_| true).is_some(), "{line}");
        }
        let Outcome::Usage(text) = outcome("--novnc --web w 6080 a:1", |_| true) else {
            panic!("it is wrong")
        };
        assert!(
            text.contains("error: You can't use --web with --novnc, which serves noVNC's own directory\n")
        );
    }
}
