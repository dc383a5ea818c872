//! Configuration: flags over environment over file over defaults, read once, here.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{args::Global, failure::Failure};

/// The name of the target that exists without configuration.
pub(crate) const EMBEDDED: &str = "embedded";
/// The name of Amazon Glacier, which exists without configuration too.
pub(crate) const AWS: &str = "aws";

/// The settings of one run.
#[derive(Debug)]
pub(crate) struct Config {
    /// The configuration file (it need not exist).
    pub(crate) file: PathBuf,
    default_target: String,
    targets: BTreeMap<String, TargetConfig>,
    /// A file with prices that replace those inside.
    pub(crate) prices: Option<PathBuf>,
    /// Where the catalog is.
    pub(crate) catalog: PathBuf,
    /// Where the embedded store is when no target says otherwise.
    pub(crate) store: PathBuf,
    /// The key that old tools take from the environment, where there is none of the usual name.
    pub(crate) old_key: Option<(String, String)>,
    /// A file of certificates that are trusted beside the system's.
    pub(crate) ca_bundle: Option<PathBuf>,
}

/// A configured target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum TargetConfig {
    /// A store on this machine.
    Embedded {
        /// Its folder; the default store's if absent.
        path: Option<PathBuf>,
    },
    /// Amazon Glacier or any server that speaks its API.
    VaultApi {
        /// Region.
        region: Option<String>,
        /// Credentials profile.
        profile: Option<String>,
        /// Endpoint, for servers that are not Amazon's.
        endpoint: Option<String>,
        /// Who charges for what is done at an endpoint that is not Amazon's own.
        #[serde(default)]
        billing: Biller,
        /// URL of an SQS queue that the vaults' notifications are sent to.
        queue: Option<String>,
    },
    /// S3 Glacier classes.
    S3(BucketPlace),
}

/// What the configuration says of a target in a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BucketPlace {
    /// Bucket.
    pub(crate) bucket: String,
    /// Prefix of the keys.
    pub(crate) prefix: Option<String>,
    /// Storage class.
    pub(crate) storage_class: Option<String>,
    /// Days that a restored archive can be read.
    pub(crate) restore_days: Option<u16>,
    /// Region.
    pub(crate) region: Option<String>,
    /// Credentials profile.
    pub(crate) profile: Option<String>,
    /// Endpoint, for servers that are not Amazon's.
    pub(crate) endpoint: Option<String>,
    /// Who charges for what is done at an endpoint that is not Amazon's own.
    #[serde(default)]
    pub(crate) billing: Biller,
}

/// Who charges for what is done at a target whose endpoint is not Amazon's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Biller {
    /// Nobody that icefield knows of.
    #[default]
    None,
    /// Amazon: the endpoint stands in front of it.
    Aws,
}

impl TargetConfig {
    /// The kind, as written in the configuration.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Embedded { .. } => "embedded",
            Self::VaultApi { .. } => "vault-api",
            Self::S3(_) => "s3",
        }
    }

    /// Amazon Glacier, as the environment names it.
    fn amazon() -> Self {
        Self::VaultApi {
            region: None,
            profile: None,
            endpoint: None,
            billing: Biller::None,
            queue: None,
        }
    }

    /// Where it is, in a few words.
    pub(crate) fn place(&self, default_store: &Path) -> String {
        let at = |region: &Option<String>, endpoint: &Option<String>| match (region, endpoint) {
            (_, Some(endpoint)) => endpoint.clone(),
            (Some(region), None) => region.clone(),
            (None, None) => "region of the environment".to_owned(),
        };
        match self {
            Self::Embedded { path } => {
                path.as_deref().unwrap_or(default_store).display().to_string()
            }
            Self::VaultApi { region, endpoint, .. } => at(region, endpoint),
            Self::S3(BucketPlace { bucket, prefix, region, endpoint, .. }) => {
                format!(
                    "s3://{bucket}/{} ({})",
                    prefix.as_deref().unwrap_or(""),
                    at(region, endpoint)
                )
            }
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default_target: Option<String>,
    prices: Option<PathBuf>,
    #[serde(default)]
    target: BTreeMap<String, TargetConfig>,
}

impl Config {
    /// Reads environment and file.
    pub(crate) fn load(global: &Global) -> anyhow::Result<Self> {
        let folders = directories::BaseDirs::new();
        let data = || match &folders {
            Some(folders) => Ok(folders.data_dir().join("icefield")),
            None => Err(Failure::usage("there is no home folder to keep data in")
                .hint("set HOME, or ICEFIELD_STORE and ICEFIELD_CATALOG")),
        };
        let path = |variable| variable_path(variable);
        let file = match (&global.config, &folders) {
            (Some(file), _) => file.clone(),
            (None, Some(folders)) => folders.config_dir().join("icefield/config.toml"),
            (None, None) => PathBuf::from("icefield.toml"),
        };
        let read = read_file(&file, global.config.is_some())?;
        let default_target = variable("ICEFIELD_TARGET")
            .or(read.default_target)
            .unwrap_or_else(|| EMBEDDED.to_owned());
        // One that the file names is meant from where the file is.
        let folder = file.parent();
        let named = read.prices.map(|prices| folder.map_or(prices.clone(), |at| at.join(&prices)));
        Ok(Self {
            prices: global.prices.clone().or(named),
            file,
            default_target,
            targets: read.target,
            catalog: path("ICEFIELD_CATALOG")
                .map_or_else(|| data().map(|data| data.join("catalog.db")), Ok)?,
            store: path("ICEFIELD_STORE")
                .map_or_else(|| data().map(|data| data.join("store")), Ok)?,
            old_key: match variable("AWS_ACCESS_KEY_ID") {
                Some(_) => None,
                None => variable("AWS_ACCESS_KEY").zip(variable("AWS_SECRET_KEY")),
            },
            ca_bundle: path("AWS_CA_BUNDLE"),
        })
    }

    /// The target's name: the word before the vault, else `--target`, else the default.
    pub(crate) fn target_name(
        &self,
        global: &Global,
        word: Option<&str>,
    ) -> Result<String, Failure> {
        match (word, &global.target) {
            (Some(word), Some(option)) if word != option => Err(Failure::usage(format!(
                "two targets are named: `{word}:` and `--target {option}`"
            ))
            .hint("leave one of them out")),
            (Some(name), _) => Ok(name.to_owned()),
            (None, Some(name)) => Ok(name.clone()),
            (None, None) => Ok(self.default_target.clone()),
        }
    }

    /// What a target's name stands for.
    pub(crate) fn target(&self, name: &str) -> Result<TargetConfig, Failure> {
        match (self.targets.get(name), name) {
            (Some(target), _) => Ok(target.clone()),
            (None, EMBEDDED) => Ok(TargetConfig::Embedded { path: None }),
            (None, AWS) => Ok(TargetConfig::amazon()),
            (None, _) => {
                let known: Vec<_> = self.targets().into_keys().collect();
                Err(Failure::usage(format!("there is no target named `{name}`")).hint(format!(
                    "known targets: {}; `icefield target add` makes one",
                    known.join(", ")
                )))
            }
        }
    }

    /// All targets by name, the two that need no configuration included.
    pub(crate) fn targets(&self) -> BTreeMap<String, TargetConfig> {
        let mut all = self.targets.clone();
        all.entry(EMBEDDED.to_owned()).or_insert(TargetConfig::Embedded { path: None });
        all.entry(AWS.to_owned()).or_insert(TargetConfig::amazon());
        all
    }

    /// The name of the target that is used when none is named.
    pub(crate) fn default_target(&self) -> &str {
        &self.default_target
    }
}

fn read_file(file: &Path, must_exist: bool) -> anyhow::Result<File> {
    match std::fs::read_to_string(file) {
        Ok(text) => toml::from_str(&text).map_err(|error| {
            Failure::usage(format!("{} is not a valid configuration", file.display()))
                .because(error)
                .into()
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {
            Ok(File::default())
        }
        Err(error) => {
            Err(Failure::usage(format!("cannot read {}", file.display())).because(error).into())
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one module that reads the environment")]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "the one module that reads the environment")]
fn variable_path(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::{File, TargetConfig};

    #[test]
    fn the_documented_configuration_is_one() {
        let page = include_str!("../../../docs/configuration.md");
        let (_, ours) = page.split_once("## Client commands").unwrap();
        let (_, block) = ours.split_once("```toml\n").unwrap();
        let file: File = toml::from_str(block.split_once("```").unwrap().0).unwrap();
        let kinds: Vec<_> = file.target.values().map(TargetConfig::kind).collect();
        assert_eq!(kinds, ["s3", "embedded", "vault-api"]);
    }
}
