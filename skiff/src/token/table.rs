//! Tokens as people read them. Upstream: cmd/kubeadm/app/cmd/token.go RunListTokens, BootstrapTokenFromSecret.

use api::Value;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use node::certificates::discovery::Token;

use super::{PREFIX, USAGE};

const HEAD: [&str; 6] = ["TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"];
/// Of a column, and between it and the next. Upstream: tabwriter.NewWriter(out, 10, 4, 3, ' ', 0).
const WIDTH_MIN: usize = 10;
const PADDING: usize = 3;

/// A line each; a secret that is no token says why instead.
pub fn of(secrets: &[Value], now: Timestamp) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    let mut wrong = String::new();
    for secret in secrets {
        match row(secret, now) {
            Ok(row) => rows.push(row),
            Err(why) => wrong += &format!("{why}\n"),
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count() + PADDING).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEAD.len()).map(|column| width(column).max(WIDTH_MIN)).collect();
    let mut text = wrong;
    for row in &rows {
        let (last, others) = row.split_last().expect("there are columns");
        others.iter().zip(&widths).for_each(|(cell, width)| text += &format!("{cell:<width$}"));
        text += &format!("{last}\n");
    }
    text
}

fn row(secret: &Value, now: Timestamp) -> Result<[String; 6], String> {
    let (name, data) = (api::meta::of(secret).name(), |key: &str| decoded(secret.at("data").str(key)));
    let id = data("token-id");
    if id.is_empty() {
        return Err(format!("bootstrap Token Secret has no token-id data: {name}"));
    }
    if name != format!("{PREFIX}{id}") {
        return Err(format!(
            "bootstrap token name is not of the form '{PREFIX}(token-id)'. Actual: {name:?}. Expected: {:?}",
            format!("{PREFIX}{id}")
        ));
    }
    let drawn = data("token-secret");
    if drawn.is_empty() {
        return Err(format!("bootstrap Token Secret has no token-secret data: {name}"));
    }
    let token = Token::parse(&format!("{id}.{drawn}"))
        .map_err(|why| format!("bootstrap Token Secret is invalid and couldn't be parsed: {why}"))?;
    let (ttl, expires) = match data("expiration").as_str() {
        "" => ("<forever>".to_owned(), "<never>".to_owned()),
        text => {
            let wrong = || format!("can't parse expiration time of bootstrap token {name:?}");
            let end = api::time::parse(text).ok_or_else(wrong)?;
            (short(end.as_second() - now.as_second()), text.to_owned())
        }
    };
    let mut usages: Vec<&str> = secret
        .at("data")
        .members()
        .filter(|(_, value)| value.as_str().is_some_and(|v| decoded(v) == "true"))
        .filter_map(|(key, _)| key.strip_prefix(USAGE))
        .collect();
    usages.sort_unstable();
    let or_none = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
    let (usages, groups) = (or_none(usages.join(",")), or_none(data("auth-extra-groups")));
    Ok([token.to_string(), ttl, expires, usages, or_none(data("description")), groups])
}

/// One figure. Upstream: duration.ShortHumanDuration.
fn short(seconds: i64) -> String {
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        86400..31_536_000 => format!("{}d", seconds / 86400),
        _ => format!("{}y", seconds / 31_536_000),
    }
}

fn decoded(text: &str) -> String {
    STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}
