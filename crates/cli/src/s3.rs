//! Targets in a bucket, and single files there.

use std::{num::NonZeroU16, sync::Arc};

use aws_config::SdkConfig;
use aws_sdk_s3::{Client, config::Builder};
use aws_smithy_http_client::{
    Builder as HttpBuilder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use icefield_client::s3::{Prefix, RESTORE_DAYS, S3, Settings, configure, parse_storage_class};
use icefield_client::target::StorageClass;

use crate::{
    config::{Biller, BucketPlace},
    failure::Failure,
    remote::{RemotePlace, region, sdk_config, transport},
    session::Session,
};

/// What the chain of AWS calls the service.
pub(crate) const SERVICE: &str = "S3";

/// Opens the target; nothing is asked yet.
pub(crate) async fn target(session: &Session, place: BucketPlace) -> anyhow::Result<Arc<S3>> {
    let BucketPlace { region: named, profile, endpoint, billing, .. } = place;
    let remote = RemotePlace { region: named, profile, endpoint, queue: None };
    let config = sdk_config(session, &remote, SERVICE).await;
    let mut settings = Settings {
        prefix: match &place.prefix {
            Some(prefix) => Prefix::parse(prefix)
                .map_err(|error| Failure::usage("the target cannot be used").because(error))?,
            None => None,
        },
        bucket: place.bucket,
        class: StorageClass::Standard,
        restore_days: restore_days(place.restore_days)?,
        region: region(&config)?,
        endpoint: config.endpoint_url().map(str::to_owned),
        is_billed: billing == Biller::Aws,
    };
    settings.class = class(place.storage_class.as_deref(), settings.is_amazon())?;
    let client = client(session, &config)?;
    let clock = Arc::clone(&session.clock);
    Ok(Arc::new(S3::new(client, settings, session.hashing(), clock, session.events())))
}

/// Makes a client of the bucket's service.
pub(crate) fn client(session: &Session, config: &SdkConfig) -> anyhow::Result<Client> {
    let mut builder = configure(Builder::from(config));
    // Who serves a bucket at an address of its own seldom has a name for every bucket.
    builder = builder.force_path_style(config.endpoint_url().is_some());
    if let Some(pem) = transport(session)?.roots_pem.into_iter().next() {
        let trusted = TrustStore::empty().with_native_roots(true).with_pem_certificate(pem);
        let context = TlsContext::builder()
            .with_trust_store(trusted)
            .build()
            .map_err(|error| Failure::usage("AWS_CA_BUNDLE cannot be used").because(error))?;
        let http = HttpBuilder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context)
            .build_https();
        builder = builder.http_client(http);
    }
    Ok(Client::from_conf(builder.build()))
}

/// The class that is named, else what comes closest to a vault.
fn class(named: Option<&str>, is_amazon: bool) -> Result<StorageClass, Failure> {
    match named {
        Some(name) => parse_storage_class(name)
            .map_err(|error| Failure::usage("the target cannot be used").because(error)),
        None if is_amazon => Ok(StorageClass::FlexibleRetrieval),
        None => Ok(StorageClass::Standard),
    }
}

fn restore_days(named: Option<u16>) -> Result<NonZeroU16, Failure> {
    match named.map(NonZeroU16::new) {
        None => Ok(RESTORE_DAYS),
        Some(Some(days)) => Ok(days),
        Some(None) => Err(Failure::usage("`restore_days` of the target is 0")
            .hint("what is restored stays readable for at least one day")),
    }
}
