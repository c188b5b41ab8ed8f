//! Auth plugins that are programs: Python classes (`package.Class`) and commands (`exec`).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Admitted, Argument, AuthPlugin, Decision, Denial, Presented, Source};
use crate::plugin::{self, Plugin, Question, Settings};

pub(super) fn open(source: &Source) -> Result<Box<dyn AuthPlugin>, String> {
    let name = match &source.python {
        Some(class) => class.name.clone(),
        None => "exec".into(),
    };
    let text = match &source.argument {
        Some(Argument::Text(text)) => Some(OsString::from_vec(text.reveal().to_vec())),
        Some(Argument::File(path)) => Some(path.clone().into()),
        None => None,
    };
    let file = text.as_ref().map(|text| source.directory.join(text)).filter(|path| path.is_file());
    let plugin = Plugin::open(Settings {
        name: format!("auth plugin {name}"),
        class: source.python.clone(),
        kind: "auth",
        source: text,
        directory: source.directory.clone(),
        web: source.web.clone(),
        log: source.log.clone(),
    })?;
    Ok(Box::new(Program { plugin, file: file.filter(|_| source.python.is_some()) }))
}

struct Program {
    plugin: Plugin,
    file: Option<PathBuf>,
}

impl AuthPlugin for Program {
    fn may_block(&self) -> bool {
        true
    }

    fn wants_target(&self) -> bool {
        true
    }

    fn decide(&self, presented: &Presented<'_>) -> Decision {
        self.decide_until(presented, Instant::now() + TIME)
    }

    fn decide_until(&self, presented: &Presented<'_>, deadline: Instant) -> Decision {
        let headers = trusted(presented);
        let question =
            Question::Authenticate { headers: &headers, target: presented.target, client: presented.client };
        let answer = match self.plugin.ask(question, deadline) {
            Ok(answer) => answer,
            Err(why) => return Decision::Broken(why),
        };
        match plugin::admission(&answer) {
            Ok(Ok(())) => Decision::Admitted(Admitted::default()),
            Ok(Err(refusal)) => Decision::Denied(Denial::InItsWords(Box::new(refusal))),
            Err(why) => Decision::Broken(why.into()),
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        self.file.iter().cloned().collect()
    }
}

/// The client's header fields, and what its certificate says as the Python program has it. Header fields of
/// these names that a client sends are dropped.
fn trusted(presented: &Presented<'_>) -> Vec<(String, String)> {
    // A byte is a character, as in Python.
    let latin = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
    let is_reserved =
        |name: &str| name.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED));
    let sent = presented.headers.iter().filter(|(name, _)| !is_reserved(name));
    let mut headers: Vec<(String, String)> = sent.map(|(name, value)| (name.clone(), latin(value))).collect();
    if let Some(name) = presented.common_name {
        headers.push(("SSL_CLIENT_S_DN_CN".into(), name.into()));
    }
    headers
}

/// Fields whose names begin like this are made only here.
const RESERVED: &str = "SSL_";

/// Time for an answer if the caller sets no deadline.
const TIME: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_certificate_says_comes_from_the_connection_alone() {
        let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let sent = [
            field("Host", "a"),
            field("SSL_CLIENT_S_DN_CN", "evil"),
            field("ssl_client_s_dn_cn", "evil"),
            field("Ssl_Other", "evil"),
            field("SSL", "kept"),
            field("X", "kept"),
        ];
        let mut presented = Presented { headers: &sent, ..Presented::default() };
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let kept = [text("Host", "a"), text("SSL", "kept"), text("X", "kept")];
        assert_eq!(trusted(&presented), kept);
        presented.common_name = Some("\u{d6}rg");
        assert_eq!(trusted(&presented)[..3], kept);
        assert_eq!(trusted(&presented)[3..], [text("SSL_CLIENT_S_DN_CN", "\u{d6}rg")]);
    }
}
