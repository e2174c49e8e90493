//! What is told to browsers that look at a run, as they get it: made once, kept for a while for those who were away.

use std::collections::VecDeque;

use axum::body::Bytes;
use serde_json::json;
use tokio::sync::broadcast;

use crate::engine::Millis;
use crate::page::Element;

/// So many frames wait for a browser that is slow. One that is further behind loads the page anew.
const WAITING: usize = 32;
/// So many bytes of frames are kept for those who were away.
const KEPT: usize = 256 << 10;
/// What is larger than this is not sent: the page is loaded anew.
const LARGEST: usize = 512 << 10;

/// Frames of one run, numbered.
pub(super) struct Frames {
    sender: broadcast::Sender<Bytes>,
    /// Tells these numbers from those of another time.
    series: String,
    /// The number of the newest.
    newest: u64,
    /// The last frames, oldest first, without a gap up to `newest`.
    kept: VecDeque<Bytes>,
    kept_bytes: usize,
}

impl Frames {
    pub(super) fn new(series: Millis) -> Self {
        let sender = broadcast::Sender::new(WAITING);
        let series = format!("{series:x}");
        Self { sender, series, newest: 0, kept: VecDeque::new(), kept_bytes: 0 }
    }

    /// The name of the newest frame.
    pub(super) fn version(&self) -> String {
        format!("{}-{}", self.series, self.newest)
    }

    /// How many listen.
    pub(super) fn listeners(&self) -> usize {
        self.sender.receiver_count()
    }

    /// Elements that have changed.
    pub(super) fn change(&mut self, at: Millis, elements: &[Element]) {
        self.newest += 1;
        let elements: Vec<_> =
            elements.iter().map(|element| json!({ "id": element.id, "html": element.html })).collect();
        let data = json!({ "at": at, "elements": elements });
        let frame = Bytes::from(format!("event: change\nid: {}\ndata: {data}\n\n", self.version()));
        if frame.len() > LARGEST {
            return self.reload();
        }
        self.kept_bytes += frame.len();
        self.kept.push_back(frame.clone());
        while self.kept_bytes > KEPT {
            self.kept_bytes -= self.kept.pop_front().map_or(self.kept_bytes, |oldest| oldest.len());
        }
        let _ = self.sender.send(frame);
    }

    /// The page is another one: nobody can catch up by frames.
    pub(super) fn reload(&mut self) {
        self.newest += 1;
        self.kept.clear();
        self.kept_bytes = 0;
        let _ = self.sender.send(reload());
    }

    /// All is well, and it is this time.
    pub(super) fn beat(&self, at: Millis) {
        let _ = self.sender.send(beat(at));
    }

    /// There is nothing more to be told.
    pub(super) fn gone(&self, why: &str) {
        let data = json!({ "why": why });
        let _ = self.sender.send(Bytes::from(format!("event: gone\ndata: {data}\n\n")));
    }

    /// What whoever has seen `since` has missed, and all that follows.
    pub(super) fn listen(&self, since: &str, at: Millis) -> (VecDeque<Bytes>, broadcast::Receiver<Bytes>) {
        let mut first = VecDeque::from([beat(at)]);
        let number =
            since.strip_prefix(&self.series).and_then(|rest| rest.strip_prefix('-')?.parse::<u64>().ok());
        let missed = number.and_then(|number| self.newest.checked_sub(number));
        match missed.and_then(|missed| self.kept.len().checked_sub(usize::try_from(missed).ok()?)) {
            Some(seen) => first.extend(self.kept.iter().skip(seen).cloned()),
            None => first.push_back(reload()),
        }
        (first, self.sender.subscribe())
    }

    /// Whether a page with this version can catch up.
    pub(super) fn reaches(&self, number: u64) -> bool {
        self.newest.checked_sub(number).is_some_and(|missed| missed <= self.kept.len() as u64)
    }

    /// The number of the newest frame.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }
}

/// The page has to be loaded anew.
pub(super) fn reload() -> Bytes {
    Bytes::from_static(b"event: reload\ndata: {}\n\n")
}

fn beat(at: Millis) -> Bytes {
    Bytes::from(format!("event: beat\ndata: {{\"at\":{at}}}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(text: &str) -> Vec<Element> {
        vec![Element { id: "head".to_owned(), html: text.to_owned() }]
    }

    fn texts(frames: VecDeque<Bytes>) -> Vec<String> {
        frames.into_iter().map(|frame| String::from_utf8(frame.to_vec()).unwrap()).collect()
    }

    #[test]
    fn who_was_away_gets_what_was_missed_or_the_page() {
        let mut frames = Frames::new(0xabc);
        frames.change(1, &element("one\ntwo"));
        let seen = frames.version();
        frames.change(2, &element("three"));
        let missed = texts(frames.listen(&seen, 3).0);
        assert_eq!(missed.len(), 2, "{missed:?}");
        assert_eq!(
            missed[1],
            "event: change\nid: abc-2\ndata: {\"at\":2,\"elements\":[{\"id\":\"head\",\"html\":\"three\"}]}\n\n"
        );
        let of_first = texts(frames.listen("abc-0", 3).0);
        assert!(of_first[1].contains("one\\ntwo") && of_first[1].lines().count() == 4, "one line of data");
        assert_eq!(texts(frames.listen("abc-2", 3).0).len(), 1, "nothing was missed");
        for other in ["", "abd-1", "abc-3", "abc-", "abc-x", "abc-99999999999999999999"] {
            assert_eq!(texts(frames.listen(other, 3).0)[1], "event: reload\ndata: {}\n\n", "{other}");
        }
        frames.reload();
        assert_eq!(texts(frames.listen(&seen, 3).0)[1], "event: reload\ndata: {}\n\n");
    }

    #[test]
    fn what_is_kept_and_sent_is_bounded() {
        let mut frames = Frames::new(1);
        let mut listener = frames.listen("1-0", 0).1;
        frames.change(1, &element(&"x".repeat(LARGEST)));
        assert_eq!(listener.try_recv().unwrap(), reload());
        for _ in 0..100 {
            frames.change(1, &element(&"x".repeat(10_000)));
            assert!(frames.kept.iter().map(Bytes::len).sum::<usize>() <= KEPT);
        }
        assert!(frames.kept.len() > 20);
        assert!(matches!(listener.try_recv(), Err(broadcast::error::TryRecvError::Lagged(_))));
    }
}
