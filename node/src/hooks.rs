//! What a container wants done when it has started and before it ends. Upstream: pkg/kubelet/lifecycle/handlers.go.

#[cfg(test)]
mod tests;

use std::time::Duration;

use api::{Value, field::quote};

use crate::{
    probes::http::{self, Request},
    runtime::{Error, Runtime},
    tell::{Tell, Telling},
};

/// A hook that did not do what it should. The container is killed when it was `postStart`'s.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HookError(pub String);

/// Whose hook it is.
pub struct Target<'a> {
    pub pod: &'a Value,
    pub container: &'a Value,
    pub container_id: &'a str,
    pub pod_ip: &'a str,
}

/// Runs a `LifecycleHandler`. It takes as long as it takes: whoever calls bounds it.
pub async fn run(
    runtime: &dyn Runtime,
    tell: &dyn Tell,
    target: &Target<'_>,
    handler: &Value,
) -> Result<(), HookError> {
    let (exec, http_get, sleep) = (handler.at("exec"), handler.at("httpGet"), handler.at("sleep"));
    let (name, named) = (quote(target.container.str("name")), quote(&full_name(target.pod)));
    if !exec.is_null() {
        let command: Vec<String> = exec.list("command").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        return command_of(runtime, target, &command).await.map_err(|(error, output)| {
            let (words, output) = (command.join(" "), quote(&output));
            HookError(format!(
                "Exec lifecycle hook ([{words}]) for Container {name} in Pod {named} failed - error: {error}, message: {output}"
            ))
        });
    }
    if !http_get.is_null() {
        return get(tell, target, http_get).await.map_err(|error| {
            let path = http_get.str("path");
            HookError(format!(
                "HTTP lifecycle hook ({path}) for Container {name} in Pod {named} failed - error: {error}"
            ))
        });
    }
    if !sleep.is_null() {
        let seconds = u64::try_from(sleep.int("seconds")).unwrap_or_default();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        return Ok(());
    }
    Err(HookError(format!("Cannot run handler: invalid handler: {handler:?}")))
}

/// What went wrong, and what the command said.
async fn command_of(runtime: &dyn Runtime, target: &Target<'_>, command: &[String]) -> Result<(), (String, String)> {
    match runtime.exec_sync(target.container_id, command, Duration::ZERO).await {
        Ok(output) if output.exit_code == 0 => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let error = format!("command '{}' exited with {}: {said}", command.join(" "), output.exit_code);
            let all = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            Err((error, all))
        }
        Err(Error::Timeout(_)) => Err((crate::probes::act::timed_out(command, Duration::ZERO), String::new())),
        Err(error) => Err((error.to_string(), String::new())),
    }
}

/// Any answer will do. A server that was asked with TLS and has none is asked without.
async fn get(tell: &dyn Tell, target: &Target<'_>, action: &Value) -> Result<(), String> {
    if action.str("host").is_empty() && target.pod_ip.is_empty() {
        return Err("failed to find networking container".into());
    }
    let request = Request::of(action, target.container, target.pod_ip, "lifecycle")?;
    let failure = match http::get(&request, Duration::ZERO).await {
        Ok(_) => return Ok(()),
        Err(failure) => failure,
    };
    if failure.is_plain && http::get(&request.plain(), Duration::ZERO).await.is_ok() {
        let message = format!(
            "request to HTTPS lifecycle hook {} got HTTP response, retry with HTTP succeeded",
            request.address()
        );
        tell.tell(target.pod, None, Telling::warning("LifecycleHTTPFallback", message));
        return Ok(());
    }
    Err(failure.message)
}

/// `name_namespace(uid)`, as messages call a pod. Upstream: kubelet/util/format `Pod`.
pub fn full_name(pod: &Value) -> String {
    let meta = pod.at("metadata");
    format!("{}_{}({})", meta.str("name"), meta.str("namespace"), meta.str("uid"))
}
