//! The public rule sets of gitleaks and detect-secrets, rule by rule: an example of each is cut, or it is said why it is
//! left out. Examples are drawn here, so that no scanner takes this file for a leak.

use crate::redact::Redactor;

/// How a rule of others is covered.
enum Rule {
    /// An example of it is cut: texts, and `{c n}` for so many drawn characters of a class.
    Cut(&'static str),
    /// Each of several examples of it is cut: it goes by what may stand around or before the secret.
    Each(&'static [&'static str]),
    /// It is left out, for this reason.
    Left(&'static str),
}

use Rule::{Cut, Each, Left};

/// The characters of a class.
fn class(name: u8) -> &'static str {
    match name {
        b'h' => "3f9a1c7be2d4806b5a",
        b'H' => "3F9A1C7BE2D4806B5A",
        b'D' => "7391826405",
        b'A' => "Z3XQ7KT2WB4MC5VRND6PF",
        b'l' | b'e' => "z3xq9kt7wb1mc5vr8nd2pf",
        b'q' => "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
        // Letters, digits, and what classes with more of them have besides.
        _ => "aZ3xQ9kT7wB1mC5vR8nD2pF6sG4hJ0yL",
    }
}

/// The example of a template, and the longest part of it that was drawn.
fn example(template: &str) -> (String, String) {
    let (mut text, mut longest) = (String::new(), String::new());
    let mut rest = template;
    while let Some((literal, behind)) = rest.split_once('{') {
        text.push_str(&literal.replace("}}", "}"));
        // Braces of the text itself are doubled.
        if let Some(behind) = behind.strip_prefix('{') {
            text.push('{');
            rest = behind;
            continue;
        }
        let (part, behind) = behind.split_once('}').unwrap();
        let length: usize = part[1..].parse().unwrap();
        // Further parts are drawn on: no two are alike.
        let drawn: String = class(part.as_bytes()[0])
            .chars()
            .cycle()
            .skip(text.len() % 7)
            .take(length)
            .collect();
        text.push_str(&drawn);
        if drawn.len() > longest.len() {
            longest = drawn;
        }
        rest = behind;
    }
    text.push_str(&rest.replace("}}", "}"));
    (text, longest)
}

#[test]
fn the_rules_of_others_are_covered_or_left_out_for_a_reason() {
    let redactor = Redactor::default();
    let (mut cut, mut left, mut missed) = (0, 0, Vec::new());
    for (name, rule) in GITLEAKS.iter().chain(DETECT_SECRETS) {
        let templates = match rule {
            Cut(template) => std::slice::from_ref(template),
            Each(templates) => templates,
            Left(why) => {
                assert!(!why.is_empty(), "{name}");
                left += 1;
                continue;
            }
        };
        for template in templates {
            {
                let (text, secret) = example(template);
                let redacted = redactor.redact(&text);
                // Also where calls have it: in JSON, in a sentence, at the end of a line.
                let json = serde_json::json!({ "content": [{ "type": "text", "text": text }] }).to_string();
                let in_json = redactor.redact(&json);
                let in_text = format!("it says:\n{text}\nthen no more");
                let in_text = redactor.redact(&in_text);
                for redacted in [redacted, in_json, in_text] {
                    if redacted.contains(&secret) {
                        missed.push(format!("{name}: {redacted}"));
                    }
                }
            }
        }
        cut += 1;
    }
    eprintln!("{cut} rules are covered, {left} left out");
    assert!(
        missed.is_empty(),
        "{} missed:\n{}",
        missed.len(),
        missed.join("\n")
    );
    assert!(cut >= 220 && left <= 25, "{cut} {left}");
}

/// The rules that go by names alone, as they are written: each word of theirs with what may stand before and behind it.
#[test]
fn names_of_others_are_covered_with_their_affixes() {
    let redactor = Redactor::default();
    let (_, short) = example("{a16}");
    let (_, long) = example("{a32}");
    let mut missed = Vec::new();
    let mut check = |name: &str, secret: &str| {
        for text in [
            format!("{name} = \"{secret}\""),
            serde_json::json!({ name: secret }).to_string(),
        ] {
            if redactor.redact(&text).contains(secret) {
                missed.push(text);
            }
        }
    };
    // KeywordDetector of detect-secrets.
    for word in [
        "api_key",
        "apikey",
        "auth_key",
        "service_key",
        "servicekey",
        "account_key",
        "db_key",
        "database_key",
        "priv_key",
        "private_key",
        "client_key",
        "db_pass",
        "database_pass",
        "key_pass",
        "password",
        "passwd",
        "pwd",
        "secret",
        "contraseña",
        "contrasena",
    ] {
        for behind in ["", "_prod", "Value", "2"] {
            check(&format!("{word}{behind}"), &short);
        }
    }
    // generic-api-key of gitleaks.
    for word in [
        "access",
        "auth",
        "api",
        "credential",
        "creds",
        "key",
        "passw",
        "password",
        "secret",
        "token",
    ] {
        for (before, behind) in [("my_", "_prod"), ("prod-", "-value"), ("APP_", "")] {
            check(&format!("{before}{word}{behind}"), &long);
        }
    }
    assert!(
        missed.is_empty(),
        "{} missed:\n{}",
        missed.len(),
        missed.join("\n")
    );
}

const GITLEAKS: &[(&str, Rule)] = &[
    ("1password-secret-key", Cut("A3-{A6}-{A6}-{A5}-{A5}-{A5}-{A5}")),
    ("1password-service-account-token", Cut("ops_eyJ{b260}")),
    ("adafruit-api-key", Cut("adafruit = \"{e32}\"")),
    (
        "adobe-client-id",
        Left("an id that stands in every address of a login, no secret"),
    ),
    ("adobe-client-secret", Cut("p8e-{a32}")),
    ("age-secret-key", Cut("AGE-SECRET-KEY-1{q58}")),
    ("airtable-api-key", Cut("airtable = \"{l17}\"")),
    ("airtable-personnal-access-token", Cut("pat{a14}.{h64}")),
    ("algolia-api-key", Cut("algolia = \"{l32}\"")),
    ("alibaba-access-key-id", Cut("LTAI{a20}")),
    ("alibaba-secret-key", Cut("alibaba = \"{l30}\"")),
    ("anthropic-admin-api-key", Cut("sk-ant-admin01-{d93}AA")),
    ("anthropic-api-key", Cut("sk-ant-api03-{d93}AA")),
    ("artifactory-api-key", Cut("AKCp{a69}")),
    ("artifactory-reference-token", Cut("cmVmd{a59}")),
    ("asana-client-id", Left("an id, no secret")),
    ("asana-client-secret", Cut("asana = \"{l32}\"")),
    ("atlassian-api-token", Cut("jira = \"{l20}{h4}\"")),
    (
        "authress-service-client-access-key",
        Cut("sc_{a12}.{a5}.acc_{l20}.{b60}"),
    ),
    ("aws-access-token", Cut("AKIA{A16}")),
    ("aws-amazon-bedrock-api-key-long-lived", Cut("ABSK{b120}")),
    (
        "aws-amazon-bedrock-api-key-short-lived",
        Cut("bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t{a40}"),
    ),
    ("azure-ad-client-secret", Cut("client_secret = {a3}8Q~{a34}")),
    ("beamer-api-token", Cut("beamer = \"b_{d44}\"")),
    ("bitbucket-client-id", Cut("bitbucket = \"{l32}\"")),
    ("bitbucket-client-secret", Cut("bitbucket = \"{e64}\"")),
    ("bittrex-access-key", Cut("bittrex = \"{l32}\"")),
    ("bittrex-secret-key", Cut("bittrex = \"{l32}\"")),
    ("cisco-meraki-api-key", Cut("meraki = \"{h40}\"")),
    ("clickhouse-cloud-api-secret-key", Cut("4b1d{a38}")),
    ("clojars-api-token", Cut("CLOJARS_{a60}")),
    ("cloudflare-api-key", Cut("cloudflare = \"{e40}\"")),
    ("cloudflare-global-api-key", Cut("cloudflare = \"{h37}\"")),
    ("cloudflare-origin-ca-key", Cut("v1.0-{h24}-{h146}")),
    ("codecov-access-token", Cut("codecov = \"{l32}\"")),
    ("cohere-api-token", Cut("CO_API_KEY = \"{a40}\"")),
    ("coinbase-access-token", Cut("coinbase = \"{e64}\"")),
    ("confluent-access-token", Cut("confluent = \"{l16}\"")),
    ("confluent-secret-key", Cut("confluent = \"{l64}\"")),
    ("contentful-delivery-api-token", Cut("contentful = \"{e43}\"")),
    (
        "curl-auth-header",
        Each(&[
            "curl -H \"Authorization: Bearer {a30}\" https://x.test",
            "curl -H Authorization:Bearer\\ {a30} https://x.test",
            "curl -H \"X-Key: {a12}\" https://x.test",
            "curl --header 'Api-Token: {a12}' https://x.test",
            "curl -H 'Key: {a12}' https://x.test",
        ]),
    ),
    (
        "curl-auth-user",
        Each(&[
            "curl -u admin:{a12} https://x.test",
            "curl -uadmin:{a12} https://x.test",
            "curl -su admin:{a12} https://x.test",
            "curl -sSfu 'admin:{a12}' https://x.test",
            "curl -u\tadmin:{a12} https://x.test",
            "curl --user admin:{a12} https://x.test",
            "curl --user=\"admin:{a12}\" https://x.test",
            "curl -X POST https://x.test -u \"admin:{a12}\"",
        ]),
    ),
    ("databricks-api-token", Cut("dapi{h32}")),
    ("datadog-access-token", Cut("datadog = \"{l40}\"")),
    (
        "defined-networking-api-token",
        Cut("dnkey = \"dnkey-{d26}-{d52}\""),
    ),
    ("digitalocean-access-token", Cut("doo_v1_{h64}")),
    ("digitalocean-pat", Cut("dop_v1_{h64}")),
    ("digitalocean-refresh-token", Cut("dor_v1_{h64}")),
    ("discord-api-token", Cut("discord = \"{h64}\"")),
    ("discord-client-id", Left("an id, no secret")),
    ("discord-client-secret", Cut("discord = \"{e32}\"")),
    ("doppler-api-token", Cut("dp.pt.{a43}")),
    ("droneci-access-token", Cut("droneci = \"{l32}\"")),
    ("dropbox-api-token", Cut("dropbox = \"{l15}\"")),
    (
        "dropbox-long-lived-api-token",
        Cut("dropbox_token = \"{l11}AAAAAAAAAA{l43}\""),
    ),
    ("dropbox-short-lived-api-token", Cut("dropbox = \"sl.{d135}\"")),
    ("duffel-api-token", Cut("duffel_live_{d43}")),
    ("dynatrace-api-token", Cut("dt0c01.{a24}.{a64}")),
    ("easypost-api-token", Cut("EZAK{a54}")),
    ("easypost-test-api-token", Cut("EZTK{a54}")),
    ("etsy-access-token", Cut("etsy = \"{l24}\"")),
    (
        "facebook-access-token",
        Left(
            "the id of an app and its secret joined by |, which no name tells: under a name of secrets it is cut",
        ),
    ),
    ("facebook-page-access-token", Cut("EAAM{a110}")),
    ("facebook-secret", Cut("facebook = \"{h32}\"")),
    ("fastly-api-token", Cut("fastly = \"{e32}\"")),
    ("finicity-api-token", Cut("finicity = \"{h32}\"")),
    (
        "finicity-client-secret",
        Cut("finicity_client_secret = \"{l20}\""),
    ),
    ("finnhub-access-token", Cut("finnhub = \"{l20}\"")),
    ("flickr-access-token", Cut("flickr = \"{l32}\"")),
    ("flutterwave-encryption-key", Cut("FLWSECK_TEST-{h12}")),
    ("flutterwave-public-key", Cut("FLWPUBK_TEST-{h32}-X")),
    ("flutterwave-secret-key", Cut("FLWSECK_TEST-{h32}-X")),
    ("flyio-access-token", Cut("fm2_{b110}")),
    ("frameio-api-token", Cut("fio-u-{d64}")),
    ("freemius-secret-key", Cut("\"secret_key\" => \"sk_{a29}\"")),
    ("freshbooks-access-token", Cut("freshbooks = \"{l64}\"")),
    ("gcp-api-key", Cut("AIza{d35}")),
    ("generic-api-key", Cut("my_api_key = \"{a32}\"")),
    ("github-app-token", Cut("ghs_{a36}")),
    ("github-fine-grained-pat", Cut("github_pat_{w82}")),
    ("github-oauth", Cut("gho_{a36}")),
    ("github-pat", Cut("ghp_{a36}")),
    ("github-refresh-token", Cut("ghr_{a36}")),
    ("gitlab-cicd-job-token", Cut("glcbt-{a5}_{d20}")),
    ("gitlab-deploy-token", Cut("gldt-{d20}")),
    ("gitlab-feature-flag-client-token", Cut("glffct-{d20}")),
    ("gitlab-feed-token", Cut("glft-{d20}")),
    ("gitlab-incoming-mail-token", Cut("glimt-{d25}")),
    ("gitlab-kubernetes-agent-token", Cut("glagent-{d50}")),
    ("gitlab-oauth-app-secret", Cut("gloas-{d64}")),
    ("gitlab-pat", Cut("glpat-{d20}")),
    ("gitlab-pat-routable", Cut("glpat-{d27}.{l9}")),
    ("gitlab-ptt", Cut("glptt-{h40}")),
    ("gitlab-rrt", Cut("GR1348941{d20}")),
    ("gitlab-runner-authentication-token", Cut("glrt-{d20}")),
    (
        "gitlab-runner-authentication-token-routable",
        Cut("glrt-t1_{d27}.{l9}"),
    ),
    ("gitlab-scim-token", Cut("glsoat-{d20}")),
    ("gitlab-session-cookie", Cut("_gitlab_session={l32}")),
    ("gitter-access-token", Cut("gitter = \"{e40}\"")),
    ("gocardless-api-token", Cut("gocardless = \"live_{d40}\"")),
    ("grafana-api-key", Cut("eyJrIjoi{a80}")),
    ("grafana-cloud-api-token", Cut("glc_{b60}")),
    ("grafana-service-account-token", Cut("glsa_{a32}_{h8}")),
    ("harness-api-key", Cut("pat.{d22}.{a24}.{a20}")),
    ("hashicorp-tf-api-token", Cut("{l14}.atlasv1.{d64}")),
    (
        "hashicorp-tf-password",
        Cut("administrator_login_password = \"{d16}\""),
    ),
    ("heroku-api-key", Cut("heroku = \"{h8}-{h4}-{h4}-{h4}-{h12}\"")),
    ("heroku-api-key-v2", Cut("HRKU-AA{d58}")),
    (
        "hubspot-api-key",
        Cut("hubspot_key = \"{h8}-{h4}-{h4}-{h4}-{h12}\""),
    ),
    ("huggingface-access-token", Cut("hf_{a34}")),
    ("huggingface-organization-api-token", Cut("api_org_{a34}")),
    ("infracost-api-token", Cut("ico-{a32}")),
    ("intercom-api-key", Cut("intercom = \"{e60}\"")),
    ("intra42-client-secret", Cut("s-s4t2ud-{h64}")),
    ("jfrog-api-key", Cut("jfrog = \"{l73}\"")),
    ("jfrog-identity-token", Cut("jfrog = \"{l64}\"")),
    ("jwt", Cut("eyJ{a20}.eyJ{a20}.{a43}")),
    ("jwt-base64", Cut("ZXlKaGJHY2lPaU{a80}")),
    ("kraken-access-token", Cut("kraken = \"{l80}\"")),
    (
        "kubernetes-secret-yaml",
        Each(&[
            "kind: Secret\nmetadata:\n  name: db\ndata:\n  password: {a24}\n",
            "apiVersion: v1\nkind: Secret\ntype: Opaque\nmetadata:\n  name: db\ndata:\n  connection: {a24}\n  ca.crt: {a12}\n",
            "apiVersion: v1\ndata:\n  .dockerconfigjson: {a40}\nkind: Secret\n",
            "kind: Secret\nstringData:\n  config.yaml: |-\n    url: {a24}\n    retries: 3\n  other: x\n",
            "kind: \"Secret\"\nstringData:\n  connection: \"{a24}\"\n",
            "items:\n- apiVersion: v1\n  data:\n    connection: {a24}\n  kind: Secret\n- apiVersion: v1\n  kind: ConfigMap\n",
            "{{\"apiVersion\":\"v1\",\"data\":{{\"connection\":\"{a24}\"}},\"kind\":\"Secret\"}}",
            "{{\"kind\":\"Secret\",\"stringData\":{{\"connection\":\"{a24}\"}}}}",
        ]),
    ),
    ("kucoin-access-token", Cut("kucoin = \"{h24}\"")),
    ("kucoin-secret-key", Cut("kucoin = \"{h8}-{h4}-{h4}-{h4}-{h12}\"")),
    ("launchdarkly-access-token", Cut("launchdarkly = \"{e40}\"")),
    ("linear-api-key", Cut("lin_api_{a40}")),
    ("linear-client-secret", Cut("linear = \"{h32}\"")),
    ("linkedin-client-id", Left("an id, no secret")),
    ("linkedin-client-secret", Cut("linkedin = \"{l16}\"")),
    ("lob-api-key", Cut("lob = \"live_{h35}\"")),
    ("lob-pub-api-key", Cut("lob = \"test_pub_{h31}\"")),
    ("looker-client-id", Left("an id, no secret")),
    ("looker-client-secret", Cut("looker = \"{l24}\"")),
    ("mailchimp-api-key", Cut("mailchimp = \"{h32}-us12\"")),
    ("mailgun-private-api-token", Cut("mailgun = \"key-{h32}\"")),
    ("mailgun-pub-key", Cut("mailgun = \"pubkey-{h32}\"")),
    ("mailgun-signing-key", Cut("mailgun = \"{h32}-{h8}-{h8}\"")),
    ("mapbox-api-token", Cut("mapbox = \"pk.{a60}.{a22}\"")),
    ("mattermost-access-token", Cut("mattermost = \"{l26}\"")),
    ("maxmind-license-key", Cut("{a6}_{a29}_mmk")),
    ("messagebird-api-token", Cut("messagebird = \"{l25}\"")),
    ("messagebird-client-id", Left("an id, no secret")),
    (
        "microsoft-teams-webhook",
        Cut(
            "https://x.webhook.office.com/webhookb2/{h8}-{h4}-{h4}-{h4}-{h12}@{h8}-{h4}-{h4}-{h4}-{h12}/IncomingWebhook/{a32}/{h8}-{h4}-{h4}-{h4}-{h12}",
        ),
    ),
    ("netlify-access-token", Cut("netlify = \"{e40}\"")),
    ("new-relic-browser-api-token", Cut("NRJS-{h19}")),
    ("new-relic-insert-key", Cut("NRII-{a32}")),
    ("new-relic-user-api-id", Cut("new_relic = \"{l64}\"")),
    ("new-relic-user-api-key", Cut("NRAK-{A27}")),
    ("notion-api-token", Cut("ntn_{D11}{a35}")),
    ("npm-access-token", Cut("npm_{a36}")),
    (
        "nuget-config-password",
        Cut("<add key=\"ClearTextPassword\" value=\"{a12}\" />"),
    ),
    ("nytimes-access-token", Cut("nytimes = \"{e32}\"")),
    ("octopus-deploy-api-key", Cut("API-{A26}")),
    ("okta-access-token", Cut("okta = \"00{d40}\"")),
    ("openai-api-key", Cut("sk-proj-{d74}T3BlbkFJ{d74}")),
    ("openshift-user-token", Cut("sha256~{d43}")),
    ("perplexity-api-key", Cut("pplx-{a48}")),
    ("pkcs12-file", Left("the name of a file, and no text")),
    (
        "plaid-api-token",
        Cut("plaid = \"access-sandbox-{h8}-{h4}-{h4}-{h4}-{h12}\""),
    ),
    ("plaid-client-id", Left("an id, no secret")),
    ("plaid-secret-key", Cut("plaid = \"{l30}\"")),
    ("planetscale-api-token", Cut("pscale_tkn_{a43}")),
    ("planetscale-oauth-token", Cut("pscale_oauth_{a43}")),
    ("planetscale-password", Cut("pscale_pw_{a43}")),
    ("postman-api-token", Cut("PMAK-{h24}-{h34}")),
    ("prefect-api-token", Cut("pnu_{a36}")),
    (
        "private-key",
        Cut("-----BEGIN RSA PRIVATE KEY-----\n{a64}\n{a64}\n-----END RSA PRIVATE KEY-----"),
    ),
    ("privateai-api-token", Cut("privateai = \"{l32}\"")),
    ("pulumi-api-token", Cut("pul-{h40}")),
    ("pypi-upload-token", Cut("pypi-AgEIcHlwaS5vcmc{d80}")),
    ("rapidapi-access-token", Cut("rapidapi = \"{e50}\"")),
    ("readme-api-token", Cut("rdme_{l70}")),
    ("rubygems-api-token", Cut("rubygems_{h48}")),
    ("scalingo-api-token", Cut("tk-us-{d48}")),
    ("sendbird-access-id", Left("an id, no secret")),
    ("sendbird-access-token", Cut("sendbird = \"{h40}\"")),
    ("sendgrid-api-token", Cut("SG.{d22}.{d43}")),
    ("sendinblue-api-token", Cut("xkeysib-{h64}-{a16}")),
    ("sentry-access-token", Cut("sentry = \"{h64}\"")),
    (
        "sentry-org-token",
        Cut("sntrys_eyJpYXQiO{a60}LCJyZWdpb25fdXJs{a60}_{a43}"),
    ),
    ("sentry-user-token", Cut("sntryu_{h64}")),
    ("settlemint-application-access-token", Cut("sm_aat_{a16}")),
    ("settlemint-personal-access-token", Cut("sm_pat_{a16}")),
    ("settlemint-service-access-token", Cut("sm_sat_{a16}")),
    ("shippo-api-token", Cut("shippo_live_{h40}")),
    ("shopify-access-token", Cut("shpat_{h32}")),
    ("shopify-custom-access-token", Cut("shpca_{h32}")),
    ("shopify-private-app-access-token", Cut("shppa_{h32}")),
    ("shopify-shared-secret", Cut("shpss_{h32}")),
    ("sidekiq-secret", Cut("BUNDLE_GEMS__CONTRIBSYS__COM={h8}:{h8}")),
    (
        "sidekiq-sensitive-url",
        Cut("https://ab12cd34:{h8}@gems.contribsys.com/"),
    ),
    ("slack-app-token", Cut("xapp-1-{A10}-{D12}-{l60}")),
    ("slack-bot-token", Cut("xoxb-{D12}-{D12}-{a24}")),
    ("slack-config-access-token", Cut("xoxe.xoxp-1-{A164}")),
    ("slack-config-refresh-token", Cut("xoxe-1-{A146}")),
    ("slack-legacy-bot-token", Cut("xoxb-{D12}-{a24}")),
    ("slack-legacy-token", Cut("xoxs-{D10}-{D10}-{D10}-{h32}")),
    ("slack-legacy-workspace-token", Cut("xoxa-2-{a40}")),
    ("slack-user-token", Cut("xoxp-{D12}-{D12}-{D12}-{h32}")),
    ("slack-webhook-url", Cut("https://hooks.slack.com/services/{a44}")),
    (
        "snyk-api-token",
        Cut("snyk_token = \"{h8}-{h4}-{h4}-{h4}-{h12}\""),
    ),
    ("sonar-api-token", Cut("sonar_token = \"squ_{h40}\"")),
    ("sourcegraph-access-token", Cut("sgp_{h16}_{h40}")),
    ("square-access-token", Cut("EAAA{d60}")),
    (
        "squarespace-access-token",
        Cut("squarespace = \"{h8}-{h4}-{h4}-{h4}-{h12}\""),
    ),
    ("stripe-access-token", Cut("sk_live_{a60}")),
    ("sumologic-access-id", Left("an id, no secret")),
    ("sumologic-access-token", Cut("sumo = \"{l64}\"")),
    ("telegram-bot-api-token", Cut("{D9}:AA{d33}")),
    ("travisci-access-token", Cut("travis = \"{l22}\"")),
    ("twilio-api-key", Cut("SK{h32}")),
    ("twitch-api-token", Cut("twitch = \"{l30}\"")),
    ("twitter-access-secret", Cut("twitter = \"{l45}\"")),
    ("twitter-access-token", Cut("twitter = \"{D18}-{a40}\"")),
    ("twitter-api-key", Cut("twitter = \"{l25}\"")),
    ("twitter-api-secret", Cut("twitter = \"{l50}\"")),
    (
        "twitter-bearer-token",
        Cut("twitter = \"AAAAAAAAAAAAAAAAAAAAAA{a90}\""),
    ),
    ("typeform-api-token", Cut("typeform = \"tfp_{a59}\"")),
    ("vault-batch-token", Cut("hvb.{d140}")),
    ("vault-service-token", Cut("hvs.{d95}")),
    ("yandex-access-token", Cut("yandex = \"t1.{d40}.{d86}\"")),
    ("yandex-api-key", Cut("yandex = \"AQVN{d36}\"")),
    ("yandex-aws-access-token", Cut("yandex = \"YC{d38}\"")),
    ("zendesk-secret-key", Cut("zendesk = \"{l40}\"")),
];

const DETECT_SECRETS: &[(&str, Rule)] = &[
    ("ArtifactoryDetector", Cut("AKC{a20}")),
    ("AWSKeyDetector", Cut("AKIA{A16}")),
    ("AzureStorageKeyDetector", Cut("AccountKey={b88}")),
    ("BasicAuthDetector", Cut("https://me:{a12}@x.test")),
    ("CloudantDetector", Cut("cloudant_password = \"{h64}\"")),
    (
        "DiscordBotTokenDetector",
        Cut("MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.{d27}"),
    ),
    ("GitHubTokenDetector", Cut("ghu_{a36}")),
    ("GitLabTokenDetector", Cut("glrt-{d20}")),
    (
        "Base64HighEntropyString",
        Left(
            "any text that looks random: hashes, ids and images would be cut, which are what calls are about",
        ),
    ),
    (
        "HexHighEntropyString",
        Left("any text that looks random: hashes and ids would be cut"),
    ),
    ("IbmCloudIamDetector", Cut("ibm_cloud_iam_key = \"{d44}\"")),
    ("IbmCosHmacDetector", Cut("secret_access_key = \"{h48}\"")),
    (
        "IPPublicDetector",
        Left("an address is no secret; clients' addresses are part of the log"),
    ),
    ("JwtTokenDetector", Cut("eyJ{a20}.eyJ{a20}.{a43}")),
    ("KeywordDetector", Cut("db_password = \"{a12}\"")),
    ("MailchimpDetector", Cut("mailchimp = \"{h32}-us12\"")),
    ("NpmDetector", Cut("//registry.npmjs.org/:_authToken=npm_{a36}")),
    ("OpenAIDetector", Cut("sk-{a20}T3BlbkFJ{a20}")),
    (
        "PrivateKeyDetector",
        Cut("-----BEGIN OPENSSH PRIVATE KEY-----\n{a64}\n-----END OPENSSH PRIVATE KEY-----"),
    ),
    ("PypiTokenDetector", Cut("pypi-AgEIcHlwaS5vcmc{d80}")),
    ("SendGridDetector", Cut("SG.{d22}.{d43}")),
    ("SlackDetector", Cut("xoxb-{D12}-{D12}-{a24}")),
    ("SoftlayerDetector", Cut("softlayer_api_key = \"{l64}\"")),
    ("SquareOAuthDetector", Cut("sq0csp-{d43}")),
    ("StripeDetector", Cut("rk_live_{a24}")),
    ("TelegramBotTokenDetector", Cut("{D9}:AA{d33}")),
    ("TwilioKeyDetector", Cut("AC{h32}")),
];
