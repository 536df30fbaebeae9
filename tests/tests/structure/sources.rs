//! The source files of a crate, and the modules that each of them imports from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;

/// The files of a crate by their module path: `config::table`, and `` for `lib.rs`.
pub(crate) struct Crate {
    pub(crate) files: BTreeMap<String, File>,
}

/// A source file.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// Whether it is the `mod.rs` of a folder, or `lib.rs`.
    is_folder: bool,
    /// Names that it exports again, and the modules that they are from.
    exports: BTreeMap<String, String>,
}

/// An import: a module path within the crate, and the name that follows it.
type Import = (Vec<String>, String);

impl Crate {
    pub(crate) fn read(name: &'static str) -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
        let mut files = BTreeMap::new();
        collect(&src, &src, &mut files);
        assert!(!files.is_empty(), "{} has no sources", src.display());
        Self { files }
    }

    /// The modules that a file imports from, re-exports followed to where they lead.
    pub(crate) fn imports(&self, module: &str) -> BTreeSet<String> {
        let Some(file) = self.files.get(module) else { return BTreeSet::new() };
        let found = imports(&file.text, module, file.is_folder).into_iter();
        found
            .filter_map(|(path, name)| self.resolve(&path, &name))
            .filter(|target| target != module)
            .collect()
    }

    fn resolve(&self, path: &[String], name: &str) -> Option<String> {
        let mut at = String::new();
        let mut names = path.iter().map(String::as_str).chain([name]);
        loop {
            let Some(next) = names.next() else { return Some(at) };
            let inner = join(&at, next);
            if self.files.contains_key(&inner) {
                at = inner;
            } else if let Some(target) = self.files.get(&at)?.exports.get(next) {
                let target: Vec<String> = target.split("::").map(str::to_owned).collect();
                return self.resolve(&target, next);
            } else {
                return Some(at);
            }
        }
    }
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

fn collect(src: &Path, folder: &Path, files: &mut BTreeMap<String, File>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(src, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(src).unwrap().with_extension("");
            let mut parts: Vec<&str> = relative.iter().map(|part| part.to_str().unwrap()).collect();
            let is_folder = matches!(parts.last(), Some(&"mod" | &"lib"));
            if is_folder {
                parts.pop();
            }
            let module = parts.join("::");
            let text = std::fs::read_to_string(&path).unwrap();
            // Tests import what they like.
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
            let exports = exports(&text, &module, is_folder);
            files.insert(module, File { path, text, is_folder, exports });
        }
    }
}

/// Reads the Rust files of all packages: sources, tests, benchmarks and examples.
pub(crate) fn all_files() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let packages = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = packages.filter(|path| path.join("Cargo.toml").is_file()).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    files
}

/// The `use` statements of a text, each on one line without its visibility.
fn statements(text: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_start();
        let (public, rest) = match line.strip_prefix("pub") {
            Some(rest) => (
                true,
                rest.split_once("use ").map_or("", |(before, rest)| {
                    if before.trim().is_empty() || before.trim().starts_with('(') { rest } else { "" }
                }),
            ),
            None => (false, line.strip_prefix("use ").unwrap_or_default()),
        };
        if rest.is_empty() {
            continue;
        }
        let mut statement = rest.to_owned();
        while !statement.contains(';') {
            let Some(next) = lines.next() else { break };
            statement += next.trim();
        }
        found.push((public, statement.split(';').next().unwrap_or_default().to_owned()));
    }
    found
}

/// Expands `a::{b, c::{d, e}}` to `a::b`, `a::c::d`, `a::c::e`.
fn expand(statement: &str) -> Vec<String> {
    let Some((head, rest)) = statement.split_once('{') else {
        let path = statement.split(" as ").next().unwrap_or_default().trim();
        return if path.is_empty() { Vec::new() } else { vec![path.to_owned()] };
    };
    let body = rest.rsplit_once('}').map_or(rest, |(body, _)| body);
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for letter in body.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(letter);
    }
    parts
        .iter()
        .flat_map(|part| expand(part.trim()))
        .map(
            |part| {
                if part == "self" { head.trim_end_matches("::").to_owned() } else { format!("{head}{part}") }
            },
        )
        .collect()
}

/// The imports within the crate, absolute: of `use` statements and of paths inside of code.
fn imports(text: &str, module: &str, is_folder: bool) -> Vec<Import> {
    let statements = statements(text);
    let uses = statements.iter().filter(|(public, _)| !public).flat_map(|(_, statement)| expand(statement));
    uses.chain(inline_paths(text)).filter_map(|path| absolute(&path, module, is_folder)).collect()
}

/// The paths inside of code that begin in the crate, such as `crate::a::b` in `crate::a::b()`. Comments have none, nor do
/// visibilities and the `$crate` of macros, which others expand.
pub(crate) fn inline_paths(text: &str) -> Vec<String> {
    let path = Regex::new(r"(?:^|[^$\w:])((?:crate|super|self)(?:::\w+)+)").unwrap();
    let visibility = Regex::new(r"pub\(in [^)]*\)").unwrap();
    let uses = Regex::new(r"(?m)^\s*(?:pub(?:\([^)]*\))? )?use [^;]*;").unwrap();
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let code = uses.replace_all(&code, "");
    let code = visibility.replace_all(&code, "");
    path.captures_iter(&code).map(|found| found[1].to_owned()).collect()
}

/// The structs of a text with named fields, and how many each has.
pub(crate) fn fields_of_structs(text: &str) -> Vec<(String, usize)> {
    let head = Regex::new(r"^(\s*)(?:pub(?:\([^)]*\))? )?struct (\w+).*\{$").unwrap();
    let field = Regex::new(r"^\s*(?:pub(?:\([^)]*\))? )?[a-z_]\w*: ").unwrap();
    let mut found: Vec<(String, usize)> = Vec::new();
    let mut end = None;
    for line in text.lines() {
        match (&end, head.captures(line)) {
            (None, Some(head)) => {
                end = Some(format!("{}}}", &head[1]));
                found.push((head[2].to_owned(), 0));
            }
            (Some(last), _) if line == last => end = None,
            (Some(_), _) if field.is_match(line) => {
                found.iter_mut().last().into_iter().for_each(|entry| entry.1 += 1)
            }
            _ => {}
        }
    }
    found
}

fn exports(text: &str, module: &str, is_folder: bool) -> BTreeMap<String, String> {
    statements(text)
        .iter()
        .filter(|(public, _)| *public)
        .flat_map(|(_, statement)| expand(statement))
        .filter_map(|path| {
            // In a `pub use` of a folder, a plain path begins in the folder.
            let (path, name) = absolute(&path, module, is_folder)
                .or_else(|| absolute(&format!("self::{path}"), module, is_folder))?;
            Some((name, path.join("::")))
        })
        .collect()
}

/// Turns a path into one from the crate's root; `None` for one that leads out of the crate.
fn absolute(path: &str, module: &str, is_folder: bool) -> Option<Import> {
    let mut at: Vec<String> =
        if module.is_empty() { Vec::new() } else { module.split("::").map(str::to_owned).collect() };
    let mut parts: Vec<&str> = path.split("::").map(str::trim).collect();
    match parts[0] {
        "crate" => {
            at.clear();
            parts.remove(0);
        }
        "self" => {
            if !is_folder {
                at.pop();
            }
            parts.remove(0);
        }
        "super" => {
            while parts.first() == Some(&"super") {
                at.pop();
                parts.remove(0);
            }
        }
        _ if is_folder => return None,
        _ => return None,
    }
    let name = parts.pop()?.to_owned();
    at.extend(parts.into_iter().map(str::to_owned));
    Some((at, name))
}
