//! Texts that hold no secret, however much they speak of some.

use std::path::Path;

use super::{SECRET, check_gone, check_stays, redact};

#[test]
fn what_only_speaks_of_secrets_stays() {
    let mut cut = Vec::new();
    for text in [
        r#"{"token":"hello","logprob":-0.1,"bytes":[104,101]}"#,
        r#"{"tokens":[{"token":" world","top_logprobs":[{"token":"!"}]}],"token":1234}"#,
        r#"{"eos_token":"</s>","pad_token":"<pad>","bos_token":"<|begin_of_text|>","unk_token":"[UNK]"}"#,
        r#"WWW-Authenticate: Bearer resource_metadata="https://x.test/.well-known/oauth-protected-resource/mcp", scope="a b""#,
        r#"{"www-authenticate":"Bearer realm=\"x\", error=\"invalid_token\", error_description=\"The token expired\""}"#,
        r#"fetch(url, {"credentials":"include","mode":"cors"})"#,
        "The token: a unit of text.",
        // Labels, and what says that a secret belongs there.
        r#"{"password":"Password","newPassword":"New password","forgotPassword":"Forgot your password?"}"#,
        r#"{"password":"Passwort","token":"Token","apiKey":"API-Schlüssel"}"#,
        r#"{"password":"[Filtered]","secret":"[REDACTED]","api_key":"YOUR_API_KEY","client_secret":"client_secret"}"#,
        r#"{"secret":"[Redacted]","id_token":"HEADER.PAYLOAD.SIGNATURE","api_secret":"XXXXXXXXXXXXXXXXX"}"#,
        "`--api-key <KEY>`  API key [env: API_KEY=]",
        "serve [--gcm-api-key=<api key>] --token <TOKEN>",
        "Password: <input name=\"pass\" type=\"text\">",
        "`postgres://<user>:<password>@<host>:<port>/<database>`",
        "postgres://user:password@localhost:5432/db and https://user:pass@x.test",
        "postgres://${DB_USER}:${DB_PASSWORD}@db/app, amqp://u:{password}@mq, redis://:$REDIS_PASSWORD@cache",
        "curl -u user:password https://x.test",
        "document.cookie.split(\";\").find(c => c.startsWith(\"csrftoken=\"))",
        "console.log('username:', username); console.log('password:', password);",
        "paths: ['headers.cookie', 'headers.authorization', 'user.password']",
        "new string checks (jwt, base64url, cidr)",
        "verify(\n  idToken,\n  response.pubkeys,\n  expectedAudience,\n  issuers\n);",
        "\"publishableKey\":\"pk_test_TYooMQauvdEDq54NiTphI7jx\"",
        "AKIAIOSFODNN7EXAMPLE and ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "authorization: \"token 0000000000000000000000000000000000000001\"",
        "https://codecov.io/gh/a/b/branch/main/graph/badge.svg?token=bRzR3RyOXZ",
        r#"{"ListAccessKeys":{"input_token":"position","limit_key":"MaxItems","result_key":"ServerlessV2PlatformVersions"}}"#,
        "unzip -P file.zip; export GOOGLE_APPLICATION_CREDENTIALS=/path/to/config.json",
        "a basic HTTP/1.1 client",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC3FlHqj2eqCdrGHuA6dRjfZXQ4HX5lXEIRHaNbxEwE5TqlW8x7 user@host",
        "apiKey: 'test'",
        "Cookies\n=======",
        "password: required field",
        "The secret: work hard.",
        "cookie: a small cake",
        "Authorization: required",
        "const password = document.getElementById('password');",
        "if password == expected:",
        "self.api_key = api_key",
        "client = Client(api_key=os.environ[\"API_KEY\"], token=self.token)",
        "password = getpass.getpass()",
        "export TOKEN=$GITHUB_TOKEN and password=${PASSWORD}, secret: <your secret>",
        "token: ${{ secrets.GITHUB_TOKEN }}",
        r#"{"dependencies":{"cookie":"^0.7.2","tough-cookie":"4.1.0","@types/cookie":"~0.6.0"}}"#,
        r#"{"password":{"type":"string","description":"The password of the user"},"secret":"string"}"#,
        r#"{"required":["username","password","email2"]}"#,
        r#"{"label":{"password":"Enter your password","secret":"This is a secret to be kept"}}"#,
        "a basic internationalization_of_documents",
        "pk-1234567890123456",
        "secret_internationalization_of_documents_and_more_words_without_end",
        "signature=function_name_of_the_caller",
        "this.someVeryLongIdentifierName.ofSomething",
        r#"{"pass":1234,"fail":12,"auth":20260728}"#,
        r#"{"auth":"none","pass":true,"pin":3,"code":"ENOENT","status":"pass"}"#,
        "exit code: 12345678, code=ERR_INVALID_ARG_TYPE8",
        "1790000000000000000 1790000000000000 4012345678901234567",
        "4bf92f35-4111-1111-1111-111111111111 and 4111111111111112",
        "GET /search?q=a%20b%3Dc%22d&page=2 &amp; &quot;x&quot;",
        r#"{"path":"C:\\new\\token\\secret","re":"\\u0022","url":"https:\/\/x.test\/a"}"#,
        r#"print("password", "is asked for")"#,
        "--- PASS: TestLogin2 (0.03s)",
        "PASS: tests/misc/help2.sh",
        r#"{"sessionId":"3f9a1c7b-e2d4-4806-b5a3-1234567890ab"}"#,
        r#"{"name":"api_key","value":""}"#,
        r#"["--password","--user"]"#,
        r#"{"token":"0x3f9a1c7be2d4806b5a3f9a1c7be2d4806b5a3f9a","symbol":"USDC"}"#,
        r#"{"type":"token","token":"function1"}"#,
        r#"{"mnemonic":"mov eax, 1"}"#,
        r#"{"encryptionKey":"AES-256-GCM","license_key":"mit-2.0"}"#,
        "auth: oauth2",
        "secret: projects/p/secrets/s1/versions/2",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf",
        "password: op://vault/item2/password",
        "pk-button-primary-2x and rk-3588-board-support",
        "GOOGLE_APPLICATION_CREDENTIALS=/etc/gcp/key2.json",
        "assert password == \"secret\"",
        r#"{"pin":"GPIO17"}"#,
        r#"{"cache_key":"user:42","key":"primary_key_2024_idx","apiVersion":"v1beta1","access":"read-write"}"#,
        "pass: src/auth2",
        "pass: src/auth2 (3ms)",
        "db_key: users:42:profile",
        "cache db_key=users:42:profile1 service_key: orders/v2",
        "session_key: user:42",
        "linear: 3, discord: yes, sentry = on, okta: none",
    ] {
        let redacted = redact(text);
        if redacted != text {
            cut.push(format!("{text}\n  became {redacted}"));
        }
    }
    assert!(cut.is_empty(), "{} cut:\n{}", cut.len(), cut.join("\n"));
}

/// The files below a folder.
fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn what_real_instrumentations_sent_is_not_touched() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures");
    let mut found = Vec::new();
    files(&folder, &mut found);
    let (mut texts, mut touched) = (0, Vec::new());
    for file in found {
        let content = std::fs::read(&file).unwrap();
        // Between the texts of an export stands what is none.
        let content = String::from_utf8_lossy(&content);
        let no_text = |character: char| {
            (character.is_control() && !character.is_whitespace()) || character == char::REPLACEMENT_CHARACTER
        };
        for text in content.split(no_text).filter(|text| text.len() > 3) {
            texts += 1;
            let redacted = redact(text);
            if redacted != text {
                touched.push(format!("{}: {text} became {redacted}", file.display()));
            }
        }
    }
    assert!(texts > 10_000, "only {texts} texts");
    assert!(
        touched.is_empty(),
        "{} of {texts} texts:\n{}",
        touched.len(),
        touched.join("\n")
    );
}

#[test]
fn what_code_and_manuals_write_in_the_place_of_a_secret_stays() {
    check_stays(&[
        "token = req.cookies['jwt'];\nreturn token;\n};\n// more",
        "{\n  projectId: 'mine',\n  authClient: oauth2Client,\n}",
        "credentials := \"Signature\" params",
        "uri://foo:bar@example.com:1/path?query",
        "set({\n  name: \"name\",\n  value: String(query.name),\n  httpOnly: true,\n})",
        r#"keyring.set_password("system", "username", "password")"#,
        "`\"-----BEGIN EC PRIVATE KEY-----\"` base64-encoded",
        r"const key = '-----BEGIN RSA PRIVATE KEY-----\nXXXXXXXXXXX...';",
        r#"key="-----BEGIN PRIVATE KEY-----\nXXXX\nXXXX\n-----END PRIVATE KEY-----""#,
        r#""api_key": "sk_test_...""#,
        "oauth(resource_owner_secret='resource_owner_secret')",
        r#""secret":"**GDPR COMPLIANT**""#,
        r#""apiKey":"API-Schl\u00fcssel","secret":"Cl\u00e9 secr\u00e8te""#,
        r#"{key: "some_key", value: "some_value", httpOnly: true}"#,
        "PRIVATE_KEY=\"-----BEGIN RSA PRIVATE KEY-----\n...\nKh9NV...\n-----END RSA PRIVATE KEY-----\"",
    ]);
    check_gone(
        SECRET,
        &[
            r#"keyring.set_password("system", "username", "SECRET")"#,
            r#"config.setPassword("SECRET", true)"#,
            r#""api_key": "SECRETkV9zQ2mLw7...""#,
            "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----",
            r#"{"backup_code": "SECRET", "otp_code": "SECRET"}"#,
            "--b\r\nContent-Disposition: form-data; name=token\r\n\r\nSECRET\r\n--b--",
        ],
    );
}
