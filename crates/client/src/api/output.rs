//! The output of a job, as it comes: a connection that breaks is made again and goes on where it broke, and what has a
//! tree hash is compared with it at the end.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, header};
use icefield_protocol::{ByteRange, JobId, TreeHash, VaultName};
use icefield_treehash::{HashStream, Roles};

use super::{
    VaultApi,
    call::{Failed, not_understood},
    request::Request,
};
use crate::{
    target::{Output, TargetError},
    transport::next_chunk,
};

/// Times in a row that a connection may break without a byte having come.
const MAX_BREAKS: u32 = 30;

/// An output that is being read.
struct Reading {
    api: Arc<VaultApi>,
    path: String,
    response: reqwest::Response,
    /// The bytes of the output that are still to come.
    next: u64,
    end: u64,
    hash: Option<(TreeHash, HashStream)>,
    breaks: u32,
}

impl VaultApi {
    pub(super) async fn output(
        &self,
        vault: &VaultName,
        job: &JobId,
        range: Option<ByteRange>,
    ) -> Result<Output, TargetError> {
        let request = Request::vault(Method::GET, vault, &format!("/jobs/{job}/output"));
        let path = request.path.clone();
        let request = match range {
            Some(range) => request.header("range", range.to_header()),
            None => request,
        };
        let response = self.open(&request).await?;
        let (total, got) = extent(response.headers(), response.content_length(), range)?;
        let tree_hash = tree_hash(response.headers())?;
        let hash = tree_hash.map(|hash| (hash, self.hashing.start(Roles { linear: false })));
        let reading = Reading {
            api: self.me.upgrade().expect("whoever calls holds it"),
            path,
            response,
            next: got.start,
            end: got.end,
            hash,
            breaks: 0,
        };
        let chunks = stream::unfold(Some(reading), |reading| async move {
            let mut reading = reading?;
            match reading.next().await {
                Ok(Some(chunk)) => Some((Ok(chunk), Some(reading))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Output { total, tree_hash, chunks: Box::pin(chunks) })
    }
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>, TargetError> {
        while self.next < self.end {
            match next_chunk(&mut self.response).await {
                Ok(Some(chunk)) if !chunk.is_empty() => {
                    self.breaks = 0;
                    self.next += chunk.len() as u64;
                    if self.next > self.end {
                        return Err(TargetError::Damaged {
                            what: format!("more bytes came than byte {} of the output", self.end),
                        });
                    }
                    if let Some((_, hashing)) = &mut self.hash {
                        hashing.submit(chunk.clone()).await;
                    }
                    return Ok(Some(chunk));
                }
                Ok(Some(_)) => {}
                Ok(None) => self.reopen("the connection was closed early").await?,
                Err(error) => match Failed::from(error) {
                    Failed::Lost(what) | Failed::NotSent(what) => self.reopen(&what).await?,
                    failed => return Err(self.api.failed(failed)),
                },
            }
        }
        let Some((expected, hashing)) = self.hash.take() else { return Ok(None) };
        let found = hashing.finish().await.tree;
        if found == expected {
            return Ok(None);
        }
        Err(TargetError::Damaged {
            what: format!("the tree hash of what came is {found}, not {expected}"),
        })
    }

    /// Goes on where it broke.
    async fn reopen(&mut self, why: &str) -> Result<(), TargetError> {
        self.breaks += 1;
        if self.breaks > MAX_BREAKS {
            return Err(self.api.failed(Failed::Lost(why.to_owned())));
        }
        tracing::debug!(path = self.path, why, at = self.next, "going on where the output broke");
        let range = ByteRange { first: self.next, last: self.end - 1 };
        let request = Request::at(Method::GET, &self.path).header("range", range.to_header());
        self.response = self.api.open(&request).await?;
        let length = self.response.content_length();
        let (_, got) = extent(self.response.headers(), length, Some(range))?;
        if got != (range.first..range.last + 1) {
            return Err(not_understood("it is another range than was asked for"));
        }
        Ok(())
    }
}

/// Returns the size of the whole output, and which bytes of it come.
fn extent(
    headers: &HeaderMap,
    length: Option<u64>,
    asked: Option<ByteRange>,
) -> Result<(u64, std::ops::Range<u64>), TargetError> {
    let text = headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    if let (Some(text), Some(_)) = (text, asked) {
        let told = ByteRange::parse_content_range_and_total(text);
        let (range, total) = told.map_err(|error| not_understood(&error.to_string()))?;
        let total =
            total.ok_or_else(|| not_understood("it does not tell the size of the output"))?;
        return Ok((total, range.first..range.last + 1));
    }
    let length = length.ok_or_else(|| not_understood("it does not tell the size of the output"))?;
    match asked {
        // Who asked for a range and got all of it cannot use that.
        Some(range) if range.len() != length || range.first != 0 => {
            Err(not_understood("it is another range than was asked for"))
        }
        _ => Ok((length, 0..length)),
    }
}

pub(super) fn tree_hash(headers: &HeaderMap) -> Result<Option<TreeHash>, TargetError> {
    let Some(value) = headers.get("x-amz-sha256-tree-hash") else { return Ok(None) };
    let text = value.to_str().map_err(|error| not_understood(&error.to_string()))?;
    text.parse()
        .map(Some)
        .map_err(|error: icefield_protocol::ParseHashError| not_understood(&error.to_string()))
}
