//! Files whose names end with `.tpl`, as far as tests need them: `{{ get "NAMESPACE" "KEY" }}` of what upstream
//! writes into its store at each build, about *enabled* allocations only. So a job that is disabled everywhere
//! has no ports there, and whatever names one of them cannot be rendered; and a file may be another one while its
//! worker is disabled. `{{ own jobs }}` stands for `{{ get (printf "maand/worker/%s" .WorkerIP) "jobs" }}`.

use rusqlite::Connection;

use super::Result;
use super::catalog::{self, Allocation};

/// The text with its values in it.
pub(crate) fn render(connection: &Connection, host: &str, file: &str, text: &str) -> Result<String> {
    let text = text.replace("{{ own jobs }}", &format!("{{{{ get \"maand/worker/{host}\" \"jobs\" }}}}"));
    let mut rendered = String::new();
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once("{{ get \"") {
        let (call, after) = behind.split_once("\" }}").ok_or_else(|| format!("parse template {file}"))?;
        let (namespace, key) = call.split_once("\" \"").ok_or_else(|| format!("parse template {file}"))?;
        let value = value(connection, namespace, key)?.ok_or_else(|| {
            format!(
                "execute template {file}: template: template:1:8: executing \"template\" at <get \"{namespace}\" \"{key}\">: error calling get: key not found or deleted"
            )
        })?;
        rendered.push_str(before);
        rendered.push_str(&value);
        rest = after;
    }
    Ok(rendered + rest)
}

fn value(connection: &Connection, namespace: &str, key: &str) -> Result<Option<String>> {
    let all = catalog::allocations(connection)?;
    let active = |job: &str| {
        let hosts =
            all.iter().filter(|one| one.job == job && one.active()).map(|one: &Allocation| one.host.clone());
        hosts.collect::<Vec<_>>()
    };
    if namespace == "maand/bucket" {
        let port = catalog::jobs(connection)?.into_iter().find_map(|(job, manifest)| {
            let port = manifest["resources"]["ports"].get(key)?.to_string();
            (!active(&job).is_empty()).then_some(port)
        });
        return Ok(port);
    }
    if let (Some(host), "jobs") = (namespace.strip_prefix("maand/worker/"), key) {
        let own = all.iter().filter(|one| one.host == host && one.active()).map(|one| one.job.clone());
        return Ok(Some(own.collect::<Vec<_>>().join(",")));
    }
    let job = namespace.strip_prefix("maand/job/").unwrap_or_default();
    Ok((key == "workers" && !job.is_empty()).then(|| active(job).join(",")))
}
