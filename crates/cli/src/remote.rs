//! Targets over a network: where they are, and who asks, as every AWS tool finds out.
//!
//! Region, credentials and endpoint come from the options, then the target, then the chain of AWS (environment, files,
//! SSO, processes, roles). Nothing is assumed: without a region there is no request.

use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_types::service_config::ServiceConfigKey;
use icefield_client::{
    api::{ApiOptions, Queue, VaultApi},
    retry::RetryPolicy,
    transport::TransportOptions,
};
use icefield_protocol::Region;

use crate::{config::Biller, failure::Failure, session::Session};

/// What the configuration says of a place; each may be overridden by an option.
#[derive(Debug, Clone, Default)]
pub(crate) struct RemotePlace {
    pub(crate) region: Option<String>,
    pub(crate) profile: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) queue: Option<String>,
}

/// What the chain of AWS calls the service with the vault API.
const SERVICE: &str = "Glacier";

/// Finds region, credentials and endpoint for a place of this service.
pub(crate) async fn sdk_config(session: &Session, place: &RemotePlace, service: &str) -> SdkConfig {
    let global = &session.global;
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = global.region.as_ref().or(place.region.as_ref()) {
        loader = loader.region(aws_config::Region::new(region.clone()));
    }
    let profile = global.profile.as_ref().or(place.profile.as_ref());
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    if let Some((id, secret)) = session.config.old_key.as_ref().filter(|_| profile.is_none()) {
        loader = loader.credentials_provider(Credentials::from_keys(id, secret, None));
    }
    if let Some(endpoint) = global.endpoint_url.as_ref().or(place.endpoint.as_ref()) {
        return loader.endpoint_url(endpoint).load().await;
    }
    let config = loader.load().await;
    match endpoint_of(&config, service) {
        Some(endpoint) => config.into_builder().endpoint_url(endpoint).build(),
        None => config,
    }
}

/// The endpoint that environment or profile name for one service. Clients of the SDK take it by themselves and tell
/// nobody, but who a target is and who charges there depend on it.
fn endpoint_of(config: &SdkConfig, service: &str) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id(service)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    config.service_config()?.load_config(key)
}

/// Opens a service that speaks the vault API; nothing is asked yet.
pub(crate) async fn vault_api(
    session: &Session,
    place: RemotePlace,
    billing: Biller,
) -> anyhow::Result<Arc<VaultApi>> {
    let config = sdk_config(session, &place, SERVICE).await;
    let api = VaultApi::new(ApiOptions {
        endpoint: config.endpoint_url().map(str::to_owned),
        region: region(&config)?,
        credentials: credentials(&config)?,
        transport: transport(session)?,
        retry: RetryPolicy::default(),
        hashing: session.hashing(),
        events: session.events(),
        clock: Arc::clone(&session.clock),
        is_billed: billing == Biller::Aws,
        queue: place.queue.as_deref().map(|url| queue(&config, url)).transpose()?,
    });
    api.map_err(|error| Failure::usage("the target cannot be used").because(error).into())
}

/// The region, which is never assumed.
pub(crate) fn region(config: &SdkConfig) -> anyhow::Result<Region> {
    let Some(region) = config.region() else {
        return Err(Failure::usage("no region is named")
            .hint("name it: --region us-west-2, AWS_REGION, `region` of the target or of the AWS profile")
            .into());
    };
    Region::parse(region.as_ref())
        .map_err(|error| Failure::usage("the region is not valid").because(error).into())
}

/// A queue is where its URL says, whatever the endpoint of the target is.
fn queue(config: &SdkConfig, url: &str) -> anyhow::Result<Queue> {
    let invalid = || {
        Failure::usage(format!("`{url}` is not the URL of a queue"))
            .hint("it is written https://sqs.us-west-2.amazonaws.com/111122223333/jobs")
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
    let host = rest.split('/').next().filter(|host| !host.is_empty()).ok_or_else(invalid)?;
    let config = config.to_builder().endpoint_url(format!("{scheme}://{host}")).build();
    Ok(Queue { client: aws_sdk_sqs::Client::new(&config), url: url.to_owned() })
}

fn credentials(config: &SdkConfig) -> anyhow::Result<SharedCredentialsProvider> {
    config.credentials_provider().ok_or_else(|| {
        Failure::failed("there are no credentials")
            .hint(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with --profile",
            )
            .into()
    })
}

/// Trusts what the environment names beside the system's certificates.
pub(crate) fn transport(session: &Session) -> anyhow::Result<TransportOptions> {
    let Some(bundle) = &session.config.ca_bundle else { return Ok(TransportOptions::default()) };
    let pem = std::fs::read(bundle).map_err(|error| {
        Failure::usage(format!("cannot read {}, which AWS_CA_BUNDLE names", bundle.display()))
            .because(error)
    })?;
    Ok(TransportOptions { roots_pem: vec![pem] })
}
