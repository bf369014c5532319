//! Reads the health of a gRPC server (`grpc.health.v1`).

use tonic::Status;
use tonic::transport::Channel;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Returns whether a service is SERVING. The empty name is the server as a whole.
///
/// # Errors
/// Returns the status of a call that is not answered.
pub(crate) async fn is_serving(channel: Channel, service: &str) -> Result<bool, Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel).check(request).await?;
    Ok(answer.get_ref().status == ServingStatus::Serving as i32)
}
