//! Random sequences of calls, each compared with the reference model: on a store in memory, and on a disk with the store
//! closed and opened again in between.

use std::{
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::Bytes;
use icefield_engine::{Delays, Engine, JobListFilter, RequestedRange, Settings};
use icefield_protocol::{
    ArchiveId, ErrorCode, InventoryItem, InventoryParameters, PartSize, inventory::read_json,
};
use icefield_store::{ManualClock, OpenOptions, Store};
use proptest::{
    prelude::{Just, ProptestConfig, Strategy, any, prop_oneof},
    proptest,
    sample::Index as Pick,
};

use crate::as_root::AsRoot;
use crate::{
    model::{DELAY, Kind, Model},
    world::{MIB, START, World, archive_job, bytes, inventory_job, name, token, tree_hash},
};

/// Vaults that take part.
const VAULTS: u8 = 2;

#[derive(Debug, Clone)]
enum Op {
    CreateVault(u8),
    DeleteVault(u8),
    DescribeVault(u8),
    Put(u8, Content, Option<u8>),
    Delete(Pick),
    Initiate(u8, Option<u8>),
    Part(Pick, u64, Content),
    Complete(Pick, bool),
    Abort(Pick),
    ListUploads(u8),
    ListParts(Pick),
    Retrieve(Pick, Option<(u64, u64)>),
    ListArchives(u8),
    ListJobs(u8),
    Output(Pick, Option<(u32, u32)>),
    RunDueJobs,
    Housekeeping,
    Advance(u64),
    Reopen,
}

#[derive(Debug, Clone, Copy)]
struct Content {
    seed: usize,
    size: u64,
}

/// Made once: tests without optimisation spend their time here otherwise.
static POOL: LazyLock<Vec<Bytes>> =
    LazyLock::new(|| (0..4).map(|seed| bytes(seed, 3 * MIB)).collect());

impl Content {
    fn bytes(self) -> Bytes {
        POOL[self.seed].slice(..usize::try_from(self.size).unwrap())
    }
}

fn content(sizes: impl Strategy<Value = u64>) -> impl Strategy<Value = Content> {
    (0..4_usize, sizes).prop_map(|(seed, size)| Content { seed, size })
}

fn ops() -> impl Strategy<Value = Op> {
    let vault = || prop_oneof![4 => Just(0_u8), 1 => 1..VAULTS];
    let token = || prop_oneof![3 => Just(None), 1 => (0..2_u8).prop_map(Some)];
    let whole = || prop_oneof![Just(1), Just(1000), Just(MIB), Just(2 * MIB + 5)];
    let part = || prop_oneof![4 => Just(MIB), 1 => Just(7), 1 => Just(MIB - 1)];
    prop_oneof![
        2 => vault().prop_map(Op::CreateVault),
        1 => vault().prop_map(Op::DeleteVault),
        2 => vault().prop_map(Op::DescribeVault),
        6 => (vault(), content(whole()), token()).prop_map(|(v, c, t)| Op::Put(v, c, t)),
        4 => any::<Pick>().prop_map(Op::Delete),
        3 => (vault(), token()).prop_map(|(v, t)| Op::Initiate(v, t)),
        10 => (any::<Pick>(), 0..3_u64, content(part())).prop_map(|(u, i, c)| Op::Part(u, i, c)),
        6 => (any::<Pick>(), any::<bool>()).prop_map(|(u, right)| Op::Complete(u, right)),
        2 => any::<Pick>().prop_map(Op::Abort),
        1 => vault().prop_map(Op::ListUploads),
        2 => any::<Pick>().prop_map(Op::ListParts),
        4 => (any::<Pick>(), proptest::option::of((0..3_u64, 1..4_u64)))
            .prop_map(|(a, range)| Op::Retrieve(a, range)),
        2 => vault().prop_map(Op::ListArchives),
        2 => vault().prop_map(Op::ListJobs),
        6 => (any::<Pick>(), proptest::option::of(any::<(u32, u32)>()))
            .prop_map(|(job, range)| Op::Output(job, range)),
        3 => Just(Op::RunDueJobs),
        2 => Just(Op::Housekeeping),
        3 => prop_oneof![Just(1), Just(4), Just(23), Just(24), Just(100)].prop_map(Op::Advance),
        1 => Just(Op::Reopen),
    ]
}

/// An engine and the model, in step.
struct Pair<'a> {
    world: World,
    model: Model,
    dir: Option<&'a Path>,
}

async fn open(dir: Option<&Path>, clock: &Arc<ManualClock>) -> AsRoot {
    let store = match dir {
        Some(dir) => {
            let options = OpenOptions {
                create: true,
                clock: Arc::<ManualClock>::clone(clock),
                ..OpenOptions::default()
            };
            Store::open(dir, options).await.unwrap()
        }
        None => Store::in_memory(Arc::<ManualClock>::clone(clock)).await.unwrap(),
    };
    let delay = Delays { expedited: DELAY, standard: DELAY, bulk: DELAY };
    let settings = Settings { retrieval_delay: delay, ..Settings::embedded() };
    AsRoot(Engine::open(store, settings).await.unwrap())
}

fn vault_name(vault: u8) -> icefield_protocol::VaultName {
    name(&format!("v{vault}"))
}

/// Both succeed, or both fail with the same code.
#[track_caller]
fn same<T, M>(
    real: Result<T, icefield_engine::EngineError>,
    model: Result<M, ErrorCode>,
) -> Option<(T, M)> {
    match (real, model) {
        (Ok(real), Ok(model)) => Some((real, model)),
        (Err(real), Err(model)) => {
            assert_eq!(real.code(), model, "{real}");
            None
        }
        (Ok(_), Err(model)) => panic!("the model says {model}"),
        (Err(real), Ok(_)) => panic!("the engine says {real}"),
    }
}

/// One of the newest: calls that meet on one thing are what is worth trying.
fn pick<T>(from: &[T], pick: Pick) -> Option<usize> {
    let newest = from.len().min(4);
    (newest > 0).then(|| from.len() - newest + pick.index(newest))
}

impl<'a> Pair<'a> {
    async fn new(dir: Option<&'a Path>) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let engine = open(dir, &clock).await;
        let account = engine.account().clone();
        let world = World { engine, clock, account, vault: vault_name(0) };
        let model = Model { now: Some(START), ..Model::default() };
        let mut pair = Self { world, model, dir };
        pair.vaults(Op::CreateVault(0)).await;
        pair
    }

    async fn step(&mut self, op: Op) {
        match op {
            Op::CreateVault(_) | Op::DeleteVault(_) | Op::DescribeVault(_) => self.vaults(op).await,
            Op::Put(..) | Op::Delete(_) => self.archives(op).await,
            Op::Initiate(..) | Op::Part(..) | Op::Complete(..) | Op::Abort(_) => {
                self.uploads(op).await;
            }
            Op::ListUploads(_) | Op::ListParts(_) => self.upload_lists(op).await,
            Op::Retrieve(..) | Op::ListArchives(_) | Op::ListJobs(_) => self.jobs(op).await,
            Op::Output(job, range) => self.output(job, range).await,
            Op::RunDueJobs => {
                let ended = self.world.engine.run_due_jobs().await.unwrap();
                assert_eq!(ended, self.model.run_due_jobs());
            }
            Op::Housekeeping => {
                self.world.engine.housekeeping().await.unwrap();
                self.model.housekeeping();
            }
            Op::Advance(hours) => {
                self.world.clock.advance(Duration::from_hours(hours));
                self.model.now = Some(self.model.now().saturating_add(Duration::from_hours(hours)));
            }
            Op::Reopen => {
                if self.dir.is_some() {
                    self.world.engine.store().clone().close().await;
                    self.world.engine = open(self.dir, &self.world.clock).await;
                }
            }
        }
    }

    async fn vaults(&mut self, op: Op) {
        let World { engine, account, .. } = &self.world;
        match op {
            Op::CreateVault(vault) => {
                engine.create_vault(account, &vault_name(vault)).await.unwrap();
                self.model.create_vault(vault);
            }
            Op::DeleteVault(vault) => {
                let real = engine.delete_vault(account, &vault_name(vault)).await;
                same(real, self.model.delete_vault(vault));
            }
            Op::DescribeVault(vault) => {
                let real = engine.describe_vault(account, &vault_name(vault)).await;
                let life = self.model.life(vault);
                let inventory = life.map(|life| self.model.take_inventory(life));
                let Some((real, inventory)) = same(real, inventory) else { return };
                assert_eq!(real.last_inventory_date, inventory.as_ref().map(|taken| taken.date));
                let archives = inventory.map(|taken| taken.archives).unwrap_or_default();
                let sizes = archives.iter().map(|&index| self.model.archives[index].bytes.len());
                assert_eq!(real.number_of_archives, archives.len() as u64);
                let sum: u64 = sizes.map(|size| size as u64 + 32_768).sum();
                assert_eq!(real.size_in_bytes, sum);
            }
            _ => unreachable!("not of vaults"),
        }
    }

    async fn archives(&mut self, op: Op) {
        match op {
            Op::Put(vault, content, seed) => {
                let bytes = content.bytes();
                let real = self.world.try_put(&vault_name(vault), &bytes, seed.map(token)).await;
                let model = self.model.put(vault, bytes, seed);
                let Some((stored, (index, new))) = same(real, model) else { return };
                let archive = &mut self.model.archives[index];
                assert_eq!(stored.tree_hash, tree_hash(&archive.bytes));
                if new {
                    archive.id = Some(stored.id);
                } else {
                    assert_eq!(archive.id.as_ref(), Some(&stored.id));
                }
            }
            Op::Delete(which) => {
                let Some(index) = pick(&self.model.archives, which) else { return };
                let (vault, id) = self.archive(index);
                let World { engine, account, .. } = &self.world;
                let real = engine.delete_archive(account, &vault, &id).await;
                same(real, self.model.delete(index));
            }
            _ => unreachable!("not of archives"),
        }
    }

    fn archive(&self, index: usize) -> (icefield_protocol::VaultName, ArchiveId) {
        let archive = &self.model.archives[index];
        (vault_name(archive.vault), archive.id.clone().unwrap())
    }

    async fn uploads(&mut self, op: Op) {
        if let Op::Initiate(vault, seed) = op {
            let World { engine, account, .. } = &self.world;
            let (size, seed_token) = (PartSize::new(MIB).unwrap(), seed.map(token));
            let real =
                engine.initiate_upload(account, &vault_name(vault), size, None, seed_token).await;
            let Some((id, (index, new))) = same(real, self.model.initiate(vault, seed)) else {
                return;
            };
            let upload = &mut self.model.uploads[index];
            if new {
                upload.id = Some(id);
            } else {
                assert_eq!(upload.id, Some(id));
            }
            return;
        }
        let (Op::Part(which, ..) | Op::Complete(which, _) | Op::Abort(which)) = op else {
            unreachable!("not of uploads")
        };
        let Some(index) = pick(&self.model.uploads, which) else { return };
        let id = self.model.uploads[index].id.clone().unwrap();
        self.world.vault = vault_name(self.model.uploads[index].vault);
        match op {
            Op::Part(_, part, content) => {
                let real = self.world.part(&id, part, &content.bytes()).await;
                same(real, self.model.part(index, part, content.bytes()));
            }
            Op::Complete(_, right) => {
                let whole = self.model.whole(index);
                let World { engine, account, vault, .. } = &self.world;
                let size = whole.len() as u64 + u64::from(!right);
                let hash = tree_hash(&whole);
                let real = engine.complete_upload(account, vault, &id, size, hash).await;
                let known = self.model.archives.len();
                let Some((real, archive)) = same(real, self.model.complete(index, right)) else {
                    return;
                };
                if archive == known {
                    self.model.archives[archive].id = Some(real);
                } else {
                    assert_eq!(self.model.archives[archive].id, Some(real));
                }
            }
            _ => {
                let World { engine, account, vault, .. } = &self.world;
                same(engine.abort_upload(account, vault, &id).await, self.model.abort(index));
            }
        }
    }

    async fn upload_lists(&mut self, op: Op) {
        let World { engine, account, .. } = &self.world;
        match op {
            Op::ListUploads(vault) => {
                let real = engine.list_uploads(account, &vault_name(vault), None, None).await;
                let Some((real, _)) = same(real, self.model.life(vault)) else { return };
                let real: Vec<_> =
                    real.items.into_iter().map(|upload| Some(upload.upload_id)).collect();
                let mut model = self.model.uploads_in_progress(vault);
                model.truncate(50);
                let model: Vec<_> =
                    model.into_iter().map(|index| self.model.uploads[index].id.clone()).collect();
                assert_eq!(real, model);
            }
            Op::ListParts(which) => {
                let Some(index) = pick(&self.model.uploads, which) else { return };
                let upload = &self.model.uploads[index];
                let (vault, id) = (vault_name(upload.vault), upload.id.clone().unwrap());
                let real = engine.list_parts(account, &vault, &id, None, None).await;
                let Some(((_, page), ())) = same(real, self.model.in_progress(index)) else {
                    return;
                };
                let real: Vec<_> = page
                    .items
                    .iter()
                    .map(|part| (part.range.first / MIB, part.range.len(), part.tree_hash))
                    .collect();
                let model: Vec<_> = upload
                    .parts
                    .iter()
                    .map(|(&part, bytes)| (part, bytes.len() as u64, tree_hash(bytes)))
                    .collect();
                assert_eq!(real, model);
            }
            _ => unreachable!("not of lists"),
        }
    }

    async fn jobs(&mut self, op: Op) {
        let World { engine, account, .. } = &self.world;
        match op {
            Op::Retrieve(which, mib) => {
                let Some(index) = pick(&self.model.archives, which) else { return };
                let (vault, id) = self.archive(index);
                let size = self.model.archives[index].bytes.len() as u64;
                // What lies outside is asked for as it is.
                let range = mib.map(|(first, count)| icefield_protocol::ByteRange {
                    first: first * MIB,
                    last: if first * MIB < size {
                        ((first + count) * MIB).min(size) - 1
                    } else {
                        (first + count) * MIB - 1
                    },
                });
                let real = engine.initiate_job(account, &vault, &archive_job(&id, range)).await;
                let model = self.model.retrieve(index, mib);
                let Some((job, (index, _))) = same(real, model) else { return };
                self.model.jobs[index].id = Some(job);
            }
            Op::ListArchives(vault) => {
                let request = inventory_job(InventoryParameters::default());
                let real = engine.initiate_job(account, &vault_name(vault), &request).await;
                let Some((job, index)) = same(real, self.model.list_archives(vault)) else {
                    return;
                };
                self.model.jobs[index].id = Some(job);
            }
            Op::ListJobs(vault) => {
                let all = JobListFilter::default();
                let real = engine.list_jobs(account, &vault_name(vault), all, None, None).await;
                let Some((real, _)) = same(real, self.model.life(vault)) else { return };
                let real: Vec<_> =
                    real.items.into_iter().map(|job| (Some(job.job_id), job.status_code)).collect();
                let jobs = self.model.jobs_of(vault);
                let model: Vec<_> = jobs
                    .into_iter()
                    .map(|index| &self.model.jobs[index])
                    .map(|job| (job.id.clone(), job.status))
                    .collect();
                // A page may be shorter than it could be, by expired jobs.
                assert_eq!(real, model[..real.len()]);
                assert!(model.len() <= 50 || !real.is_empty());
            }
            _ => unreachable!("not of jobs"),
        }
    }

    async fn output(&mut self, which: Pick, range: Option<(u32, u32)>) {
        let Some(index) = pick(&self.model.jobs, which) else { return };
        let job = &self.model.jobs[index];
        self.world.vault = vault_name(job.vault);
        let id = job.id.clone().unwrap();
        let whole = match &job.kind {
            Kind::Archive(archive, range) => {
                let bounds =
                    usize::try_from(range.first).unwrap()..=usize::try_from(range.last).unwrap();
                self.model.archives[*archive].bytes.slice(bounds)
            }
            Kind::Inventory(_) => Bytes::new(),
        };
        let range = match (&job.kind, range) {
            (Kind::Archive(..), Some((first, length))) => {
                let first = u64::from(first) % whole.len() as u64;
                Some((first, first + u64::from(length)))
            }
            (Kind::Archive(..) | Kind::Inventory(_), _) => None,
        };
        let asked = range.map(|(first, last)| RequestedRange::FromTo(first, last));
        let real = self.world.output(&id, asked).await;
        let Some((real, job)) = same(real, self.model.output(index)) else { return };
        match &job.kind {
            Kind::Archive(..) => {
                let (first, last) = range.unwrap_or((0, u64::MAX));
                let end = usize::try_from(last).unwrap().min(whole.len() - 1);
                assert!(real == whole[usize::try_from(first).unwrap()..=end]);
            }
            Kind::Inventory(inventory) => {
                let mut listed = Vec::new();
                let mut receive = |item: InventoryItem| {
                    listed.push((Some(item.archive_id), item.size));
                    Ok::<_, std::io::Error>(())
                };
                let head = read_json(real.as_slice(), &mut receive).unwrap();
                let date = head.date.unwrap().to_seconds_string();
                assert_eq!(date, inventory.date.to_seconds_string());
                let archives = inventory.archives.iter().map(|&index| &self.model.archives[index]);
                let model: Vec<_> =
                    archives.map(|of| (of.id.clone(), of.bytes.len() as u64)).collect();
                assert_eq!(listed, model);
            }
        }
    }
}

fn run(ops: Vec<Op>, dir: Option<&Path>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut pair = Pair::new(dir).await;
        for op in ops {
            pair.step(op).await;
        }
        pair.world.engine.store().clone().close().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        max_shrink_iters: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_of_calls_in_memory_does_what_the_model_says(
        ops in proptest::collection::vec(ops(), 1..80),
    ) {
        run(ops, None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_of_calls_on_disk_survives_reopening(
        ops in proptest::collection::vec(ops(), 1..60),
    ) {
        let dir = tempfile::tempdir().unwrap();
        run(ops, Some(dir.path()));
    }
}
