//! A web server of files on 127.0.0.1, which can do wrong what servers and networks do wrong.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How a file is answered for.
#[derive(Clone)]
pub(crate) enum Served {
    Whole(Vec<u8>),
    /// Announced as a whole; the connection ends after so many bytes.
    CutAt(Vec<u8>, usize),
    /// Announced, and the connection stays without a byte of it.
    Never,
}

/// Until it is dropped; connections that hang are left to their clients.
pub(crate) struct FileServer {
    address: SocketAddr,
    files: Arc<Mutex<HashMap<String, Served>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FileServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let files: Arc<Mutex<HashMap<String, Served>>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (served, log) = (files.clone(), asked.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, log) = (served.clone(), log.clone());
                thread::spawn(move || answer(stream, &served, &log));
            }
        });
        Self { address, files, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts a file below the root.
    pub(crate) fn put(&self, name: &str, file: Served) {
        self.files.lock().unwrap().insert(format!("/{name}"), file);
    }

    pub(crate) fn remove(&self, name: &str) {
        self.files.lock().unwrap().remove(&format!("/{name}"));
    }

    /// The paths that were asked for so far, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(
    stream: TcpStream,
    files: &Mutex<HashMap<String, Served>>,
    asked: &Mutex<Vec<String>>,
) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut request = String::new();
    reader.read_line(&mut request).ok()?;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).ok()? == 0 || header == "\r\n" {
            break;
        }
    }
    let path = request.split(' ').nth(1)?.to_owned();
    let file = files.lock().ok()?.get(&path).cloned();
    asked.lock().ok()?.push(path);
    let mut stream = stream;
    let mut say = |status: &str, length: usize| {
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").ok()
    };
    match file {
        None => say("404 Not Found", 0)?,
        Some(Served::Whole(bytes)) => {
            say("200 OK", bytes.len())?;
            stream.write_all(&bytes).ok()?;
        }
        Some(Served::CutAt(bytes, at)) => {
            say("200 OK", bytes.len())?;
            stream.write_all(&bytes[..at]).ok()?;
        }
        Some(Served::Never) => {
            say("200 OK", 1000)?;
            // Until the client is gone.
            let _ = reader.read_line(&mut String::new());
        }
    }
    Some(())
}
