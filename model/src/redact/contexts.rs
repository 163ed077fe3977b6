//! Tokens without a beginning of their own, known by the name of their service before them.

use super::bytes::{before, run};
use super::patterns::{has_digit, matched};

/// Services whose tokens are known by their name alone: the names, and the shapes.
pub(super) const CONTEXTS: &[(&[&str], &[&str])] = &[
    (&["adafruit"], &["{d32}"]),
    (&["airtable"], &["{a17}"]),
    (&["algolia"], &["{a32}"]),
    (&["alibaba"], &["{a30}"]),
    (&["asana"], &["{a32}"]),
    (&["atlassian", "confluence", "jira"], &["{a24}"]),
    (&["beamer"], &["b_{d44}"]),
    (&["bitbucket"], &["{d64}", "{a32}"]),
    (&["bittrex", "codecov", "droneci", "flickr"], &["{a32}"]),
    (&["meraki"], &["{h40}"]),
    (&["cloudflare"], &["{d40}", "{h37}"]),
    (&["cohere", "co_api_key"], &["{a40}"]),
    (&["coinbase"], &["{d64}"]),
    (&["confluent"], &["{a64}", "{a16}"]),
    (&["contentful"], &["{d43}"]),
    (&["datadog"], &["{a40}", "{h32}"]),
    (&["discord"], &["{h64}", "{d32}"]),
    (&["dropbox"], &["{a15}", "{d64}"]),
    (&["etsy"], &["{a24}"]),
    (&["facebook", "finicity"], &["{h32}", "{a20}"]),
    (&["fastly", "nytimes"], &["{d32}"]),
    (&["finnhub"], &["{a20}"]),
    (&["freshbooks"], &["{a64}"]),
    (&["gitter"], &["{d40}"]),
    (
        &["heroku", "hubspot", "snyk", "squarespace"],
        &["{H8}-{H4}-{H4}-{H4}-{H12}"],
    ),
    (&["intercom"], &["{d60}"]),
    (&["jfrog", "artifactory", "bintray", "xray"], &["{a73}", "{a64}"]),
    (&["kraken"], &["{b80-90}"]),
    (&["kucoin"], &["{h24}", "{h8}-{h4}-{h4}-{h4}-{h12}"]),
    (&["launchdarkly", "sendbird"], &["{d40}"]),
    (&["linear"], &["{h32}"]),
    (&["linkedin", "linked_in", "linked-in"], &["{a16}"]),
    (&["looker"], &["{a24}"]),
    (&["mattermost"], &["{a26}"]),
    (&["messagebird", "message-bird", "message_bird"], &["{a25}"]),
    (&["netlify"], &["{d40-46}"]),
    (&["new-relic", "newrelic", "new_relic"], &["{a64}"]),
    (&["okta"], &["00{d40}"]),
    (&["plaid"], &["{a30}"]),
    (&["privateai", "private_ai", "private-ai"], &["{a32}"]),
    (&["rapidapi"], &["{d50}"]),
    (&["sentry"], &["{h64}"]),
    (&["sonar"], &["{d40}"]),
    (&["sourcegraph"], &["{H40}"]),
    (&["sumo"], &["{a64}"]),
    (&["travis"], &["{a22}"]),
    (&["twitch"], &["{a30}"]),
    (&["twitter"], &["{a25}", "{a45}", "{a50}", "{D15-25}-{a20-40}"]),
    (&["zendesk"], &["{a40}"]),
    (&["mailchimp"], &["{h32}-us{D1-2}"]),
    (&["contribsys__com"], &["{h8}:{h8}"]),
    (&["softlayer", "sl_api"], &["{a64}"]),
    (&["cloudant"], &["{h64}", "{a24}"]),
    (&["ibm", "iam"], &["{d44}"]),
    (&["cos_hmac", "cos-hmac"], &["{h48}"]),
];

/// How far a value may stand behind a service's name.
const NEAR: usize = 20;

/// The token of a service whose name is from `start` to `end`.
pub(super) fn token(bytes: &[u8], index: usize, start: usize, end: usize) -> Option<(usize, usize)> {
    let (_, patterns) = CONTEXTS.get(index)?;
    // `TWITTER_API_KEY`, and not `at twitter.com, …`.
    let at = run(bytes, end, NEAR, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b' ' | b'\t')
    });
    let at = run(bytes, at, 4, |byte| matches!(byte, b'\'' | b'"' | b'\\' | b' '));
    let sign = run(bytes, at, 3, |byte| {
        matches!(byte, b'=' | b':' | b'>' | b'|' | b'?' | b',')
    });
    if sign == at || before(bytes, start, 1) == b'/' {
        return None;
    }
    let from = run(bytes, sign, 6, |byte| {
        matches!(byte, b'\'' | b'"' | b'\\' | b' ' | b'=' | b'`')
    });
    let found = patterns
        .iter()
        .find_map(|pattern| Some((from, matched(bytes, from, pattern)?)))?;
    let token = bytes.get(found.0..found.1)?;
    (has_digit(token) && token.iter().any(u8::is_ascii_alphabetic)).then_some(found)
}
