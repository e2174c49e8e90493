//! Where files are written: folders and homes, and what room there is for them.

use super::super::answer::{Place, Room};
use super::super::finding::Finding;
use super::{Case, detailed};
use crate::os::quote;
use crate::ssh::{Cause, Layer};

/// KiB: less is not enough for a deploy, and little is worth a word.
const SPACE: (u64, u64) = (16 * 1024, 256 * 1024);
/// Inodes.
const INODES: (u64, u64) = (100, 2_000);
/// Less than one part in so many is little.
const LITTLE: u64 = 50;

impl Case<'_> {
    pub(super) fn folders(&mut self) {
        if self.sudo_failed() {
            return;
        }
        let mut missing = false;
        for (role, name) in [("worker", "worker_root"), ("state", "the state folder")] {
            match self.answer.places.get(role) {
                Some(place) => self.folder(place, name, role == "worker"),
                None => missing = true,
            }
        }
        if missing {
            self.unknown.push(Layer::Folders);
        }
    }

    fn folder(&mut self, place: &Place, name: &str, is_worker_root: bool) {
        let (host, user, path) = (self.facts.host, self.facts.user, quote(&place.path));
        let has = |option: &str| place.options.iter().any(|one| one == option);
        let mount = place.space.as_ref().map_or("/", |room| room.mount.as_str());
        let problem = |code, what: String, remedy: String| {
            Finding::problem(Cause::new(code, Layer::Folders, what, remedy))
        };
        if !place.is_folder {
            let remedy = format!("as root on {host}: see what it is (`ls -ld {path}`) and move it away");
            let finding =
                problem("folder_in_the_way", format!("{name}: something else stands there"), remedy);
            self.found.push(detailed(finding, &place.path));
        } else if has("ro") {
            let remedy = format!(
                "as root on {host}: see why (`dmesg | tail`, /etc/fstab), then `mount -o remount,rw {}`",
                quote(mount)
            );
            let what = format!("{name}: the file system on {mount} is read-only");
            self.found.push(problem("read_only", what, remedy));
        } else if !place.is_writable {
            let remedy = if self.answer.looked_as == Some(0) {
                format!("as root on {host}: see why even root may not (`lsattr -d {path}`, `getenforce`)")
            } else {
                format!(
                    "as root on {host}: `install -d -o {} FOLDER` for it, set `worker_root` to a folder of that user's, or \
                     `use_sudo = true`",
                    quote(user)
                )
            };
            let finding = problem("not_writable", format!("{name}: {user} may not write there"), remedy);
            self.found.push(detailed(finding, &place.path));
        }
        if is_worker_root && has("noexec") {
            let remedy = format!(
                "as root on {host}: `mount -o remount,exec {}`, or another `worker_root`; of no matter where Makefiles run \
                 programs from elsewhere only",
                quote(mount)
            );
            let what = format!("{name}: nothing on {mount} can be executed (noexec)");
            self.found.push(Finding::warning(Cause::new("noexec", Layer::Folders, what, remedy)));
        }
    }

    pub(super) fn home(&mut self) {
        let (host, user) = (self.facts.host, quote(self.facts.user));
        let Some((state, path)) = &self.answer.home else { return };
        let remedy = format!(
            "as root on {host}: `mkhomedir_helper {user}`, or `install -d -m 700 -o {user} {}`",
            quote(path)
        );
        // Without root claims and locks are below it.
        let is_needed = !self.facts.use_sudo && self.answer.user.as_ref().is_some_and(|(uid, _)| *uid != 0);
        let finding = if is_needed { Finding::problem } else { Finding::warning };
        match state.as_str() {
            "missing" => {
                let what = format!("the home of {} is not there", self.facts.user);
                self.found
                    .push(finding(Cause::new("home_missing", Layer::Folders, what, remedy).detail(path)));
            }
            "readonly" if is_needed => {
                let what = format!("{} may not write in its home", self.facts.user);
                let remedy = format!("as root on {host}: `chown {user} {0} && chmod u+rwx {0}`", quote(path));
                self.found
                    .push(finding(Cause::new("home_readonly", Layer::Folders, what, remedy).detail(path)));
            }
            _ => {}
        }
    }

    pub(super) fn disks(&mut self) {
        if self.facts.is_sandbox {
            return;
        }
        let mut rooms: Vec<(&Room, bool)> = Vec::new();
        let places = self.answer.places.values();
        for (room, is_space) in places.flat_map(|place| [(&place.space, true), (&place.inodes, false)]) {
            let Some(room) = room else { continue };
            match rooms.iter_mut().find(|(seen, of)| seen.mount == room.mount && *of == is_space) {
                Some((seen, _)) if room.free < seen.free => *seen = room,
                Some(_) => {}
                None => rooms.push((room, is_space)),
            }
        }
        let mut found: Vec<Finding> =
            rooms.iter().filter_map(|(room, is_space)| self.little(room, *is_space)).collect();
        let space = |place: &Place| place.space.is_none();
        if self.answer.places.values().any(space) || self.answer.places.is_empty() {
            self.unknown.push(Layer::Disk);
        }
        if let Some((may, room)) = &self.answer.tmp {
            let is_full = room.as_ref().is_some_and(|room| room.free < 1024);
            let told =
                room.as_ref().is_some_and(|room| rooms.iter().any(|(seen, _)| seen.mount == room.mount));
            if !may || is_full && !told {
                let what = if *may { "/tmp is full" } else { "/tmp may not be written to" };
                let remedy = format!(
                    "on {}: `sudo du -xsh /tmp/* | sort -h | tail`; its mode is 1777 (`ls -ld /tmp`)",
                    self.facts.host
                );
                found.push(Finding::warning(Cause::new("tmp", Layer::Disk, what, remedy)));
            }
        }
        self.found.extend(found);
    }

    fn little(&self, room: &Room, is_space: bool) -> Option<Finding> {
        let (least, little) = if is_space { SPACE } else { INODES };
        let host = self.facts.host;
        let mount = quote(&room.mount);
        let left = |number: u64| match is_space {
            true => format!("{} MiB", number / 1024),
            false => format!("{number} inodes"),
        };
        let (code, what, remedy) = match is_space {
            true => (
                "disk_full",
                format!("the disk of {} is full", room.mount),
                format!("on {host}: `sudo du -xh -d 2 {mount} | sort -h | tail` shows what takes the room"),
            ),
            false => (
                "inodes_full",
                format!("there are no inodes left on {}", room.mount),
                format!(
                    "on {host}: `sudo du -x --inodes -d 2 {mount} | sort -n | tail` shows who has the files"
                ),
            ),
        };
        let detail = format!("{} of {} left", left(room.free), left(room.total));
        if room.free < least {
            return Some(Finding::problem(Cause::new(code, Layer::Disk, what, remedy).detail(detail)));
        }
        let is_little = room.free < little || room.free < room.total / LITTLE && room.free < little * 8;
        is_little.then(|| {
            let (code, what) = match is_space {
                true => ("disk_low", format!("little room on {}", room.mount)),
                false => ("inodes_low", format!("few inodes are left on {}", room.mount)),
            };
            Finding::warning(Cause::new(code, Layer::Disk, what, remedy).detail(detail))
        })
    }
}
