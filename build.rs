//! Builds the pages in `dashboard/` with npm and writes the table that `src/pages/file.rs` serves them from.
//! Without Node.js the table is empty, and the binary says so where the pages would be.

use std::{
    env,
    error::Error,
    ffi::OsStr,
    fmt::Write,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What the pages are made from. What they are made into is not here: it would set off the next build.
const SOURCES: [&str; 12] = [
    "../CHANGELOG.md",
    "../README.md",
    "../docs",
    ".npmrc",
    "graphiql.html",
    "index.html",
    "markdown.ts",
    "package-lock.json",
    "package.json",
    "src",
    "tsconfig.json",
    "vite.config.ts",
];

fn main() -> Outcome<()> {
    println!("cargo::rerun-if-changed=build.rs");
    for source in SOURCES {
        println!("cargo::rerun-if-changed=dashboard/{source}");
    }
    let dashboard = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("dashboard");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    if pages_are_old(&dashboard)
        && let Err(why) = build_pages(&dashboard)
    {
        for line in why.to_string().lines() {
            println!("cargo::warning={line}");
        }
        println!(
            "cargo::warning=the dashboard and GraphiQL could not be built: they need Node.js 20.19 or later \
             with npm; `touch build.rs` and build again"
        );
    }
    embed(&dashboard.join("dist"), &out)
}

fn pages_are_old(dashboard: &Path) -> bool {
    let newest = SOURCES
        .iter()
        .map(|source| newest_change(&dashboard.join(source)))
        .max();
    changed(&dashboard.join("dist/index.html")) < newest.flatten()
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|found| found.modified()).ok()
}

fn newest_change(path: &Path) -> Option<SystemTime> {
    let inside = fs::read_dir(path).into_iter().flatten().flatten();
    inside
        .map(|entry| newest_change(&entry.path()))
        .max()
        .flatten()
        .max(changed(path))
}

fn build_pages(dashboard: &Path) -> Outcome<()> {
    let installed = changed(&dashboard.join("node_modules/.package-lock.json"));
    if installed < changed(&dashboard.join("package-lock.json")) {
        npm(dashboard, &["ci"])?;
    }
    npm(dashboard, &["run", "build"])
}

fn npm(dashboard: &Path, arguments: &[&str]) -> Outcome<()> {
    let program = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let command = format!("npm {}", arguments.join(" "));
    let done = Command::new(program)
        .args(arguments)
        .current_dir(dashboard)
        .output()
        .map_err(|why| format!("{command}: {why}"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let last = lines
        .iter()
        .rev()
        .take(10)
        .rev()
        .copied()
        .collect::<Vec<_>>()
        .join("\n");
    Err(format!("{command}: {}\n{last}", done.status).into())
}

/// Copies the pages, so that the crate never depends on files that a later npm run replaces.
fn embed(dist: &Path, out: &Path) -> Outcome<()> {
    let copies = out.join("pages");
    if copies.exists() {
        fs::remove_dir_all(&copies)?;
    }
    fs::create_dir_all(&copies)?;

    let mut found = Vec::new();
    if dist.join("index.html").exists() {
        files_below(dist, &mut found)?;
    }
    found.sort();
    let mut table = String::from("&[\n");
    for (number, path) in found.iter().enumerate() {
        let mut name = path.as_os_str().to_owned();
        name.push(".gz");
        let small = PathBuf::from(name);
        let compressed = small.exists();
        let bytes = fs::read(if compressed { &small } else { path })?;
        let copy = copies.join(number.to_string());
        fs::write(&copy, &bytes)?;
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        writeln!(
            table,
            "    Page {{ path: {:?}, content_type: {:?}, compressed: {compressed}, etag: {:?}, \
             bytes: include_bytes!({:?}) }},",
            path.strip_prefix(dist)?.to_string_lossy().replace('\\', "/"),
            content_type(path),
            // weak: the same tag for the compressed and the plain form
            format!("W/\"{:016x}\"", hasher.finish()),
            copy.to_string_lossy(),
        )?;
    }
    table.push_str("]\n");
    fs::write(out.join("pages.rs"), table)?;
    Ok(())
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) -> Outcome<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files_below(&path, found)?;
        } else if path.extension() != Some(OsStr::new("gz")) {
            found.push(path);
        }
    }
    Ok(())
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(OsStr::to_str) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        // shown by every browser, where text/markdown is downloaded by some
        Some("md" | "txt") => "text/plain; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("ttf") => "font/ttf",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
