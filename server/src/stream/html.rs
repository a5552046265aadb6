//! Links in a page: what stands in attributes that hold addresses.
//!
//! This is no parser of HTML: it finds start tags where a browser would, and writes them again as Go's tokenizer does, with
//! names in lower case and every value in quotes. Upstream: apimachinery util/proxy/transport.go rewriteHTML.

/// Which attributes of which elements hold addresses.
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements whose content is text, whatever it looks like.
const RAW: [&str; 9] = ["iframe", "noembed", "noframes", "plaintext", "script", "style", "textarea", "title", "xmp"];

/// A start tag.
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
    closed: bool,
    len: usize,
}

/// The page with every address changed by `lead`.
pub fn rewrite(page: &[u8], lead: impl Fn(&str) -> String) -> Vec<u8> {
    let mut out = Vec::with_capacity(page.len() + page.len() / 8);
    let mut rest = page;
    while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        if let Some(tag) = Tag::read(rest) {
            rest = &rest[tag.len..];
            tag.write(&mut out, &lead);
            if RAW.contains(&tag.name.as_str()) && !tag.closed {
                let len = raw_len(rest, &tag.name);
                out.extend_from_slice(&rest[..len]);
                rest = &rest[len..];
            }
            continue;
        }
        let len = match rest {
            [b'<', b'!', b'-', b'-', ..] => find(rest, b"-->").map_or(rest.len(), |end| end + 3),
            [b'<', b'/' | b'!' | b'?', ..] => find(rest, b">").map_or(rest.len(), |end| end + 1),
            _ => 1,
        };
        out.extend_from_slice(&rest[..len]);
        rest = &rest[len..];
    }
    out.extend_from_slice(rest);
    out
}

/// How long the text of an element is.
fn raw_len(text: &[u8], name: &str) -> usize {
    let end = format!("</{name}");
    let is_end = |at: &usize| text[*at..].get(..end.len()).is_some_and(|t| t.eq_ignore_ascii_case(end.as_bytes()));
    (0..text.len()).filter(|at| text[*at] == b'<').find(is_end).unwrap_or(text.len())
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

// === impl Tag ===

impl Tag {
    /// Reads a start tag at the beginning of `text`; none when there is no whole one.
    fn read(text: &[u8]) -> Option<Tag> {
        if !text.get(1)?.is_ascii_alphabetic() {
            return None;
        }
        let mut at = 1;
        let name = word(text, &mut at, |byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'));
        let mut tag = Tag { name: name.to_ascii_lowercase(), attributes: Vec::new(), closed: false, len: 0 };
        loop {
            while text.get(at)?.is_ascii_whitespace() {
                at += 1;
            }
            match text.get(at)? {
                b'>' => {
                    tag.closed = text[at - 1] == b'/';
                    tag.len = at + 1;
                    return Some(tag);
                }
                b'/' => at += 1,
                _ => tag.attributes.push(attribute(text, &mut at)?),
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>, lead: &impl Fn(&str) -> String) {
        let known = LINKS.iter().find(|(name, _)| *name == self.name).map_or(&[][..], |(_, links)| links);
        out.push(b'<');
        out.extend_from_slice(self.name.as_bytes());
        for (name, value) in &self.attributes {
            let led = if known.contains(&name.as_str()) { lead(value) } else { value.clone() };
            out.extend_from_slice(format!(" {name}=\"{}\"", escape(&led)).as_bytes());
        }
        out.extend_from_slice(if self.closed { b"/>" } else { b">" });
    }
}

/// Reads a name and its value.
fn attribute(text: &[u8], at: &mut usize) -> Option<(String, String)> {
    let start = *at;
    // An equals sign may begin a name, and does not end it then.
    *at += 1;
    word(text, at, |byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>' | b'='));
    let name = String::from_utf8_lossy(&text[start..*at]).to_ascii_lowercase();
    let mut next = *at;
    while text.get(next)?.is_ascii_whitespace() {
        next += 1;
    }
    if text.get(next)? != &b'=' {
        return Some((name, String::new()));
    }
    *at = next + 1;
    while text.get(*at)?.is_ascii_whitespace() {
        *at += 1;
    }
    let value = match *text.get(*at)? {
        quote @ (b'"' | b'\'') => {
            *at += 1;
            let value = word(text, at, |byte| byte == quote);
            text.get(*at)?;
            *at += 1;
            value
        }
        _ => word(text, at, |byte| byte.is_ascii_whitespace() || byte == b'>'),
    };
    Some((name, unescape(&value)))
}

fn word(text: &[u8], at: &mut usize, ends: impl Fn(u8) -> bool) -> String {
    let start = *at;
    while text.get(*at).is_some_and(|byte| !ends(*byte)) {
        *at += 1;
    }
    String::from_utf8_lossy(&text[start..*at]).into_owned()
}

/// The characters behind the references that addresses have; others stay as they are.
fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(';').filter(|end| *end <= 8);
        let found = end.and_then(|end| Some((character(&rest[1..end])?, end + 1)));
        let (character, len) = found.unwrap_or(('&', 1));
        out.push(character);
        rest = &rest[len..];
    }
    out + rest
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let digits = name.strip_prefix('#')?;
            let number = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(number)
        }
    }
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '\'' => out.push_str("&#39;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\r' => out.push_str("&#13;"),
            other => out.push(other),
        }
    }
    out
}
