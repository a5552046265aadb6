//! A runtime that answers images and commands as a test says, and knows nothing else.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::runtime::{
    Container, ContainerSpec, ContainerStats, ContainerStatus, Credentials, Error, FilesystemUsage, Health, Image,
    ImageSpec, Output, Resources, Runtime, Sandbox, SandboxSpec, SandboxStats, SandboxStatus, Streams, Version,
};

#[derive(Default)]
pub struct Scripted {
    pub images: Mutex<BTreeMap<String, Image>>,
    /// What pulls come to, one after the other; then they succeed.
    pub pulls: Mutex<VecDeque<Result<String, Error>>>,
    /// Users of the credentials that pulls were tried with.
    pub pulled_as: Mutex<Vec<String>>,
    /// What commands come to, one after the other; then they succeed.
    pub commands: Mutex<VecDeque<Result<Output, Error>>>,
    pub ran: Mutex<Vec<String>>,
}

fn no<T>() -> Result<T, Error> {
    Err(Error::Unsupported("it is not in the script".into()))
}

#[async_trait]
impl Runtime for Scripted {
    async fn version(&self) -> Result<Version, Error> {
        no()
    }
    async fn health(&self) -> Result<Health, Error> {
        no()
    }
    async fn set_pod_cidr(&self, _: &str) -> Result<(), Error> {
        no()
    }
    async fn run_sandbox(&self, _: &SandboxSpec) -> Result<String, Error> {
        no()
    }
    async fn stop_sandbox(&self, _: &str) -> Result<(), Error> {
        no()
    }
    async fn remove_sandbox(&self, _: &str) -> Result<(), Error> {
        no()
    }
    async fn sandboxes(&self) -> Result<Vec<Sandbox>, Error> {
        no()
    }
    async fn sandbox(&self, _: &str) -> Result<SandboxStatus, Error> {
        no()
    }
    async fn create_container(&self, _: &str, _: &ContainerSpec, _: &SandboxSpec) -> Result<String, Error> {
        no()
    }
    async fn start_container(&self, _: &str) -> Result<(), Error> {
        no()
    }
    async fn stop_container(&self, _: &str, _: Duration) -> Result<(), Error> {
        no()
    }
    async fn remove_container(&self, _: &str) -> Result<(), Error> {
        no()
    }
    async fn containers(&self) -> Result<Vec<Container>, Error> {
        no()
    }
    async fn container(&self, _: &str) -> Result<ContainerStatus, Error> {
        no()
    }
    async fn update_resources(&self, _: &str, _: &Resources) -> Result<(), Error> {
        no()
    }
    async fn reopen_log(&self, _: &str) -> Result<(), Error> {
        no()
    }
    async fn exec_sync(&self, id: &str, command: &[String], _: Duration) -> Result<Output, Error> {
        self.ran.lock().push(format!("{id}: {}", command.join(" ")));
        self.commands.lock().pop_front().unwrap_or_else(|| Ok(Output::default()))
    }
    async fn exec(&self, _: &str, _: &[String], _: Streams) -> Result<String, Error> {
        no()
    }
    async fn attach(&self, _: &str, _: Streams) -> Result<String, Error> {
        no()
    }
    async fn port_forward(&self, _: &str, _: &[u16]) -> Result<String, Error> {
        no()
    }
    async fn images(&self) -> Result<Vec<Image>, Error> {
        Ok(self.images.lock().values().cloned().collect())
    }
    async fn image(&self, image: &ImageSpec) -> Result<Option<Image>, Error> {
        Ok(self.images.lock().get(&image.image).cloned())
    }
    async fn pull_image(
        &self,
        image: &ImageSpec,
        credentials: Option<&Credentials>,
        _: &SandboxSpec,
    ) -> Result<String, Error> {
        self.pulled_as.lock().push(credentials.map(|own| own.username.clone()).unwrap_or_default());
        let id = self.pulls.lock().pop_front().unwrap_or_else(|| Ok(format!("id-of-{}", image.image)))?;
        let there = Image { id: id.clone(), size_bytes: 42, ..Image::default() };
        self.images.lock().insert(image.image.clone(), there);
        Ok(id)
    }
    async fn remove_image(&self, _: &ImageSpec) -> Result<(), Error> {
        no()
    }
    async fn image_filesystem(&self) -> Result<Option<FilesystemUsage>, Error> {
        no()
    }
    async fn container_stats(&self) -> Result<Vec<ContainerStats>, Error> {
        no()
    }
    async fn sandbox_stats(&self) -> Result<Vec<SandboxStats>, Error> {
        no()
    }
}
