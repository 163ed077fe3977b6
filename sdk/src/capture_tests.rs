use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Capture, CaptureError> {
    read_over(variables, &CaptureDefaults::default())
}

fn read_over(variables: &[(&str, &str)], defaults: &CaptureDefaults) -> Result<Capture, CaptureError> {
    let variable = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        Ok(found.map(|(_, value)| (*value).to_owned()))
    };
    Capture::read(variable, defaults)
}

#[test]
fn everything_is_captured_unless_said_otherwise() {
    for capture in [
        Capture::default(),
        read(&[]).unwrap(),
        read(&[("MCPTAP_CAPTURE", " Full ")]).unwrap(),
    ] {
        assert_eq!((capture.mode, capture.body_cap), (Mode::Full, 1_048_576));
        assert!(capture.records() && capture.bodies_of(None) && capture.bodies_of(Some("any")));
    }
}

#[test]
fn metadata_has_no_bodies_and_off_has_nothing() {
    let capture = |mode| read(&[("MCPTAP_CAPTURE", mode), ("MCPTAP_CAPTURE_TOOLS", "any")]).unwrap();
    let (metadata, off) = (capture("metadata"), capture("off"));
    assert!(!metadata.takes_lines("shop") && !off.takes_lines("shop"));
    assert!(metadata.records() && !metadata.bodies_of(None) && !metadata.bodies_of(Some("any")));
    assert!(!off.records() && !off.bodies_of(None) && !off.bodies_of(Some("any")));
}

#[test]
fn deny_wins_over_allow() {
    let capture = read(&[
        ("MCPTAP_CAPTURE_TOOLS", "get_*, list,"),
        ("MCPTAP_CAPTURE_DENY_TOOLS", "get_secret*"),
    ])
    .unwrap();
    for (tool, kept) in [
        ("get_order", true),
        ("get_", true),
        ("list", true),
        ("listing", false),
        ("get_secret", false),
        ("get_secrets", false),
        ("put", false),
    ] {
        assert_eq!(capture.bodies_of(Some(tool)), kept, "{tool}");
    }
    assert!(capture.bodies_of(None), "what is about no tool is not concerned");
    assert!(capture.takes_lines("shop") && !capture.takes_lines("rmcp::service"));
    assert!(Capture::full().takes_lines("rmcp") && !Capture::full().body_cap(9).takes_lines("rmcp"));
    let denied = read(&[("MCPTAP_CAPTURE_DENY_TOOLS", "*")]).unwrap();
    assert!(!denied.bodies_of(Some("any")) && denied.bodies_of(None));
}

#[test]
fn redaction_is_the_operators_too() {
    let capture = read(&[
        ("MCPTAP_REDACT_KEYS", "ssn, dob"),
        ("MCPTAP_REDACT_PATTERNS", "ACME-[0-9]{2,6}\n\nEMP[0-9]+\n"),
        ("MCPTAP_REDACT_ENV", "SONG,NOT_SET,EMPTY"),
        ("SONG", "sea shanty"),
        ("EMPTY", ""),
    ])
    .unwrap();
    assert_eq!(
        capture
            .redactor
            .redact("dob=1 ACME-123 EMP7 sea shanty password=x"),
        "dob=[redacted] [redacted] [redacted] [redacted] password=[redacted]"
    );
}

#[test]
fn variables_win_over_defaults_one_by_one_and_empty_ones_do_not() {
    let defaults = CaptureDefaults {
        body_cap: Some(7),
        redact_keys: vec![" ssn".to_owned(), String::new()],
        redact_patterns: vec!["ACME-[0-9]{2,6}".to_owned()],
        redact_env: vec!["SONG".to_owned()],
    };
    let song = ("SONG", "sea shanty");
    let cut = |variables: &[(&str, &str)]| {
        let capture = read_over(&[variables, &[song]].concat(), &defaults).unwrap();
        let text = capture.redactor.redact("ssn=1 dob=2 ACME-123 sea shanty");
        (capture.body_cap, text.into_owned())
    };
    let by_default = (7, "ssn=[redacted] dob=2 [redacted] [redacted]".to_owned());
    assert_eq!(cut(&[]), by_default);
    let empty = [
        ("MCPTAP_REDACT_KEYS", ""),
        ("MCPTAP_REDACT_PATTERNS", "\n"),
        ("MCPTAP_REDACT_ENV", ","),
        ("MCPTAP_BODY_CAP", " "),
    ];
    assert_eq!(cut(&empty), by_default);
    assert_eq!(
        cut(&[("MCPTAP_REDACT_KEYS", "dob"), ("MCPTAP_BODY_CAP", "2KiB")]),
        (2048, "ssn=1 dob=[redacted] [redacted] [redacted]".to_owned())
    );
    let wrong = CaptureDefaults {
        redact_patterns: vec!["ab(c".to_owned()],
        ..CaptureDefaults::default()
    };
    assert!(read_over(&[], &wrong).is_err());
}

#[test]
fn all_mistakes_are_found() {
    let variables = [
        ("MCPTAP_CAPTURE", "ful"),
        ("MCPTAP_CAPTURE_TOOLS", "a*b"),
        ("MCPTAP_BODY_CAP", "many"),
        ("MCPTAP_REDACT_PATTERNS", "("),
        ("MCPTAP_REDACT_ENV", "PIN"),
        ("PIN", "1234"),
    ];
    let mistakes = Capture::mistakes_in(|name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        Ok(found.map(|(_, value)| (*value).to_owned()))
    });
    assert_eq!(mistakes.len(), 5, "{mistakes:?}");
}

#[test]
fn mistakes_say_what_is_right() {
    for (variable, value, told) in [
        ("MCPTAP_CAPTURE", "bodies", "full, metadata or off"),
        ("MCPTAP_BODY_CAP", "1.5M", "1MiB"),
        ("MCPTAP_CAPTURE_TOOLS", "*_order", "get_*"),
        ("MCPTAP_CAPTURE_DENY_TOOLS", "a*b", "get_*"),
        ("MCPTAP_REDACT_PATTERNS", "ab(c", "unclosed group"),
        ("MCPTAP_REDACT_KEYS", "-", "ssn"),
    ] {
        let error = read(&[(variable, value)]).unwrap_err().to_string();
        assert!(
            error.contains(variable) && error.contains(value) && error.contains(told),
            "{error}"
        );
    }
    let short = read(&[("MCPTAP_REDACT_ENV", "PIN"), ("PIN", "1234")])
        .unwrap_err()
        .to_string();
    assert!(
        short.contains("PIN") && short.contains("at least 6") && !short.contains("1234"),
        "{short}"
    );
    assert_eq!(read(&[("MCPTAP_BODY_CAP", "0")]).unwrap().body_cap, 0);
}
