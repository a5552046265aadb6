//! The registry that nodes pull from when a pod insists on it: the suite's images, read only, over plain HTTP in the hub.
//!
//! Two tests of the suite pull with `Always`. A kubelet that has once failed to pull an image no longer takes the one that
//! was loaded beforehand, so that without a registry every later pod of that image fails on that node.
//!
//! Source: the OCI distribution specification 1.1, "Pull".

use std::{
    collections::HashMap,
    convert::Infallible,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use super::HUB;

/// As registries listen that are a machine's own.
const PORT: u16 = 5000;
/// Where all images of the suite come from.
const HOST: &str = "registry.k8s.io";
const INDEX: &str = "index.json";
const BLOBS: &str = "blobs/sha256/";

/// A registry that runs; dropping it ends it.
pub struct Registry(JoinHandle<()>);

/// What the archives hold.
#[derive(Default)]
struct Contents {
    /// By digest.
    blobs: HashMap<String, Place>,
    /// `etcd:3.7.0-0`, without the host, to the digest of its manifest.
    names: HashMap<String, Manifest>,
}

struct Manifest {
    digest: String,
    media: String,
}

/// A blob is a piece of an archive.
struct Place {
    archive: PathBuf,
    offset: u64,
    length: u64,
}

/// Serves the images of archives as [`crate::images`] writes them.
pub async fn serve(archives: &[PathBuf]) -> Result<Registry> {
    let contents = Arc::new(Contents::read(archives)?);
    let listener = TcpListener::bind((HUB, PORT)).await.context("the registry cannot listen")?;
    Ok(Registry(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let contents = contents.clone();
            let answer = service_fn(move |request: Request<Incoming>| {
                let answer = contents.answer(request.method(), request.uri().path());
                async { Ok::<_, Infallible>(answer) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    })))
}

/// Tells a runtime whose `config_path` is `directory` to pull here what would come from upstream's registry.
pub fn write_hosts(directory: &Path) -> Result<()> {
    let directory = directory.join(HOST);
    fs::create_dir_all(&directory)?;
    let url = format!("http://{HUB}:{PORT}");
    let text = format!("server = '{url}'\n\n[host.'{url}']\ncapabilities = ['pull', 'resolve']\n");
    Ok(fs::write(directory.join("hosts.toml"), text)?)
}

// === impl Registry ===

impl Drop for Registry {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// === impl Contents ===

impl Contents {
    fn read(archives: &[PathBuf]) -> Result<Contents> {
        let mut contents = Contents::default();
        for archive in archives {
            contents.add(archive).with_context(|| archive.display().to_string())?;
        }
        Ok(contents)
    }

    fn add(&mut self, archive: &Path) -> Result<()> {
        let mut index = Value::Null;
        for entry in tar::Archive::new(File::open(archive)?).entries()? {
            let mut entry = entry?;
            let name = entry.path()?.display().to_string();
            if name == INDEX {
                index = serde_json::from_reader(&mut entry)?;
            } else if let Some(digest) = name.strip_prefix(BLOBS) {
                let place =
                    Place { archive: archive.to_owned(), offset: entry.raw_file_position(), length: entry.size() };
                self.blobs.insert(format!("sha256:{digest}"), place);
            }
        }
        for manifest in index["manifests"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let name = text(&manifest["annotations"]["io.containerd.image.name"]);
            let name = name.split_once('/').context("an image has no name")?.1.to_owned();
            self.names
                .insert(name, Manifest { digest: text(&manifest["digest"]), media: text(&manifest["mediaType"]) });
        }
        Ok(())
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return refusal(StatusCode::METHOD_NOT_ALLOWED);
        }
        if matches!(path, "/v2" | "/v2/") {
            return Response::new(Full::from("{}"));
        }
        let found = self.find(path).and_then(|(digest, media)| Some((self.blobs.get(digest)?, digest, media)));
        let Some((place, digest, media)) = found else { return refusal(StatusCode::NOT_FOUND) };
        let Ok(bytes) = place.bytes() else { return refusal(StatusCode::INTERNAL_SERVER_ERROR) };
        let answer = Response::builder()
            .header(header::CONTENT_TYPE, media)
            .header(header::CONTENT_LENGTH, place.length)
            .header("Docker-Content-Digest", digest);
        // hyper leaves the body of an answer to HEAD away.
        answer.body(Full::from(bytes)).unwrap_or_else(|_| refusal(StatusCode::INTERNAL_SERVER_ERROR))
    }

    /// `/v2/NAME/manifests/TAG` or `…/DIGEST`, `/v2/NAME/blobs/DIGEST`: which blob that is, and its media type.
    fn find<'a>(&'a self, path: &'a str) -> Option<(&'a str, &'a str)> {
        let path = path.strip_prefix("/v2/")?;
        if let Some((_, digest)) = path.split_once("/blobs/") {
            return Some((digest, "application/octet-stream"));
        }
        let (name, reference) = path.split_once("/manifests/")?;
        let found = match reference.starts_with("sha256:") {
            true => self.names.values().find(|manifest| manifest.digest == reference),
            false => self.names.get(&format!("{name}:{reference}")),
        };
        found.map(|manifest| (manifest.digest.as_str(), manifest.media.as_str()))
    }
}

fn refusal(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer =
        Response::new(Full::from(r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"it is not here"}]}"#));
    *answer.status_mut() = status;
    answer
}

// === impl Place ===

impl Place {
    fn bytes(&self) -> std::io::Result<Vec<u8>> {
        let mut file = File::open(&self.archive)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.take(self.length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// A layout of one image, `registry.k8s.io/small:1`, as an archive.
    fn archive(directory: &Path) -> PathBuf {
        let index = serde_json::json!({"manifests": [{
            "digest": "sha256:aa", "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "annotations": {"io.containerd.image.name": "registry.k8s.io/small:1"}
        }]});
        let path = directory.join("small.tar");
        let mut out = tar::Builder::new(File::create(&path).expect("a file"));
        for (name, text) in
            [(INDEX, index.to_string()), ("blobs/sha256/aa", "manifest".into()), ("blobs/sha256/bb", "layer".into())]
        {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            out.append_data(&mut header, name, text.as_bytes()).expect("it is written");
        }
        out.into_inner().expect("it is written");
        path
    }

    #[tokio::test]
    async fn an_image_is_found_by_tag_and_digest_and_nothing_else_is() {
        let place = tempfile::tempdir().expect("a directory");
        let contents = Contents::read(&[archive(place.path())]).expect("it is read");
        let cases = [
            ("/v2/", 200, "{}"),
            ("/v2/small/manifests/1", 200, "manifest"),
            ("/v2/small/manifests/sha256:aa", 200, "manifest"),
            ("/v2/small/blobs/sha256:bb", 200, "layer"),
            ("/v2/small/manifests/2", 404, ""),
            ("/v2/small/blobs/sha256:cc", 404, ""),
            ("/v2/../etc/passwd", 404, ""),
        ];
        for (path, status, body) in cases {
            let answer = contents.answer(&Method::GET, path);
            assert_eq!(answer.status(), status, "{path}");
            let read = answer.into_body().collect().await.expect("bytes").to_bytes();
            assert!(status != 200 || read == body, "{path}");
        }
        assert_eq!(contents.answer(&Method::PUT, "/v2/small/manifests/1").status(), 405);
    }
}
