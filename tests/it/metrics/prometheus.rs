//! A real Prometheus scrapes a real `maand serve`, with the rules and the dashboard of `examples/monitoring`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::examples::{expressions, folder};
use super::tools::{Server, samples, tool, value};
use crate::journal::played;
use crate::support::http::{get, get_with};
use crate::support::serve::Serve;
use crate::wait_until;

/// As Prometheus 2.42 asks.
const ACCEPT: &str = "Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
                      q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n";

#[test]
fn metrics_are_in_the_format_that_is_asked_for() {
    let (dir, _) = played::stored(&["w1", "w2", "w3"]);
    let server = Serve::of(dir.path());
    let old = get(server.address, "/metrics");
    assert_eq!(
        (old.status, old.header("content-type")),
        (200, Some("text/plain; version=0.0.4; charset=utf-8"))
    );
    let new = get_with(server.address, "/metrics", ACCEPT);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((new.status, new.header("content-type")), (200, Some(kind)));
    assert!(new.body.ends_with("\n# EOF\n") && !old.body.contains("# EOF"));
    let (mut old, mut new) = (samples(&old.body), samples(&new.body));
    for of_the_moment in [&mut old, &mut new] {
        of_the_moment.retain(|series, _| !series.contains("_updated_") && !series.contains("_age_"));
    }
    assert_eq!(old, new);
    // Nobody may ask for anything else there.
    let post = crate::support::http::exchange(
        server.address,
        format!(
            "POST /metrics HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            server.address
        )
        .as_bytes(),
    );
    assert_ne!(post.status, 200);
}

/// What a query has come to.
fn query(prometheus: &Server, expr: &str) -> Value {
    let escaped: String = expr.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let answer: Value =
        serde_json::from_str(&prometheus.get(&format!("/api/v1/query?query={escaped}"))).unwrap();
    assert_eq!(answer["status"], "success", "{expr}: {answer}");
    answer["data"]["result"].clone()
}

fn config(dir: &Path, scraped: SocketAddr) {
    let text = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}\n\
         rule_files: [{}]\n\
         scrape_configs: [{{job_name: maand, static_configs: [{{targets: ['{scraped}']}}]}}]\n",
        folder().join("alerts.yml").display()
    );
    fs::write(dir.join("prometheus.yml"), text).unwrap();
}

#[test]
fn a_prometheus_scrapes_the_server_and_answers() {
    let Some(prometheus) = tool("prometheus") else { return };
    let (bucket, _) = played::stored(&["w1", "w2", "w3"]);
    let server = Serve::of(bucket.path());
    let dir = tempfile::tempdir().unwrap();
    config(dir.path(), server.address);
    let mut command = Command::new(prometheus);
    command.current_dir(dir.path()).args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
    let prometheus = Server::start(command, |address| format!("--web.listen-address={address}"));
    wait_until("it is ready", || get(prometheus.address(), "/-/ready").status == 200);
    let text = get(server.address, "/metrics").body;

    // More than one scrape, so that there is a rate.
    wait_until("two scrapes", || {
        let count = query(&prometheus, "count_over_time(maand_runs{state=\"halted\"}[1m])");
        count[0]["value"][1].as_str().is_some_and(|count| count.parse::<u32>().unwrap() > 1)
    });
    let up = query(&prometheus, "up{job=\"maand\"}");
    assert_eq!(up[0]["value"][1], "1", "{up}");
    let halted = query(&prometheus, "maand_runs{state=\"halted\"}");
    assert_eq!(halted[0]["value"][1], "1", "{halted}");
    let root = bucket.path().canonicalize().unwrap();
    assert_eq!(halted[0]["metric"]["bucket"], root.to_str().unwrap());
    let reboots = "maand_step_duration_seconds_count{kind=\"reboot\",outcome=\"ok\"}";
    let asked: f64 = query(&prometheus, reboots)[0]["value"][1].as_str().unwrap().parse().unwrap();
    assert_eq!(asked, value(&text, reboots));
    // Types and units arrive: the format is OpenMetrics.
    let metadata: Value =
        serde_json::from_str(&prometheus.get("/api/v1/targets/metadata?metric=maand_wait_seconds")).unwrap();
    let told = &metadata["data"][0];
    assert_eq!((&told["type"], &told["unit"]), (&"counter".into(), &"seconds".into()), "{metadata}");
    for expr in expressions() {
        query(&prometheus, &expr);
    }
    // The rules are read, and the first of them sees the run that has halted.
    wait_until("an alert is pending", || {
        let alerts: Value = serde_json::from_str(&prometheus.get("/api/v1/alerts")).unwrap();
        alerts["data"]["alerts"].as_array().unwrap().iter().any(|alert| {
            alert["labels"]["alertname"] == "MaandRunStandsStill" && alert["labels"]["state"] == "halted"
        })
    });
}
