//! Problems of inventories.

use crate::plan::{Problem, Source};

/// How Ansible's inventory gets here, whatever it is written in.
pub(super) const ANSIBLE_HELP: &str =
    "hand over what Ansible makes of it: `ansible-inventory -i FILE --list | maand import ansible -`";

/// As many hosts as there can be workers; of more, nothing is looked at.
pub(super) const MAX_HOSTS: usize = 50_000;

/// A text that is no JSON, or not of this form, with the place where that shows.
pub(super) fn not_of_this_form(source: &Source, error: &serde_json::Error, help: &str) -> Problem {
    let text = source.text();
    let begin = text.trim_start();
    let what = match begin.chars().next() {
        None => "it is empty",
        Some('{') if !error.is_data() => "it is not JSON",
        Some('{') => "it is not the output of `ansible-inventory --list`",
        Some('[') => "it is an INI file, or a list: neither is the output of `ansible-inventory --list`",
        Some(_) => "it is not JSON, but YAML or plain text",
    };
    // Its place is told apart from it: "expected `,` or `}` at line 3 column 7".
    let said = error.to_string();
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    let message = format!("{} cannot be used: {what}", source.name());
    let problem = Problem::error("maand::inventory::not_ansible", message);
    if error.line() == 0 || begin.is_empty() {
        return problem.in_file(source).help(help);
    }
    let line_begin: usize = text.split_inclusive('\n').take(error.line() - 1).map(str::len).sum();
    let mut at = (line_begin + error.column().saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let end = text[at..].chars().next().map_or(at, |char| at + char.len_utf8());
    problem.at(source, at..end, said).help(help)
}

/// Nothing that could be a worker is in it, which a source that failed looks like, too.
pub(super) fn no_hosts(source: &str, help: &'static str) -> Problem {
    Problem::error("maand::inventory::no_hosts", format!("{source} has no host that could be a worker"))
        .help(help)
}

/// More than this program looks at.
pub(super) fn too_many(source: &str, what: &str, most: usize) -> Problem {
    Problem::error("maand::inventory::too_large", format!("{source} has more than {most} {what}"))
        .help("make several buckets of the fleet, and import a part of the inventory into each")
}
