//! Secrets that what stands around them tells: manifests, keys of other forms, command lines, further escapes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{check, drawn, hex, redact};

#[test]
fn passwords_behind_options_are_cut() {
    let lines = [
        "mysql -u root -pkV9zQ2mLw7 db",
        "mysqldump -h h -p'kV9zQ2mLw7' db > x",
        "sshpass -p kV9zQ2mLw7 ssh bob@host",
        "sshpass -pkV9zQ2mLw7 ssh bob@host",
        "redis-cli -h h -a kV9zQ2mLw7 ping",
        "docker login -u bob -p kV9zQ2mLw7 reg.test",
        "az login --service-principal -u a -p kV9zQ2mLw7 --tenant t",
        "ldapsearch -D cn=a -w kV9zQ2mLw7 -b dc=x",
        "smbclient //h/s -U bob%kV9zQ2mLw7",
        "curl -su bob:kV9zQ2mLw7 https://x.test",
        "curl -b 'sid=kV9zQ2mLw7' https://x.test",
        "(curl -H 'X-Key: kV9zQ2mLw7' https://x.test)",
        r#"{"command":"sshpass","args":["-p","kV9zQ2mLw7","ssh"]}"#,
    ];
    check(&lines.map(|line| ("kV9zQ2mLw7", line.to_owned())));
    for line in [
        "docker run -p3306:3306 mysql -p 3306:3306",
        "mysql -u root -p\ndb1 is used",
        "mysql -p$PASSWORD db",
        "ssh -p 2222 host; mkdir -p a1b2c3d4",
        "curl -H 'Idempotency-Key: kV9zQ2mLw7' -H 'Accept: text/plain' https://x.test",
        "curl () { echo ) ; }",
    ] {
        assert_eq!(redact(line), line);
    }
}

#[test]
fn keys_of_other_forms_are_cut() {
    let line = drawn(64);
    let last = "aZ3xQ9kT7wB1mC5vR8nD==";
    let putty = format!(
        "PuTTY-User-Key-File-3: ssh-rsa\nPublic-Lines: 1\n{}\nPrivate-Lines: 2\n{line}\n{last}\nPrivate-MAC: {}\n",
        drawn(24),
        hex(40)
    );
    assert!(redact(&putty).contains("Private-MAC: "), "{}", redact(&putty));
    let ssh2 = format!(
        "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: mine\n{line}\n{last}\n---- END SSH2 ENCRYPTED PRIVATE KEY ----\nbye"
    );
    assert!(redact(&ssh2).ends_with("bye"), "{}", redact(&ssh2));
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{line}\n{last}\n-----END PRIVATE KEY-----\n");
    let encoded = STANDARD.encode(&pem);
    let lines = format!("{}\n{}\n", &encoded[..76], &encoded[76..]);
    check(&[
        ("nD==", putty),
        ("nD==", ssh2),
        (&encoded[90..130], format!("key={encoded} ok")),
        (&encoded[90..130], lines),
    ]);
    let public = STANDARD.encode(format!("-----BEGIN CERTIFICATE-----\n{line}\n"));
    assert_eq!(redact(&public), public);
}

#[test]
fn members_are_secrets_because_of_others() {
    let (long, short) = (drawn(43), drawn(12));
    check(&[
        (&long, json!({"kty": "oct", "k": long, "kid": "a"}).to_string()),
        (&long, json!({"d": long, "e": "AQAB", "kty": "RSA"}).to_string()),
        (&long, format!(r#"{{"keys":[{{"kty":"EC","x":"1","d":"{long}""#)),
        (
            &short,
            json!({"items": [{"data": {"url": short}, "kind": "Secret"}]}).to_string(),
        ),
    ]);
    for text in [
        json!({"kind": "ConfigMap", "data": {"connection": long}}).to_string(),
        json!({"kty": "RSA", "n": long, "e": "AQAB"}).to_string(),
        json!({"d": long, "k": long}).to_string(),
        format!(
            "kind: ConfigMap\ndata:\n  connection: {short}\n---\nkind: Secret\nmetadata:\n  name: {short}\n"
        ),
        "kind: Secret\ndata: {}\nstatus:\n  seen: 12\n".to_owned(),
    ] {
        assert_eq!(redact(&text), text);
    }
}

#[test]
fn further_escapes_are_undone() {
    let texts = [
        "p%61ssword=kV9zQ2mLw7",
        r"'password\x3dkV9zQ2mLw7'",
        r"p\x61ssword=kV9zQ2mLw7",
        "{&amp;quot;password&amp;quot;: &amp;quot;kV9zQ2mLw7&amp;quot;}",
        "&amp;lt;password&amp;gt;kV9zQ2mLw7&amp;lt;/password&amp;gt;",
        "password: &pw kV9zQ2mLw7",
        "password: !!str kV9zQ2mLw7",
        "postgres://u:aB3/kV9zQ2mLw7@h/d",
        "postgres://u:aB3#kV9zQ2mLw7@h/d",
    ];
    check(&texts.map(|text| ("kV9zQ2mLw7", text.to_owned())));
    for text in [
        "http://localhost:3000/@scope/pkg",
        "https://x.test:8443/a?to=me1@y2.test",
    ] {
        assert_eq!(redact(text), text);
    }
}

#[test]
fn tokens_known_by_their_middle_are_cut() {
    let cases = [
        format!("{}+ASt{}==", drawn(76), drawn(6)),
        format!("{}ACDb{}==", drawn(76), drawn(6)),
        format!("{}AzFu{}==", drawn(44), drawn(6)),
        format!("{}AZDO{}", drawn(76), drawn(4)),
        format!("{}JQQJ99{}", drawn(52), drawn(26)),
        format!("{}FFFFNRAL", hex(32)),
    ];
    for token in cases {
        let text = format!("it is {token}.");
        assert_eq!(redact(&text), "it is [redacted].");
    }
    let hook = drawn(40);
    for address in [
        "hooks.zapier.com/hooks/catch/1234567/",
        "hooks.slack-gov.com/triggers/",
        "discord.com/api/v10/webhooks/123456789012345678/",
    ] {
        let text = format!("https://{address}{hook}");
        assert!(!redact(&text).contains(&hook), "{text}");
    }
}
