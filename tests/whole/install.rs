//! `mcptap wrap --install` and `--uninstall` change a client's configuration on disk, and give it back.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

use crate::support::BINARY;

const BEFORE: &str = "{\n  // what I use\n  \"mcpServers\": {\n    \"everything\": {\n      \"command\": \"npx\",\n      \"args\": [\"-y\", \"x\"],\n    },\n  }\n}\n";

fn wrap(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .current_dir(directory)
        .arg("wrap")
        .args(arguments)
        .args(["--server", "everything"])
        .output()
        .unwrap()
}

fn told(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn a_configuration_is_changed_and_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("real.json"), BEFORE).unwrap();
    fs::set_permissions(at("real.json"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real.json", at("config.json")).unwrap();

    let shown = wrap(directory.path(), &["--install", "config.json", "--dry-run"]);
    let args = r#"["wrap", "--name", "everything", "--", "npx", "-y", "x"]"#;
    assert!(
        told(&shown).contains("-      \"command\": \"npx\",\n"),
        "{}",
        told(&shown)
    );
    assert!(
        told(&shown).contains(&format!("+      \"args\": {args},\n")),
        "{}",
        told(&shown)
    );
    assert_eq!(fs::read_to_string(at("real.json")).unwrap(), BEFORE);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);

    let installed = wrap(directory.path(), &["--install", "config.json"]);
    assert!(
        installed.status.success() && told(&installed).contains("real.json.mcptap-backup"),
        "{}",
        told(&installed)
    );
    let after = fs::read_to_string(at("real.json")).unwrap();
    let expected = BEFORE
        .replace("\"npx\"", &format!("{BINARY:?}"))
        .replace(r#"["-y", "x"]"#, args);
    assert_eq!(after, expected);
    assert!(at("config.json").is_symlink());
    let again = wrap(directory.path(), &["--install", "config.json"]);
    assert!(told(&again).contains("wrapped already"), "{}", told(&again));

    assert!(
        wrap(directory.path(), &["--uninstall", "config.json"])
            .status
            .success()
    );
    assert_eq!(fs::read_to_string(at("real.json")).unwrap(), BEFORE);
    assert!(told(&wrap(directory.path(), &["--uninstall", "config.json"])).contains("not wrapped"));

    // Each copy is there, and each file has the permissions of the first.
    assert_eq!(fs::read_to_string(at("real.json.mcptap-backup")).unwrap(), BEFORE);
    assert_eq!(
        fs::read_to_string(at("real.json.mcptap-backup-2")).unwrap(),
        after
    );
    let files = [
        "real.json",
        "real.json.mcptap-backup",
        "real.json.mcptap-backup-2",
    ];
    for name in files {
        assert_eq!(
            fs::metadata(at(name)).unwrap().permissions().mode() & 0o777,
            0o640,
            "{name}"
        );
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), files.len() + 1);
}

#[test]
fn what_cannot_be_changed_stays_and_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    for (text, expected) in [
        ("{\n  \"mcpServers\": [}\n", "line 2"),
        (r#"{"mcpServers": {"other": {"command": "x"}}}"#, "it has other"),
        (
            r#"{"mcpServers": {"everything": {"url": "http://127.0.0.1"}}}"#,
            "mcptap proxy",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let refused = wrap(directory.path(), &["--install", "config.json"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            told(&refused).contains(expected) && told(&refused).contains("config.json"),
            "{}",
            told(&refused)
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    fs::write(&file, BEFORE).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    let refused = wrap(directory.path(), &["--install", "config.json"]);
    assert!(told(&refused).contains("read-only"), "{}", told(&refused));
    let missing = wrap(directory.path(), &["--install", "nowhere.json"]);
    assert!(told(&missing).contains("nowhere.json"), "{}", told(&missing));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}
