//! A plugin that keeps keys, in this process, for servers beside the tests: KMS v2 on a socket.
//!
//! What it makes of a seed follows from its key's id alone, so that a plugin that starts anew opens what an earlier
//! one shut. It keeps nothing secret.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use kms::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, StatusRequest, StatusResponse,
    key_management_service_server::{KeyManagementService, KeyManagementServiceServer},
};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::{
    net::UnixListener,
    task::{JoinHandle, JoinSet},
};
use tonic::{Request, Response, Status};

/// A plugin that listens; dropping it ends it and its connections.
pub struct Plugin {
    path: PathBuf,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

/// What a plugin says and does.
#[derive(Clone, Debug)]
pub struct Manner {
    pub key_id: String,
    /// The id under which it shuts, where that is another than it says.
    pub shuts_as: Option<String>,
    pub healthz: String,
    pub version: String,
    /// Why it opens nothing.
    pub refuses: Option<String>,
    /// It takes every call and answers none.
    pub hangs: bool,
}

struct Shared {
    manner: Mutex<Manner>,
    /// The ids that it was asked to open.
    opened: Mutex<Vec<String>>,
}

struct Service(Arc<Shared>);

// === impl Plugin ===

impl Plugin {
    /// Listens on a socket below `directory`, with a key of this id.
    pub fn start(directory: &Path, key_id: &str) -> Result<Plugin> {
        let shared = Arc::new(Shared { manner: Mutex::new(Manner::well(key_id)), opened: Mutex::default() });
        let path = directory.join("kms.sock");
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).with_context(|| format!("{}", path.display()))?;
        let of = shared.clone();
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(KeyManagementServiceServer::new(Service(of.clone())));
                connections.spawn(async move {
                    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Plugin { path, shared, serving })
    }

    /// A file by which values of these resources are sealed with this plugin's key, and read in the clear, too.
    pub fn configuration(&self, directory: &Path, resources: &str) -> Result<PathBuf> {
        let endpoint = format!("unix://{}", self.path.display());
        let path = directory.join("kms.yaml");
        let text = format!(
            "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: [{resources}]\n  providers:\n  - kms: {{apiVersion: v2, name: guard, endpoint: '{endpoint}', timeout: 1s}}\n  - identity: {{}}\n"
        );
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// From now on it does otherwise.
    pub fn changes(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.shared.manner.lock());
    }

    /// The ids that it was asked to open since this was asked last.
    pub fn opened(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.opened.lock())
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.serving.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

// === impl Manner ===

impl Manner {
    /// As a plugin should be.
    pub fn well(key_id: &str) -> Manner {
        Manner {
            key_id: key_id.into(),
            shuts_as: None,
            healthz: "ok".into(),
            version: "v2".into(),
            refuses: None,
            hangs: false,
        }
    }
}

// === impl Service ===

impl Service {
    async fn manner(&self) -> Manner {
        let manner = self.0.manner.lock().clone();
        if manner.hangs {
            std::future::pending::<()>().await;
        }
        manner
    }
}

#[tonic::async_trait]
impl KeyManagementService for Service {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let Manner { key_id, healthz, version, .. } = self.manner().await;
        Ok(Response::new(StatusResponse { version, healthz, key_id }))
    }

    async fn encrypt(&self, asked: Request<EncryptRequest>) -> Result<Response<EncryptResponse>, Status> {
        let manner = self.manner().await;
        let key_id = manner.shuts_as.unwrap_or(manner.key_id);
        let ciphertext = mixed(&key_id, &asked.get_ref().plaintext);
        let annotations = BTreeMap::from([("by.example.com".to_string(), Bytes::from("guard"))]);
        Ok(Response::new(EncryptResponse { ciphertext, key_id, annotations }))
    }

    async fn decrypt(&self, asked: Request<DecryptRequest>) -> Result<Response<DecryptResponse>, Status> {
        let manner = self.manner().await;
        let DecryptRequest { ciphertext, key_id, annotations, .. } = asked.into_inner();
        self.0.opened.lock().push(key_id.clone());
        if let Some(why) = manner.refuses {
            return Err(Status::failed_precondition(why));
        }
        if annotations.get("by.example.com").is_none_or(|by| by != "guard") {
            return Err(Status::invalid_argument("annotations are missing"));
        }
        Ok(Response::new(DecryptResponse { plaintext: mixed(&key_id, &ciphertext) }))
    }
}

/// There and back.
fn mixed(key_id: &str, bytes: &[u8]) -> Bytes {
    let key = Sha256::digest(key_id);
    bytes.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
}
