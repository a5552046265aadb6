//! Tours: commands of a stock kubectl with what they print, run against a server.
//!
//! A tour is recorded on upstream with the newest kubectl. What an older one prints otherwise stands in a file of the same name
//! below `tour/kubectl-VERSION`: those commands alone, each with its number in the tour above it.
//!
//! A tour is text. A line `$ COMMAND` is run by a shell in `tour/files`; what it prints (both streams, then the exit code when
//! it is not 0) stands behind it, indented by two spaces, without blank lines, and with everything that differs from run to run
//! replaced by a word.
//! All other lines are remarks.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// The controllers that most tours run beside, as `--controllers` names them. Those of workloads and nodes are left out:
/// such a tour asks for what was just written, which they would change meanwhile, and plays them where it needs them.
pub const CONTROLLERS: &str = "namespace-controller,garbage-collector-controller,serviceaccount-controller,\
    root-ca-certificate-publisher-controller,resourcequota-controller,endpoints-controller,endpointslice-controller";

/// What a tour says in a line of its own when it runs beside all controllers that Skiff has.
const ALL: &str = "# Controllers: all.";

/// What a tour says in a line of its own when what it shows is the server's alone, so that one client is enough.
const NEWEST: &str = "# Clients: the newest.";

/// How a line begins in which a tour says with which flags its server starts, on Skiff as on upstream.
const FLAGS: &str = "# Server: ";

/// Stock clients of one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kit {
    pub kubectl: &'static str,
    pub helm: &'static str,
}

/// The clients that tours are run with; the first are those that the tours themselves say the words of.
pub const KITS: [Kit; 4] = [
    Kit { kubectl: "1.37.1", helm: "4.2.3" },
    Kit { kubectl: "1.36.3", helm: "4.2.3" },
    Kit { kubectl: "1.35.2", helm: "4.1.4" },
    Kit { kubectl: "1.32.3", helm: "3.17.2" },
];

/// A command and what it is to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Remarks above the command.
    pub before: String,
    pub command: String,
    pub output: String,
}

/// Where and with what a tour is run.
pub struct Guide {
    /// The folder of the programs `kubectl` and `helm`.
    programs: PathBuf,
    /// A copy of the kubeconfig that the tour may change.
    kubeconfig: PathBuf,
    _directory: tempfile::TempDir,
}

/// The folder of tours.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tour")
}

/// Where `cargo xtask clients` puts stock clients.
pub fn clients() -> PathBuf {
    folder().join("../../.cache/clients")
}

/// The tours that are run with a kit's programs.
pub fn of(kit: Kit) -> Result<Vec<PathBuf>> {
    let mut tours = all()?;
    if kit != KITS[0] {
        let texts = tours.iter().map(std::fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
        let mut texts = texts.iter();
        tours.retain(|_| texts.next().is_some_and(|text| text.lines().all(|line| line != NEWEST)));
    }
    Ok(tours)
}

/// All tours, by name.
pub fn all() -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder())?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let mut tours: Vec<_> = entries.into_iter().filter(|path| path.extension().is_some_and(|e| e == "tour")).collect();
    tours.sort();
    Ok(tours)
}

/// The tour of clusters with two nodes that run containers, which takes minutes.
pub fn of_nodes() -> PathBuf {
    folder().join("nodes/containers.tour")
}

/// The controllers that a tour runs beside, on Skiff as on upstream, as `--controllers` names them.
pub fn controllers(path: &Path) -> Result<String> {
    let wants_all = std::fs::read_to_string(path)?.lines().any(|line| line == ALL);
    // Upstream has none that approves what nodes serve with.
    let known = || controllers::ALL.iter().map(|spec| spec.name).filter(|name| *name != controllers::SERVING_APPROVER);
    let all = || known().collect::<Vec<_>>().join(",");
    Ok(if wants_all { all() } else { CONTROLLERS.to_owned() })
}

/// The flags of a tour's server.
pub fn flags(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path)?;
    let said = text.lines().find_map(|line| line.strip_prefix(FLAGS)).unwrap_or_default();
    Ok(said.split_whitespace().map(str::to_owned).collect())
}

/// A tour as a kit's programs print it.
pub fn of_kit(path: &Path, kit: Kit) -> Result<Vec<Step>> {
    let mut steps = read(&std::fs::read_to_string(path)?);
    let overlay = overlay(path, kit)?;
    if overlay.is_file() {
        lay_over(&mut steps, &read(&std::fs::read_to_string(&overlay)?))
            .with_context(|| format!("{} does not fit: record it again", overlay.display()))?;
    }
    Ok(steps)
}

/// Keeps what a kit's programs printed: the whole tour for the first kit, what differs from it for the others.
pub fn keep(path: &Path, kit: Kit, found: &[Step]) -> Result<()> {
    if kit == KITS[0] {
        return Ok(std::fs::write(path, write(found))?);
    }
    let golden = read(&std::fs::read_to_string(path)?);
    let differing = over(&golden, found);
    let place = overlay(path, kit)?;
    if !differing.is_empty() {
        std::fs::create_dir_all(place.parent().context("it has a folder")?)?;
        std::fs::write(&place, write(&differing))?;
    } else if place.is_file() {
        std::fs::remove_file(&place)?;
    }
    Ok(())
}

fn overlay(path: &Path, kit: Kit) -> Result<PathBuf> {
    let name = path.file_name().context("a tour has a name")?;
    Ok(path.with_file_name(format!("kubectl-{}", kit.kubectl)).join(name))
}

/// The steps of `found` that print otherwise, each with its number as its remark.
fn over(golden: &[Step], found: &[Step]) -> Vec<Step> {
    let pairs = golden.iter().zip(found).enumerate().filter(|(_, (old, new))| old.output != new.output);
    pairs.map(|(index, (_, new))| Step { before: format!("# {}\n", index + 1), ..new.clone() }).collect()
}

fn lay_over(steps: &mut [Step], overlay: &[Step]) -> Result<()> {
    for new in overlay {
        let number: usize = new.before.trim().trim_start_matches('#').trim().parse().context("a step's number")?;
        let old = number.checked_sub(1).and_then(|index| steps.get_mut(index)).context("no step has this number")?;
        ensure!(old.command == new.command, "step {number} is another command by now");
        old.output.clone_from(&new.output);
    }
    Ok(())
}

/// Reads a tour.
pub fn read(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut before = String::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            let before = std::mem::take(&mut before);
            steps.push(Step { before, command: command.into(), output: String::new() });
        } else if let (Some(step), Some(output)) =
            (steps.last_mut().filter(|_| before.is_empty()), line.strip_prefix("  "))
        {
            step.output += output;
            step.output.push('\n');
        } else {
            before += line;
            before.push('\n');
        }
    }
    steps
}

/// Writes a tour.
pub fn write(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        text += &step.before;
        let _ = writeln!(text, "$ {}", step.command);
        step.output.lines().for_each(|line| {
            let _ = writeln!(text, "  {line}");
        });
    }
    text
}

// === impl Guide ===

impl Guide {
    /// A guide with a kit's programs, for the server that a kubeconfig names.
    pub fn new(kit: Kit, kubeconfig: &Path) -> Result<Guide> {
        let directory = tempfile::tempdir()?;
        let programs = directory.path().join("bin");
        std::fs::create_dir(&programs)?;
        for (name, version) in [("kubectl", kit.kubectl), ("helm", kit.helm)] {
            let program = clients().join(format!("{name}-{version}"));
            let found =
                program.canonicalize().with_context(|| format!("{}: `cargo xtask clients`", program.display()))?;
            std::os::unix::fs::symlink(found, programs.join(name))?;
        }
        let copy = directory.path().join("kubeconfig");
        let text = std::fs::read_to_string(kubeconfig)?;
        std::fs::write(&copy, text)?;
        Ok(Guide { programs, kubeconfig: copy, _directory: directory })
    }

    /// Waits until the controllers are at work.
    pub fn wait(&self) -> Result<()> {
        self.run("kubectl wait --for=create serviceaccount/default --timeout=60s").map(drop)
    }

    /// Runs a command and returns what it printed, normalised.
    pub fn run(&self, command: &str) -> Result<String> {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.programs.display());
        let done = Command::new("sh")
            .args(["-c", &format!("exec 2>&1; {command}")])
            .current_dir(folder().join("files"))
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.programs.parent().context("it has a parent")?)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .output()?;
        let mut output = normalised(&String::from_utf8_lossy(&done.stdout));
        match done.status.code() {
            Some(0) => {}
            Some(code) => writeln!(output, "[exit {code}]")?,
            None => writeln!(output, "[killed]")?,
        }
        Ok(output)
    }

    /// Runs a tour and returns it with what was printed.
    pub fn tour(&self, steps: &[Step]) -> Result<Vec<Step>> {
        let run = |step: &Step| Ok(Step { output: self.run(&step.command)?, ..step.clone() });
        steps.iter().map(run).collect()
    }
}

/// What differs, with the command it belongs to; empty when nothing does.
pub fn differences(wanted: &[Step], found: &[Step]) -> String {
    let mut text = String::new();
    for (wanted, found) in wanted.iter().zip(found).filter(|(wanted, found)| wanted.output != found.output) {
        let _ = writeln!(text, "$ {}", wanted.command);
        let (old, new): (Vec<_>, Vec<_>) = (wanted.output.lines().collect(), found.output.lines().collect());
        old.iter().filter(|line| !new.contains(line)).for_each(|line| text += &format!("  - {line}\n"));
        new.iter().filter(|line| !old.contains(line)).for_each(|line| text += &format!("  + {line}\n"));
    }
    text
}

/// Replaces what differs from run to run.
pub fn normalised(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !is_log(line)) {
        let body = line.trim_start();
        let indent = &line[..line.len() - body.len()];
        out += indent;
        let (mut gap, mut first) = (0, true);
        for word in body.trim_end().split(' ') {
            if word.is_empty() {
                gap += 1;
                continue;
            }
            // Columns are as wide as what stands in them.
            match (std::mem::take(&mut first), std::mem::take(&mut gap)) {
                (true, _) => {}
                (false, 0) => out.push(' '),
                (false, _) => out += "  ",
            }
            out += &normalised_word(word, body);
        }
        out.push('\n');
    }
    out
}

/// Whether a client's log says this, which is about its own doings: `I1121 13:29:21.766259  8324 reflector.go:664] …`.
fn is_log(line: &str) -> bool {
    let form = "Ldddd dd:dd:dd.";
    line.len() > form.len()
        && line.bytes().zip(form.bytes()).all(|(byte, form)| match form {
            b'L' => b"IWEF".contains(&byte),
            b'd' => byte.is_ascii_digit(),
            other => byte == other,
        })
}

fn normalised_word(word: &str, line: &str) -> String {
    let is_age = |w: &str| {
        let units = w.chars().filter(|c| c.is_ascii_alphabetic()).count();
        w.ends_with(['s', 'm', 'h', 'd'])
            && units <= 2
            && w.starts_with(|c: char| c.is_ascii_digit())
            && w.chars().all(|c| c.is_ascii_digit() || "smhd".contains(c))
    };
    if is_age(word) {
        return "AGE".into();
    }
    if word.starts_with("eyJ") && word.matches('.').count() == 2 {
        return "TOKEN".into();
    }
    if let Some((name, rest)) = word.split_once("kube-api-access-")
        && rest.len() >= 5
    {
        return format!("{name}kube-api-access-RANDOM{}", &rest[5..]);
    }
    let word = replaced(word, 36, "UID", |w| {
        w.bytes()
            .enumerate()
            .all(|(i, b)| if matches!(i, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() })
    });
    let word = replaced(&word, 27, "TIME", is_time);
    let word = replaced(&word, 20, "TIME", is_time);
    if line.contains("resourceVersion") {
        let digits: String = word.chars().filter(char::is_ascii_digit).collect();
        if !digits.is_empty() && word.trim_matches(['"', ',', '}', ':']).chars().all(|c| c.is_ascii_digit()) {
            return word.replace(&digits, "VERSION");
        }
    }
    addresses(&versions(&word))
}

/// The versions of objects that are printed as JSON, in a message too.
fn versions(word: &str) -> String {
    let mut out = String::new();
    for (i, piece) in word.split("resourceVersion").enumerate() {
        if i == 0 {
            out += piece;
            continue;
        }
        let value = piece.trim_start_matches(['\\', '"', ':']);
        let after = value.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = if after.len() < value.len() { "VERSION" } else { "" };
        out += &format!("resourceVersion{}{number}{after}", &piece[..piece.len() - value.len()]);
    }
    out
}

fn is_time(word: &str) -> bool {
    let form = if word.len() == 20 { "dddd-dd-ddTdd:dd:ddZ" } else { "dddd-dd-ddTdd:dd:dd.ddddddZ" };
    word.len() == form.len()
        && word.bytes().zip(form.bytes()).all(|(b, f)| if f == b'd' { b.is_ascii_digit() } else { b == f })
}

/// Every piece of `len` bytes that fits becomes `name`.
fn replaced(word: &str, len: usize, name: &str, fits: impl Fn(&str) -> bool) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        match rest.get(..len).filter(|piece| fits(piece)) {
            Some(_) => {
                out += name;
                rest = &rest[len..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

/// Addresses of services and of the server, and ports that are given out.
fn addresses(word: &str) -> String {
    let mut out = String::new();
    let mut number = String::new();
    let flush = |number: &mut String, out: &mut String| {
        let parts: Vec<&str> = number.split('.').collect();
        let is_ours = matches!(parts.as_slice(), ["10", "96" | "0", _, _] | ["127", _, _, _]);
        let given = number.parse::<u32>().unwrap_or(0);
        let is_port = out.ends_with(':') && given >= 10_000 || out.is_empty() && (30_000..32_768).contains(&given);
        *out += if is_ours {
            "ADDRESS"
        } else if is_port {
            "PORT"
        } else {
            number
        };
        number.clear();
    };
    for c in word.chars() {
        if c.is_ascii_digit() || (c == '.' && !number.is_empty()) {
            number.push(c);
        } else {
            flush(&mut number, &mut out);
            out.push(c);
        }
    }
    flush(&mut number, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tours_read_as_written() {
        let text = "# remark\n$ kubectl a\n  one\n   two\n\n# more\n$ kubectl b\n";
        let steps = read(text);
        assert_eq!(steps[0].output, "one\n two\n");
        assert_eq!(steps[1].before, "\n# more\n");
        assert_eq!(write(&steps), text);
    }

    #[test]
    fn an_older_client_needs_only_what_it_prints_otherwise() -> Result<()> {
        let golden = read("$ kubectl a\n  one\n$ kubectl a\n  two\n$ kubectl b\n  three\n");
        let old = read("$ kubectl a\n  one\n$ kubectl a\n  zwei\n$ kubectl b\n  three\n");
        let overlay = over(&golden, &old);
        assert_eq!(write(&overlay), "# 2\n$ kubectl a\n  zwei\n");
        let mut steps = golden.clone();
        lay_over(&mut steps, &overlay)?;
        assert_eq!(steps, old);
        let other = read("$ kubectl c\n$ kubectl c\n");
        assert!(lay_over(&mut other.clone(), &overlay).is_err());
        Ok(())
    }

    #[test]
    fn what_differs_from_run_to_run_becomes_a_word() {
        let cases = [
            (
                "web   ClusterIP   10.96.4.7   <none>   80:31234/TCP   3m5s",
                "web  ClusterIP  ADDRESS  <none>  80:PORT/TCP  AGE",
            ),
            ("  uid: 0a1b2c3d-0000-4000-8000-0123456789ab", "  uid: UID"),
            ("    resourceVersion: \"123\"", "    resourceVersion: \"VERSION\""),
            (
                r#"{\"name\":\"a1\",\"resourceVersion\":\"12\",\"b\":3}"#,
                r#"{\"name\":\"a1\",\"resourceVersion\":\"VERSION\",\"b\":3}"#,
            ),
            (r#"{"resourceVersion":"12","b":3}"#, r#"{"resourceVersion":"VERSION","b":3}"#),
            ("time: \"2026-01-02T03:04:05Z\"", "time: \"TIME\""),
            ("https://127.0.0.1:40123", "https://ADDRESS:PORT"),
            ("a: 30s", "a: AGE"),
            ("image: nginx:1.27", "image: nginx:1.27"),
            ("priority 10000", "priority 10000"),
            ("I1121 13:29:21.766259  8324 reflector.go:664] a watch ended", ""),
            ("Info 1121", "Info 1121"),
        ];
        for (text, wanted) in cases {
            assert_eq!(normalised(text).trim_end(), wanted);
        }
    }
}
