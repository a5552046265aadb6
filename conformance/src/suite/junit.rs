//! What the suite writes about a run: `junit_01.xml`.
//!
//! Only what is read here is understood: `testcase` elements with a name, a status and a time, and the `failure` inside.

use anyhow::{Context, Result};

/// One test that ran, or that its set-up kept from running.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Without `[It] `.
    pub name: String,
    pub seconds: f64,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// The first line of what it says.
    Failed(String),
}

/// The tests that ran. Those that were not selected are left out, and so are the suite's own steps unless they failed.
pub fn parse(xml: &str) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for element in xml.split("<testcase ").skip(1) {
        let (head, body) = element.split_once('>').context("a testcase does not end")?;
        let name = attribute(head, "name").context("a testcase has no name")?;
        let seconds = attribute(head, "time").and_then(|time| time.parse().ok()).unwrap_or_default();
        let outcome = match attribute(head, "status").as_deref() {
            Some("passed") => Outcome::Passed,
            Some("skipped" | "pending") | None => continue,
            Some(other) => Outcome::Failed(failure(body).unwrap_or_else(|| other.to_owned())),
        };
        match name.strip_prefix("[It] ") {
            Some(test) => cases.push(Case { name: test.to_owned(), seconds, outcome }),
            None if outcome != Outcome::Passed => cases.push(Case { name, seconds, outcome }),
            None => {}
        }
    }
    Ok(cases)
}

fn failure(body: &str) -> Option<String> {
    let (case, _) = body.split_once("</testcase>")?;
    let (_, element) = case.split_once("<failure ").or_else(|| case.split_once("<error "))?;
    let (head, text) = element.split_once('>')?;
    let text = text.split_once("</").map_or("", |(text, _)| text);
    let said = attribute(head, "message").unwrap_or_default() + "\n" + &unescape(text);
    let line = said.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.trim_start_matches("[FAILED] ").to_owned())
}

/// The value of an attribute; a `>` inside of one is escaped, as the writer does.
fn attribute(head: &str, name: &str) -> Option<String> {
    let (_, rest) = head.split_once(&format!("{name}=\""))?;
    Some(unescape(rest.split_once('"')?.0))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (entity, behind) = after.split_once(';').unwrap_or((after, ""));
        out.extend(character(entity));
        rest = behind;
    }
    out + rest
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<testsuites><testsuite name="s">
      <testcase name="[SynchronizedBeforeSuite]" classname="s" status="passed" time="1"></testcase>
      <testcase name="[It] [sig-a] A &amp; B &#34;c&#34; [Conformance]" classname="s" status="passed" time="2.5"></testcase>
      <testcase name="[It] [sig-a] slow" classname="s" status="skipped" time="0"><skipped message="skipped"></skipped></testcase>
      <testcase name="[It] [sig-b] D" classname="s" status="timedout" time="3"><failure message="&#xA;timed out &gt; 5s&#xA;more" type="timedout">x</failure><system-err>y</system-err></testcase>
      <testcase name="[It] [sig-b] E" classname="s" status="failed" time="1"><failure message="" type="failed">[FAILED] expected &lt;nil&gt;&#xA;In [It] at: e.go:1&#xA;</failure></testcase>
      <testcase name="[ReportAfterSuite]" classname="s" status="failed" time="0"></testcase>
    </testsuite></testsuites>"#;

    #[test]
    fn the_report_tells_what_ran() {
        let cases = parse(REPORT).expect("well-formed");
        let failed = |text: &str| Outcome::Failed(text.to_owned());
        let wanted = [
            ("[sig-a] A & B \"c\" [Conformance]", 2.5, Outcome::Passed),
            ("[sig-b] D", 3.0, failed("timed out > 5s")),
            ("[sig-b] E", 1.0, failed("expected <nil>")),
            ("[ReportAfterSuite]", 0.0, failed("failed")),
        ];
        let wanted = wanted.map(|(name, seconds, outcome)| Case { name: name.to_owned(), seconds, outcome });
        assert_eq!(cases, wanted);
    }
}
