//! Which machine it is, as its firmware says: to a worker's kernel by SMBIOS (DMTF DSP0134), and to its BMC. A worker whose
//! tag names the BMC of another machine would have that one reset.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::{visible_line, visible_within};

/// Prints what the kernel of a worker knows of its machine; only root may read some of it.
pub const HARDWARE_LOOK: &str = r#"
for maand_name in product_uuid product_serial board_serial; do
  [ -r "/sys/class/dmi/id/$maand_name" ] || continue
  printf 'dmi %s ' "$maand_name"
  head -c 200 "/sys/class/dmi/id/$maand_name" 2>/dev/null | tr '\n\r\t' '   '
  echo
done
"#;

/// So much of a number is kept.
const LONGEST: usize = 100;
/// What stands in firmware where nobody has written a number, in lower case and without blanks, dots and the like.
const FILLED_IN: &[&str] = &[
    "defaultstring",
    "systemserialnumber",
    "baseboardserialnumber",
    "boardserialnumber",
    "chassisserialnumber",
    "serialnumber",
    "notspecified",
    "notapplicable",
    "notavailable",
    "notprovided",
    "none",
    "null",
    "unknown",
    "unspecified",
    "undefined",
    "invalid",
    "empty",
    "default",
    "0123456789",
    "123456789",
    "1234567890",
    "12345678",
];

/// The numbers of a machine that no other one has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// 32 hexadecimal digits in lower case, in the order in which they were written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uuid: Option<String>,
    /// Serial numbers: a vendor may have one for the machine and another one for its board, and each side calls another
    /// one *the* number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    serials: Vec<String>,
}

/// Whether two descriptions are of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// They are.
    Same,
    /// They are not: what both say, behind `it says`.
    Other(String),
    /// Why that cannot be told.
    CannotTell(String),
}

impl Hardware {
    /// What [`HARDWARE_LOOK`] has printed, among other things.
    pub fn read(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            if let Some((name, value)) = line.strip_prefix("dmi ").and_then(|rest| rest.split_once(' ')) {
                found.take(name, value);
            }
        }
        found
    }

    /// One value of those that [`HARDWARE_LOOK`] prints.
    pub fn take(&mut self, name: &str, value: &str) {
        match name {
            "product_uuid" => self.uuid = uuid(value),
            "product_serial" | "board_serial" => self.serials.extend(serial(value)),
            _ => {}
        }
    }

    /// Of a `ComputerSystem` of Redfish. `SKU` is what Dell calls the service tag, which is the number that its machines
    /// tell their kernels.
    pub(super) fn of_system(system: &Value) -> Self {
        let text = |name: &str| system.get(name).and_then(Value::as_str);
        Self {
            uuid: text("UUID").and_then(uuid),
            serials: ["SerialNumber", "SKU"].into_iter().filter_map(|name| serial(text(name)?)).collect(),
        }
    }

    fn is_known(&self) -> bool {
        self.uuid.is_some() || !self.serials.is_empty()
    }

    /// Whether a BMC that says this of its machine is the worker's own. `worker`: what that has said.
    pub fn is_of(&self, worker: &Self) -> Sameness {
        let other = || Sameness::Other(format!("{self}, and the worker is {worker}"));
        let uuid = match (&self.uuid, &worker.uuid) {
            (Some(a), Some(b)) => Some(a == b || swapped(a) == *b),
            _ => None,
        };
        let serial = (!self.serials.is_empty() && !worker.serials.is_empty()).then(|| {
            self.serials
                .iter()
                .any(|own| worker.serials.iter().any(|theirs| own.eq_ignore_ascii_case(theirs)))
        });
        match (uuid, serial) {
            // The machines of one chassis may have its number, and each a UUID.
            (Some(false), _) | (None, Some(false)) => other(),
            (Some(true), None | Some(true)) | (None, Some(true)) => Sameness::Same,
            (Some(true), Some(false)) => Sameness::CannotTell(format!(
                "the UUIDs are the same and the serial numbers are not: the BMC's machine is {self}, the worker {worker}"
            )),
            (None, None) => Sameness::CannotTell(
                match (self.is_known(), worker.is_known()) {
                    (false, _) => "its BMC tells no number of its machine",
                    (true, false) => {
                        "the worker tells no number of its machine (root alone may read it there)"
                    }
                    (true, true) => "one tells a UUID, and the other a serial number",
                }
                .to_owned(),
            ),
        }
    }
}

/// `UUID x, serial number y`.
impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uuid = self.uuid.as_deref().map(|digits| {
            let parts =
                [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| digits.get(part).unwrap_or_default());
            format!("UUID {}", parts.join("-"))
        });
        let serials =
            (!self.serials.is_empty()).then(|| format!("serial number {}", self.serials.join(" or ")));
        f.write_str(&uuid.into_iter().chain(serials).collect::<Vec<_>>().join(", "))
    }
}

/// A UUID that somebody has given to one machine.
fn uuid(text: &str) -> Option<String> {
    let digits: String = text.trim().chars().filter(|c| !matches!(c, '-' | '{' | '}')).collect();
    let digits = digits.to_ascii_lowercase();
    let is_one = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    // What boards are sold with whose maker has written nothing (both orders of its bytes).
    let is_filled_in = all_same(&digits)
        || ["03000200040005000006000700080009", "00020003000400050006000700080009"]
            .contains(&digits.as_str());
    (is_one && !is_filled_in).then_some(digits)
}

/// A serial number that somebody has given to one machine.
fn serial(text: &str) -> Option<String> {
    let text = visible_within(visible_line(text).trim(), LONGEST);
    let bare: String = text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let is_filled_in = bare.len() < 3
        || all_same(&bare)
        || bare.starts_with("tobefilled")
        || FILLED_IN.contains(&bare.as_str());
    (!is_filled_in).then_some(text)
}

fn all_same(text: &str) -> bool {
    text.bytes().all(|byte| Some(byte) == text.bytes().next())
}

/// With the bytes of its first three fields in the other order: SMBIOS 2.6 has fixed that they are little-endian, and what is
/// older or does not know writes them as they are.
fn swapped(digits: &str) -> String {
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    ORDER.iter().filter_map(|byte| digits.get(2 * byte..2 * byte + 2)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const UUID: &str = "4C4C4544-0037-4810-8052-B4C04F4D5732";
    const SWAPPED: &str = "44454c4c-3700-1048-8052-b4c04f4d5732";
    const ANOTHER: &str = "4c4c4544-0037-4810-8052-b4c04f4d5733";

    fn bmc(uuid: &str, serial: &str, sku: &str) -> Hardware {
        Hardware::of_system(&json!({"UUID": uuid, "SerialNumber": serial, "SKU": sku}))
    }

    fn worker(uuid: &str, product: &str, board: &str) -> Hardware {
        Hardware::read(&format!(
            "noise\ndmi product_uuid {uuid} \ndmi product_serial {product} \ndmi board_serial {board}\ndmi x y\n"
        ))
    }

    #[test]
    fn one_machine_is_known_by_what_both_sides_say_of_it() {
        let same = |a: &Hardware, b: &Hardware| match a.is_of(b) {
            Sameness::Same => "same",
            Sameness::Other(_) => "other",
            Sameness::CannotTell(_) => "cannot tell",
        };
        for (a, b, expected) in [
            (bmc(UUID, "", ""), worker(&UUID.to_lowercase(), "", ""), "same"),
            (bmc(UUID, "", ""), worker(SWAPPED, "", ""), "same"),
            (bmc(SWAPPED, "", ""), worker(UUID, "", ""), "same"),
            (bmc(UUID, "X1", ""), worker(ANOTHER, "X1", ""), "other"),
            // The number of a chassis of several machines.
            (bmc(UUID, "S4251234", ""), worker(ANOTHER, "S4251234", ""), "other"),
            // Dell: the board's number, and the service tag.
            (bmc("", "CNFCP007BH006S", "7H8RW2"), worker("", "7H8RW2", ".7H8RW2.CNFCP007BH006S."), "same"),
            (bmc("", "CNFCP007BH006S", ""), worker("", "7H8RW2", "CNFCP007BH006S"), "same"),
            (bmc("", "czj1000abc", ""), worker("", "CZJ1000ABC", ""), "same"),
            (bmc("", "CZJ1000ABC", ""), worker("", "CZJ1000ABD", ""), "other"),
            (bmc(UUID, "CZJ1000ABC", ""), worker(UUID, "CZJ1000ABD", ""), "cannot tell"),
            (bmc(UUID, "", ""), worker("", "CZJ1000ABC", ""), "cannot tell"),
            (bmc("", "", ""), worker(UUID, "CZJ1000ABC", ""), "cannot tell"),
            (bmc(UUID, "CZJ1000ABC", ""), Hardware::default(), "cannot tell"),
        ] {
            assert_eq!(same(&a, &b), expected, "{a} | {b}");
        }
        let Sameness::Other(both) = bmc(UUID, "A123", "").is_of(&worker(ANOTHER, "B123", "")) else {
            panic!()
        };
        assert_eq!(
            both,
            format!(
                "UUID {}, serial number A123, and the worker is UUID {ANOTHER}, serial number B123",
                UUID.to_lowercase()
            )
        );
    }

    #[test]
    fn what_a_maker_has_left_in_is_no_number() {
        for uuid in [
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "03000200-0400-0500-0006-000700080009",
            "00020003-0004-0005-0006-000700080009",
            "u1",
            "Not Settable",
            "",
        ] {
            assert_eq!(bmc(uuid, "", ""), Hardware::default(), "{uuid}");
        }
        for serial in [
            "To be filled by O.E.M.",
            "To Be Filled By O.E.M",
            "Default string",
            "System Serial Number",
            "Not Specified",
            "None",
            "N/A",
            "0",
            "000000000",
            "xxxxxxxx",
            "0123456789",
            " ",
            "........",
        ] {
            assert_eq!(bmc("", serial, ""), Hardware::default(), "{serial}");
        }
        // What is foreign is one line, and bounded.
        let said = bmc("", &format!("AB\u{1b}[2J\n{}", "9".repeat(500)), "").to_string();
        assert!(said.len() < 200 && !said.contains(['\u{1b}', '\n']), "{said}");
        assert_eq!(
            Hardware::of_system(&json!({"UUID": 3, "SerialNumber": [], "SKU": null})),
            Hardware::default()
        );
    }
}
