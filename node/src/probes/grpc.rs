//! The health protocol of gRPC. Upstream: pkg/probe/grpc/grpc.go.

use std::time::Duration;

use api::field::quote;
use http::uri::PathAndQuery;
use tonic::{Code, Request, client::Grpc, transport::Endpoint};
use tonic_prost::ProstCodec;

use super::act::Found;

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Asked {
    #[prost(string, tag = "1")]
    pub service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Told {
    #[prost(int32, tag = "1")]
    pub status: i32,
}

const SERVING: i32 = 1;
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// Asks whether `service` at `address` is healthy, within the timeout.
pub async fn check(address: &str, service: &str, timeout: Duration) -> Found {
    let words = super::seconds(timeout);
    match tokio::time::timeout(timeout, ask(address, service)).await {
        Ok(found) => found,
        Err(_) => Found::Failure(format!(
            "timeout: failed to connect service {} within {words}: context deadline exceeded",
            quote(address)
        )),
    }
}

async fn ask(address: &str, service: &str) -> Found {
    let unreachable = |error: &dyn std::fmt::Display| {
        Found::Failure(format!("error: failed to connect service at {}: {error}", quote(address)))
    };
    let endpoint = Endpoint::from_shared(format!("http://{address}")).and_then(|e| e.user_agent("kube-probe/1.37"));
    let channel = match endpoint {
        Ok(endpoint) => endpoint.connect().await,
        Err(error) => return unreachable(&error),
    };
    let mut client = match channel {
        Ok(channel) => Grpc::new(channel),
        Err(error) => return unreachable(&error),
    };
    if let Err(error) = client.ready().await {
        return unreachable(&error);
    }
    let codec: ProstCodec<Asked, Told> = ProstCodec::default();
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    match client.unary(Request::new(Asked { service: service.to_owned() }), path, codec).await {
        Ok(told) => judged(told.into_inner().status),
        Err(status) if status.code() == Code::Unimplemented => Found::Failure(format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}",
            status.message()
        )),
        Err(status) => {
            let error = format!("rpc error: code = {:?} desc = {}", status.code(), status.message());
            Found::Failure(format!("error: health rpc probe failed: {error}"))
        }
    }
}

fn judged(status: i32) -> Found {
    if status == SERVING {
        return Found::Success("service healthy".into());
    }
    let known = usize::try_from(status).ok().and_then(|status| STATUSES.get(status));
    let word = known.map_or_else(|| status.to_string(), |word| (*word).to_owned());
    Found::Failure(format!("service unhealthy (responded with {})", quote(&word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_serving_is_healthy() {
        assert_eq!(judged(1), Found::Success("service healthy".into()));
        assert_eq!(judged(2), Found::Failure("service unhealthy (responded with \"NOT_SERVING\")".into()));
        assert_eq!(judged(9), Found::Failure("service unhealthy (responded with \"9\")".into()));
    }

    #[tokio::test]
    async fn nobody_there_is_a_failure() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("has one").to_string();
        drop(listener);
        let Found::Failure(told) = check(&address, "", Duration::from_secs(5)).await else { panic!("nobody is there") };
        assert!(told.starts_with(&format!("error: failed to connect service at \"{address}\": ")), "{told}");
    }
}
