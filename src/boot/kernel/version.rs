//! Names of kernels: which of two is newer, and whether they are of one flavour.
//!
//! The order is that of whoever chooses what boots. GRUB sorts by `sort -V`, whose rules are those of dpkg, and where
//! packages are RPMs by those of `rpmvercmp`; the two differ in a letter against a digit (`427.el9` and
//! `427.13.1.el9_4`). That 9 is older than 10 is true in both.

use std::cmp::Ordering;

/// How names of kernels are put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionOrder {
    /// As dpkg and `sort -V`.
    Dpkg,
    /// As rpm, and pacman where it matters here.
    Rpm,
}

/// IDs in os-release(5) of systems with RPMs, and of Arch.
const OF_RPM: &[&str] = &[
    "fedora",
    "rhel",
    "centos",
    "suse",
    "opensuse",
    "sles",
    "sled",
    "sle-micro",
    "amzn",
    "ol",
    "rocky",
    "almalinux",
    "mageia",
    "azurelinux",
    "mariner",
    "photon",
    "arch",
];

impl VersionOrder {
    /// By `ID` and `ID_LIKE` of os-release(5); what is not known is as GRUB's own.
    pub fn of_system<'a>(ids: impl IntoIterator<Item = &'a str>) -> Self {
        let is_rpm = |id: &str| OF_RPM.contains(&id) || id.starts_with("opensuse");
        if ids.into_iter().any(is_rpm) { Self::Rpm } else { Self::Dpkg }
    }

    /// Compares two names.
    pub fn compare(self, one: &str, other: &str) -> Ordering {
        let (one, other) = (before_release(one), before_release(other));
        match self {
            Self::Dpkg => dpkg(one.as_bytes(), other.as_bytes()),
            Self::Rpm => rpm(one.as_bytes(), other.as_bytes()),
        }
    }
}

/// Words after which a name is older than without them, as GRUB has them.
const BEFORE: [&str; 6] = ["pre", "rc", "test", "git", "old", "trunk"];

/// `6.9.0-rc3` as `6.9.0~rc3`, which is before `6.9.0` in both orders.
fn before_release(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for (at, sign) in name.char_indices() {
        let rest = name.get(at + sign.len_utf8()..).unwrap_or_default();
        let is_before = matches!(sign, '-' | '.' | '_') && BEFORE.iter().any(|word| rest.starts_with(word));
        text.push(if is_before { '~' } else { sign });
    }
    text
}

/// The digits at the beginning without zeros before them, and what follows.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let zeros = number.iter().take_while(|byte| **byte == b'0').count();
    (&number[zeros..], rest)
}

/// Numbers of any length.
fn by_number(one: &[u8], other: &[u8]) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// deb-version(7), "Sorting algorithm".
fn dpkg(mut one: &[u8], mut other: &[u8]) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        None => 0,
        Some(b'~') => -1,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    };
    while !one.is_empty() || !other.is_empty() {
        let in_text = |text: &[u8]| text.first().is_some_and(|byte| !byte.is_ascii_digit());
        while in_text(one) || in_text(other) {
            let order = weight(one.first()).cmp(&weight(other.first()));
            if order != Ordering::Equal {
                return order;
            }
            (one, other) = (one.get(1..).unwrap_or_default(), other.get(1..).unwrap_or_default());
        }
        let ((first, one_left), (second, other_left)) = (digits(one), digits(other));
        let order = by_number(first, second);
        if order != Ordering::Equal {
            return order;
        }
        (one, other) = (one_left, other_left);
    }
    Ordering::Equal
}

/// `rpmvercmp`.
fn rpm(mut one: &[u8], mut other: &[u8]) -> Ordering {
    let counts = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'~' | b'^');
    let skip = |text: &mut &[u8]| {
        let at = text.iter().position(counts).unwrap_or(text.len());
        *text = &text[at..];
    };
    let word = |text: &[u8]| text.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(text.len());
    loop {
        skip(&mut one);
        skip(&mut other);
        match (one.first(), other.first()) {
            (Some(b'~'), Some(b'~')) => (one, other) = (&one[1..], &other[1..]),
            (Some(b'~'), _) => return Ordering::Less,
            (_, Some(b'~')) => return Ordering::Greater,
            (Some(b'^'), Some(b'^')) => (one, other) = (&one[1..], &other[1..]),
            // It is newer than nothing, and older than anything else.
            (Some(b'^'), None) => return Ordering::Greater,
            (None, Some(b'^')) => return Ordering::Less,
            (Some(b'^'), _) => return Ordering::Less,
            (_, Some(b'^')) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(first), Some(second)) => match (first.is_ascii_digit(), second.is_ascii_digit()) {
                (true, true) => {
                    let ((number, one_left), (against, other_left)) = (digits(one), digits(other));
                    let order = by_number(number, against);
                    if order != Ordering::Equal {
                        return order;
                    }
                    (one, other) = (one_left, other_left);
                }
                (true, false) => return Ordering::Greater,
                (false, true) => return Ordering::Less,
                (false, false) => {
                    let (length, against) = (word(one), word(other));
                    let order = one[..length].cmp(&other[..against]);
                    if order != Ordering::Equal {
                        return order;
                    }
                    (one, other) = (&one[length..], &other[against..]);
                }
            },
        }
    }
}

/// Words in names that say which distribution or build it is, and not which flavour.
const NO_FLAVOUR: &[&str] = &[
    "deb", "bpo", "el", "fc", "amzn", "mga", "rc", "pre", "trunk", "git", "test", "rpt", "lp", "azl",
    "ubuntu",
];

/// The words of a name that are no part of its version: `cloud-amd64` of `6.1.0-52-cloud-amd64`, and nothing that a
/// release of the distribution changes.
fn flavour(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut add = |word: &str| {
        let word = word.to_ascii_lowercase();
        if !NO_FLAVOUR.contains(&word.as_str()) && !words.contains(&word) {
            words.push(word);
        }
    };
    for part in name.split(|sign: char| !sign.is_ascii_alphanumeric()) {
        let is_commit =
            part.len() > 7 && part.starts_with('g') && part[1..].bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_commit || part.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        // A size of pages, or a CPU: `64k`, `4kc`.
        if part.starts_with(|sign: char| sign.is_ascii_digit()) {
            add(part);
            continue;
        }
        // `el9uek` is of el9, and the flavour uek.
        part.split(|sign: char| sign.is_ascii_digit()).filter(|word| !word.is_empty()).for_each(&mut add);
    }
    words
}

/// Whether two kernels are of one flavour: an update of the one may be the other.
pub fn same_flavour(one: &str, other: &str) -> bool {
    flavour(one) == flavour(other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_in_the_order_of_their_family() {
        use VersionOrder::{Dpkg, Rpm};
        for (order, names) in [
            (
                Dpkg,
                &[
                    "5.10.0-0.bpo.3-amd64",
                    "5.10.0-9-amd64",
                    "5.10.0-33-amd64",
                    "6.1.0-0.deb11.13-amd64",
                    "6.1.0-9-amd64",
                    "6.1.0-10-amd64",
                    "6.1.0-52-amd64",
                    "6.12.9+deb13-amd64",
                    "6.12.38+deb13-amd64",
                    "6.16-rc3-amd64",
                    "6.16-amd64",
                ][..],
            ),
            (Dpkg, &["5.15.0-91-generic", "5.15.0-119-generic", "6.5.0-9-generic", "6.8.0-45-generic"]),
            (
                Rpm,
                &[
                    "5.14.0-70.13.1.el9_0.x86_64",
                    "5.14.0-427.el9.x86_64",
                    "5.14.0-427.13.1.el9_4.x86_64",
                    "5.14.0-427.20.1.el9_4.x86_64",
                    "5.14.0-503.11.1.el9_5.x86_64",
                    "6.8.5-301.fc40.x86_64",
                    "6.9.0-0.rc3.30.fc41.x86_64",
                    "6.9.0-64.fc41.x86_64",
                    "6.10.3-200.fc41.x86_64",
                ],
            ),
            (
                Rpm,
                &["5.14.21-150500.55.7-default", "5.14.21-150500.55.52-default", "6.4.0-150600.21-default"],
            ),
            (Rpm, &["6.8.5-arch1-1", "6.8.5-arch1-2", "6.8.7-arch1-1", "6.10-arch1-1"]),
            (Rpm, &["6.9.0-rc3", "6.9.0-rc10", "6.9.0"]),
            (Dpkg, &["6.9.0-rc3", "6.9.0-rc10", "6.9.0"]),
        ] {
            for pair in names.windows(2) {
                assert_eq!(order.compare(pair[0], pair[1]), Ordering::Less, "{pair:?} {order:?}");
                assert_eq!(order.compare(pair[1], pair[0]), Ordering::Greater, "{pair:?} {order:?}");
            }
        }
        // Where the two differ each is right at home.
        let (old, new) = ("5.14.0-427.el9.x86_64", "5.14.0-427.13.1.el9_4.x86_64");
        assert_eq!((Rpm.compare(old, new), Dpkg.compare(old, new)), (Ordering::Less, Ordering::Greater));
        assert_eq!(Rpm.compare("1.0^a", "1.0"), Ordering::Greater);
        assert_eq!(Rpm.compare("1.0^a", "1.0.1"), Ordering::Less);
        assert_eq!(Dpkg.compare("6.1.0-007", "6.1.0-7"), Ordering::Equal);
        let long = "9".repeat(400);
        assert_eq!(Dpkg.compare(&long, &format!("1{long}")), Ordering::Less, "no number is too long");
    }

    #[test]
    fn the_family_is_that_of_os_release() {
        for (ids, order) in [
            (&["debian"][..], VersionOrder::Dpkg),
            (&["ubuntu", "debian"], VersionOrder::Dpkg),
            (&["rocky", "rhel", "centos", "fedora"], VersionOrder::Rpm),
            (&["opensuse-leap", "suse", "opensuse"], VersionOrder::Rpm),
            (&["arch"], VersionOrder::Rpm),
            (&[], VersionOrder::Dpkg),
            (&["gentoo"], VersionOrder::Dpkg),
        ] {
            assert_eq!(VersionOrder::of_system(ids.iter().copied()), order, "{ids:?}");
        }
    }

    #[test]
    fn an_update_is_of_the_same_flavour_and_another_kernel_is_not() {
        for (one, other) in [
            ("6.1.0-52-amd64", "6.1.0-57-amd64"),
            ("6.1.0-52-amd64", "6.12.38+deb13-amd64"),
            ("6.1.0-52-amd64", "6.1.0-0.deb11.13-amd64"),
            ("5.14.0-427.el9.x86_64", "5.14.0-503.11.1.el9_5.x86_64"),
            ("6.8.5-301.fc40.x86_64", "6.10.3-200.fc41.x86_64"),
            ("6.1.0-rpi7-rpi-v8", "6.6.20+rpt-rpi-v8"),
            ("6.8.5-arch1-1", "6.8.7-arch2-1"),
            ("6.9.0-rc3-00012-g1a2b3c4d", "6.9.0"),
            ("5.15.0-200.el9uek.x86_64", "5.15.0-205.el9uek.x86_64"),
            ("6.5.13-5-pve", "6.8.4-2-pve"),
        ] {
            assert!(same_flavour(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("6.1.0-52-amd64", "6.1.0-57-cloud-amd64"),
            ("6.1.0-52-amd64", "6.1.0-57-rt-amd64"),
            ("6.1.0-52-686", "6.1.0-52-686-pae"),
            ("5.15.0-91-generic", "5.15.0-1047-aws"),
            ("6.4.0-150600.21-default", "6.4.0-150600.21-azure"),
            ("5.14.0-427.el9.aarch64", "5.14.0-427.el9.aarch64+64k"),
            ("5.14.0-427.el9.x86_64", "5.15.0-200.el9uek.x86_64"),
            ("4.18.0-553.el8.x86_64", "4.18.0-553.rt7.342.el8.x86_64"),
            ("6.8.5-arch1-1", "6.6.26-1-lts"),
            ("6.8.5-301.fc40.x86_64", "6.8.5-301.fc40.x86_64+debug"),
        ] {
            assert!(!same_flavour(one, other), "{one} {other}");
        }
    }

    proptest! {
        /// Both are orders, whatever a worker calls its kernels.
        #[test]
        fn any_names_are_ordered(names in prop::collection::vec("[a-z0-9.+~^_-]{0,12}|\\PC{0,6}", 3)) {
            for order in [VersionOrder::Dpkg, VersionOrder::Rpm] {
                let [a, b, c] = [&names[0], &names[1], &names[2]];
                prop_assert_eq!(order.compare(a, a), Ordering::Equal);
                prop_assert_eq!(order.compare(a, b), order.compare(b, a).reverse());
                if order.compare(a, b).is_le() && order.compare(b, c).is_le() {
                    prop_assert!(order.compare(a, c).is_le(), "{:?} {:?} {:?}", a, b, c);
                }
                same_flavour(a, b);
            }
        }
    }
}
