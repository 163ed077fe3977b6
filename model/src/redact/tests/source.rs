//! Secrets in source code, settings and command lines that set variables.

use super::{SECRET, WORD, check_gone, check_stays};

#[test]
fn values_of_variables_are_cut() {
    let texts = [
        "os.environ[\"API_KEY\"] = \"SECRET\"",
        "ENV[\"API_KEY\"] ||= \"SECRET\"",
        "config[:password] = \"SECRET\"",
        "let password: &str = \"SECRET\";",
        "const API_KEY: &'static str = \"SECRET\";",
        "password: Optional[str] = \"SECRET\"",
        "let apiKey: string = 'SECRET'",
        "var password string = \"SECRET\"",
        "password := \"SECRET\"",
        "private static final String PASSWORD = \"SECRET\";",
        "char password[] = \"SECRET\";",
        "#define PASSWORD \"SECRET\"",
        "#define WIFI_PASSWORD \"SECRET\"",
        "define('DB_PASSWORD', 'SECRET');",
        "-define(PASSWORD, \"SECRET\").",
        "(setq api-key \"SECRET\")",
        "{:password \"SECRET\"}",
        "password <- \"SECRET\"",
        "password = \"\"\"SECRET\"\"\"",
        "password = @\"SECRET\";",
        "password = N'SECRET'",
        "let password = String::from(\"SECRET\");",
        "password = \"abc\" + \"SECRET\"",
        "secret_key: 'it''s SECRET'",
        "user, password = \"bob\", \"SECRET\"",
        "password, err := \"SECRET\", nil",
    ];
    check_gone(SECRET, &texts);
    check_gone(WORD, &texts);
    check_stays(&[
        "let password: &str = \"\";",
        "let password: &str = password2;",
        "fn set_password(password: &str) -> Result2<()>",
        "password: Optional[str] = None",
        "let api_key: String = env::var(\"API_KEY2\")?;",
        "#define PASSWORD_LEN 16",
        "#define PASSWORD PASSWORD2",
        "password := os.Getenv(\"PASSWORD2\")",
        "const password = require(\"password2\")",
        "user, password = \"\", \"\"",
        "input('Enter password: ')",
        "type Secret string",
    ]);
}

#[test]
fn arguments_of_calls_are_cut() {
    let setters = [
        "setPassword(\"SECRET\")",
        "client.set_password('SECRET')",
        ".withPassword(\"SECRET\")",
        ".password(\"SECRET\")",
        "std::string password(\"SECRET\");",
        "os.Setenv(\"API_KEY\", \"SECRET\")",
        "std::env::set_var(\"API_KEY\", \"SECRET\");",
        "req.Header.Set(\"X-Api-Key\", \"SECRET\")",
        "HTTPBasicAuth('bob', 'SECRET')",
        "req.basic_auth(\"bob\", Some(\"SECRET\"))",
        "new NetworkCredential(user, \"SECRET\")",
        "parser.add_argument('--password', default='SECRET')",
    ];
    check_gone(SECRET, &setters);
    check_gone(WORD, &setters);
    check_gone(
        SECRET,
        &[
            "auth=('bob', 'SECRET')",
            "SECRET_KEY = os.getenv('SECRET_KEY', 'SECRET')"
                .replace("SECRET_KEY", "AUTH_KEY")
                .as_str(),
            "config.get('api_key', 'SECRET')",
            "apiKey: process.env.API_KEY || 'SECRET'",
            "variable \"password\" {\n  default = \"SECRET\"\n}",
        ],
    );
    check_stays(&[
        "setPassword(password2)",
        "setPassword(\"\")",
        "setToken(\"hello\")",
        "get_password(\"user_name\")",
        "config.get('password', 'section')",
        "assertEquals(\"password\", \"field1\")",
        "validatePassword(\"must be 8 characters\")",
        "keyring.get_password(\"system2\", \"username\")",
        "hash_password::<Sha256>(\"my_password\", \"abcd\")",
        "[\"PasswordCredential\", \"Path2D\"]",
        "auth = (\"basic\", \"digest\")",
        "log(\"password\", \"changed for user 12\")",
    ]);
}

#[test]
fn variables_of_shells_and_images_are_cut() {
    check_gone(
        SECRET,
        &[
            "setx API_KEY SECRET",
            "set -gx API_KEY SECRET",
            "ENV API_KEY SECRET",
            "fastcgi_param API_KEY SECRET;",
            "password=${DB_PASSWORD:-SECRET}",
            "password: ${DB_PASSWORD:SECRET}",
            "ConvertTo-SecureString -String 'SECRET' -AsPlainText",
            "requirepass SECRET",
        ],
    );
    check_stays(&[
        "ENV API_KEY $API_KEY",
        "setx API_KEY %API_KEY%",
        "ARG TOKEN",
        "password=${DB_PASSWORD:?not set2}",
        "set password expired2",
    ]);
}

#[test]
fn passwords_in_files_of_programs_are_cut() {
    let texts = [
        "localhost:5432:db:bob:SECRET",
        "*:*:*:postgres:SECRET",
        "h1.test:5432:*:bob:SECRET\nh2:5432:d:u:kV9zQ2mLw8",
        "localhost:5432:db:bob:pa\\:SECRET",
        "machine x.test login bob password SECRET",
        "machine x.test\n  login bob\n  password SECRET\n",
        "default login anonymous password SECRET",
        "machine x.test password SECRET login bob",
        "machine x login bob account y password \"SECRET\"",
    ];
    check_gone(SECRET, &texts);
    check_gone(WORD, &texts);
    check_stays(&[
        "src/a.rs:12:5:error:x1y2z3",
        "127.0.0.1:5432: connection refused",
        "localhost:5432:db:bob:",
        "urn:a:b:c:d1e2f3",
        "the machine has a login and a password policy2",
    ]);
}

#[test]
fn yaml_on_one_line_is_cut() {
    let texts = [
        "{password: SECRET, user: a}",
        "db: {user: a, password: SECRET}",
        "\"password\": SECRET",
        "'password': SECRET\n",
        "password: !!str SECRET",
        "password: !!python/str SECRET",
    ];
    check_gone(SECRET, &texts);
    check_gone(WORD, &texts);
    check_gone(SECRET, &["secrets: [SECRET, kV9zQ2mLw8]"]);
    check_stays(&[
        "{password: string, user: a}",
        "login({ username: user, password: pass })",
        "const x = {password: pass};",
        "permissions: {id-token: write}",
        "password: !secret db_password2",
        "secrets: inherit",
    ]);
}
