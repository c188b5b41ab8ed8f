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
