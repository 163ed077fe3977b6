//! Tokens of well-known services, recognised by how they begin and what they are made of.

use super::bytes::{before, begins_word, byte, run, run_back};
use super::looks::is_lot;
use super::patterns::begins_loosely;
use super::placeholders::{is_documented, is_monotone};

/// What a token is made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Class {
    /// `0-9a-f`
    Hex,
    /// `A-Z0-9`
    Upper,
    /// `A-Za-z0-9_`
    Word,
    /// `A-Za-z0-9_-`
    Dashed,
    /// `A-Za-z0-9_.-`
    Dotted,
    /// Base64 of either alphabet, also percent-encoded
    Base64,
}

impl Class {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            Self::Upper => matches!(byte, b'0'..=b'9' | b'A'..=b'Z'),
            Self::Word => byte.is_ascii_alphanumeric() || byte == b'_',
            Self::Dashed => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'),
            Self::Base64 => {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'=' | b'%')
            }
        }
    }
}

/// A family of tokens.
#[derive(Debug)]
pub(super) struct Shape {
    /// What it is called when cuts are counted.
    pub(super) rule: &'static str,
    /// How they begin, exactly.
    pub(super) prefixes: &'static [&'static str],
    class: Class,
    /// How many bytes of the class must follow the prefix.
    least: usize,
    /// How many may follow.
    most: usize,
    /// Whether what follows must look drawn by lot: prefixes that also begin words.
    mixed: bool,
    /// Whether the prefix stays, for the reader.
    keeps_prefix: bool,
}

/// The rule of keys that begin as words do: `pk-button-primary-2x` is none.
const WORDY: &str = "API key";

const ANY: usize = usize::MAX;

const fn shape(rule: &'static str, prefixes: &'static [&'static str], class: Class, least: usize) -> Shape {
    Shape {
        rule,
        prefixes,
        class,
        least,
        most: ANY,
        mixed: false,
        keeps_prefix: false,
    }
}

/// Exactly so many bytes, and then no more of the kind.
const fn exact(rule: &'static str, prefixes: &'static [&'static str], class: Class, length: usize) -> Shape {
    let mut shape = shape(rule, prefixes, class, length);
    shape.most = length;
    shape
}

const fn mixed(rule: &'static str, prefixes: &'static [&'static str], class: Class, least: usize) -> Shape {
    let mut shape = shape(rule, prefixes, class, least);
    shape.mixed = true;
    shape
}

const fn address(rule: &'static str, prefixes: &'static [&'static str], least: usize) -> Shape {
    let mut shape = shape(rule, prefixes, Class::Base64, least);
    shape.keeps_prefix = true;
    shape
}

pub(super) const SHAPES: &[Shape] = &[
    shape("GitHub token", &["ghp_", "gho_", "ghu_", "ghr_"], Class::Word, 20),
    shape("GitHub token", &["ghs_"], Class::Dotted, 20),
    shape("GitHub token", &["github_pat_"], Class::Word, 20),
    shape(
        "GitLab token",
        &[
            "glpat-", "gldt-", "glrt-", "glptt-", "glft-", "glcbt-", "glsoat-", "glagent-", "glimt-",
            "gloas-",
        ],
        Class::Dotted,
        20,
    ),
    shape("Anthropic key", &["sk-ant-"], Class::Dashed, 20),
    mixed(WORDY, &["sk-", "pk-", "rk-"], Class::Dashed, 16),
    shape(
        "Stripe key",
        // Those that begin with `pk_` are published in pages.
        &["sk_live_", "sk_test_", "rk_live_", "rk_test_"],
        Class::Word,
        16,
    ),
    shape("Stripe key", &["whsec_"], Class::Base64, 20),
    shape("API key", &["sk_"], Class::Hex, 32),
    exact(
        "AWS access key id",
        &["AKIA", "ASIA", "ABIA", "ACCA"],
        Class::Upper,
        16,
    ),
    shape("Google key", &["AIza"], Class::Dashed, 35),
    shape("Google token", &["ya29."], Class::Dotted, 20),
    shape("Google token", &["1//0"], Class::Dashed, 35),
    shape("Google secret", &["GOCSPX-"], Class::Dashed, 20),
    shape(
        "Slack token",
        &[
            "xoxa-", "xoxb-", "xoxc-", "xoxd-", "xoxe-", "xoxe.", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-",
        ],
        Class::Base64,
        20,
    ),
    address(
        "Slack webhook",
        &[
            "hooks.slack.com/services/",
            "hooks.slack-gov.com/services/",
            "hooks.slack-gov.com/workflows/",
            "hooks.slack-gov.com/triggers/",
            "hooks.slack.com/workflows/",
            "hooks.slack.com/triggers/",
        ],
        16,
    ),
    address(
        "Discord webhook",
        &[
            "discord.com/api/webhooks/",
            "discordapp.com/api/webhooks/",
            "discord.com/api/v8/webhooks/",
            "discord.com/api/v9/webhooks/",
            "discord.com/api/v10/webhooks/",
        ],
        32,
    ),
    address("Zapier webhook", &["hooks.zapier.com/hooks/catch/"], 8),
    shape("npm token", &["npm_"], Class::Word, 36),
    shape("PyPI token", &["pypi-AgE"], Class::Dashed, 40),
    shape("Hugging Face token", &["hf_", "api_org_"], Class::Word, 30),
    exact("Twilio key", &["SK"], Class::Hex, 32),
    shape("SendGrid key", &["SG."], Class::Dotted, 50),
    shape(
        "DigitalOcean token",
        &["dop_v1_", "doo_v1_", "dor_v1_"],
        Class::Hex,
        40,
    ),
    shape("Linear key", &["lin_api_", "lin_oauth_"], Class::Word, 30),
    mixed("Notion token", &["ntn_", "secret_"], Class::Word, 40),
    shape(
        "Shopify token",
        &["shpat_", "shpca_", "shppa_", "shpss_", "shptka_"],
        Class::Word,
        32,
    ),
    // Public keys of SSH have the same letters inside.
    mixed("Square token", &["EAAA"], Class::Dashed, 56),
    shape("Square token", &["sq0atp-", "sq0csp-"], Class::Dashed, 22),
    exact("Mailgun key", &["key-"], Class::Hex, 32),
    mixed("Vault token", &["hvs.", "hvb.", "hvr."], Class::Dashed, 20),
    shape("Databricks token", &["dapi"], Class::Hex, 32),
    shape("Docker token", &["dckr_pat_", "dckr_oat_"], Class::Dashed, 20),
    mixed("Grafana token", &["glsa_", "glc_"], Class::Base64, 32),
    shape("Groq key", &["gsk_"], Class::Word, 40),
    mixed("xAI key", &["xai-"], Class::Dashed, 40),
    shape("Perplexity key", &["pplx-"], Class::Dashed, 40),
    shape("NVIDIA key", &["nvapi-"], Class::Dashed, 40),
    shape("Replicate token", &["r8_"], Class::Word, 36),
    shape("LangSmith key", &["lsv2_pt_", "lsv2_sk_"], Class::Word, 32),
    mixed("Supabase token", &["sbp_", "sb_secret_"], Class::Dashed, 20),
    shape("Atlassian token", &["ATATT3", "ATCTT3"], Class::Base64, 60),
    shape("Figma token", &["figd_"], Class::Dashed, 32),
    shape("Postman key", &["PMAK-"], Class::Dashed, 40),
    shape("Sentry token", &["sntrys_", "sntryu_"], Class::Base64, 40),
    shape("age key", &["AGE-SECRET-KEY-1"], Class::Upper, 50),
];

/// How much of a run is looked at to see whether it is mixed.
const LOOK: usize = 200;

/// Where tokens were sought in vain because nothing there looks drawn by lot: it is not looked at again for the next
/// prefix in it. A run for each class.
#[derive(Debug, Default)]
pub(super) struct Plain([(usize, usize); 6]);

impl Plain {
    /// Whether the run of the class that begins at `from` looks drawn by lot, as far as it is looked at: it has a digit,
    /// or a capital after a small letter.
    fn is_mixed(&mut self, bytes: &[u8], from: usize, class: Class) -> bool {
        let Some(known) = self.0.get_mut(class as usize) else {
            return false;
        };
        let begun = if (known.0..known.1).contains(&from) {
            known.1
        } else {
            from
        };
        let mut at = begun;
        let mut mixed = false;
        while at < from + LOOK && class.has(byte(bytes, at)) {
            let here = byte(bytes, at);
            let hump = at > from && before(bytes, at, 1).is_ascii_lowercase() && here.is_ascii_uppercase();
            if here.is_ascii_digit() || hump {
                mixed = true;
                break;
            }
            at += 1;
        }
        #[cfg(test)]
        super::bytes::looks::add(at - begun + 1);
        *known = (from, at);
        mixed
    }
}

impl Shape {
    /// The token whose prefix ends at `from` and begins at `start`.
    pub(super) fn token(
        &self,
        bytes: &[u8],
        start: usize,
        from: usize,
        plain: &mut Plain,
    ) -> Option<(usize, usize)> {
        let begins = begins_word(bytes, start)
            || match self.class {
                // Capitals and digits alone do not go on a word of small letters.
                Class::Upper => !before(bytes, start, 1).is_ascii_uppercase() && begins_loosely(bytes, start),
                _ if self.mixed => before(bytes, start, 1) == b'_',
                _ => self.least >= 20 && begins_loosely(bytes, start),
            };
        if !self.keeps_prefix && !begins {
            return None;
        }
        let class = self.class;
        if self.mixed && !plain.is_mixed(bytes, from, class) {
            return None;
        }
        if self.rule == WORDY {
            /// As much as is looked at.
            const BEGINNING: usize = 64;
            let end = run(bytes, from, BEGINNING, |byte| class.has(byte));
            if !is_lot(bytes.get(from..end)?) {
                return None;
            }
        }
        let mut end = run(bytes, from, self.most, |byte| class.has(byte));
        if self.most != ANY && (class.has(byte(bytes, end)) || byte(bytes, end).is_ascii_alphanumeric()) {
            return None;
        }
        // The full stop of a sentence. The one that ends a prefix (`SG.`) is part of that.
        end = end.min(run_back(bytes, end, 3, |byte| byte == b'.')).max(from);
        if self.mixed
            && !bytes
                .get(from..end.min(from + LOOK))?
                .iter()
                .any(u8::is_ascii_alphabetic)
        {
            return None;
        }
        (end - from >= self.least).then_some((if self.keeps_prefix { from } else { start }, end))
    }

    /// Whether a token whose prefix ends at `from` and that ends at `end` is a sample of a manual.
    pub(super) fn is_sample(&self, bytes: &[u8], from: usize, end: usize) -> bool {
        let drawn = bytes.get(from..end).unwrap_or_default();
        is_monotone(drawn) || (self.most != ANY && is_documented(drawn))
    }
}

/// A JSON web token, signed or encrypted, that begins at `start`: two parts or more. Also where its run ends.
pub(super) fn web_token(bytes: &[u8], start: usize) -> (Option<(usize, usize)>, usize) {
    let dashed = |byte| Class::Dashed.has(byte);
    let header = run(bytes, start, ANY, dashed);
    if header - start < 11 || byte(bytes, header) != b'.' || !begins_loosely(bytes, start) {
        return (None, header);
    }
    let payload = run(bytes, header + 1, ANY, dashed);
    // Encrypted with a key that both have: the second part is empty.
    if payload == header + 1 && byte(bytes, payload) == b'.' {
        let end = run(bytes, payload, ANY, |byte| Class::Dotted.has(byte));
        let is_one = end - payload >= 30
            && bytes
                .get(payload..end)
                .is_some_and(|rest| rest.iter().filter(|byte| **byte == b'.').count() == 3);
        return (is_one.then_some((start, end)), end);
    }
    let nested = bytes.get(header + 1..header + 4) == Some(b"eyJ");
    if payload - header < 9 || (byte(bytes, payload) != b'.' && !nested) {
        return (None, payload);
    }
    let end = run(bytes, payload, ANY, |byte| Class::Dotted.has(byte));
    let end = run_back(bytes, end, 2, |byte| byte == b'.').max(payload);
    (Some((start, end)), end)
}

/// The secret keys that stand beside an access key id of AWS: 40 characters of base64 with all kinds in them.
pub(super) fn aws_secrets(bytes: &[u8], start: usize, end: usize) -> Vec<(usize, usize)> {
    const NEAR: usize = 256;
    const LENGTH: usize = 40;
    let is = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+');
    let mut found = Vec::new();
    let mut at = start.saturating_sub(NEAR);
    // Not in the middle of a run.
    if at > 0 {
        at = run(bytes, at, LENGTH + 1, is);
    }
    while at < (end + NEAR).min(bytes.len()) {
        let stop = run(bytes, at, LENGTH * 2, is);
        // An escape before it is no part of it.
        for from in [at, at + 1] {
            let escaped = from == at || before(bytes, at, 1) == b'\\';
            let key = bytes.get(from..stop).unwrap_or_default();
            let all_kinds = key.iter().any(u8::is_ascii_digit)
                && key.iter().any(u8::is_ascii_lowercase)
                && key.iter().any(u8::is_ascii_uppercase);
            if key.len() == LENGTH && all_kinds && escaped {
                found.push((from, stop));
            }
        }
        at = stop.max(at) + 1;
    }
    found
}

/// A Telegram bot's token around the `:AA` at `at`.
pub(super) fn telegram(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let start = run_back(bytes, at, 11, |byte| byte.is_ascii_digit());
    let end = run(bytes, at + 1, 64, |byte| Class::Dashed.has(byte));
    ((8..=10).contains(&(at - start)) && (33..=40).contains(&(end - at - 1))).then_some((start, end))
}

/// Discord bots' tokens: the bot's number in base64, six characters, 27 or more.
pub(super) fn discord(text: &str, mut found: impl FnMut(usize, usize)) {
    let bytes = text.as_bytes();
    for (dot, _) in text.match_indices('.') {
        if byte(bytes, dot + 7) != b'.' {
            continue;
        }
        let dashed = |byte| Class::Dashed.has(byte);
        // It begins with a digit in base64, at the border of a word.
        let begins = |at: &usize| matches!(byte(bytes, *at), b'M' | b'N' | b'O') && begins_word(bytes, *at);
        let Some(start) = (run_back(bytes, dot, 28, dashed)..dot).find(begins) else {
            continue;
        };
        let end = run(bytes, dot + 8, 64, dashed);
        if dot - start >= 23 && run(bytes, dot + 1, 6, dashed) == dot + 7 && end - dot - 8 >= 27 {
            found(start, end);
        }
    }
}

/// Mailgun's later keys: 32, 8 and 8 hexadecimal digits.
pub(super) fn mailgun(text: &str, mut found: impl FnMut(usize, usize)) {
    let bytes = text.as_bytes();
    for (dash, _) in text.match_indices('-') {
        let hex = |byte| Class::Hex.has(byte);
        if byte(bytes, dash + 9) != b'-' || !hex(before(bytes, dash, 1)) {
            continue;
        }
        let start = dash.saturating_sub(32);
        let end = run(bytes, dash + 10, 9, hex);
        let follows = byte(bytes, end);
        if run(bytes, start, 32, hex) == dash
            && dash - start == 32
            && begins_word(bytes, start)
            && run(bytes, dash + 1, 8, hex) == dash + 9
            && end == dash + 18
            && !(follows.is_ascii_alphanumeric() || follows == b'-')
            && before(bytes, start, 1) != b'-'
        {
            found(start, end);
        }
    }
}
