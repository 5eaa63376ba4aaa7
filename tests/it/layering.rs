//! The floors of the house: imports go downstairs only, and some things from outside are known on one floor only.
//!
//! | floor | may import |
//! |---|---|
//! | `main` | `cli` |
//! | `cli` | everything below, and `server` |
//! | `server` | everything below |
//! | `grpc`, `http`, `worker` | `app` and below, not each other |
//! | `app` | the floor below, and `domain` |
//! | `store`, `matching`, `bus`, `channel`, `embedder`, `tracker`, `helpdesk` | `domain`, not each other |
//! | `domain` | nothing |
//!
//! Beside the stairs stand `clock` (which knows `domain`'s time), `config` (nothing) and `telemetry` (`config`): open to
//! the floors from `app` upwards, closed to those below, which are handed what they need.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the top; those on one line are siblings.
const FLOORS: [&[&str]; 7] = [
    &["main"],
    &["cli"],
    &["server"],
    &["grpc", "http", "worker"],
    &["app"],
    &["store", "matching", "bus", "channel", "embedder", "tracker", "helpdesk"],
    &["domain"],
];
const BESIDE: [&str; 3] = ["clock", "config", "telemetry"];
/// The lowest floor that may look beside the stairs.
const LOWEST_WITH_SIDE: usize = 4;

/// What only some modules may know of; a path prefix under `src`. Tests in the same files count as the files do.
const OUTSIDERS: [(&[&str], &[&str]); 4] = [
    (&["sea_orm", "sea_orm_migration"], &["store"]),
    (&["tonic", "tonic_health", "tonic_reflection", "tonic_types", "prost"], &["grpc", "cli", "server/tests.rs"]),
    (&["axum"], &["http", "cli/demo", "server"]),
    (&["lettre", "reqwest", "minijinja"], &["channel", "embedder", "http", "cli", "server/tests.rs"]),
];
/// What `domain` and `matching` do without: runtimes, wires, databases, clocks and disks.
const NOT_PURE: [&str; 12] = [
    "tokio",
    "tonic",
    "sea_orm",
    "axum",
    "hyper",
    "futures",
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "SystemTime",
    "Instant",
];

struct Source {
    /// Under `src`.
    path: String,
    module: String,
    /// Without comments.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 50, "the house is there");
    let read = |file: PathBuf| {
        let path = file.strip_prefix(&root).expect("it is in there").to_string_lossy().into_owned();
        let module = path.split(['/', '.']).next().expect("a name").to_owned();
        let text = fs::read_to_string(&file).expect("it is text");
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        Source { path, module, code }
    };
    files.into_iter().map(read).filter(|source| source.module != "lib").collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The modules that code names behind `crate::` (or, in `main`, `hearback::`).
fn imports(source: &Source) -> BTreeSet<String> {
    let root = if source.module == "main" { "hearback::" } else { "crate::" };
    let mut found = BTreeSet::new();
    for (at, _) in source.code.match_indices(root) {
        let rest = &source.code[at + root.len()..];
        match rest.strip_prefix('{') {
            None => found.extend(word(rest)),
            Some(group) => {
                // The names at the group's own depth.
                let mut depth = 0;
                let mut begin = true;
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => begin = true,
                        c if begin && depth == 0 && c.is_alphanumeric() => {
                            found.extend(word(&group[at..]));
                            begin = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

fn word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

#[test]
fn imports_go_downstairs_only() {
    let mut wrong = BTreeMap::new();
    for source in sources() {
        for import in imports(&source) {
            let allowed = import == source.module
                || match (source.module.as_str(), floor(&source.module), floor(&import)) {
                    ("clock", ..) => import == "domain",
                    ("telemetry", ..) => import == "config",
                    ("config", ..) => false,
                    (_, None, _) => panic!("{} is on no floor: give it one in FLOORS", source.module),
                    (_, Some(from), Some(to)) => from < to,
                    (_, Some(from), None) => from <= LOWEST_WITH_SIDE && BESIDE.contains(&import.as_str()),
                };
            if !allowed {
                wrong.insert(source.path.clone(), import);
            }
        }
    }
    assert!(wrong.is_empty(), "these climb stairs or cross a landing: {wrong:#?}");
}

#[test]
fn what_comes_from_outside_is_known_where_it_belongs() {
    let mut wrong = BTreeSet::new();
    for source in sources() {
        for (crates, homes) in OUTSIDERS {
            for name in crates {
                let used = [format!("use {name}::"), format!("use {name};"), format!("use ::{name}")];
                let inline = format!("{name}::");
                let inlined = source.code.match_indices(&inline).any(|(at, _)| {
                    !source.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '/')
                });
                if (inlined || used.iter().any(|form| source.code.contains(form.as_str())))
                    && !homes.iter().any(|home| source.path.starts_with(home))
                {
                    wrong.insert(format!("{} knows {name}", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn domain_and_matching_are_plain_rust() {
    let mut wrong = BTreeSet::new();
    for source in sources().into_iter().filter(|source| ["domain", "matching"].contains(&source.module.as_str())) {
        for name in NOT_PURE {
            let known = source.code.match_indices(name).any(|(at, _)| {
                let before = source.code[..at].chars().next_back();
                let after = source.code[at + name.len()..].chars().next();
                let part_of_a_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                // A text that begins with the name is data: frames of a trace name libraries, too.
                !part_of_a_word(before) && !part_of_a_word(after) && before != Some('"')
            });
            if known {
                wrong.insert(format!("{} knows {name}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nobody_below_the_server_sees_the_whole_configuration() {
    let below = |source: &Source| floor(&source.module).is_some_and(|floor| floor > 2);
    for source in sources().into_iter().filter(below) {
        let whole = [
            "config::Config;",
            "config::Config,",
            "config::Config}",
            "config::{Config,",
            "config::Config\n",
            "&Config\n",
        ];
        for form in whole {
            assert!(!source.code.contains(form), "{} takes {form:?}", source.path);
        }
    }
}

#[test]
fn a_resource_keeps_its_name_on_every_floor() {
    let paths: BTreeSet<String> = sources().into_iter().map(|source| source.path).collect();
    for resource in ["report", "cluster", "defect", "release", "customer", "announcement"] {
        for floor in ["grpc", "app", "domain", "store"] {
            assert!(paths.contains(&format!("{floor}/{resource}.rs")), "{floor}/{resource}.rs");
        }
        let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("proto/hearback/v1/{resource}.proto"));
        let test = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/{resource}.rs"));
        assert!(proto.exists() && test.exists(), "{resource}");
    }
}
