//! A plain HTTP client: what it sends is what a test says, byte for byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No test waits for longer for an answer.
const WITHIN: Duration = Duration::from_secs(60);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Lower-case names.
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Sends these bytes and reads one answer.
#[track_caller]
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = connected(address);
    // Who refuses may not read all of it.
    let _ = stream.write_all(request);
    answer_from(stream).expect("an answer")
}

/// A connection whose reads end.
pub(crate) fn connected(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WITHIN)).unwrap();
    stream.set_write_timeout(Some(WITHIN)).unwrap();
    stream
}

/// `GET path`, with more headers, each with its line's end.
#[track_caller]
pub(crate) fn get_with(address: SocketAddr, path: &str, headers: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    exchange(address, request.as_bytes())
}

/// `GET path`.
#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    get_with(address, path, "")
}

/// One answer to its end; `None`: the connection was closed without one.
pub(crate) fn answer_from(stream: TcpStream) -> Option<Answer> {
    let mut reader = BufReader::new(stream);
    let (status, headers) = head(&mut reader)?;
    let is_chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let mut body = Vec::new();
    if is_chunked {
        while let Some(chunk) = chunk(&mut reader) {
            body.extend(chunk);
        }
    } else {
        // Without one to the end of the connection.
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(u64::MAX, |(_, value)| value.parse().unwrap());
        let _ = reader.take(length).read_to_end(&mut body);
    }
    Some(Answer { status, headers, body: String::from_utf8(body).unwrap() })
}

fn head(reader: &mut impl BufRead) -> Option<(u16, Vec<(String, String)>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Some((status, headers)) };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
}

fn chunk(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let length = usize::from_str_radix(line.trim(), 16).ok().filter(|length| *length > 0)?;
    let mut bytes = vec![0; length + 2];
    reader.read_exact(&mut bytes).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

/// An event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

/// A stream of events.
pub(crate) struct Events {
    reader: BufReader<TcpStream>,
    left: String,
}

impl Events {
    /// Listens; `Err`: the answer that is no stream.
    #[track_caller]
    pub(crate) fn listen(address: SocketAddr, path: &str, headers: &str) -> Result<Self, Answer> {
        let mut stream = connected(address);
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (status, headers) = head(&mut reader).expect("an answer");
        if status != 200 {
            let mut body = String::new();
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let length = length.map_or(0, |(_, value)| value.parse().unwrap());
            let _ = reader.take(length).read_to_string(&mut body);
            return Err(Answer { status, headers, body });
        }
        Ok(Self { reader, left: String::new() })
    }

    /// The next event; `None`: the stream has ended.
    pub(crate) fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.left.split_once("\n\n") {
                let event = parse(event);
                self.left = rest.to_owned();
                if event.name.is_empty() {
                    continue;
                }
                return Some(event);
            }
            let chunk = chunk(&mut self.reader)?;
            self.left.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

fn parse(text: &str) -> Event {
    let mut event = Event::default();
    for line in text.lines() {
        match line.split_once(": ") {
            Some(("event", name)) => event.name = name.to_owned(),
            Some(("id", id)) => event.id = Some(id.to_owned()),
            Some(("data", data)) => event.data.push_str(data),
            _ => {}
        }
    }
    event
}
