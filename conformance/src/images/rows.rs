//! The images, a row each.

use std::process::Command;

use anyhow::{Context, Result};

use super::{Image, Sources, root::Root};

/// What an image has when nothing else is said.
const PLAIN: Image = Image {
    archive: "",
    names: &[],
    entrypoint: &[],
    command: &[],
    user: "",
    ports: &[],
    fill: |root, _| busybox(root, "Alpine Linux"),
};

const AGNHOST: Image = Image {
    entrypoint: &["/agnhost"],
    command: &["pause"],
    ports: &[80, 8080, 8081, 9376, 5000],
    fill: agnhost,
    ..PLAIN
};

const NGINX: Image = Image { command: &["nginx", "-g", "daemon off;"], ports: &[80], fill: nginx, ..PLAIN };

/// The suite itself, for who runs it in a pod. Nodes do not have it: it is pulled.
/// Upstream: test/conformance/image/Dockerfile.
pub(super) const RUNNER: Image = Image {
    archive: "conformance",
    names: &["registry.k8s.io/conformance:v1.37.1"],
    entrypoint: &["kubeconformance"],
    fill: runner,
    ..PLAIN
};

/// What tests start pods from.
pub(super) const ALL: &[Image] = &[
    Image {
        archive: "pause",
        names: &["registry.k8s.io/pause:3.10.2", "registry.k8s.io/pause:3.10"],
        entrypoint: &["/pause"],
        user: "65535:65535",
        fill: |root, sources| {
            root.directory("tmp", 0o1777);
            root.file("pause", &sources.made("pause"), 0o755)
        },
        ..PLAIN
    },
    Image {
        archive: "busybox",
        names: &[
            "registry.k8s.io/e2e-test-images/busybox:1.37.0-2",
            "registry.k8s.io/e2e-test-images/busybox:1.36.1-1",
        ],
        command: &["sh"],
        fill: |root, sources| {
            busybox(root, "BusyBox")?;
            root.file("bin/sh", &sources.made("sh"), 0o755)
        },
        ..PLAIN
    },
    Image { archive: "agnhost", names: &["registry.k8s.io/e2e-test-images/agnhost:2.66.1"], ..AGNHOST },
    Image {
        archive: "agnhost-previous",
        names: &["registry.k8s.io/e2e-test-images/agnhost:2.55"],
        // The suite tells the two apart by what they are, so they differ.
        fill: |root, sources| {
            root.text("etc/agnhost-previous", "");
            agnhost(root, sources)
        },
        ..AGNHOST
    },
    Image {
        archive: "kitten",
        names: &["registry.k8s.io/e2e-test-images/kitten:1.8"],
        command: &["test-webserver"],
        ports: &[80],
        fill: |root, sources| pet(root, sources, "kitten"),
        ..AGNHOST
    },
    Image {
        archive: "nautilus",
        names: &["registry.k8s.io/e2e-test-images/nautilus:1.8"],
        command: &["test-webserver"],
        ports: &[80],
        fill: |root, sources| pet(root, sources, "nautilus"),
        ..AGNHOST
    },
    Image {
        archive: "nonewprivs",
        names: &["registry.k8s.io/e2e-test-images/nonewprivs:1.4"],
        command: &["nnp"],
        fill: |root, sources| {
            busybox(root, "Alpine Linux")?;
            root.file("usr/local/bin/nnp", &sources.made("nnp"), 0o6755)
        },
        ..PLAIN
    },
    Image {
        archive: "nonroot",
        names: &["registry.k8s.io/e2e-test-images/nonroot:1.5"],
        command: &["id"],
        user: "1234",
        ..PLAIN
    },
    Image { archive: "nginx", names: &["registry.k8s.io/e2e-test-images/nginx:1.28.0-2"], ..NGINX },
    Image {
        archive: "nginx-previous",
        names: &["registry.k8s.io/e2e-test-images/nginx:1.27.0-2"],
        fill: |root, sources| {
            root.text("etc/nginx-previous", "");
            nginx(root, sources)
        },
        ..NGINX
    },
    Image {
        archive: "glibc-dns-testing",
        names: &["registry.k8s.io/e2e-test-images/glibc-dns-testing:2.1.1"],
        command: &["bash"],
        fill: |root, _| {
            busybox(root, "Debian GNU/Linux")?;
            for name in ["dig", "getent", "bash", "dash", "hostname"] {
                replace(root, name, &format!("/usr/bin/{name}"))?;
            }
            root.link("bin/sh", "/usr/bin/dash");
            name_services(root)
        },
        ..PLAIN
    },
    Image {
        archive: "etcd",
        names: &["registry.k8s.io/etcd:3.7.0-0"],
        fill: |root, sources| {
            busybox(root, "Alpine Linux")?;
            for name in ["etcd", "etcdctl"] {
                root.file(&format!("usr/local/bin/{name}"), &sources.program(name), 0o755)?;
            }
            Ok(())
        },
        ..PLAIN
    },
    Image {
        archive: "perl",
        names: &["registry.k8s.io/e2e-test-images/perl:5.26"],
        command: &["perl"],
        fill: |root, _| {
            busybox(root, "Alpine Linux")?;
            root.program("usr/bin/perl", "/usr/bin/perl")
        },
        ..PLAIN
    },
    Image {
        archive: "sample-apiserver",
        names: &["registry.k8s.io/e2e-test-images/sample-apiserver:1.29.2"],
        entrypoint: &["/sample-apiserver"],
        fill: |root, sources| {
            busybox(root, "Alpine Linux")?;
            root.file("sample-apiserver", &sources.program("sample-apiserver"), 0o755)
        },
        ..PLAIN
    },
    Image {
        archive: "coredns",
        names: &["registry.k8s.io/coredns/coredns:v1.15.0"],
        entrypoint: &["/coredns"],
        fill: |root, sources| {
            base(root, "Alpine Linux");
            root.file("coredns", &sources.program("coredns"), 0o755)
        },
        ..PLAIN
    },
];

/// What every system has, under the name that it gives itself.
fn base(root: &mut Root, name: &str) {
    let directories = [
        "bin",
        "dev",
        "etc",
        "home",
        "lib",
        "lib64",
        "mnt",
        "opt",
        "proc",
        "root",
        "run",
        "sbin",
        "srv",
        "sys",
        "usr/bin",
        "usr/local/bin",
        "usr/sbin",
        "var/run",
    ];
    directories.into_iter().for_each(|path| root.directory(path, 0o755));
    ["tmp", "var/tmp"].into_iter().for_each(|path| root.directory(path, 0o1777));
    root.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n");
    root.text("etc/group", "root:x:0:\nnogroup:x:65534:\n");
    root.text("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
    root.text("etc/os-release", format!("NAME=\"{name}\"\nPRETTY_NAME=\"{name} (built here)\"\n"));
}

/// A system whose every program is Debian's static busybox, under each path that a script may name.
fn busybox(root: &mut Root, name: &str) -> Result<()> {
    base(root, name);
    root.file("bin/busybox", std::path::Path::new("/bin/busybox"), 0o755)?;
    let listed = Command::new("/bin/busybox").arg("--list-full").output().context("busybox-static is not installed")?;
    for path in String::from_utf8(listed.stdout)?.lines().filter(|path| *path != "bin/busybox") {
        root.link(path, "/bin/busybox");
        let applet = path.rsplit('/').next().unwrap_or(path);
        root.link(&format!("bin/{applet}"), "/bin/busybox");
    }
    root.link("bin/sh", "/bin/busybox");
    Ok(())
}

/// A program of this machine instead of busybox's.
fn replace(root: &mut Root, name: &str, source: &str) -> Result<()> {
    let path = format!("usr/bin/{name}");
    root.program(&path, source)?;
    root.link(&format!("bin/{name}"), &format!("/{path}"));
    Ok(())
}

/// glibc looks names up through libraries that no program is linked with.
fn name_services(root: &mut Root) -> Result<()> {
    for library in ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"] {
        let path = format!("/lib/x86_64-linux-gnu/{library}");
        if std::path::Path::new(&path).exists() {
            root.library(&path)?;
        }
    }
    Ok(())
}

/// Upstream: test/images/agnhost/Dockerfile.
fn agnhost(root: &mut Root, sources: &Sources) -> Result<()> {
    busybox(root, "Alpine Linux")?;
    let programs = [
        ("bash", "/usr/bin/bash"),
        ("curl", "/usr/bin/curl"),
        ("dig", "/usr/bin/dig"),
        ("getent", "/usr/bin/getent"),
        ("iperf", "/usr/bin/iperf"),
        ("nc", "/bin/nc.openbsd"),
        ("nsenter", "/usr/bin/nsenter"),
        ("socat", "/usr/bin/socat"),
        ("ss", "/usr/bin/ss"),
    ];
    for (name, source) in programs {
        replace(root, name, source)?;
    }
    root.program("sbin/ip", "/usr/sbin/ip")?;
    root.link("bin/ip", "/sbin/ip");
    root.link("bin/sh", "/usr/bin/bash");
    root.link("usr/local/bin/iperf", "/usr/bin/iperf");
    name_services(root)?;
    root.file("agnhost", &sources.program("agnhost"), 0o755)?;
    root.link("agnhost-2", "agnhost");
    root.file("coredns", &sources.program("coredns"), 0o755)?;
    root.directory("uploads", 0o755);
    for name in ["localhost.crt", "localhost.key"] {
        root.file(name, &sources.upstream()?.join("test/images/agnhost/porter").join(name), 0o644)?;
    }
    let user = "user-defined-in-image:x:1000:1000::/:/bin/sh\n";
    root.text("etc/passwd", format!("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n{user}"));
    let groups = "user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n";
    root.text("etc/group", format!("root:x:0:\nnogroup:x:65534:\n{groups}"));
    Ok(())
}

fn runner(root: &mut Root, sources: &Sources) -> Result<()> {
    busybox(root, "Debian GNU/Linux")?;
    root.directory("tmp", 0o1777);
    for (name, program) in
        [("ginkgo", "ginkgo"), ("e2e.test", "e2e.test"), ("kubectl", "kubectl"), ("kubeconformance", "go-runner")]
    {
        let program = sources.program(program).display().to_string();
        root.program(&format!("usr/local/bin/{name}"), &program)?;
    }
    // By these names Sonobuoy's plugin calls it. Upstream: test/conformance/image/Dockerfile.
    for name in ["run_e2e.sh", "gorunner"] {
        root.link(name, "/usr/local/bin/kubeconformance");
    }
    name_services(root)
}

/// Upstream: test/images/kitten, test/images/nautilus.
fn pet(root: &mut Root, sources: &Sources, name: &str) -> Result<()> {
    agnhost(root, sources)?;
    root.text("data.json", format!("{{\n  \"image\": \"{name}.jpg\"\n}}\n"));
    let picture = format!("{name}.jpg");
    root.file(&picture, &sources.upstream()?.join(format!("test/images/{name}/html/{picture}")), 0o644)
}

fn nginx(root: &mut Root, _: &Sources) -> Result<()> {
    busybox(root, "Debian GNU/Linux")?;
    root.program("usr/sbin/nginx", "/usr/sbin/nginx")?;
    name_services(root)?;
    for path in ["var/log/nginx", "var/lib/nginx", "var/cache/nginx", "usr/share/nginx/html"] {
        root.directory(path, 0o755);
    }
    root.text(
        "usr/share/nginx/html/index.html",
        "<!DOCTYPE html>\n<title>Welcome to nginx!</title>\n<h1>Welcome to nginx!</h1>\n",
    );
    root.text(
        "etc/nginx/nginx.conf",
        "user nobody nogroup;\nworker_processes 1;\nerror_log /dev/stderr;\nevents { worker_connections 64; }\n\
         http {\n  access_log /dev/stdout;\n  server { listen 80; root /usr/share/nginx/html; }\n}\n",
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_images_share_a_name() {
        let mut names: Vec<&str> = ALL.iter().flat_map(|image| image.names.iter().copied()).collect();
        let mut archives: Vec<&str> = ALL.iter().map(|image| image.archive).collect();
        for list in [&mut names, &mut archives] {
            let count = list.len();
            list.sort_unstable();
            list.dedup();
            assert_eq!(list.len(), count);
            assert!(list.iter().all(|name| !name.is_empty()));
        }
    }
}
