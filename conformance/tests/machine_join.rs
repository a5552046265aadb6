//! Machines with containers that join with a token: upstream's kubelet and Skiff's node agent, beside one another.
//!
//! As root; the nodes live in namespaces of their own.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use conformance::{
    http::Client,
    images,
    machine::until,
    machines::{self, Agents, Control, HUB, Machine},
    node::SHELL,
    skiff::{self, Skiff},
    upstream,
};

#[test]
fn stock_and_own_nodes_join_with_a_token() -> Result<()> {
    if let Some(code) = machines::enter()? {
        ensure!(code == 0, "it failed in the network of its own; see above");
        return Ok(());
    }
    let (program, directory) = (skiff::build()?, tempfile::tempdir()?);
    let data = directory.path().join("skiff");
    std::fs::create_dir_all(&data)?;
    let skiff = Skiff::start_at(&program, HUB, &data, &["--parts", "apiserver,controllers,scheduler"])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { skiff.wait_until_ready(&Client::from_kubeconfig(&skiff.kubeconfig).await?).await })?;
    let run = |mut command: Command| -> Result<String> {
        let done = command.output().with_context(|| format!("{command:?} cannot be started"))?;
        ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr).trim());
        Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
    };
    let kubectl = |words: &[&str]| {
        let mut command = Command::new(upstream::programs().join("kubectl"));
        command.arg("--kubeconfig").arg(&skiff.kubeconfig).args(words);
        run(command)
    };
    let mut create = Command::new(&program);
    create.args(["token", "create", "--data-dir"]).arg(&data);
    let command = run(create)?;
    ensure!(command.starts_with(&format!("skiff node --server https://{HUB}:{} ", skiff.port)), "{command}");
    let read = |name: &str| std::fs::read_to_string(data.join("pki").join(name));
    let control = Control {
        server: format!("https://{HUB}:{}", skiff.port),
        authority: certs::Authority::load(&read("ca.crt")?, &read("ca.key")?)?,
        kubeconfig: skiff.kubeconfig.clone(),
    };
    let images = images::build(&images::place(), &upstream::programs(), &["busybox", "pause"])?;
    let start = |number: u8, program: Option<&std::path::PathBuf>| {
        let agents = Agents::Joining { program: program.cloned(), command: command.clone() };
        Machine::start(number, directory.path(), &control, &images, &agents)
    };
    let mut machines = [start(1, None)?, start(2, Some(&program))?];
    machines::connect(&mut machines, &|words| kubectl(words))?;
    kubectl(&["wait", "--for=condition=Ready", "node", "--all", "--timeout=120s"])?;
    for machine in &machines {
        let (name, user) = (&machine.name, format!("system:node:{}", machine.name));
        let pod = format!("on-{name}");
        let overrides = format!("--overrides={{\"spec\":{{\"nodeName\":\"{name}\"}}}}");
        let image = format!("--image={SHELL}");
        let says = ["--restart=Never", "--image-pull-policy=IfNotPresent", "--command", "--", "echo", "joined"];
        kubectl(&[&["run", &pod, &image, &overrides][..], &says].concat())?;
        // The log comes from the node, which had to prove itself.
        until(&format!("the log of {pod}"), || kubectl(&["logs", &pod]), |said| said == "joined")?;
        let path =
            "jsonpath={range .items[*]}{.spec.username} {.spec.signerName} {.status.conditions[0].type}{\"\\n\"}{end}";
        let requests = kubectl(&["get", "csr", "-o", path])?;
        let serving = format!("{user} kubernetes.io/kubelet-serving Approved");
        ensure!(requests.lines().any(|line| line == serving), "{serving} is not in:\n{requests}");
        let pair = ["stat", "-L", "-c", "%a", "/var/lib/kubelet/pki/kubelet-client-current.pem"];
        ensure!(machine.run(&pair)?.trim() == "600", "{name} keeps its key where others read it");
    }
    Ok(())
}
