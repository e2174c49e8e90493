//! The newest entries of a BMC's log.
//!
//! Where it is differs: most have it below the system, some (iDRAC) below the manager, and of several services (events,
//! the audit of logins, jobs) the hardware's own is the one of use. Entries are in no order that the standard names.

use serde_json::Value;

use super::bmc::{Session, link, path, said, shown};
use super::{LogEntry, PowerError};

/// So many entries are told.
const ENTRIES: usize = 4;
/// The longest kind of name that says what a service holds, the most telling first: the hardware's log as IPMI, HPE and
/// most others call it.
const TELLING: &[&str] = &["sel", "iml", "eventlog", "event", "log1", "log"];

/// The newest entries of the system's log, the newest first.
pub(super) fn newest(session: &mut Session<'_>, system: &Value) -> Result<Vec<LogEntry>, PowerError> {
    let service = service(session, system)?;
    let service = session.get(&service)?;
    let entries = link(&service, "Entries").ok_or_else(|| said("its log", "it names no entries"))?.to_owned();
    let page = session.get(&entries)?;
    let mut found = entries_of(session, &page)?;
    // A page that is not the last one has the oldest entries of a log that begins with them.
    if page.get("Members@odata.nextLink").is_some()
        && let Some(count) = page.get("Members@odata.count").and_then(Value::as_u64)
        && count > found.len() as u64
        && let Ok(last) = session.get(&format!("{entries}?$skip={}", count.saturating_sub(ENTRIES as u64)))
    {
        found.extend(entries_of(session, &last)?);
    }
    found.sort_by(|a, b| b.created.cmp(&a.created));
    found.dedup();
    found.truncate(ENTRIES);
    Ok(found)
}

fn service(session: &mut Session<'_>, system: &Value) -> Result<String, PowerError> {
    let own = link(system, "LogServices").map(str::to_owned);
    let manager = system.get("Links").and_then(|links| links.get("ManagedBy")).and_then(|list| list.get(0));
    let manager = manager.and_then(|manager| path(manager.get("@odata.id")?.as_str()?)).map(str::to_owned);
    if let Some(own) = own
        && let Some(service) = best(&session.get(&own)?)
    {
        return Ok(service);
    }
    if let Some(manager) = manager {
        let manager = session.get(&manager)?;
        if let Some(services) = link(&manager, "LogServices").map(str::to_owned)
            && let Some(service) = best(&session.get(&services)?)
        {
            return Ok(service);
        }
    }
    Err(PowerError::Answer("it names no log".to_owned()))
}

/// The log of the hardware, by its name.
fn best(services: &Value) -> Option<String> {
    let members = services.get("Members")?.as_array()?;
    let links = members.iter().filter_map(|member| path(member.get("@odata.id")?.as_str()?));
    let rank = |link: &&str| {
        let name = link.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        TELLING.iter().position(|telling| name.contains(telling)).unwrap_or(TELLING.len())
    };
    links.min_by_key(rank).map(str::to_owned)
}

/// What a page of entries has, some of them asked for where it only names them.
fn entries_of(session: &mut Session<'_>, page: &Value) -> Result<Vec<LogEntry>, PowerError> {
    let Some(members) = page.get("Members").and_then(Value::as_array) else {
        return Err(said("its log", "the answer has no list `Members`"));
    };
    let mut found: Vec<LogEntry> = members.iter().filter_map(entry).collect();
    if found.is_empty() {
        let links: Vec<&str> =
            members.iter().filter_map(|member| path(member.get("@odata.id")?.as_str()?)).collect();
        // By their numbers the last ones are the newest.
        for link in links.iter().rev().take(ENTRIES) {
            found.extend(entry(&session.get(link)?));
        }
    }
    Ok(found)
}

fn entry(value: &Value) -> Option<LogEntry> {
    let text = |name: &str| {
        value.get(name).and_then(Value::as_str).map(|text| shown(text.trim())).unwrap_or_default()
    };
    let message = text("Message");
    (!message.is_empty()).then(|| LogEntry { created: text("Created"), severity: text("Severity"), message })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_log_of_the_hardware_is_preferred() {
        let services = |names: &[&str]| {
            let member =
                |name: &&str| json!({"@odata.id": format!("/redfish/v1/Systems/1/LogServices/{name}")});
            json!({"Members": names.iter().map(member).collect::<Vec<_>>()})
        };
        let best = |names: &[&str]| {
            best(&services(names)).and_then(|path| path.rsplit('/').next().map(str::to_owned))
        };
        assert_eq!(best(&["Audit", "Sel", "Jobs"]).as_deref(), Some("Sel"));
        assert_eq!(best(&["IEL", "IML"]).as_deref(), Some("IML"));
        assert_eq!(best(&["Dump", "EventLog"]).as_deref(), Some("EventLog"));
        assert_eq!(best(&["Jobs"]).as_deref(), Some("Jobs"));
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn an_entry_is_one_line_of_text() {
        let said = json!({"Created": "2026-11-30T01:02:03Z", "Severity": "Critical", "Message": "Fan 1\nfailed\u{202e}"});
        let line = entry(&said).unwrap().to_string();
        assert!(
            line.starts_with("2026-11-30T01:02:03Z Critical Fan 1 failed") && !line.contains('\u{202e}'),
            "{line}"
        );
        assert_eq!(entry(&json!({"Message": 3})), None);
        assert_eq!(entry(&json!([])), None);
    }
}
