use super::*;

#[track_caller]
fn all(table: &[(&str, &str)]) {
    for (target, expected) in table {
        assert_eq!(redact(target), *expected, "{target}");
    }
}

#[test]
fn values_are_hidden_and_the_shape_stays() {
    all(&[
        ("/websockify?token=abc", "/websockify?token=***"),
        ("/?a=b&token=abc&c=d", "/?a=***&token=***&c=***"),
        ("/?TOKEN=abc&Token=def", "/?TOKEN=***&Token=***"),
        ("/?ticket=PVE:x&vncticket=y&session_id=z", "/?ticket=***&vncticket=***&session_id=***"),
        ("/?key[]=a&path2=b", "/?key[]=***&path2=***"),
        ("/?token=a=b;c?d#e/f", "/?token=***"),
        ("/?a=b;token=c", "/?a=***"),
        ("/#token=a", "/#token=***"),
        ("token=a", "token=***"),
        ("/?&&a=b&", "/?&&a=***&"),
        ("/vnc.html?path=websockify?token=abc&x=y", "/vnc.html?path=***&x=***"),
        ("/vnc.html?path=websockify%3Ftoken%3Dabc", "/vnc.html?path=***"),
        ("/vnc.html?path=https%3A%2F%2Fu%3Apw%40h", "/vnc.html?path=***"),
    ]);
}

#[test]
fn what_is_no_plain_name_is_hidden_with_its_value() {
    all(&[
        ("/?%74oken=abc", "/?***"),
        ("/?+token+=abc", "/?***"),
        ("/?s3cr3t", "/?***"),
        ("/?secretword", "/?***"),
        ("/?secret=", "/?***"),
        ("/?YWJjZA==", "/?***"),
        ("/?0123abcd=1", "/?***"),
        ("/?{\"token\":\"a\"}", "/?***"),
        ("/?%7B%22token%22%3A%22a%3Db%22%7D=x", "/?***"),
        ("/?=a", "/?***"),
        ("/?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=x", "/?***"),
    ]);
}

#[test]
fn settings_of_novncs_page_are_shown_as_far_as_they_are_such() {
    let page = "/vnc.html?autoconnect=true&resize=scale&host=vm1.example.org&port=6080&encrypt=1&quality=6";
    all(&[
        (page, page),
        ("/?host=[fe80::1]&bell", "/?host=[fe80::1]&bell"),
        ("/?resize=", "/?resize="),
        ("/?host=u:pw@h", "/?host=***"),
        ("/?host=u%3Apw%40h", "/?host=***"),
        ("/?host=eyJhbGciOi.eyJh.c2ln", "/?host=***"),
        ("/?port=123456789", "/?port=***"),
        ("/?resize=scale;token=a", "/?resize=***"),
    ]);
}

#[test]
fn segments_of_the_path_are_hidden_by_place_and_by_shape() {
    all(&[
        ("/token/abc/vnc.html", "/token/***/vnc.html"),
        ("/ws/ticket/abc", "/ws/ticket/***"),
        ("/Vnc-Ticket//abc", "/Vnc-Ticket//***"),
        ("/%74oken/abc", "/%74oken/***"),
        ("/%2574oken/abc", "/%2574oken/***"),
        ("/token/token/abc", "/token/***/***"),
        ("/token%2Fabc/x", "/***"),
        ("/ws/eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln/x", "/ws/***/x"),
        ("/ws/eyJh", "/ws/***"),
        ("/ws/550e8400-e29b-41d4-a716-446655440000", "/ws/***"),
        ("/ws/0123456789abcdef0123456789abcdef/x", "/ws/***/x"),
        ("/token=a/b?c=d", "/token=***?c=***"),
        ("/ws;jsessionid=abc/x", "/***"),
        ("/websockify%3Ftoken=abc", "/***"),
        ("/websockify%3Ftoken%3Dabc", "/***"),
        ("/a%2525252525252541/x", "/***"),
        ("/token\\abc", "/***"),
        ("/{\"token\":\"abc\"}", "/***"),
    ]);
}

#[test]
fn the_user_of_a_url_is_hidden() {
    all(&[
        ("http://user:pw@host/a?b=c", "***?b=***"),
        ("/proxy/http://user:p@w@host", "/proxy/***"),
        ("/proxy/https%3A%2F%2Fu%3Apw%40h/x", "/proxy/***"),
        ("/proxy/u:p/w@h", "/proxy/***"),
        ("//token@host/x", "//***"),
        ("/?url=ws://user@host&a=me@there", "/?url=***&a=***"),
    ]);
}

#[test]
fn what_holds_no_secret_is_left_as_it_is() {
    for target in [
        "/",
        "",
        "*",
        "/a%20b",
        "/monkey/10.0.0.1:5900",
        "/a/core/rfb.js",
        "/node_modules/@novnc/novnc/lib/rfb.js",
        "/tokens.html",
        "/noVNC-1.4.0/app/styles/base.css",
        "/app-3f9a8b7c.js",
        "/report-2026-final.pdf",
        "/w\u{e4}hler//x/",
        "/%zz",
    ] {
        assert_eq!(redact(target), target);
    }
}

#[test]
fn what_is_shown_is_bounded_and_the_length_is_told() {
    let long = format!("/{}", "ab/".repeat(10_000));
    let shown = redact(&long);
    assert!(shown.starts_with("/ab/ab/") && shown.ends_with("/ab/... (30001 bytes)"), "{shown}");
    for unit in ["%=&", "&", "a=b&", "/", "\u{20ac}/", "%41/", "=", "/token/x"] {
        let target = format!("/?{0}/{0}", unit.repeat(5000));
        assert!(redact(&target).len() <= SHOWN_MAX + 32, "{unit}");
        let target = format!("/{}", unit.repeat(5000));
        assert!(redact(&target).len() <= SHOWN_MAX + 32, "{unit}");
        assert!(unredacted(&target).len() <= SECRETS_SHOWN_MAX + 32, "{unit}");
    }
    assert_eq!(unredacted("/?token=a"), "/?token=a");
}

#[test]
fn a_place_and_its_secret_in_one_segment_are_hidden() {
    all(&[
        ("/Bearer%20hunter2", "/***"),
        ("/ws/bearer+abc/x", "/ws/***/x"),
        ("/Basic%2520dTpw", "/***"),
        ("/negotiate%09YII", "/***"),
        ("/ticket-12345", "/***"),
        ("/vnc_token.7/ws", "/***/ws"),
        ("/session-list.js", "/session-list.js"),
        ("/tokens.json", "/tokens.json"),
        ("/basic-auth.html", "/basic-auth.html"),
        ("/vm-7/console.html", "/vm-7/console.html"),
    ]);
}

#[test]
fn a_client_that_calls_itself_a_secret_is_not_called_so_in_a_log() {
    for (agent, shown) in [
        ("token=hunter2", "token=***"),
        ("x/1 (Token: hunter2; y)", "x/1 (Token: ***; y)"),
        ("Bearer hunter2 x", "Bearer *** x"),
        ("Basic dXNlcjpw", "Basic ***"),
        ("{\"token\":\"hunter2\"}", "{\"token\":\"***\"}"),
        ("a?b=c&ticket=hunter2#d", "a?b=c&ticket=***#d"),
        ("https://user:hunter2@host/ x", "*** x"),
        ("x/1 token%3Dhunter2", "x/1 ***"),
        ("x/1 %74oken/hunter2", "x/1 %74oken/***"),
        ("x/1 9f86d081884c7d659a2feaa0c55ad015", "x/1 ***"),
        ("x/6b5f8c1e-0d3a-4c57-9f0e-2f6d7a1b9c3d", "***"),
        ("x 3q2+7wAB/cd3Ef9Gh/1jKm==", "x ***"),
        ("x/eyJhbGciOiJIUzI1NiJ9.e30", "***"),
        ("x/eyJhbGc.e30", "x/***"),
    ] {
        assert_eq!(redact_agent(agent), shown, "{agent}");
    }
}

#[test]
fn what_clients_call_themselves_is_shown() {
    for agent in [
        "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.2903.51",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1",
        "Mozilla/5.0 (Linux; Android 13; SM-S901B Build/TP1A.220624.014) AppleWebKit/537.36",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "curl/8.5.0",
        "Python/3.12 websockets/12.0",
        "Go-http-client/1.1",
        "tests/1 \"quoted\"",
        "kube-probe/1.28+",
        "",
    ] {
        assert_eq!(redact_agent(agent), agent);
    }
}
