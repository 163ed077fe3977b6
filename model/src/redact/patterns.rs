//! The shapes of tokens, one line each, by the facts that their makers published: how they begin, what they are made of
//! and how long they are. ([`contexts`](super::contexts) has those without a beginning of their own.)
//!
//! A pattern is made of texts and of `{c n}` or `{c n-m}`: so many bytes of a class. The classes are those of [`is_in`].

use super::bytes::{before, begins_word, byte, run, run_back};

/// How a pattern is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Border {
    /// Wherever it stands: it is so long and so particular that nothing else is written so.
    None,
    /// Where a word begins.
    Word,
    /// Where a word begins, and only if there is a digit in it.
    Drawn,
}

/// A shape of tokens that begin in a particular way.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) rule: &'static str,
    /// How it begins, exactly.
    pub(super) prefix: &'static str,
    rest: &'static str,
    border: Border,
}

const fn of(rule: &'static str, prefix: &'static str, rest: &'static str, border: Border) -> Pattern {
    Pattern {
        rule,
        prefix,
        rest,
        border,
    }
}

pub(super) const PATTERNS: &[Pattern] = &[
    of("mcptap key", "mcptap_", "{d32-64}", Border::None),
    of(
        "1Password key",
        "A3-",
        "{A6}-{A6-11}-{A5-6}-{A5}-{A5}",
        Border::Word,
    ),
    of(
        "1Password key",
        "A3-",
        "{A6}-{A6}-{A5}-{A5}-{A5}-{A5}",
        Border::Word,
    ),
    of("1Password token", "ops_eyJ", "{b100-}", Border::None),
    of("Adobe secret", "p8e-", "{a32}", Border::Word),
    of("Airtable token", "pat", "{a14}.{h64}", Border::Word),
    of("Alibaba key id", "LTAI", "{a16-24}", Border::Drawn),
    of("Artifactory key", "AKC", "{a10-72}", Border::Drawn),
    of("Artifactory token", "cmVmd", "{a59}", Border::Word),
    of(
        "Authress key",
        "sc_",
        "{a5-30}.{a4-6}.acc{_1}{d10-32}.{b30-120}",
        Border::Word,
    ),
    of(
        "Authress key",
        "ext_",
        "{a5-30}.{a4-6}.acc{_1}{d10-32}.{b30-120}",
        Border::Word,
    ),
    of(
        "Authress key",
        "scauth_",
        "{a5-30}.{a4-6}.acc{_1}{d10-32}.{b30-120}",
        Border::Word,
    ),
    of(
        "Authress key",
        "authress_",
        "{a5-30}.{a4-6}.acc{_1}{d10-32}.{b30-120}",
        Border::Word,
    ),
    of("AWS access key id", "A3T", "{A17}", Border::Drawn),
    of("AWS Bedrock key", "ABSK", "{b100-}", Border::Word),
    of("AWS Bedrock key", "bedrock-api-key-", "{b20-}", Border::None),
    of("Brave key", "BSA", "{d27-29}", Border::Drawn),
    of("ClickHouse key", "4b1d", "{a38}", Border::Word),
    of("Clojars token", "CLOJARS_", "{a60}", Border::None),
    of("Cloudflare key", "v1.0-", "{h24}-{h146}", Border::None),
    of("Contentful token", "CFPAT-", "{d43}", Border::None),
    of("Defined Networking token", "dnkey-", "{d26}-{d52}", Border::None),
    of("Doppler token", "dp.pt.", "{a40-44}", Border::None),
    of("Doppler token", "dp.st.", "{t40-60}", Border::None),
    of("Doppler token", "dp.sa.", "{a40-44}", Border::None),
    of("Dropbox token", "sl.", "{d120-}", Border::Word),
    of("Duffel token", "duffel_test_", "{d40-44}", Border::None),
    of("Duffel token", "duffel_live_", "{d40-44}", Border::None),
    of("Dynatrace token", "dt0c01.", "{a24}.{a64}", Border::None),
    of("EasyPost key", "EZAK", "{a54}", Border::Word),
    of("EasyPost key", "EZTK", "{a54}", Border::Word),
    of("Facebook token", "EAAM", "{a100-}", Border::Word),
    of("Facebook token", "EAAC", "{a100-}", Border::Word),
    of("Firecrawl key", "fc-", "{h32}", Border::Word),
    of("Flutterwave key", "FLWSECK_TEST-", "{a12-34}", Border::None),
    of("Flutterwave key", "FLWPUBK_TEST-", "{a32}-X", Border::None),
    of("Fly.io token", "fo1_", "{d43}", Border::Word),
    of("Fly.io token", "fm1a_", "{b100-}", Border::Word),
    of("Fly.io token", "fm1r_", "{b100-}", Border::Word),
    of("Fly.io token", "fm2_", "{b100-}", Border::Word),
    of("Frame.io token", "fio-u-", "{d64}", Border::None),
    of("GitLab token", "glffct-", "{d20}", Border::None),
    of("GitLab token", "GR1348941", "{d20}", Border::None),
    of("GitLab session", "_gitlab_session=", "{a32}", Border::None),
    of("GoCardless token", "live_", "{d40}", Border::Drawn),
    of("Grafana key", "eyJrIjoi", "{b70-}", Border::Word),
    of("Harness key", "pat.", "{d22}.{a24}.{a20}", Border::Word),
    of("Harness key", "sat.", "{d22}.{a24}.{a20}", Border::Word),
    of("Heroku key", "HRKU-", "{d36-60}", Border::None),
    of("Infracost token", "ico-", "{a32}", Border::Word),
    of("Intra 42 secret", "s-s4t2ud-", "{H64}", Border::None),
    of("Intra 42 secret", "s-s4t2af-", "{H64}", Border::None),
    of("JSON web token", "ZXlK", "{b60-}", Border::Word),
    of("Lob key", "test_pub_", "{h31}", Border::Word),
    of("Lob key", "live_pub_", "{h31}", Border::Word),
    of("Lob key", "live_", "{h35}", Border::Word),
    of("Lob key", "test_", "{h35}", Border::Word),
    of("Mailgun key", "pubkey-", "{h32}", Border::None),
    of("Mapbox token", "pk.", "{d60-}.{d22}", Border::Word),
    of("Mapbox token", "sk.", "{d60-}.{d22}", Border::Word),
    of("New Relic key", "NRJS-", "{h19}", Border::None),
    of("New Relic key", "NRII-", "{d32}", Border::None),
    of("New Relic key", "NRAK-", "{a27}", Border::None),
    of("Octopus key", "API-", "{A26}", Border::Drawn),
    of("OpenShift token", "sha256~", "{d43}", Border::None),
    of("Pinecone key", "pcsk_", "{w40-}", Border::None),
    of(
        "Plaid token",
        "access-sandbox-",
        "{h8}-{h4}-{h4}-{h4}-{h12}",
        Border::None,
    ),
    of(
        "Plaid token",
        "access-development-",
        "{h8}-{h4}-{h4}-{h4}-{h12}",
        Border::None,
    ),
    of(
        "Plaid token",
        "access-production-",
        "{h8}-{h4}-{h4}-{h4}-{h12}",
        Border::None,
    ),
    of("PlanetScale token", "pscale_tkn_", "{t32-64}", Border::None),
    of("PlanetScale token", "pscale_oauth_", "{t32-64}", Border::None),
    of("PlanetScale password", "pscale_pw_", "{t32-64}", Border::None),
    of("Prefect token", "pnu_", "{a36}", Border::Word),
    of("Pulumi token", "pul-", "{h40}", Border::Word),
    of("ReadMe token", "rdme_", "{a70}", Border::None),
    of("RubyGems token", "rubygems_", "{h48}", Border::None),
    of("Scalingo token", "tk-us-", "{d48}", Border::None),
    of("Sendinblue token", "xkeysib-", "{h64}-{a16}", Border::None),
    of("Sendinblue token", "xsmtpsib-", "{h64}-{a16}", Border::None),
    of("SettleMint token", "sm_aat_", "{a16}", Border::Word),
    of("SettleMint token", "sm_pat_", "{a16}", Border::Word),
    of("SettleMint token", "sm_sat_", "{a16}", Border::Word),
    of("Shippo token", "shippo_live_", "{H40}", Border::None),
    of("Shippo token", "shippo_test_", "{H40}", Border::None),
    of("Sonar token", "squ_", "{h40}", Border::Word),
    of("Sonar token", "sqp_", "{h40}", Border::Word),
    of("Sonar token", "sqa_", "{h40}", Border::Word),
    of("Sourcegraph token", "sgp_", "{H40}", Border::Word),
    of("Sourcegraph token", "sgp_", "{a5-16}_{H40}", Border::Word),
    of("Stripe key", "sk_prod_", "{a10-99}", Border::Drawn),
    of("Stripe key", "rk_prod_", "{a10-99}", Border::Drawn),
    of("Tavily key", "tvly-", "{d20-}", Border::None),
    of("Twilio account", "AC", "{h32}", Border::Word),
    of("Typeform token", "tfp_", "{t40-60}", Border::None),
    of("Vault token", "s.", "{a24}", Border::Drawn),
    of("Vercel token", "vcp_", "{a24-}", Border::Word),
    of("Yandex token", "t1.", "{d20-}.{d86}", Border::Word),
    of("Yandex key", "AQVN", "{d35-38}", Border::Drawn),
    of("Yandex key", "YC", "{d38}", Border::Drawn),
    of("Tailscale key", "tskey-", "{d20-}", Border::None),
    of("Together key", "tgp_v1_", "{d40-}", Border::None),
    of("Cerebras key", "csk-", "{a48}", Border::Word),
    of("Voyage key", "pa-", "{d43}", Border::Drawn),
    of("Jina key", "jina_", "{a60-}", Border::None),
    of("E2B key", "e2b_", "{h40}", Border::Word),
    of("Resend key", "re_", "{a8}_{a20-}", Border::Drawn),
    of("Neon key", "napi_", "{a40-}", Border::Word),
    of("Vercel key", "vck_", "{a24-}", Border::Word),
    of("Netlify token", "nfp_", "{a36-}", Border::Word),
    of("CircleCI token", "CCIPAT_", "{a22}_{h40}", Border::None),
    of("CircleCI token", "CCIPRJ_", "{a22}_{h40}", Border::None),
    of("Buildkite token", "bkua_", "{h40}", Border::Word),
    of("PostHog key", "phx_", "{a40-}", Border::Word),
    of(
        "HubSpot token",
        "pat-na1-",
        "{h8}-{h4}-{h4}-{h4}-{h12}",
        Border::None,
    ),
    of(
        "HubSpot token",
        "pat-eu1-",
        "{h8}-{h4}-{h4}-{h4}-{h12}",
        Border::None,
    ),
    of("Stripe key", "sk_org_live_", "{a20-}", Border::None),
    of("Stripe key", "ek_live_", "{a20-}", Border::Word),
    of("Stripe key", "ek_test_", "{a20-}", Border::Word),
    of("Bitbucket password", "ATBB", "{a32}", Border::Drawn),
    of("GitLab token", "glwt-", "{d20}", Border::None),
    of("Google HMAC key", "GOOG1E", "{A55}", Border::Word),
    of("Google key", "AQ.Ab8RN6", "{d40-}", Border::Word),
    of("Google code", "4/0A", "{d60-}", Border::Word),
    of("AWS session token", "IQoJb3JpZ2lu", "{b100-}", Border::Word),
    of("crates.io token", "cio", "{a32}", Border::Drawn),
    of("NuGet key", "oy2", "{a43}", Border::Drawn),
    of("Snyk token", "snyk_uat.", "{h8}.{d50-}", Border::None),
    of("MongoDB secret", "mdb_sa_sk_", "{d30-}", Border::None),
    of("Apify token", "apify_api_", "{a30-}", Border::None),
    of("Browserbase key", "bb_live_", "{d24-64}", Border::Drawn),
    of("Figma token", "figu_", "{d32-}", Border::Word),
    of("PayPal token", "A21AA", "{d80-}", Border::Word),
    of("Razorpay key", "rzp_live_", "{a14}", Border::Word),
    of("Razorpay key", "rzp_test_", "{a14}", Border::Word),
    of("Facebook token", "EAAG", "{a100-}", Border::Word),
    of("Nostr key", "nsec1", "{a58}", Border::Word),
    of("Bitcoin key", "xprv", "{a90-}", Border::Word),
    of("Fireworks key", "fw_", "{a22-24}", Border::Drawn),
    of("Render key", "rnd_", "{a24-}", Border::Drawn),
    of("Honeycomb key", "hcaik_", "{a58}", Border::Word),
    of("ClickUp token", "pk_", "{D6-9}_{A32}", Border::Word),
    of(
        "LaunchDarkly key",
        "sdk-",
        "{h8}-{h4}-{h4}-{h4}-{h12}",
        Border::Word,
    ),
    of(
        "LaunchDarkly key",
        "api-",
        "{h8}-{h4}-{h4}-{h4}-{h12}",
        Border::Word,
    ),
    of("WakaTime key", "waka_", "{h8}-{h4}-{h4}-{h4}-{h12}", Border::Word),
    of("Infisical token", "st.", "{h24}.{h32}.{h32}", Border::Word),
    of("Polar token", "polar_oat_", "{a40-}", Border::Word),
    of("Polar token", "polar_pat_", "{a40-}", Border::Word),
    of("Instagram token", "IGQV", "{a100-}", Border::Drawn),
    of("Cloudflare tunnel token", "eyJhIjoi", "{a100-}", Border::Word),
    of("MailerSend token", "mlsn.", "{h64}", Border::None),
    of("Discord token", "mfa.", "{d80-}", Border::Word),
    of("Slack token", "xwfp-", "{d20-}", Border::Word),
    of("Alibaba token", "STS.", "{a20-}", Border::Drawn),
    of("Tencent key", "AKID", "{a32}", Border::Drawn),
    of("Shopify token", "atkn_", "{a40-}", Border::Word),
    of(
        "Braintree token",
        "access_token$production$",
        "{a16}${h32}",
        Border::None,
    ),
    of("Databricks token", "dose", "{h32}", Border::Word),
    of("Square secret", "sq0idp-", "{d22}", Border::None),
    of(
        "Teams webhook",
        "/IncomingWebhook/",
        "{a32}/{h8}-{h4}-{h4}-{h4}-{h12}",
        Border::None,
    ),
    of(
        "Twitter bearer token",
        "AAAAAAAAAAAAAAAAAAAAAA",
        "{p80-100}",
        Border::Word,
    ),
];

/// How much before a token is looked at.
const BLOB: usize = 24;

/// Whether a byte is in a class: `a` letters and digits, `A` capitals and digits, `h` hexadecimal digits, `H` also in
/// capitals, `D` digits, `w` those of words, `d` also `-` and `=`, `t` also `.`, `b` base64, `p` letters,
/// digits and `%`, `_` a joint.
fn is_in(class: u8, byte: u8) -> bool {
    match class {
        b'a' => byte.is_ascii_alphanumeric(),
        b'A' => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        b'h' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        b'H' => byte.is_ascii_hexdigit(),
        b'D' => byte.is_ascii_digit(),
        b'w' => byte.is_ascii_alphanumeric() || byte == b'_',
        b'd' => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'='),
        b't' => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'=' | b'.'),
        b'b' => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'=' | b'+' | b'/'),
        b'p' => byte.is_ascii_alphanumeric() || byte == b'%',
        b'_' => matches!(byte, b'_' | b'-'),
        _ => false,
    }
}

/// Where what a pattern describes ends that begins at `at`. Behind it there is no more of its kind.
pub(super) fn matched(bytes: &[u8], at: usize, pattern: &str) -> Option<usize> {
    let mut at = at;
    let mut rest = pattern;
    let mut class = 0;
    while let Some((literal, behind)) = rest.split_once('{') {
        at = literal_at(bytes, at, literal)?;
        let (part, behind) = behind.split_once('}')?;
        rest = behind;
        class = *part.as_bytes().first()?;
        let (least, most) = bounds(part.get(1..)?)?;
        let end = run(bytes, at, most, |byte| is_in(class, byte));
        if end - at < least {
            return None;
        }
        at = end;
    }
    let end = literal_at(bytes, at, rest)?;
    let next = byte(bytes, end);
    let goes_on = next.is_ascii_alphanumeric() || (rest.is_empty() && is_in(class, next) && next != b'=');
    (!goes_on).then_some(end)
}

fn literal_at(bytes: &[u8], at: usize, literal: &str) -> Option<usize> {
    let end = at + literal.len();
    (bytes.get(at..end)? == literal.as_bytes()).then_some(end)
}

/// `32`, `20-40`, `20-`.
fn bounds(text: &str) -> Option<(usize, usize)> {
    match text.split_once('-') {
        None => {
            let exact = text.parse().ok()?;
            Some((exact, exact))
        }
        Some((least, "")) => Some((least.parse().ok()?, usize::MAX)),
        Some((least, most)) => Some((least.parse().ok()?, most.parse().ok()?)),
    }
}

/// Whether a token may begin at `start` although a word goes on there: `tool_ghp_…`. In the middle of a long run of
/// letters anything may stand by chance.
pub(super) fn begins_loosely(bytes: &[u8], start: usize) -> bool {
    begins_word(bytes, start)
        || start
            - run_back(bytes, start, BLOB, |byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'/')
            })
            < BLOB
}

/// Whether a run of base64 goes on at `start`, in which anything may stand by chance.
fn in_blob(bytes: &[u8], start: usize) -> bool {
    /// Longer than paths are.
    const LONG: usize = 64;
    let is = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    matches!(before(bytes, start, 1), b'+' | b'/') && start - run_back(bytes, start, LONG, is) == LONG
}

pub(super) fn has_digit(bytes: &[u8]) -> bool {
    bytes.iter().any(u8::is_ascii_digit)
}

impl Pattern {
    /// The token whose prefix is from `start` to `from`.
    pub(super) fn token(&self, bytes: &[u8], start: usize, from: usize) -> Option<(usize, usize)> {
        let begins = match self.border {
            Border::None => begins_loosely(bytes, start),
            Border::Word | Border::Drawn => begins_word(bytes, start),
        };
        if !begins || in_blob(bytes, start) {
            return None;
        }
        let end = matched(bytes, from, self.rest)?;
        let token = bytes.get(from..end)?;
        (self.border != Border::Drawn || has_digit(token.get(..200).unwrap_or(token))).then_some((start, end))
    }
}

/// Tokens that are known by a part in their middle or at their end: the rules, and how the parts read.
pub(super) const AROUND: &[(&str, &str)] = &[
    ("Terraform token", ".atlasv1."),
    ("MaxMind key", "_mmk"),
    ("Azure AD secret", "Q~"),
    ("New Relic key", "FFFFNRAL"),
    ("Azure storage key", "+ASt"),
    ("Azure Cosmos DB key", "ACDb"),
    ("Azure Functions key", "AzFu"),
    ("Azure DevOps token", "AZDO"),
    ("Azure AI key", "JQQJ99"),
];

/// How long the keys of Azure are that have a mark in their middle, with their padding, in the order of [`AROUND`].
const MARKED: [(usize, usize); 5] = [(86, 88), (84, 88), (52, 60), (84, 84), (80, 90)];

/// The key of Azure around the mark from `start` to `end`: a run of base64 of its length, with all that is drawn by lot.
fn marked(bytes: &[u8], start: usize, end: usize, (least, most): (usize, usize)) -> Option<(usize, usize)> {
    /// No key is longer.
    const LONGEST: usize = 100;
    let is = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    let from = run_back(bytes, start, LONGEST, is);
    let to = run(bytes, end, LONGEST, is);
    let to = run(bytes, to, 2, |byte| byte == b'=');
    let key = bytes.get(from..to)?;
    let has = |is: fn(&u8) -> bool| key.iter().any(is);
    ((least..=most).contains(&key.len())
        && start - from >= 20
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase))
    .then_some((from, to))
}

/// The token around the part from `start` to `end`.
pub(super) fn around(bytes: &[u8], index: usize, start: usize, end: usize) -> Option<(usize, usize)> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'~' | b'.');
    let of = |from: usize, pattern: &str| {
        let to = matched(bytes, from, pattern)?;
        (!before(bytes, from, 1).is_ascii_alphanumeric() && to >= end).then_some((from, to))
    };
    match index {
        0 => of(start.checked_sub(14)?, "{a14}.atlasv1.{d60-70}"),
        1 => of(start.checked_sub(36)?, "{a6}_{a29}_mmk"),
        3 => {
            let from = run_back(bytes, start, 40, |byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit()
            });
            let ends = (30..=36).contains(&(start - from)) && !byte(bytes, end).is_ascii_alphanumeric();
            (ends && bytes.get(start..end) == Some(b"FFFFNRAL")).then_some((from, end))
        }
        4.. => {
            let (_, part) = AROUND.get(index)?;
            let length = MARKED.get(index.checked_sub(4)?)?;
            (bytes.get(start..end)? == part.as_bytes())
                .then(|| marked(bytes, start, end, *length))
                .flatten()
        }
        _ => {
            let from = start.checked_sub(4)?;
            let digit = byte(bytes, start.checked_sub(1)?).is_ascii_digit();
            let begins =
                !before(bytes, from, 1).is_ascii_alphanumeric() && run(bytes, from, 3, word) == from + 3;
            let to = run(bytes, end, 35, |byte| word(byte) || byte == b'-');
            (digit && begins && (31..=34).contains(&(to - end))).then_some((from, to))
        }
    }
}
