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
