//! Work that is counted in instructions: the same on every run, so a change of a few hundredths shows.

use std::{hint::black_box, io::Write as _, time::Duration};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use icefield_protocol::{
    Timestamp,
    sigv4::{
        AccessKeyId, Authorization, RequestHead, RequestTime, SecretKey, Signer, check_skew,
        request_time,
    },
};
use icefield_treehash::{Hasher, LinearHash, Roles};

use crate::server::random;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Guarded {
    /// What every run does besides
    Nothing,
    /// Both hashes of 16 MiB
    Hash,
    /// Parsing the head of 1,000 signed requests, and verifying them
    Verify,
}

impl Guarded {
    /// All that are counted.
    pub(crate) const COUNTED: [Self; 2] = [Self::Hash, Self::Verify];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Hash => "hash",
            Self::Verify => "verify",
        }
    }

    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Hash => "linear and tree hash of 16 MiB",
            Self::Verify => "reading and verifying 1,000 signed request heads",
        }
    }

    /// Does it, and tells which kernels hash here.
    pub(crate) fn run(self) -> Result<()> {
        let bytes = black_box(random(16 << 20));
        match self {
            Self::Nothing => {}
            Self::Hash => {
                let mut hasher = Hasher::new(Roles { linear: true });
                hasher.update(&bytes);
                black_box(hasher.finish());
            }
            Self::Verify => verify()?,
        }
        writeln!(std::io::stdout(), "{}", icefield_treehash::kernel_names())?;
        Ok(())
    }
}

fn verify() -> Result<()> {
    let now = Timestamp::from_unix_millis(1_700_000_000_000);
    let access_key = AccessKeyId::parse("ICEFIELDBENCHMARK000").context("no access key")?;
    let secret = SecretKey::new("benchmark/only/secret/of/icefield/guard/");
    let (date, body) =
        (RequestTime::of(now).text().to_owned(), LinearHash::of(b"body").to_string());
    let headers = [
        ("host", "127.0.0.1:9440"),
        ("x-amz-date", &date),
        ("x-amz-content-sha256", &body),
        ("x-amz-glacier-version", "2012-06-01"),
        ("x-amz-archive-description", "observations/00042/frame-0000213412.fit"),
        ("x-amz-sha256-tree-hash", &body),
    ];
    let path = "/123456789012/vaults/observations/archives";
    let head = |more: Option<&str>| {
        let more = more.map(|value| ("authorization", value));
        let headers = headers.into_iter().chain(more);
        let text = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>();
        format!("POST {path} HTTP/1.1\r\n{text}\r\n")
    };
    let unsigned = head(None);
    let signer = Signer {
        access_key: &access_key,
        secret: &secret,
        region: "us-east-1",
        service: "glacier",
    };
    let names = headers.map(|(name, _)| name);
    let signed = parsed(&unsigned).context("no head")?;
    let text = head(Some(&signer.authorize(&signed, &names, now, &body)));
    for _ in 0..1000 {
        let head = parsed(black_box(&text)).context("no head")?;
        let authorization = Authorization::of(&head)?;
        let time = request_time(&head)?;
        check_skew(time, now, Duration::from_mins(5))?;
        authorization.verify(&head, &secret, time, &body)?;
    }
    Ok(())
}

fn parsed(text: &str) -> Option<RequestHead<'_>> {
    let (first, rest) = text.split_once("\r\n")?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let headers = rest.lines().map_while(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name, value.as_bytes())).collect();
    Some(RequestHead { method, path, query: "", headers })
}
