//! What clients do to a server, and how long they wait for it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use icefield_treehash::TreeHash;

use crate::{
    http::Connection,
    server::{Payload, Server, Speaks},
    usage::{Meter, Usage, peak_bytes},
};

/// What a load came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) requests: usize,
    pub(crate) bytes: u64,
    pub(crate) usage: Usage,
    pub(crate) peak_bytes: u64,
    /// How long each request took, sorted.
    waits: Vec<Duration>,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / self.usage.wall.as_secs_f64()
    }

    /// Bytes a second.
    pub(crate) fn rate(&self) -> f64 {
        self.bytes as f64 / self.usage.wall.as_secs_f64()
    }

    pub(crate) fn processor_per_gib(&self) -> f64 {
        self.usage.processor / (self.bytes as f64 / f64::from(1 << 30))
    }

    /// The wait that so many hundredths of the requests did not exceed.
    pub(crate) fn percentile(&self, hundredths: usize) -> Duration {
        let last = self.waits.len().saturating_sub(1);
        self.waits.get(last * hundredths / 100).copied().unwrap_or_default()
    }
}

/// Stores `count` payloads, each in a request of its own, by so many clients at once.
pub(crate) fn store(
    server: &Server,
    payload: &Payload,
    clients: usize,
    count: usize,
) -> Result<Outcome> {
    let next = AtomicUsize::new(0);
    measured(server, clients, |client, waits| {
        let mut connection = Connection::to(server.address);
        // One name per client would be one file; as many as requests are more than anybody lists.
        let mut round = 0;
        let mut request = server.put(&format!("{client}-0"), payload);
        while next.fetch_add(1, Ordering::Relaxed) < count {
            if server.speaks != Speaks::Glacier {
                request = server.put(&format!("{client}-{round}"), payload);
            }
            round += 1;
            let begin = Instant::now();
            connection.send(&request)?.success()?;
            waits.push(begin.elapsed());
        }
        Ok(round * payload.bytes.len())
    })
}

/// Stores so many archives at once, each of parts of that payload. Where there are no parts, each is an object.
pub(crate) fn store_parts(
    server: &Server,
    payload: &Payload,
    uploads: usize,
    parts: usize,
) -> Result<Outcome> {
    if server.speaks != Speaks::Glacier {
        return store(server, payload, uploads, uploads * parts);
    }
    let part_size = payload.bytes.len();
    let whole = TreeHash::combine(std::iter::repeat_n(payload.tree, parts)).to_string();
    measured(server, uploads, |_, waits| {
        let mut connection = Connection::to(server.address);
        let uploads = "/-/vaults/v/multipart-uploads";
        let size = [("x-amz-part-size", &*part_size.to_string())];
        let begun = connection.send(&server.request("POST", uploads, "", &size, None))?;
        let begun = begun.success()?;
        let path = format!("{uploads}/{}", begun.header("x-amz-multipart-upload-id")?);
        for part in 0..parts {
            let first = part * part_size;
            let range = format!("bytes {first}-{}/*", first + part_size - 1);
            let headers = [("content-range", range.as_str())];
            let request = server.request("PUT", &path, "", &headers, Some(payload));
            let begin = Instant::now();
            connection.send(&request)?.success()?;
            waits.push(begin.elapsed());
        }
        let size = (parts * part_size).to_string();
        let headers = [("x-amz-archive-size", &*size), ("x-amz-sha256-tree-hash", &whole)];
        connection.send(&server.request("POST", &path, "", &headers, None))?.success()?;
        Ok(parts * part_size)
    })
}

/// Runs so many clients, each of which returns how many bytes it moved.
fn measured(
    server: &Server,
    clients: usize,
    client: impl Fn(usize, &mut Vec<Duration>) -> Result<usize> + Sync,
) -> Result<Outcome> {
    let meter = Meter::of(server.process())?;
    let ended: Vec<Result<_>> = thread::scope(|scope| {
        let client = &client;
        let running: Vec<_> = (0..clients)
            .map(|number| {
                scope.spawn(move || {
                    let mut waits = Vec::new();
                    let bytes = client(number, &mut waits)?;
                    Ok((bytes, waits))
                })
            })
            .collect();
        let joined = running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a client panicked"))));
        joined.collect()
    });
    let usage = meter.usage()?;
    let (mut bytes, mut waits) = (0, Vec::new());
    for ended in ended {
        let (moved, waited) =
            ended.with_context(|| format!("a client of {} failed", server.name))?;
        bytes += moved as u64;
        waits.extend(waited);
    }
    waits.sort_unstable();
    let peak_bytes = peak_bytes(server.process())?;
    Ok(Outcome { requests: waits.len(), bytes, usage, peak_bytes, waits })
}
