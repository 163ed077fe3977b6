//! A name and its value in two fields of one record, and cookies.

use serde_json::json;

use super::{SECRET, WORD, check_gone, check_stays};

#[test]
fn a_value_before_its_name_is_cut() {
    let texts = [
        "- value: SECRET\n  name: API_KEY\n",
        "env:\n  - value: \"SECRET\"\n    name: DB_PASSWORD\n  - name: X\n    value: y\n",
        "<input value=\"SECRET\" name=\"password\" type=\"text\"/>",
        "<add value='SECRET' key='ClientSecret'/>",
        "<Parameter Value=\"SECRET\" Name=\"Password\"/>",
        "<param><value>SECRET</value><name>password</name></param>",
        "{Value:SECRET Name:password}",
        "{ value = \"SECRET\", name = \"API_KEY\" }",
        "SELECT 'SECRET' AS api_key",
    ];
    check_gone(SECRET, &texts);
    check_gone(WORD, &texts[..7]);
    let long = "aZ3xQ9kT7w".repeat(80);
    check_gone(&long, &texts[..4]);
}

#[test]
fn a_value_behind_its_name_is_cut() {
    check_gone(
        SECRET,
        &[
            "- {name: password, value: SECRET}",
            "<property>\n  <name>fs.s3a.secret.key</name>\n  <value>SECRET</value>\n</property>",
            "<init-param>\n<param-name>password</param-name>\n<param-value>SECRET</param-value>\n</init-param>",
            "<member><name>password</name><value><string>SECRET</string></value></member>",
            "{Name:password Value:SECRET}",
            "{ name: 'authorization', value: 'SECRET' }",
        ],
    );
}

#[test]
fn values_of_other_names_stay() {
    check_stays(&[
        "- value: 12\n  name: max_tokens\n",
        "- value: blue\n  name: color\n- value: x1y2z3w4\n  name: revision",
        "- value: x1y2z3w4\n  name: revision\n- name: password\n",
        "<input value=\"Log in\" name=\"password_submit_label\"/>",
        "<option value=\"password\" name=\"kind\"/>",
        "- value: required\n  name: password\n",
        "<field value=\"${DB_PASSWORD}\" name=\"password\"/>",
        "SELECT 'x1y2z3w4' AS name",
    ]);
}

#[test]
fn cookies_that_are_records_are_cut() {
    let texts = [
        "&http.Cookie{Name:\"sid\", Value:\"SECRET\", Path:\"/\"}",
        "[]*http.Cookie{&http.Cookie{Name:\"a\", Value:\"SECRET\"}}",
        "&{Name:sid Value:SECRET Path:/ Domain: Expires:0001-01-01 00:00:00 +0000 UTC MaxAge:0 HttpOnly:false}",
        "Cookie { name: 'sid', value: 'SECRET' }",
        "{ name: 'sid', value: 'SECRET', httpOnly: true }",
        "sid=SECRET; Path=/; HttpOnly",
        "sid=SECRET; Expires=Wed, 21 Oct 2026 07:28:00 GMT; HttpOnly",
        "<RequestsCookieJar[<Cookie sessionid=SECRET for .x.test/>]>",
        "<SimpleCookie: sessionid='SECRET'>",
        "[ 'set-cookie', 'sid=SECRET; Path=/' ]",
        "map[Cookie:[sid=SECRET; b=c]]",
    ];
    check_gone(SECRET, &texts);
    check_gone(WORD, &texts);
    let har = [
        json!({"request": {"cookies": [{"name": "sid", "value": SECRET, "path": "/"}]}}),
        json!({"response": {"cookies": [{"value": SECRET, "name": "sid"}]}}),
        json!({"headers": [{"value": format!("sid={SECRET}"), "name": "Cookie"}]}),
        json!([{"name": "sid", "value": SECRET, "domain": "x.test", "path": "/", "httpOnly": true}]),
    ]
    .map(|har| har.to_string());
    check_gone(SECRET, &har.each_ref().map(String::as_str));
    check_stays(&[
        r#"{"cookies":[{"name":"theme","value":""}]}"#,
        r#"[{"name":"size","value":"b2x9k","path":"/a"}]"#,
        r#"{"headers":[{"name":"Accept","value":"text/html2"}]}"#,
        "http.Cookie{Name:\"\", Value:\"\"}",
        "Set-Cookie needs HttpOnly, and Secure2",
        "struct{Name:\"a1b2c3\", Value:\"x2\"}",
    ]);
}

#[test]
fn headers_as_programs_print_them_are_cut() {
    check_gone(
        SECRET,
        &[
            "[(b'host', b'x'), (b'x-api-key', b'SECRET'), (b'accept', b'*/*')]",
            "[(b':method', b'GET'), (b'authorization', b'SECRET')]",
            "(b'authorization', b'Bearer SECRET')",
            "[(b'cookie', b'sid=SECRET; a=b')]",
            "OrderedDict([('user', 'bob'), ('password', 'SECRET')])",
            "map[Accept:[*/*] Authorization:[Bearer SECRET] Host:[x]]",
            "map[X-Api-Key:[SECRET]]",
            "http.Header{\"X-Api-Key\":[]string{\"SECRET\"}}",
            "Password:(string) (len=10) \"SECRET\"",
            "(string) (len=8) \"password\": (string) (len=10) \"SECRET\"",
            "[\n  'Host',\n  'x.test',\n  'authorization',\n  'Bearer SECRET',\n  'accept',\n  '*/*'\n]",
            "rawHeaders: [\n  'X-Api-Key',\n  'SECRET',\n ]",
            "Map(1) { 'password' => 'SECRET' }",
            "[Symbol(password)]: 'SECRET'",
        ],
    );
    check_stays(&[
        "(b'content-type', b'application/json2')",
        "[(b'accept', b'text/html2'), (b'host', b'x1.test')]",
        "[('password', 'required'), ('secret', 'optional')]",
        "map[Content-Type:[application/json]]",
        "map[password_policy:[strong2]] map[Authorization:[]]",
        "[\n  'Content-Type',\n  'application/json2'\n]",
        "[ 'username', 'password', 'email2' ]",
        "{ password: [Function: x2] }",
        "secrets: [db_password, api_key]",
    ]);
}

#[test]
fn connection_strings_in_braces_are_cut() {
    let texts = [
        "Driver={SQL Server};Server=x;UID=bob;PWD={SECRET};",
        "Server=x;Password={a}}b;SECRET};Encrypt=true",
        "jdbc:sqlserver://h:1433;user=bob;password={SECRET};",
        "bob:SECRET@tcp(h:3306)/db",
    ];
    check_gone(SECRET, &texts);
    check_gone(WORD, &texts);
    check_gone(
        SECRET,
        &["jdbc:oracle:thin:bob/SECRET@h:1521/x", "bob/SECRET@//h:1521/x"],
    );
    check_stays(&[
        "Driver={SQL Server};Server=x2;",
        "format!(\"password={password2}\")",
        "<input password={this.state.password2}>",
        "f\"Server={server};PWD={pwd};\"",
        "import(\"/node_modules/@scope/pkg2@//x\")",
    ]);
}
