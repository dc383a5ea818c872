//! What clients do to a server, and how long they wait for it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use icefield_treehash::TreeHash;
use serde_json::Value;

use crate::{
    http::Connection,
    server::{Payload, Server, Speaks},
    usage::{Meter, Usage, forget_peak, peak_bytes},
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

/// How much clients do: they begin nothing more when either is reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) requests: usize,
    pub(crate) time: Duration,
}

/// Stores payloads, each in a request of its own, by so many clients at once.
pub(crate) fn store(
    server: &Server,
    payloads: &[Payload],
    clients: usize,
    limit: Limit,
) -> Result<Outcome> {
    let (next, begin) = (AtomicUsize::new(0), Instant::now());
    measured(server, clients, |client, waits| {
        let mut connection = Connection::to(server.address);
        // Where nothing in it has to differ, a request is prepared once.
        let prepared = server.put("", &payloads[client % payloads.len()]);
        let mut bytes = 0;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= limit.requests || begin.elapsed() > limit.time {
                return Ok(bytes);
            }
            let begin = if server.speaks == Speaks::Glacier {
                let begin = Instant::now();
                connection.send(&prepared)?.success()?;
                begin
            } else {
                let payload = &payloads[number % payloads.len()];
                let request = server.put(&format!("{clients}-{number}"), payload);
                let begin = Instant::now();
                connection.send(&request)?.success()?;
                begin
            };
            waits.push(begin.elapsed());
            bytes += payloads[0].bytes.len();
        }
    })
}

/// Stores so many archives of these parts, by so many clients at once: each has archives of its own, or they share the
/// parts of one. Where there are no parts, each is an object.
pub(crate) fn store_parts(
    server: &Server,
    parts: &[Payload],
    archives: usize,
    clients: usize,
) -> Result<Outcome> {
    if server.speaks != Speaks::Glacier {
        let requests = archives * parts.len();
        return store(server, parts, clients, Limit { requests, time: Duration::MAX });
    }
    let part_size = parts[0].bytes.len();
    let uploads: Vec<_> = (0..archives).map(|_| begin(server, part_size)).collect::<Result<_>>()?;
    let next: Vec<_> = uploads.iter().map(|_| AtomicUsize::new(0)).collect();
    measured(server, clients, |client, waits| {
        let mut connection = Connection::to(server.address);
        let (path, next) = (&uploads[client % archives], &next[client % archives]);
        let mut bytes = 0;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(number) else { break };
            waits.push(put_part(server, &mut connection, path, number * part_size, part)?);
            bytes += part_size;
        }
        if clients == archives {
            complete(server, path, parts)?;
        }
        Ok(bytes)
    })
    .and_then(|outcome| {
        if clients != archives {
            uploads.iter().try_for_each(|path| complete(server, path, parts).map(drop))?;
        }
        Ok(outcome)
    })
}

/// Stores one archive of these parts and returns its ID.
pub(crate) fn upload(server: &Server, parts: &[Payload]) -> Result<String> {
    let part_size = parts[0].bytes.len();
    let path = begin(server, part_size)?;
    let mut connection = Connection::to(server.address);
    for (number, part) in parts.iter().enumerate() {
        put_part(server, &mut connection, &path, number * part_size, part)?;
    }
    complete(server, &path, parts)
}

fn put_part(
    server: &Server,
    connection: &mut Connection,
    path: &str,
    first: usize,
    part: &Payload,
) -> Result<Duration> {
    let range = format!("bytes {first}-{}/*", first + part.bytes.len() - 1);
    let headers = [("content-range", range.as_str())];
    let request = server.request("PUT", path, "", &headers, Some(part));
    let begin = Instant::now();
    connection.send(&request)?.success()?;
    Ok(begin.elapsed())
}

/// Lets a job be done and returns its path, and how long that took.
pub(crate) fn job(server: &Server, description: &str) -> Result<(String, Duration)> {
    let jobs = "/-/vaults/v/jobs";
    let body = Payload::of(description.to_owned().into());
    let mut connection = Connection::to(server.address);
    let begin = Instant::now();
    let begun = connection.send(&server.request("POST", jobs, "", &[], Some(&body)))?.success()?;
    let path = format!("{jobs}/{}", begun.header("x-amz-job-id")?);
    loop {
        let state = connection.send(&server.request("GET", &path, "", &[], None))?.success()?;
        let state: Value = serde_json::from_slice(&state.body)?;
        match state["StatusCode"].as_str() {
            Some("Succeeded") => return Ok((path, begin.elapsed())),
            Some("InProgress") => thread::sleep(Duration::from_millis(5)),
            _ => bail!("the job ended as {state}"),
        }
    }
}

/// Begins an upload and returns its path.
pub(crate) fn begin(server: &Server, part_size: usize) -> Result<String> {
    let uploads = "/-/vaults/v/multipart-uploads";
    let size = [("x-amz-part-size", &*part_size.to_string())];
    let request = server.request("POST", uploads, "", &size, None);
    let begun = Connection::to(server.address).send(&request)?.success()?;
    Ok(format!("{uploads}/{}", begun.header("x-amz-multipart-upload-id")?))
}

/// Completes an upload of these parts and returns the ID of the archive.
fn complete(server: &Server, path: &str, parts: &[Payload]) -> Result<String> {
    let whole = TreeHash::combine(parts.iter().map(|part| part.tree));
    let size = parts.iter().map(|part| part.bytes.len() as u64).sum();
    complete_as(server, path, size, whole)
}

/// Completes an upload of that size and tree hash and returns the ID of the archive.
pub(crate) fn complete_as(
    server: &Server,
    path: &str,
    size: u64,
    whole: TreeHash,
) -> Result<String> {
    let (size, whole) = (size.to_string(), whole.to_string());
    let headers = [("x-amz-archive-size", &*size), ("x-amz-sha256-tree-hash", &whole)];
    let request = server.request("POST", path, "", &headers, None);
    let done = Connection::to(server.address).send(&request)?.success()?;
    Ok(done.header("x-amz-archive-id")?.to_owned())
}

/// Runs so many clients at once, each of which returns how many bytes it moved.
pub(crate) fn measured(
    server: &Server,
    clients: usize,
    client: impl Fn(usize, &mut Vec<Duration>) -> Result<usize> + Sync,
) -> Result<Outcome> {
    forget_peak(server.process());
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
