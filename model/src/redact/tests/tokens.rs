//! Tokens of services, keys of AWS, and private keys.

use serde_json::Value;

use super::{drawn, hex, redact};
use crate::redact::{REDACTED, Redactor};

/// Tokens of each service by the name of the rule that is to find them.
fn tokens() -> Vec<(&'static str, String)> {
    let of = |parts: &[&str]| parts.concat();
    let d = drawn;
    let base64 = "q3Tz+8Wm/Lk1";
    vec![
        ("GitHub token", of(&["gh", "p_", &d(36)])),
        ("GitHub token", of(&["gh", "o_", &d(36)])),
        ("GitHub token", of(&["gh", "u_", &d(36)])),
        ("GitHub token", of(&["gh", "s_", &d(36)])),
        ("GitHub token", of(&["gh", "r_", &d(76)])),
        ("GitHub token", of(&["github", "_pat_", &d(22), "_", &d(59)])),
        ("GitLab token", of(&["glp", "at-", &d(20)])),
        ("GitLab token", of(&["glp", "at-", &d(27), ".01.", "1a2b3c4d5"])),
        ("GitLab token", of(&["gld", "t-", &d(20)])),
        ("GitLab token", of(&["glr", "t-", &d(20)])),
        ("API key", of(&["sk", "-proj-", &d(74), "T3Blbk", "FJ", &d(74)])),
        (
            "API key",
            of(&["sk", "-svcacct-", &d(58), "T3Blbk", "FJ", &d(58)]),
        ),
        ("API key", of(&["sk", "-", &d(20), "T3Blbk", "FJ", &d(20)])),
        (
            "Anthropic key",
            of(&["sk", "-ant-api03-", &d(45), "-", &d(47), "AA"]),
        ),
        ("AWS access key id", of(&["AK", "IA", "IOSFODNN7QT5LX2K"])),
        ("AWS access key id", of(&["AS", "IA", "IOSFODNN7QT5LX2K"])),
        ("Google key", of(&["AI", "za", "Sy", &d(33)])),
        ("Google token", of(&["ya", "29.", "a0AfH6SM", &d(60)])),
        ("Google secret", of(&["GOC", "SPX-", &d(28)])),
        (
            "Slack token",
            of(&["xo", "xb-", "123456789012-1234567890123-", &d(24)]),
        ),
        (
            "Slack token",
            of(&["xo", "xp-", "123456789012-123456789012-", &hex(32)]),
        ),
        ("Slack token", of(&["xo", "xe.xoxp-", "1-", &d(40)])),
        (
            "Slack token",
            of(&["xa", "pp-1-", "A0123456789-1234567890123-", &hex(64)]),
        ),
        ("Stripe key", of(&["sk", "_live_", "51", &d(97)])),
        ("Stripe key", of(&["rk", "_live_", "51", &d(97)])),
        ("Stripe key", of(&["sk", "_test_", &d(24)])),
        ("Stripe key", of(&["wh", "sec_", &d(32)])),
        ("npm token", of(&["np", "m_", &d(36)])),
        ("PyPI token", of(&["py", "pi-AgE", "IcHlwaS5vcmc", &d(140)])),
        ("Hugging Face token", of(&["h", "f_", &d(34)])),
        ("Twilio key", of(&["S", "K", &hex(32)])),
        ("SendGrid key", of(&["S", "G.", &d(22), ".", &d(43)])),
        ("DigitalOcean token", of(&["do", "p_v1_", &hex(64)])),
        ("DigitalOcean token", of(&["do", "o_v1_", &hex(64)])),
        ("Telegram token", of(&["1234567", "890:AA", &d(33)])),
        (
            "Discord token",
            of(&["MTk4", "NjIyNDgzNDcxOTI1MjQ4", ".", "Cl2FMQ", ".", &d(27)]),
        ),
        (
            "Discord token",
            of(&["OTk4", "NjIyNDgzNDcxOTI1MjQ4Mg", ".", "G-2FMQ", ".", &d(38)]),
        ),
        ("Linear key", of(&["lin", "_api_", &d(40)])),
        ("Notion token", of(&["nt", "n_", &d(46)])),
        ("Notion token", of(&["sec", "ret_", &d(43)])),
        ("Shopify token", of(&["shp", "at_", &hex(32)])),
        ("Shopify token", of(&["shp", "ss_", &hex(32)])),
        ("Square token", of(&["EA", "AA", &d(60)])),
        ("Square token", of(&["sq0", "atp-", &d(22)])),
        ("Square token", of(&["sq0", "csp-", &d(43)])),
        ("Mailgun key", of(&["ke", "y-", &hex(32)])),
        ("Mailgun key", of(&[&hex(32), "-", &hex(8), "-", &hex(8)])),
        ("Vault token", of(&["hv", "s.", "CAESI", &d(90)])),
        (
            "JSON web token",
            of(&["ey", "JhbGciOiJIUzI1NiJ9.", "eyJzdWIiOiIxMjM0In0.", &d(43)]),
        ),
        (
            "JSON web token",
            of(&["ey", "JhbGciOiJIUzI1NiJ9.", "eyJzdWIiOiIxMjM0In0"]),
        ),
        (
            "JSON web token",
            of(&[
                "ey",
                "JhbGciOiJkaXIiLCJlbmMi.",
                ".",
                &d(16),
                ".",
                &d(30),
                ".",
                &d(22),
            ])
            .replace("..", &format!(".{}.", d(20))),
        ),
        ("Databricks token", of(&["da", "pi", &hex(32)])),
        ("Docker token", of(&["dckr", "_pat_", &d(27)])),
        ("Grafana token", of(&["gl", "sa_", &d(32), "_", &hex(8)])),
        ("Groq key", of(&["gs", "k_", &d(52)])),
        ("xAI key", of(&["xa", "i-", &d(80)])),
        ("Perplexity key", of(&["pp", "lx-", &d(48)])),
        ("NVIDIA key", of(&["nv", "api-", &d(64)])),
        ("Replicate token", of(&["r", "8_", &d(37)])),
        ("LangSmith key", of(&["lsv2", "_pt_", &hex(32), "_", &hex(10)])),
        ("Supabase token", of(&["sb", "p_", &hex(40)])),
        ("Atlassian token", of(&["ATA", "TT3", &d(180), "=1A2B3C4D"])),
        ("Figma token", of(&["fig", "d_", &d(40)])),
        ("Postman key", of(&["PM", "AK-", &hex(24), "-", &hex(34)])),
        ("Sentry token", of(&["sn", "trys_", &d(60), base64])),
        ("API key", of(&["sk", "_", &hex(48)])),
        (
            "age key",
            of(&["AGE-SEC", "RET-KEY-1", &"QPZRY9X8GF2TVDW0S3JN".repeat(3)]),
        ),
    ]
}

#[test]
fn tokens_of_services_are_cut_wherever_they_stand() {
    let redactor = Redactor::default();
    let surroundings = [
        ("", ""),
        ("the key is ", ", use it"),
        ("use ", "."),
        ("(", ")"),
        ("<", ">"),
        ("'", "'"),
        ("`", "`"),
        (r#"{"text":""#, r#""}"#),
        (r#"{"text":"one\n"#, r#"\ntwo"}"#),
        (r#"{"text":"{\"a\":\"\\t"#, r#"\\n\"}"}"#),
        (r#"{"text":"\u003d"#, r#"\u003c"}"#),
        ("https://x.test/?page=2&q=", "&n=1"),
        ("a%3D", " b"),
        ("KEY=", "\nOTHER=1"),
        ("- ", "\r\n"),
        ("\u{201c}", "\u{201d}"),
    ];
    for (rule, token) in tokens() {
        for (before, after) in surroundings {
            let text = format!("{before}{token}{after}");
            let redaction = redactor.explain(&text);
            let right = format!("{before}{REDACTED}{after}");
            // Where escapes hid something, a string is written anew.
            let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|_| text.into());
            assert_eq!(read(&redaction.text), read(&right), "{rule}");
            assert_eq!(redaction.cuts.keys().collect::<Vec<_>>(), [rule], "{token}");
        }
    }
}

#[test]
fn addresses_that_are_secrets_are_cut_but_for_their_host() {
    let cases = [
        (
            "https://hooks.slack",
            ".com/services/T0123ABCD/B0123ABCD/",
            drawn(24),
        ),
        (
            "https://discord",
            ".com/api/webhooks/123456789012345678/",
            drawn(68),
        ),
        (
            "https://discordapp",
            ".com/api/webhooks/123456789012345678/",
            drawn(68),
        ),
    ];
    for (host, path, token) in cases {
        let redacted = redact(&format!("post to {host}{path}{token} now"));
        assert!(
            redacted.starts_with(&format!("post to {host}.com/")) && redacted.ends_with("[redacted] now"),
            "{redacted}"
        );
    }
}

#[test]
fn secret_keys_beside_an_access_key_id_are_cut() {
    let (id, key) = (
        ["AK", "IAIOSFODNN7QT5LX2K"].concat(),
        ["wJalrXUtnFEMI/K7MDENG", "/bPxRfiCYzQ81vLnT3k"].concat(),
    );
    for text in [
        format!("{id} {key}"),
        format!("{id},{key}\n"),
        format!("{key}:{id}"),
        format!(r#"{{"id":"{id}","value":"{key}"}}"#),
        format!(r#"{{"text":"{id}\n{key}\n"}}"#),
    ] {
        assert_eq!(redact(&text), text.replace(&id, REDACTED).replace(&key, REDACTED));
    }
    // A commit's hash is none.
    let beside = format!("{id} at {}", hex(40));
    assert_eq!(redact(&beside), beside.replace(&id, REDACTED));
}

#[test]
fn private_keys_are_cut_also_without_their_end() {
    let body = format!("{}+/\n{}=\n", drawn(64), drawn(30));
    for label in [
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
    ] {
        let (begin, end) = (
            format!("-----BEGIN {label}-----\n"),
            format!("-----END {label}-----"),
        );
        let headed = format!("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,{}\n\n", hex(32));
        for key in [
            format!("{begin}{body}{end}"),
            format!("{begin}{headed}{body}{end}"),
        ] {
            assert_eq!(redact(&format!("a\n{key}\nb")), "a\n[redacted]\nb");
            let json = serde_json::json!({ "a": key, "b": [format!("x {key} y")], "c": serde_json::json!({"k": key}).to_string() });
            let kept =
                serde_json::json!({ "a": REDACTED, "b": ["x [redacted] y"], "c": r#"{"k":"[redacted]"}"# });
            assert_eq!(redact(&json.to_string()), kept.to_string());
        }
        // Cut off, as text and in a string that ends all the same.
        assert_eq!(redact(&format!("a {begin}{body}")), "a [redacted]\n");
        let json = serde_json::json!({ "a": format!("{begin}{body}"), "b": "-----END PRIVATE KEY-----" })
            .to_string();
        assert_eq!(
            redact(&json),
            r#"{"a":"[redacted]\n","b":"-----END PRIVATE KEY-----"}"#
                .replace("[redacted]\\n", &redacted_end(&json))
        );
    }
    let pgp = [
        "-----BEGIN PGP PRIVATE KEY",
        " BLOCK-----\nVersion: GnuPG v2\n\nlQOYBF\n=abcd\n-----END PGP PRIVATE KEY",
        " BLOCK-----",
    ]
    .concat();
    assert_eq!(redact(&pgp), REDACTED);
    let public = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBg\n-----END PUBLIC KEY-----";
    assert_eq!(redact(public), public);
}

/// The text that replaces a key whose end was cut off: with or without the line's end.
fn redacted_end(json: &str) -> String {
    let redacted = redact(json);
    let value: Value = serde_json::from_str(&redacted).unwrap();
    let text = value["a"].as_str().unwrap();
    assert!(text.trim_end_matches(['n', '\n']) == REDACTED, "{text}");
    serde_json::to_string(text).unwrap().trim_matches('"').to_owned()
}

#[test]
fn long_texts_are_searched_at_their_seams() {
    // The automaton reads long texts in parts; a token stands across each border once.
    let token = ["gh", "p_", &drawn(36)].concat();
    for length in (1000..40_000).step_by(331) {
        let text = format!("{}{token}{}", " ".repeat(length), " ".repeat(1300));
        assert_eq!(redact(&text).trim(), REDACTED, "{length}");
    }
}

#[test]
fn tokens_that_agents_hold_are_cut() {
    let drawn = super::drawn;
    let (hex, small) = (super::hex, |length: usize| drawn(length).to_ascii_lowercase());
    for token in [
        format!("tskey-auth-{}", drawn(44)),
        format!("tgp_v1_{}", drawn(43)),
        format!("csk-{}", small(48)),
        format!("re_{}_{}", drawn(8), drawn(24)),
        format!("napi_{}", small(64)),
        format!("vck_{}", drawn(56)),
        format!("nfp_{}", drawn(36)),
        format!("CCIPAT_{}_{}", drawn(22), hex(40)),
        format!("phx_{}", drawn(43)),
        format!("ATBB{}", drawn(32)),
        format!("glwt-{}", drawn(20)),
        format!("IQoJb3JpZ2lu{}", drawn(300)),
        format!("oy2{}", small(43)),
        format!("snyk_uat.{}.{}", hex(8), drawn(60)),
        format!("mdb_sa_sk_{}", drawn(40)),
        format!("pk_12345678_{}", drawn(32).to_ascii_uppercase()),
        format!("access_token$production${}${}", small(16), hex(32)),
    ] {
        for text in [
            format!("it says {token} there"),
            format!("{{\"text\":\"x={token}\\nend\"}}"),
        ] {
            let redacted = super::redact(&text);
            assert!(!redacted.contains(&token[4..]), "{redacted}");
        }
    }
}
