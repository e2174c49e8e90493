use axum::http::HeaderValue;

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.append(HeaderName::from_static(name), value);
    }
    headers
}

fn names(listening: &str, allowed: &[&str]) -> OwnNames {
    let allowed = allowed.iter().map(|name| name.parse().unwrap()).collect();
    OwnNames::new(listening.parse().unwrap(), allowed)
}

fn host(names: &OwnNames, host: &str) -> bool {
    names.check_host(&headers(&[("host", host)]), &Uri::from_static("/")).is_ok()
}

#[test]
fn a_server_answers_to_its_address_and_to_names_of_this_machine() {
    let own = names("127.0.0.1:8080", &[]);
    for name in [
        "127.0.0.1:8080",
        "localhost:8080",
        "LocalHost:8080",
        "localhost.:8080",
        "[::1]:8080",
        "[0:0:0:0:0:0:0:1]:8080",
    ] {
        assert!(host(&own, name), "{name}");
    }
    assert!(host(&names("127.0.0.1:80", &[]), "localhost"), "the port that is implied");
    assert!(host(&names("10.1.2.3:8080", &[]), "10.1.2.3:8080"));
    assert!(host(&names("[fd00::1]:8080", &[]), "[fd00::1]:8080"));
    assert!(
        host(&names("0.0.0.0:8080", &[]), "10.1.2.3:8080"),
        "an address cannot be made to point elsewhere"
    );
}

#[test]
fn a_name_that_was_made_to_point_here_is_refused_also_for_reading() {
    for own in [names("127.0.0.1:8080", &[]), names("0.0.0.0:8080", &[])] {
        for name in [
            "evil.example:8080",
            "evil.example",
            "localhost",
            "localhost:8081",
            "localhost:80800",
            "localhost:+8080",
            "localhost:",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.0.0.1.evil.example:8080",
            "localhost.evil.example:8080",
            "evil.localhost:8080",
            "localhost..:8080",
            ".localhost:8080",
            "user@localhost:8080",
            "localhost:8080@evil.example",
            "evil.example#localhost:8080",
            "localhost:8080/",
            "localhost:8080, evil.example",
            " localhost:8080",
            "localhost :8080",
            "[::1]",
            "[::1]8080",
            "[::1%25lo]:8080",
            "::1:8080",
            "[localhost]:8080",
            "127.1:8080",
            "0x7f.0.0.1:8080",
            "2130706433:8080",
            "loc\u{e4}lhost:8080",
            "",
            ":8080",
            "%6cocalhost:8080",
            "localhost:8080:8080",
        ] {
            assert!(!host(&own, name), "{name}");
        }
    }
    for name in ["127.0.0.2:8080", "10.0.0.1:8080", "0.0.0.0:8080", "[::ffff:127.0.0.1]:8080"] {
        assert!(!host(&names("127.0.0.1:8080", &[]), name), "{name}");
    }
}

#[test]
fn there_is_one_host_and_the_target_says_the_same() {
    let own = names("127.0.0.1:8080", &[]);
    let check =
        |pairs: &[(&'static str, &str)], uri: &str| own.check_host(&headers(pairs), &uri.parse().unwrap());
    assert_eq!(check(&[], "/"), Err(Refusal::HostCount { count: 0 }), "HTTP/1.0 needs none");
    let twice = [("host", "127.0.0.1:8080"), ("host", "127.0.0.1:8080")];
    assert_eq!(check(&twice, "/"), Err(Refusal::HostCount { count: 2 }));
    let one = [("host", "127.0.0.1:8080")];
    assert!(check(&one, "http://127.0.0.1:8080/runs").is_ok());
    for other in [
        "http://evil.example:8080/",
        "http://127.0.0.1/",
        "http://a@127.0.0.1:8080/",
        "http://localhost:8080/",
    ] {
        assert!(check(&one, other).is_err(), "{other}");
    }
}

#[test]
fn a_name_can_be_allowed_with_and_without_a_port() {
    let own = names("127.0.0.1:8080", &["Ops.Example.", "proxy.example:443", "localhost:9000"]);
    for name in [
        "ops.example",
        "ops.example:8080",
        "OPS.example.",
        "proxy.example",
        "proxy.example:443",
        "localhost:9000",
    ] {
        assert!(host(&own, name), "{name}");
    }
    for name in
        ["ops.example:8081", "a.ops.example", "proxy.example:8080", "proxy.example:80", "localhost:9001"]
    {
        assert!(!host(&own, name), "{name}");
    }
    for wrong in
        ["*", "*.example", "http://ops.example", "a b", "", "ops.example:", "ops.example:99999", "a/b", "a@b"]
    {
        assert_eq!(wrong.parse::<Authority>(), Err(NotAnAuthority), "{wrong}");
    }
}

/// Found by the target `serve` of `fuzz/`: an address with a dot at its end was a name, whose text is an address.
#[test]
fn an_address_is_one_however_it_is_written_and_no_name_ends_in_a_number() {
    for (text, written) in [("10.1.2.3.:80", "10.1.2.3:80"), ("node-7.", "node-7"), ("7.rack", "7.rack")] {
        let authority: Authority = text.parse().unwrap();
        assert_eq!(authority.to_string(), written);
        assert_eq!(written.parse(), Ok(authority), "{text}");
    }
    assert!(host(&names("127.0.0.1:8080", &["10.1.2.3."]), "10.1.2.3"));
    for other in
        ["127.1", "2130706433", "0x7f.1", "127.0.0.0x1", "1.2.3.256", "1.2.3.4.5", "1.2.3.4..", "node.7", "."]
    {
        assert_eq!(other.parse::<Authority>(), Err(NotAnAuthority), "{other}");
    }
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn form(own: &OwnNames, named: &str, pairs: &[(&'static str, &str)]) -> Result<(), Refusal> {
    own.check_form(&headers(pairs), &named.parse().unwrap())
}

#[test]
fn a_form_comes_from_a_page_of_this_origin() {
    let own = names("127.0.0.1:8080", &["ops.example"]);
    let local = |pairs: &[(&'static str, &str)]| form(&own, "127.0.0.1:8080", &[pairs, &[FORM]].concat());
    assert_eq!(local(&[("origin", "http://127.0.0.1:8080")]), Ok(()));
    for site in ["same-origin", "none"] {
        assert_eq!(local(&[("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", site)]), Ok(()), "{site}");
    }
    assert_eq!(local(&[("sec-fetch-site", "same-origin")]), Ok(()), "a browser that leaves Origin out");
    for origin in [
        "http://127.0.0.1:8081",
        "http://127.0.0.1",
        "https://127.0.0.1:8080",
        "http://localhost:8080",
        "http://[::1]:8080",
        "http://evil.example",
        "http://evil.example:8080",
        "null",
        "",
        "127.0.0.1:8080",
        "http://127.0.0.1:8080/",
        "http://127.0.0.1:8080.evil.example",
        "http://a@127.0.0.1:8080",
        "http://127.0.0.1:8080 http://evil.example",
        "HTTP://127.0.0.1:8080",
        "file://",
        "http://127.0.0.1:+8080",
        "//127.0.0.1:8080",
    ] {
        assert!(matches!(local(&[("origin", origin)]), Err(Refusal::Foreign { .. })), "{origin}");
        let both = [("origin", origin), ("sec-fetch-site", "same-origin")];
        assert!(matches!(local(&both), Err(Refusal::Foreign { .. })), "{origin} is not outweighed");
    }
    for site in ["cross-site", "same-site", "SAME-ORIGIN", ""] {
        let pair = [("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", site)];
        assert!(matches!(local(&pair), Err(Refusal::Foreign { .. })), "{site}");
    }
    assert_eq!(local(&[]), Err(Refusal::NoOrigin));
    assert!(matches!(local(&[("sec-fetch-site", "none")]), Err(Refusal::Foreign { .. })));
    let twice = [("origin", "http://127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")];
    assert!(matches!(local(&twice), Err(Refusal::Foreign { .. })));
}

#[test]
fn behind_a_proxy_the_origin_may_be_https() {
    let own = names("127.0.0.1:8080", &["ops.example"]);
    let from = |origin| form(&own, "ops.example", &[("origin", origin), FORM]);
    for origin in ["https://ops.example", "https://ops.example:443", "http://ops.example"] {
        assert_eq!(from(origin), Ok(()), "{origin}");
    }
    for origin in ["https://ops.example:8443", "https://a.ops.example", "http://ops.example:443", "null"] {
        assert!(from(origin).is_err(), "{origin}");
    }
}

#[test]
fn only_a_form_is_a_form() {
    let own = names("127.0.0.1:8080", &[]);
    let sent = |kinds: &[&str]| {
        let kinds: Vec<_> = kinds.iter().map(|kind| ("content-type", *kind)).collect();
        form(&own, "127.0.0.1:8080", &[&[("origin", "http://127.0.0.1:8080")], &kinds[..]].concat())
    };
    assert_eq!(sent(&["Application/X-WWW-Form-Urlencoded; charset=UTF-8"]), Ok(()));
    for kinds in [
        &[][..],
        &["text/plain"],
        &["application/json"],
        &["multipart/form-data; boundary=a"],
        &[FORM.1, FORM.1],
        &["application/x-www-form-urlencodedx"],
    ] {
        assert_eq!(sent(kinds), Err(Refusal::NotAForm), "{kinds:?}");
    }
}
