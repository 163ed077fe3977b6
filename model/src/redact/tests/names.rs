//! Values under names: secrets, and others that stay.

use super::redact;

#[test]
fn names_and_their_values() {
    let cases = [
        ("Authorization: Bearer abcdef123456", "Authorization: [redacted]"),
        ("sent Bearer abcdef123456", "sent Bearer [redacted]"),
        ("sent Basic dXNlcjpwYXNzd29yZA==", "sent Basic [redacted]"),
        (
            r#"{"password":"open sesame","n":1}"#,
            r#"{"password":"[redacted]","n":1}"#,
        ),
        (
            r#"{"text":"{\"api_key\":\"k-1\"}"}"#,
            r#"{"text":"{\"api_key\":\"[redacted]\"}"}"#,
        ),
        (
            "https://x.test/cb?access_token=abc&n=1",
            "https://x.test/cb?access_token=[redacted]&n=1",
        ),
        ("postgres://me:hunter2@db/x", "postgres://me:[redacted]@db/x"),
        ("redis://:hunter2@db", "redis://:[redacted]@db"),
        (
            "mysql://me:p@ss:w@db:3306/x?a=b@c",
            "mysql://me:[redacted]@db:3306/x?a=b@c",
        ),
        (
            r#"{"url":"http://host:80","mail":"a@b.test"}"#,
            r#"{"url":"http://host:80","mail":"a@b.test"}"#,
        ),
        ("DB_PASSWORD=hunter2 ok", "DB_PASSWORD=[redacted] ok"),
        ("PGPASSWORD=hunter2 psql", "PGPASSWORD=[redacted] psql"),
        (r#"{"token": "abc1def2ghi3"}"#, r#"{"token": "[redacted]"}"#),
        (r#"{"GITHUB_TOKEN": "abc"}"#, r#"{"GITHUB_TOKEN": "[redacted]"}"#),
        ("export MY_APP2_TOKEN='abc'", "export MY_APP2_TOKEN='[redacted]'"),
        (
            "Authorization: ApiKey abc-1, then",
            "Authorization: [redacted], then",
        ),
        (
            r#"{"password":"a\"b\\c\n","n":1}"#,
            r#"{"password":"[redacted]","n":1}"#,
        ),
        (
            r#"{"password":"\nab","n":1}"#,
            r#"{"password":"[redacted]","n":1}"#,
        ),
        (
            r#"{"password":"\"ab","n":1}"#,
            r#"{"password":"[redacted]","n":1}"#,
        ),
        (
            r#"{"password":"ab\\","n":1}"#,
            r#"{"password":"[redacted]","n":1}"#,
        ),
        (
            r#"{"t":"{\"password\":\"a\\\"b\\n\\\\\",\"n\":1}"}"#,
            r#"{"t":"{\"password\":\"[redacted]\",\"n\":1}"}"#,
        ),
        (r"password='it\'s me' ok", "password='[redacted]' ok"),
        (
            r#"{"dbPassword":"abc","githubApiKey": "d","accessToken":"e","idToken":"f"}"#,
            r#"{"dbPassword":"[redacted]","githubApiKey": "[redacted]","accessToken":"[redacted]","idToken":"[redacted]"}"#,
        ),
        (
            "run --db-password abc --dbPassword abc --bot-token d",
            "run --db-password [redacted] --dbPassword [redacted] --bot-token [redacted]",
        ),
        ("run --password --verbose", "run --password --verbose"),
        (
            r#"["--api-key","abc","--port","1"]"#,
            r#"["--api-key","[redacted]","--port","1"]"#,
        ),
        (
            r#"[{"name":"API_KEY","value":"abc"},{"name":"PORT","value":"1"}]"#,
            r#"[{"name":"API_KEY","value":"[redacted]"},{"name":"PORT","value":"1"}]"#,
        ),
        ("x-amz-security-token: abc", "x-amz-security-token: [redacted]"),
        (r#"{"x-api-key":["abc"]}"#, r#"{"x-api-key":["[redacted]"]}"#),
        (
            r#"{"x-api-key":["abc", "de\"f"],"n":["g"]}"#,
            r#"{"x-api-key":["[redacted]"],"n":["g"]}"#,
        ),
        (
            "server --api-key abc --port 1",
            "server --api-key [redacted] --port 1",
        ),
        // A name behind an escape.
        (
            r#"{"text":"one\npassword: two\nthree"}"#,
            r#"{"text":"one\npassword: [redacted]\nthree"}"#,
        ),
        // Encoded.
        (
            "state=%7B%22password%22%3A%22abc%22%7D",
            "state=%7B%22password%22%3A%22[redacted]",
        ),
        ("u=a%26client_secret%3Dabc", "u=a%26client_secret%3D[redacted]"),
        // Cookies hold several.
        (
            "Cookie: a=1; sid=abc; c=2\r\nHost: x",
            "Cookie: [redacted]\r\nHost: x",
        ),
        (
            "Set-Cookie: sid=abc; HttpOnly",
            "Set-Cookie: [redacted]; HttpOnly",
        ),
        // Connection strings.
        (
            "Server=db;User Id=me;Password=hunter2;Encrypt=true",
            "Server=db;User Id=me;Password=[redacted];Encrypt=true",
        ),
        (
            "Server=db;Uid=me;Pwd=hunter2;",
            "Server=db;Uid=me;Pwd=[redacted];",
        ),
        (
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=Eby8vdM02xNOcqFlqUwJ==;EndpointSuffix=x",
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=[redacted];EndpointSuffix=x",
        ),
        (
            "https://a.blob.core.windows.net/c?sv=2024-01-01&sig=dGhpcyBpcyBhIHNpZ25hdHVyZQ%3D%3D&se=1",
            "https://a.blob.core.windows.net/c?sv=2024-01-01&sig=[redacted]&se=1",
        ),
        (
            "https://b.s3.amazonaws.com/k?X-Amz-Signature=3f9a1c7be2d4806b5a3f9a1c7be2d480&x=1",
            "https://b.s3.amazonaws.com/k?X-Amz-Signature=[redacted]&x=1",
        ),
        (
            "<server><password>hunter2</password></server>",
            "<server><password>[redacted]</password></server>",
        ),
        (
            "//registry.npmjs.org/:_authToken=abc",
            "//registry.npmjs.org/:_authToken=[redacted]",
        ),
        ("password := \"abc\"", "password := \"[redacted]\""),
        (":password => 'abc'", ":password => '[redacted]'"),
    ];
    for (text, expected) in cases {
        assert_eq!(redact(text), expected);
        assert_eq!(redact(expected), expected, "redacting twice cuts no more");
    }
}

#[test]
fn words_behind_a_name_of_secrets() {
    let secret = super::drawn(24);
    // The name of the same thing: whatever stands under it.
    for name in [
        "DB_PASSWORD_PROD",
        "passwordValue",
        "password_confirmation",
        "api_key_2",
        "SECRET_KEY_BASE",
        "password2",
    ] {
        assert_eq!(redact(&format!("{name}=swordfish")), format!("{name}=[redacted]"));
        assert_eq!(
            redact(&format!(r#"{{"{name}":"sword fish"}}"#)),
            format!(r#"{{"{name}":"[redacted]"}}"#)
        );
        assert_eq!(
            redact(&format!(r#"{{"name":"{name}","value":"swordfish"}}"#)),
            format!(r#"{{"name":"{name}","value":"[redacted]"}}"#)
        );
    }
    // Perhaps the name of something else: what looks drawn by lot.
    for name in [
        "password_customer",
        "OPENAI_API_KEY_WEST",
        "client_token",
        "my_key_prod",
        "prod-api-value",
        "db_access",
    ] {
        assert_eq!(redact(&format!("{name}={secret}")), format!("{name}=[redacted]"));
        assert_eq!(
            redact(&format!(r#"{{"{name}":"{secret}"}}"#)),
            format!(r#"{{"{name}":"[redacted]"}}"#)
        );
        let plain = format!(r#"{{"{name}":"customer two"}}"#);
        assert_eq!(redact(&plain), plain);
    }
    // The name of something else.
    for name in [
        "password_policy",
        "secret_name",
        "api_key_id",
        "tokenType",
        "credentials_path",
        "public_key",
    ] {
        let text = format!(r#"{{"{name}":"{}"}}"#, super::hex(24));
        assert_eq!(redact(&text), text);
    }
}

#[test]
fn values_in_other_structures() {
    let secret = "kV9zQ2mLw7";
    for template in [
        r#"<password type="text">@</password>"#,
        r#"<wsse:Password Type="x#PasswordText">@</wsse:Password>"#,
        "<password><![CDATA[@]]></password>",
        "<key>password</key>\n\t<string>@</string>",
        "user[password]=@&x=1",
        "user%5Bpassword%5D=@&x=1",
        "Array\n(\n    [password] => @\n)",
        "CREATE USER b IDENTIFIED BY '@'",
        "ALTER USER b WITH PASSWORD '@'",
        "**Password:** @",
        "**API key**: `@`",
        "密码：@",
        "пароль: @",
        r#"{"password":{"type":"secret","data":"@"}}"#,
        r#"{"password":{"S":"@"}}"#,
        r#"{"password":{"$secure":"@"}}"#,
        r#"{"SecretString":"@"}"#,
        r#"{"rawHeaders":["Host","x","Cookie","sid=@; a=b","Accept","*/*"]}"#,
        "curl -ubob:@ https://x.test",
        "curl --proxy-user bob:@ https://x.test",
    ] {
        let redacted = redact(&template.replace('@', secret));
        assert!(!redacted.contains(secret), "{redacted}");
        assert!(redacted.contains("[redacted]"), "{redacted}");
        assert_eq!(redact(&redacted), redacted);
    }
}

#[test]
fn credentials_behind_any_scheme() {
    let secret = super::drawn(24);
    for scheme in [
        "Splunk",
        "SSWS",
        "Api-Token",
        "GenieKey",
        "Zoho-oauthtoken",
        "Bot",
        "Bearer:",
    ] {
        assert_eq!(
            redact(&format!("Authorization: {scheme} {secret}\nHost: x")),
            format!("Authorization: {scheme} [redacted]\nHost: x")
        );
        let header = format!(r#"{{"headers":{{"proxy-authorization":["{scheme} {secret}"]}}}}"#);
        assert!(!redact(&header).contains(&secret), "{header}");
        let once = redact(&header);
        assert_eq!(redact(&once), once);
    }
    for text in [
        "authorization: see the docs",
        "Authorization: see RFC6750, section 2.1",
        "Authorization: Bearer <token>",
        "Authorization: Bearer $TOKEN",
        "Authorization: Bearer ${TOKEN}",
        "sent as `Authorization: Bearer mcptap_…`",
    ] {
        assert_eq!(redact(text), text);
    }
}

#[test]
fn what_is_no_secret_stays() {
    let texts = [
        r#"{"progressToken":"p-1","nextPageToken":"n","max_tokens":5,"token":null}"#,
        r#"{"NEXT_PAGE_TOKEN":"abc","page_token":"def","cancellation_token":"x"}"#,
        r#"{"inputSchema":{"properties":{"password":{"type":"string"},"token":{"type":"string"}},"required":["password"]}}"#,
        "token count: 5",
        "looking up order A-1001",
        "the password is required",
        "sk-short",
        "a well-known-secret sauce",
        "compassWord: north",
        "basic understanding of bearer authentication",
        "Basic information is enough, and bearer certificates too.",
        "0b4e3b1c-55d0-4d5f-8a11-9f1e2d3c4b5a",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV 2026-07-28T10:00:00.000Z 198622483471925248",
        "task-management risk-assessment-for-the-year desk-lamp",
        "pk_orders_customer_identifier SKU-12345 skills.md",
        "https://docs.example.org/api/keys?page=2#token",
        "git@github.com:owner/name.git and a@b.test",
        "http://[::1]:8080/mcp http://localhost:6278",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        "a.bcdefg.hijklmnop www.example.org 1.2.3.4 v1.22.333-alpha",
        "PWD=/home/me; cd /tmp; pwd",
        "the monkey: banana; turkey: none; key: value",
        "secretary: Ms Smith",
        "x = tokens[0]; authored: yes; authority: none",
        "Bearer abc…",
        "ratio :AA 12:AA",
        "Überraschung: schlüssel größe",
    ];
    for text in texts {
        assert_eq!(redact(text), text);
    }
}
