//! How two texts differ, in the very form in which upstream shows it.
//!
//! Which lines are taken for the same decides what the message says, so that this is difflib's algorithm: the longest
//! common run first, then both sides of it; lines that are too common start no run. Upstream: apimachinery/pkg/util/diff
//! `Diff`, go-difflib.

use std::collections::HashMap;

const CONTEXT: usize = 3;
/// From this many lines on, lines that make up more than a hundredth are too common to start a run.
const COMMON_LINES_MIN: usize = 200;

/// A run of lines that are the same: where it starts in both, and its length.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    a: usize,
    b: usize,
    len: usize,
}

/// A stretch of both texts: the same, or replaced.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    same: bool,
    a: (usize, usize),
    b: (usize, usize),
}

/// A unified diff without file names; empty when nothing differs.
pub fn unified(old: &str, new: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (old.split('\n').collect(), new.split('\n').collect());
    let mut out = String::new();
    for group in groups(stretches(&runs(&a, &b), a.len(), b.len())) {
        let (first, last) = (group[0], group[group.len() - 1]);
        out += &format!("@@ -{} +{} @@\n", range(first.a.0, last.a.1), range(first.b.0, last.b.1));
        for stretch in group {
            let sides = [(&a, stretch.a, if stretch.same { ' ' } else { '-' }), (&b, stretch.b, '+')];
            for (lines, (from, to), mark) in sides.into_iter().take(if stretch.same { 1 } else { 2 }) {
                lines[from..to].iter().for_each(|line| out += &format!("{mark}{line}\n"));
            }
        }
    }
    out
}

fn range(from: usize, to: usize) -> String {
    match to - from {
        1 => format!("{}", from + 1),
        0 => format!("{from},0"),
        len => format!("{},{len}", from + 1),
    }
}

/// The runs in order.
fn runs(a: &[&str], b: &[&str]) -> Vec<Run> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (j, line) in b.iter().enumerate() {
        places.entry(line).or_default().push(j);
    }
    if b.len() >= COMMON_LINES_MIN {
        places.retain(|_, at| at.len() <= b.len() / 100 + 1);
    }
    let mut found = Vec::new();
    collect(a, b, &places, (0, a.len()), (0, b.len()), &mut found);
    found
}

fn collect(
    a: &[&str],
    b: &[&str],
    places: &HashMap<&str, Vec<usize>>,
    in_a: (usize, usize),
    in_b: (usize, usize),
    found: &mut Vec<Run>,
) {
    let run = longest(a, b, places, in_a, in_b);
    if run.len == 0 {
        return;
    }
    if in_a.0 < run.a && in_b.0 < run.b {
        collect(a, b, places, (in_a.0, run.a), (in_b.0, run.b), found);
    }
    match found.last_mut() {
        Some(last) if last.a + last.len == run.a && last.b + last.len == run.b => last.len += run.len,
        _ => found.push(run),
    }
    let (end_a, end_b) = (run.a + run.len, run.b + run.len);
    if end_a < in_a.1 && end_b < in_b.1 {
        collect(a, b, places, (end_a, in_a.1), (end_b, in_b.1), found);
    }
}

/// The longest run, the first of several.
fn longest(
    a: &[&str],
    b: &[&str],
    places: &HashMap<&str, Vec<usize>>,
    in_a: (usize, usize),
    in_b: (usize, usize),
) -> Run {
    let mut best = Run { a: in_a.0, b: in_b.0, len: 0 };
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for (i, line) in a.iter().enumerate().take(in_a.1).skip(in_a.0) {
        let mut next = HashMap::new();
        for &j in places.get(line).into_iter().flatten().filter(|j| (in_b.0..in_b.1).contains(*j)) {
            let len = 1 + j.checked_sub(1).and_then(|before| lengths.get(&before)).copied().unwrap_or(0);
            next.insert(j, len);
            if len > best.len {
                best = Run { a: i + 1 - len, b: j + 1 - len, len };
            }
        }
        lengths = next;
    }
    while best.a > in_a.0 && best.b > in_b.0 && a[best.a - 1] == b[best.b - 1] {
        best = Run { a: best.a - 1, b: best.b - 1, len: best.len + 1 };
    }
    while best.a + best.len < in_a.1 && best.b + best.len < in_b.1 && a[best.a + best.len] == b[best.b + best.len] {
        best.len += 1;
    }
    best
}

fn stretches(runs: &[Run], a_len: usize, b_len: usize) -> Vec<Stretch> {
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    for run in runs.iter().copied().chain([Run { a: a_len, b: b_len, len: 0 }]) {
        if i < run.a || j < run.b {
            out.push(Stretch { same: false, a: (i, run.a), b: (j, run.b) });
        }
        (i, j) = (run.a + run.len, run.b + run.len);
        if run.len > 0 {
            out.push(Stretch { same: true, a: (run.a, i), b: (run.b, j) });
        }
    }
    out
}

/// The changes with a few lines around each; changes that are near each other together.
fn groups(mut stretches: Vec<Stretch>) -> Vec<Vec<Stretch>> {
    if let Some(first) = stretches.first_mut().filter(|s| s.same) {
        *first = tail(*first);
    }
    if let Some(last) = stretches.last_mut().filter(|s| s.same) {
        *last = head(*last);
    }
    let mut groups = Vec::new();
    let mut group = Vec::new();
    for mut stretch in stretches {
        if stretch.same && stretch.a.1 - stretch.a.0 > 2 * CONTEXT {
            group.push(head(stretch));
            groups.push(std::mem::take(&mut group));
            stretch = tail(stretch);
        }
        group.push(stretch);
    }
    groups.push(group);
    groups.retain(|group| group.iter().any(|stretch| !stretch.same));
    groups
}

fn head(s: Stretch) -> Stretch {
    Stretch { a: (s.a.0, s.a.1.min(s.a.0 + CONTEXT)), b: (s.b.0, s.b.1.min(s.b.0 + CONTEXT)), ..s }
}

fn tail(s: Stretch) -> Stretch {
    let start = |(from, to): (usize, usize)| (from.max(to.saturating_sub(CONTEXT)), to);
    Stretch { a: start(s.a), b: start(s.b), ..s }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_stand_in_their_context() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12";
        assert_eq!(unified(old, old), "");
        let new = old.replace("5\n", "five\n").replace("12", "twelve");
        let expected = "@@ -2,11 +2,11 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n 9\n 10\n 11\n-12\n+twelve\n";
        assert_eq!(unified(old, &new), expected);
        let new = old.replace("1\n2\n", "0\n1\n2\n").replace("\n12", "");
        let expected = "@@ -1,3 +1,4 @@\n+0\n 1\n 2\n 3\n@@ -9,4 +10,3 @@\n 9\n 10\n 11\n-12\n";
        assert_eq!(unified(old, &new), expected);
    }
}
