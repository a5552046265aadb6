//! The trait's calls, each one message there and one back.

use std::time::Duration;

use async_trait::async_trait;

use super::{Cri, refused, within, words};
use crate::runtime::{
    Condition, Container, ContainerSpec, ContainerStats, ContainerStatus, Credentials, Error, FilesystemUsage, Handler,
    Health, Image, ImageSpec, Output, Resources, Runtime, Sandbox, SandboxSpec, SandboxStats, SandboxStatus, Streams,
    Version,
};

/// So much longer than what it waits for may a call itself take.
const SLACK: Duration = Duration::from_secs(30);

#[async_trait]
impl Runtime for Cri {
    async fn version(&self) -> Result<Version, Error> {
        let request = self.ask(cri::VersionRequest { version: "v1".into() });
        let answer = self.runtime().version(request).await.map_err(refused)?.into_inner();
        Ok(Version { name: answer.runtime_name, version: answer.runtime_version, api: answer.runtime_api_version })
    }

    async fn health(&self) -> Result<Health, Error> {
        let request = self.ask(cri::StatusRequest { verbose: false });
        let answer = self.runtime().status(request).await.map_err(refused)?.into_inner();
        let condition = |c: cri::RuntimeCondition| Condition {
            kind: c.r#type,
            status: c.status,
            reason: c.reason,
            message: c.message,
        };
        let handler = |h: cri::RuntimeHandler| {
            let features = h.features.unwrap_or_default();
            Handler {
                name: h.name,
                recursive_read_only_mounts: features.recursive_read_only_mounts,
                user_namespaces: features.user_namespaces,
            }
        };
        Ok(Health {
            conditions: answer.status.unwrap_or_default().conditions.into_iter().map(condition).collect(),
            handlers: answer.runtime_handlers.into_iter().map(handler).collect(),
            supplemental_groups_policy: answer.features.is_some_and(|f| f.supplemental_groups_policy),
        })
    }

    async fn set_pod_cidr(&self, cidr: &str) -> Result<(), Error> {
        let network = cri::NetworkConfig { pod_cidr: cidr.into() };
        let config = cri::RuntimeConfig { network_config: Some(network) };
        let request = self.ask(cri::UpdateRuntimeConfigRequest { runtime_config: Some(config) });
        self.runtime().update_runtime_config(request).await.map_err(refused)?;
        Ok(())
    }

    async fn run_sandbox(&self, spec: &SandboxSpec) -> Result<String, Error> {
        let message = cri::RunPodSandboxRequest {
            config: Some(words::sandbox_config(spec)),
            runtime_handler: spec.handler.clone(),
        };
        let request = within(message, self.limits.sandbox);
        Ok(self.runtime().run_pod_sandbox(request).await.map_err(refused)?.into_inner().pod_sandbox_id)
    }

    async fn stop_sandbox(&self, id: &str) -> Result<(), Error> {
        let request = within(cri::StopPodSandboxRequest { pod_sandbox_id: id.into() }, self.limits.sandbox);
        gone_is_well(self.runtime().stop_pod_sandbox(request).await.map_err(refused))
    }

    async fn remove_sandbox(&self, id: &str) -> Result<(), Error> {
        let request = self.ask(cri::RemovePodSandboxRequest { pod_sandbox_id: id.into() });
        gone_is_well(self.runtime().remove_pod_sandbox(request).await.map_err(refused))
    }

    async fn sandboxes(&self) -> Result<Vec<Sandbox>, Error> {
        let request = self.ask(cri::ListPodSandboxRequest { filter: None });
        let answer = self.runtime().list_pod_sandbox(request).await.map_err(refused)?.into_inner();
        Ok(answer.items.into_iter().map(words::sandbox).collect())
    }

    async fn sandbox(&self, id: &str) -> Result<SandboxStatus, Error> {
        let request = self.ask(cri::PodSandboxStatusRequest { pod_sandbox_id: id.into(), verbose: false });
        let answer = self.runtime().pod_sandbox_status(request).await.map_err(refused)?.into_inner();
        Ok(words::sandbox_status(answer.status.ok_or_else(|| Error::NotFound(id.into()))?))
    }

    async fn create_container(
        &self,
        sandbox_id: &str,
        spec: &ContainerSpec,
        sandbox: &SandboxSpec,
    ) -> Result<String, Error> {
        let request = self.ask(cri::CreateContainerRequest {
            pod_sandbox_id: sandbox_id.into(),
            config: Some(words::container_config(spec)),
            sandbox_config: Some(words::sandbox_config(sandbox)),
        });
        Ok(self.runtime().create_container(request).await.map_err(refused)?.into_inner().container_id)
    }

    async fn start_container(&self, id: &str) -> Result<(), Error> {
        let request = self.ask(cri::StartContainerRequest { container_id: id.into() });
        self.runtime().start_container(request).await.map_err(refused)?;
        Ok(())
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), Error> {
        let timeout = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let message = cri::StopContainerRequest { container_id: id.into(), timeout };
        let request = within(message, grace.saturating_add(self.limits.call));
        gone_is_well(self.runtime().stop_container(request).await.map_err(refused))
    }

    async fn remove_container(&self, id: &str) -> Result<(), Error> {
        let request = self.ask(cri::RemoveContainerRequest { container_id: id.into() });
        gone_is_well(self.runtime().remove_container(request).await.map_err(refused))
    }

    async fn containers(&self) -> Result<Vec<Container>, Error> {
        let request = self.ask(cri::ListContainersRequest { filter: None });
        let answer = self.runtime().list_containers(request).await.map_err(refused)?.into_inner();
        Ok(answer.containers.into_iter().map(words::container).collect())
    }

    async fn container(&self, id: &str) -> Result<ContainerStatus, Error> {
        let request = self.ask(cri::ContainerStatusRequest { container_id: id.into(), verbose: false });
        let answer = self.runtime().container_status(request).await.map_err(refused)?.into_inner();
        Ok(words::container_status(answer.status.ok_or_else(|| Error::NotFound(id.into()))?))
    }

    async fn update_resources(&self, id: &str, resources: &Resources) -> Result<(), Error> {
        let request = self.ask(cri::UpdateContainerResourcesRequest {
            container_id: id.into(),
            linux: Some(words::resources(resources)),
            ..Default::default()
        });
        self.runtime().update_container_resources(request).await.map_err(refused)?;
        Ok(())
    }

    async fn reopen_log(&self, id: &str) -> Result<(), Error> {
        let request = self.ask(cri::ReopenContainerLogRequest { container_id: id.into() });
        self.runtime().reopen_container_log(request).await.map_err(refused)?;
        Ok(())
    }

    async fn exec_sync(&self, id: &str, command: &[String], timeout: Duration) -> Result<Output, Error> {
        let message = cri::ExecSyncRequest {
            container_id: id.into(),
            cmd: command.to_vec(),
            timeout: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        };
        let request = match timeout.is_zero() {
            true => tonic::Request::new(message),
            false => within(message, timeout.saturating_add(SLACK)),
        };
        let answer = self.runtime().exec_sync(request).await.map_err(refused)?.into_inner();
        Ok(Output { stdout: answer.stdout, stderr: answer.stderr, exit_code: answer.exit_code })
    }

    async fn exec(&self, id: &str, command: &[String], streams: Streams) -> Result<String, Error> {
        let Streams { stdin, stdout, stderr, tty } = streams;
        let cmd = command.to_vec();
        let request = self.ask(cri::ExecRequest { container_id: id.into(), cmd, tty, stdin, stdout, stderr });
        Ok(self.runtime().exec(request).await.map_err(refused)?.into_inner().url)
    }

    async fn attach(&self, id: &str, streams: Streams) -> Result<String, Error> {
        let Streams { stdin, stdout, stderr, tty } = streams;
        let request = self.ask(cri::AttachRequest { container_id: id.into(), stdin, tty, stdout, stderr });
        Ok(self.runtime().attach(request).await.map_err(refused)?.into_inner().url)
    }

    async fn port_forward(&self, sandbox_id: &str, ports: &[u16]) -> Result<String, Error> {
        let port = ports.iter().map(|p| i32::from(*p)).collect();
        let request = self.ask(cri::PortForwardRequest { pod_sandbox_id: sandbox_id.into(), port });
        Ok(self.runtime().port_forward(request).await.map_err(refused)?.into_inner().url)
    }

    async fn images(&self) -> Result<Vec<Image>, Error> {
        let request = self.ask(cri::ListImagesRequest { filter: None });
        let answer = self.image_service().list_images(request).await.map_err(refused)?.into_inner();
        Ok(answer.images.into_iter().map(words::image).collect())
    }

    async fn image(&self, image: &ImageSpec) -> Result<Option<Image>, Error> {
        let message = cri::ImageStatusRequest { image: Some(words::image_spec(image)), verbose: false };
        let answer = self.image_service().image_status(self.ask(message)).await.map_err(refused)?.into_inner();
        Ok(answer.image.map(words::image))
    }

    async fn pull_image(
        &self,
        image: &ImageSpec,
        credentials: Option<&Credentials>,
        sandbox: &SandboxSpec,
    ) -> Result<String, Error> {
        let message = cri::PullImageRequest {
            image: Some(words::image_spec(image)),
            auth: credentials.map(words::credentials),
            sandbox_config: Some(words::sandbox_config(sandbox)),
        };
        let request = within(message, self.limits.pull);
        Ok(self.image_service().pull_image(request).await.map_err(refused)?.into_inner().image_ref)
    }

    async fn remove_image(&self, image: &ImageSpec) -> Result<(), Error> {
        let message = cri::RemoveImageRequest { image: Some(words::image_spec(image)) };
        gone_is_well(self.image_service().remove_image(self.ask(message)).await.map_err(refused))
    }

    async fn image_filesystem(&self) -> Result<Option<FilesystemUsage>, Error> {
        let request = self.ask(cri::ImageFsInfoRequest {});
        let answer = self.image_service().image_fs_info(request).await.map_err(refused)?.into_inner();
        Ok(answer.image_filesystems.into_iter().next().map(words::filesystem))
    }

    async fn container_stats(&self) -> Result<Vec<ContainerStats>, Error> {
        let request = self.ask(cri::ListContainerStatsRequest { filter: None });
        let answer = self.runtime().list_container_stats(request).await.map_err(refused)?.into_inner();
        Ok(answer.stats.into_iter().map(words::container_stats).collect())
    }

    async fn sandbox_stats(&self) -> Result<Vec<SandboxStats>, Error> {
        let request = self.ask(cri::ListPodSandboxStatsRequest { filter: None });
        let answer = self.runtime().list_pod_sandbox_stats(request).await.map_err(refused)?.into_inner();
        Ok(answer.stats.into_iter().map(words::sandbox_stats).collect())
    }
}

/// Whoever wants something gone is content when it is.
fn gone_is_well<T>(answer: Result<T, Error>) -> Result<(), Error> {
    match answer {
        Ok(_) | Err(Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
