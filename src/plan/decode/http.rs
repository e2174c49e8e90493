//! The options of `http`.

use std::collections::BTreeMap;

use super::super::http::{Piece, gate_placeholders, placeholders};
use super::super::secret::is_secret;
use super::super::yaml::{Node, ScalarKind, Value, shorten};
use super::super::{
    EnvValue, HttpBody, HttpExpect, HttpMethod, HttpRequest, HttpStep, HttpUndo, StatusRange, code,
};
use super::common::{Decoder, Fields};
use super::keys::{HTTP_EXPECT, HTTP_REQUEST};

/// A body has at most this many bytes.
const LARGEST_BODY: usize = 256 * 1024;

/// What a request may name wherever it stands, and what only on the way of a worker.
const ANYWHERE: &[&str] =
    &["BUCKET_ID", "MAAND_RUN", "MAAND_PLAN", "MAAND_LIST", "MAAND_STEP", "MAAND_ATTEMPT"];
const OF_A_WORKER: &[&str] = &["WORKER_IP", "MAAND_HOST", "MAAND_LABELS", "MAAND_TAGS"];

/// Who asks, which decides about the values that a text may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A step of a worker.
    Worker,
    /// A step of `before` or `after`.
    Once,
    /// A gate of a worker's step.
    GateOfWorker,
    /// A gate in `before` or `after`.
    GateOnce,
    /// A gate around waves, or the guard.
    GateOfRollout,
}

impl Asker {
    /// Of a step: `once`: in `before` or `after`.
    pub(super) fn of_step(once: bool) -> Self {
        if once { Self::Once } else { Self::Worker }
    }

    fn is_gate(self) -> bool {
        !matches!(self, Self::Worker | Self::Once)
    }

    fn has_worker(self) -> bool {
        matches!(self, Self::Worker | Self::GateOfWorker)
    }

    fn pieces(self, text: &str) -> Vec<Piece<'_>> {
        if self.is_gate() { gate_placeholders(text).collect() } else { placeholders(text).collect() }
    }
}

impl Decoder<'_> {
    /// Reads the options of an `http` step. `once`: in `before` or `after`.
    pub(super) fn http_step(&mut self, fields: &Fields<'_>, once: bool) -> Option<HttpStep> {
        let request = self.request(fields, Asker::of_step(once));
        let expect = match fields.get("expect") {
            None => Some(HttpExpect { status: vec![StatusRange::SUCCESS], json: Vec::new() }),
            Some(node) => self.http_expect(node),
        };
        let idempotent = fields.get("idempotent").map(|node| self.flag(node, "idempotent"));
        let undo = match fields.get("undo") {
            None => Some(HttpUndo::Unstated),
            Some(node) if node.text().is_some_and(|text| text.trim() == "none") => Some(HttpUndo::Nothing),
            Some(node) => {
                let example = "undo: {method: PUT, url: \"http://lb/servers/$MAAND_HOST/ready\"}";
                let fields = self.fields(node, "undo", HTTP_REQUEST, example)?;
                self.request(&fields, Asker::of_step(once))
                    .map(|request| HttpUndo::Request(Box::new(request)))
            }
        };
        let request = request?;
        let idempotent = idempotent.unwrap_or(Some(request.method.is_idempotent()))?;
        Some(HttpStep { request, expect: expect?, idempotent, undo: undo? })
    }

    pub(super) fn request(&mut self, fields: &Fields<'_>, asker: Asker) -> Option<HttpRequest> {
        let words = HttpMethod::ALL.map(HttpMethod::as_str);
        let method = match fields.get("method") {
            None => Some(HttpMethod::Get),
            Some(node) => self.word(node, "method", &words).map(|at| HttpMethod::ALL[at]),
        };
        if fields.get("url").is_none() {
            let help = "say where to, such as `url: \"http://lb.internal/servers/$MAAND_HOST/drain\"`";
            self.missing("a request", "url", fields.span.clone(), help);
        }
        let url = fields.get("url").and_then(|node| self.url(node, asker));
        let headers = fields.get("headers").map_or_else(|| Some(BTreeMap::new()), |node| self.headers(node));
        let body = match (fields.get("body"), fields.get("json")) {
            (None, None) => Some(None),
            (Some(node), None) => self.http_text(node, "body").map(|text| Some(HttpBody::Text(text))),
            (None, Some(node)) => self.json_value(node).map(|value| Some(HttpBody::Json(value))),
            (Some(_), Some(json)) => {
                let help = "keep `body` for a text, or `json` for a document";
                let message = "a request has both `body` and `json`".to_owned();
                self.error(
                    code::BAD_REQUEST,
                    message,
                    json.span.clone(),
                    "one body too many",
                    help.to_owned(),
                );
                None
            }
        };
        let request = HttpRequest { method: method?, url: url?, headers: headers?, body: body? };
        let size = match &request.body {
            Some(HttpBody::Text(text)) => text.len(),
            Some(HttpBody::Json(value)) => value.to_string().len(),
            None => 0,
        };
        let mut wrong = Vec::new();
        if size > LARGEST_BODY {
            wrong.push((
                format!("the body of a request has more than {LARGEST_BODY} bytes"),
                "send less".to_owned(),
            ));
        }
        if request.method.is_safe() && request.body.is_some() {
            let message = format!("a request `{}` has no body", request.method.as_str());
            wrong.push((message, "say what is to be done with it, such as `method: POST`".to_owned()));
        }
        wrong.extend(request.texts().into_iter().flat_map(|text| unknown_names(text, asker)));
        let is_fine = wrong.is_empty();
        for (message, help) in wrong {
            let end = self.first_line_end(&fields.span);
            self.error(code::BAD_REQUEST, message, fields.span.start..end, "in this request", help);
        }
        is_fine.then_some(request)
    }

    /// Variables are put in; placeholders stay.
    fn http_text(&mut self, node: &Node, key: &str) -> Option<String> {
        let resolved = self.resolve(node);
        match resolved.text() {
            Some(text) => Some(text.to_owned()),
            None => self.scalar_text(&resolved, key, &format!("{key}: text")).map(|text| text.value),
        }
    }

    pub(super) fn url(&mut self, node: &Node, asker: Asker) -> Option<String> {
        let text = self.text(node, "url", "url: \"http://lb.internal/servers/$MAAND_HOST/drain\"")?;
        let why = wrong_url(&text.value, asker);
        if let Some((why, help)) = why {
            self.not_a_url(&text.value, text.span, why, help);
            return None;
        }
        Some(text.value)
    }

    /// What may be a password in it is not repeated.
    pub(super) fn not_a_url(&mut self, url: &str, span: std::ops::Range<usize>, why: &str, help: &str) {
        let message = if url.contains('@') {
            self.source.hide(span.clone());
            format!("this url cannot be asked: {why}")
        } else {
            format!("`{}` cannot be asked: {why}", shorten(url))
        };
        self.error(code::BAD_REQUEST, message, span, "not a url", help.to_owned());
    }

    pub(super) fn headers(&mut self, node: &Node) -> Option<BTreeMap<String, EnvValue>> {
        let Value::Map(entries) = &node.value else {
            self.wrong_type(node, "headers", "a map from name to value", "headers: {X-Reason: reboot}");
            return None;
        };
        let mut headers: BTreeMap<String, EnvValue> = BTreeMap::new();
        let mut fine = true;
        for (key, value) in entries {
            let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            let again = headers.keys().any(|other| other.eq_ignore_ascii_case(&key.text));
            let why = match () {
                () if key.text.is_empty() || !key.text.chars().all(is_token) => {
                    Some("is no name of a header")
                }
                () if again => Some("is there twice: in headers capitals do not count"),
                () if ["host", "content-length", "transfer-encoding", "connection"]
                    .contains(&key.text.to_ascii_lowercase().as_str()) =>
                {
                    Some("is made by the program itself")
                }
                () => None,
            };
            if let Some(why) = why {
                let message = format!("the header `{}` {why}", shorten(&key.text));
                let help = "use another name, such as `X-Reason`, or leave it out";
                self.error(code::BAD_REQUEST, message, key.span.clone(), "this one", help.to_owned());
                fine = false;
                continue;
            }
            let read = match &value.value {
                Value::Map(_) => self.secret(value),
                _ => self.http_text(value, &key.text).map(EnvValue::Plain),
            };
            if let Some(EnvValue::Plain(text)) = &read
                && text.chars().any(char::is_control)
            {
                let message = format!("the value of the header `{}` has a control character", key.text);
                let help = "headers are one line of text";
                self.error(code::BAD_REQUEST, message, value.span.clone(), "in here", help.to_owned());
                fine = false;
            }
            if let Some(EnvValue::Plain(text)) = &read
                && is_secret(&key.text, text)
            {
                let variable =
                    key.text.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
                self.plain_secret(&format!("the header `{}`", key.text), value.span.clone(), &variable);
            }
            match read {
                Some(value) => drop(headers.insert(key.text.clone(), value)),
                None => fine = false,
            }
        }
        fine.then_some(headers)
    }

    pub(super) fn http_expect(&mut self, node: &Node) -> Option<HttpExpect> {
        let example = "expect: {status: 200, json: {/state: drained}}";
        let fields = self.fields(node, "expect", HTTP_EXPECT, example)?;
        let status = match fields.get("status") {
            None => Some(vec![StatusRange::SUCCESS]),
            Some(node) => {
                let one = matches!(node.value, Value::Scalar(_)).then(|| vec![node.clone()]);
                let items = match one {
                    Some(one) => Some(one),
                    None => self.items(node, "status", "status codes", "status: [200, 204]"),
                };
                let ranges: Vec<_> = items?.iter().map(|item| self.status(item)).collect();
                ranges.into_iter().collect()
            }
        };
        let json = fields.get("json").map_or_else(|| Some(Vec::new()), |node| self.pointers(node));
        Some(HttpExpect { status: status?, json: json? })
    }

    fn status(&mut self, node: &Node) -> Option<StatusRange> {
        let resolved = self.resolve(node);
        let text = resolved.scalar().map(|scalar| scalar.text.clone()).unwrap_or_default();
        let range = StatusRange::parse(&text);
        if range.is_none() {
            let message = format!("`{}` is no status of an answer", shorten(&text));
            let help = "write a code such as 204, or all of a hundred such as 2xx";
            self.error(code::BAD_REQUEST, message, node.span.clone(), "not a status", help.to_owned());
        }
        range
    }

    fn pointers(&mut self, node: &Node) -> Option<Vec<(String, serde_json::Value)>> {
        let Value::Map(entries) = &node.value else {
            self.wrong_type(node, "json", "a map from place to value", "json: {/state: drained}");
            return None;
        };
        let mut wanted = Vec::new();
        for (key, value) in entries {
            // RFC 6901: empty, or parts that each begin with a slash.
            if !key.text.is_empty() && !key.text.starts_with('/') {
                let message = format!("`{}` is no place in a JSON document", shorten(&key.text));
                let help = format!("write it as a JSON pointer, such as `/{}`", key.text.replace('.', "/"));
                self.error(code::BAD_REQUEST, message, key.span.clone(), "not a place", help);
                return None;
            }
            wanted.push((key.text.clone(), self.json_value(value)?));
        }
        Some(wanted)
    }

    /// Any YAML as the JSON that it means; variables are put in.
    pub(super) fn json_value(&mut self, node: &Node) -> Option<serde_json::Value> {
        let node = self.resolve(node);
        Some(match &node.value {
            Value::Scalar(scalar) => match scalar.kind {
                ScalarKind::Null => serde_json::Value::Null,
                ScalarKind::Bool(value) => value.into(),
                ScalarKind::Integer(value) => value.into(),
                ScalarKind::Float(value) => value.into(),
                ScalarKind::Huge => {
                    let help = "write it as a text, in quotes";
                    let message = "this number does not fit into 64 bits".to_owned();
                    self.error(code::BAD_REQUEST, message, node.span.clone(), "too large", help.to_owned());
                    return None;
                }
                ScalarKind::Text => scalar.text.clone().into(),
            },
            Value::List(items) => {
                let items: Vec<_> = items.iter().map(|item| self.json_value(item)).collect();
                serde_json::Value::Array(items.into_iter().collect::<Option<_>>()?)
            }
            Value::Map(entries) => {
                let mut map = serde_json::Map::new();
                for (key, value) in entries {
                    map.insert(key.text.clone(), self.json_value(value)?);
                }
                serde_json::Value::Object(map)
            }
            Value::Unusable => return None,
        })
    }
}

/// What is wrong with the names of values in a text, and what to do.
pub(super) fn unknown_names(text: &str, asker: Asker) -> Vec<(String, String)> {
    let names = asker.pieces(text).into_iter().filter_map(|piece| match piece {
        Piece::Name(name) => Some(name),
        Piece::Text(_) => None,
    });
    names.filter_map(|name| unknown_name(name, asker)).collect()
}

/// What is wrong with a name of a value, and what to do.
fn unknown_name(name: &str, asker: Asker) -> Option<(String, String)> {
    let is_tag = name.strip_prefix("MAAND_TAG_").is_some_and(|tag| !tag.is_empty());
    // Gates around waves belong to no step.
    let anywhere = if asker == Asker::GateOfRollout { &ANYWHERE[..3] } else { ANYWHERE };
    let of_gate: &[&str] = match asker {
        Asker::Worker | Asker::Once => &[],
        Asker::GateOnce => &["down", "MAAND_DOWN"],
        Asker::GateOfWorker => &["worker", "wave", "down", "MAAND_WAVE", "MAAND_DOWN"],
        Asker::GateOfRollout => &["wave", "down", "MAAND_WAVE", "MAAND_DOWN"],
    };
    let is_of_worker = is_tag || OF_A_WORKER.contains(&name) || (asker.is_gate() && name == "worker");
    match () {
        () if anywhere.contains(&name) || of_gate.contains(&name) => None,
        () if is_of_worker && asker.has_worker() => None,
        () if is_of_worker => {
            let (place, help) = match asker {
                Asker::GateOfRollout => (
                    "around waves, where there is no single worker",
                    "name all that are down by `$down`, or make it a step `gate` in `steps`",
                ),
                Asker::GateOnce => {
                    ("in `before` and `after`, where there is no worker", "put the gate into `steps`")
                }
                _ => ("in `before` and `after`, where there is no worker", "put the request into `steps`"),
            };
            Some((format!("`${name}` has no value {place}"), help.to_owned()))
        }
        () => {
            let of_worker: &[&str] = if asker.has_worker() { OF_A_WORKER } else { &[] };
            let names = of_gate.iter().chain(of_worker).chain(anywhere);
            let mut known: Vec<String> = names.map(|name| format!("${name}")).collect();
            if asker.has_worker() {
                known.push("$MAAND_TAG_<KEY>".to_owned());
            }
            Some((format!("there is no value `${name}`"), format!("known here: {}", known.join(", "))))
        }
    }
}

/// What of the url of a server is too much where paths of an API are put behind it; a prefix of its own is not.
pub(super) fn beyond_server(url: &str) -> Option<&'static str> {
    if url.contains(['?', '#']) {
        Some("a query is put behind it: leave out what begins with `?` or `#`")
    } else if url.contains("/api/v1") || url.contains("/api/v2") {
        Some("the path of the API is added: leave `/api/...` out")
    } else {
        None
    }
}

/// Why a text is no url of a request, and what to do.
pub(super) fn wrong_url(text: &str, asker: Asker) -> Option<(&'static str, &'static str)> {
    const EXAMPLE: &str = "write it as `http://lb.internal:8080/path` or `https://...`; what is no plain character of a url \
                           is written as %20";
    let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) else {
        return Some(("it begins with neither `http://` nor `https://`", EXAMPLE));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        let help = "leave it out of the url, and give it as a header from the environment, such as `headers: {Authorization: \
                    {from_env: LB_AUTHORIZATION}}`";
        return Some(("it has a user or a password in it", help));
    }
    // The type of urls takes any digits, and those that are no port count as none.
    if let Some((_, port)) =
        authority.rsplit_once(':').filter(|(host, port)| !port.contains(']') && !host.is_empty())
        && !port.contains('$')
        && !port.parse::<u16>().is_ok_and(|port| port > 0)
    {
        return Some(("its port is none", "a port is a number from 1 to 65535"));
    }
    // With some value in the place of each name.
    let filled: String = asker
        .pieces(text)
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Name(_) => "a",
        })
        .collect();
    match filled.parse::<http::Uri>() {
        Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => None,
        _ => Some(("it is no url", EXAMPLE)),
    }
}
