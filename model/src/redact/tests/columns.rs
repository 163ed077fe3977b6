//! Tables: SQL, CSV, Markdown, JSON.

use serde_json::json;

use super::{SECRET, WORD, check_gone, check_stays, redact};

#[test]
fn rows_of_sql_are_cut() {
    let texts = [
        "INSERT INTO users (name, password) VALUES ('a', 'SECRET')",
        "insert into users(id, api_key, x) values (1, 'SECRET', 2)",
        "INSERT INTO `users` (`name`, `password`) VALUES ('a', 'x'), ('b', 'SECRET')",
        "INSERT INTO [users] ([name], [password]) VALUES (N'a', N'SECRET')",
        "INSERT INTO \"users\" (\"name\", \"password\")\nVALUES\n  ('a', 'SECRET'),\n  ('b', 'y')",
        "INSERT INTO s.users (name, password, note) VALUES ('o''brien, (x)', 'SECRET', NULL)",
        "INSERT INTO users (name, password) VALUES (f('a, b'), crypt('SECRET', gen_salt('bf')))",
        "INSERT INTO users (name, password) SELECT 'a', 'SECRET'",
        "SET PASSWORD FOR 'bob'@'%' = 'SECRET'",
        "SET PASSWORD = PASSWORD('SECRET')",
        "PRAGMA key = 'SECRET'",
    ];
    check_gone(SECRET, &texts);
    check_gone(WORD, &texts);
    assert_eq!(
        redact("INSERT INTO users (name, password, n) VALUES ('a', 'hunter2', 3)"),
        "INSERT INTO users (name, password, n) VALUES ('a', '[redacted]', 3)"
    );
    check_stays(&[
        "INSERT INTO users (name, password) VALUES (?, ?)",
        "INSERT INTO users (name, password) VALUES ($1, $2)",
        "INSERT INTO users (name, password) VALUES (:name, :password)",
        "INSERT INTO t (a, b1) VALUES ('x1y2z3a4', 'k9')",
        "INSERT INTO users (name, password) VALUES ('bob1a2b3c4', NULL)",
        "INSERT INTO users (password_hint, x) VALUES ('first pet9', 1)",
        "CREATE TABLE users (id int, password varchar(255))",
        "SELECT name, password FROM users",
    ]);
}

#[test]
fn parameters_of_statements_are_cut() {
    check_gone(
        SECRET,
        &[
            "INSERT INTO users (name, password) VALUES (?, ?)\n[generated in 0.00012s] ('bob', 'SECRET')",
            "INSERT INTO \"users\"(\"name\", \"password\") VALUES ($1, $2) -- PARAMETERS: [\"bob\",\"SECRET\"]",
            "insert into users (name, password) values (%s, %s)  args=('bob', 'SECRET')",
            "{ sql: 'insert into users (name, password) values (?, ?)', bindings: [ 'bob', 'SECRET' ] }",
            "Key (password)=(SECRET) already exists.",
        ],
    );
    check_stays(&[
        "INSERT INTO users (name, password) VALUES (?, ?)\n[generated in 0.1s] ('a', 'b1c2d3e4', 'c1d2e3f4')",
        "INSERT INTO users (name, password) VALUES (?, ?); SELECT f('a', 'b1c2d3e4')",
        "UPDATE users SET password=? WHERE id=?",
        "Key (id)=(a1b2c3d4) already exists.",
    ]);
}

#[test]
fn columns_of_text_are_cut() {
    let texts = [
        "name,password\nbob,SECRET\namy,x",
        "name;password;x\nbob;SECRET;1\n",
        "name\tpassword\nbob\tSECRET\n",
        "\"name\",\"password\"\r\n\"bob\",\"SECRET\"\r\n",
        "id,name,password,email\n1,\"o, b\",SECRET,a@b.c\n",
        "password,name\nSECRET,bob\n",
        "Access key ID,Secret access key\nx,SECRET\n",
        "| name | password |\n|---|---|\n| bob | SECRET |\n",
        " name | password \n------+----------\n bob | SECRET\n(1 row)",
        "+----+----------+\n| id | password |\n+----+----------+\n|  1 | SECRET |\n+----+----------+",
        "│ name │ password │\n├──────┼──────────┤\n│ bob │ SECRET │",
    ];
    check_gone(SECRET, &texts);
    check_gone(WORD, &texts);
    check_gone(SECRET, &["name|password\nbob|SECRET"]);
    check_stays(&[
        "username, password\nare both required, and 12 characters",
        "login, password, and token\nfirst, second2, third3",
        "| Name | Type |\n|---|---|\n| password | string |\n| user | name2 |",
        "| Option | password |\n|---|---|\n| --user | the user2 |",
        "| `password` | string |\n| `user2` | string |",
        "option,text\npassword,string\nuser,bob",
        "name,token_count\nbob,1234567",
        "fields: name, password\nother: a1b2c3d4, b2",
        "name,password_policy\nbob,strong12\n",
        "name,password\n",
    ]);
}

#[test]
fn columns_of_json_are_cut() {
    let texts = [
        json!({"columns": ["name", "password"], "rows": [["bob", SECRET], ["amy", "x"]]}),
        json!([["name", "password"], ["bob", SECRET]]),
        json!({"fields": ["name", "api_key"], "values": ["x", SECRET]}),
    ]
    .map(|table| table.to_string());
    check_gone(SECRET, &texts.each_ref().map(String::as_str));
    check_stays(&[
        r#"{"required":["username","password"],"tags":["a1b2c3","x9y8z7"]}"#,
        r#"[["name","size"],["bob","x9y8z7w6"]]"#,
        r#"{"columns":["name","password"],"rows":[["bob",null],["amy",true]]}"#,
    ]);
}

#[test]
fn columns_that_objects_describe_have_names() {
    check_gone(
        SECRET,
        &[
            r#"{"columns":[{"name":"id","type":"int"},{"name":"password","type":"text"}],"rows":[[1,"SECRET"],[2,"x"]]}"#,
            r#"{"fields":[{"name":"user"},{"name":"api_key"}],"values":[["bob","SECRET"]]}"#,
            "┌──────┬──────────┐\n│ user ┆ password │\n│ ---  ┆ ---      │\n╞══════╪══════════╡\n│ bob  ┆ SECRET │\n└──────┴──────────┘",
        ],
    );
    check_stays(&[
        r#"{"columns":[{"name":"password"},{"name":"id"}],"rows":[[null,"kV9zQ2mLw7"]]}"#,
        r#"{"columns":[{"name":"id"},{"type":"int"},{"name":"password"}],"rows":[["a","b","kV9zQ2mLw7"]]}"#,
        r#"[{"name":"password","type":"string"},{"name":"hint","type":"string"},["kV9zQ2mLw7"]]"#,
    ]);
}
