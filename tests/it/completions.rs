//! The files in `completions/`, each tried in its shell: words are typed, a tab or the shell's own function completes
//! them, and what comes of it is compared. Every option of `--help` has to be offered.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::common::server::program;
use crate::common::{Scratch, eventually, has, skipped, text as text_of};

/// What is typed, and what it is once the tab was pressed. `cer` is a file here and `dir` a directory, and `mytool` a
/// command.
const CASES: [(&str, &str); 13] = [
    ("websockify --ssl-o", "--ssl-only"),
    ("websockify --wrap-mode=ig", "--wrap-mode=ignore"),
    ("websockify --wrap-mode res", "--wrap-mode respawn"),
    ("websockify --token-plugin=UnixD", "--token-plugin=UnixDomainSocketDirectory"),
    ("websockify --auth-plugin Basic", "--auth-plugin BasicHTTPAuth"),
    ("websockify --cert=ce", "--cert=cer"),
    ("websockify -v --log-file ce", "-v --log-file cer"),
    ("websockify --web=di", "--web=dir/"),
    ("websockify 6080 localhost:5900 --verif", "6080 localhost:5900 --verify-client"),
    ("websockify --novnc=di", "--novnc=dir/"),
    ("websockify --plugin-python myto", "--plugin-python mytool"),
    ("websockify 6080 -- myto", "6080 -- mytool"),
    ("websockify --rebind 23 2023 myto", "--rebind 23 2023 mytool"),
];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("completions").join(name)
}

/// A directory with what is completed.
fn place() -> Scratch {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("dir")).expect("a directory");
    fs::create_dir(scratch.path("bin")).expect("a directory");
    fs::write(scratch.path("cer"), "").expect("a file");
    std::os::unix::fs::symlink("/bin/true", scratch.path("bin/mytool")).expect("a link");
    scratch
}

fn in_place(command: &mut Command, scratch: &Scratch) {
    let path = format!("{}:/usr/bin:/bin", scratch.arg("bin"));
    command.current_dir(scratch.path("")).env_clear().env("PATH", path).env("HOME", scratch.path(""));
    command.env("TERM", "dumb").env("LANG", "C.UTF-8");
}

/// The long options that `--help` lists.
fn options() -> BTreeSet<String> {
    let output = Command::new(program()).arg("--help").output().expect("the program runs");
    let help = text(&output.stdout);
    let names = help.lines().filter(|line| line.starts_with("  -")).filter_map(|line| line.split_once("--"));
    names.map(|(_, rest)| format!("--{}", rest.split([' ', '=', '[']).next().unwrap_or_default())).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A shell at a terminal, which `script` makes for it.
struct Terminal {
    script: Child,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// Starts it. There is a function `websockify` that shows its arguments.
    fn start(shell: &str, setup: &str, scratch: &Scratch) -> Self {
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-c", shell, "/dev/null"]);
        in_place(&mut command, scratch);
        let mut script = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script runs");
        let mut output = script.stdout.take().expect("a pipe");
        let shown = Arc::new(Mutex::new(String::new()));
        let seen = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut piece) {
                seen.lock().expect("no reader panics").push_str(&text(&piece[..count]));
            }
        });
        let terminal = Self { script, shown };
        terminal.line(setup);
        // What is typed is shown, too, and must not look like what is waited for.
        terminal.line("websockify() { local IFS=' '; printf '<%s>\\n' \"$*\"; }; printf '<%s>\\n' re''ady");
        terminal.wait_for("<ready>");
        terminal
    }

    fn line(&self, line: &str) {
        let mut input = self.script.stdin.as_ref().expect("a pipe");
        input.write_all(line.as_bytes()).and_then(|()| input.write_all(b"\r")).expect("the shell reads");
    }

    fn wait_for(&self, what: &str) {
        let shown = || self.shown.lock().expect("no reader panics").clone();
        eventually(&format!("{what} from the shell"), || shown().contains(what));
    }

    /// Types words and a tab, and looks what the command that comes of it has for arguments.
    fn complete(&self, typed: &str, wanted: &str) {
        self.shown.lock().expect("no reader panics").clear();
        self.line(&format!("{typed}\t"));
        let mut found = String::new();
        eventually(&format!("what {typed} becomes"), || {
            let shown = self.shown.lock().expect("no reader panics");
            let arguments = shown.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>'));
            found = arguments.map(|(arguments, _)| arguments.trim_end().to_owned()).unwrap_or_default();
            arguments.is_some()
        });
        assert_eq!(found, wanted, "{typed}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The end of its input ends the shell; whatever it does, its terminal goes away.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
fn bash_completes_options_and_their_values() {
    let library = Path::new("/usr/share/bash-completion/bash_completion");
    if !has("bash") || !has("script") {
        return;
    }
    if !library.exists() {
        return skipped("there is no bash-completion");
    }
    let scratch = place();
    let sources = format!(". {} && . {}", library.display(), text_of(&file("websockify.bash")));
    let shell = Terminal::start("bash --norc --noprofile -i", &sources, &scratch);
    for (typed, wanted) in CASES {
        shell.complete(typed, wanted);
    }
    // For a directory no file is offered.
    shell.complete("websockify --web ce", "--web ce");
    let mut bash = Command::new("bash");
    let asked = format!(
        "{sources} && COMP_WORDS=(websockify --) COMP_CWORD=1 COMP_LINE='websockify --' COMP_POINT=13
         _websockify 2>/dev/null; printf '%s\\n' \"${{COMPREPLY[@]%=}}\""
    );
    in_place(bash.args(["--norc", "--noprofile", "-c", &asked]), &scratch);
    let offered = text(&bash.output().expect("bash runs").stdout);
    let mut wanted = options();
    wanted.insert("--rebind".to_owned());
    assert_eq!(offered.lines().map(str::to_owned).collect::<BTreeSet<_>>(), wanted);
}

#[test]
fn zsh_completes_options_and_their_values() {
    if !has("zsh") || !has("script") {
        return;
    }
    let scratch = place();
    let directory = file("");
    let setup = format!(
        "unset zle_bracketed_paste; unsetopt prompt_cr prompt_sp auto_remove_slash; PS1=; fpath=({} $fpath); autoload -U compinit; \
         compinit -u -D",
        directory.display()
    );
    let shell = Terminal::start("zsh -f -i", &setup, &scratch);
    for (typed, wanted) in CASES {
        shell.complete(typed, wanted);
    }
    // What the function hands to the shell for two dashes.
    shell.line("compadd() { builtin compadd -A offered \"$@\"; all+=($offered); builtin compadd \"$@\"; }");
    shell.line("websockify --\t\x15unfunction compadd; printf '<%s>\\n' ${(ou)all%=} go''ne");
    shell.wait_for("<gone>");
    let shown = shell.shown.lock().expect("no reader panics").clone();
    let missing: Vec<_> = options().into_iter().filter(|one| !shown.contains(&format!("<{one}>"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(shown.contains("<--rebind>"));
}

#[test]
fn fish_completes_options_and_their_values() {
    if !has("fish") {
        return;
    }
    let scratch = place();
    let ask = |words: &str| {
        let mut fish = Command::new("fish");
        let asked = format!("source {}; complete -C '{words}'", text_of(&file("websockify.fish")));
        in_place(fish.args(["--no-config", "-c", &asked]), &scratch);
        let output = fish.output().expect("fish runs");
        assert!(output.stderr.is_empty(), "{words}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    for (typed, wanted) in CASES {
        let offered = ask(typed);
        let last =
            offered.lines().map(|line| line.split('\t').next().unwrap_or_default()).collect::<Vec<_>>();
        let wanted = wanted.rsplit(' ').next().expect("a word");
        assert_eq!(last, [wanted], "{typed}");
    }
    let offered = ask("websockify --");
    let offered: BTreeSet<_> =
        offered.lines().filter_map(|line| line.split('\t').next().map(str::to_owned)).collect();
    let missing: Vec<_> = options().into_iter().filter(|option| !offered.contains(option)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(offered.contains("--rebind"));
}
