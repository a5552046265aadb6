//! Upstream's recorded answers, asked of Skiff: a sample of what `make twin` compares, for machines without upstream.
//!
//! `conformance/recorded/twin.jsonl` is written by `make twin ARGS='--record conformance/recorded/twin.jsonl'`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use api::Value;
use conformance::{
    skiff,
    twin::{
        answer::Reader,
        case::Live,
        pair::{Side, start_skiff},
        recorded::{Line, Wanted},
        run, samples,
        target::{self, Target},
    },
};

/// Fewer requests than this would prove little.
const LINES_MIN: usize = 500;

fn text() -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded/twin.jsonl");
    std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
}

fn lines() -> Result<Vec<Line>> {
    text()?.lines().map(Line::read).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skiff_answers_as_upstream_did() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let skiff = start_skiff(&skiff::build()?, &folder.path().join("skiff"))?;
    let side = Side::connect(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(side.client()).await?;
    run::set_up(&side).await?;
    let samples = samples::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("samples"))?;
    let resources = target::discover(side.client(), &samples, None, &mut Vec::new()).await?;
    let mut by_resource: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for line in lines()? {
        by_resource.entry(line.resource.clone()).or_default().push(line);
    }
    let mut wrong = Vec::new();
    for (resource, lines) in by_resource {
        let found = resources.iter().find(|versions| *versions[0].resource == *resource);
        let versions = found.with_context(|| format!("there is no {resource}"))?;
        let stands_on = run::stands_on(&versions[0]);
        let stands_on = resources.iter().flatten().find(|target| Some(&*target.resource) == stands_on);
        if let Some(target) = stands_on {
            run::make_live(&side, target).await?;
        }
        wrong.extend(asked(&side, versions, &lines).await.with_context(|| resource.clone())?);
        if let Some(target) = stands_on {
            run::take_away(&side, target).await?;
        }
    }
    ensure!(wrong.is_empty(), "{} answers differ:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// Asks all of a resource's lines, first those that want no live object; returns what is not as it was recorded.
async fn asked(side: &Side, versions: &[Target], lines: &[Line]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for after in [false, true] {
        let mut wanted = lines.iter().filter(|line| line.after == after).peekable();
        let first = versions.iter().find(|target| !target.samples.is_empty());
        let (live, maker) = match (wanted.peek(), first) {
            (None, _) => continue,
            (Some(_), Some(first)) if after => {
                let made = run::make_live(side, first).await?;
                (run::settled(side, first, made).await?, Some(first))
            }
            _ => (Live::default(), None),
        };
        for line in wanted {
            let target =
                versions.iter().find(|target| target.gvk.version == line.version).context("no such version")?;
            let object = match maker {
                Some(_) => run::read_live(side, target, &live).await?,
                None => Value::Null,
            };
            let case = line.case(target, &Arc::new(object))?;
            let answer = Reader::of(side, &case, live.clone()).read(&side.send(&case, &live).await?);
            let got = Wanted::of(&answer);
            if got != line.wanted {
                wrong.push(format!("{}\n    {got:?}\n    instead of {:?}", case.shown(), line.wanted));
            }
        }
        if let Some(first) = maker {
            run::take_away(side, first).await?;
        }
    }
    Ok(wrong)
}

#[test]
fn the_sample_is_large_and_of_both_sorts() -> Result<()> {
    let lines = lines()?;
    ensure!(lines.len() >= LINES_MIN, "{} requests", lines.len());
    let accepted = lines.iter().filter(|line| line.wanted.status < 300).count();
    ensure!(accepted * 3 >= lines.len() && (lines.len() - accepted) * 3 >= lines.len(), "{accepted} accepted");
    Ok(())
}

/// Every resource of the project's own discovery has lines.
#[test]
fn the_sample_is_of_all_resources() -> Result<()> {
    let recorded: BTreeSet<String> = lines()?.into_iter().map(|line| line.resource).collect();
    let group = |group: &str| if group.is_empty() { "core".to_owned() } else { group.to_owned() };
    let rows = resources::all().map(|row| format!("{}/{}", group(row.group), row.plural));
    let lacking: Vec<String> = rows.filter(|resource| !recorded.contains(resource)).collect();
    ensure!(lacking.is_empty(), "no lines of {lacking:?}");
    Ok(())
}

#[test]
fn lines_are_written_as_they_are_read() -> Result<()> {
    for text in text()?.lines() {
        assert_eq!(Line::read(text)?.write(), text);
    }
    Ok(())
}
