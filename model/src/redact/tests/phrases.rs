//! Secrets as people read them, and as further programs print them.

use super::{SECRET, check_gone, check_stays};

#[test]
fn values_behind_words_arrows_and_marks_are_cut() {
    check_gone(
        SECRET,
        &[
            "password -> SECRET",
            "password → SECRET",
            "password is: SECRET",
            "Password (hidden): SECRET",
            "encryption key: SECRET",
            "Mot de passe : SECRET",
            "| Password | SECRET |",
            "<li>Password: <code>SECRET</code></li>",
            "<b>Password:</b> SECRET",
            "<td>Password</td><td>SECRET</td>",
            "<dt>Password</dt>\n<dd>SECRET</dd>",
            "Password:&nbsp;SECRET",
            "<input type=\"password\" value=\"SECRET\">",
            "<property name=\"password\"><value>SECRET</value></property>",
            "<Attribute Name=\"password\"><AttributeValue>SECRET</AttributeValue></Attribute>",
        ],
    );
    check_stays(&[
        "password -> string",
        "password → reset",
        "password is: required",
        "Password (hidden): none",
        "| Password | string |",
        "echo $PASSWORD | sha256sum",
        "<td>Password</td><td>string</td>",
        "<dt>Password</dt><dd>The password2 of it</dd>",
        "<b>Password:</b> required",
        "<input type=\"password\" value=\"\">",
        "psk: WPA2-PSK",
    ]);
}

#[test]
fn dumps_of_further_languages_are_cut() {
    check_gone(
        SECRET,
        &[
            "array(1) {\n  [\"password\"]=>\n  string(10) \"SECRET\"\n}",
            "object(X)#1 (1) { [\"password\":protected]=> string(10) \"SECRET\" }",
            "s:8:\"password\";s:10:\"SECRET\";",
            "{password,<<\"SECRET\">>}",
            "#{password => <<\"SECRET\">>}",
            "{password,\"SECRET\"}",
            "Map(password -> SECRET)",
            "List((password,SECRET))",
            "x-rapidapi-key: SECRET",
            "dbpasswd=SECRET",
            "bindpw=SECRET",
            "bindpw SECRET",
            "mongosh -u a -p SECRET",
            "unzip -P SECRET a.zip",
            "aws configure set aws_secret_access_key SECRET",
        ],
    );
    check_stays(&[
        "s:4:\"name\";s:10:\"kV9zQ2mLw7\";",
        "(password,required)",
        "map(token -> hello)",
        "grep -P 'x1y2z3' a",
        "zip -r a1b2c3d4.zip b",
    ]);
}

#[test]
fn sentences_and_aligned_columns_are_cut() {
    check_gone(
        SECRET,
        &[
            "Password for bob: SECRET",
            "Incorrect API key provided: SECRET.",
            "A random password has been generated: SECRET",
            "temporary password is generated for root@localhost: SECRET",
            "Password changed to SECRET",
            "password set to 'SECRET'",
            "login failed for bob with password 'SECRET'",
            "DB_PASSWORD                    SECRET\nPATH                           C:\\x",
            "enable secret 5 SECRET",
            "username bob password 0 SECRET",
            "password\\=SECRET",
            "password = \"old\" -> \"SECRET\"",
            "exec: \"x\" \"--client-secret\" \"SECRET\"",
            "{<<\"x-api-key\">>, <<\"SECRET\">>}",
            "AUTH PLAIN SECRET==",
            "cvs -d :pserver:bob:SECRET@h:/x",
            "sqlplus bob/SECRET@h",
            "etcdctl --user root:SECRET get x",
            "cqlsh -u a -p SECRET",
            "cargo login SECRET",
        ],
    );
    check_stays(&[
        "Access denied for user 'bob'@'h' (using password: YES)",
        "password set to expire",
        "Password changed to something",
        "API Key created: 2026-11-29",
        "token refresh failed: a1b2c3d4e5",
        "enable password encryption",
        "password                       string",
        "secret  of the a1b2c3d4",
        "auth login is needed",
        "sqlplus -v",
    ]);
}
