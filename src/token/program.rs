//! Token plugins that are programs: Python classes (`package.Class`) and commands (`exec`).

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Instant;

use super::{Answer, LOOK_UP, Source, TokenPlugin};
use crate::plugin::{self, Plugin, Question, Settings};

pub(super) fn open(source: &Source) -> Result<Box<dyn TokenPlugin>, String> {
    let name = match &source.python {
        Some(class) => class.name.clone(),
        None => "exec".into(),
    };
    let plugin = Plugin::open(Settings {
        name: format!("token plugin {name}"),
        class: source.python.clone(),
        kind: "token",
        source: source.text.clone(),
        directory: source.directory.clone(),
        web: source.web.clone(),
        log: source.log.clone(),
    })?;
    // The file that a class reads may reveal tokens.
    let file = source.text.as_ref().map(|text| source.directory.join(text)).filter(|path| path.is_file());
    Ok(Box::new(Program { plugin, file: file.filter(|_| source.python.is_some()) }))
}

struct Program {
    plugin: Plugin,
    file: Option<PathBuf>,
}

impl TokenPlugin for Program {
    fn look_up(&self, token: &str) -> Answer {
        self.look_up_until(token, None, Instant::now() + LOOK_UP)
    }

    fn look_up_until(&self, token: &str, client: Option<IpAddr>, deadline: Instant) -> Answer {
        let answer = match self.plugin.ask(Question::LookUp { token, client }, deadline) {
            Ok(answer) => answer,
            Err(why) => return Answer::Broken(why),
        };
        match plugin::target(&answer) {
            Ok(Some(target)) => Answer::found(target, answer.get("proxy_protocol"))
                .unwrap_or_else(|| Answer::Broken("its proxy_protocol is neither v1 nor v2".into())),
            Ok(None) => Answer::Unknown,
            Err(why) => Answer::Broken(why.into()),
        }
    }

    fn may_tell(&self) -> bool {
        true
    }

    fn files(&self) -> Vec<PathBuf> {
        self.file.iter().cloned().collect()
    }
}
