//! What fuzzers call of this room.

use std::cell::Cell;
use std::time::Duration;

use super::bmc::Bmc;
use super::credentials::Credentials;
use super::{PowerError, PowerReport, ResetResult, log, reset, system};
use crate::fuzzing::{choice, is_fit_to_print};
use crate::http::{Answer, NoAnswer, Trust};

const PASSWORD: &str = "calvin/of\"ours";
const URL: &str = "https://10.1.0.1";
/// As many as `REQUESTS`, which is not believed here.
const MOST: u32 = 16;

/// What a BMC answers, each answer ended by a zero byte; one that begins with `!` and a byte has another status than 200.
/// No other host is asked, nor asked without end, and what is told of it is bounded and has no password in it.
pub(crate) fn power(bytes: &[u8]) {
    let (which, bytes) = choice(bytes, 4);
    let credentials = Credentials { user: "root".to_owned(), password: PASSWORD.to_owned() };
    let encoded = credentials.header();
    let encoded = encoded.rsplit(' ').next().unwrap_or_default();
    let bmc = Bmc {
        host: "w1".to_owned(),
        url: URL.to_owned(),
        system: (which == 3).then(|| "1".to_owned()),
        timeout: Duration::from_secs(600),
        credentials,
        trust: Trust::default(),
    };
    let asked = Cell::new(0);
    let mut answers = bytes.split(|byte| *byte == 0);
    let mut session = bmc.session_by(Box::new(move |request, _| {
        let path = request.uri().to_string();
        let path = path.strip_prefix(URL).unwrap_or_else(|| panic!("{path} is another host"));
        assert!(path.starts_with("/redfish/v1/Systems") || path.starts_with("/redfish/"), "{path}");
        asked.set(asked.get() + 1);
        assert!(asked.get() <= MOST, "asked {} times", asked.get());
        let (status, body) = match answers.next().ok_or(NoAnswer::TimedOut)? {
            [b'!', status, body @ ..] => (u16::from(*status) * 4, body),
            body => (200, body),
        };
        let location = (status / 100 == 3).then(|| String::from_utf8_lossy(body).into_owned());
        Ok(Answer {
            status,
            location,
            date: None,
            retry_after: None,
            body: body.to_vec(),
            is_whole: body.len() < 4000,
        })
    }));
    let tells = |text: &str| {
        is_fit_to_print(text);
        assert!(!text.contains('\n') && text.len() < 4096, "{} bytes: {text}", text.len());
        assert!(!text.contains(PASSWORD) && !text.contains(encoded), "{text}");
    };
    let tells_report = |report: &PowerReport| {
        let texts = [Some(report.state()), report.last_reset.clone()];
        texts.iter().flatten().chain(&report.log_lines()).for_each(|text| tells(text));
        assert!(report.log.as_ref().map_or(0, Vec::len) <= 4);
    };
    let tells_error = |error: PowerError| tells(&error.to_string());
    match which {
        0 | 3 => match system::find(&mut session) {
            Ok((_, found)) => {
                let log = log::newest(&mut session, &found).map_err(|error| error.to_string());
                tells_report(&PowerReport { log, ..system::state(&found) });
            }
            Err(error) => tells_error(error),
        },
        1 => match reset::order(&mut session) {
            Ok(order) => {
                tells_report(&order.report);
                assert!(order.target.starts_with("/redfish/") && !order.kinds.is_empty());
                tells(&order.target);
            }
            Err(error) => tells_error(error),
        },
        _ => match reset::send(&mut session, "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset", "On") {
            ResetResult::Ordered(receipt) => assert!((200..300).contains(&receipt.status)),
            ResetResult::NotDone(error) => tells_error(error),
            ResetResult::Unknown(why) => tells(&why),
        },
    }
}
