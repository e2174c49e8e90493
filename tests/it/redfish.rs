//! What is made of the answers of a BMC: the shapes that the standard allows, those that it does not, and orders whose end
//! is told, refused, or not known. No worker is needed for it.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use maand::bucket::{Host, PowerSettings, Worker};
use maand::power::{Bmc, PowerReport, ResetResult};
use serde_json::{Value, json};

use crate::support::bmc::{Asked, Reply, Server, redfish};

/// The BMC that this server plays; the folder has its credentials.
fn bmc_at(server: &Server, folder: &tempfile::TempDir) -> Bmc {
    let credentials = folder.path().join("bmc");
    std::fs::write(&credentials, "* maand secret\n").unwrap();
    std::fs::set_permissions(&credentials, PermissionsExt::from_mode(0o600)).unwrap();
    let settings = PowerSettings {
        url: format!("http://{}", server.address),
        credentials: Some(credentials),
        ca: None,
        certificate_name: None,
        system: None,
        timeout: Duration::from_secs(3),
    };
    Bmc::of(&settings, &Worker::new(Host::parse("w1").unwrap())).unwrap().unwrap()
}

fn never() -> bool {
    false
}

/// What a BMC says that answers like this, in one text, and how often it was asked.
fn told(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> (Result<PowerReport, String>, usize) {
    let (server, folder) = (Server::start(answer), tempfile::tempdir().unwrap());
    let report = bmc_at(&server, &folder).look(&never).map_err(|error| error.to_string());
    assert_eq!(server.told(), 0, "it was only asked");
    (report, server.asked().len())
}

fn link(to: &str) -> Value {
    json!({"@odata.id": to})
}

/// A system that differs from that of [`redfish`] in these keys; `null`: it has none of that name.
fn system(changes: &Value) -> Value {
    let mut system = redfish("/redfish/v1/Systems/1", "On", &json!([])).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        system[key] = value.clone();
    }
    system
}

fn json_or_404(document: Option<Value>) -> Reply {
    document.map_or_else(|| Reply::Json(404, json!({})), |document| Reply::Json(200, document))
}

#[test]
fn a_log_below_the_manager_is_found_and_its_entries_are_asked_for() {
    let entry = |at: u32| json!({"Created": format!("2026-01-01T00:00:0{at}Z"), "Severity": "OK", "Message": format!("entry {at}")});
    let (report, _) = told(move |asked| {
        let manager = "/redfish/v1/Managers/iDRAC.Embedded.1";
        json_or_404(match asked.path.as_str() {
            "/redfish/v1/Systems/1" => {
                Some(system(&json!({"LogServices": null, "Links": {"ManagedBy": [link(manager)]}})))
            }
            "/redfish/v1/Managers/iDRAC.Embedded.1" => {
                Some(json!({"LogServices": link("/redfish/v1/M/Logs")}))
            }
            "/redfish/v1/M/Logs" => {
                Some(json!({"Members": [link("/redfish/v1/M/Logs/Lclog"), link("/redfish/v1/M/Logs/Sel")]}))
            }
            "/redfish/v1/M/Logs/Sel" => Some(json!({"Entries": link("/redfish/v1/M/Logs/Sel/Entries")})),
            "/redfish/v1/M/Logs/Sel/Entries" => {
                let members: Vec<Value> = (1..=9).map(|at| link(&format!("/redfish/v1/E/{at}"))).collect();
                Some(json!({"Members": members}))
            }
            path => match path.strip_prefix("/redfish/v1/E/") {
                Some(at) => Some(entry(at.parse().unwrap())),
                None => redfish(path, "On", &json!([])),
            },
        })
    });
    let log = report.unwrap().log.unwrap();
    let said: Vec<&str> = log.iter().map(|entry| entry.message.as_str()).collect();
    assert_eq!(said, ["entry 9", "entry 8", "entry 7", "entry 6"]);
}

#[test]
fn a_log_that_begins_with_its_oldest_entries_is_read_at_its_end() {
    let entries = |from: u32, to: u32| -> Vec<Value> {
        let entry =
            |at| json!({"Created": format!("2026-01-01T00:00:{at:02}Z"), "Message": format!("entry {at}")});
        (from..to).map(entry).collect()
    };
    let (report, _) = told(move |asked| {
        json_or_404(match asked.path.split_once("/Sel/Entries").map(|(_, query)| query) {
            Some("") => Some(json!({
                "Members": entries(0, 10), "Members@odata.count": 30, "Members@odata.nextLink": "/x?$skip=10"
            })),
            Some("?$skip=26") => Some(json!({"Members": entries(26, 30), "Members@odata.count": 30})),
            _ => redfish(&asked.path, "On", &json!([])),
        })
    });
    let log = report.unwrap().log.unwrap();
    assert_eq!(
        log.iter().map(|entry| entry.message.as_str()).collect::<Vec<_>>(),
        ["entry 29", "entry 28", "entry 27", "entry 26"]
    );
}

/// Each answer in turn is something else than it should be: that ends in words or in a report, after few questions.
#[test]
fn whatever_stands_at_a_place_is_an_error_in_words_or_left_out() {
    let deep = "[".repeat(5_000) + &"]".repeat(5_000);
    let odd: Vec<String> = [
        json!(null),
        json!([]),
        json!({}),
        json!("x"),
        json!(-1e308),
        json!({"Members": [null, {}, [], {"@odata.id": 3}, {"@odata.id": "http://else.invalid/redfish/v1/x"}]}),
        json!({"Members": {"@odata.id": "/redfish/v1/Systems/1"}, "PowerState": ["On"], "Status": "OK", "LogServices": []}),
        json!({"PowerState": "\u{1b}[2J\u{202e}", "Entries": {"@odata.id": "/redfish/../x"}}),
        json!({"Members": vec![json!({"Message": "y".repeat(5_000), "Created": 3}); 50]}),
        json!({"Members": [{"Message": "z"}], "Members@odata.count": 18_446_744_073_709_551_615_u64, "Members@odata.nextLink": "x"}),
    ]
    .iter()
    .map(Value::to_string)
    .chain([deep, "nonsense".to_owned(), "{\"PowerState\"".to_owned(), "\u{0}\u{1b}".to_owned()])
    .collect();
    let places = ["Systems", "Systems/1", "Systems/1/LogServices", "LogServices/Sel", "Sel/Entries"];
    for place in places {
        for text in &odd {
            let (end, body) = (format!("/{place}"), text.clone());
            let (report, asked) = told(move |asked| {
                if asked.path.ends_with(&end) {
                    return Reply::Raw(format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    ));
                }
                json_or_404(redfish(&asked.path, "On", &json!([])))
            });
            assert!(asked <= 16, "{place} {text}: {asked} questions");
            let shown = match report {
                Ok(report) => report.state() + &report.log_lines().join("\n"),
                Err(error) => error,
            };
            assert!(
                shown.len() < 2_000 && !shown.contains(['\u{1b}', '\u{202e}', '\u{0}']),
                "{place} {text}: {shown}"
            );
        }
    }
}

/// What came of an order that is answered like this, and the kinds that were ordered.
fn reset(
    changes: &Value,
    answer: impl Fn(&Asked) -> Option<Reply> + Send + Sync + 'static,
) -> (Option<ResetResult>, Vec<String>) {
    let changed = system(changes);
    let server = Server::start(move |asked| match (asked.path.as_str(), answer(asked)) {
        (_, Some(reply)) => reply,
        ("/redfish/v1/Systems/1", None) => Reply::Json(200, changed.clone()),
        (path, None) => json_or_404(redfish(path, "On", &json!([]))),
    });
    let folder = tempfile::tempdir().unwrap();
    let bmc = bmc_at(&server, &folder);
    let order = bmc.reset_order(&never);
    assert_eq!(server.told(), 0, "nothing is ordered before it is known how");
    let result = order.ok().map(|order| bmc.reset(&order, &never));
    let kind = |asked: &Asked| {
        let body: Value = serde_json::from_str(&asked.body).unwrap();
        body["ResetType"].as_str().unwrap().to_owned()
    };
    (result, server.asked().iter().filter(|asked| asked.method == "POST").map(kind).collect())
}

fn posts(asked: &Asked, reply: impl Fn() -> Reply) -> Option<Reply> {
    (asked.method == "POST").then(reply)
}

#[test]
fn what_came_of_an_order_is_told_from_what_may_have() {
    let of = |status: u16| {
        let (result, ordered) =
            reset(&json!({}), move |asked| posts(asked, || Reply::Json(status, json!({}))));
        assert_eq!(ordered, ["ForceRestart"], "{status}");
        match result.unwrap() {
            ResetResult::Ordered(_) => "ordered",
            ResetResult::NotDone(_) => "not done",
            ResetResult::Unknown(_) => "unknown",
        }
    };
    for (statuses, wanted) in [
        (&[200, 202, 204][..], "ordered"),
        (&[302, 400, 401, 403, 404, 409, 501, 503], "not done"),
        (&[500, 502, 504], "unknown"),
    ] {
        assert!(statuses.iter().all(|status| of(*status) == wanted), "{wanted}");
    }
    for raw in ["", "HTTP/1.1 2", "nonsense\r\n\r\n"] {
        let (result, ordered) = reset(&json!({}), move |asked| posts(asked, || Reply::Raw(raw.to_owned())));
        assert!(matches!(result, Some(ResetResult::Unknown(_))), "{raw}: {result:?}");
        assert_eq!(ordered.len(), 1, "{raw}");
    }
    let (result, ordered) = reset(&json!({}), |asked| posts(asked, || Reply::Hang));
    assert!(matches!(result, Some(ResetResult::Unknown(_))), "{result:?}");
    assert_eq!(ordered.len(), 1);
}

#[test]
fn a_computer_that_knows_no_restart_is_switched_off_and_on() {
    let action = |allowed: &[&str]| {
        json!({"Actions": {"#ComputerSystem.Reset": {
            "target": "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset",
            "ResetType@Redfish.AllowableValues": allowed
        }}})
    };
    let is_off = Arc::new(AtomicBool::new(false));
    let off = Arc::clone(&is_off);
    let (result, ordered) = reset(&action(&["On", "ForceOff"]), move |asked| match asked.path.as_str() {
        _ if asked.method == "POST" => {
            off.store(asked.body.contains("ForceOff"), Ordering::SeqCst);
            Some(Reply::Json(204, json!({})))
        }
        "/redfish/v1/Systems/1" if off.load(Ordering::SeqCst) => {
            Some(Reply::Json(200, system(&json!({"PowerState": "Off"}))))
        }
        _ => None,
    });
    assert!(
        matches!(&result, Some(ResetResult::Ordered(receipt)) if receipt.reset == "ForceOff, On"),
        "{result:?}"
    );
    assert_eq!(ordered, ["ForceOff", "On"]);
    // Off, and not on again: whoever looks has to be told.
    let (result, ordered) = reset(&action(&["On", "ForceOff"]), |asked| match asked.body.as_str() {
        body if body.contains("ForceOff") => Some(Reply::Json(204, json!({}))),
        "" => None,
        _ => Some(Reply::Json(403, json!({}))),
    });
    assert!(
        matches!(&result, Some(ResetResult::Unknown(why)) if why.contains("ForceOff was ordered")),
        "{result:?}"
    );
    assert_eq!(ordered, ["ForceOff"], "it never went off");
    // What would shut it down in good order is no forced reset, and a target elsewhere is none.
    assert_eq!(reset(&action(&["GracefulRestart", "Nmi"]), |_| None), (None, vec![]));
    let elsewhere =
        json!({"Actions": {"#ComputerSystem.Reset": {"target": "http://else.invalid/redfish/v1/reset"}}});
    assert_eq!(reset(&elsewhere, |_| None), (None, vec![]));
    assert_eq!(reset(&json!({"Actions": null}), |_| None), (None, vec![]));
    assert_eq!(reset(&json!({"PowerState": "Lost"}), |_| None), (None, vec![]));
}

#[test]
fn kinds_that_stand_in_a_document_of_their_own_are_asked_for() {
    let action = json!({"Actions": {"#ComputerSystem.Reset": {
        "target": "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset",
        "@Redfish.ActionInfo": "/redfish/v1/Systems/1/ResetActionInfo"
    }}});
    let (_, ordered) = reset(&action, |asked| {
        let info = json!({"Parameters": [{"Name": "Other"}, {"Name": "ResetType", "AllowableValues": ["On", "PowerCycle"]}]});
        (asked.path == "/redfish/v1/Systems/1/ResetActionInfo").then(|| Reply::Json(200, info))
    });
    assert_eq!(ordered, ["PowerCycle"]);
}
