use std::fs;

use super::*;
use crate::source::scratch::Scratch;

const PATIENCE: Duration = Duration::from_secs(20);

/// A shell that is asked by these words after it was greeted: `$id` is the number of the question.
fn plugin(scratch: &Scratch, name: &str, each: &str) -> Plugin {
    try_plugin(scratch, name, each).expect("it starts")
}

fn try_plugin(scratch: &Scratch, name: &str, each: &str) -> Result<Plugin, String> {
    let starts = scratch.path(name);
    let command = format!(
        "echo start >> '{}'; while read -r line; do id=${{line#*'\"id\":'}}; id=${{id%%[,\\}}]*}}; \
         case $line in *hello*) echo \"{{\\\"id\\\":$id}}\" ;; *) {each} ;; esac; done",
        starts.display()
    );
    Plugin::open(Settings {
        name: "token plugin exec".into(),
        class: None,
        kind: "token",
        source: Some(command.into()),
        directory: "/".into(),
        web: None,
        log: Arc::new(Log::in_memory(false)),
    })
}

fn starts(scratch: &Scratch, name: &str) -> usize {
    fs::read_to_string(scratch.path(name)).map_or(0, |text| text.lines().count())
}

fn ask(plugin: &Plugin, token: &str) -> Result<Answer, String> {
    plugin.ask(Question::LookUp { token, client: None }, Instant::now() + PATIENCE)
}

const KNOWS_NOTHING: &str = "echo \"{\\\"id\\\":$id,\\\"target\\\":null}\"";

#[test]
fn one_process_answers_one_question_after_the_other() {
    let scratch = Scratch::new();
    let plugin = plugin(&scratch, "starts", KNOWS_NOTHING);
    for _ in 0..100 {
        assert_eq!(target(&ask(&plugin, "a").expect("an answer")), Ok(None));
    }
    assert_eq!(starts(&scratch, "starts"), 1);
}

#[test]
fn questions_at_the_same_time_have_processes_of_their_own_up_to_a_limit() {
    let scratch = Scratch::new();
    let (release, starts_file) = (scratch.path("release"), scratch.path("starts"));
    let waits = format!("until test -e '{}'; do sleep 0.02; done; {KNOWS_NOTHING}", release.display());
    let plugin = plugin(&scratch, "starts", &waits);
    thread::scope(|scope| {
        let askers: Vec<_> =
            (0..PROCESSES_MAX + 8).map(|_| scope.spawn(|| ask(&plugin, "a").expect("an answer"))).collect();
        let begun = Instant::now();
        while starts(&scratch, "starts") < PROCESSES_MAX {
            assert!(begun.elapsed() < PATIENCE, "{starts_file:?}");
            thread::sleep(Duration::from_millis(20));
        }
        fs::write(&release, "").expect("written");
        askers.into_iter().for_each(|asker| drop(asker.join().expect("an answer")));
    });
    assert_eq!(starts(&scratch, "starts"), PROCESSES_MAX);
    let state = plugin.0.lock();
    assert_eq!((state.processes, state.idle.len(), state.waiting), (PROCESSES_MAX, PROCESSES_MAX, 0));
}

#[test]
fn what_is_no_answer_costs_its_question_and_the_process() {
    let scratch = Scratch::new();
    for (number, (each, why)) in [
        ("echo rubbish", "its answer is not a JSON object"),
        ("echo '{\"id\":1}'", "it answered a different question"),
        ("printf '{\"id\":%s}\\n{\"id\":%s}\\n' $id $((id+1))", "it answered with more than one line"),
        ("head -c 200000 /dev/zero; echo", "its answer is too long"),
        ("exit 7", "the process exited with code 7"),
        ("kill -9 $$", "the process was killed by signal 9"),
        ("exec >&-; sleep 100", "the process closed its pipes"),
        ("echo \"{\\\"id\\\":$id,\\\"error\\\":[]}\"", "its error is not text"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("starts-{number}");
        let plugin = plugin(&scratch, &name, each);
        assert_eq!(ask(&plugin, "a"), Err(why.into()));
        assert_eq!(ask(&plugin, "a"), Err(why.into()), "by another process");
        assert_eq!(starts(&scratch, &name), 2, "{each}");
    }
    let says_no = "echo \"{\\\"id\\\":$id,\\\"error\\\":\\\"no\\\"}\"";
    let plugin = plugin(&scratch, "goes-on", says_no);
    assert_eq!(ask(&plugin, "a"), Err("no".into()));
    assert_eq!(ask(&plugin, "a"), Err("no".into()));
    assert_eq!(starts(&scratch, "goes-on"), 1, "it can be asked on");
}

#[test]
fn a_process_that_hangs_is_killed_with_what_it_has_started() {
    let scratch = Scratch::new();
    let pid = scratch.path("pid");
    let hangs = format!("sleep 1000 & echo $! > '{}'; wait", pid.display());
    let plugin = plugin(&scratch, "starts", &hangs);
    assert_eq!(
        plugin.ask(Question::LookUp { token: "a", client: None }, Instant::now()),
        Err("no answer in time".into())
    );
    let pid = fs::read_to_string(&pid).expect("a number");
    let begun = Instant::now();
    // It is an orphan then; only a process that reaps orphans removes it.
    let is_alive = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    while is_alive() {
        assert!(begun.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_process_that_has_ended_or_talks_unasked_costs_no_question() {
    let scratch = Scratch::new();
    let ends = format!("{KNOWS_NOTHING}; exit");
    let talks = format!("{KNOWS_NOTHING}; sleep 0.05; echo more");
    for (name, each) in [("ends", ends), ("talks", talks)] {
        let plugin = plugin(&scratch, name, &each);
        for number in 1..4 {
            assert!(ask(&plugin, "a").is_ok(), "{name} {number}");
            let begun = Instant::now();
            while plugin.0.lock().idle.last().is_some_and(Process::is_quiet) {
                assert!(begun.elapsed() < PATIENCE, "{name}");
                thread::sleep(Duration::from_millis(5));
            }
        }
        assert_eq!(starts(&scratch, name), 3, "{name}");
    }
}

#[test]
fn processes_that_are_lost_in_a_row_are_replaced_at_growing_intervals() {
    let mut state = State { processes: 100, ..State::default() };
    let mut pauses = Vec::new();
    for _ in 0..10 {
        state.lose();
        let moment = state.not_before.expect("a moment");
        pauses.push(moment.saturating_duration_since(Instant::now()).as_millis().div_ceil(100));
    }
    assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 50, 50, 50]);
    assert_eq!(state.processes, 90);
}

#[test]
fn an_answer_ends_the_growing() {
    let scratch = Scratch::new();
    let flag = scratch.path("flag");
    let each = format!("if test -e '{}'; then {KNOWS_NOTHING}; else exit; fi", flag.display());
    let plugin = plugin(&scratch, "starts", &each);
    assert!(ask(&plugin, "a").is_err());
    assert!(ask(&plugin, "a").is_err());
    assert_eq!(plugin.0.lock().lost, 2);
    fs::write(&flag, "").expect("written");
    assert!(ask(&plugin, "a").is_ok());
    assert_eq!(plugin.0.lock().lost, 0);
}

#[test]
fn a_command_that_does_not_start_is_told_why() {
    let open = |source: Option<&str>, class: Option<&str>| {
        let settings = Settings {
            name: "auth plugin x".into(),
            class: class
                .map(|interpreter| PythonClass { name: "a.B".into(), interpreter: interpreter.into() }),
            kind: "auth",
            source: source.map(OsString::from),
            directory: "/".into(),
            web: None,
            log: Arc::new(Log::in_memory(false)),
        };
        Plugin::open(settings).map(drop)
    };
    let failed = |why: &str| Err(format!("can't load the auth plugin x: {why}"));
    assert_eq!(open(None, None), Err("the auth plugin x needs a command as --auth-source".into()));
    assert_eq!(open(Some(""), None), Err("the auth plugin x needs a command as --auth-source".into()));
    assert_eq!(open(Some("exit 3"), None), failed("the process exited with code 3"));
    assert_eq!(open(Some("/nonexistent/x"), None), failed("the process exited with code 127"));
    assert_eq!(
        open(Some("echo hello; read -r line; read -r line"), None),
        failed("its answer is not a JSON object")
    );
    let absent = open(None, Some("/nonexistent/python"));
    assert_eq!(absent, failed("/nonexistent/python: [Errno 2] No such file or directory"));
}
