//! What a source file names, read with `syn`: every path in `use` trees, types, expressions, macros and
//! attributes, resolved as far as one file allows. It must not know which names are wrong.

use std::collections::{BTreeMap, BTreeSet};

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Meta, UseTree};

/// What one file names outside of its tests.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Resolved paths: `crate::room::..` for our own, `std::..` and the like for others.
    pub(super) paths: BTreeSet<String>,
    /// Macros that are called, without their paths.
    pub(super) macros: BTreeSet<String>,
    /// Modules that have files of their own.
    pub(super) modules: Vec<String>,
}

/// Reads the file of the module `crate::<module>`. What is compiled for tests only is left out.
pub(super) fn names(source: &str, module: &[&str]) -> Names {
    let file = syn::parse_file(source).expect("a source file that compiles");
    let mut imports = Imports::default();
    imports.visit_file(&file);
    let module = module.iter().map(|part| (*part).to_owned()).collect();
    let mut reader = Reader { module, imports: imports.0, names: Names::default() };
    reader.visit_file(&file);
    reader.names
}

/// The items of a file that are neither modules (in files of their own) nor `use`.
pub(super) fn other_items(source: &str) -> usize {
    let file = syn::parse_file(source).expect("a source file that compiles");
    let declares = |item: &&Item| match item {
        Item::Use(_) => true,
        Item::Mod(module) => module.content.is_none(),
        _ => false,
    };
    file.items.iter().filter(|item| !declares(item)).count()
}

/// The lint levels that are set by `allow`, tests included.
pub(super) fn allows(source: &str) -> usize {
    #[derive(Default)]
    struct Allows(usize);
    impl<'ast> Visit<'ast> for Allows {
        fn visit_attribute(&mut self, attribute: &'ast Attribute) {
            let conditional = attribute.path().is_ident("cfg_attr")
                && matches!(&attribute.meta, Meta::List(list)
                    if words(&list.tokens.to_string()).any(|word| word == "allow"));
            self.0 += usize::from(conditional || attribute.path().is_ident("allow"));
        }
    }
    let mut allows = Allows::default();
    allows.visit_file(&syn::parse_file(source).expect("a source file that compiles"));
    allows.0
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// Compiled for tests only: `#[cfg(test)]`, `#[cfg(all(test, ..))]`, `#[test]`; or for fuzzers too.
pub(super) fn is_of_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string().replace(' ', "");
            ["test", "any(test,fuzzing)"].contains(&condition.as_str()) || condition.starts_with("all(test,")
        }
        _ => false,
    })
}

pub(super) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Each leaf of a `use` tree: its path, and the name that it has from then on.
fn leaves(tree: &UseTree, before: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let with = |name: String| [before, &[name]].concat();
    match tree {
        UseTree::Path(path) => leaves(&path.tree, &with(path.ident.to_string()), found),
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, before, found)),
        UseTree::Glob(_) => found.push((with("*".into()), "*".into())),
        UseTree::Name(name) if name.ident == "self" => {
            found.push((before.to_vec(), before.last().cloned().unwrap_or_default()));
        }
        UseTree::Name(name) => found.push((with(name.ident.to_string()), name.ident.to_string())),
        UseTree::Rename(name) => {
            let path = if name.ident == "self" { before.to_vec() } else { with(name.ident.to_string()) };
            found.push((path, name.rename.to_string()));
        }
    }
}

/// What names stand for in a file, by its `use` lines.
#[derive(Default)]
struct Imports(BTreeMap<String, Vec<String>>);

impl<'ast> Visit<'ast> for Imports {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_of_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut found = Vec::new();
        leaves(&item.tree, &[], &mut found);
        self.0.extend(found.into_iter().map(|(path, name)| (name, path)));
    }
}

struct Reader {
    module: Vec<String>,
    imports: BTreeMap<String, Vec<String>>,
    names: Names,
}

impl Reader {
    fn note(&mut self, path: &[String]) {
        let Some(first) = path.first() else { return };
        let imported = self.imports.get(first).filter(|import| import[0] != *first);
        let path = match imported {
            Some(import) => [import, &path[1..]].concat(),
            None => path.to_vec(),
        };
        self.note_import(&path);
    }

    fn note_import(&mut self, path: &[String]) {
        let supers = path.iter().take_while(|part| *part == "super").count();
        let own = |module: &[String], rest: &[String]| [&["crate".to_owned()], module, rest].concat();
        let path = match path[0].as_str() {
            "self" => own(&self.module, &path[1..]),
            "super" => own(&self.module[..self.module.len().saturating_sub(supers)], &path[supers..]),
            _ => path.to_vec(),
        };
        self.names.paths.insert(path.join("::"));
    }

    /// Macros and attributes: `a::b` and `a::{b, c}` wherever they stand.
    fn tokens(&mut self, mut cursor: Cursor<'_>, prefix: &[String]) {
        let (mut path, mut colons) = (prefix.to_vec(), 2);
        while !cursor.eof() {
            if let Some((ident, next)) = cursor.ident() {
                if colons != 2 {
                    self.note(&path);
                    path = prefix.to_vec();
                }
                path.push(ident.to_string());
                (colons, cursor) = (0, next);
            } else if let Some((inner, _, _, next)) = cursor.any_group() {
                let of_path = colons == 2 && path.len() > prefix.len();
                self.tokens(inner, if of_path { &path } else { &[] });
                if !of_path {
                    self.note(&path);
                }
                (path, colons, cursor) = (prefix.to_vec(), 2, next);
            } else if let Some((punct, next)) = cursor.punct() {
                match punct.as_char() {
                    ':' => colons += 1,
                    mark => {
                        if mark == '!' {
                            self.names.macros.extend(path.last().cloned());
                        }
                        self.note(&path);
                        (path, colons) = (prefix.to_vec(), 2);
                    }
                }
                cursor = next;
            } else if let Some((_, next)) = cursor.token_tree() {
                self.note(&path);
                (path, colons, cursor) = (prefix.to_vec(), 2, next);
            }
        }
        self.note(&path);
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_of_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_of_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.content.is_none() {
            self.names.modules.push(item.ident.to_string());
        }
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut found = Vec::new();
        leaves(&item.tree, &[], &mut found);
        for (path, _) in found {
            self.note_import(&path);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.note(&path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.names.macros.extend(called.path.segments.last().map(|segment| segment.ident.to_string()));
        self.tokens(TokenBuffer::new2(called.tokens.clone()).begin(), &[]);
        visit::visit_macro(self, called);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.tokens(TokenBuffer::new2(list.tokens.clone()).begin(), &[]);
        visit::visit_meta_list(self, list);
    }
}
