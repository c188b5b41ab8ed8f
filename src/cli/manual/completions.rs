//! What shells complete, made from the table of options: one file each for bash, zsh and fish.
//!
//! The committed copies are in `completions/`; like the man page they are held equal by a test, and rewritten by the
//! same command.

use crate::cli::help;
use crate::cli::options::{Kind, Row, TABLE};
use crate::{auth, token};

/// What an option's value can be completed to.
enum Values {
    /// There is no value.
    None,
    /// Nobody can guess it.
    Unknown,
    Files,
    Directories,
    Commands,
    Words(Vec<&'static str>),
}

fn values(row: &Row) -> Values {
    match (row.name, row.kind) {
        (_, Kind::Help | Kind::Version | Kind::Flag) => Values::None,
        (_, Kind::Choice(_, words)) => Values::Words(words.to_vec()),
        ("token-plugin", _) => {
            Values::Words(token::PLUGINS.iter().chain([&token::EXEC]).map(|row| row.name).collect())
        }
        ("auth-plugin", _) => {
            Values::Words(auth::PLUGINS.iter().chain([&auth::EXEC]).map(|row| row.name).collect())
        }
        ("allow-origin", _) => Values::Words(vec!["same-origin"]),
        // Most often it is a file or a directory.
        ("token-source" | "auth-source", _) => Values::Files,
        (_, Kind::Text(name) | Kind::OptionalText(name)) => match name {
            "FILE" | "SERVER" => Values::Files,
            "DIR" => Values::Directories,
            "PROGRAM" => Values::Commands,
            _ => Values::Unknown,
        },
        (_, Kind::Integer(_)) => Values::Unknown,
    }
}

/// The first clause of what help says, for a list with one line for each option.
fn summary(row: &Row) -> String {
    let text = help::description(row);
    let ends = ["; ", ": ", ". ", " ("].iter().flat_map(|end| text.match_indices(end)).map(|(at, _)| at);
    // A word alone is the beginning of an explanation.
    let end = ends.filter(|&at| text[..at].contains(' ')).min().unwrap_or(text.len());
    text[..end].to_owned()
}

/// Whether the value may stand in a word of its own.
fn takes_next_word(row: &Row) -> bool {
    matches!(row.kind, Kind::Text(_) | Kind::Integer(_) | Kind::Choice(..))
}

/// The use that is not in the table, since it has to be the first word.
const REBIND: (&str, &str) = ("--rebind", "start a command with its TCP port moved");

fn bash() -> String {
    let mut cases: Vec<(String, Vec<String>)> = Vec::new();
    for row in TABLE {
        let action = match values(row) {
            Values::None => continue,
            Values::Unknown => String::new(),
            Values::Files => "_filedir\n".to_owned(),
            Values::Directories => "_filedir -d\n".to_owned(),
            Values::Commands => "COMPREPLY=($(compgen -c -- \"$cur\"))\n".to_owned(),
            Values::Words(words) => format!("COMPREPLY=($(compgen -W '{}' -- \"$cur\"))\n", words.join(" ")),
        };
        let action = match takes_next_word(row) {
            true => action + "return\n",
            false => format!("$split && {action}"),
        };
        let name = format!("--{}", row.name);
        match cases.iter_mut().find(|(other, _)| *other == action) {
            Some((_, names)) => names.push(name),
            None => cases.push((action, vec![name])),
        }
    }
    let mut out = String::from(BASH_HEAD);
    for (action, names) in cases {
        out.push_str(&format!("        {})\n", names.join(" | \\\n            ")));
        for line in action.lines() {
            out.push_str(&format!("            {line}\n"));
        }
        out.push_str("            ;;\n");
    }
    let names =
        TABLE.iter().map(|row| format!("--{}{}", row.name, if takes_next_word(row) { "=" } else { "" }));
    let names = names.collect::<Vec<_>>().join("\n            ");
    out.push_str(&BASH_TAIL.replace("{names}", &names));
    out
}

const BASH_HEAD: &str = r#"# bash completion for websockify(1), made from its table of options

_websockify()
{
    local cur prev words cword split at
    _init_completion -s || return

    # A command of its own stands behind --, and behind the ports of --rebind.
    for ((at = 1; at < cword; at++)); do
        if [[ ${words[at]} == -- ]]; then
            _command_offset $((at + 1))
            return
        fi
    done
    if [[ $cword -gt 1 && ${words[1]} == --rebind ]]; then
        [[ $cword -gt 3 ]] && _command_offset 4
        return
    fi

    case $prev in
"#;

const BASH_TAIL: &str = r#"    esac
    $split && return

    if [[ $cur == -* ]]; then
        local options='{names}'
        [[ $cword -eq 1 ]] && options+=' --rebind'
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
        [[ ${COMPREPLY-} == *= ]] && compopt -o nospace
    fi
} &&
    complete -F _websockify websockify
"#;

fn zsh() -> String {
    let mut out = String::from(ZSH_HEAD);
    out.push_str(&format!("    '(- *){}[{}]' \\\n", REBIND.0, REBIND.1));
    for row in TABLE {
        let name = row.name;
        let text = inside_quotes(&escaped(&summary(row), "\\[]"));
        let value = match values(row) {
            Values::None => None,
            Values::Unknown => Some(" ".to_owned()),
            Values::Files => Some("_files".to_owned()),
            Values::Directories => Some("_files -/".to_owned()),
            Values::Commands => Some("_command_names -e".to_owned()),
            Values::Words(words) => Some(format!("({})", words.join(" "))),
        };
        let spec = match (value, row.kind) {
            (None, _) if matches!(row.kind, Kind::Help | Kind::Version) => format!("(- *)--{name}[{text}]"),
            (None, _) => format!("--{name}[{text}]"),
            (Some(value), Kind::OptionalText(word)) => format!("--{name}=-[{text}]::{word}:{value}"),
            (Some(value), _) => {
                format!("*--{name}=[{text}]:{}:{value}", row.value_name().unwrap_or_default())
            }
        };
        out.push_str(&format!("    '{spec}' \\\n"));
        if let Some(letter) = row.short {
            out.push_str(&format!(
                "    '{}' \\\n",
                spec.replacen(&format!("--{name}"), &format!("-{letter}"), 1)
            ));
        }
    }
    out.push_str(ZSH_TAIL);
    out
}

const ZSH_HEAD: &str = r#"#compdef websockify
# zsh completion for websockify(1), made from its table of options

# A command of its own stands behind --, and behind the ports of --rebind.
local -i before=${words[(i)--]}
if (( CURRENT > 2 )) && [[ $words[2] == --rebind ]]; then
    before=4
    if (( CURRENT <= before )); then
        _message port
        return
    fi
fi
if (( before < CURRENT )); then
    shift $before words
    (( CURRENT -= before ))
    _normal
    return
fi

_arguments -s -S \
"#;

// Addresses can't be completed.
const ZSH_TAIL: &str = r"    '*:address:{ }'
";

fn fish() -> String {
    let mut out = String::from(FISH_HEAD);
    for row in TABLE {
        let short = row.short.map(|letter| format!("-s {letter} ")).unwrap_or_default();
        let needs = if takes_next_word(row) { " -x" } else { "" };
        let value = match values(row) {
            Values::None => String::new(),
            Values::Unknown => needs.to_owned(),
            Values::Files => " -r -F".to_owned(),
            Values::Directories => format!("{needs} -a '(__fish_complete_directories (commandline -ct))'"),
            Values::Commands => format!("{needs} -a '(__fish_complete_command)'"),
            Values::Words(words) => format!("{needs} -a '{}'", words.join(" ")),
        };
        let text = escaped(&summary(row), "\\'");
        out.push_str(&format!("complete -c websockify {short}-l {}{value} -d '{text}'\n", row.name));
    }
    let (name, text) = REBIND;
    let first = "test (count (commandline -opc)) -eq 1";
    out.push_str(&format!("complete -c websockify -n '{first}' -l {} -d '{text}'\n", &name[2..]));
    out
}

const FISH_HEAD: &str = r#"# fish completion for websockify(1), made from its table of options

# The words behind --, or behind the ports of --rebind: a command of its own.
function __websockify_command
    set -l words (commandline -opc)
    if test "$words[2]" = --rebind
        test (count $words) -ge 4; or return
        set -e words[1..4]
    else
        set -l at (contains -i -- -- $words); or return
        set -e words[1..$at]
    end
    complete -C (string join ' ' -- (string escape -- $words) (commandline -ct))
end

complete -c websockify -f -a '(__websockify_command)'
"#;

/// `text` with a backslash before each of `signs`.
fn escaped(text: &str, signs: &str) -> String {
    text.chars().fold(String::new(), |mut out, sign| {
        if signs.contains(sign) {
            out.push('\\');
        }
        out.push(sign);
        out
    })
}

/// Text between single quotes of a shell that knows no escapes there.
fn inside_quotes(text: &str) -> String {
    text.replace('\'', r"'\''")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_committed_completions_are_the_generated_ones() {
        for (name, text) in [("websockify.bash", bash()), ("_websockify", zsh()), ("websockify.fish", fish())]
        {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions").join(name);
            if std::env::var_os("UPDATE_MAN").is_some() {
                std::fs::write(&path, &text).expect("completions can be written");
            }
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == text,
                "completions/{name} is out of date: run `UPDATE_MAN=1 cargo test --lib cli::manual` and commit it"
            );
        }
    }

    #[test]
    fn every_option_is_in_each_file_once() {
        let (bash, zsh, fish) = (bash(), zsh(), fish());
        let specs = zsh.lines().map(|line| line.trim_start_matches([' ', '\'', '*', '(', '-', ')']));
        let specs: Vec<String> =
            specs.map(|spec| format!("--{}", spec.split(['[', '=']).next().unwrap_or_default())).collect();
        let (_, offered) = bash.split_once("local options='").expect("it has a list");
        let count =
            |text: &str, signs: &[char], name: &str| text.split(signs).filter(|word| *word == name).count();
        for row in TABLE {
            let name = format!("--{}", row.name);
            assert_eq!(count(offered, &['\n', ' ', '\'', '='], &name), 1, "{name}");
            assert_eq!(specs.iter().filter(|spec| **spec == name).count(), 1, "{name}");
            assert_eq!(fish.matches(&format!(" -l {} ", row.name)).count(), 1, "{name}");
        }
    }

    #[test]
    fn a_summary_is_the_first_clause() {
        let summary = |name: &str| TABLE.iter().find(|row| row.name == name).map(summary).unwrap_or_default();
        assert_eq!(
            summary("wrap-mode"),
            "what to do when the wrapped program exits or goes into the background"
        );
        assert_eq!(
            summary("record-input"),
            "no: leave out of recordings what clients send, such as keystrokes"
        );
        assert_eq!(summary("workers"), "number of threads that share the connections, 1 to 256");
        assert_eq!(summary("help"), "print this help and exit");
    }
}
