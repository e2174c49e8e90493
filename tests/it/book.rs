//! The documentation as a book (`book/`, by mdBook): every page is in it, and what is a link where the repository is
//! browsed is one in the book.
//!
//! mdBook turns `*.md` in a link into `*.html`, whether there is such a page or not, and copies all other files below
//! its source folder. So a link has to lead to a page of the summary, or to a file that `book/src` has, and never to a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::docs::{files, links, markdown, root, text};

fn source() -> PathBuf {
    root().join("book/src")
}

/// A packaged source has no book.
fn is_packaged() -> bool {
    !source().is_dir()
}

/// The pages in their order, as paths from the root of the repository.
fn summary() -> Vec<PathBuf> {
    links(&text(&source().join("SUMMARY.md"))).iter().map(PathBuf::from).collect()
}

/// A path without `.` and `..`; `None`: it leads out of the repository.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => plain.pop().then_some(())?,
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    Some(plain)
}

/// Why a link of a page is none in the book. Pages and targets are paths from the root of the repository.
fn not_in_the_book(page: &Path, target: &str, pages: &BTreeSet<PathBuf>) -> Option<String> {
    let path = target.split('#').next().unwrap_or_default();
    if path.is_empty() || target.contains("://") {
        return None;
    }
    let Some(path) = plain(&page.parent().unwrap().join(path)) else {
        return Some(format!("{target} leads out of the repository"));
    };
    let file = source().join(&path);
    match () {
        () if path.extension().is_some_and(|extension| extension == "md") => {
            (!pages.contains(&path)).then(|| format!("{target} is not in SUMMARY.md"))
        }
        () if file.is_dir() || root().join(&path).is_dir() => {
            Some(format!("{target} is a folder: name a file in it"))
        }
        () => (!file.is_file()).then(|| format!("{target}: book/src has no {}", path.display())),
    }
}

#[test]
fn every_page_is_in_the_book_once() {
    if is_packaged() {
        return;
    }
    let summary = summary();
    let once: BTreeSet<PathBuf> = summary.iter().cloned().collect();
    assert_eq!(once.len(), summary.len(), "a page stands in the summary twice");
    let mut wanted: BTreeSet<PathBuf> =
        markdown().iter().map(|file| file.strip_prefix(root()).unwrap().to_owned()).collect();
    wanted.insert("schemas/README.md".into());
    let missing: Vec<_> = wanted.difference(&once).collect();
    let unknown: Vec<_> = once.difference(&wanted).collect();
    assert!(missing.is_empty(), "book/src/SUMMARY.md lacks {missing:?}");
    assert!(unknown.is_empty(), "book/src/SUMMARY.md has {unknown:?}, which are no pages");
}

#[test]
fn a_link_of_a_page_is_one_in_the_book() {
    if is_packaged() {
        return;
    }
    let pages: BTreeSet<PathBuf> = summary().into_iter().collect();
    let mut broken = Vec::new();
    for page in &pages {
        let all = links(&text(&root().join(page)));
        let wrong = all.iter().filter_map(|target| not_in_the_book(page, target, &pages));
        broken.extend(wrong.map(|why| format!("{}: {why}", page.display())));
    }
    assert!(broken.is_empty(), "{broken:#?}");
    let not = |target: &str| not_in_the_book(Path::new("docs/start.md"), target, &pages).is_some();
    for target in ["../plans", "../Cargo.toml", "no-such.md", "../../x.md"] {
        assert!(not(target), "{target}");
    }
    assert!(!not("../README.md#install") && !not("../plans/rolling-reboot.yaml") && !not("#here"));
}

#[test]
fn what_the_book_is_made_of_is_what_is_in_the_repository() {
    if is_packaged() {
        return;
    }
    let mut found = Vec::new();
    let mut folders = vec![source()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_symlink() {
                let here = path.strip_prefix(source()).unwrap();
                assert_eq!(
                    path.canonicalize().unwrap(),
                    root().join(here).canonicalize().unwrap(),
                    "{}",
                    path.display()
                );
                found.push(here.to_owned());
            } else if path.is_dir() {
                folders.push(path);
            } else {
                assert!(path.ends_with("SUMMARY.md"), "{} is a copy", path.display());
            }
        }
    }
    assert!(found.len() > 5, "{found:?}");
}

/// The list of JSON documents for readers.
#[test]
fn every_schema_is_listed() {
    let folder = root().join("schemas");
    let mut schemas = Vec::new();
    files(&folder, &["json"], &mut schemas);
    schemas.sort();
    let mut page = "# JSON documents\n\nWhat `--output json` prints, and the files that are kept, each by its JSON Schema. \
                    Documents name theirs in `schema`; a\nfield that goes or changes its meaning makes a new version, new \
                    fields do not ([scripts](../docs/scripting.md)).\n\n| schema | what |\n|---|---|\n"
        .to_owned();
    for path in &schemas {
        let schema: serde_json::Value = serde_json::from_str(&text(path)).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let short = name.trim_end_matches(".schema.json");
        page +=
            &format!("| [{short}]({name}) | {} |\n", schema["title"].as_str().unwrap().replace('|', "\\|"));
    }
    let path = folder.join("README.md");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "schemas/README.md: run the tests with UPDATE_SCHEMA=1");
}

/// The values of an attribute in a page.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let begins = format!(" {name}=\"");
    html.split(&begins).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// The book that mdBook has built: `just book`. Without it, what it is made of is looked at by the tests above.
#[test]
fn the_built_book_has_no_dead_link_and_nothing_from_elsewhere() {
    let Some(folder) = std::env::var_os("MAAND_BOOK").map(|folder| root().join(folder)) else { return };
    let mut all = Vec::new();
    files(&folder, &["html"], &mut all);
    let ids: BTreeMap<PathBuf, BTreeSet<String>> = all
        .iter()
        .map(|path| (path.clone(), attributes(&text(path), "id").into_iter().map(str::to_owned).collect()))
        .collect();
    assert!(all.len() > summary().len(), "{} pages", all.len());
    let mut wrong = Vec::new();
    for path in &all {
        let html = text(path);
        let here = path.strip_prefix(&folder).unwrap().display();
        let loaded = ["src", "data-src", "srcset"].iter().flat_map(|name| attributes(&html, name));
        let styles =
            html.split("<link ").skip(1).flat_map(|rest| attributes(rest.split('>').next().unwrap(), "href"));
        wrong.extend(
            loaded.chain(styles).filter(|one| one.contains("//")).map(|one| format!("{here} loads {one}")),
        );
        // That page may stand at any depth, and names all by the root of a site.
        for target in attributes(&html, "href").into_iter().filter(|_| !path.ends_with("404.html")) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, id) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() {
                path.clone()
            } else {
                plain(&path.parent().unwrap().join(file)).unwrap()
            };
            let has = |ids: &BTreeSet<String>| id.is_empty() || ids.contains(id);
            if !(ids.get(&file).map_or(file.is_file(), has)) {
                wrong.push(format!("{here}: {target}"));
            }
        }
    }
    for (extension, loads) in [
        ("css", &["url(http", "url(\"http", "url(//", "@import"][..]),
        ("js", &["importScripts(\"http", "import(\"http"]),
    ] {
        let mut all = Vec::new();
        files(&folder, &[extension], &mut all);
        assert!(!all.is_empty(), "no {extension}");
        for path in &all {
            let foreign = loads.iter().filter(|one| text(path).contains(**one));
            wrong.extend(foreign.map(|one| format!("{}: {one}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
