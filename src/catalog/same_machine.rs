//! Two entries of `workers.json` that are one machine: what is deployed to both would be started there twice, and each
//! would take the other's files for its own.
//!
//! A kernel may carry several workers (containers), so that a boot id alone does not decide: they are one where the
//! folder below which jobs go is the same, too. The machine belongs to the entry that its `worker.json` names.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use crate::bucket::Host;
use crate::os::parallel_map;
use crate::plan::Problem;
use crate::ssh::{HostProfile, Script, Shell};

/// Workers that are looked at side by side.
const PARALLEL: usize = 64;

/// Bound of a look.
const WITHIN: Duration = Duration::from_secs(20);

/// Says which machine it is, and prints worker.json. What is not there yet is below what is.
const LOOK: &str = r#"
folder=$MAAND_DIR
until [ -d "$folder" ]; do
  case $folder in /*/*) folder=${folder%/*} ;; /*) folder=/ ;; *) folder=. ;; esac
done
printf '%s %s\n' "$(cat "$MAAND_BOOT_ID" 2>/dev/null)" "$(stat -L -c %d:%i "$folder" 2>/dev/null)"
[ ! -f "$MAAND_DIR/worker.json" ] || head -c 65536 "$MAAND_DIR/worker.json"
"#;

/// What a worker has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    boot_id: String,
    /// Device and inode of the folder.
    folder: String,
    named: Option<Named>,
}

/// Whose it is by its `worker.json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Named {
    bucket_id: String,
    worker_id: String,
}

/// The look at one worker.
pub(super) fn script(profile: &HostProfile) -> Script {
    Script {
        what: "see which machine it is".to_owned(),
        shell: Shell::Sh,
        sudo: profile.use_sudo,
        text: LOOK.to_owned(),
        env: vec![
            ("MAAND_DIR".to_owned(), profile.worker_dir.to_string_lossy().into_owned()),
            ("MAAND_BOOT_ID".to_owned(), profile.boot_id.to_string_lossy().into_owned()),
        ],
        deadline: WITHIN,
        watchdog: true,
        silence: None,
        users_own: false,
        lock: false,
    }
}

/// Reads what the look has printed; `None`: that shows no machine.
pub(super) fn read(said: &str) -> Option<Identity> {
    let (first, rest) = said.split_once('\n')?;
    let (boot_id, folder) = first.trim().split_once(' ')?;
    (!boot_id.is_empty() && !folder.is_empty()).then(|| Identity {
        boot_id: boot_id.to_owned(),
        folder: folder.to_owned(),
        named: serde_json::from_str(rest).ok(),
    })
}

/// Which of `hosts` are another entry's machine, and whose. `ids` has the workers of the bucket with their ids. One that
/// cannot be looked at is none of them.
pub(super) fn find(
    hosts: &[Host],
    bucket_id: &str,
    ids: &BTreeMap<Host, String>,
    look: impl Fn(&Host) -> Option<Identity> + Sync,
) -> BTreeMap<Host, Host> {
    if ids.len() < 2 {
        return BTreeMap::new();
    }
    let owner = |identity: &Identity| {
        let named = identity.named.as_ref().filter(|named| named.bucket_id == bucket_id)?;
        ids.iter().find(|(_, id)| **id == named.worker_id).map(|(host, _)| host.clone())
    };
    let see = |hosts: Vec<Host>| -> BTreeMap<Host, Identity> {
        let seen = parallel_map(hosts, PARALLEL, |host| look(&host).map(|identity| (host, identity)));
        seen.into_iter().flatten().collect()
    };
    let mut seen = see(hosts.to_vec());
    // A disk may be a copy of another worker's: only the other one can tell.
    let named: BTreeSet<Host> = seen.values().filter_map(&owner).collect();
    seen.extend(see(named.into_iter().filter(|host| !hosts.contains(host)).collect()));
    let mut machines: BTreeMap<(&str, &str), Vec<&Host>> = BTreeMap::new();
    for (host, identity) in &seen {
        machines.entry((&identity.boot_id, &identity.folder)).or_default().push(host);
    }
    let mut doubles = BTreeMap::new();
    for entries in machines.into_values().filter(|entries| entries.len() > 1) {
        let named = owner(&seen[entries[0]]).filter(|owner| entries.contains(&owner));
        let first = named.as_ref().unwrap_or(entries[0]);
        for double in entries.iter().filter(|host| **host != first && hosts.contains(host)) {
            doubles.insert((*double).clone(), first.clone());
        }
    }
    doubles
}

/// What is said of such an entry.
pub(super) fn words(double: &Host, first: &Host) -> String {
    format!(
        "{double} and {first} are one machine (the same boot id, and the same folder for jobs): what is deployed to both \
         would be started there twice; take one of the two out of workers.json"
    )
}

/// The same as a problem, of the first of them.
pub(super) fn problem(doubles: &BTreeMap<Host, Host>) -> Option<Problem> {
    let (double, first) = doubles.iter().next()?;
    let more = match doubles.len() {
        1 => String::new(),
        all => format!(" (and {} more)", all - 1),
    };
    Some(Problem::error(
        "maand::catalog::same_machine",
        format!("{double} and {first} are one machine: they have the same boot id and the same folder for jobs{more}"),
    )
    .help("what is deployed to both would be started there twice: take one of the two out of workers.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> Host {
        Host::parse(name).unwrap()
    }

    /// Each with its boot id, folder and the id in its worker.json; those that begin with `-` are not asked for.
    fn doubles(workers: &[(&str, &str, &str, &str)]) -> Vec<(String, String)> {
        let name = |text: &str| host(text.trim_start_matches('-'));
        let ids: BTreeMap<Host, String> =
            workers.iter().map(|(text, ..)| (name(text), format!("id-{}", name(text)))).collect();
        let asked: Vec<Host> =
            workers.iter().filter(|(text, ..)| !text.starts_with('-')).map(|(text, ..)| name(text)).collect();
        let look = |of: &Host| {
            let (_, boot_id, folder, id) = workers.iter().find(|(text, ..)| name(text) == *of)?;
            read(&format!("{boot_id} {folder}\n{{\"bucket_id\": \"b\", \"worker_id\": \"{id}\"}}"))
        };
        let found = find(&asked, "b", &ids, look);
        found.into_iter().map(|(double, first)| (double.to_string(), first.to_string())).collect()
    }

    fn none() -> Vec<(String, String)> {
        Vec::new()
    }

    fn one(double: &str, first: &str) -> Vec<(String, String)> {
        vec![(double.to_owned(), first.to_owned())]
    }

    #[test]
    fn one_machine_is_one_kernel_and_one_folder() {
        assert_eq!(
            doubles(&[("a", "1", "1:2", ""), ("b", "2", "1:2", "")]),
            none(),
            "two machines with like disks"
        );
        assert_eq!(doubles(&[("a", "1", "1:2", ""), ("b", "1", "1:3", "")]), none(), "two containers");
        assert_eq!(doubles(&[("a", "1", "1:2", ""), ("b", "1", "1:2", "")]), one("b", "a"));
    }

    #[test]
    fn it_belongs_to_the_entry_that_its_worker_json_names() {
        assert_eq!(doubles(&[("a", "1", "1:2", "id-b"), ("b", "1", "1:2", "id-b")]), one("a", "b"));
        assert_eq!(doubles(&[("-a", "1", "1:2", "id-a"), ("b", "1", "1:2", "id-a")]), one("b", "a"));
        assert_eq!(
            doubles(&[("-a", "1", "1:2", "id-a"), ("b", "2", "1:2", "id-a")]),
            none(),
            "a copy of a disk"
        );
        assert_eq!(
            doubles(&[("a", "1", "1:2", "id-gone"), ("b", "2", "1:3", "")]),
            none(),
            "it has another name now"
        );
    }

    #[test]
    fn what_shows_no_machine_is_none() {
        for said in ["", "\n", "boot \n", "boot\n", " 1:2\n"] {
            assert_eq!(read(said), None, "{said:?}");
        }
        assert!(read("boot 1:2\n").unwrap().named.is_none());
        assert!(read("boot 1:2\n{").unwrap().named.is_none());
    }
}
