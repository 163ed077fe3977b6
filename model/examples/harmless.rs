//! How many texts without a secret redaction touches: paragraphs of the READMEs and the JSON files of packages, and what
//! the captures of this repository hold.
//!
//! `cargo run -p mcptap-model --example harmless` · `… --example harmless -- --show DIRECTORY…`
//!
//! Nobody read them all: what is touched may be a secret that somebody published as an example. `--show` prints each.
#![expect(clippy::print_stdout, reason = "a program to be read by people")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mcptap_model::redact::{REDACTED, Redactor};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;
/// The most files below one folder.
const MOST: usize = 20_000;

fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let show = given.iter().any(|argument| argument == "--show");
    let mut folders: Vec<PathBuf> = given
        .iter()
        .filter(|argument| *argument != "--show")
        .map(PathBuf::from)
        .collect();
    if folders.is_empty() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
        folders.extend(home.map(|home| home.join("registry/src")));
        folders.extend(["dashboard/node_modules", "tests/captures"].map(|folder| root.join(folder)));
    }
    let redactor = Redactor::default();
    let mut rules: BTreeMap<String, usize> = BTreeMap::new();
    let (mut all, mut all_touched) = (0, 0);
    for folder in folders {
        let mut files = Vec::new();
        find(&folder, &mut files);
        files.sort();
        let (mut texts, mut touched) = (0_usize, 0_usize);
        for file in files {
            let Ok(content) = std::fs::read(&file) else {
                continue;
            };
            let content = String::from_utf8_lossy(&content);
            let parts: Vec<&str> = match file.extension().and_then(|extension| extension.to_str()) {
                Some("md") => content
                    .split("\n\n")
                    .filter(|part| !part.trim().is_empty())
                    .collect(),
                // Between the texts of an export stands what is none.
                Some("pb") => content.split(is_no_text).filter(|part| part.len() > 3).collect(),
                _ => vec![&content],
            };
            for part in parts {
                texts += 1;
                let redaction = redactor.explain(part);
                if redaction.text == part {
                    continue;
                }
                touched += 1;
                for rule in redaction.cuts.keys() {
                    *rules.entry(rule.clone()).or_default() += 1;
                }
                if show {
                    println!("{}: {:?}", file.display(), redaction.cuts.keys());
                    println!("{}", difference(part, &redaction.text));
                }
            }
        }
        println!("{}: {touched} of {texts} texts are touched", folder.display());
        all += texts;
        all_touched += touched;
    }
    for (rule, texts) in rules {
        println!("  {texts:>5} by {rule}");
    }
    let share = 100.0 * f64::from(u32::try_from(all_touched).unwrap_or(u32::MAX)) / all.max(1) as f64;
    println!("{all_touched} of {all} texts are touched: {share:.3} %");
}

fn is_no_text(character: char) -> bool {
    (character.is_control() && !character.is_whitespace()) || character == char::REPLACEMENT_CHARACTER
}

/// The first line that was changed, before and after.
fn difference(before: &str, after: &str) -> String {
    let line = |text: &str, at: usize| {
        text[at.saturating_sub(80)..]
            .chars()
            .take(200)
            .collect::<String>()
    };
    let at = after.find(REDACTED).unwrap_or_default();
    let floor = |text: &str| {
        (0..=at.min(text.len()))
            .rev()
            .find(|at| text.is_char_boundary(*at) && text.is_char_boundary(at.saturating_sub(80)))
    };
    format!(
        "  - {:?}\n  + {:?}",
        line(before, floor(before).unwrap_or_default()),
        line(after, floor(after).unwrap_or_default())
    )
}

/// Markdown and JSON below a folder.
fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            find(&path, files);
        } else if kind.is_file()
            && files.len() < MOST
            && path
                .extension()
                .is_some_and(|extension| ["md", "json", "pb"].iter().any(|known| extension == *known))
            && entry.metadata().is_ok_and(|metadata| metadata.len() <= LARGEST)
        {
            files.push(path);
        }
    }
}
