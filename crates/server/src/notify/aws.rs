//! What SNS and SQS share: the credentials of the usual chain, and a client that asks the guard first.
//!
//! The chain itself is held to the guard too: it looks for credentials at metadata addresses of the cloud it may run in,
//! and does so only where `notify_allow` names them.

use std::fmt;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{Builder, tls};
use aws_smithy_runtime_api::client::{
    dns::{DnsFuture, ResolveDns, ResolveDnsError},
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;
use tokio::sync::OnceCell;

use super::{
    channel::{ATTEMPT, CONNECT},
    guard::Guard,
};

/// Where credentials are looked for when nothing says which region they are of; each request names its own.
const REGION: &str = "us-east-1";

/// Longest answer that is read.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Configuration of the SDK, read when it is first needed.
#[derive(Debug)]
pub(super) struct Aws {
    guard: Guard,
    config: OnceCell<SdkConfig>,
}

impl Aws {
    pub(super) fn new(guard: Guard) -> Self {
        Self { guard, config: OnceCell::new() }
    }

    /// The guard of its client.
    pub(super) const fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Returns the configuration for a region.
    pub(super) async fn config(&self, region: &str) -> SdkConfig {
        let load = || async {
            let timeouts =
                TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(ATTEMPT);
            aws_config::defaults(BehaviorVersion::latest())
                .region(Region::from_static(REGION))
                .http_client(guarded(&self.guard))
                .timeout_config(timeouts.build())
                // The outbox retries.
                .retry_config(RetryConfig::disabled())
                .load()
                .await
        };
        let config = self.config.get_or_init(load).await.clone();
        config.into_builder().region(Region::new(region.to_owned())).build()
    }
}

fn guarded(guard: &Guard) -> SharedHttpClient {
    let crypto = tls::rustls_provider::CryptoMode::AwsLc;
    let inner = Builder::new()
        .tls_provider(tls::Provider::Rustls(crypto))
        .build_with_resolver(Resolver(guard.clone()));
    SharedHttpClient::new(Guarded { guard: guard.clone(), inner })
}

#[derive(Debug, Clone)]
struct Resolver(Guard);

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found = self.0.resolve(name, 0).await.map_err(ResolveDnsError::new)?;
            Ok(found.into_iter().map(|address| address.ip()).collect())
        })
    }
}

/// Asks the guard about hosts that are addresses: no resolver sees those.
struct Guarded<T> {
    guard: Guard,
    inner: T,
}

impl<T> fmt::Debug for Guarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guarded")
    }
}

impl HttpClient for Guarded<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Guarded { guard: self.guard.clone(), inner })
    }
}

impl HttpConnector for Guarded<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match self.guard.url(request.uri()) {
            Ok(_) => {
                let answer = self.inner.call(request);
                HttpConnectorFuture::new(async move { Ok(answer.await?.map(bounded)) })
            }
            Err(barred) => HttpConnectorFuture::ready(Err(ConnectorError::user(barred.into()))),
        }
    }
}

/// The body of an answer, which is an error beyond its limit.
fn bounded(body: SdkBody) -> SdkBody {
    body.map_preserve_contents(|body| SdkBody::from_body_1_x(Limited::new(body, MAX_ANSWER_BYTES)))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// Fails with a text of its own.
    #[derive(Debug)]
    struct Network;

    impl HttpConnector for Network {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            HttpConnectorFuture::ready(Err(ConnectorError::io("the network was reached".into())))
        }
    }

    #[tokio::test]
    async fn the_sdk_does_not_reach_a_barred_address() {
        let inner = SharedHttpConnector::new(Network);
        let connector = Guarded { guard: Guard::new([]), inner };
        for (url, expected) in [
            ("http://169.254.169.254/latest/", "Forbidden"),
            ("http://[fd00:ec2::254]/", "Forbidden"),
            ("http://2852039166/", "Forbidden"),
            ("http://127.0.0.1:5000/", "the network was reached"),
        ] {
            let mut request = HttpRequest::empty();
            request.set_uri(url).unwrap();
            let error = format!("{:?}", connector.call(request).await.unwrap_err());
            assert!(error.contains(expected), "{url}: {error}");
        }
        let resolver = Resolver(Guard::new([]));
        assert!(resolver.resolve_dns("0xa9fea9fe").await.is_err());
        assert_eq!(
            resolver.resolve_dns("127.0.0.1").await.unwrap(),
            ["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]
        );
    }

    #[tokio::test]
    async fn an_answer_without_an_end_is_not_read_to_it() {
        let long = bounded(SdkBody::from(vec![0; MAX_ANSWER_BYTES + 1]));
        assert!(long.collect().await.is_err());
        let fits = bounded(SdkBody::from(vec![0; MAX_ANSWER_BYTES]));
        assert_eq!(fits.collect().await.unwrap().to_bytes().len(), MAX_ANSWER_BYTES);
    }
}
