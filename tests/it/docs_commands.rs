//! What stands in the code blocks of README and docs is so: each command is one that the program understands, what can
//! be carried out is carried out on a throwaway fleet, plans and documents are read, and outputs look as they are shown.

mod blocks;
mod pages;
mod session;

use std::collections::BTreeSet;

use clap::Parser;
use maand::cli::Cli;

use super::docs::{markdown, root, text};
use blocks::{Block, blocks, commands, typed};

/// Languages of blocks: mdBook and forges colour them, and the tests below read most of them.
const LANGUAGES: &[&str] = &["console", "json", "make", "rust", "sh", "sql", "text", "toml", "yaml"];

/// All code blocks of README, docs and the pages for developers.
fn all_blocks() -> Vec<Block> {
    let mut all = Vec::new();
    for file in markdown() {
        let page = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        all.extend(blocks(&page, &text(&file)));
    }
    assert!(all.len() > 60, "only {} blocks", all.len());
    all
}

#[test]
fn every_block_says_in_which_language_it_is() {
    let all = all_blocks();
    let wrong = all.iter().filter(|block| !LANGUAGES.contains(&block.language.as_str()));
    let wrong: Vec<_> = wrong.map(|block| format!("{}: `{}`", block.at(), block.language)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a block types into a shell, and where.
fn all_typed() -> Vec<(String, String)> {
    let all = all_blocks();
    all.iter().flat_map(|block| typed(block).into_iter().map(|line| (block.at(), line))).collect()
}

/// Why the program does not understand it; `None`: it does, or it is a command of another program.
fn misunderstood(words: &[String]) -> Option<String> {
    let ours = match words.first().map(String::as_str) {
        Some("maand") => &words[1..],
        Some("cargo") if words.get(1).is_some_and(|word| word == "run") => {
            &words[words.iter().position(|word| word == "--")? + 1..]
        }
        _ => return None,
    };
    let line = std::iter::once("maand").chain(ours.iter().map(String::as_str));
    Cli::try_parse_from(line).err().map(|error| error.to_string())
}

#[test]
fn every_command_in_a_block_is_understood_with_all_of_its_flags() {
    let (mut wrong, mut looked_at) = (Vec::new(), 0);
    for (at, line) in all_typed() {
        for words in commands(&line) {
            looked_at += usize::from(words.first().is_some_and(|word| word == "maand"));
            wrong.extend(misunderstood(&words).map(|why| format!("{at}: {line}: {why}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(looked_at > 60, "only {looked_at} commands of ours");
    for line in
        ["maand plan shwo x.yaml", "maand plan show", "maand deploy --workrs a", "cargo run -- plan nwe x"]
    {
        assert!(commands(line).iter().any(|words| misunderstood(words).is_some()), "{line}");
    }
}

#[test]
fn what_is_shown_as_a_plan_is_one() {
    let mut plans = 0;
    for block in all_blocks().into_iter().filter(|block| block.language == "yaml") {
        if block.text.lines().any(|line| line.starts_with("version: ")) {
            plans += 1;
            let source = maand::plan::Source::new(block.at(), block.text.clone());
            if let Err(problems) = maand::plan::parse(&source, &[]) {
                panic!("{}: {problems:?}", block.at());
            }
        } else {
            serde_saphyr::from_str::<serde_json::Value>(&block.text)
                .unwrap_or_else(|error| panic!("{}: {error}", block.at()));
        }
    }
    assert!(plans >= 3, "only {plans} plans");
}

#[test]
fn what_is_shown_as_json_is_json() {
    let mut seen = 0;
    for block in all_blocks().into_iter().filter(|block| block.language == "json") {
        let read = serde_json::from_str::<serde_json::Value>(&block.text);
        read.unwrap_or_else(|error| panic!("{}: {error}", block.at()));
        seen += 1;
    }
    assert!(seen >= 2, "only {seen}");
}

#[test]
fn the_tables_of_what_is_run_name_what_is_there() {
    let typed: Vec<(String, String)> =
        all_typed().into_iter().map(|(at, line)| (at.split(':').next().unwrap().to_owned(), line)).collect();
    let is_there = |page: &str, begin: &str| {
        typed.iter().any(|(at, line)| (page == "*" || at == page) && line.starts_with(begin))
    };
    for (page, begin, _) in pages::NOT_RUN {
        assert!(is_there(page, begin), "NOT_RUN: {page} types no `{begin}`");
    }
    let shows = |page: &str, begin: &str| {
        let all = all_blocks().into_iter().filter(|block| block.page == page);
        let mut pieces = all.flat_map(|block| shown(&block));
        pieces.any(|piece| begin == "*" || piece.trim_start().starts_with(begin))
    };
    for (page, begin, _) in pages::NOT_SEEN {
        assert!(shows(page, begin), "NOT_SEEN: {page} shows no `{begin}`");
    }
    for page in pages::PAGES {
        let all = page.after.iter().map(|(begin, _)| begin).chain(page.codes.iter().map(|(begin, _)| begin));
        for begin in all {
            assert!(is_there(page.name, begin), "{} types no `{begin}`", page.name);
        }
    }
    // What is not run has a reason, or its page is run.
    let run: BTreeSet<&str> = pages::PAGES.iter().map(|page| page.name).collect();
    let left =
        typed.iter().filter(|(at, line)| !run.contains(at.as_str()) && pages::not_run(at, line).is_none());
    let left: Vec<_> = left.collect();
    assert!(left.is_empty(), "neither run nor told why not: {left:#?}");
}

/// What a block shows that was printed: pieces without prompts, and without the lines in which `...` stands.
fn shown(block: &Block) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for line in block.text.lines() {
        match blocks::prompt(line).is_some() || line.contains("...") {
            true => pieces.push(String::new()),
            false => *pieces.last_mut().unwrap() += &format!("{line}\n"),
        }
    }
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

/// Pages that take the longest have a test, and a fleet, of their own.
const ALONE: [&str; 2] = ["docs/operations.md", "docs/start.md"];

/// Carries out what these pages type, on a fleet of their own, and looks whether it prints what they show.
fn carry_out(chosen: impl Fn(&str) -> bool) {
    if !crate::ci_examples::tools_are_here() {
        return;
    }
    let fleet = crate::sandbox::up::Up::new(&[]);
    let (all, mut wrong) = (all_blocks(), Vec::new());
    for page in pages::PAGES.iter().filter(|page| chosen(page.name)) {
        let own: Vec<&Block> = all.iter().filter(|block| block.page == page.name).collect();
        let lines = own.iter().flat_map(|block| typed(block));
        let lines: Vec<String> = lines.filter(|line| pages::not_run(page.name, line).is_none()).collect();
        let ran = session::run(page, &lines, &fleet);
        for one in ran.iter().filter(|one| lines.contains(&one.line)) {
            let code =
                page.codes.iter().find(|(begin, _)| one.line.starts_with(begin)).map_or(0, |(_, code)| *code);
            if one.code != code {
                wrong.push(format!(
                    "{}: `{}` ended with {}, not {code}:\n{}",
                    page.name, one.line, one.code, one.said
                ));
            }
        }
        let said: String = ran.iter().map(|one| session::shape(&one.said)).collect();
        for block in own.iter().filter(|block| ["console", "text"].contains(&block.language.as_str())) {
            let pieces = shown(block).into_iter().filter(|piece| pages::not_seen(page.name, piece).is_none());
            for piece in pieces.filter(|piece| !said.contains(&session::shape(piece))) {
                wrong.push(format!("{} shows what was not printed:\n{piece}", block.at()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_operations_types_is_carried_out_and_prints_what_it_shows() {
    carry_out(|name| name == ALONE[0]);
}

#[test]
fn what_start_types_is_carried_out_and_prints_what_it_shows() {
    carry_out(|name| name == ALONE[1]);
}

#[test]
fn what_the_other_pages_type_is_carried_out_and_prints_what_they_show() {
    carry_out(|name| !ALONE.contains(&name));
}
