use axum::http::HeaderValue;

use super::*;

fn sessions(now: Instant) -> (Sessions<&'static str>, String) {
    Sessions::new(8080, now).unwrap()
}

fn ana() -> (WebName, Option<u32>) {
    (WebName::parse("ana").unwrap(), Some(1000))
}

fn from(headers: &HeaderMap) -> Sender<'_> {
    Sender { headers, user: &|| Some(1000) }
}

fn cookie(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.append(COOKIE, HeaderValue::from_str(text).unwrap());
    headers
}

/// What a browser sends back.
fn sent(set: &str) -> String {
    set.split(';').next().unwrap().to_owned()
}

#[test]
fn the_token_opens_a_session_whose_cookie_is_another_secret() {
    let now = Instant::now();
    let (mut sessions, token) = sessions(now);
    let set = sessions.log_in(&token, ana(), false, now).unwrap();
    for part in ["; Path=/", "; HttpOnly", "; SameSite=Strict"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure") && !set.contains("Max-Age") && !set.contains(&token), "{set}");
    assert!(sessions.log_in(&token, ana(), true, now).unwrap().ends_with("; Secure"));
    assert_eq!(token.len(), 64);
    let who = sessions.of(from(&cookie(&format!("a=b; {}; c=d", sent(&set)))), now).unwrap();
    assert_eq!(who.name.as_str(), "ana");
    assert!(sessions.is_own_form(&who, &who.form));
    let other = sessions.log_in(&token, ana(), false, now).unwrap();
    let other = sessions.of(from(&cookie(&sent(&other))), now).unwrap();
    for wrong in ["", "0", &token, &other.form, &sent(&set)] {
        assert!(!sessions.is_own_form(&who, wrong), "{wrong}");
    }
}

#[test]
fn other_cookies_open_nothing() {
    let now = Instant::now();
    let (mut sessions, token) = sessions(now);
    let set = sessions.log_in(&token, ana(), false, now).unwrap();
    let value = sent(&set).split_once('=').unwrap().1.to_owned();
    let wrong = [
        String::new(),
        "maand_8080=".to_owned(),
        format!("maand_8080={token}"),
        format!("maand_8081={value}"),
        format!("maand_8080={}", value.to_uppercase()),
        format!("maand_8080={}", &value[1..]),
        format!("maand_8080={value}0"),
        format!("maand_8080={value}; maand_8080=0"),
        format!("maand_8080=0; maand_8080={value}"),
        value.clone(),
    ];
    for text in wrong {
        assert_eq!(sessions.of(from(&cookie(&text)), now), None, "{text}");
    }
    // After a restart the old cookie is worth nothing.
    let (mut restarted, _) = Sessions::<&str>::new(8080, now).unwrap();
    assert_eq!(restarted.of(from(&cookie(&sent(&set))), now), None);
    assert!(sessions.of(from(&cookie(&sent(&set))), now).is_some());
    assert!(sessions.log_out(from(&cookie(&sent(&set))), now).contains("Max-Age=0"));
    assert_eq!(sessions.of(from(&cookie(&sent(&set))), now), None);
}

#[test]
fn a_cookie_is_worth_nothing_to_other_users_of_the_machine() {
    let now = Instant::now();
    let (mut sessions, token) = sessions(now);
    let set = sessions.log_in(&token, ana(), false, now).unwrap();
    let headers = cookie(&sent(&set));
    for other in [Some(1001), Some(0), None] {
        assert_eq!(sessions.of(Sender { headers: &headers, user: &|| other }, now), None, "{other:?}");
        sessions.log_out(Sender { headers: &headers, user: &|| other }, now);
    }
    assert!(sessions.of(from(&headers), now).is_some());
    let elsewhere = sessions.log_in(&token, (ana().0, None), false, now).unwrap();
    let headers = cookie(&sent(&elsewhere));
    assert!(sessions.of(Sender { headers: &headers, user: &|| None }, now).is_some());
    assert_eq!(sessions.of(from(&headers), now), None);
}

#[test]
fn a_session_ends_when_it_is_not_used_and_there_are_so_many_of_them() {
    let start = Instant::now();
    let (mut sessions, token) = sessions(start);
    let set = sessions.log_in(&token, ana(), false, start).unwrap();
    let own = cookie(&sent(&set));
    let half = start + IDLE / 2;
    assert!(sessions.of(from(&own), half).is_some());
    assert!(sessions.of(from(&own), half + IDLE - Duration::from_secs(1)).is_some());
    assert!(sessions.of(from(&own), half + IDLE * 2).is_none());
    let now = half + IDLE * 2;
    let own = cookie(&sent(&sessions.log_in(&token, ana(), false, now).unwrap()));
    for n in 1..SESSIONS as u64 {
        sessions.log_in(&token, ana(), false, now + Duration::from_secs(n)).unwrap();
    }
    assert!(sessions.of(from(&own), now + Duration::from_secs(100)).is_some());
    for n in 0..3 {
        sessions.log_in(&token, ana(), false, now + Duration::from_secs(200 + n)).unwrap();
    }
    assert_eq!(sessions.open.len(), SESSIONS);
    assert!(sessions.of(from(&own), now + Duration::from_secs(300)).is_some(), "it was used last");
}

#[test]
fn who_guesses_is_slowed_down_and_who_knows_is_not() {
    let start = Instant::now();
    let (mut sessions, token) = sessions(start);
    for _ in 0..FAILURES * 2 {
        assert!(sessions.log_in(&token, ana(), false, start).is_ok());
    }
    for wrong in
        ["", " ", "0", &token[1..], &format!("{token}0"), &token.to_uppercase(), "é", &"0".repeat(64)]
    {
        assert_eq!(sessions.log_in(wrong, ana(), false, start), Err(NoLogin::WrongToken), "{wrong}");
    }
    for _ in 8..FAILURES {
        assert_eq!(sessions.log_in("0", ana(), false, start), Err(NoLogin::WrongToken));
    }
    assert_eq!(sessions.log_in("0", ana(), false, start), Err(NoLogin::TooMany(PAUSE)));
    let later = start + PAUSE;
    assert!(sessions.log_in(&token, ana(), false, later).is_ok());
    assert_eq!(sessions.log_in("0", ana(), false, later), Err(NoLogin::WrongToken));
    assert!(matches!(sessions.log_in(&token, ana(), false, later), Err(NoLogin::TooMany(_))));
    // In an hour one may guess 600 times and not more.
    let mut compared = 0;
    for second in 0..3600 {
        let at = later + PAUSE * 100 + Duration::from_secs(second);
        while sessions.log_in("0", ana(), false, at) == Err(NoLogin::WrongToken) {
            compared += 1;
        }
    }
    assert!((600..=u64::from(FAILURES) + 600).contains(&compared), "{compared}");
}

#[test]
fn a_form_that_is_sent_twice_is_carried_out_once() {
    let now = Instant::now();
    let (mut sessions, token) = sessions(now);
    let who = |sessions: &mut Sessions<_>| {
        let set = sessions.log_in(&token, ana(), false, now).unwrap();
        sessions.of(from(&cookie(&sent(&set))), now).unwrap()
    };
    let (one, two) = (who(&mut sessions), who(&mut sessions));
    let Some(Begun::New(first)) = sessions.begin(&one, "pause") else { panic!() };
    assert_eq!(sessions.begin(&one, "pause"), Some(Begun::Again(first)));
    assert_eq!(sessions.answered(&one, first), Some(None));
    sessions.answer(&one, first, "done");
    assert_eq!(sessions.begin(&one, "pause"), Some(Begun::Again(first)));
    assert_eq!(sessions.answered(&one, first), Some(Some("done")));
    assert_eq!(sessions.answered(&two, first), None, "of somebody else");
    assert!(matches!(sessions.begin(&two, "pause"), Some(Begun::New(n)) if n != first));
    for n in 0..ANSWERS {
        sessions.begin(&one, &n.to_string());
    }
    assert_eq!(sessions.answered(&one, first), None, "so many are kept");
    let gone = LoggedIn { form: draw_secret().unwrap(), ..one };
    assert_eq!(sessions.begin(&gone, "pause"), None);
}

#[test]
fn a_name_is_plain_and_never_that_of_a_user_of_a_machine() {
    for name in ["ana", " Ana María O'Neil ", "j.doe-2_x", "李雷", &"a".repeat(40)] {
        let recorded = WebName::parse(name).unwrap().recorded("root@ctl");
        assert_eq!(recorded, format!("{} (web) via root@ctl", name.trim()));
    }
    for wrong in [
        "",
        " ",
        "root@ctl",
        "ana (web)",
        "ana (web) via root@ctl",
        "a<b",
        "a&b",
        "a\"b",
        "a\nb",
        "a\tb",
        "a\u{202e}b",
        "a\u{200b}b",
        "\u{3164}",
        "...",
        "a  b",
        "a\u{a0}b",
        "a/b",
        "a,b",
        "a;b",
        "a\0",
        "\u{1b}[31m",
        &"a".repeat(41),
        "a:b",
        "a`b`",
        "$a",
    ] {
        assert!(WebName::parse(wrong).is_err(), "{wrong:?}");
    }
}
