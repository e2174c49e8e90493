//! What a worker has answered, read line by line. It may be anything: cut, huge, full of escapes, made up. What is not
//! understood is left out, and what is left out is unknown.

use std::collections::BTreeMap;

use crate::plan::visible_within;
use crate::power::Hardware;

/// So much of an answer is read: many times what an honest one has.
const LONGEST: usize = 64 * 1024;
/// So much of a line's value is kept.
const VALUE: usize = 400;
/// So many lines are looked at.
const LINES: usize = 500;

/// A folder that scripts write to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The folder, or the nearest one above it that is there.
    pub path: String,
    /// It is a folder.
    pub is_folder: bool,
    /// Whoever looked may write there.
    pub is_writable: bool,
    /// Room on its disk.
    pub space: Option<Room>,
    /// Files that can still be made there.
    pub inodes: Option<Room>,
    /// Options of its mount.
    pub options: Vec<String>,
}

/// How much of something there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// KiB or inodes, all in all.
    pub total: u64,
    /// What is left.
    pub free: u64,
    /// Where it is mounted.
    pub mount: String,
}

/// What was said; `None`: it was not, or not in a way that is understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its last line came.
    pub is_whole: bool,
    /// Seconds since 1970 on the worker.
    pub clock: Option<i64>,
    /// The SSH user's number and name.
    pub user: Option<(u32, String)>,
    /// `writable`, `readonly` or `missing`, and where.
    pub home: Option<(String, String)>,
    /// The login shell.
    pub shell: Option<String>,
    /// As it was read, whatever it is.
    pub boot_id: Option<String>,
    /// `uname -r`.
    pub kernel: Option<String>,
    /// Files that turn logins off.
    pub nologin: Vec<String>,
    /// Exit code of sudo, and what it said.
    pub sudo: Option<i32>,
    /// On standard error.
    pub sudo_said: String,
    /// As whom folders were looked at: their number.
    pub looked_as: Option<u32>,
    /// Programs, and whether they are there.
    pub tools: BTreeMap<String, bool>,
    /// By the name of their role.
    pub places: BTreeMap<String, Place>,
    /// A claim of a run, as it is there.
    pub claim: Option<String>,
    /// `/etc/machine-id`.
    pub machine_id: Option<String>,
    /// Which machine it is, as its kernel knows.
    pub hardware: Hardware,
    /// What systemd has scheduled.
    pub scheduled: Option<String>,
    /// `/tmp`: whether it may be written to, and its room.
    pub tmp: Option<(bool, Option<Room>)>,
}

impl Answer {
    /// Reads what came back.
    pub fn read(bytes: &[u8]) -> Self {
        let mut answer = Self::default();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]);
        let mut lines = text.lines().take(LINES);
        // What a wrapper prints before is not ours.
        if !lines.any(|line| line.trim_end() == "maand-doctor 1") {
            return answer;
        }
        for line in lines {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            let value = visible_within(value.trim(), VALUE);
            answer.take(name, &value);
        }
        answer
    }

    fn take(&mut self, name: &str, value: &str) {
        let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
        let (first, rest) = value.split_once(' ').unwrap_or((value, ""));
        match name {
            "clock" => self.clock = value.parse().ok(),
            "who" => self.user = first.parse().ok().map(|uid| (uid, rest.to_owned())),
            "home" if ["writable", "readonly", "missing"].contains(&first) => {
                self.home = Some((first.to_owned(), rest.to_owned()));
            }
            "shell" => self.shell = text(),
            "boot_id" => self.boot_id = text(),
            "kernel" => self.kernel = text(),
            "nologin" => self.nologin.extend(text()),
            "sudo" => self.sudo = value.parse().ok(),
            "sudo_said" => self.sudo_said = value.to_owned(),
            "as" => self.looked_as = value.parse().ok(),
            "has" | "lacks" => {
                self.tools.insert(value.to_owned(), name == "has");
            }
            "place" => {
                let mut words = rest.splitn(3, ' ');
                if let (Some(kind), Some(may), Some(path)) = (words.next(), words.next(), words.next()) {
                    let place = self.places.entry(first.to_owned()).or_default();
                    (place.is_folder, place.is_writable) = (kind == "folder", may == "yes");
                    place.path = path.to_owned();
                }
            }
            "space" | "inodes" => {
                if let Some(place) = self.places.get_mut(first) {
                    let room = if name == "space" { &mut place.space } else { &mut place.inodes };
                    *room = read_room(rest);
                }
            }
            "mount" => {
                if let Some(place) = self.places.get_mut(first) {
                    let options = rest.split(' ').next_back().unwrap_or_default();
                    place.options = options.split(',').map(str::to_owned).collect();
                }
            }
            "claim" => self.claim = text(),
            "machine_id" => self.machine_id = text().filter(|id| is_hex(id, 32)),
            "dmi" => self.hardware.take(first, rest),
            "scheduled" => self.scheduled = text(),
            "tmp" => self.tmp = Some((first == "yes", read_room(rest))),
            "end" => self.is_whole = true,
            _ => {}
        }
    }

    /// The boot id, where it is one.
    pub fn valid_boot_id(&self) -> Option<&str> {
        self.boot_id.as_deref().filter(|id| {
            id.len() == 36
                && id.bytes().enumerate().all(|(at, byte)| match at {
                    8 | 13 | 18 | 23 => byte == b'-',
                    _ => byte.is_ascii_hexdigit(),
                })
        })
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The last line of `df -P`: device, total, used, free, `59%`, mount. File systems without inodes say `-` or 0.
fn read_room(line: &str) -> Option<Room> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let percent = words.iter().rposition(|word| word.ends_with('%') || *word == "-").filter(|at| *at >= 3)?;
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let (total, free) = (number(percent - 3)?, number(percent - 1)?);
    let mount = words.get(percent + 1..).unwrap_or_default().join(" ");
    (total > 0 && free <= total && !mount.is_empty()).then_some(Room { total, free, mount })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) const GOOD: &str = include_str!("../../tests/data/doctor-answer-v1.txt");

    #[test]
    fn an_honest_answer_is_read() {
        let answer = Answer::read(GOOD.as_bytes());
        assert!(answer.is_whole);
        assert_eq!(answer.user, Some((4242, "agent".to_owned())));
        assert_eq!(answer.sudo, Some(0));
        assert_eq!(answer.valid_boot_id(), Some("e3f91abd-d7f8-491b-9341-9dc60150451a"));
        assert_eq!((answer.tools["bash"], answer.tools["make"]), (true, false));
        let worker = &answer.places["worker"];
        assert!(worker.is_folder && worker.is_writable);
        assert_eq!(worker.space.as_ref().unwrap().free, 39_124_936);
        assert_eq!(worker.inodes.as_ref().unwrap().mount, "/");
        assert!(worker.options.contains(&"relatime".to_owned()));
        assert_eq!(answer.kernel.as_deref(), Some("6.8.0-44-generic"));
    }

    #[test]
    fn rooms_of_odd_file_systems() {
        assert_eq!(read_room("none 0 0 0 - /mnt"), None, "btrfs has no inodes to count");
        let room = read_room("a device 100 40 60 40% /mnt/with a space").unwrap();
        assert_eq!((room.total, room.free, room.mount.as_str()), (100, 60, "/mnt/with a space"));
        for odd in ["", "- - -", "x 1 2 99999999999999999999999 5% /", "x 10 0 11 0% /", "5% /"] {
            assert_eq!(read_room(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_huge_answer_is_cut_and_escapes_are_text() {
        let text = format!(
            "maand-doctor 1\nshell \u{1b}[2J{}\n{}end\n",
            "x".repeat(5000),
            "has y\n".repeat(100_000)
        );
        let answer = Answer::read(text.as_bytes());
        let shell = answer.shell.unwrap();
        assert!(shell.len() <= 2 * VALUE && !shell.contains('\u{1b}'), "{shell}");
        assert!(!answer.is_whole);
    }

    proptest! {
        /// Whatever comes, nothing panics, and what is not whole is not taken for whole.
        #[test]
        fn any_answer_is_read(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert!(!Answer::read(&bytes).is_whole || bytes.starts_with(b"maand-doctor 1"));
        }

        /// An honest answer with one line changed or lost has everything of the others.
        #[test]
        fn one_line_does_not_spoil_the_others(
            at in any::<prop::sample::Index>(),
            other in prop_oneof![Just(String::new()), ".{0,200}", "(space|place|inodes|mount|tmp|sudo|as) .{0,60}"],
        ) {
            let mut lines: Vec<&str> = GOOD.lines().collect();
            let at = 1 + at.index(lines.len() - 1);
            lines[at] = &other;
            let whole = lines.len() - 1 != at;
            let answer = Answer::read(lines.join("\n").as_bytes());
            prop_assert_eq!(answer.is_whole, whole || other.split(' ').next() == Some("end"));
        }
    }
}
