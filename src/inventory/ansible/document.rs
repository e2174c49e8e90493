//! The output of `ansible-inventory --list` as it is: groups, and variables of hosts. What is nested in a variable is not
//! kept.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The variables of one host, or of a group.
pub(super) type Variables = BTreeMap<String, Value>;

/// What a variable can be, as far as it is looked at.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    /// A text, a number or a truth value, as text.
    Scalar(String),
    /// Encrypted by Ansible Vault.
    Vault,
    /// A list or a mapping.
    Nested,
}

/// One group.
#[derive(Default)]
pub(super) struct Group {
    pub(super) hosts: Vec<String>,
    pub(super) children: Vec<String>,
    /// With `--export`, and of scripts, variables stand here, and not at the hosts.
    pub(super) variables: Variables,
}

/// The whole output.
#[derive(Default)]
pub(super) struct Document {
    /// By host; `None`: there is no `_meta`, as in the output of scripts of old.
    pub(super) variables: Option<BTreeMap<String, Variables>>,
    pub(super) groups: BTreeMap<String, Group>,
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Root;
        impl<'de> Visitor<'de> for Root {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of groups")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut found = Document::default();
                while let Some(key) = map.next_key::<String>()? {
                    if key == "_meta" {
                        found.variables = map.next_value::<Meta>()?.0;
                    } else {
                        found.groups.insert(key, map.next_value()?);
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(Root)
    }
}

struct Meta(Option<BTreeMap<String, Variables>>);

impl<'de> Deserialize<'de> for Meta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMeta;
        impl<'de> Visitor<'de> for OfMeta {
            type Value = Meta;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with `hostvars`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Meta, A::Error> {
                let mut found = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key == "hostvars" {
                        found = Some(map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Meta(found))
            }
        }
        deserializer.deserialize_map(OfMeta)
    }
}

impl<'de> Deserialize<'de> for Group {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfGroup;
        impl<'de> Visitor<'de> for OfGroup {
            type Value = Group;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a group: an object with `hosts` and `children`")
            }

            /// The short form that scripts may print.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Group, A::Error> {
                let mut group = Group::default();
                while let Some(host) = seq.next_element()? {
                    group.hosts.push(host);
                }
                Ok(group)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Group, A::Error> {
                let mut group = Group::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "hosts" => group.hosts = map.next_value()?,
                        "children" => group.children = map.next_value()?,
                        "vars" => group.variables = map.next_value()?,
                        other => {
                            let message = format!(
                                "a group has `hosts`, `children` and `vars`, but no `{}`",
                                short(other)
                            );
                            return Err(A::Error::custom(message));
                        }
                    }
                }
                Ok(group)
            }
        }
        deserializer.deserialize_any(OfGroup)
    }
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfValue;
        impl<'de> Visitor<'de> for OfValue {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the value of a variable")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Scalar(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(Value::Scalar(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(Value::Scalar(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(Value::Scalar(value.to_string()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(Value::Scalar(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Value::Nested)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut found = Value::Nested;
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        // What Ansible itself does not look into for templates.
                        "__ansible_unsafe" => found = map.next_value()?,
                        "__ansible_vault" => {
                            map.next_value::<IgnoredAny>()?;
                            found = Value::Vault;
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_any(OfValue)
    }
}
