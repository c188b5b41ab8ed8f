//! What must hold for the lines that plugins answer with.

use websockify::plugin::{admission, answer, target};
use websockify::target::Target;

/// Whatever a plugin says, a target is one that can be dialled, and a refusal is one answer of HTTP, whose framing is
/// ours.
pub fn plugin_answers(data: &[u8]) {
    let Ok(answer) = answer(data, ID) else { return };
    match target(&answer) {
        Ok(Some(Target::Tcp { host, port })) => {
            assert!(
                !host.is_empty()
                    && port > 0
                    && !host.contains(|sign: char| sign.is_whitespace() || sign.is_control())
            );
        }
        Ok(Some(Target::Unix(path))) => assert!(!path.as_os_str().as_encoded_bytes().contains(&0)),
        Ok(None) | Err(_) => {}
    }
    let Ok(Err(refusal)) = admission(&answer) else { return };
    assert!((200..600).contains(&refusal.status.0));
    let bytes = refusal.response("now", false);
    let text = std::str::from_utf8(&bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let count = |name: &str| {
        let fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).count()
    };
    let length = format!("\r\nContent-Length: {}\r\n", body.len());
    assert!(head.contains(&length), "{text:?}");
    assert_eq!(
        (count("content-length"), count("connection"), count("transfer-encoding")),
        (1, 1, 0),
        "{text:?}"
    );
    assert!(!head.split("\r\n").any(|line| line.contains(['\r', '\n'])), "{text:?}");
}

/// The number of the question that the seeds answer.
const ID: u64 = 7;
